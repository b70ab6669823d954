//! Why an evaluation ends without a value.

use std::fmt;

use crate::ast::Position;

/// Why an evaluation ended without a value. Whatever was made so far means nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvalError {
    /// It would take more time or memory than it may.
    Exhausted,
    /// Its interrupt said so: nobody waits for it any more, or its time is over.
    Interrupted,
    /// The expression has no value: a division by zero, a result that its type does not hold, a pattern that is none.
    Fault {
        /// Where it stands in the text of its option, where that is known.
        at: Option<Position>,
        /// What is wrong; lower case, no full stop.
        message: String,
    },
}

impl EvalError {
    pub(crate) fn fault(message: impl Into<String>) -> EvalError {
        EvalError::Fault { at: None, message: message.into() }
    }

    /// With the place of the expression, where none is known yet.
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
            EvalError::Exhausted => f.write_str("the evaluation takes more time or memory than it may"),
            EvalError::Interrupted => f.write_str("the evaluation was interrupted"),
            EvalError::Fault { at: Some(at), message } => write!(f, "at {}: {message}", at.0),
            EvalError::Fault { at: None, message } => f.write_str(message),
        }
    }
}

impl std::error::Error for EvalError {}
