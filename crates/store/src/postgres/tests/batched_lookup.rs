//! Reads that share a statement, and texts as their columns hold them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio_postgres::NoTls;

use super::super::{PostgresOptions, PostgresStore};
use super::database::Database;
use crate::conformance::samples::*;
use crate::{Change, CommitOutcome, Store, StoreError, StoredReferral};

async fn open(database: &Database, options: PostgresOptions) -> Arc<PostgresStore> {
    Arc::new(PostgresStore::open(&database.address(), options).await.unwrap())
}

async fn number(database: &Database, sql: &str) -> i64 {
    let (client, connection) = tokio_postgres::connect(&database.address(), NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let found = client.query_one(sql, &[]).await.unwrap().get(0);
    connection.abort();
    found
}

/// Holds a lock on a table until it is dropped; answers wait for it.
async fn locked(database: &Database, table: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(&database.address(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute(&format!("BEGIN; LOCK TABLE {table}")).await.unwrap();
    client
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_reads_than_a_statement_takes_each_have_their_own_row_or_none() {
    let database = Database::new();
    let store = open(&database, PostgresOptions::default()).await;
    let owner = organization(1);
    let creations = (0..300).map(|number| creation(a_referral(&owner, number)));
    assert!(matches!(store.commit_all(creations.collect()).await.unwrap(), crate::AllOrNone::All(_)));
    let lock = locked(&database, "referral").await;
    // Twice each, and as many that are not there; nothing is answered before all are asked.
    let reads = (0..600).chain(0..600).map(|number| {
        let (store, owner) = (Arc::clone(&store), owner.clone());
        tokio::spawn(async move { (number, store.referral(&owner, id(number)).await.unwrap()) })
    });
    let reads: Vec<_> = reads.collect();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(store.metrics().pool.unwrap().in_use <= 4, "a thousand reads do not take every connection");
    drop(lock);
    for read in join_all(reads).await {
        let (number, found) = read.unwrap();
        assert_eq!(found.map(|found| found.id), (number < 300).then(|| id(number)));
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_no_statement_takes_in_time_is_told_so() {
    let database = Database::new();
    let wait = Duration::from_millis(300);
    let store = open(&database, PostgresOptions { wait, ..PostgresOptions::default() }).await;
    let first = created(&*store, a_referral(&organization(1), 1)).await;
    let lock = locked(&database, "referral").await;
    let read = |number| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { store.referral(&organization(1), id(number)).await })
    };
    // One after the other takes a statement that hangs, until no more are sent.
    let mut hanging = Vec::new();
    for number in 1..=4 {
        hanging.push(read(number));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let refused = read(9).await.unwrap();
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(store.metrics().pool.unwrap().unavailable, 1);
    drop(lock);
    let mut found = Vec::new();
    for read in hanging {
        found.push(read.await.unwrap().unwrap().map(|found| (*found).clone()));
    }
    assert_eq!(found, [Some(first), None, None, None]);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_document_is_the_trouble_of_who_reads_it_alone() {
    let database = Database::new();
    let store = open(&database, PostgresOptions::default()).await;
    let owner = organization(1);
    let whole = created(&*store, a_referral(&owner, 1)).await;
    created(&*store, a_referral(&owner, 2)).await;
    let sql = "WITH damaged AS (
         UPDATE referral SET document = '\\x0128b52ffd07' WHERE created = (SELECT max(created) FROM referral)
         RETURNING 1
       )
       SELECT count(*) FROM damaged";
    assert_eq!(number(&database, sql).await, 1);
    let (one, other) = tokio::join!(store.referral(&owner, id(1)), store.referral(&owner, id(2)));
    assert_eq!(*one.unwrap().unwrap(), whole);
    assert!(other.unwrap_err().to_string().contains("damaged"));
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_are_compressed_in_their_columns_and_are_read_as_either_was_written() {
    let database = Database::new();
    let plain = PostgresOptions { compression: false, ..PostgresOptions::default() };
    let (owner, mut longer) = (organization(1), a_referral(&organization(1), 2));
    longer.document = format!(r#"{{"notes":"{}"}}"#, "Fabrikam asks for a workshop. ".repeat(40)).into();
    let mut same = longer.clone();
    same.id = id(3);
    let answered = |number| {
        let mut given = idempotency_record(&owner, number, at(1));
        given.answer.content = longer.document.clone();
        Change { write: None, guards: Vec::new(), answer: Some(given) }
    };
    for (options, referral, number) in [(plain, &longer, 1), (PostgresOptions::default(), &same, 2)] {
        let store = open(&database, options).await;
        created(&*store, referral.clone()).await;
        assert_eq!(store.commit(answered(number)).await.unwrap(), CommitOutcome::Committed(None));
        // As most answers do, it ends with the document that is written beside it.
        let mut beside = idempotency_record(&owner, 10 + number, at(1));
        beside.answer.content = [&b"200 "[..], &referral.document].concat().into();
        let changed = StoredReferral { version: 2, ..referral.clone() };
        let write = Change { answer: Some(beside), ..edit(changed) };
        assert_eq!(store.commit(write).await.unwrap(), CommitOutcome::Committed(Some(2 * u64::from(number))));
        store.close().await;
    }
    let lengths = "SELECT count(*) FROM referral WHERE length(document) < 200";
    assert_eq!(number(&database, lengths).await, 1, "one of two");
    assert_eq!(
        number(&database, "SELECT count(*) FROM answer WHERE length(content) < 200").await,
        2,
        "of four"
    );
    let store = open(&database, PostgresOptions::default()).await;
    for referral in [&longer, &same] {
        let found = stored(&*store, referral.id).await.unwrap();
        assert_eq!(found.document, longer.document);
    }
    for number in [1, 2] {
        let found = store.stored_response(&key(&owner, number), at(0)).await.unwrap().unwrap();
        assert_eq!(found.content, longer.document);
        // And so is what a repeat of the change is told.
        let again = store.commit(answered(number)).await.unwrap();
        assert_eq!(again, CommitOutcome::Replayed(found));
        let beside = store.stored_response(&key(&owner, 10 + number), at(0)).await.unwrap().unwrap();
        assert_eq!(beside.content, [&b"200 "[..], &longer.document].concat());
    }
    store.close().await;
}

/// What was damaged costs the one referral that it was of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_document_is_told_and_stops_nobody_else() {
    let database = Database::new();
    let store = open(&database, PostgresOptions::default()).await;
    let owner = organization(1);
    for number in 1..=3 {
        let mut referral = a_referral(&owner, number);
        let name = "Fabrikam, Contoso. ".repeat(20);
        let text = format!(r#"{{"id":"{}","number":{number},"name":"{name}"}}"#, id(number));
        referral.document = bytes::Bytes::from(text);
        must(&*store, creation(referral)).await;
    }
    let (client, connection) = tokio_postgres::connect(&database.address(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let damage = "UPDATE referral
         SET document = set_byte(document, 20, get_byte(document, 20) # 1)
         WHERE id = $1
           AND length(document) < 200";
    assert_eq!(client.execute(damage, &[&&id(2).as_bytes()[..]]).await.unwrap(), 1, "it was compressed");

    let refused = store.referral(&owner, id(2)).await;
    assert!(matches!(&refused, Err(StoreError::Engine(why)) if why.contains("damaged")), "{refused:?}");
    let ids = |found: Vec<Arc<StoredReferral>>| found.iter().map(|found| found.id).collect::<Vec<_>>();
    assert_eq!(ids(store.list(&all_of(&owner)).await.unwrap()), [id(3), id(1)]);
    assert_eq!(ids(store.engagement(engagement(1), &owner).await.unwrap()), [id(1), id(3)]);
    // Among an engagement's members it has its place, so that whoever may see it can be told.
    let members = store.engagement_members(engagement(1), None, 10).await.unwrap();
    let documents: Vec<_> = members.iter().map(|member| (member.id, member.document.is_empty())).collect();
    assert_eq!(documents, [(id(1), false), (id(2), true), (id(3), false)]);
    crate::conformance::queries::what_cannot_be_read_is_told(&*store).await;
    // A page with it is short, and says so: more may follow.
    let mut two = all_of(&owner).query(2, crate::CountMode::No);
    let page = store.query(&two).await.unwrap();
    assert_eq!((page.referrals.len(), page.left_out), (1, 1));
    two.after = Some(page.referrals[0].1.clone());
    let rest = store.query(&two).await.unwrap();
    assert_eq!((rest.referrals.len(), rest.left_out), (1, 1));
    // The next version makes it well.
    let before = store.list(&all_of(&owner)).await.unwrap()[0].clone();
    must(&*store, edit(next(&StoredReferral { id: id(2), ..(*before).clone() }))).await;
    assert_eq!(ids(store.list(&all_of(&owner)).await.unwrap()).len(), 3);
    store.close().await;
}
