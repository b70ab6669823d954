//! Jobs that one process at a time does.

use std::time::Duration;

use super::Engine;

/// [`crate::Store::take_job`] gives a free job, and gives it to its holder again; [`crate::Store::leave_job`] gives it
/// back, though it be nobody's.
pub async fn a_job_is_taken_kept_and_given_back(engine: &dyn Engine) {
    let store = engine.open().await;
    let (holder, term) = ([1; 16], Duration::from_secs(60));
    for _ in 0..3 {
        assert!(store.take_job("expiry", &holder, term).await.unwrap());
        assert!(store.take_job("deliveries", &holder, term).await.unwrap());
    }
    for _ in 0..2 {
        store.leave_job("expiry", &holder).await.unwrap();
    }
    assert!(store.take_job("expiry", &holder, term).await.unwrap());
}
