//! Migrations.

use std::sync::Arc;
use std::time::Duration;

use super::super::pool::Pool;
use super::super::schema::{MIGRATIONS, Migration, migrate};
use super::super::{PostgresOptions, PostgresStore};
use super::database::Database;
use crate::{Store, StoreError};

const FIRST: Migration = Migration { name: "first", sql: "CREATE TABLE a (x integer)" };
const SECOND: Migration = Migration { name: "second", sql: "ALTER TABLE a ADD COLUMN y integer" };
const BROKEN: Migration =
    Migration { name: "broken", sql: "CREATE TABLE b (x integer); CREATE TABLE b (x integer)" };

fn pool(database: &Database) -> Arc<Pool> {
    let patience = Duration::from_secs(10);
    Pool::new(database.address().parse().unwrap(), None, 2, patience, patience)
}

#[tokio::test]
async fn an_older_database_takes_the_steps_it_has_not_seen() {
    let database = Database::new();
    let pool = pool(&database);
    migrate(&pool, &[FIRST]).await.unwrap();
    pool.rows("INSERT INTO a (x) VALUES (7)", &[]).await.unwrap();
    migrate(&pool, &[FIRST, SECOND]).await.unwrap();
    migrate(&pool, &[FIRST, SECOND]).await.unwrap();
    let rows = pool.rows("SELECT x, y FROM a", &[]).await.unwrap();
    assert_eq!((rows[0].get::<_, i32>(0), rows[0].get::<_, Option<i32>>(1)), (7, None));
}

#[tokio::test]
async fn a_failed_step_leaves_the_version_before_it() {
    let database = Database::new();
    let pool = pool(&database);
    migrate(&pool, &[FIRST]).await.unwrap();
    let error = migrate(&pool, &[FIRST, BROKEN]).await.unwrap_err().to_string();
    assert!(error.contains("migration broken"), "{error}");
    migrate(&pool, &[FIRST]).await.unwrap();
    assert!(pool.rows("SELECT x FROM b", &[]).await.is_err());
}

#[tokio::test]
async fn a_newer_database_is_refused() {
    let database = Database::new();
    let pool = pool(&database);
    migrate(&pool, &[FIRST, SECOND]).await.unwrap();
    let error = migrate(&pool, &[FIRST]).await.unwrap_err();
    assert!(matches!(error, StoreError::TooNew { found: 2, known: 1 }), "{error}");
}

#[tokio::test]
async fn a_database_that_cannot_keep_every_text_is_refused_and_not_touched() {
    for encoding in ["LATIN1", "SQL_ASCII"] {
        let database = Database::in_encoding(encoding);
        let opened = PostgresStore::open(&database.address(), PostgresOptions::default()).await;
        let error = opened.map(drop).unwrap_err().to_string();
        assert!(error.contains(encoding) && error.contains("UTF8"), "{error}");
        assert!(pool(&database).rows("SELECT version FROM schema_version", &[]).await.is_err());
    }
}

#[tokio::test]
async fn a_database_of_each_older_version_is_brought_to_the_newest_and_keeps_its_data() {
    for version in 1..MIGRATIONS.len() {
        let database = Database::new();
        let older = pool(&database);
        migrate(&older, &MIGRATIONS[..version]).await.unwrap();
        let sql = "INSERT INTO setting (name, value) VALUES ('link-key', '\\x07')";
        older.write(sql, &[]).await.unwrap();
        let store = PostgresStore::open(&database.address(), PostgresOptions::default()).await.unwrap();
        assert_eq!(store.setting("link-key").await.unwrap(), Some(vec![7]), "from version {version}");
        assert!(store.take_job("expiry", &[1; 16], Duration::from_secs(1)).await.unwrap());
        store.close().await;
        let error = migrate(&older, &MIGRATIONS[..version]).await.unwrap_err();
        assert!(matches!(error, StoreError::TooNew { .. }), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_starts_while_another_migrates_for_long_waits_for_it() {
    let database = Database::new();
    let patience = Duration::from_millis(10);
    let hurried = Pool::new(database.address().parse().unwrap(), None, 2, Duration::from_secs(10), patience);
    migrate(&hurried, &[FIRST]).await.unwrap();
    let slow = Migration { name: "slow", sql: "CREATE TABLE c (x integer); SELECT pg_sleep(3)" };
    let (first, steps) = (pool(&database), [FIRST, slow]);
    let (one, other) = tokio::join!(migrate(&first, &steps), async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        migrate(&hurried, &steps).await
    });
    one.unwrap();
    other.unwrap();
}
