//! Bulk loading, into an empty store and into one in use.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::{BulkReport, SqliteOptions, SqliteStore};
use crate::conformance::samples::*;
use crate::{Action, Entry, Store, StoreError, StoredReferral, Write};

fn open(directory: &std::path::Path) -> SqliteStore {
    SqliteStore::open(directory, SqliteOptions::default()).unwrap()
}

fn imported(number: u64) -> Write {
    let mut referral = a_referral(&organization((number % 3) as u8), number);
    referral.columns.team = vec!["a@x.example".to_owned()];
    referral.columns.expires = Some(at(1000 + number as i64));
    let entry = Entry { actor: None, ..news(Action::Imported, &referral) };
    let search = words_of(&referral);
    Write { referral, decided_on: None, entry, search: Some(search) }
}

fn batches(numbers: std::ops::Range<u64>) -> impl Iterator<Item = Vec<Write>> {
    let all: Vec<_> = numbers.map(imported).collect();
    all.chunks(7).map(<[_]>::to_vec).collect::<Vec<_>>().into_iter()
}

async fn check_whole(store: &SqliteStore, count: u64) {
    for owner in [0, 1, 2].map(organization) {
        let expected: Vec<_> =
            (0..count).rev().filter(|number| organization((number % 3) as u8) == owner).map(id).collect();
        assert_eq!(ids(store, &ListQuery { limit: usize::MAX, ..all_of(&owner) }).await, expected);
        let team = ListQuery { team: Some(vec!["a@x.example".to_owned()]), ..all_of(&owner) };
        assert_eq!(store.count(&team).await.unwrap(), expected.len() as u64);
        let log = store.log(&owner, 0, usize::MAX).await.unwrap();
        let told: Vec<_> = log.iter().map(|entry| entry.position).collect();
        assert_eq!(told, (1..=expected.len() as u64).collect::<Vec<_>>());
        assert_eq!(store.engagement(engagement(1), &owner).await.unwrap().len(), expected.len());
    }
    assert_eq!(store.next_expiry().await.unwrap(), Some(at(1000)));
}

#[tokio::test]
async fn an_empty_store_is_loaded_and_keeps_what_else_it_held() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.save_setting("key", b"value").await.unwrap();
    let given = idempotency_record(&organization(1), 1, at(0));
    let alone = crate::Change { write: None, guards: Vec::new(), answer: Some(given.clone()) };
    store.commit(alone).await.unwrap();

    let seen = Arc::new(AtomicU64::new(0));
    let hears = seen.clone();
    let twice = batches(0..100).chain(batches(0..10));
    let report = store.bulk_load(twice, move |count| hears.store(count, Ordering::SeqCst)).await.unwrap();
    assert_eq!(report, BulkReport { loaded: 100, skipped_existing: 10 });
    assert_eq!(seen.load(Ordering::SeqCst), 110);
    check_whole(&store, 100).await;

    // The store goes on as if nothing had happened.
    let first = imported(0).referral;
    assert_eq!(must(&store, edit(next(&first))).await, 35);
    store.close().await;
    let store = open(directory.path());
    assert_eq!(store.setting("key").await.unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!(store.stored_response(&given.key, at(0)).await.unwrap(), Some(given.answer));
    assert_eq!(stored(&store, first.id).await, Some(next(&first)));
    let indexes = store
        .readers
        .read(|connection| {
            connection
                .prepare(
                    "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name",
                )?
                .query_map([], |row| row.get::<_, String>(0))?
                .collect::<Result<Vec<_>, _>>()
        })
        .await;
    assert_eq!(
        indexes.unwrap(),
        [
            "answer_oldest_first",
            "change_log_of_organization",
            "referral_by_class",
            "referral_by_country",
            "referral_by_standing",
            "referral_expiring",
            "referral_last_updated",
            "referral_newest_first",
            "referral_not_searchable",
            "referral_of_engagement"
        ]
    );
}

#[tokio::test]
async fn a_store_in_use_is_added_to_and_what_is_there_is_skipped() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let mine = imported(0).referral;
    let mine =
        created(&store, StoredReferral { document: bytes::Bytes::from_static(b"{\"mine\":1}"), ..mine })
            .await;
    let report = store.bulk_load(batches(0..60), |_| ()).await.unwrap();
    assert_eq!(report, BulkReport { loaded: 59, skipped_existing: 1 });
    let report = store.bulk_load(batches(30..100), |_| ()).await.unwrap();
    assert_eq!(report, BulkReport { loaded: 40, skipped_existing: 30 });
    assert_eq!(stored(&store, mine.id).await, Some(mine));
    check_whole(&store, 100).await;
}

#[tokio::test]
async fn reads_and_writes_beside_a_load_wait_and_succeed() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(open(directory.path()));
    let (step, steps) = std::sync::mpsc::channel::<()>();
    let paced = batches(0..100).inspect(move |_| steps.recv().unwrap_or_default());
    let loading = tokio::spawn({
        let store = store.clone();
        async move { store.bulk_load(paced, |_| ()).await }
    });
    let mut beside = Vec::new();
    for number in 0..15 {
        step.send(()).unwrap();
        let store = store.clone();
        beside.push(tokio::spawn(async move {
            must(&*store, creation(a_referral(&organization(9), 1000 + number))).await;
            store.find_referral(id(1000 + number)).await.unwrap().is_some()
        }));
        tokio::task::yield_now().await;
    }
    let report = loading.await.unwrap().unwrap();
    assert_eq!((report.loaded, report.skipped_existing), (100, 0));
    for each in beside {
        assert!(each.await.unwrap());
    }
    assert_eq!(store.count(&all_of(&organization(9))).await.unwrap(), 15);
    assert_eq!(store.count(&all_of(&organization(0))).await.unwrap(), 34);
}

/// A load that dies has loaded nothing, and its leftover is removed by the next opening.
#[tokio::test]
async fn a_load_that_was_cut_off_leaves_an_empty_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    store.save_setting("key", b"value").await.unwrap();
    let dying = batches(0..50).chain(std::iter::once_with(|| panic!("the source of the rows breaks")));
    let error = store.bulk_load(dying, |_| ()).await.unwrap_err();
    assert!(matches!(error, StoreError::WritesStopped(_)), "{error}");
    assert!(directory.path().join("cosell.db.loading").exists(), "as a killed process would leave it");
    drop(store);
    let store = open(directory.path());
    assert!(!directory.path().join("cosell.db.loading").exists());
    assert_eq!(store.setting("key").await.unwrap().as_deref(), Some(&b"value"[..]));
    assert_eq!(store.count(&all_of(&organization(0))).await.unwrap(), 0);
    store.bulk_load(batches(0..100), |_| ()).await.unwrap();
    check_whole(&store, 100).await;
}
