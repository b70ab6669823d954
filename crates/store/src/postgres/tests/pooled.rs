//! Rules of the conformance suite through PgBouncer, which lends a few connections for a transaction each: all that write,
//! lock, race or read what others wrote. One test, for a pooler each would cost more than the rules do.

use std::sync::Arc;

use async_trait::async_trait;

use super::super::{PostgresOptions, PostgresStore};
use super::database::Database;
use super::pgbouncer::Pooler;
use crate::Store;
use crate::conformance::{Engine, answers, changes, durability, jobs, lists, log, people, queries, races};

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

macro_rules! hold {
    ($pooler:expr; $($rule:path),+ $(,)?) => {
        $($rule(&Pooled { database: Database::new(), pooler: &$pooler }).await;)+
    };
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_hold_through_a_pooler_that_lends_connections_by_the_transaction() {
    let first = Database::new();
    // Fewer than the lanes of the store: its transactions take turns.
    let pooler = Pooler::before(first.server(), 2);
    hold! { pooler;
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
