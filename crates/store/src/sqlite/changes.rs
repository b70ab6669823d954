//! One change inside the writer's transaction: the checks in their order, then every statement it takes.
//!
//! All checks come before the first write, so a change that is refused has written nothing.

use referral::{EngagementId, OrganizationId, ReferralId};
use rusqlite::{Connection, OptionalExtension, named_params, params};

use super::rows;
use crate::{AllOrNone, Change, Columns, Entry, Guard, Outcome, Position, Replayable, StoredReferral, Write};

/// What the table holds of a referral before a write, as far as the write must know.
pub(super) struct Before {
    row: i64,
    version: u64,
    offer_lead: bool,
    created: i64,
    team: Vec<String>,
    owner: Vec<u8>,
}

/// Decides and applies one change.
pub(super) fn apply(connection: &Connection, change: &Change) -> rusqlite::Result<Outcome> {
    if let Some(replayable) = &change.answer
        && let Some(answer) = remembered(connection, replayable)?
    {
        return Ok(Outcome::AlreadyAnswered(answer));
    }
    let before = match &change.write {
        None => None,
        Some(write) => {
            let before = before(connection, write.referral.id)?;
            if overtaken(before.as_ref(), write) {
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
            match &before {
                None => insert(connection, &write.referral)?,
                Some(before) => update(connection, &write.referral, before)?,
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
pub(super) fn apply_all(connection: &Connection, changes: &[Change]) -> rusqlite::Result<AllOrNone> {
    connection.execute_batch("SAVEPOINT all_or_none")?;
    let mut positions = Vec::with_capacity(changes.len());
    for (at, change) in changes.iter().enumerate() {
        match apply(connection, change)? {
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

fn overtaken(before: Option<&Before>, write: &Write) -> bool {
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

fn remember(connection: &Connection, replayable: &Replayable) -> rusqlite::Result<()> {
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

fn before(connection: &Connection, id: ReferralId) -> rusqlite::Result<Option<Before>> {
    connection
        .prepare_cached(
            "SELECT row, version, offer_lead, created, team, owner
             FROM referral
             WHERE id = ?1",
        )?
        .query_row([id.as_bytes()], |row| {
            Ok(Before {
                row: row.get(0)?,
                version: row.get(1)?,
                offer_lead: row.get(2)?,
                created: row.get(3)?,
                team: rows::team(row, 4)?,
                owner: row.get(5)?,
            })
        })
        .optional()
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

/// Adds a referral that is not there yet.
pub(super) fn insert(connection: &Connection, referral: &StoredReferral) -> rusqlite::Result<()> {
    if insert_row(connection, referral)? {
        return add_team(connection, referral);
    }
    // Unreachable within `apply`, which has just looked; the constraint still speaks for itself.
    Err(rusqlite::Error::StatementChangedRows(0))
}

/// Adds a referral unless its id is taken; whether it was added.
pub(super) fn insert_unless_there(
    connection: &Connection,
    referral: &StoredReferral,
) -> rusqlite::Result<bool> {
    let added = insert_row(connection, referral)?;
    if added {
        add_team(connection, referral)?;
    }
    Ok(added)
}

fn insert_row(connection: &Connection, referral: &StoredReferral) -> rusqlite::Result<bool> {
    let columns = &referral.columns;
    let added = connection
        .prepare_cached(
            "INSERT INTO referral (
               id, owner, engagement, version, etag,
               status, substatus, direction, qualification, type,
               offer_lead, shared_with_microsoft, created, updated, expires,
               accepted, sender, country, team, document
             )
             VALUES (
               :id, :owner, :engagement, :version, :etag,
               :status, :substatus, :direction, :qualification, :type,
               :offer_lead, :shared_with_microsoft, :created, :updated, :expires,
               :accepted, :sender, :country, :team, :document
             )
             ON CONFLICT (id) DO NOTHING",
        )?
        .execute(named_params! {
            ":id": referral.id.as_bytes(),
            ":owner": referral.owner.as_bytes(),
            ":engagement": referral.engagement_id.as_bytes(),
            ":version": referral.version,
            ":etag": referral.etag.as_bytes(),
            ":status": columns.status as i64,
            ":substatus": columns.substatus as i64,
            ":direction": columns.direction as i64,
            ":qualification": columns.qualification as i64,
            ":type": columns.referral_type as i64,
            ":offer_lead": columns.offer_lead,
            ":shared_with_microsoft": columns.shared_with_microsoft,
            ":created": columns.created.ticks(),
            ":updated": columns.updated.ticks(),
            ":expires": columns.expires.map(|at| at.ticks()),
            ":accepted": columns.accepted.map(|at| at.ticks()),
            ":sender": columns.sender.as_ref().map(|sender| sender.as_bytes()),
            ":country": columns.country,
            ":team": rows::packed(&columns.team),
            ":document": &referral.document[..],
        })?;
    Ok(added == 1)
}

/// Replaces the state of a referral. Its id, owner and engagement never change.
fn update(connection: &Connection, referral: &StoredReferral, before: &Before) -> rusqlite::Result<()> {
    let columns = &referral.columns;
    connection
        .prepare_cached(
            "UPDATE referral
             SET version = :version,
                 etag = :etag,
                 status = :status,
                 substatus = :substatus,
                 direction = :direction,
                 qualification = :qualification,
                 type = :type,
                 shared_with_microsoft = :shared_with_microsoft,
                 updated = :updated,
                 expires = :expires,
                 accepted = :accepted,
                 sender = :sender,
                 country = :country,
                 team = :team,
                 document = :document
             WHERE row = :row",
        )?
        .execute(named_params! {
            ":row": before.row,
            ":version": referral.version,
            ":etag": referral.etag.as_bytes(),
            ":status": columns.status as i64,
            ":substatus": columns.substatus as i64,
            ":direction": columns.direction as i64,
            ":qualification": columns.qualification as i64,
            ":type": columns.referral_type as i64,
            ":shared_with_microsoft": columns.shared_with_microsoft,
            ":updated": columns.updated.ticks(),
            ":expires": columns.expires.map(|at| at.ticks()),
            ":accepted": columns.accepted.map(|at| at.ticks()),
            ":sender": columns.sender.as_ref().map(|sender| sender.as_bytes()),
            ":country": columns.country,
            ":team": rows::packed(&columns.team),
            ":document": &referral.document[..],
        })?;
    let moved = before.offer_lead != columns.offer_lead || before.created != columns.created.ticks();
    if moved {
        replace(connection, before.row, columns)?;
    }
    if moved || before.team != columns.team {
        remove_team(connection, referral, before)?;
        add_team(connection, referral)?;
    }
    Ok(())
}

/// Moves a referral to another place in its owner's list, which hardly ever happens: apart, so that the common
/// update leaves that index alone.
fn replace(connection: &Connection, row: i64, columns: &Columns) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE referral
             SET offer_lead = ?2,
                 created = ?3
             WHERE row = ?1",
        )?
        .execute(params![row, columns.offer_lead, columns.created.ticks()])?;
    Ok(())
}

fn add_team(connection: &Connection, referral: &StoredReferral) -> rusqlite::Result<()> {
    let columns = &referral.columns;
    for email in &columns.team {
        connection
            .prepare_cached(
                "INSERT INTO team_member (owner, email, offer_lead, created, id)
                 VALUES (?1, ?2, ?3, ?4, ?5)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                referral.owner.as_bytes(),
                email,
                columns.offer_lead,
                columns.created.ticks(),
                referral.id.as_bytes(),
            ])?;
    }
    Ok(())
}

fn remove_team(connection: &Connection, referral: &StoredReferral, before: &Before) -> rusqlite::Result<()> {
    for email in &before.team {
        connection
            .prepare_cached(
                "DELETE FROM team_member
                 WHERE owner = ?1
                   AND email = ?2
                   AND offer_lead = ?3
                   AND created = ?4
                   AND id = ?5",
            )?
            .execute(params![
                referral.owner.as_bytes(),
                email,
                before.offer_lead,
                before.created,
                referral.id.as_bytes(),
            ])?;
    }
    Ok(())
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
    connection
        .prepare_cached(
            "INSERT INTO change_log (
               organization, position, referral, engagement, version,
               action, at, actor_organization, actor_user, changes
             )
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            referral.owner.as_bytes(),
            position,
            referral.id.as_bytes(),
            referral.engagement_id.as_bytes(),
            referral.version,
            entry.action as i64,
            entry.at.ticks(),
            entry.actor.as_ref().map(|actor| actor.organization.as_bytes()),
            entry.actor.as_ref().map(|actor| &actor.user),
            &entry.changes[..],
        ])?;
    Ok(())
}
