//! The contract of every engine, one rule per function and one test per rule.
//!
//! An engine's tests say `store::conformance_suite!(engine)`, where `engine` is an expression that makes an
//! [`Engine`]; each rule gets a fresh one.

#![allow(
    clippy::unwrap_used,
    reason = "a rule that does not hold panics: these are tests, kept where every engine finds them"
)]

pub mod answers;
pub mod changes;
pub mod durability;
pub mod jobs;
pub mod lists;
pub mod log;
pub mod people;
pub mod queries;
pub mod races;
pub mod samples;

use std::sync::Arc;

use async_trait::async_trait;

use crate::Store;

/// A place where an engine keeps its data.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Opens the store there: empty at first, later with what it held. Not called while one is open.
    async fn open(&self) -> Arc<dyn Store>;

    /// Whether it offers `$search`.
    fn searches(&self) -> bool {
        true
    }
}

/// Makes one `#[tokio::test]` of every rule of the suite; the argument is an expression that makes an
/// [`Engine`](crate::conformance::Engine).
#[macro_export]
macro_rules! conformance_suite {
    ($engine:expr) => {
        $crate::conformance_suite! { @rules $engine;
            changes: a_new_referral_is_found_by_its_owner_and_by_nobody_else;
            changes: every_column_comes_back_as_it_was_kept;
            changes: a_new_version_replaces_the_old_one_everywhere;
            changes: a_taken_id_overtakes_a_creation_under_any_owner;
            changes: a_stale_decision_is_overtaken_and_changes_nothing;
            changes: a_decision_on_nothing_is_overtaken;
            changes: a_refused_change_leaves_no_trace;
            changes: checks_come_in_their_order;
            changes: guards_look_at_open_referrals_of_the_owner;
            changes: a_guard_may_stand_without_a_write;
            changes: changes_that_go_together_build_on_one_another;
            changes: a_replaced_version_needs_no_document;
            changes: one_refused_change_undoes_those_it_goes_with;
            changes: commits_and_reads_are_counted;
            lists: newest_first_with_ties_by_id;
            lists: pages_join_without_gap_or_repetition;
            lists: offer_leads_are_left_out_unless_asked_for;
            lists: a_team_sees_what_any_of_its_emails_is_on;
            lists: a_changed_team_changes_its_lists;
            lists: counts_equal_lists;
            lists: an_engagement_is_told_oldest_first_to_each_of_its_parties;
            lists: a_role_in_an_engagement_is_its_beginning_or_an_accepted_invitation;
            lists: due_referrals_come_soonest_first_and_only_while_new;
            lists: the_next_expiry_is_the_soonest_of_the_new;
            queries: pages_are_what_the_evaluator_leaves;
            queries: pages_are_stable_while_referrals_come_and_change;
            queries: kept_counts_follow_every_write;
            queries: a_count_is_told_as_it_is_wanted;
            queries: words_find_what_has_them_now;
            queries: a_place_of_another_order_is_refused;
            queries: pages_of_long_documents_end_early;
            queries: a_plan_says_whether_an_index_carries_a_query;
            queries: the_members_of_an_engagement_come_oldest_first;
            log: positions_count_from_one_without_gaps_per_organization;
            log: every_entry_says_what_it_was_given;
            log: pages_of_the_log_join;
            answers: an_answer_comes_back_until_it_is_too_old;
            answers: an_answered_request_writes_nothing_more;
            answers: an_answer_alone_is_kept_without_news;
            answers: the_same_digest_of_another_organization_is_another_request;
            answers: at_most_a_thousand_answers_are_forgotten_at_once;
            answers: a_forgotten_request_may_be_answered_anew;
            people: organizations_come_by_id_with_their_locations_in_order;
            people: a_saved_organization_replaces_all_that_was_known_of_it;
            people: one_identity_has_one_role_per_organization;
            people: a_setting_keeps_its_newest_bytes;
            jobs: a_job_is_taken_kept_and_given_back;
            races: one_winner_per_version;
            races: two_guarded_creations_cannot_both_win;
            races: one_answer_per_request;
            races: no_read_is_older_than_the_last_acknowledged_version;
            durability: everything_is_there_after_reopening;
            durability: a_closed_store_says_so_and_closing_twice_is_well;
            durability: what_was_accepted_before_closing_is_done;
        }
    };
    (@rules $engine:expr; $($room:ident: $rule:ident;)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $rule() {
                $crate::conformance::$room::$rule(&$engine).await;
            }
        )+
    };
}

#[cfg(test)]
mod tests {
    /// A rule that is written but not listed would never run.
    #[test]
    fn every_rule_is_in_the_suite() {
        let suite = include_str!("mod.rs");
        for (room, source) in [
            ("answers", include_str!("answers.rs")),
            ("changes", include_str!("changes.rs")),
            ("durability", include_str!("durability.rs")),
            ("jobs", include_str!("jobs.rs")),
            ("lists", include_str!("lists.rs")),
            ("log", include_str!("log.rs")),
            ("people", include_str!("people.rs")),
            ("queries", include_str!("queries.rs")),
            ("races", include_str!("races.rs")),
        ] {
            let rules =
                source.lines().filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next());
            for rule in rules {
                assert!(suite.contains(&format!("            {room}: {rule};\n")), "{room}: {rule}");
            }
        }
    }
}
