//! Opening, refusing and closing a data directory.

use rusqlite::Connection;

use super::super::{SqliteOptions, SqliteStore, schema};
use crate::conformance::samples::*;
use crate::{Store, StoreError};

fn open(directory: &std::path::Path) -> Result<SqliteStore, StoreError> {
    SqliteStore::open(directory, SqliteOptions::default())
}

#[tokio::test]
async fn a_missing_directory_is_made_for_its_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("a").join("b");
    let store = open(&directory).unwrap();
    assert!(directory.join("cosell.db").is_file());
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&directory.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o700);
    }
    store.close().await;
    assert!(!directory.join("cosell.db-wal").exists(), "closing leaves one file, which can be copied");
}

#[cfg(unix)]
#[tokio::test]
async fn in_a_directory_open_to_others_the_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let store = open(directory.path()).unwrap();
    store.commit(creation(a_referral(&organization(1), 0))).await.unwrap();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{entry:?}");
        names.push(entry.file_name());
    }
    assert!(names.len() >= 3, "database, log and lock: {names:?}");
    store.close().await;
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_an_error() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = open(&file.join("data")).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(error.contains("data directory") && error.contains("file"), "{error}");
}

#[tokio::test]
async fn a_directory_has_one_holder_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    let second = open(directory.path()).err();
    assert!(matches!(&second, Some(StoreError::InUse(_))), "{second:?}");
    store.close().await;
    drop(open(directory.path()).unwrap());
    drop(open(directory.path()).unwrap());
    drop(store);
}

#[test]
fn a_newer_directory_is_refused_and_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("cosell.db");
    let newer = Connection::open(&file).unwrap();
    newer.execute_batch("CREATE TABLE tomorrow (x); PRAGMA user_version = 999").unwrap();
    newer.close().unwrap();
    let before = std::fs::read(&file).unwrap();
    let error = open(directory.path()).err();
    assert!(matches!(error, Some(StoreError::TooNew { found: 999, .. })), "{error:?}");
    assert_eq!(std::fs::read(&file).unwrap(), before);
    let names = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.filter(|name| name != "lock").collect::<Vec<_>>(), ["cosell.db"]);
}

/// Every version there ever was opens; a file of each is made from the migrations of its day.
#[tokio::test]
async fn a_damaged_database_is_named_when_it_is_opened() {
    let directory = tempfile::tempdir().unwrap();
    open(directory.path()).unwrap().close().await;
    let database = directory.path().join("cosell.db");
    let whole = std::fs::read(&database).unwrap();
    // The file's header, and that of its first page, which says where the tables are.
    for (at, words) in [(0, "not a database"), (100, "malformed")] {
        let mut damaged = whole.clone();
        damaged[at..at + 8].fill(0xA5);
        std::fs::write(&database, damaged).unwrap();
        let error = open(directory.path()).map(drop).unwrap_err().to_string();
        assert!(error.contains(&format!("{}: ", database.display())) && error.contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_directory_of_every_older_version_opens() {
    for version in 0..=schema::MIGRATIONS.len() {
        let directory = tempfile::tempdir().unwrap();
        let mut old = Connection::open(directory.path().join("cosell.db")).unwrap();
        schema::migrate(&mut old, &schema::MIGRATIONS[..version]).unwrap();
        old.close().unwrap();
        let store = open(directory.path()).unwrap();
        created(&store, a_referral(&organization(1), 1)).await;
        assert_eq!(store.count(&all_of(&organization(1))).await.unwrap(), 1, "from version {version}");
    }
}

#[tokio::test]
async fn lists_follow_their_indexes_without_sorting() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path()).unwrap();
    for (sql, index) in [
        (
            "SELECT created, id FROM referral WHERE owner = x'01' AND offer_lead = 0 AND created < 5
             ORDER BY created DESC, id LIMIT 9",
            "referral_newest_first",
        ),
        (
            "SELECT created, id FROM team_member WHERE owner = x'01' AND email = 'a' AND offer_lead = 0
             ORDER BY created DESC, id LIMIT 9",
            "PRIMARY KEY",
        ),
        ("SELECT * FROM referral WHERE engagement = x'01' ORDER BY created, id", "referral_of_engagement"),
        (
            "SELECT * FROM referral WHERE status = 1 AND expires IS NOT NULL AND expires <= 5 ORDER BY expires, id",
            "referral_expiring",
        ),
        (
            "SELECT * FROM change_log WHERE organization = x'01' AND position > 3 ORDER BY position LIMIT 9",
            "change_log_of_organization",
        ),
    ] {
        let explain = format!("EXPLAIN QUERY PLAN {sql}");
        let plan: Vec<String> = store
            .readers
            .read(move |connection| {
                connection.prepare(&explain)?.query_map([], |row| row.get::<_, String>("detail"))?.collect()
            })
            .await
            .unwrap();
        assert!(plan.len() == 1 && plan[0].contains("SEARCH") && plan[0].contains(index), "{sql}: {plan:?}");
    }
}

#[tokio::test]
async fn a_statement_that_fails_takes_nobody_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = std::sync::Arc::new(open(directory.path()).unwrap());
    let owner = organization(1);
    let tasks = (0..60_u64).map(|number| {
        let (store, change) = (store.clone(), creation(a_referral(&owner, number)));
        tokio::spawn(async move {
            if number % 3 == 0 {
                let broken = |connection: &Connection| {
                    connection.execute("INSERT INTO setting (name, value) VALUES ('x', x'00')", [])?;
                    connection.execute("INSERT INTO setting (name, value) VALUES (NULL, x'00')", [])?;
                    Ok(0)
                };
                store.write(broken).await.map(drop)
            } else {
                store.commit(change).await.map(drop)
            }
        })
    });
    for (number, task) in tasks.collect::<Vec<_>>().into_iter().enumerate() {
        let outcome = task.await.unwrap();
        assert_eq!(outcome.is_ok(), number % 3 != 0, "{number}: {outcome:?}");
    }
    assert!(store.health().is_ok());
    assert_eq!(store.setting("x").await.unwrap(), None);
    assert_eq!(store.count(&all_of(&owner)).await.unwrap(), 40);
    let log = store.log(&owner, 0, 100).await.unwrap();
    assert_eq!(log.iter().map(|entry| entry.position).collect::<Vec<_>>(), (1..=40).collect::<Vec<_>>());
}
