//! Chance: identifiers that were never given before, and random bytes, from aws-lc's generator.

use exchange::Ids;
use referral::Timestamp;
use uuid::{Builder, Uuid};

/// Gives UUIDs of version 7, so that rows made one after the other lie side by side in an index.
pub struct RandomIds;

impl Ids for RandomIds {
    fn next(&self, now: Timestamp) -> Uuid {
        let mut chance = [0; 10];
        fill(&mut chance);
        time_ordered(now, &chance)
    }
}

impl server::Random for RandomIds {
    fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        fill(&mut bytes);
        bytes
    }
}

/// A UUID of version 7 of this time and these bytes.
pub fn time_ordered(now: Timestamp, chance: &[u8; 10]) -> Uuid {
    let milliseconds = u64::try_from(now.ticks() / 10_000).unwrap_or_default(); // before 1970 all begin with zero
    Builder::from_unix_timestamp_millis(milliseconds, chance).into_uuid()
}

fn fill(bytes: &mut [u8]) {
    aws_lc_rs::rand::fill(bytes).expect("aws-lc's generator was seeded by the operating system");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_time_ordered_and_never_the_same() {
        let now: Timestamp = "2026-11-21T08:00:00.5Z".parse().unwrap();
        let (one, other) = (RandomIds.next(now), RandomIds.next(now));
        assert_ne!(one, other);
        assert_eq!(one.get_version_num(), 7);
        assert!(RandomIds.next(now.plus_seconds(1)) > one.max(other));
    }
}
