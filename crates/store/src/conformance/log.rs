//! The change log: one entry per effective write, in order, without gaps.

use super::Engine;
use super::samples::*;
use crate::{Action, CommitOutcome, Entry, LogEntry};

/// Each organization counts for itself; refused changes and bare answers take no position.
pub async fn positions_count_from_one_without_gaps_per_organization(engine: &dyn Engine) {
    let store = engine.open().await;
    let (one, two) = (organization(1), organization(2));
    assert_eq!(must(&*store, creation(a_referral(&one, 1))).await, 1);
    assert_eq!(must(&*store, creation(a_referral(&two, 2))).await, 1);
    assert_eq!(store.commit(creation(a_referral(&one, 1))).await.unwrap(), CommitOutcome::VersionConflict);
    assert_eq!(must(&*store, edit(next(&a_referral(&one, 1)))).await, 2);
    assert_eq!(must(&*store, creation(a_referral(&one, 3))).await, 3);
    assert_eq!(must(&*store, creation(a_referral(&two, 4))).await, 2);
    for (organization, entries) in [(&one, vec![(1, 1), (1, 2), (3, 1)]), (&two, vec![(2, 1), (4, 1)])] {
        let log = store.log(organization, 0, 100).await.unwrap();
        let told: Vec<_> =
            log.iter().map(|entry| (entry.position, entry.referral_id, entry.version)).collect();
        let expected: Vec<_> = entries
            .into_iter()
            .zip(1..)
            .map(|((number, version), position)| (position, id(number), version))
            .collect();
        assert_eq!(told, expected);
    }
    assert_eq!(store.log(&organization(3), 0, 100).await.unwrap(), []);
}

/// Action, instant, actor and changes come back; the server itself is no actor.
pub async fn every_entry_says_what_it_was_given(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    let mut referral = a_referral(&owner, 1);
    let mut expected = Vec::new();
    for (position, action) in (1..).zip(Action::ALL) {
        let mut change = if position == 1 { creation(referral.clone()) } else { edit(referral.clone()) };
        let by_server = matches!(action, Action::Expired | Action::Imported);
        let mut entry = Entry { action, ..news(action, &referral) };
        entry.actor = entry.actor.filter(|_| !by_server);
        change.write.as_mut().expect("both write").entry = entry.clone();
        must(&*store, change).await;
        expected.push(LogEntry {
            position,
            organization: owner.clone(),
            referral_id: referral.id,
            engagement_id: referral.engagement_id,
            version: referral.version,
            entry,
        });
        referral = next(&referral);
    }
    assert_eq!(store.log(&owner, 0, 100).await.unwrap(), expected);
}

/// `after` and `limit` of [`crate::Store::log`].
pub async fn pages_of_the_log_join(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    for number in 1..=7 {
        created(&*store, a_referral(&owner, number)).await;
    }
    for (after, limit, told) in [
        (0, 3, vec![1, 2, 3]),
        (3, 3, vec![4, 5, 6]),
        (6, 3, vec![7]),
        (7, 3, vec![]),
        (u64::MAX, 3, vec![]),
        (0, 0, vec![]),
    ] {
        let page = store.log(&owner, after, limit).await.unwrap();
        assert_eq!(
            page.iter().map(|entry| entry.position).collect::<Vec<_>>(),
            told,
            "after {after}, at most {limit}"
        );
    }
}
