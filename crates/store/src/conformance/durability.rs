//! Closing and opening again.

use std::sync::Arc;

use super::Engine;
use super::samples::*;
use crate::{Assignment, Change, CommitOutcome, Role, StoreError};

/// A second opening finds everything the first one acknowledged, and counts on.
pub async fn everything_is_there_after_reopening(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    let given = idempotency_record(&owner, 1, at(5));
    let mut first = a_referral(&owner, 1);
    first.columns.expires = Some(at(9));
    first.columns.team = vec!["a@x.example".to_owned()];
    must(&*store, Change { answer: Some(given.clone()), ..creation(first.clone()) }).await;
    let second = next(&first);
    must(&*store, edit(second.clone())).await;
    store.save_setting("key", b"value").await.unwrap();
    let role = Assignment {
        organization: owner.clone(),
        identity: "a@x.example".to_owned(),
        role: Role::ReferralUser,
    };
    store.save_assignment(&role).await.unwrap();
    let log = store.log(&owner, 0, 10).await.unwrap();
    store.close().await;
    drop(store);

    let store = engine.open().await;
    assert_eq!(stored(&*store, first.id).await, Some(second.clone()));
    assert_eq!(store.log(&owner, 0, 10).await.unwrap(), log);
    assert_eq!(store.stored_response(&given.key, at(5)).await.unwrap(), Some(given.answer));
    assert_eq!(store.setting("key").await.unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!(store.assignments().await.unwrap(), [role]);
    assert_eq!(store.next_expiry().await.unwrap(), Some(at(9)));
    assert_eq!(ids(&*store, &all_of(&owner)).await, [first.id]);
    assert_eq!(must(&*store, edit(next(&second))).await, 3);
}

/// After [`crate::Store::close`] every call says [`crate::StoreError::Closed`].
pub async fn a_closed_store_says_so_and_closing_twice_is_well(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    created(&*store, a_referral(&owner, 1)).await;
    assert!(store.health().is_ok());
    store.close().await;
    store.close().await;
    let refused = store.commit(creation(a_referral(&owner, 2))).await;
    assert!(matches!(refused, Err(StoreError::Closed)), "{refused:?}");
    let refused = store.find_referral(id(1)).await;
    assert!(matches!(refused, Err(StoreError::Closed)), "{refused:?}");
    let refused = store.save_setting("key", b"value").await;
    assert!(matches!(refused, Err(StoreError::Closed)), "{refused:?}");
}

/// Closing amid commits: each is acknowledged and there afterwards, or refused and not there.
pub async fn what_was_accepted_before_closing_is_done(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    created(&*store, a_referral(&owner, 0)).await;
    let commits = (1..=200).map(|number| {
        let (store, change) = (Arc::clone(&store), creation(a_referral(&owner, number)));
        tokio::spawn(async move { (number, store.commit(change).await) })
    });
    let commits = commits.collect::<Vec<_>>();
    tokio::task::yield_now().await;
    store.close().await;
    let mut kept = vec![id(0)];
    for commit in commits {
        match commit.await.unwrap() {
            (number, Ok(CommitOutcome::Committed(_))) => kept.push(id(number)),
            (_, Err(StoreError::Closed)) => {}
            other => panic!("{other:?}"),
        }
    }
    drop(store);
    let store = engine.open().await;
    let mut there = ids(&*store, &all_of(&owner)).await;
    there.sort_unstable();
    assert_eq!(there, kept);
}
