//! Measured times and their summary as JSON.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Times of one run, in nanoseconds, three digits exact, up to two minutes.
pub struct Times(Histogram<u64>);

impl Default for Times {
    fn default() -> Times {
        Times(Histogram::new_with_bounds(1, 120_000_000_000, 3).expect("the bounds are legal"))
    }
}

impl Times {
    /// Adds one time.
    pub fn record(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX).max(1));
    }

    /// Adds all times of another run.
    pub fn add(&mut self, other: &Times) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    /// How many times there are.
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// Percentiles in milliseconds.
    pub fn summary(&self) -> Value {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e6;
        json!({ "p50_ms": at(0.5), "p90_ms": at(0.9), "p99_ms": at(0.99), "p999_ms": at(0.999), "max_ms": self.0.max() as f64 / 1e6 })
    }
}

/// Runs `work` over and over for `seconds`. Answers the times of the single runs and the whole.
///
/// # Errors
/// The first error of `work`.
pub fn repeat<E>(seconds: f64, mut work: impl FnMut() -> Result<(), E>) -> Result<(Times, Duration), E> {
    let mut times = Times::default();
    let end = Duration::from_secs_f64(seconds);
    let start = Instant::now();
    while start.elapsed() < end {
        let began = Instant::now();
        work()?;
        times.record(began.elapsed());
    }
    Ok((times, start.elapsed()))
}
