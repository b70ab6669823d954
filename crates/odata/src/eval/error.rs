//! Why an evaluation ends without a value.

use std::fmt;

use crate::ast::Position;

/// Why an evaluation ended without a value. Partial results must be discarded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvalError {
    /// It would exceed its budget of time or memory.
    Exhausted,
    /// It was interrupted: the caller is gone, or its time is over.
    Interrupted,
    /// The expression has no value: division by zero, overflow, or an invalid pattern.
    Fault {
        /// Its position in the text of its option, if known.
        at: Option<Position>,
        /// What is wrong; lower case, no full stop.
        message: String,
    },
}

impl EvalError {
    pub(crate) fn fault(message: impl Into<String>) -> EvalError {
        EvalError::Fault { at: None, message: message.into() }
    }

    /// Adds the position of the expression, unless one is known.
    pub(super) fn with_position(self, place: Position) -> EvalError {
        match self {
            EvalError::Fault { at: None, message } => EvalError::Fault { at: Some(place), message },
            other => other,
        }
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EvalError::Exhausted => f.write_str("the evaluation exceeds its limit of time or memory"),
            EvalError::Interrupted => f.write_str("the evaluation was interrupted"),
            EvalError::Fault { at: Some(at), message } => write!(f, "at {}: {message}", at.0),
            EvalError::Fault { at: None, message } => f.write_str(message),
        }
    }
}

impl std::error::Error for EvalError {}
