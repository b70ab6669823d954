//! One change inside the writer's transaction: the checks in their order, then every statement it takes.
//!
//! All checks come before the first write, so a change that is refused has written nothing.

use std::collections::{HashMap, HashSet};

use referral::{EngagementId, OrganizationId, ReferralId};
use rusqlite::{Connection, OptionalExtension, params};

use super::compression::EncodedChange;
use super::rows;
use super::writes::{self, PreviousVersion, Words};
use crate::{
    AllOrNone, CommitOutcome, Entry, Guard, IdempotencyRecord, Position, StoredReferral, Version, Write,
};

/// Versions that a later change of the same commit replaces: each has its entry in the log, and none a row.
type StagedVersions<'c> = HashMap<ReferralId, StagedVersion<'c>>;

struct StagedVersion<'c> {
    version: Version,
    /// Its words, where the changes that are passed have new ones.
    words: Option<&'c str>,
}

/// Decides and applies one change; `searchable`: its words go into the search index.
pub(super) fn apply(
    connection: &Connection,
    encoded: &EncodedChange,
    searchable: bool,
) -> rusqlite::Result<CommitOutcome> {
    apply_in(connection, encoded, searchable, &mut StagedVersions::new(), false)
}

/// Decides and applies a change after others of the same commit. One that `passes` leaves no row: the next change of its
/// referral writes it, and nothing before that looks at it.
fn apply_in<'c>(
    connection: &Connection,
    encoded: &'c EncodedChange,
    searchable: bool,
    staged: &mut StagedVersions<'c>,
    passes: bool,
) -> rusqlite::Result<CommitOutcome> {
    let EncodedChange { change, document } = encoded;
    if let Some(idempotency_record) = &change.answer
        && let Some(answer) = remembered(connection, idempotency_record)?
    {
        return Ok(CommitOutcome::Replayed(answer));
    }
    let before = match &change.write {
        None => None,
        Some(write) => {
            let before = writes::previous_version(connection, write.referral.id)?;
            if is_version_conflict(before.as_ref(), staged.get(&write.referral.id), write) {
                return Ok(CommitOutcome::VersionConflict);
            }
            before
        }
    };
    for guard in &change.guards {
        if !holds(connection, guard)? {
            return Ok(CommitOutcome::GuardFailed);
        }
    }
    let position = match &change.write {
        None => None,
        Some(write) => {
            let earlier = staged.remove(&write.referral.id).and_then(|staged| staged.words);
            let words = write.search.as_deref().or(earlier);
            if passes {
                staged.insert(write.referral.id, StagedVersion { version: write.referral.version, words });
            } else {
                let words = match words {
                    _ if !searchable => Words::NotIndexed,
                    Some(words) => Words::Are(words),
                    None => Words::AsBefore,
                };
                match &before {
                    None => writes::insert(connection, &write.referral, document, words)?,
                    Some(before) => writes::update(connection, &write.referral, document, words, before)?,
                }
            }
            Some(append(connection, &write.referral, &write.entry)?)
        }
    };
    if let Some(idempotency_record) = &change.answer {
        remember(connection, idempotency_record)?;
    }
    Ok(CommitOutcome::Committed(position))
}

/// Decides and applies several changes, or none. Only these need a savepoint: one that is refused comes after others
/// that have written.
pub(super) fn apply_all(
    connection: &Connection,
    changes: &[EncodedChange],
    searchable: bool,
) -> rusqlite::Result<AllOrNone> {
    connection.execute_batch("SAVEPOINT all_or_none")?;
    let mut positions = Vec::with_capacity(changes.len());
    let (is_replaced_later, mut staged) = (is_replaced_later(changes), StagedVersions::new());
    for (at, (change, passes)) in changes.iter().zip(is_replaced_later).enumerate() {
        match apply_in(connection, change, searchable, &mut staged, passes)? {
            CommitOutcome::Committed(position) => positions.push(position),
            because => {
                connection.execute_batch("ROLLBACK TO all_or_none; RELEASE all_or_none")?;
                return Ok(AllOrNone::None { at, because });
            }
        }
    }
    connection.execute_batch("RELEASE all_or_none")?;
    Ok(AllOrNone::All(positions))
}

/// Which changes leave no row: those of a referral that a later one changes too, with no guard up to that one, for a guard
/// looks at rows.
fn is_replaced_later(changes: &[EncodedChange]) -> Vec<bool> {
    let mut later = HashSet::new();
    let mut is_replaced_later = vec![false; changes.len()];
    for (passes, EncodedChange { change, .. }) in is_replaced_later.iter_mut().zip(changes).rev() {
        if let Some(write) = &change.write {
            *passes = !later.insert(write.referral.id);
        }
        if !change.guards.is_empty() {
            later.clear();
        }
    }
    is_replaced_later
}

fn is_version_conflict(
    before: Option<&PreviousVersion>,
    staged: Option<&StagedVersion<'_>>,
    write: &Write,
) -> bool {
    if let Some(staged) = staged {
        return write.decided_on != Some(staged.version);
    }
    match (before, write.decided_on) {
        (None, None) => false,
        (Some(before), Some(seen)) => {
            before.version != seen || before.owner != write.referral.owner.as_bytes()
        }
        (None, Some(_)) | (Some(_), None) => true,
    }
}

fn remembered(
    connection: &Connection,
    idempotency_record: &IdempotencyRecord,
) -> rusqlite::Result<Option<crate::StoredResponse>> {
    connection
        .prepare_cached(
            "SELECT request_digest, status, content
             FROM answer
             WHERE digest = ?1
               AND organization = ?2",
        )?
        .query_row(
            params![idempotency_record.key.digest, idempotency_record.key.organization.as_bytes()],
            rows::answer,
        )
        .optional()
}

pub(super) fn remember(
    connection: &Connection,
    idempotency_record: &IdempotencyRecord,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO answer (organization, digest, remembered_at, status, request_digest, content)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            idempotency_record.key.organization.as_bytes(),
            idempotency_record.key.digest,
            idempotency_record.at.ticks(),
            idempotency_record.answer.status,
            idempotency_record.answer.request_digest,
            &idempotency_record.answer.content[..],
        ])?;
    Ok(())
}

fn holds(connection: &Connection, guard: &Guard) -> rusqlite::Result<bool> {
    let (engagement, owner, wanted) = match guard {
        Guard::NoOpenReferral { engagement, owner } => (engagement, owner, false),
        Guard::SomeOpenReferral { engagement, owner } => (engagement, owner, true),
    };
    Ok(has_open(connection, *engagement, owner)? == wanted)
}

/// Whether the owner has a referral in the engagement that is not `Closed`.
pub(super) fn has_open(
    connection: &Connection,
    engagement: EngagementId,
    owner: &OrganizationId,
) -> rusqlite::Result<bool> {
    // Status 3 is `Closed`.
    connection
        .prepare_cached(
            "SELECT EXISTS (
               SELECT 1
               FROM referral
               WHERE engagement = ?1
                 AND owner = ?2
                 AND status <> 3
             )",
        )?
        .query_row(params![engagement.as_bytes(), owner.as_bytes()], |row| row.get(0))
}

/// Appends a log entry and gives it the next position of its organization.
fn append(connection: &Connection, referral: &StoredReferral, entry: &Entry) -> rusqlite::Result<Position> {
    let position = last_position(connection, referral.owner.as_bytes())? + 1;
    append_at(connection, referral, entry, position)?;
    Ok(position)
}

/// The newest position of an organization; 0 before the first.
pub(super) fn last_position(connection: &Connection, organization: &[u8]) -> rusqlite::Result<Position> {
    connection
        .prepare_cached(
            "SELECT coalesce(max(position), 0)
             FROM change_log
             WHERE organization = ?1",
        )?
        .query_row([organization], |row| row.get(0))
}

/// Appends a log entry at a position that the caller counted.
pub(super) fn append_at(
    connection: &Connection,
    referral: &StoredReferral,
    entry: &Entry,
    position: Position,
) -> rusqlite::Result<()> {
    let subject = Subject {
        organization: &referral.owner,
        referral: referral.id,
        engagement: referral.engagement_id,
        version: referral.version,
    };
    append_of(connection, &subject, entry, position)
}

/// What an entry of the log is about.
pub(super) struct Subject<'a> {
    pub(super) organization: &'a OrganizationId,
    pub(super) referral: ReferralId,
    pub(super) engagement: EngagementId,
    pub(super) version: Version,
}

/// Appends news of a version that need not be the newest.
pub(super) fn append_of(
    connection: &Connection,
    subject: &Subject<'_>,
    entry: &Entry,
    position: Position,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO change_log (
               organization, position, referral, engagement, version,
               action, at, actor_organization, actor_user, changes
             )
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            subject.organization.as_bytes(),
            position,
            subject.referral.as_bytes(),
            subject.engagement.as_bytes(),
            subject.version,
            entry.action as i64,
            entry.at.ticks(),
            entry.actor.as_ref().map(|actor| actor.organization.as_bytes()),
            entry.actor.as_ref().map(|actor| &actor.user),
            &entry.changes[..],
        ])?;
    Ok(())
}
