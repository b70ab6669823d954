//! Why a request cannot be applied: the 400s and 409s of spec 11.5 that the resource itself decides.

use std::fmt;

use crate::lifecycle::{ClosedSubstatus, LifecycleState, TransitionError};
use crate::unknown::UnknownMembers;

/// The inner codes of 400 answers that belong to the resource. Source: spec 11.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum InnerCode {
    MalformedJson,
    MissingProperty,
    InvalidValue,
    InvalidStatusSubstatus,
    InvalidPatch,
    UnsupportedOperation,
    ReadOnlyProperty,
}

impl InnerCode {
    /// The code as the wire spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            InnerCode::MalformedJson => "malformedJson",
            InnerCode::MissingProperty => "missingProperty",
            InnerCode::InvalidValue => "invalidValue",
            InnerCode::InvalidStatusSubstatus => "invalidStatusSubstatus",
            InnerCode::InvalidPatch => "invalidPatch",
            InnerCode::UnsupportedOperation => "unsupportedOperation",
            InnerCode::ReadOnlyProperty => "readOnlyProperty",
        }
    }
}

/// A 400: which rule, where, and in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidationError {
    /// The rule that was broken.
    pub code: InnerCode,
    /// The member path with slashes, or the patch operation's path as sent.
    pub target: String,
    /// For developers; not matched on.
    pub message: String,
    /// The inner message: usually the offending name or value.
    pub detail: String,
    /// Members of the request that the contract does not have, which may be why.
    pub unknown: Option<Box<UnknownMembers>>,
}

impl ValidationError {
    /// A broken rule.
    pub fn new(
        code: InnerCode,
        target: impl Into<String>,
        message: impl Into<String>,
        detail: impl Into<String>,
    ) -> ValidationError {
        let (target, message, detail) = (target.into(), message.into(), detail.into());
        ValidationError { code, target, message, detail, unknown: None }
    }

    pub(crate) fn value(
        target: impl Into<String>,
        message: impl Into<String>,
        detail: impl Into<String>,
    ) -> ValidationError {
        ValidationError::new(InnerCode::InvalidValue, target, message, detail)
    }

    pub(crate) fn missing(target: impl Into<String>) -> ValidationError {
        let target = target.into();
        let message = format!("The required property {target} is missing.");
        ValidationError::new(InnerCode::MissingProperty, target.clone(), message, target)
    }

    pub(crate) fn read_only(target: impl Into<String>, member: &str) -> ValidationError {
        ValidationError::new(
            InnerCode::ReadOnlyProperty,
            target,
            format!("The property {member} cannot be changed."),
            member,
        )
    }
}

impl fmt::Display for ValidationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.target, self.code.as_str(), self.message)
    }
}

impl std::error::Error for ValidationError {}

/// Why a well-formed request does not fit the stored referral.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// 400.
    #[error(transparent)]
    Invalid(#[from] ValidationError),
    /// 409 `terminalState`.
    #[error("a closed referral cannot be changed")]
    Terminal(ClosedSubstatus),
    /// 409 `invalidTransition`.
    #[error("a referral cannot go from {from} to {to}")]
    NotReachable {
        /// Where it stands.
        from: LifecycleState,
        /// Where it was asked to go.
        to: LifecycleState,
    },
}

impl From<TransitionError> for Rejection {
    fn from(error: TransitionError) -> Rejection {
        match error {
            TransitionError::Terminal(was) => Rejection::Terminal(was),
            TransitionError::NotReachable { from, to } => Rejection::NotReachable { from, to },
            TransitionError::IllegalPair { status, substatus } => {
                let message = format!("Substatus {substatus} cannot be combined with status {status}.");
                let pair = format!("{status}/{substatus}");
                ValidationError::new(InnerCode::InvalidStatusSubstatus, "substatus", message, pair).into()
            }
            TransitionError::ClosingSubstatusMissing => {
                let message =
                    "Status Closed needs a closing substatus: Won, Lost, Declined, Expired or Error.";
                ValidationError::new(InnerCode::InvalidStatusSubstatus, "substatus", message, "Closed").into()
            }
        }
    }
}
