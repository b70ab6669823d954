//! How fast durable edits and hot reads are: `cargo run --release -p store --example commits -- PLACE CALLERS`, where
//! PLACE is a directory, or `postgres://…`.

use std::sync::Arc;
use std::time::Instant;

use store::conformance::samples::{a_referral, creation, edit, id, idempotency_record, next, organization};
use store::postgres::{PostgresOptions, PostgresStore};
use store::sqlite::{SqliteOptions, SqliteStore};
use store::{Change, CommitOutcome, Store};

const EDITS: u64 = 400;
const READS: u32 = 2_000_000;
const READS_OF_A_DATABASE: u32 = 20_000;

#[allow(clippy::print_stdout, reason = "this is a program for a person")]
#[tokio::main(worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (Some(place), Some(callers)) = (arguments.next(), arguments.next()) else {
        println!("usage: commits PLACE CALLERS");
        return;
    };
    let callers: u64 = callers.parse().expect("CALLERS is a number");
    let store: Arc<dyn Store> = if place.starts_with("postgres://") {
        let opened = PostgresStore::open(&place, PostgresOptions::default()).await;
        Arc::new(opened.expect("the database is there"))
    } else {
        let opened = SqliteStore::open(place.as_ref(), SqliteOptions::default());
        Arc::new(opened.expect("the directory is free"))
    };
    let owner = organization(1);
    let document = bytes::Bytes::from(vec![b'x'; 2600]);

    let begin = Instant::now();
    let tasks = (0..callers).map(|caller| {
        let (store, owner, document) = (Arc::clone(&store), owner.clone(), document.clone());
        tokio::spawn(async move {
            let mut current = a_referral(&owner, caller);
            current.document = document.clone();
            store.commit(creation(current.clone())).await.expect("a fresh place");
            for round in 0..EDITS {
                current = next(&current);
                current.document = document.clone();
                let mut given = idempotency_record(&owner, 0, current.columns.updated);
                given.key.digest[..8].copy_from_slice(
                    &(caller * EDITS + round).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes(),
                );
                given.answer.content = document.clone();
                let change = Change { answer: Some(given), ..edit(current.clone()) };
                let outcome = store.commit(change).await.expect("the store is well");
                assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.expect("no caller panics");
    }
    let edits = (callers * EDITS) as f64 / begin.elapsed().as_secs_f64();
    println!("{callers} callers: {edits:.0} durable edits/s, each with its answer");

    let reads = if place.starts_with("postgres://") { READS_OF_A_DATABASE } else { READS };
    let begin = Instant::now();
    for number in 0..reads {
        let read = store.referral(&owner, id(u64::from(number) % callers)).await.expect("the store is well");
        assert!(read.is_some());
    }
    println!("a hot read takes {:.0} ns", begin.elapsed().as_nanos() as f64 / f64::from(reads));
    store.close().await;
}
