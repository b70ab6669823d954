//! `[limits]`: how much one request, and one caller, may take.

use std::time::Duration;

use serde::Deserialize;
use server::{RateLimit, ServerOptions};

use crate::failure::Failure;
use crate::resources::MemoryPlan;

/// `[limits]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsConfig {
    body_bytes: usize,
    concurrent_requests: usize,
    request_memory_bytes: Option<u64>,
    answer_memory_bytes: Option<u64>,
    request_deadline_seconds: u64,
    requests_per_second: f64,
    burst_requests: f64,
    /// How much a token's times may be off.
    pub token_leeway_seconds: i64,
}

/// A body of the largest size must leave room for others beside what is read from it: so many times it is the least.
const BODIES: u64 = 8;

impl LimitsConfig {
    /// What may be kept in memory for requests and responses, by the settings or else by the plan.
    ///
    /// # Errors
    /// `Usage` for less memory than the largest body needs.
    pub fn memory(&self, plan: MemoryPlan) -> Result<(u64, u64), Failure> {
        let needed = (self.body_bytes as u64).saturating_mul(BODIES);
        let requests = self.request_memory_bytes.unwrap_or(plan.requests.max(needed));
        if requests < needed {
            return Err(Failure::usage(format!(
                "limits.request_memory_bytes is {requests}: with limits.body_bytes = {} it must be at least {needed}",
                self.body_bytes
            )));
        }
        Ok((requests, self.answer_memory_bytes.unwrap_or(plan.answers)))
    }

    /// Tells the server.
    pub fn apply(&self, options: &mut ServerOptions) {
        options.body_limit = self.body_bytes;
        options.concurrency = self.concurrent_requests;
        options.deadline = Duration::from_secs(self.request_deadline_seconds);
        let limited = self.requests_per_second > 0.0;
        options.rate =
            limited.then_some(RateLimit { per_second: self.requests_per_second, burst: self.burst_requests });
    }
}
