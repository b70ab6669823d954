//! What a read from the file and a change cost, for instruction counts:
//! `valgrind --tool=callgrind target/release/examples/layout DIRECTORY read|write TIMES [plain]`, once with some TIMES
//! and once with twice as many; the difference is theirs. DIRECTORY was filled by `cosell load --generate`, and a
//! `write` changes it.

use std::time::Instant;

use bytes::Bytes;
use referral::{OrganizationId, Timestamp};
use store::sqlite::{SqliteOptions, SqliteStore};
use store::{Action, Change, CommitOutcome, CountMode, Entry, Query, Scope, Store, StoredReferral, Write};

/// As many are read in turn: more than a connection's pages hold.
const REFERRALS: usize = 20_000;

#[allow(clippy::print_stdout, reason = "this is a program for a person")]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [directory, what, times, rest @ ..] = &arguments[..] else {
        println!("usage: layout DIRECTORY read|write TIMES [plain]");
        return;
    };
    let times: usize = times.parse().expect("TIMES is a number");
    let options = SqliteOptions { cache_bytes: 0, compression: rest.is_empty(), ..SqliteOptions::default() };
    let store = SqliteStore::open(directory.as_ref(), options).expect("the directory is free");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
    runtime.block_on(async {
        let organizations = store.organizations().await.expect("there are organizations");
        let owner = organizations[0].id.clone();
        let referrals = some(&store, &owner).await;
        let begin = Instant::now();
        for number in 0..times {
            let referral = &referrals[number.wrapping_mul(7919) % referrals.len()];
            match what.as_str() {
                "write" => write(&store, &owner, referral).await,
                _ => assert!(store.referral(&owner, referral.id).await.expect("it is there").is_some()),
            }
        }
        println!("{:.2} µs each", begin.elapsed().as_secs_f64() * 1e6 / times as f64);
        store.close().await;
    });
}

async fn some(store: &SqliteStore, owner: &OrganizationId) -> Vec<StoredReferral> {
    let (mut all, mut after): (Vec<StoredReferral>, _) = Default::default();
    while all.len() < REFERRALS {
        let now = Timestamp::from_ticks(0);
        let query = Query {
            scope: Scope { owner: owner.clone(), team: None, offer_leads: true, now },
            filter: None,
            search: None,
            order: Vec::new(),
            after,
            skip: 0,
            limit: 1000,
            count: CountMode::No,
        };
        let page = store.query(&query).await.expect("there are referrals").referrals;
        let Some((_, last)) = page.last() else { break };
        after = Some(last.clone());
        all.extend(page.iter().map(|(referral, _)| (**referral).clone()));
    }
    all
}

async fn write(store: &SqliteStore, owner: &OrganizationId, of: &StoredReferral) {
    let before = store.referral(owner, of.id).await.expect("the store is well").expect("it is there");
    let mut referral = (*before).clone();
    referral.version += 1;
    referral.columns.updated = referral.columns.updated.plus_seconds(1);
    let changes = Bytes::from_static(br#"{"details/dealValue":[1000,2000]}"#);
    let entry = Entry { action: Action::Updated, at: referral.columns.updated, actor: None, changes };
    let write = Write { referral, decided_on: Some(before.version), entry, search: None };
    let change = Change { write: Some(write), guards: Vec::new(), answer: None };
    assert!(matches!(store.commit(change).await.expect("it is written"), CommitOutcome::Committed(Some(_))));
}
