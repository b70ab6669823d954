//! Chance: identifiers that were never given before, and random bytes, from aws-lc's generator.

use std::cell::RefCell;

use exchange::Ids;
use referral::Timestamp;
use uuid::{Builder, Uuid};

/// Gives UUIDs of version 7, so that rows made one after the other lie side by side in an index.
pub struct RandomIds;

impl Ids for RandomIds {
    fn next(&self, now: Timestamp) -> Uuid {
        let mut random = [0; 10];
        fill(&mut random);
        time_ordered(now, &random)
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
pub fn time_ordered(now: Timestamp, random: &[u8; 10]) -> Uuid {
    let milliseconds = u64::try_from(now.ticks() / 10_000).unwrap_or_default(); // before 1970 all begin with zero
    Builder::from_unix_timestamp_millis(milliseconds, random).into_uuid()
}

/// Makes the generator ready on a thread of its own: its first bytes take it some 20 milliseconds (it listens to the
/// processor's jitter), for which no request should wait.
pub fn prepare() {
    std::thread::spawn(|| fill(&mut [0; 1]));
}

/// So many bytes are drawn at once: a draw costs about the same however short it is.
const POOL_BYTES: usize = 1024;

struct RandomPool {
    bytes: [u8; POOL_BYTES],
    used: usize,
}

thread_local! {
    static POOL: RefCell<RandomPool> = const { RefCell::new(RandomPool { bytes: [0; POOL_BYTES], used: POOL_BYTES }) };
}

fn fill(bytes: &mut [u8]) {
    POOL.with_borrow_mut(|pool| {
        if pool.used + bytes.len() > POOL_BYTES {
            aws_lc_rs::rand::fill(&mut pool.bytes)
                .expect("aws-lc's generator was seeded by the operating system");
            pool.used = 0;
        }
        let end = pool.used + bytes.len();
        bytes.copy_from_slice(&pool.bytes[pool.used..end]);
        pool.bytes[pool.used..end].fill(0); // given once
        pool.used = end;
    });
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn identifiers_are_time_ordered_and_never_the_same() {
        let now: Timestamp = "2026-11-21T08:00:00.5Z".parse().unwrap();
        let (one, other) = (RandomIds.next(now), RandomIds.next(now));
        assert_ne!(one, other);
        assert_eq!(one.get_version_num(), 7);
        assert!(RandomIds.next(now.plus_seconds(1)) > one.max(other));
    }

    #[test]
    fn bytes_are_given_once_however_many_are_drawn() {
        let given: HashSet<[u8; 16]> = (0..1000).map(|_| server::Random::bytes(&RandomIds)).collect();
        assert_eq!(given.len(), 1000);
    }
}
