//! Disks that fail.

use std::time::{Duration, Instant};

use super::super::faults::{FaultyDisk, Part};
use super::super::{SqliteOptions, SqliteStore};
use crate::conformance::samples::*;
use crate::{CommitOutcome, Store, StoreError};

fn on(disk: &FaultyDisk) -> SqliteOptions {
    // What is written is as long as it is, and no shorter.
    SqliteOptions { vfs: Some(disk.name().to_owned()), compression: false, ..SqliteOptions::default() }
}

#[tokio::test]
async fn a_commit_syncs_the_log_before_it_is_acknowledged() {
    let disk = FaultyDisk::register("counting");
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path(), on(disk)).unwrap();
    for number in 0..5 {
        let before = disk.syncs(Part::Log);
        must(&store, creation(a_referral(&organization(1), number))).await;
        assert!(disk.syncs(Part::Log) > before);
    }
    let before = disk.syncs(Part::Log);
    assert_eq!(
        store.commit(creation(a_referral(&organization(1), 0))).await.unwrap(),
        CommitOutcome::VersionConflict
    );
    assert_eq!(disk.syncs(Part::Log), before, "what writes nothing costs no sync");
}

#[tokio::test]
async fn a_failed_fsync_stops_writes_for_good_and_reads_go_on() {
    let disk = FaultyDisk::register("failing-sync");
    let directory = tempfile::tempdir().unwrap();
    let owner = organization(1);
    let store = SqliteStore::open(directory.path(), on(disk)).unwrap();
    let first = created(&store, a_referral(&owner, 1)).await;
    assert!(store.health().is_ok());

    disk.fail_syncs(Part::Log, true);
    let refused = store.commit(edit(next(&first))).await;
    assert!(matches!(&refused, Err(StoreError::WritesStopped(why)) if why.contains("commit")), "{refused:?}");
    assert!(matches!(store.health(), Err(StoreError::WritesStopped(_))));
    assert_eq!(stored(&store, first.id).await, Some(first.clone()), "what was not acknowledged is not shown");
    assert_eq!(store.count(&all_of(&owner)).await.unwrap(), 1);

    // The disk recovers; nobody knows what it lost meanwhile, so the process does not go on.
    disk.fail_syncs(Part::Log, false);
    let syncs = (disk.syncs(Part::Log), disk.syncs(Part::Database));
    for refused in [
        store.commit(edit(next(&first))).await.map(drop),
        store.save_setting("key", b"value").await,
        store.forget_responses(at(0)).await.map(drop),
    ] {
        assert!(matches!(refused, Err(StoreError::WritesStopped(_))), "{refused:?}");
    }
    assert_eq!(stored(&store, first.id).await, Some(first.clone()));
    store.close().await;
    assert_eq!((disk.syncs(Part::Log), disk.syncs(Part::Database)), syncs, "closing touches nothing");

    // What was acknowledged is there; what was not may be.
    let store = SqliteStore::open(directory.path(), on(disk)).unwrap();
    let version = stored(&store, first.id).await.map(|referral| referral.version);
    let log = store.log(&owner, 0, 10).await.unwrap();
    assert!(version == Some(1) || version == Some(2), "{version:?}");
    assert_eq!(Some(log.len() as u64), version, "state and news agree");
}

#[tokio::test]
async fn everyone_in_a_failed_group_is_told() {
    let disk = FaultyDisk::register("failing-group");
    let directory = tempfile::tempdir().unwrap();
    let store = std::sync::Arc::new(SqliteStore::open(directory.path(), on(disk)).unwrap());
    disk.fail_syncs(Part::Log, true);
    let commits = (0..50).map(|number| {
        let (store, change) = (store.clone(), creation(a_referral(&organization(1), number)));
        tokio::spawn(async move { store.commit(change).await })
    });
    for commit in commits.collect::<Vec<_>>() {
        let refused = commit.await.unwrap();
        assert!(matches!(refused, Err(StoreError::WritesStopped(_))), "{refused:?}");
    }
    assert_eq!(store.count(&all_of(&organization(1))).await.unwrap(), 0);
}

/// A small change meets the full disk in its commit; a large one, which outgrows the page cache, in a statement.
#[tokio::test]
async fn a_full_disk_stops_writes_and_loses_nothing() {
    for (name, bytes, what) in [("full-commit", 10, "a commit"), ("full-statement", 8 << 20, "a write")] {
        let disk = FaultyDisk::register(name);
        let directory = tempfile::tempdir().unwrap();
        let owner = organization(1);
        let store = SqliteStore::open(directory.path(), on(disk)).unwrap();
        let first = created(&store, a_referral(&owner, 1)).await;
        disk.fail_writes(Part::Log, true);
        let mut second = a_referral(&owner, 2);
        second.document = bytes::Bytes::from(vec![b'x'; bytes]);
        let refused = store.commit(creation(second.clone())).await;
        assert!(
            matches!(&refused, Err(StoreError::WritesStopped(why)) if why.contains(what)),
            "{name}: {refused:?}"
        );
        assert!(store.health().is_err());
        store.close().await;
        disk.fail_writes(Part::Log, false);
        let store = SqliteStore::open(directory.path(), on(disk)).unwrap();
        assert_eq!(ids(&store, &all_of(&owner)).await, [first.id]);
        must(&store, creation(second)).await;
    }
}

/// SQLite's automatic checkpoint would swallow this error, and reuse a log whose pages the disk may have lost.
#[tokio::test]
async fn a_failed_fsync_in_a_checkpoint_stops_writes() {
    let disk = FaultyDisk::register("failing-checkpoint");
    let directory = tempfile::tempdir().unwrap();
    let owner = organization(1);
    let store = SqliteStore::open(directory.path(), on(disk)).unwrap();
    disk.fail_syncs(Part::Database, true);
    let syncs = disk.syncs(Part::Database);
    let mut acknowledged = Vec::new();
    let why = loop {
        let mut referral = a_referral(&owner, acknowledged.len() as u64);
        referral.document = bytes::Bytes::from(vec![b'x'; 1 << 18]);
        match store.commit(creation(referral)).await {
            Ok(_) => acknowledged.push(id(acknowledged.len() as u64)),
            Err(error) => break error,
        }
        assert!(acknowledged.len() < 1000, "no checkpoint was made");
    };
    assert!(matches!(&why, StoreError::WritesStopped(why) if why.contains("checkpoint")), "{why}");
    assert_eq!(disk.syncs(Part::Database), syncs + 1, "the first failure is the last sync");
    store.close().await;
    disk.fail_syncs(Part::Database, false);
    let store = SqliteStore::open(directory.path(), on(disk)).unwrap();
    let mut there = ids(&store, &all_of(&owner)).await;
    there.sort_unstable();
    assert_eq!(there, acknowledged);
}

#[tokio::test]
async fn a_tool_that_holds_the_database_stops_no_write_but_those_that_wait_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let owner = organization(1);
    let options = SqliteOptions { busy: std::time::Duration::from_millis(20), ..SqliteOptions::default() };
    let store = SqliteStore::open(directory.path(), options).unwrap();
    let first = created(&store, a_referral(&owner, 1)).await;
    let tool = rusqlite::Connection::open(directory.path().join("cosell.db")).unwrap();
    tool.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = store.commit(edit(next(&first))).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(store.health().is_ok());
    assert_eq!(stored(&store, first.id).await, Some(first.clone()));
    tool.execute_batch("ROLLBACK").unwrap();
    must(&store, edit(next(&first))).await;
}

/// A bit that fell on the disk costs the one referral that it was of.
#[tokio::test]
async fn a_damaged_document_is_told_and_stops_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let owner = organization(1);
    let open = || SqliteStore::open(directory.path(), SqliteOptions::default()).unwrap();
    let store = open();
    for number in 1..=3 {
        let mut referral = a_referral(&owner, number);
        let name = "Fabrikam, Contoso. ".repeat(20);
        let text = format!(r#"{{"id":"{}","number":{number},"name":"{name}"}}"#, id(number));
        referral.document = bytes::Bytes::from(text);
        must(&store, creation(referral)).await;
    }
    store.close().await;
    let tool = rusqlite::Connection::open(directory.path().join("cosell.db")).unwrap();
    let (row, mut column): (i64, Vec<u8>) = tool
        .query_row("SELECT row, document FROM referral WHERE id = ?1", [id(2).as_bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    assert!(column.len() < 200, "it was compressed");
    let middle = column.len() / 2;
    column[middle] ^= 1;
    tool.execute("UPDATE referral SET document = ?1 WHERE row = ?2", rusqlite::params![column, row]).unwrap();
    drop(tool);

    let store = open();
    let refused = store.referral(&owner, id(2)).await;
    assert!(matches!(&refused, Err(StoreError::Engine(why)) if why.contains("damaged")), "{refused:?}");
    let shown = |found: Vec<std::sync::Arc<crate::StoredReferral>>| -> Vec<_> {
        found.iter().map(|referral| referral.id).collect()
    };
    assert_eq!(shown(store.list(&all_of(&owner)).await.unwrap()), [id(3), id(1)]);
    assert_eq!(shown(store.engagement(engagement(1), &owner).await.unwrap()), [id(1), id(3)]);
    // Among an engagement's members it has its place, so that whoever may see it can be told.
    let members = store.engagement_members(engagement(1), None, 10).await.unwrap();
    let documents: Vec<_> = members.iter().map(|member| (member.id, member.document.is_empty())).collect();
    assert_eq!(documents, [(id(1), false), (id(2), true), (id(3), false)]);
    let by_name = super::lists::asked("startswith(name,'Fabrikam')", "name");
    let found = store.query(&by_name).await.unwrap();
    assert_eq!(shown(found.referrals.into_iter().map(|(referral, _)| referral).collect()), [id(1), id(3)]);
    crate::conformance::queries::what_cannot_be_read_is_told(&store).await;
    // A page with it is short, and says so: more may follow.
    let mut two = all_of(&owner).query(2, crate::CountMode::No);
    let page = store.query(&two).await.unwrap();
    assert_eq!((page.referrals.len(), page.left_out), (1, 1));
    two.after = Some(page.referrals[0].1.clone());
    let rest = store.query(&two).await.unwrap();
    assert_eq!((rest.referrals.len(), rest.left_out), (1, 1));
    // The next version makes it well.
    let before = store.list(&all_of(&owner)).await.unwrap()[0].clone();
    let second = crate::StoredReferral { id: id(2), ..(*before).clone() };
    must(&store, edit(next(&second))).await;
    assert!(store.referral(&owner, id(2)).await.unwrap().is_some());
}

/// Another process that holds the database is waited for, and then told apart from a fault of the disk.
#[tokio::test]
async fn a_database_that_another_process_holds_is_unavailable_for_a_while() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions { busy: Duration::from_millis(10), ..SqliteOptions::default() };
    let store = SqliteStore::open(directory.path(), options).unwrap();
    let first = created(&store, a_referral(&organization(1), 1)).await;
    let other = rusqlite::Connection::open(directory.path().join("cosell.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for refused in [
        store.commit(edit(next(&first))).await.map(drop),
        store.commit_all(vec![edit(next(&first))]).await.map(drop),
        store.save_setting("key", b"value").await,
        store.forget_responses(at(0)).await.map(drop),
    ] {
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }
    assert!(store.health().is_ok(), "the disk is well");
    assert_eq!(stored(&store, first.id).await, Some(first.clone()));
    other.execute_batch("ROLLBACK").unwrap();
    must(&store, edit(next(&first))).await;
}

/// A long read from outside makes the log long. When it has ended and nobody writes, the log is cut.
#[tokio::test]
async fn a_log_that_a_long_read_made_long_is_cut_when_nothing_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions { compression: false, search: false, ..SqliteOptions::default() };
    let store = SqliteStore::open(directory.path(), options).unwrap();
    let mut referral = a_referral(&organization(1), 1);
    referral.document = vec![b'x'; 900_000].into();
    let mut last = created(&store, referral).await;
    let other = rusqlite::Connection::open(directory.path().join("cosell.db")).unwrap();
    other.execute_batch("BEGIN; SELECT count(*) FROM referral").unwrap();
    let log = || store.metrics().log_bytes.unwrap();
    while log() < 12 << 20 {
        last = next(&last);
        must(&store, edit(last.clone())).await;
    }
    other.execute_batch("ROLLBACK").unwrap();
    let begun = Instant::now();
    while log() > 0 {
        assert!(begun.elapsed() < Duration::from_secs(60), "{} bytes", log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(store.health().is_ok());
    must(&store, edit(next(&last))).await;
}
