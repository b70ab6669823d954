//! Rules of the conformance suite through PgBouncer, which lends a few connections for a transaction each, and with
//! prepared statements: all that write, lock, race or read what others wrote. One test, for a pooler each would cost more
//! than the rules do.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use tokio_postgres::NoTls;

use super::super::{PostgresOptions, PostgresStore};
use super::database::Database;
use super::pgbouncer::Pooler;
use crate::conformance::samples::*;
use crate::conformance::{Engine, answers, changes, durability, jobs, lists, log, people, queries, races};
use crate::{Store, StoredReferral};

/// A database of its own behind the pooler.
struct Pooled<'a> {
    database: Database,
    pooler: &'a Pooler,
}

#[async_trait]
impl Engine for Pooled<'_> {
    async fn open(&self) -> Arc<dyn Store> {
        let address = self.pooler.address(self.database.name());
        Arc::new(PostgresStore::open(&address, PostgresOptions::default()).await.unwrap())
    }
}

/// A database of its own, whose statements are prepared.
struct Prepared(Database);

fn prepared() -> PostgresOptions {
    PostgresOptions { prepared_statements: true, ..PostgresOptions::default() }
}

#[async_trait]
impl Engine for Prepared {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(PostgresStore::open(&self.0.address(), prepared()).await.unwrap())
    }
}

macro_rules! hold {
    ($engine:expr; $($rule:path),+ $(,)?) => {
        $($rule(&$engine).await;)+
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_hold_through_a_pooler_that_lends_connections_by_the_transaction() {
    let first = Database::new();
    // Fewer than the lanes of the store: its transactions take turns.
    let pooler = Pooler::before(first.server(), 2);
    hold! { Pooled { database: Database::new(), pooler: &pooler };
        changes::a_new_referral_is_found_by_its_owner_and_by_nobody_else,
        changes::every_column_comes_back_as_it_was_kept,
        changes::a_new_version_replaces_the_old_one_everywhere,
        changes::a_taken_id_overtakes_a_creation_under_any_owner,
        changes::a_stale_decision_is_overtaken_and_changes_nothing,
        changes::guards_look_at_open_referrals_of_the_owner,
        changes::changes_that_go_together_build_on_one_another,
        changes::one_refused_change_undoes_those_it_goes_with,
        lists::pages_join_without_gap_or_repetition,
        lists::due_referrals_come_soonest_first_and_only_while_new,
        queries::pages_are_stable_while_referrals_come_and_change,
        queries::kept_counts_follow_every_write,
        queries::a_count_is_told_as_it_is_wanted,
        log::positions_count_from_one_without_gaps_per_organization,
        answers::an_answered_request_writes_nothing_more,
        answers::at_most_a_thousand_answers_are_forgotten_at_once,
        people::a_saved_organization_replaces_all_that_was_known_of_it,
        people::a_setting_keeps_its_newest_bytes,
        jobs::a_job_is_taken_kept_and_given_back,
        races::one_winner_per_version,
        races::two_guarded_creations_cannot_both_win,
        races::one_answer_per_request,
        races::no_read_is_older_than_the_last_acknowledged_version,
        durability::everything_is_there_after_reopening,
        durability::what_was_accepted_before_closing_is_done,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_hold_with_prepared_statements() {
    hold! { Prepared(Database::new());
        changes::a_new_referral_is_found_by_its_owner_and_by_nobody_else,
        changes::every_column_comes_back_as_it_was_kept,
        changes::a_new_version_replaces_the_old_one_everywhere,
        changes::a_taken_id_overtakes_a_creation_under_any_owner,
        changes::a_stale_decision_is_overtaken_and_changes_nothing,
        changes::guards_look_at_open_referrals_of_the_owner,
        changes::changes_that_go_together_build_on_one_another,
        changes::one_refused_change_undoes_those_it_goes_with,
        queries::kept_counts_follow_every_write,
        log::positions_count_from_one_without_gaps_per_organization,
        answers::an_answered_request_writes_nothing_more,
        races::one_winner_per_version,
        races::two_guarded_creations_cannot_both_win,
        races::one_answer_per_request,
        races::no_read_is_older_than_the_last_acknowledged_version,
        durability::what_was_accepted_before_closing_is_done,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_that_are_prepared_and_used_again_are_the_same_after_a_migration() {
    let database = Database::new();
    let store = PostgresStore::open(&database.address(), prepared()).await.unwrap();
    let owner = organization(1);
    let mut newest = created(&store, a_referral(&owner, 1)).await;
    // The sixth time a plan is kept for any values.
    for round in 0..16 {
        if round == 10 {
            store.pool.rows("ALTER TABLE referral ADD COLUMN later bytea", &[]).await.unwrap();
        }
        newest = next(&newest);
        must(&store, edit(newest.clone())).await;
        assert_eq!(stored_of(&store, &newest).await, newest);
    }
    assert!(store.pool.prepares.load(Ordering::Relaxed), "they were used");
    store.close().await;
}

async fn stored_of(store: &PostgresStore, referral: &StoredReferral) -> StoredReferral {
    (*store.referral(&referral.owner, referral.id).await.unwrap().unwrap()).clone()
}

/// PgBouncer before 1.21 gives a prepared statement to whichever connection to the server is free.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_that_keeps_no_prepared_statements_is_noticed_and_nothing_fails() {
    let database = Database::new();
    let pooler = Pooler::before(database.server(), 2);
    let address = pooler.address(database.name());
    let store = PostgresStore::open(&address, prepared()).await.unwrap();
    let first = created(&store, a_referral(&organization(1), 1)).await;
    assert_eq!(stored_of(&store, &first).await, first);
    assert!(store.pool.prepares.load(Ordering::Relaxed));
    // The connection to the server that was used so far is now another's, and then both are free again.
    let (client, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(stored_of(&store, &first).await, first);
    assert!(!store.pool.prepares.load(Ordering::Relaxed), "it was noticed");
    client.batch_execute("COMMIT").await.unwrap();
    must(&store, edit(next(&first))).await;
    assert_eq!(stored_of(&store, &first).await, next(&first));
    store.close().await;
}

/// The same, noticed by a write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_finds_its_statement_gone_is_made_once() {
    let database = Database::new();
    let pooler = Pooler::before(database.server(), 2);
    let address = pooler.address(database.name());
    let store = PostgresStore::open(&address, prepared()).await.unwrap();
    let owner = organization(1);
    let first = created(&store, a_referral(&owner, 1)).await;
    let (client, connection) = tokio_postgres::connect(&address, NoTls).await.unwrap();
    tokio::spawn(connection);
    client.batch_execute("BEGIN").await.unwrap();
    assert_eq!(must(&store, edit(next(&first))).await, 2);
    assert!(!store.pool.prepares.load(Ordering::Relaxed), "it was noticed");
    assert_eq!(stored_of(&store, &first).await, next(&first));
    assert_eq!(store.log(&owner, 0, 10).await.unwrap().len(), 2);
    store.close().await;
}
