//! Pages of an owner's referrals, and how many there are.
//!
//! A page is read as ordered streams that each follow an index exactly: one per e-mail of the team (or one without),
//! per kind shown (offer leads or not), and per side of the cursor's tie (the rest of the same instant, then
//! everything older). The streams are merged here, so no query sorts or reads more than it shows.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use referral::{ReferralId, Timestamp};
use rusqlite::types::ToSql;
use rusqlite::{Connection, params_from_iter};

use super::rows::{self, stored_columns};
use crate::{ListQuery, StoredReferral};

/// A place in the list: newest first, ties by id.
type Place = (Reverse<Timestamp>, ReferralId);

/// One page.
pub(super) fn page(connection: &Connection, query: &ListQuery) -> rusqlite::Result<Vec<Arc<StoredReferral>>> {
    let snapshot = connection.unchecked_transaction()?;
    let mut statement = snapshot.prepare_cached(concat!(
        "SELECT ",
        stored_columns!(),
        "
         FROM referral
         WHERE id = ?1"
    ))?;
    places(&snapshot, query)?
        .into_iter()
        .map(|(_, id)| statement.query_row([id.as_bytes()], rows::shown))
        .filter_map(Result::transpose)
        .collect()
}

/// How many there are, whatever the cursor and the limit.
pub(super) fn count(connection: &Connection, query: &ListQuery) -> rusqlite::Result<u64> {
    let leads = if query.offer_leads { "offer_lead IN (0, 1)" } else { "offer_lead = 0" };
    let owner = query.owner.as_bytes();
    match &query.team {
        None => connection
            .prepare_cached(&format!(
                "SELECT count(*)
                 FROM referral
                 WHERE owner = ?1
                   AND {leads}"
            ))?
            .query_row([owner], |row| row.get(0)),
        Some(emails) => {
            let mut values: Vec<&dyn ToSql> = vec![&owner];
            values.extend(emails.iter().map(|email| email as &dyn ToSql));
            connection
                .prepare(&format!(
                    "SELECT count(DISTINCT id)
                     FROM team_member
                     WHERE owner = ?1
                       AND email IN ({})
                       AND {leads}",
                    vec!["?"; emails.len()].join(", ")
                ))?
                .query_row(params_from_iter(values), |row| row.get(0))
        }
    }
}

/// The page's places in order: the first `limit` of all streams together.
fn places(connection: &Connection, query: &ListQuery) -> rusqlite::Result<Vec<Place>> {
    let emails: Vec<Option<&str>> = match &query.team {
        None => vec![None],
        Some(emails) => emails.iter().map(|email| Some(email.as_str())).collect(),
    };
    let leads: &[bool] = if query.offer_leads { &[false, true] } else { &[false] };
    let mut first = BTreeSet::new();
    for email in emails {
        for &lead in leads {
            stream(connection, query, email, lead, &mut first)?;
            while first.len() > query.limit {
                first.pop_last();
            }
        }
    }
    Ok(first.into_iter().collect())
}

/// Adds one stream's first `limit` places to the set.
fn stream(
    connection: &Connection,
    query: &ListQuery,
    email: Option<&str>,
    lead: bool,
    into: &mut BTreeSet<Place>,
) -> rusqlite::Result<()> {
    let before = |condition: &str, order: &str| {
        let (table, member) =
            if email.is_some() { ("team_member", "AND email = ?2") } else { ("referral", "AND ?2 IS NULL") };
        format!(
            "SELECT created, id
             FROM {table}
             WHERE owner = ?1
               {member}
               AND offer_lead = ?3
               {condition}
             ORDER BY {order}
             LIMIT ?4"
        )
    };
    let owner = query.owner.as_bytes();
    let mut left = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let mut take = |sql: &str, bounds: &[&dyn ToSql], left: i64| -> rusqlite::Result<i64> {
        let mut values: Vec<&dyn ToSql> = vec![&owner, &email, &lead, &left];
        values.extend_from_slice(bounds);
        let mut statement = connection.prepare_cached(sql)?;
        let mut found = statement.query(values.as_slice())?;
        let mut taken = 0;
        while let Some(row) = found.next()? {
            into.insert((Reverse(rows::instant(row, 0)?), rows::referral_id(row, 1)?));
            taken += 1;
        }
        Ok(taken)
    };
    match query.after {
        None => {
            take(&before("", "created DESC, id"), &[], left)?;
        }
        Some((created, id)) => {
            let created = created.ticks();
            left -= take(&before("AND created = ?5 AND id > ?6", "id"), &[&created, &id.as_bytes()], left)?;
            if left > 0 {
                take(&before("AND created < ?5", "created DESC, id"), &[&created], left)?;
            }
        }
    }
    Ok(())
}
