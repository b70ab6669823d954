//! The clocks: the machine's own, and one that was set to another time and runs on from there.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use exchange::Clock;
use referral::Timestamp;

/// 100 ns steps in a nanosecond's terms.
const NANOS_PER_TICK: u128 = 100;

/// The machine's clock.
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the composition root: the one clock is read here")]
    fn now(&self) -> Timestamp {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp::from_ticks(ticks(since)),
            Err(before) => Timestamp::from_ticks(-ticks(before.duration())),
        }
    }
}

/// A clock that began at a chosen time when it was made, and runs on as time passes.
pub struct SetClock {
    began_at: Timestamp,
    made: Instant,
}

impl SetClock {
    /// A clock that shows this time now.
    pub fn starting_at(began_at: Timestamp) -> SetClock {
        SetClock { began_at, made: Instant::now() }
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_ticks(self.began_at.ticks().saturating_add(ticks(self.made.elapsed())))
    }
}

fn ticks(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos() / NANOS_PER_TICK).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_clock_begins_where_it_was_told_and_runs_on() {
        let began_at: Timestamp = "2020-11-01T00:00:00Z".parse().unwrap();
        let clock = SetClock { began_at, made: Instant::now() - Duration::from_secs(5) };
        let (first, second) = (clock.now(), clock.now());
        assert!(first >= began_at.plus_seconds(5) && first < began_at.plus_seconds(60), "{first}");
        assert!(second >= first);
    }

    #[test]
    fn the_system_clock_is_in_this_century() {
        assert!(SystemClock.now() > "2025-01-01".parse().unwrap());
        assert!(SystemClock.now() < "2100-01-01".parse().unwrap());
    }
}
