//! Jobs that one node at a time shall do, each claimed by a lease: a row with its holder and the instant it ends.
//!
//! Taking, keeping and losing is one statement that compares and sets. All instants are the database's, so nodes' clocks
//! do not matter. Its own may jump when a standby takes over: ahead, and a job has two holders for as long as the jump;
//! back, and a dead holder's job waits as much longer. Nothing rests on it but work that is not done twice: what a job
//! writes is conditional, as every commit is.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::types::Type;

use super::pool::Pool;
use crate::{JobHolder, StoreError};

/// Takes a job that nobody holds or whose holder is late, or keeps one's own. The instant is that of the statement's
/// begin, and so never later than the holder thinks.
pub(super) async fn take(
    pool: &Arc<Pool>,
    job: &str,
    holder: &JobHolder,
    term: Duration,
) -> Result<bool, StoreError> {
    let taken = pool
        .write(
            "INSERT INTO job_lease (job, holder, until)
             VALUES ($1, $2, CURRENT_TIMESTAMP + $3 * INTERVAL '1 second')
             ON CONFLICT (job) DO UPDATE
             SET holder = excluded.holder,
                 until = excluded.until
             WHERE job_lease.holder = excluded.holder
                OR job_lease.until <= CURRENT_TIMESTAMP
             RETURNING 1",
            &[(&job, Type::TEXT), (&holder.as_slice(), Type::BYTEA), (&term.as_secs_f64(), Type::FLOAT8)],
        )
        .await?;
    Ok(!taken.is_empty())
}

/// Gives a job back, if it is still this holder's.
pub(super) async fn leave(pool: &Arc<Pool>, job: &str, holder: &JobHolder) -> Result<(), StoreError> {
    pool.write(
        "DELETE FROM job_lease
         WHERE job = $1
           AND holder = $2",
        &[(&job, Type::TEXT), (&holder.as_slice(), Type::BYTEA)],
    )
    .await
    .map(drop)
}
