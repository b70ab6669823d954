//! Why a request cannot be applied: the 400s and 409s of spec 11.5 that the resource itself decides.

use std::fmt;

use crate::standing::{ClosedSubstatus, Standing, StandingError};
use crate::unknown::UnknownMembers;

/// The inner codes of 400 answers that belong to the resource. Source: spec 11.5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Rule {
    MalformedJson,
    MissingProperty,
    InvalidValue,
    InvalidStatusSubstatus,
    InvalidPatch,
    UnsupportedOperation,
    ReadOnlyProperty,
}

impl Rule {
    /// The code as the wire spells it.
    pub fn code(self) -> &'static str {
        match self {
            Rule::MalformedJson => "malformedJson",
            Rule::MissingProperty => "missingProperty",
            Rule::InvalidValue => "invalidValue",
            Rule::InvalidStatusSubstatus => "invalidStatusSubstatus",
            Rule::InvalidPatch => "invalidPatch",
            Rule::UnsupportedOperation => "unsupportedOperation",
            Rule::ReadOnlyProperty => "readOnlyProperty",
        }
    }
}

/// A 400: which rule, where, and in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// The rule that was broken.
    pub rule: Rule,
    /// The member path with slashes, or the patch operation's path as sent.
    pub target: String,
    /// For developers; not matched on.
    pub message: String,
    /// The inner message: usually the offending name or value.
    pub detail: String,
    /// Members of the request that the contract does not have, which may be why.
    pub unknown: Option<Box<UnknownMembers>>,
}

impl Invalid {
    /// A broken rule.
    pub fn new(
        rule: Rule,
        target: impl Into<String>,
        message: impl Into<String>,
        detail: impl Into<String>,
    ) -> Invalid {
        let (target, message, detail) = (target.into(), message.into(), detail.into());
        Invalid { rule, target, message, detail, unknown: None }
    }

    pub(crate) fn value(
        target: impl Into<String>,
        message: impl Into<String>,
        detail: impl Into<String>,
    ) -> Invalid {
        Invalid::new(Rule::InvalidValue, target, message, detail)
    }

    pub(crate) fn missing(target: impl Into<String>) -> Invalid {
        let target = target.into();
        let message = format!("The required property {target} is missing.");
        Invalid::new(Rule::MissingProperty, target.clone(), message, target)
    }

    pub(crate) fn read_only(target: impl Into<String>, member: &str) -> Invalid {
        Invalid::new(
            Rule::ReadOnlyProperty,
            target,
            format!("The property {member} cannot be changed."),
            member,
        )
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}): {}", self.target, self.rule.code(), self.message)
    }
}

impl std::error::Error for Invalid {}

/// Why a well-formed request does not fit the stored referral.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 400.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// 409 `terminalState`.
    #[error("a closed referral cannot be changed")]
    Terminal(ClosedSubstatus),
    /// 409 `invalidTransition`.
    #[error("a referral cannot go from {from} to {to}")]
    NotReachable {
        /// Where it stands.
        from: Standing,
        /// Where it was asked to go.
        to: Standing,
    },
}

impl From<StandingError> for Refusal {
    fn from(error: StandingError) -> Refusal {
        match error {
            StandingError::Terminal(was) => Refusal::Terminal(was),
            StandingError::NotReachable { from, to } => Refusal::NotReachable { from, to },
            StandingError::IllegalPair { status, substatus } => {
                let message = format!("Substatus {substatus} cannot be combined with status {status}.");
                let pair = format!("{status}/{substatus}");
                Invalid::new(Rule::InvalidStatusSubstatus, "substatus", message, pair).into()
            }
            StandingError::ClosingSubstatusMissing => {
                let message =
                    "Status Closed needs a closing substatus: Won, Lost, Declined, Expired or Error.";
                Invalid::new(Rule::InvalidStatusSubstatus, "substatus", message, "Closed").into()
            }
        }
    }
}
