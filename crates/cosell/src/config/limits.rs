//! `[limits]`: how much one request, and one caller, may take.

use std::time::Duration;

use serde::Deserialize;
use server::{Rate, ServerOptions};

use crate::failure::Failure;

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

/// What is no limit any more, but a slip: a million requests at once, a day for one of them, an hour of leeway.
const MOST_REQUESTS: usize = 1_000_000;
const LONGEST_DEADLINE_SECONDS: u64 = 86_400;
const MOST_LEEWAY_SECONDS: i64 = 3_600;

impl Limits {
    /// Whether each is one that a server can work with: a slip must not take a limit away, or all service.
    ///
    /// # Errors
    /// `Usage`, naming the first that is not.
    pub fn check(&self) -> Result<(), Failure> {
        let limited = self.requests_per_second != 0.0;
        for (good, rule) in [
            (self.body_bytes >= 1, "body_bytes must be at least 1".to_owned()),
            (
                (1..=MOST_REQUESTS).contains(&self.concurrent_requests),
                format!("concurrent_requests must be 1 to {MOST_REQUESTS}"),
            ),
            (
                (1..=LONGEST_DEADLINE_SECONDS).contains(&self.request_deadline_seconds),
                format!("request_deadline_seconds must be 1 to {LONGEST_DEADLINE_SECONDS}"),
            ),
            (
                self.requests_per_second.is_finite() && self.requests_per_second >= 0.0,
                "requests_per_second must be 0 (no limit) or more".to_owned(),
            ),
            (
                !limited || self.burst_requests.is_finite() && self.burst_requests >= 1.0,
                "burst_requests must be at least 1".to_owned(),
            ),
            (
                (0..=MOST_LEEWAY_SECONDS).contains(&self.token_leeway_seconds),
                format!("token_leeway_seconds must be 0 to {MOST_LEEWAY_SECONDS}"),
            ),
        ] {
            if !good {
                return Err(Failure::usage(format!("limits.{rule}")));
            }
        }
        Ok(())
    }

    /// Tells the server.
    pub fn apply(&self, options: &mut ServerOptions) {
        options.body_limit = self.body_bytes;
        options.concurrency = self.concurrent_requests;
        options.deadline = Duration::from_secs(self.request_deadline_seconds);
        let limited = self.requests_per_second > 0.0;
        options.rate =
            limited.then_some(Rate { per_second: self.requests_per_second, burst: self.burst_requests });
    }
}
