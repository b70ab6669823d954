//! `[limits]`: how much one request, and one caller, may take.

use std::time::Duration;

use serde::Deserialize;
use server::{Rate, ServerOptions};

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    body_bytes: usize,
    concurrent_requests: usize,
    request_deadline_seconds: u64,
    requests_per_second: f64,
    burst_requests: f64,
    /// How much a token's times may be off.
    pub token_leeway_seconds: i64,
}

impl Limits {
    /// Tells the server.
    pub fn apply(&self, options: &mut ServerOptions) {
        options.body_limit = self.body_bytes;
        options.concurrency = self.concurrent_requests;
        options.deadline = Duration::from_secs(self.request_deadline_seconds);
        let limited = self.requests_per_second > 0.0;
        options.rate = limited
            .then(|| Rate { per_second: self.requests_per_second, burst: self.burst_requests.max(1.0) });
    }
}
