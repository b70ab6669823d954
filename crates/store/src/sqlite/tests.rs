//! What only this engine promises; the rest is the conformance suite.

use super::*;

#[tokio::test]
async fn smoke() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path(), SqliteOptions::default()).unwrap();
    store.save_setting("a", b"1").await.unwrap();
    assert_eq!(store.setting("a").await.unwrap().as_deref(), Some(&b"1"[..]));
    store.close().await;
    assert!(matches!(store.setting("a").await, Err(StoreError::Closed)));
}
