//! The figures of the pool move with what happens to it.

use std::time::Duration;

use tokio_postgres::NoTls;

use super::super::{PostgresOptions, PostgresStore};
use super::database::Database;
use crate::conformance::samples::*;
use crate::{PoolMetrics, Store, StoreError};

async fn open(database: &Database, more: &str) -> PostgresStore {
    let wait = Duration::from_millis(200);
    let options = PostgresOptions { connections: 2, writer_shards: 1, wait, ..PostgresOptions::default() };
    PostgresStore::open(&format!("{}{more}", database.address()), options).await.unwrap()
}

fn pool(store: &PostgresStore) -> PoolMetrics {
    store.metrics().pool.unwrap()
}

#[tokio::test]
async fn lent_connections_and_those_who_wait_for_one_in_vain_are_counted() {
    let database = Database::new();
    let store = open(&database, "").await;
    let before = pool(&store);
    assert_eq!((before.limit, before.in_use, before.waiting), (2, 0, 0));
    let (one, other) = (store.pool.acquire().await.unwrap(), store.pool.acquire().await.unwrap());
    assert_eq!(pool(&store).in_use, 2);
    let mut third = Box::pin(store.setting("key"));
    let asked = tokio::time::timeout(Duration::from_millis(20), &mut third).await;
    assert!(asked.is_err(), "it waits");
    assert_eq!(pool(&store).waiting, 1);
    assert!(matches!(third.await, Err(StoreError::Unavailable(_))));
    let after = pool(&store);
    assert_eq!((after.waiting, after.unavailable - before.unavailable), (0, 1));
    drop((one, other));
    assert_eq!(pool(&store).in_use, 0);
    store.close().await;
}

#[tokio::test]
async fn tries_that_others_are_in_the_way_of_are_counted() {
    let database = Database::new();
    let store = open(&database, " options='-c lock_timeout=5ms'").await;
    let first = created(&store, a_referral(&organization(1), 1)).await;
    assert_eq!(pool(&store).retries, 0);
    let (mut client, connection) = tokio_postgres::connect(&database.address(), NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    let transaction = client.transaction().await.unwrap();
    transaction.execute("SELECT position FROM log_head FOR UPDATE", &[]).await.unwrap();
    let refused = store.commit(edit(next(&first))).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let tried = pool(&store).retries;
    assert!(tried > 1, "{tried}");
    transaction.rollback().await.unwrap();
    must(&store, edit(next(&first))).await;
    assert_eq!(pool(&store).retries, tried, "nobody is in the way any more");
    connection.abort();
    store.close().await;
}
