//! Many callers at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::Engine;
use super::samples::*;
use crate::{Change, CommitOutcome, Guard};

const CALLERS: usize = 64;
const ROUNDS: usize = 8;

/// 64 callers each read, decide and commit: every version has one winner, and the log tells as many.
pub async fn one_winner_per_version(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    created(&*store, a_referral(&owner, 1)).await;
    let callers = (0..CALLERS).map(|_| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let mut won = Vec::new();
            for _ in 0..ROUNDS {
                let current = stored(&*store, id(1)).await.expect("it is there");
                let decided = next(&current);
                match store.commit(edit(decided.clone())).await.unwrap() {
                    CommitOutcome::Committed(_) => won.push(decided.version),
                    CommitOutcome::VersionConflict => {}
                    other => panic!("{other:?}"),
                }
            }
            won
        })
    });
    let mut won = Vec::new();
    for caller in callers.collect::<Vec<_>>() {
        won.extend(caller.await.unwrap());
    }
    won.sort_unstable();
    assert!(!won.is_empty());
    assert_eq!(won, (2..2 + won.len() as u64).collect::<Vec<_>>());
    assert_eq!(stored(&*store, id(1)).await.map(|referral| referral.version), won.last().copied());
    let log = store.log(&owner, 0, usize::MAX).await.unwrap();
    let told: Vec<_> = log.iter().map(|entry| (entry.position, entry.version)).collect();
    assert_eq!(told, (1..=1 + won.len() as u64).map(|number| (number, number)).collect::<Vec<_>>());
}

/// Two connected creations for one organization and engagement: exactly one wins, however they meet.
pub async fn two_guarded_creations_cannot_both_win(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    for round in 0..20 {
        let rivals = [0, 1].map(|rival| {
            let mut referral = a_referral(&owner, round * 2 + rival);
            referral.engagement_id = engagement(round as u8);
            let guard = Guard::NoOpenReferral { engagement: referral.engagement_id, owner: owner.clone() };
            let change = Change { guards: vec![guard], ..creation(referral) };
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.commit(change).await.unwrap() })
        });
        let mut wins = 0;
        for rival in rivals {
            match rival.await.unwrap() {
                CommitOutcome::Committed(_) => wins += 1,
                outcome => assert_eq!(outcome, CommitOutcome::GuardFailed),
            }
        }
        assert_eq!(wins, 1, "round {round}");
        assert_eq!(store.engagement(engagement(round as u8), &owner).await.unwrap().len(), 1);
    }
}

/// The same request many times at once: one is made, the others hear its answer.
pub async fn one_answer_per_request(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    let callers = (0..CALLERS as u64).map(|number| {
        let mut given = idempotency_record(&owner, 7, at(0));
        given.answer.content = bytes::Bytes::from(number.to_string());
        let change = Change { answer: Some(given), ..creation(a_referral(&owner, number)) };
        let store = Arc::clone(&store);
        tokio::spawn(async move { (number, store.commit(change).await.unwrap()) })
    });
    let (mut winner, mut heard) = (None, Vec::new());
    for caller in callers.collect::<Vec<_>>() {
        match caller.await.unwrap() {
            (number, CommitOutcome::Committed(Some(1))) => assert_eq!(winner.replace(number), None),
            (_, CommitOutcome::Replayed(answer)) => heard.push(answer.content),
            other => panic!("{other:?}"),
        }
    }
    let winner = winner.expect("one is made").to_string();
    assert_eq!(heard, vec![winner.as_bytes(); CALLERS - 1]);
    assert_eq!(store.count(&all_of(&owner)).await.unwrap(), 1);
}

/// While one referral is written again and again, no reader sees a version go back, nor one older than what was
/// acknowledged when its read began. The others push it out of any cache meanwhile.
pub async fn no_read_is_older_than_the_last_acknowledged_version(engine: &dyn Engine) {
    const VERSIONS: u64 = 400;
    let store = engine.open().await;
    let owner = organization(1);
    let mut current = created(&*store, a_referral(&owner, 0)).await;
    for number in 1..200 {
        created(&*store, a_referral(&owner, number)).await;
    }
    let acknowledged = Arc::new(AtomicU64::new(1));
    let done = Arc::new(AtomicBool::new(false));
    let readers = (0..6).map(|reader| {
        let (store, acknowledged, done) = (Arc::clone(&store), Arc::clone(&acknowledged), Arc::clone(&done));
        let owner = owner.clone();
        tokio::spawn(async move {
            let (mut newest, mut reads) = (0, 0_u64);
            while !done.load(Ordering::SeqCst) {
                let floor = acknowledged.load(Ordering::SeqCst);
                let seen = match reader % 3 {
                    0 => store.list(&all_of(&owner)).await.unwrap().last().map(|referral| referral.version),
                    _ => store.referral(&owner, id(0)).await.unwrap().map(|referral| referral.version),
                };
                let seen = seen.expect("it is there");
                assert!(seen >= floor, "read {seen} after {floor} was acknowledged");
                assert!(seen >= newest, "read {seen} after {newest}");
                newest = seen;
                reads += 1;
                let other = store.referral(&owner, id(1 + reads % 199)).await.unwrap();
                assert!(other.is_some());
                // A read that needs no thread never waits, and would leave the others none to run on.
                tokio::task::yield_now().await;
            }
            reads
        })
    });
    let readers = readers.collect::<Vec<_>>();
    for _ in 0..VERSIONS {
        current = next(&current);
        must(&*store, edit(current.clone())).await;
        acknowledged.store(current.version, Ordering::SeqCst);
    }
    done.store(true, Ordering::SeqCst);
    for reader in readers {
        assert!(reader.await.unwrap() > 0);
    }
}
