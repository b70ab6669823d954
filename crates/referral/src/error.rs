//! Why a request cannot be applied: the 400s and 409s of spec 11.5 that the resource decides on its own.

use std::fmt;

use crate::lifecycle::{ClosedSubstatus, LifecycleState, TransitionError};
use crate::unknown::UnknownMembers;

/// The inner error codes of 400 responses that concern the resource. Source: spec 11.5.
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
    /// Returns the code as it is written in responses.
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

/// An invalid request, answered with 400.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValidationError {
    /// The inner error code.
    pub code: InnerCode,
    /// The path of the member with slashes, or the path of the patch operation as sent.
    pub target: String,
    /// A text for developers. Clients must not parse it.
    pub message: String,
    /// The inner message: usually the name or value at fault.
    pub detail: String,
    /// Members of the request that the contract does not have. They may be the cause.
    pub unknown: Option<Box<UnknownMembers>>,
}

impl ValidationError {
    /// Creates an error.
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

/// Why a well-formed request cannot be applied to the stored referral.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The request is invalid: 400.
    #[error(transparent)]
    Invalid(#[from] ValidationError),
    /// The referral is closed: 409 `terminalState`.
    #[error("a closed referral cannot be changed")]
    Terminal(ClosedSubstatus),
    /// The transition is not allowed: 409 `invalidTransition`.
    #[error("a referral cannot go from {from} to {to}")]
    NotReachable {
        /// The current state.
        from: LifecycleState,
        /// The requested state.
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
