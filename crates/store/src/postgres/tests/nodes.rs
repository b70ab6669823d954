//! Several nodes on one database, and connections that break.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::NoTls;

use super::super::{PostgresOptions, PostgresStore};
use super::database::Database;
use crate::conformance::samples::*;
use crate::{Change, CommitOutcome, Store, StoreError};

async fn node(database: &Database) -> Arc<PostgresStore> {
    let options = PostgresOptions { connections: 4, ..PostgresOptions::default() };
    Arc::new(PostgresStore::open(&database.address(), options).await.unwrap())
}

async fn run(database: &Database, sql: &str) {
    let (client, connection) = tokio_postgres::connect(&database.address(), NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute(sql).await.unwrap();
    connection.abort();
}

/// Ends every connection but the one that says so.
const CUT: &str = "SELECT pg_terminate_backend(pid)
     FROM pg_stat_activity
     WHERE datname = current_database()
       AND pid <> pg_backend_pid()";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_nodes_start_at_once_on_an_empty_database() {
    let database = Database::new();
    let starts = (0..6).map(|_| {
        let address = database.address();
        tokio::spawn(async move { PostgresStore::open(&address, PostgresOptions::default()).await })
    });
    let mut kept = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        let store = start.await.unwrap().unwrap();
        kept.push(store.keep_setting("key", format!("{}", kept.len()).as_bytes()).await.unwrap());
        store.close().await;
    }
    assert_eq!(kept, vec![b"0".to_vec(); 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_have_one_winner_per_version_and_a_log_without_gaps() {
    let database = Database::new();
    let nodes = [node(&database).await, node(&database).await];
    let (owner, other) = (organization(1), organization(2));
    created(&*nodes[0], a_referral(&owner, 1)).await;
    let writers = (0..16_u64).map(|number| {
        let store = Arc::clone(&nodes[number as usize % 2]);
        let (owner, other) = (owner.clone(), other.clone());
        tokio::spawn(async move {
            let mut won = 0;
            for round in 0..10 {
                // A referral of one's own, one that all want, and two of different owners together.
                created(&*store, a_referral(&owner, 1000 + number * 100 + round)).await;
                let current = stored(&*store, id(1)).await.unwrap();
                won += u64::from(
                    store.commit(edit(next(&current))).await.unwrap() != CommitOutcome::VersionConflict,
                );
                let both: Vec<Change> = [(&other, 0), (&owner, 1)]
                    .map(|(owner, place)| {
                        creation(a_referral(owner, 10_000 + number * 100 + round * 2 + place))
                    })
                    .into();
                store.commit_all(both).await.unwrap();
            }
            won
        })
    });
    let reader = Arc::clone(&nodes[1]);
    let read = owner.clone();
    let following = tokio::spawn(async move {
        let mut seen = 0;
        while seen < 320 {
            for entry in reader.log(&read, seen, 50).await.unwrap() {
                assert_eq!(entry.position, seen + 1, "a position was passed over");
                seen = entry.position;
            }
        }
    });
    let mut won = 0;
    for writer in writers.collect::<Vec<_>>() {
        won += writer.await.unwrap();
    }
    following.await.unwrap();
    assert!(won > 0);
    assert_eq!(stored(&*nodes[0], id(1)).await.unwrap().version, 1 + won);
    for (owner, entries) in [(&owner, 1 + 160 + won + 160), (&other, 160)] {
        let log = nodes[0].log(owner, 0, usize::MAX).await.unwrap();
        let positions: Vec<u64> = log.iter().map(|entry| entry.position).collect();
        assert_eq!(positions, (1..=entries).collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_id_is_taken_once_though_two_nodes_take_it_for_two_owners() {
    let database = Database::new();
    let nodes = [node(&database).await, node(&database).await];
    for round in 0..20 {
        let rivals = [0, 1].map(|rival: usize| {
            let store = Arc::clone(&nodes[rival]);
            let change = creation(a_referral(&organization(1 + rival as u8), round));
            tokio::spawn(async move { store.commit(change).await.unwrap() })
        });
        let mut outcomes = Vec::new();
        for rival in rivals {
            outcomes.push(rival.await.unwrap());
        }
        let wins = outcomes.iter().filter(|outcome| matches!(outcome, CommitOutcome::Committed(_))).count();
        assert_eq!((wins, outcomes.contains(&CommitOutcome::VersionConflict)), (1, true), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_lose_nothing_that_was_acknowledged() {
    let database = Database::new();
    let store = node(&database).await;
    let owner = organization(1);
    let writers = (0..8_u64).map(|number| {
        let (store, owner) = (Arc::clone(&store), owner.clone());
        tokio::spawn(async move {
            let (mut acknowledged, mut unknown) = (Vec::new(), 0);
            for round in 0..40 {
                let number = number * 100 + round;
                match store.commit(creation(a_referral(&owner, number))).await {
                    Ok(CommitOutcome::Committed(Some(_))) => acknowledged.push(id(number)),
                    Err(StoreError::Unavailable(_)) => {
                        unknown += 1;
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    other => panic!("{other:?}"),
                }
            }
            (acknowledged, unknown)
        })
    });
    let writers = writers.collect::<Vec<_>>();
    let mut cuts = 0;
    while writers.iter().any(|writer| !writer.is_finished()) {
        run(&database, CUT).await;
        cuts += 1;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(cuts > 2, "the writers were done too soon to be cut off");
    let (mut acknowledged, mut unknown) = (Vec::new(), 0);
    for writer in writers {
        let (some, lost) = writer.await.unwrap();
        acknowledged.extend(some);
        unknown += lost;
    }
    let there = ids(&*store, &all_of(&owner)).await;
    assert!(acknowledged.iter().all(|id| there.contains(id)));
    assert!(there.len() <= acknowledged.len() + unknown);
    let log = store.log(&owner, 0, usize::MAX).await.unwrap();
    let positions: Vec<u64> = log.iter().map(|entry| entry.position).collect();
    assert_eq!(positions, (1..=there.len() as u64).collect::<Vec<_>>());
    assert!(store.health().is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_that_were_cut_are_not_noticed_by_a_reader() {
    let database = Database::new();
    let store = node(&database).await;
    let owner = organization(1);
    created(&*store, a_referral(&owner, 1)).await;
    for _ in 0..5 {
        run(&database, CUT).await;
        assert!(store.referral(&owner, id(1)).await.unwrap().is_some());
        assert_eq!(ids(&*store, &all_of(&owner)).await, [id(1)]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_nodes_that_want_a_job_one_has_it_until_it_is_late_or_gives_it_back() {
    let database = Database::new();
    let nodes = [node(&database).await, node(&database).await, node(&database).await];
    let holder = |number: usize| [number as u8; 16];
    let (long, short) = (Duration::from_secs(60), Duration::from_millis(300));

    // All at once: one gets it, and keeps it.
    for round in 0..20 {
        let job = format!("job {round}");
        let takes = (0..12).map(|number| {
            let (store, job) = (Arc::clone(&nodes[number % 3]), job.clone());
            tokio::spawn(async move { store.take_job(&job, &holder(number), long).await.unwrap() })
        });
        let mut holders = Vec::new();
        for (number, take) in takes.collect::<Vec<_>>().into_iter().enumerate() {
            holders.extend(take.await.unwrap().then_some(number));
        }
        assert_eq!(holders.len(), 1, "{job}: {holders:?}");
        for (number, store) in nodes.iter().enumerate().cycle().take(12) {
            let is_holder = holders[0] == number;
            assert_eq!(store.take_job(&job, &holder(number), long).await.unwrap(), is_holder);
        }
    }

    // Given back: the next has it at once. Whoever has it not gives nothing back.
    assert!(nodes[0].take_job("expiry", &holder(0), long).await.unwrap());
    nodes[1].leave_job("expiry", &holder(1)).await.unwrap();
    assert!(!nodes[1].take_job("expiry", &holder(1), long).await.unwrap());
    nodes[0].leave_job("expiry", &holder(0)).await.unwrap();
    assert!(nodes[1].take_job("expiry", &holder(1), short).await.unwrap());

    // Kept beyond its first term by coming back in time; lost to the next who asks by being late.
    let begun = std::time::Instant::now();
    while begun.elapsed() < short * 2 {
        assert!(nodes[1].take_job("expiry", &holder(1), short).await.unwrap());
        assert!(!nodes[2].take_job("expiry", &holder(2), long).await.unwrap());
        tokio::time::sleep(short / 10).await;
    }
    let is_late = std::time::Instant::now();
    while !nodes[2].take_job("expiry", &holder(2), long).await.unwrap() {
        assert!(is_late.elapsed() < short * 20, "a job that nobody does any more is not given on");
        tokio::time::sleep(short / 10).await;
    }
    assert!(!nodes[1].take_job("expiry", &holder(1), short).await.unwrap());
}

#[tokio::test]
async fn a_database_put_back_to_an_earlier_state_gets_a_log_from_there_on() {
    let database = Database::new();
    let store = node(&database).await;
    let owner = organization(1);
    created(&*store, a_referral(&owner, 1)).await;
    let tables = ["log_head", "change_log", "referral", "referral_directory", "referral_words", "tally"];
    let emptied: String = tables.iter().map(|table| format!("DELETE FROM {table}; ")).collect();
    run(&database, &emptied).await;
    created(&*store, a_referral(&owner, 2)).await;
    created(&*store, a_referral(&owner, 3)).await;
    let log = store.log(&owner, 0, 10).await.unwrap();
    assert_eq!(log.iter().map(|entry| entry.position).collect::<Vec<_>>(), [1, 2]);
}

#[tokio::test]
async fn a_write_that_its_caller_gave_up_before_it_was_begun_is_not_made() {
    let database = Database::new();
    let options = PostgresOptions { writer_shards: 1, group_limit: 1, ..PostgresOptions::default() };
    let store = Arc::new(PostgresStore::open(&database.address(), options).await.unwrap());
    let owner = organization(1);
    created(&*store, a_referral(&owner, 1)).await;
    let (client, connection) = tokio_postgres::connect(&database.address(), NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute("BEGIN; SELECT 1 FROM log_head FOR UPDATE").await.unwrap();
    let begin = |number| {
        let (store, owner) = (Arc::clone(&store), owner.clone());
        tokio::spawn(async move { store.commit(creation(a_referral(&owner, number))).await })
    };
    let first = begin(2);
    // The first waits for the lock of another; the second waits behind it, and is given up there.
    wait_for_blocked(&client).await;
    let second = begin(3);
    tokio::time::sleep(Duration::from_millis(50)).await;
    second.abort();
    assert!(second.await.unwrap_err().is_cancelled());
    client.batch_execute("COMMIT").await.unwrap();
    assert_eq!(first.await.unwrap().unwrap(), CommitOutcome::Committed(Some(2)));
    created(&*store, a_referral(&owner, 4)).await;
    assert!(stored(&*store, id(3)).await.is_none());
    connection.abort();
}

/// Until some session waits for another's lock.
async fn wait_for_blocked(client: &tokio_postgres::Client) {
    let waiting = "SELECT 1
         FROM pg_stat_activity
         WHERE datname = current_database()
           AND wait_event_type = 'Lock'";
    let begun = std::time::Instant::now();
    while client.query(waiting, &[]).await.unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody waits");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_takes_too_long_ends_at_the_server_and_leaves_no_connection_behind() {
    let database = Database::new();
    let owner = organization(1);
    // Written by one with patience: on a busy machine a write may take longer than the reads below.
    created(&*node(&database).await, a_referral(&owner, 1)).await;
    let options = PostgresOptions {
        connections: 2,
        statement_timeout: Duration::from_millis(10),
        ..PostgresOptions::default()
    };
    let store = PostgresStore::open(&database.address(), options).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&database.address(), NoTls).await.unwrap();
    let connection = tokio::spawn(connection);
    client.batch_execute("BEGIN; LOCK referral").await.unwrap();
    let begun = std::time::Instant::now();
    for _ in 0..2 {
        let refused = store.referral(&owner, id(1)).await;
        assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    let waiting = "SELECT 1
         FROM pg_stat_activity
         WHERE datname = current_database()
           AND wait_event_type = 'Lock'";
    while !client.query(waiting, &[]).await.unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(30), "a read goes on that nobody waits for");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    client.batch_execute("COMMIT").await.unwrap();
    // The database is looked for until it answers.
    while store.health().is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the database is there, and not found");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(store.referral(&owner, id(1)).await.unwrap().is_some());
    connection.abort();
}

#[tokio::test]
async fn a_standby_is_not_asked() {
    let database = Database::new();
    drop(node(&database).await);
    let address = format!("{} options='-c default_transaction_read_only=on'", database.address());
    let refused = PostgresStore::open(&address, PostgresOptions::default()).await.map(drop).unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
    assert!(refused.to_string().contains("does not allow writes"), "{refused}");
}

#[tokio::test]
async fn a_text_may_hold_any_character() {
    let database = Database::new();
    let store = node(&database).await;
    let owner = organization(1);
    let mut referral = a_referral(&owner, 1);
    referral.columns.country = Some("D\0E".to_owned());
    referral.columns.team = vec!["a\0\"@x.example".to_owned(), "ü@x.example".to_owned()];
    let mut change = creation(referral.clone());
    let actor = change.write.as_mut().and_then(|write| write.entry.actor.as_mut()).unwrap();
    actor.user = "\0".to_owned();
    must(&*store, change).await;
    assert_eq!(stored(&*store, id(1)).await, Some(referral));
    let log = store.log(&owner, 0, 1).await.unwrap();
    assert_eq!(log[0].entry.actor.as_ref().map(|actor| actor.user.as_str()), Some("\0"));
}

#[tokio::test]
async fn a_database_that_is_not_there_is_not_available() {
    let options = PostgresOptions { wait: Duration::from_secs(1), ..PostgresOptions::default() };
    let refused = PostgresStore::open("host=/nowhere user=cosell", options).await.map(drop);
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let refused = PostgresStore::open("postgres://[", PostgresOptions::default()).await.map(drop);
    assert!(matches!(refused, Err(StoreError::Engine(_))), "{refused:?}");
}

#[tokio::test]
async fn a_database_that_loses_acknowledged_writes_is_refused() {
    let database = Database::new();
    let address = format!("{} options='-c synchronous_commit=off'", database.address());
    let refused = PostgresStore::open(&address, PostgresOptions::default()).await.map(drop).unwrap_err();
    assert!(refused.to_string().contains("synchronous_commit"), "{refused}");
}
