//! A token bucket for each caller. Source: spec 13; 429 with `Retry-After` (REF-257).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use exchange::Caller;
use referral::{OrganizationId, Timestamp};

/// How fast a caller may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    /// Requests a second that are refilled; more than 0.
    pub per_second: f64,
    /// Requests that may come at once; at least 1.
    pub burst: f64,
}

/// Callers kept in mind before those with full buckets are forgotten.
const MAX_CALLERS: usize = 10_000;
const TICKS_PER_SECOND: f64 = 10_000_000.0;
/// A whole token, less what rounding may take: 49 seconds at one in 49 seconds must be one.
const ONE_TOKEN: f64 = 1.0 - 1e-9;

struct Bucket {
    tokens: f64,
    filled: Timestamp,
}

/// The buckets of all callers.
pub(crate) struct Throttle {
    rate: RateLimit,
    buckets: Mutex<HashMap<(OrganizationId, String), Bucket>>,
}

impl Throttle {
    pub(crate) fn new(rate: RateLimit) -> Throttle {
        Throttle { rate, buckets: Mutex::default() }
    }

    /// Takes a token, or tells after how many whole seconds there is one again.
    pub(crate) fn take(&self, caller: &Caller, now: Timestamp) -> Result<(), u64> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MAX_CALLERS {
            buckets.retain(|_, bucket| self.refilled(bucket, now) < self.rate.burst);
        }
        let key = (caller.organization().clone(), caller.user().to_owned());
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: self.rate.burst, filled: now });
        bucket.tokens = self.refilled(bucket, now);
        bucket.filled = now;
        if bucket.tokens >= ONE_TOKEN {
            bucket.tokens = (bucket.tokens - 1.0).max(0.0);
            return Ok(());
        }
        Err((((ONE_TOKEN - bucket.tokens) / self.rate.per_second).ceil() as u64).max(1))
    }

    fn refilled(&self, bucket: &Bucket, now: Timestamp) -> f64 {
        let seconds = (now.ticks() - bucket.filled.ticks()).max(0) as f64 / TICKS_PER_SECOND;
        (bucket.tokens + seconds * self.rate.per_second).min(self.rate.burst)
    }
}
