//! `[log]`: what is told on standard error.

use serde::Deserialize;

use crate::logging::{Format, Level};
use crate::options::LogOptions;

/// `[log]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// How much.
    pub level: Level,
    /// In which form.
    pub format: Format,
    /// A line for every request.
    pub requests: bool,
}

impl Log {
    /// What the command line says instead.
    pub fn merge_from(&mut self, options: &LogOptions) {
        self.level = options.log_level.unwrap_or(self.level);
        self.format = options.log_format.unwrap_or(self.format);
        self.requests = options.log_requests.map_or(self.requests, |on| on.is_on());
    }
}
