//! Referrals being written: their row, their team, and what is counted of them.

use std::collections::HashMap;
use std::sync::LazyLock;

use referral::{OrganizationId, ReferralId};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, OptionalExtension, params, params_from_iter};

use super::{rows, search};
use crate::StoredReferral;
use crate::planner::FacetKey;
use odata::tokenizer::digest;

/// Columns that are written together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    /// Never changes.
    Fixed,
    /// Changes with every version.
    Version,
    /// Its position in its owner's lists.
    Cursor,
    /// The members of its facet key.
    FacetKey,
    /// When it expires.
    Expiry,
    /// The customer's country.
    Country,
    /// Which words are in the search index.
    Search,
}

/// Groups that a write may leave out: an index is touched by every statement that names one of its columns.
const OPTIONAL: [Group; 5] = [Group::Cursor, Group::FacetKey, Group::Expiry, Group::Country, Group::Search];

/// Every column but `row`; [`values`] gives them in this order.
const COLUMNS: [(&str, Group); 22] = [
    ("id", Group::Fixed),
    ("owner", Group::Fixed),
    ("engagement", Group::Fixed),
    ("version", Group::Version),
    ("etag", Group::Version),
    ("status", Group::FacetKey),
    ("substatus", Group::FacetKey),
    ("direction", Group::FacetKey),
    ("qualification", Group::FacetKey),
    ("type", Group::FacetKey),
    ("class", Group::FacetKey),
    ("offer_lead", Group::Cursor),
    ("shared_with_microsoft", Group::Version),
    ("created", Group::Cursor),
    ("updated", Group::Version),
    ("expires", Group::Expiry),
    ("accepted", Group::Version),
    ("sender", Group::Version),
    ("country", Group::Country),
    ("team", Group::Version),
    ("search_digest", Group::Search),
    ("document", Group::Version),
];

fn values<'a>(
    referral: &'a StoredReferral,
    document: &'a [u8],
    digest: Option<i64>,
) -> [ToSqlOutput<'a>; COLUMNS.len()] {
    fn integer<'a>(number: impl Into<i64>) -> ToSqlOutput<'a> {
        ToSqlOutput::Owned(Value::Integer(number.into()))
    }
    fn blob(bytes: &[u8]) -> ToSqlOutput<'_> {
        ToSqlOutput::Borrowed(ValueRef::Blob(bytes))
    }
    fn or_null<'a, T>(value: Option<T>, some: impl FnOnce(T) -> ToSqlOutput<'a>) -> ToSqlOutput<'a> {
        value.map_or(ToSqlOutput::Owned(Value::Null), some)
    }
    let columns = &referral.columns;
    [
        blob(referral.id.as_bytes()),
        blob(referral.owner.as_bytes()),
        blob(referral.engagement_id.as_bytes()),
        integer(i64::try_from(referral.version).unwrap_or(i64::MAX)),
        blob(referral.etag.as_bytes()),
        integer(columns.status as i64),
        integer(columns.substatus as i64),
        integer(columns.direction as i64),
        integer(columns.qualification as i64),
        integer(columns.referral_type as i64),
        integer(FacetKey::of(columns).0),
        integer(columns.offer_lead),
        integer(columns.shared_with_microsoft),
        integer(columns.created.ticks()),
        integer(columns.updated.ticks()),
        or_null(columns.expires, |at| integer(at.ticks())),
        or_null(columns.accepted, |at| integer(at.ticks())),
        or_null(columns.sender.as_ref(), |sender| blob(sender.as_bytes())),
        or_null(columns.country.as_deref(), ToSqlOutput::from),
        or_null(rows::encoded_team(&columns.team), |team| ToSqlOutput::Owned(Value::Blob(team))),
        or_null(digest, integer),
        blob(document),
    ]
}

static INSERT: LazyLock<String> = LazyLock::new(|| {
    let names: Vec<&str> = COLUMNS.iter().map(|(name, _)| *name).collect();
    let places: Vec<String> = (1..=COLUMNS.len()).map(|place| format!("?{place}")).collect();
    format!(
        "INSERT INTO referral ({}) VALUES ({}) ON CONFLICT (id) DO NOTHING",
        names.join(", "),
        places.join(", ")
    )
});

/// One statement for each set of optional groups: the place in the list has the bits of their places.
static UPDATES: LazyLock<Vec<String>> = LazyLock::new(|| {
    let update = |set: usize| {
        let changed = |group: &Group| match OPTIONAL.iter().position(|optional| optional == group) {
            Some(place) => set >> place & 1 == 1,
            None => *group == Group::Version,
        };
        let assignments: Vec<String> = (1..)
            .zip(&COLUMNS)
            .filter(|(_, (_, group))| changed(group))
            .map(|(place, (name, _))| format!("{name} = ?{place}"))
            .collect();
        format!("UPDATE referral SET {} WHERE row = ?{}", assignments.join(", "), COLUMNS.len() + 1)
    };
    (0..1 << OPTIONAL.len()).map(update).collect()
});

/// The version of a referral before a write, as far as the write needs it.
pub(super) struct PreviousVersion {
    row: i64,
    pub(super) version: u64,
    pub(super) owner: Vec<u8>,
    offer_lead: bool,
    created: i64,
    facet: FacetKey,
    expires: Option<i64>,
    country: Option<String>,
    team: Vec<String>,
    digest: Option<i64>,
}

/// Returns the current version of a referral.
pub(super) fn previous_version(
    connection: &Connection,
    id: ReferralId,
) -> rusqlite::Result<Option<PreviousVersion>> {
    connection
        .prepare_cached(
            "SELECT row, version, owner, offer_lead, created, class, expires, country, team,
                    search_digest
             FROM referral
             WHERE id = ?1",
        )?
        .query_row([id.as_bytes()], |row| {
            Ok(PreviousVersion {
                row: row.get(0)?,
                version: row.get(1)?,
                owner: row.get(2)?,
                offer_lead: row.get(3)?,
                created: row.get(4)?,
                facet: FacetKey(row.get(5)?),
                expires: row.get(6)?,
                country: row.get(7)?,
                team: rows::team(row, 8)?,
                digest: row.get(9)?,
            })
        })
        .optional()
}

/// What `$search` finds a referral by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Words<'a> {
    Are(&'a str),
    /// Those of the version before; none for a new referral.
    AsBefore,
    /// The search index is switched off.
    NotIndexed,
}

/// Adds a referral that is not there yet, with its [packed](super::compression) document and the words that find it;
/// without words it is not searchable.
pub(super) fn insert(
    connection: &Connection,
    referral: &StoredReferral,
    document: &[u8],
    words: Words<'_>,
) -> rusqlite::Result<()> {
    let mut facet_count_changes = FacetCountChanges::default();
    let words = match words {
        Words::Are(words) => Some(words),
        Words::AsBefore => Some(""),
        Words::NotIndexed => None,
    };
    if !insert_unless_there(connection, referral, document, words, &mut facet_count_changes)? {
        // Unreachable after a look at what is there; the constraint still speaks for itself.
        return Err(rusqlite::Error::StatementChangedRows(0));
    }
    facet_count_changes.write(connection)
}

/// Adds a referral unless its id is taken; whether it was added. It is counted in `tallies`, which the caller writes.
pub(super) fn insert_unless_there(
    connection: &Connection,
    referral: &StoredReferral,
    document: &[u8],
    words: Option<&str>,
    facet_count_changes: &mut FacetCountChanges,
) -> rusqlite::Result<bool> {
    let values = values(referral, document, words.map(digest));
    let added = connection.prepare_cached(&INSERT)?.execute(params_from_iter(values))? == 1;
    if added {
        let row = connection.last_insert_rowid();
        add_team(connection, referral, row)?;
        if let Some(words) = words {
            search::add(connection, &referral.owner, row, words)?;
        }
        let columns = &referral.columns;
        facet_count_changes.count(
            &referral.owner,
            columns.offer_lead,
            FacetKey::of(columns),
            columns.country.as_deref(),
            1,
        );
    }
    Ok(added)
}

/// Replaces the state of a referral. Its id, owner and engagement never change.
pub(super) fn update(
    connection: &Connection,
    referral: &StoredReferral,
    document: &[u8],
    words: Words<'_>,
    before: &PreviousVersion,
) -> rusqlite::Result<()> {
    let columns = &referral.columns;
    let moved = before.offer_lead != columns.offer_lead || before.created != columns.created.ticks();
    let reclassed = before.facet != FacetKey::of(columns);
    let elsewhere = before.country != columns.country;
    let digest = match words {
        Words::Are(words) => Some(digest(words)),
        Words::AsBefore => before.digest,
        Words::NotIndexed => None,
    };
    let reworded = before.digest != digest;
    let set = OPTIONAL.iter().zip(0..).fold(0, |set, (group, place)| {
        let changed = match group {
            Group::Cursor => moved,
            Group::FacetKey => reclassed,
            Group::Expiry => before.expires != columns.expires.map(|at| at.ticks()),
            Group::Country => elsewhere,
            Group::Search => reworded,
            Group::Fixed | Group::Version => false,
        };
        set | usize::from(changed) << place
    });
    let row = ToSqlOutput::from(before.row);
    connection
        .prepare_cached(&UPDATES[set])?
        .execute(params_from_iter(values(referral, document, digest).into_iter().chain([row])))?;
    if moved || before.team != columns.team {
        remove_team(connection, referral, before)?;
        add_team(connection, referral, before.row)?;
    }
    if reworded {
        if before.digest.is_some() {
            search::remove(connection, before.row)?;
        }
        if let Words::Are(words) = words {
            search::add(connection, &referral.owner, before.row, words)?;
        }
    }
    if reclassed || elsewhere || before.offer_lead != columns.offer_lead {
        let mut facet_count_changes = FacetCountChanges::default();
        let owner = &referral.owner;
        facet_count_changes.count(owner, before.offer_lead, before.facet, before.country.as_deref(), -1);
        facet_count_changes.count(
            owner,
            columns.offer_lead,
            FacetKey::of(columns),
            columns.country.as_deref(),
            1,
        );
        facet_count_changes.write(connection)?;
    }
    Ok(())
}

fn add_team(connection: &Connection, referral: &StoredReferral, row: i64) -> rusqlite::Result<()> {
    let columns = &referral.columns;
    for email in &columns.team {
        connection
            .prepare_cached(
                "INSERT INTO team_member (owner, email, offer_lead, created, id, referral)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                referral.owner.as_bytes(),
                email,
                columns.offer_lead,
                columns.created.ticks(),
                referral.id.as_bytes(),
                row,
            ])?;
    }
    Ok(())
}

fn remove_team(
    connection: &Connection,
    referral: &StoredReferral,
    before: &PreviousVersion,
) -> rusqlite::Result<()> {
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

/// Changes of the facet counts, gathered until they are written.
#[derive(Default)]
pub(super) struct FacetCountChanges {
    facets: HashMap<(OrganizationId, bool, FacetKey), i64>,
    countries: HashMap<(OrganizationId, bool, FacetKey, String), i64>,
}

impl FacetCountChanges {
    fn count(
        &mut self,
        owner: &OrganizationId,
        lead: bool,
        facet: FacetKey,
        country: Option<&str>,
        change: i64,
    ) {
        *self.facets.entry((owner.clone(), lead, facet)).or_default() += change;
        if let Some(country) = country {
            *self.countries.entry((owner.clone(), lead, facet, country.to_owned())).or_default() += change;
        }
    }

    /// Writes what was gathered, within the transaction of the referrals.
    pub(super) fn write(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        for ((owner, lead, facet), change) in self.facets.drain().filter(|(_, change)| *change != 0) {
            connection
                .prepare_cached(
                    "INSERT INTO tally (owner, offer_lead, class, n)
                     VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (owner, offer_lead, class) DO UPDATE
                     SET n = n + excluded.n",
                )?
                .execute(params![owner.as_bytes(), lead, facet.0, change])?;
        }
        for ((owner, lead, facet, country), change) in
            self.countries.drain().filter(|(_, change)| *change != 0)
        {
            connection
                .prepare_cached(
                    "INSERT INTO country_tally (owner, offer_lead, country, class, n)
                     VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (owner, offer_lead, country, class) DO UPDATE
                     SET n = n + excluded.n",
                )?
                .execute(params![owner.as_bytes(), lead, country, facet.0, change])?;
        }
        Ok(())
    }
}
