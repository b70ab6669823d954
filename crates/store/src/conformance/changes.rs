//! A change is checked against what is stored, and then written whole.

use referral::{
    OrganizationId, ReferralDirection, ReferralQualification, ReferralStatus, ReferralSubstatus, ReferralType,
};

use super::Engine;
use super::samples::*;
use crate::{AllOrNone, Change, CommitOutcome, Guard, StoredReferral};

/// [`crate::Store::referral`] answers the owner alone, [`crate::Store::find_referral`] anyone.
pub async fn a_new_referral_is_found_by_its_owner_and_by_nobody_else(engine: &dyn Engine) {
    let store = engine.open().await;
    let (owner, other) = (organization(1), organization(2));
    assert_eq!(stored(&*store, id(1)).await, None);
    let referral = created(&*store, a_referral(&owner, 1)).await;
    let found = store.referral(&owner, id(1)).await.unwrap().expect("its owner sees it");
    assert_eq!(*found, referral);
    assert_eq!(store.referral(&other, id(1)).await.unwrap(), None);
    assert_eq!(stored(&*store, id(1)).await, Some(referral));
    assert_eq!(stored(&*store, id(2)).await, None);
}

/// What goes in comes out, with and without the optional columns, also by the ways that pass no cache.
pub async fn every_column_comes_back_as_it_was_kept(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = OrganizationId::MICROSOFT;
    let plain = created(&*store, a_referral(&owner, 1)).await;
    let mut full = a_referral(&owner, 2);
    full.version = 7;
    full.columns.status = ReferralStatus::Active;
    full.columns.substatus = ReferralSubstatus::Accepted;
    full.columns.direction = ReferralDirection::Outgoing;
    full.columns.qualification = ReferralQualification::SalesQualified;
    full.columns.referral_type = ReferralType::Shared;
    full.columns.country = Some("Ünïted".to_owned());
    full.columns.updated = referral::Timestamp::MAX;
    full.columns.expires = Some(referral::Timestamp::MIN);
    full.columns.accepted = Some(at(-1));
    full.columns.sender = Some(organization(3));
    full.columns.shared_with_microsoft = true;
    full.columns.team = vec!["b@contoso.example".to_owned(), "a@contoso.example".to_owned()];
    full.document = bytes::Bytes::from(vec![b'x'; 100_000]);
    created(&*store, full.clone()).await;
    let listed = store.list(&all_of(&owner)).await.unwrap();
    assert_eq!(listed.iter().map(|referral| (**referral).clone()).collect::<Vec<_>>(), [full.clone(), plain]);
    assert_eq!(stored(&*store, full.id).await, Some(full));
}

/// Every way of reading shows the new version once it is acknowledged.
pub async fn a_new_version_replaces_the_old_one_everywhere(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    let first = created(&*store, a_referral(&owner, 1)).await;
    assert_eq!(stored(&*store, first.id).await, Some(first.clone()));
    let mut second = next(&first);
    second.columns.country = Some("DE".to_owned());
    second.columns.status = ReferralStatus::Active;
    second.columns.substatus = ReferralSubstatus::Accepted;
    second.columns.accepted = Some(at(5));
    must(&*store, edit(second.clone())).await;
    assert_eq!(stored(&*store, first.id).await, Some(second.clone()));
    assert_eq!(*store.list(&all_of(&owner)).await.unwrap()[0], second);
    assert_eq!(*store.engagement(engagement(1), &owner).await.unwrap()[0], second);
    assert_eq!(store.count(&all_of(&owner)).await.unwrap(), 1);
}

/// A creation (`decided_on: None`) needs an id nobody has.
pub async fn a_taken_id_overtakes_a_creation_under_any_owner(engine: &dyn Engine) {
    let store = engine.open().await;
    let referral = created(&*store, a_referral(&organization(1), 1)).await;
    for owner in [organization(1), organization(2)] {
        let mut twin = a_referral(&owner, 1);
        twin.document = bytes::Bytes::from_static(b"{}");
        assert_eq!(store.commit(creation(twin)).await.unwrap(), CommitOutcome::VersionConflict);
    }
    assert_eq!(stored(&*store, id(1)).await, Some(referral));
    assert_eq!(store.count(&all_of(&organization(2))).await.unwrap(), 0);
}

/// The stored version must be the one decided on.
pub async fn a_stale_decision_is_overtaken_and_changes_nothing(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    let first = created(&*store, a_referral(&owner, 1)).await;
    let second = next(&first);
    must(&*store, edit(second.clone())).await;
    let mut late = next(&first);
    late.columns.team = vec!["late@contoso.example".to_owned()];
    assert_eq!(store.commit(edit(late)).await.unwrap(), CommitOutcome::VersionConflict);
    assert_eq!(store.commit(edit(next(&next(&second)))).await.unwrap(), CommitOutcome::VersionConflict);
    assert_eq!(stored(&*store, first.id).await, Some(second));
    assert_eq!(store.log(&owner, 0, 10).await.unwrap().len(), 2);
}

/// An edit of what is not there, or is another's, is overtaken.
pub async fn a_decision_on_nothing_is_overtaken(engine: &dyn Engine) {
    let store = engine.open().await;
    let never = a_referral(&organization(1), 9);
    assert_eq!(store.commit(edit(next(&never))).await.unwrap(), CommitOutcome::VersionConflict);
    let first = created(&*store, a_referral(&organization(1), 1)).await;
    let stolen = StoredReferral { owner: organization(2), ..next(&first) };
    assert_eq!(store.commit(edit(stolen)).await.unwrap(), CommitOutcome::VersionConflict);
    assert_eq!(stored(&*store, first.id).await, Some(first));
    assert_eq!(stored(&*store, never.id).await, None);
}

/// State, news and answer are written together or not at all.
pub async fn a_refused_change_leaves_no_trace(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    let first = created(&*store, a_referral(&owner, 1)).await;
    let guard = Guard::NoOpenReferral { engagement: engagement(1), owner: owner.clone() };
    let mut fresh = a_referral(&owner, 2);
    fresh.columns.team = vec!["user@contoso.example".to_owned()];
    let refused = [
        Change { answer: Some(idempotency_record(&owner, 1, at(0))), ..creation(first.clone()) },
        Change { answer: Some(idempotency_record(&owner, 1, at(0))), guards: vec![guard], ..creation(fresh) },
    ];
    for change in refused {
        let outcome = store.commit(change).await.unwrap();
        assert!(
            matches!(outcome, CommitOutcome::VersionConflict | CommitOutcome::GuardFailed),
            "{outcome:?}"
        );
    }
    assert_eq!(store.stored_response(&key(&owner, 1), at(-1)).await.unwrap(), None);
    assert_eq!(stored(&*store, id(2)).await, None);
    assert_eq!(store.log(&owner, 0, 10).await.unwrap().len(), 1);
    let mut team = all_of(&owner);
    team.team = Some(vec!["user@contoso.example".to_owned()]);
    assert_eq!(store.count(&team).await.unwrap(), 0);
    // The next position is not one a refused change took.
    assert_eq!(must(&*store, edit(next(&first))).await, 2);
}

/// First the stored response, then the version, then the guards.
pub async fn checks_come_in_their_order(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    let first = created(&*store, a_referral(&owner, 1)).await;
    let given = idempotency_record(&owner, 1, at(0));
    let alone = Change { write: None, guards: Vec::new(), answer: Some(given.clone()) };
    assert_eq!(store.commit(alone).await.unwrap(), CommitOutcome::Committed(None));

    let failing = Guard::NoOpenReferral { engagement: engagement(1), owner: owner.clone() };
    let everything_wrong =
        Change { guards: vec![failing.clone()], answer: Some(given.clone()), ..creation(first.clone()) };
    assert_eq!(store.commit(everything_wrong).await.unwrap(), CommitOutcome::Replayed(given.answer));
    let version_and_guard_wrong = Change { guards: vec![failing.clone()], ..creation(first.clone()) };
    assert_eq!(store.commit(version_and_guard_wrong).await.unwrap(), CommitOutcome::VersionConflict);
    let guard_wrong = Change { guards: vec![failing], ..edit(next(&first)) };
    assert_eq!(store.commit(guard_wrong).await.unwrap(), CommitOutcome::GuardFailed);
}

/// Guards count the owner's referrals of the engagement that are not `Closed`, before the change's own write.
pub async fn guards_look_at_open_referrals_of_the_owner(engine: &dyn Engine) {
    let store = engine.open().await;
    let (one, two) = (organization(1), organization(2));
    let first = created(&*store, a_referral(&one, 1)).await;
    let guarded = |number, guard| Change { guards: vec![guard], ..creation(a_referral(&one, number)) };
    let none = |owner: &OrganizationId, number| Guard::NoOpenReferral {
        engagement: engagement(number),
        owner: owner.clone(),
    };
    let some = |owner: &OrganizationId, number| Guard::SomeOpenReferral {
        engagement: engagement(number),
        owner: owner.clone(),
    };
    for (number, guard, held) in [
        (10, none(&one, 1), false),
        (11, some(&one, 1), true),
        (12, none(&two, 1), true),
        (13, some(&two, 1), false),
        (14, none(&one, 2), true),
        (15, some(&one, 2), false),
    ] {
        let outcome = store.commit(guarded(number, guard.clone())).await.unwrap();
        assert_eq!(matches!(outcome, CommitOutcome::Committed(_)), held, "{guard:?}: {outcome:?}");
        if !held {
            assert_eq!(outcome, CommitOutcome::GuardFailed);
        }
    }
    // Once all of them are closed, none is open.
    for number in [1, 11, 12, 14] {
        let open = stored(&*store, id(number)).await.expect("it was committed");
        must(&*store, edit(closed(next(&open)))).await;
    }
    assert_eq!(store.commit(guarded(16, some(&one, 1))).await.unwrap(), CommitOutcome::GuardFailed);
    must(&*store, guarded(17, none(&one, 1))).await;
    // Every guard of a change must hold.
    let both = Change { guards: vec![some(&one, 1), none(&one, 1)], ..creation(a_referral(&one, 18)) };
    assert_eq!(store.commit(both).await.unwrap(), CommitOutcome::GuardFailed);
    assert_eq!(first.version, 1);
}

/// Guards are checked for a change that only remembers an answer too.
pub async fn a_guard_may_stand_without_a_write(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    let guard = Guard::SomeOpenReferral { engagement: engagement(1), owner: owner.clone() };
    let change =
        Change { write: None, guards: vec![guard], answer: Some(idempotency_record(&owner, 1, at(0))) };
    assert_eq!(store.commit(change.clone()).await.unwrap(), CommitOutcome::GuardFailed);
    created(&*store, a_referral(&owner, 1)).await;
    assert_eq!(store.commit(change).await.unwrap(), CommitOutcome::Committed(None));
}

/// [`crate::Store::commit_all`]: each change finds what those before it have left, also of the same referral.
pub async fn changes_that_go_together_build_on_one_another(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    let first = a_referral(&owner, 1);
    let second = next(&first);
    let other = a_referral(&owner, 2);
    let mut guarded = creation(other.clone());
    guarded.guards = vec![Guard::SomeOpenReferral { engagement: first.engagement_id, owner: owner.clone() }];
    let changes = vec![creation(first.clone()), edit(second.clone()), guarded];
    let outcome = store.commit_all(changes).await.unwrap();
    assert_eq!(outcome, AllOrNone::All(vec![Some(1), Some(2), Some(3)]));
    assert_eq!(stored(&*store, id(1)).await, Some(second));
    assert_eq!(stored(&*store, id(2)).await, Some(other));
    let log = store.log(&owner, 0, 10).await.unwrap();
    let told: Vec<_> = log.iter().map(|entry| (entry.referral_id, entry.version)).collect();
    assert_eq!(told, [(id(1), 1), (id(1), 2), (id(2), 1)]);
}

/// A version that a later change of the same commit replaces needs no document: it has its entry in the log, guards see
/// its columns, and its words are passed on.
pub async fn a_replaced_version_needs_no_document(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    let kept = created(&*store, a_referral(&owner, 1)).await;
    let without_document = |mut change: Change| {
        change.write.as_mut().expect("an edit writes").referral.document = bytes::Bytes::new();
        change
    };
    let second = next(&kept);
    let (third, fourth, fifth) = (next(&second), next(&next(&second)), next(&next(&next(&second))));
    let closed_fourth = closed(fourth.clone());
    let mut worded = without_document(edit(second.clone()));
    worded.write.as_mut().expect("an edit writes").search = Some("zephyr".to_owned());
    let wordless = |mut change: Change| {
        change.write.as_mut().expect("an edit writes").search = None;
        change
    };
    let mut guarded = creation(a_referral(&owner, 2));
    guarded.guards = vec![Guard::NoOpenReferral { engagement: kept.engagement_id, owner: owner.clone() }];
    let changes = vec![
        worded,
        wordless(without_document(edit(third))),
        wordless(without_document(edit(closed_fourth))),
        guarded,
        wordless(edit(closed(fifth.clone()))),
    ];
    let outcome = store.commit_all(changes).await.unwrap();
    assert_eq!(outcome, AllOrNone::All((2..=6).map(Some).collect()));
    assert_eq!(stored(&*store, id(1)).await, Some(closed(fifth.clone())));
    let listed = store.list(&all_of(&owner)).await.unwrap();
    assert!(listed.iter().all(|one| !one.document.is_empty()), "{listed:?}");
    let log = store.log(&owner, 0, 10).await.unwrap();
    let told: Vec<_> = log.iter().map(|entry| (entry.referral_id, entry.version)).collect();
    assert_eq!(told, [(id(1), 1), (id(1), 2), (id(1), 3), (id(1), 4), (id(2), 1), (id(1), 5)]);
    // One that is created and changed at once, and one that is decided on a version that is passed already.
    let new = a_referral(&owner, 3);
    let changes = vec![without_document(creation(new.clone())), edit(next(&new))];
    assert!(matches!(store.commit_all(changes).await.unwrap(), AllOrNone::All(_)));
    assert_eq!(stored(&*store, id(3)).await, Some(next(&new)));
    let newest = next(&new);
    let changes = vec![without_document(edit(next(&newest))), edit(next(&newest))];
    let outcome = store.commit_all(changes).await.unwrap();
    assert_eq!(outcome, AllOrNone::None { at: 1, because: CommitOutcome::VersionConflict });
    assert_eq!(stored(&*store, id(3)).await, Some(newest));
}

/// The last of them being refused undoes what the others wrote: state, lists, news and answers.
pub async fn one_refused_change_undoes_those_it_goes_with(engine: &dyn Engine) {
    let store = engine.open().await;
    let owner = organization(1);
    let kept = created(&*store, a_referral(&owner, 1)).await;
    let mut renamed = next(&kept);
    renamed.columns.team = vec!["new@contoso.example".to_owned()];
    let mut created_too = creation(a_referral(&owner, 2));
    created_too.answer = Some(idempotency_record(&owner, 7, at(1)));
    let refused = creation(a_referral(&organization(2), 1));
    let changes = vec![edit(renamed.clone()), created_too.clone(), refused];
    let outcome = store.commit_all(changes).await.unwrap();
    assert_eq!(outcome, AllOrNone::None { at: 2, because: CommitOutcome::VersionConflict });
    assert_eq!(stored(&*store, id(1)).await, Some(kept));
    assert_eq!(stored(&*store, id(2)).await, None);
    assert_eq!(store.count(&all_of(&owner)).await.unwrap(), 1);
    assert_eq!(store.log(&owner, 0, 10).await.unwrap().len(), 1);
    let outcome = store.commit_all(vec![edit(renamed.clone()), created_too]).await.unwrap();
    assert_eq!(outcome, AllOrNone::All(vec![Some(2), Some(3)]), "nothing of the first try is left");
    assert_eq!(stored(&*store, id(1)).await, Some(renamed));
}

/// The figures tell how many changes were committed in how many commits, and where reads found what they wanted.
pub async fn commits_and_reads_are_counted(engine: &dyn Engine) {
    let store = engine.open().await;
    let before = store.metrics();
    let first = created(&*store, a_referral(&organization(1), 1)).await;
    must(&*store, edit(next(&first))).await;
    for _ in 0..3 {
        assert!(stored(&*store, id(1)).await.is_some());
    }
    let after = store.metrics();
    assert_eq!(after.group_sizes.sum - before.group_sizes.sum, 2);
    for (after, before) in
        [(&after.group_sizes, &before.group_sizes), (&after.commit_microseconds, &before.commit_microseconds)]
    {
        assert_eq!(after.counts.iter().sum::<u64>() - before.counts.iter().sum::<u64>(), 2, "two commits");
        assert_eq!(after.counts.len(), after.bounds.len() + 1);
    }
    assert!(after.commit_microseconds.sum > before.commit_microseconds.sum);
    if let (Some(before), Some(after)) = (before.cache, after.cache) {
        assert_eq!(after.hits + after.misses - before.hits - before.misses, 3);
        assert_eq!(after.bytes > 0, after.limit_bytes > 0, "{after:?}");
        assert_eq!(after.hits > before.hits, after.limit_bytes > 0, "{after:?}");
    }
    if let Some(pool) = after.pool {
        assert!(pool.limit >= 2 && pool.in_use == 0 && pool.waiting == 0, "{pool:?}");
    }
    assert!(after.cache.is_some() || after.pool.is_some());
    store.close().await;
}
