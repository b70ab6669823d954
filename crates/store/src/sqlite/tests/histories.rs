//! Any sequence of commits: positions without gaps, versions one after the other, and a store that agrees with the
//! simplest model of it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::{SqliteOptions, SqliteStore};
use crate::conformance::samples::*;
use crate::{Change, CommitOutcome, Guard, Store, StoredReferral};

/// One commit of a history, over few enough things that they meet.
#[derive(Debug, Clone)]
struct Step {
    owner: u8,
    number: u64,
    decided_on: Option<u64>,
    closed: bool,
    team: Vec<String>,
    guard: Option<bool>,
    answer: Option<u16>,
}

prop_compose! {
    fn a_step()(
        owner in 0..2_u8,
        number in 0..4_u64,
        decided_on in proptest::option::weighted(0.7, 1..6_u64),
        closed: bool,
        team in proptest::collection::vec(proptest::sample::select(vec!["a@x", "b@x", "c@x"]), 0..3),
        guard in proptest::option::weighted(0.3, any::<bool>()),
        answer in proptest::option::weighted(0.3, 0..5_u16),
    ) -> Step {
        let mut team: Vec<String> = team.into_iter().map(str::to_owned).collect();
        team.dedup();
        Step { owner, number, decided_on, closed, team, guard, answer }
    }
}

/// What the store should hold.
#[derive(Default)]
struct Model {
    referrals: BTreeMap<u64, StoredReferral>,
    news: BTreeMap<u8, Vec<(u64, u64)>>,
    answers: BTreeMap<(u8, u16), crate::StoredResponse>,
}

impl Model {
    fn change(step: &Step) -> Change {
        let owner = organization(step.owner);
        let mut referral = a_referral(&owner, step.number);
        referral.version = step.decided_on.unwrap_or(0) + 1;
        referral.document = bytes::Bytes::from(format!("{step:?}"));
        referral.columns.team.clone_from(&step.team);
        if step.closed {
            referral = closed(referral);
        }
        let guard = step.guard.map(|some| {
            let owner = owner.clone();
            match some {
                true => Guard::SomeOpenReferral { engagement: engagement(1), owner },
                false => Guard::NoOpenReferral { engagement: engagement(1), owner },
            }
        });
        let mut change = if step.decided_on.is_some() { edit(referral) } else { creation(referral) };
        change.guards.extend(guard);
        change.answer = step.answer.map(|number| idempotency_record(&owner, number, at(0)));
        change
    }

    fn apply(&mut self, step: &Step, change: &Change) -> CommitOutcome {
        if let Some(number) = step.answer
            && let Some(answer) = self.answers.get(&(step.owner, number))
        {
            return CommitOutcome::Replayed(answer.clone());
        }
        let write = change.write.as_ref().expect("every step writes");
        let stored = self.referrals.get(&step.number);
        let agrees = match (stored, step.decided_on) {
            (None, None) => true,
            (Some(stored), Some(seen)) => stored.version == seen && stored.owner == write.referral.owner,
            _ => false,
        };
        if !agrees {
            return CommitOutcome::VersionConflict;
        }
        let open = self.referrals.values().any(|referral| {
            referral.owner == write.referral.owner
                && referral.columns.status != referral::ReferralStatus::Closed
        });
        if step.guard.is_some_and(|some| some != open) {
            return CommitOutcome::GuardFailed;
        }
        self.referrals.insert(step.number, write.referral.clone());
        let news = self.news.entry(step.owner).or_default();
        news.push((step.number, write.referral.version));
        if let Some(idempotency_record) = &change.answer {
            self.answers.insert(
                (step.owner, step.answer.expect("it has an answer")),
                idempotency_record.answer.clone(),
            );
        }
        CommitOutcome::Committed(Some(news.len() as u64))
    }

    async fn check(&self, store: &dyn Store) {
        for number in 0..4 {
            let found = stored(store, id(number)).await;
            assert_eq!(found.as_ref(), self.referrals.get(&number), "referral {number}");
        }
        for owner in 0..2 {
            let log = store.log(&organization(owner), 0, usize::MAX).await.unwrap();
            let news = self.news.get(&owner).cloned().unwrap_or_default();
            let expected: Vec<_> = (1..)
                .zip(&news)
                .map(|(position, (number, version))| (position, id(*number), *version))
                .collect();
            let told: Vec<_> =
                log.iter().map(|entry| (entry.position, entry.referral_id, entry.version)).collect();
            assert_eq!(told, expected, "log of {owner}");
            for email in ["a@x", "b@x", "c@x"] {
                let query = ListQuery { team: Some(vec![email.to_owned()]), ..all_of(&organization(owner)) };
                let on_team = |referral: &&StoredReferral| {
                    referral.owner == organization(owner)
                        && referral.columns.team.iter().any(|member| member == email)
                };
                let expected: Vec<_> =
                    self.referrals.values().rev().filter(on_team).map(|referral| referral.id).collect();
                assert_eq!(ids(store, &query).await, expected, "team of {email}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_history_leaves_gapless_positions_and_consecutive_versions(
        steps in proptest::collection::vec(a_step(), 1..60),
        reopen_after in 0..60_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let open = || SqliteStore::open(directory.path(), SqliteOptions::default()).unwrap();
            let (mut store, mut model) = (open(), Model::default());
            for (place, step) in steps.iter().enumerate() {
                let change = Model::change(step);
                let expected = model.apply(step, &change);
                assert_eq!(store.commit(change).await.unwrap(), expected, "step {place}: {step:?}");
                if place == reopen_after {
                    drop(store);
                    store = open();
                }
            }
            model.check(&store).await;
            let mut versions: BTreeMap<u64, u64> = BTreeMap::new();
            for (number, version) in model.news.values().flatten() {
                let before = versions.insert(*number, *version).unwrap_or(0);
                assert_eq!(*version, before + 1, "referral {number}");
            }
        });
    }
}
