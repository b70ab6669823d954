//! Remembered answers.

use super::Engine;
use super::samples::*;
use crate::{Change, CommitOutcome, IdempotencyRecord};

fn alone(answer: IdempotencyRecord) -> Change {
    Change { write: None, guards: Vec::new(), answer: Some(answer) }
}

/// [`crate::Store::answer`]: `since` is the oldest that still counts.
pub async fn an_answer_comes_back_until_it_is_too_old(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    let given = idempotency_record(&owner, 7, at(100));
    let change = Change { answer: Some(given.clone()), ..creation(a_referral(&owner, 1)) };
    must(&*store, change).await;
    for (since, counts) in [(99, true), (100, true), (101, false)] {
        let answer = store.stored_response(&given.key, at(since)).await.unwrap();
        assert_eq!(answer, counts.then(|| given.answer.clone()), "since {since}");
    }
    assert_eq!(store.stored_response(&key(&owner, 8), at(0)).await.unwrap(), None);
}

/// [`crate::CommitOutcome::Replayed`] brings the first answer, and the second change is not made.
pub async fn an_answered_request_writes_nothing_more(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    let given = idempotency_record(&owner, 7, at(100));
    must(&*store, Change { answer: Some(given.clone()), ..creation(a_referral(&owner, 1)) }).await;
    let mut other = idempotency_record(&owner, 7, at(101));
    other.answer.status = 500;
    let again = Change { answer: Some(other), ..creation(a_referral(&owner, 2)) };
    assert_eq!(store.commit(again).await.unwrap(), CommitOutcome::Replayed(given.answer.clone()));
    assert_eq!(stored(&*store, id(2)).await, None);
    assert_eq!(store.log(&owner, 0, 10).await.unwrap().len(), 1);
    assert_eq!(store.stored_response(&given.key, at(0)).await.unwrap(), Some(given.answer));
}

/// A change without a write remembers its answer and appends nothing.
pub async fn an_answer_alone_is_kept_without_news(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    let given = idempotency_record(&owner, 7, at(100));
    assert_eq!(store.commit(alone(given.clone())).await.unwrap(), CommitOutcome::Committed(None));
    assert_eq!(store.stored_response(&given.key, at(0)).await.unwrap(), Some(given.answer));
    assert_eq!(store.log(&owner, 0, 10).await.unwrap(), []);
}

/// The organization belongs to the key.
pub async fn the_same_digest_of_another_organization_is_another_request(engine: &dyn Engine) {
    let store = engine.open().await;
    for number in [1, 2] {
        let mut given = idempotency_record(&organization(number), 7, at(100));
        given.answer.status = 200 + u16::from(number);
        assert_eq!(store.commit(alone(given)).await.unwrap(), CommitOutcome::Committed(None));
    }
    for number in [1, 2] {
        let answer = store.stored_response(&key(&organization(number), 7), at(0)).await.unwrap();
        assert_eq!(answer.map(|answer| answer.status), Some(200 + u16::from(number)));
    }
}

/// [`crate::Store::forget_responses`]: those before the instant, at most 1,000 a call.
pub async fn at_most_a_thousand_answers_are_forgotten_at_once(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    let commits = (0..1205).map(|number| {
        let given = idempotency_record(&owner, number, at(if number < 1200 { 0 } else { 50 }));
        let store = std::sync::Arc::clone(&store);
        tokio::spawn(async move { store.commit(alone(given)).await })
    });
    for commit in commits.collect::<Vec<_>>() {
        assert_eq!(commit.await.unwrap().unwrap(), CommitOutcome::Committed(None));
    }
    for (before, forgotten) in [(0, 0), (50, 1000), (50, 200), (50, 0), (51, 5), (51, 0)] {
        assert_eq!(store.forget_responses(at(before)).await.unwrap(), forgotten, "before {before}");
    }
}

/// After forgetting, the key is free.
pub async fn a_forgotten_request_may_be_answered_anew(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    store.commit(alone(idempotency_record(&owner, 7, at(0)))).await.unwrap();
    assert_eq!(store.forget_responses(at(1)).await.unwrap(), 1);
    assert_eq!(store.stored_response(&key(&owner, 7), at(-1)).await.unwrap(), None);
    let anew = idempotency_record(&owner, 7, at(2));
    assert_eq!(store.commit(alone(anew.clone())).await.unwrap(), CommitOutcome::Committed(None));
    assert_eq!(store.stored_response(&anew.key, at(2)).await.unwrap(), Some(anew.answer));
}
