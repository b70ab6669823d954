//! Applies changes in memory, one after the other, to what the database holds, and collects the rows to write.
//!
//! The rows of `log_head` of every organization concerned are locked, so nobody else changes the data meanwhile.

use std::collections::{BTreeSet, HashMap};

use referral::{EngagementId, OrganizationId, ReferralId, ReferralStatus};

use crate::planner::FacetKey;
use crate::{
    AllOrNone, Change, CommitOutcome, Entry, Guard, IdempotencyRecord, Position, StoredReferral,
    StoredResponse, Write,
};

/// The current version of a referral, as far as a write needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ExistingReferral {
    pub(super) owner: OrganizationId,
    pub(super) engagement: EngagementId,
    pub(super) version: u64,
    pub(super) facet: FacetKey,
    pub(super) offer_lead: bool,
    pub(super) created: i64,
    pub(super) country: Option<String>,
    pub(super) team: Vec<String>,
}

impl ExistingReferral {
    fn of(referral: &StoredReferral) -> ExistingReferral {
        let columns = &referral.columns;
        ExistingReferral {
            owner: referral.owner.clone(),
            engagement: referral.engagement_id,
            version: referral.version,
            facet: FacetKey::of(columns),
            offer_lead: columns.offer_lead,
            created: columns.created.ticks(),
            country: columns.country.clone(),
            team: columns.team.clone(),
        }
    }

    fn is_open(&self) -> bool {
        FacetKey::bits("status")
            .is_some_and(|(shift, mask)| self.facet.0 >> shift & mask != ReferralStatus::Closed as u16)
    }
}

/// What must be read before a group of changes is applied.
#[derive(Debug, Default)]
pub(super) struct ReadSet {
    /// Whose log is written or whose referrals are looked at: sorted, so that all lock them in one order.
    pub(super) organizations: BTreeSet<Vec<u8>>,
    /// Ids that must not exist yet, under any owner.
    pub(super) new: Vec<ReferralId>,
    /// Referrals whose version was decided on, with their owners.
    pub(super) seen: Vec<(OrganizationId, ReferralId)>,
    pub(super) answers: Vec<(OrganizationId, [u8; 32])>,
    pub(super) guarded: Vec<(EngagementId, OrganizationId)>,
}

impl ReadSet {
    pub(super) fn of<'c>(changes: impl IntoIterator<Item = &'c Change>) -> ReadSet {
        let mut wanted = ReadSet::default();
        for change in changes {
            if let Some(write) = &change.write {
                let (owner, id) = (&write.referral.owner, write.referral.id);
                wanted.organizations.insert(owner.as_bytes().to_vec());
                match write.decided_on {
                    None => wanted.new.push(id),
                    Some(_) => wanted.seen.push((owner.clone(), id)),
                }
            }
            if let Some(idempotency_record) = &change.answer {
                wanted.organizations.insert(idempotency_record.key.organization.as_bytes().to_vec());
                wanted
                    .answers
                    .push((idempotency_record.key.organization.clone(), idempotency_record.key.digest));
            }
            for guard in &change.guards {
                let (engagement, owner, _) = parts(guard);
                wanted.organizations.insert(owner.as_bytes().to_vec());
                wanted.guarded.push((engagement, owner.clone()));
            }
        }
        wanted
    }
}

/// The state that changes are applied to: what the database holds, and then what it will hold.
#[derive(Debug, Clone, Default)]
pub(super) struct GroupState {
    pub(super) positions: HashMap<OrganizationId, Position>,
    pub(super) referrals: HashMap<ReferralId, ExistingReferral>,
    pub(super) answers: HashMap<(OrganizationId, [u8; 32]), StoredResponse>,
    /// How many open referrals an owner has in an engagement that a guard asks about.
    pub(super) open: HashMap<(EngagementId, OrganizationId), i64>,
    pub(super) write_set: WriteSet,
}

/// The rows to write.
#[derive(Debug, Clone, Default)]
pub(super) struct WriteSet {
    pub(super) referrals: HashMap<ReferralId, NewVersion>,
    pub(super) log_rows: Vec<LogRow>,
    pub(super) answers: Vec<IdempotencyRecord>,
}

/// The version of a referral after a group of changes.
#[derive(Debug, Clone)]
pub(super) struct NewVersion {
    pub(super) referral: StoredReferral,
    /// `None`: those that are there.
    pub(super) words: Option<String>,
    /// The version before the group.
    pub(super) before: Option<ExistingReferral>,
}

/// A log entry with its position.
#[derive(Debug, Clone)]
pub(super) struct LogRow {
    pub(super) owner: OrganizationId,
    pub(super) position: Position,
    pub(super) referral: ReferralId,
    pub(super) engagement: EngagementId,
    pub(super) version: u64,
    pub(super) entry: Entry,
}

impl WriteSet {
    pub(super) fn is_empty(&self) -> bool {
        self.referrals.is_empty() && self.log_rows.is_empty() && self.answers.is_empty()
    }
}

impl GroupState {
    /// Applies one change if it may be made.
    pub(super) fn apply(&mut self, change: &Change) -> CommitOutcome {
        if let Some(idempotency_record) = &change.answer {
            let key = (idempotency_record.key.organization.clone(), idempotency_record.key.digest);
            if let Some(answer) = self.answers.get(&key) {
                return CommitOutcome::Replayed(answer.clone());
            }
        }
        if change.write.as_ref().is_some_and(|write| self.is_version_conflict(write)) {
            return CommitOutcome::VersionConflict;
        }
        if !change.guards.iter().all(|guard| self.holds(guard)) {
            return CommitOutcome::GuardFailed;
        }
        let position = change.write.as_ref().map(|write| self.write(write));
        if let Some(idempotency_record) = &change.answer {
            let key = (idempotency_record.key.organization.clone(), idempotency_record.key.digest);
            self.answers.insert(key, idempotency_record.answer.clone());
            self.write_set.answers.push(idempotency_record.clone());
        }
        CommitOutcome::Committed(position)
    }

    /// Applies several changes, or none.
    pub(super) fn apply_all(&mut self, changes: &[Change]) -> AllOrNone {
        let before = self.clone();
        let mut positions = Vec::with_capacity(changes.len());
        for (at, change) in changes.iter().enumerate() {
            match self.apply(change) {
                CommitOutcome::Committed(position) => positions.push(position),
                because => {
                    *self = before;
                    return AllOrNone::None { at, because };
                }
            }
        }
        AllOrNone::All(positions)
    }

    fn is_version_conflict(&self, write: &Write) -> bool {
        match (self.referrals.get(&write.referral.id), write.decided_on) {
            (None, None) => false,
            (Some(known), Some(seen)) => known.version != seen || known.owner != write.referral.owner,
            (None, Some(_)) | (Some(_), None) => true,
        }
    }

    fn holds(&self, guard: &Guard) -> bool {
        let (engagement, owner, wanted) = parts(guard);
        let open = self.open.get(&(engagement, owner.clone())).copied().unwrap_or(0);
        (open > 0) == wanted
    }

    /// Applies a write, regardless of the version it was decided on.
    pub(super) fn write(&mut self, write: &Write) -> Position {
        let referral = &write.referral;
        let now = ExistingReferral::of(referral);
        let before = self.referrals.insert(referral.id, now.clone());
        for (known, change) in [(before.as_ref(), -1), (Some(&now), 1)] {
            if let Some(known) = known.filter(|known| known.is_open())
                && let Some(open) = self.open.get_mut(&(known.engagement, known.owner.clone()))
            {
                *open += change;
            }
        }
        self.write_set
            .referrals
            .entry(referral.id)
            .and_modify(|newest| {
                newest.referral = referral.clone();
                if write.search.is_some() {
                    newest.words.clone_from(&write.search);
                }
            })
            .or_insert_with(|| NewVersion {
                referral: referral.clone(),
                words: write.search.clone(),
                before,
            });
        let position = self.positions.entry(referral.owner.clone()).or_default();
        *position += 1;
        self.write_set.log_rows.push(LogRow {
            owner: referral.owner.clone(),
            position: *position,
            referral: referral.id,
            engagement: referral.engagement_id,
            version: referral.version,
            entry: write.entry.clone(),
        });
        *position
    }
}

fn parts(guard: &Guard) -> (EngagementId, &OrganizationId, bool) {
    match guard {
        Guard::NoOpenReferral { engagement, owner } => (*engagement, owner, false),
        Guard::SomeOpenReferral { engagement, owner } => (*engagement, owner, true),
    }
}
