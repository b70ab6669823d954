//! Backups: what they are checked for. How they are made and put back is shown with the real program.

use std::path::Path;

use rusqlite::Connection;

use super::super::{BackupReport, SqliteOptions, SqliteStore, back_up, restore};
use crate::conformance::samples::*;
use crate::{Store, StoreError};

async fn filled(directory: &Path) {
    let store = SqliteStore::open(directory, SqliteOptions::default()).unwrap();
    for number in 0..20 {
        let referral = created(&store, a_referral(&organization((number % 2) as u8), number)).await;
        must(&store, edit(next(&referral))).await;
    }
    store.save_setting("key", b"value").await.unwrap();
    store.close().await;
}

fn backup(directory: &Path, file: &Path) -> Result<BackupReport, StoreError> {
    back_up(directory, file, &mut |_, _, _| ())
}

fn put_back(file: &Path, directory: &Path) -> Result<BackupReport, StoreError> {
    restore(file, directory, &mut |_, _, _| ())
}

fn said<T: std::fmt::Debug>(outcome: Result<T, StoreError>) -> String {
    outcome.unwrap_err().to_string()
}

#[tokio::test]
async fn a_record_that_was_changed_in_the_file_is_found_though_the_file_is_well() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("file"));
    filled(&data).await;
    let report = backup(&data, &file).unwrap();
    assert_eq!((report.referrals, report.digest.records), (20, 20 + 40 + 1));
    for change in [
        "UPDATE referral SET document = x'7b7d' WHERE row = 7",
        "UPDATE referral SET sender = owner WHERE row = 7",
        "UPDATE change_log SET changes = x'7b7d' WHERE sequence = 7",
        "UPDATE setting SET value = x'00'",
        "DELETE FROM setting",
        "UPDATE backup SET records = 60",
    ] {
        let changed = folder.path().join("changed");
        std::fs::copy(&file, &changed).unwrap();
        Connection::open(&changed).unwrap().execute_batch(change).unwrap();
        let new = folder.path().join("new");
        let error = said(put_back(&changed, &new));
        assert!(error.contains("no whole backup") && error.contains("come to"), "{change}: {error}");
        assert!(!new.join("cosell.db").exists());
    }
    let new = folder.path().join("new");
    assert_eq!(put_back(&file, &new).unwrap().digest, report.digest);
    let store = SqliteStore::open(&new, SqliteOptions::default()).unwrap();
    assert_eq!(store.setting("key").await.unwrap().as_deref(), Some(&b"value"[..]));
    let referral = stored(&store, id(3)).await.unwrap();
    assert_eq!(must(&store, edit(next(&referral))).await, 21);
}

#[test]
fn a_restore_of_what_is_no_file_makes_no_directory() {
    let folder = tempfile::tempdir().unwrap();
    let new = folder.path().join("new");
    for missing in [folder.path().join("missing"), folder.path().to_owned()] {
        let error = said(put_back(&missing, &new));
        assert!(error.contains(&format!("cannot read {}", missing.display())), "{error}");
        assert!(!new.exists(), "{error}");
    }
}

#[tokio::test]
async fn data_that_do_not_agree_make_no_backup() {
    for (damage, words) in [
        ("DELETE FROM change_log WHERE sequence = 40", "news of a referral"),
        ("UPDATE change_log SET version = 9 WHERE sequence = 40", "news of a referral"),
        ("DELETE FROM referral WHERE row = 7", "news of a referral"),
        ("DELETE FROM change_log WHERE sequence = 5", "gaps"),
        ("UPDATE tally SET n = n + 1", "kept counts"),
        ("PRAGMA writable_schema = ON; UPDATE sqlite_schema SET rootpage = 3 WHERE name = 'referral'", ""),
        ("PRAGMA user_version = 0", "cosell migrate"),
        ("PRAGMA user_version = 999", "999"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (data, file) = (folder.path().join("data"), folder.path().join("file"));
        filled(&data).await;
        Connection::open(data.join("cosell.db")).unwrap().execute_batch(damage).unwrap();
        let error = said(backup(&data, &file));
        assert!(error.contains(words), "{damage}: {error}");
        let names: Vec<_> =
            std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["data"], "{damage}: nothing has a name, nor is anything left");
    }
}

#[tokio::test]
async fn a_backup_of_an_unfinished_load_or_to_a_file_that_is_being_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("file"));
    filled(&data).await;
    let part = std::fs::File::create(folder.path().join("file.part")).unwrap();
    part.try_lock().unwrap();
    assert!(said(backup(&data, &file)).contains("another process"));
    drop(part);
    std::fs::write(data.join("cosell.db.loading"), "").unwrap();
    assert!(said(backup(&data, &file)).contains("bulk load"));
    std::fs::remove_file(data.join("cosell.db.loading")).unwrap();
    backup(&data, &file).unwrap();
    // Of a newer program.
    Connection::open(&file).unwrap().execute_batch("PRAGMA user_version = 999").unwrap();
    let newer = put_back(&file, &folder.path().join("new"));
    assert!(matches!(newer, Err(StoreError::TooNew { found: 999, .. })), "{newer:?}");
}
