//! How a command ends that does not end well: one clear line, and an exit code.

use std::fmt;
use std::process::ExitCode;

use store::StoreError;

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// It could not be done: exit code 1.
    Failed(String),
    /// It was asked for wrongly, on the command line or in the configuration: exit code 2, as clap's own.
    Usage(String),
}

impl Failure {
    /// Something could not be done.
    pub fn failed(what: impl fmt::Display) -> Failure {
        Failure::Failed(what.to_string())
    }

    /// Something was asked for wrongly.
    pub fn usage(what: impl fmt::Display) -> Failure {
        Failure::Usage(what.to_string())
    }

    /// What the process ends with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Failed(_) => ExitCode::from(1),
            Failure::Usage(_) => ExitCode::from(2),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Failed(what) | Failure::Usage(what) => f.write_str(what),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::failed(error)
    }
}
