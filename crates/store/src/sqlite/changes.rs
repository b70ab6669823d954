//! One change inside the writer's transaction: the checks in their order, then every statement it takes.
//!
//! All checks come before the first write, so a change that is refused has written nothing.

use std::collections::{HashMap, HashSet};

use referral::{EngagementId, OrganizationId, ReferralId};
use rusqlite::{Connection, OptionalExtension, params};

use super::packing::Ready;
use super::referrals::{self, Before, Words};
use super::rows;
use crate::{AllOrNone, Entry, Guard, Outcome, Position, Replayable, StoredReferral, Version, Write};

/// Versions that a later change of the same commit replaces: each has its entry in the log, and none a row.
type Passed<'c> = HashMap<ReferralId, PassedVersion<'c>>;

struct PassedVersion<'c> {
    version: Version,
    /// Its words, where the changes that are passed have new ones.
    words: Option<&'c str>,
}

/// Decides and applies one change; `searchable`: its words go into the search index.
pub(super) fn apply(connection: &Connection, ready: &Ready, searchable: bool) -> rusqlite::Result<Outcome> {
    apply_in(connection, ready, searchable, &mut Passed::new(), false)
}

/// Decides and applies a change after others of the same commit. One that `passes` leaves no row: the next change of its
/// referral writes it, and nothing before that looks at it.
fn apply_in<'c>(
    connection: &Connection,
    ready: &'c Ready,
    searchable: bool,
    passed: &mut Passed<'c>,
    passes: bool,
) -> rusqlite::Result<Outcome> {
    let Ready { change, document } = ready;
    if let Some(replayable) = &change.answer
        && let Some(answer) = remembered(connection, replayable)?
    {
        return Ok(Outcome::AlreadyAnswered(answer));
    }
    let before = match &change.write {
        None => None,
        Some(write) => {
            let before = referrals::before(connection, write.referral.id)?;
            if overtaken(before.as_ref(), passed.get(&write.referral.id), write) {
                return Ok(Outcome::Overtaken);
            }
            before
        }
    };
    for guard in &change.guards {
        if !holds(connection, guard)? {
            return Ok(Outcome::GuardFailed);
        }
    }
    let position = match &change.write {
        None => None,
        Some(write) => {
            let earlier = passed.remove(&write.referral.id).and_then(|passed| passed.words);
            let words = write.search.as_deref().or(earlier);
            if passes {
                passed.insert(write.referral.id, PassedVersion { version: write.referral.version, words });
            } else {
                let words = match words {
                    _ if !searchable => Words::NotIndexed,
                    Some(words) => Words::Are(words),
                    None => Words::AsBefore,
                };
                match &before {
                    None => referrals::insert(connection, &write.referral, document, words)?,
                    Some(before) => referrals::update(connection, &write.referral, document, words, before)?,
                }
            }
            Some(append(connection, &write.referral, &write.entry)?)
        }
    };
    if let Some(replayable) = &change.answer {
        remember(connection, replayable)?;
    }
    Ok(Outcome::Committed(position))
}

/// Decides and applies several changes, or none. Only these need a savepoint: one that is refused comes after others
/// that have written.
pub(super) fn apply_all(
    connection: &Connection,
    changes: &[Ready],
    searchable: bool,
) -> rusqlite::Result<AllOrNone> {
    connection.execute_batch("SAVEPOINT all_or_none")?;
    let mut positions = Vec::with_capacity(changes.len());
    let (passing, mut passed) = (passing(changes), Passed::new());
    for (at, (change, passes)) in changes.iter().zip(passing).enumerate() {
        match apply_in(connection, change, searchable, &mut passed, passes)? {
            Outcome::Committed(position) => positions.push(position),
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
fn passing(changes: &[Ready]) -> Vec<bool> {
    let mut later = HashSet::new();
    let mut passing = vec![false; changes.len()];
    for (passes, Ready { change, .. }) in passing.iter_mut().zip(changes).rev() {
        if let Some(write) = &change.write {
            *passes = !later.insert(write.referral.id);
        }
        if !change.guards.is_empty() {
            later.clear();
        }
    }
    passing
}

fn overtaken(before: Option<&Before>, passed: Option<&PassedVersion<'_>>, write: &Write) -> bool {
    if let Some(passed) = passed {
        return write.decided_on != Some(passed.version);
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
    replayable: &Replayable,
) -> rusqlite::Result<Option<crate::RememberedAnswer>> {
    connection
        .prepare_cached(
            "SELECT request_digest, status, content
             FROM answer
             WHERE digest = ?1
               AND organization = ?2",
        )?
        .query_row(params![replayable.key.digest, replayable.key.organization.as_bytes()], rows::answer)
        .optional()
}

pub(super) fn remember(connection: &Connection, replayable: &Replayable) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO answer (organization, digest, remembered_at, status, request_digest, content)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute(params![
            replayable.key.organization.as_bytes(),
            replayable.key.digest,
            replayable.at.ticks(),
            replayable.answer.status,
            replayable.answer.request_digest,
            &replayable.answer.content[..],
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

/// Appends the news and gives it the next position of its organization.
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

/// Appends the news at a position the caller counted.
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
