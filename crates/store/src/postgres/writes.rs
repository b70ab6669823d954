//! The statements that write a group of changes: one for each table, whatever the size of the group.

use std::collections::HashMap;

use referral::OrganizationId;
use tokio_postgres::types::{ToSql, Type};

use super::changes::{ExistingReferral, GroupState, NewVersion, WriteSet};
use super::rows;
use crate::planner::FacetKey;
use crate::{Position, StoredReferral};

/// A statement and the columns of the rows it writes.
pub(super) struct Statement {
    pub(super) sql: &'static str,
    params: Vec<(Box<dyn ToSql + Sync + Send>, Type)>,
}

impl Statement {
    pub(super) fn params(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.params.iter().map(|(value, ty)| (&**value as &(dyn ToSql + Sync), ty.clone())).collect()
    }

    fn column<T: ToSql + Sync + Send + 'static>(&mut self, ty: Type, values: impl Iterator<Item = T>) {
        self.params.push((Box::new(values.collect::<Vec<T>>()), ty));
    }
}

fn statement(sql: &'static str) -> Statement {
    Statement { sql, params: Vec::new() }
}

/// Every statement that a decided group takes, in their order.
pub(super) fn statements(state: &GroupState) -> Vec<Statement> {
    let write_set = &state.write_set;
    let mut all = rows_of(write_set);
    let changes = counted(write_set);
    all.extend(facet_count_changes(changes.into_iter()));
    if !write_set.log_rows.is_empty() {
        all.push(heads(&state.positions));
    }
    all
}

/// The statements for everything that is a row of its own: all but facet counts and the heads of logs, which many groups
/// of one transaction write once in the end.
pub(super) fn rows_of(write_set: &WriteSet) -> Vec<Statement> {
    let mut new = Vec::new();
    let mut changed = Vec::new();
    for NewVersion { referral, before, .. } in write_set.referrals.values() {
        match before {
            None => new.push(referral),
            Some(before) => changed.push((referral, before)),
        }
    }
    let mut all = Vec::new();
    if !new.is_empty() {
        all.push(directory(&new));
        all.push(referrals(INSERT, &new));
    }
    if !changed.is_empty() {
        let newest: Vec<_> = changed.iter().map(|(referral, _)| *referral).collect();
        all.push(referrals(UPDATE, &newest));
        let moved = changed.iter().filter(|(referral, before)| before.created != ticks(referral));
        let moved: Vec<_> = moved.map(|(referral, _)| *referral).collect();
        if !moved.is_empty() {
            all.push(moves(&moved));
        }
    }
    all.extend(words(write_set));
    all.extend(teams(write_set));
    if !write_set.log_rows.is_empty() {
        all.push(log_rows(write_set));
    }
    if !write_set.answers.is_empty() {
        all.push(answers(write_set));
    }
    all
}

fn ticks(referral: &StoredReferral) -> i64 {
    referral.columns.created.ticks()
}

fn bytes(owner: &OrganizationId) -> Vec<u8> {
    owner.as_bytes().to_vec()
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn small(facet: FacetKey) -> i16 {
    i16::try_from(facet.0).unwrap_or(i16::MAX)
}

fn directory(new: &[&StoredReferral]) -> Statement {
    let mut insert = statement(
        "INSERT INTO referral_directory (id, owner, engagement, created)
         SELECT id, owner, engagement, created
         FROM unnest($1, $2, $3, $4) AS new (id, owner, engagement, created)",
    );
    insert.column(Type::BYTEA_ARRAY, new.iter().map(|referral| referral.id.as_bytes().to_vec()));
    insert.column(Type::BYTEA_ARRAY, new.iter().map(|referral| bytes(&referral.owner)));
    insert.column(Type::BYTEA_ARRAY, new.iter().map(|referral| referral.engagement_id.as_bytes().to_vec()));
    insert.column(Type::INT8_ARRAY, new.iter().map(|referral| ticks(referral)));
    insert
}

fn moves(moved: &[&StoredReferral]) -> Statement {
    let mut update = statement(
        "UPDATE referral_directory
         SET created = new.created
         FROM unnest($1, $2) AS new (id, created)
         WHERE referral_directory.id = new.id",
    );
    update.column(Type::BYTEA_ARRAY, moved.iter().map(|referral| referral.id.as_bytes().to_vec()));
    update.column(Type::INT8_ARRAY, moved.iter().map(|referral| ticks(referral)));
    update
}

const INSERT: &str = "INSERT INTO referral (
       owner, id, engagement, version, etag, class, status, offer_lead, shared_with_microsoft,
       created, updated, expires, accepted, sender, country, team, document
     )
     SELECT owner, id, engagement, version, etag, class, status, offer_lead, shared_with_microsoft,
            created, updated, expires, accepted, sender, country, team, document
     FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) AS new (
       owner, id, engagement, version, etag, class, status, offer_lead, shared_with_microsoft,
       created, updated, expires, accepted, sender, country, team, document
     )";

const UPDATE: &str = "UPDATE referral
     SET version = new.version,
         etag = new.etag,
         class = new.class,
         status = new.status,
         offer_lead = new.offer_lead,
         shared_with_microsoft = new.shared_with_microsoft,
         created = new.created,
         updated = new.updated,
         expires = new.expires,
         accepted = new.accepted,
         sender = new.sender,
         country = new.country,
         team = new.team,
         document = new.document
     FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) AS new (
       owner, id, engagement, version, etag, class, status, offer_lead, shared_with_microsoft,
       created, updated, expires, accepted, sender, country, team, document
     )
     WHERE referral.owner = new.owner
       AND referral.id = new.id";

fn referrals(sql: &'static str, all: &[&StoredReferral]) -> Statement {
    let mut write = statement(sql);
    let columns = || all.iter().map(|referral| &referral.columns);
    write.column(Type::BYTEA_ARRAY, all.iter().map(|referral| bytes(&referral.owner)));
    write.column(Type::BYTEA_ARRAY, all.iter().map(|referral| referral.id.as_bytes().to_vec()));
    write.column(Type::BYTEA_ARRAY, all.iter().map(|referral| referral.engagement_id.as_bytes().to_vec()));
    write.column(Type::INT8_ARRAY, all.iter().map(|referral| whole(referral.version)));
    write.column(Type::BYTEA_ARRAY, all.iter().map(|referral| referral.etag.as_bytes().to_vec()));
    write.column(Type::INT2_ARRAY, columns().map(|columns| small(FacetKey::of(columns))));
    write.column(Type::INT2_ARRAY, columns().map(|columns| columns.status as i16));
    write.column(Type::BOOL_ARRAY, columns().map(|columns| columns.offer_lead));
    write.column(Type::BOOL_ARRAY, columns().map(|columns| columns.shared_with_microsoft));
    write.column(Type::INT8_ARRAY, columns().map(|columns| columns.created.ticks()));
    write.column(Type::INT8_ARRAY, columns().map(|columns| columns.updated.ticks()));
    write.column(Type::INT8_ARRAY, columns().map(|columns| columns.expires.map(|at| at.ticks())));
    write.column(Type::INT8_ARRAY, columns().map(|columns| columns.accepted.map(|at| at.ticks())));
    write.column(Type::BYTEA_ARRAY, columns().map(|columns| columns.sender.as_ref().map(bytes)));
    write.column(Type::BYTEA_ARRAY, columns().map(|columns| columns.country.clone().map(String::into_bytes)));
    write.column(Type::BYTEA_ARRAY, columns().map(|columns| rows::encoded_team(&columns.team)));
    write.column(Type::BYTEA_ARRAY, all.iter().map(|referral| referral.document.to_vec()));
    write
}

/// Most changes leave the words as they are.
fn words(write_set: &WriteSet) -> Option<Statement> {
    let newest = write_set.referrals.values();
    let all: Vec<_> = newest.filter_map(|newest| Some((&newest.referral, newest.words.as_ref()?))).collect();
    if all.is_empty() {
        return None;
    }
    let mut upsert = statement(
        "INSERT INTO referral_words (owner, id, words)
         SELECT owner, id, words
         FROM unnest($1, $2, $3) AS new (owner, id, words)
         ON CONFLICT (owner, id) DO UPDATE
         SET words = excluded.words
         WHERE referral_words.words <> excluded.words",
    );
    upsert.column(Type::BYTEA_ARRAY, all.iter().map(|(referral, _)| bytes(&referral.owner)));
    upsert.column(Type::BYTEA_ARRAY, all.iter().map(|(referral, _)| referral.id.as_bytes().to_vec()));
    upsert.column(Type::TEXT_ARRAY, all.iter().map(|(_, words)| (*words).clone()));
    Some(upsert)
}

/// A row of `team_member`.
struct TeamMember<'a> {
    owner: &'a OrganizationId,
    email: &'a str,
    offer_lead: bool,
    created: i64,
    id: [u8; 16],
}

fn members(sql: &'static str, all: &[TeamMember<'_>]) -> Statement {
    let mut write = statement(sql);
    write.column(Type::BYTEA_ARRAY, all.iter().map(|member| bytes(member.owner)));
    write.column(Type::BYTEA_ARRAY, all.iter().map(|member| member.email.as_bytes().to_vec()));
    write.column(Type::BOOL_ARRAY, all.iter().map(|member| member.offer_lead));
    write.column(Type::INT8_ARRAY, all.iter().map(|member| member.created));
    write.column(Type::BYTEA_ARRAY, all.iter().map(|member| member.id.to_vec()));
    write
}

fn teams(write_set: &WriteSet) -> Vec<Statement> {
    let (mut gone, mut come) = (Vec::new(), Vec::new());
    for NewVersion { referral, before, .. } in write_set.referrals.values() {
        let (owner, id, columns) = (&referral.owner, *referral.id.as_bytes(), &referral.columns);
        let (offer_lead, created) = (columns.offer_lead, ticks(referral));
        let stays = |before: &&ExistingReferral| {
            before.offer_lead == offer_lead && before.created == created && before.team == columns.team
        };
        if before.as_ref().is_some_and(|before| stays(&before)) {
            continue;
        }
        if let Some(before) = before {
            let (offer_lead, created) = (before.offer_lead, before.created);
            gone.extend(before.team.iter().map(|email| TeamMember { owner, email, offer_lead, created, id }));
        }
        come.extend(columns.team.iter().map(|email| TeamMember { owner, email, offer_lead, created, id }));
    }
    let mut all = Vec::new();
    if !gone.is_empty() {
        let sql = "DELETE FROM team_member
             USING unnest($1, $2, $3, $4, $5) AS gone (owner, email, offer_lead, created, id)
             WHERE team_member.owner = gone.owner
               AND team_member.email = gone.email
               AND team_member.offer_lead = gone.offer_lead
               AND team_member.created = gone.created
               AND team_member.id = gone.id";
        all.push(members(sql, &gone));
    }
    if !come.is_empty() {
        let sql = "INSERT INTO team_member (owner, email, offer_lead, created, id)
             SELECT owner, email, offer_lead, created, id
             FROM unnest($1, $2, $3, $4, $5) AS come (owner, email, offer_lead, created, id)
             ON CONFLICT DO NOTHING";
        all.push(members(sql, &come));
    }
    all
}

/// Key of a facet count: owner, whether it is an offer lead, facet key and country.
pub(super) type FacetCountKey<'a> = (&'a OrganizationId, bool, FacetKey, Option<&'a str>);

/// By how much the facet counts change.
pub(super) fn counted(write_set: &WriteSet) -> HashMap<FacetCountKey<'_>, i64> {
    let mut changes: HashMap<FacetCountKey<'_>, i64> = HashMap::new();
    let mut count = |owner, lead, facet, country: Option<_>, change| {
        *changes.entry((owner, lead, facet, None)).or_default() += change;
        if country.is_some() {
            *changes.entry((owner, lead, facet, country)).or_default() += change;
        }
    };
    for NewVersion { referral, before, .. } in write_set.referrals.values() {
        let (owner, columns) = (&referral.owner, &referral.columns);
        if let Some(before) = before {
            count(owner, before.offer_lead, before.facet, before.country.as_deref(), -1);
        }
        count(owner, columns.offer_lead, FacetKey::of(columns), columns.country.as_deref(), 1);
    }
    changes
}

/// Changes the facet counts.
pub(super) fn facet_count_changes<'a>(
    changes: impl Iterator<Item = (FacetCountKey<'a>, i64)>,
) -> Vec<Statement> {
    let changed = changes.filter(|(_, change)| *change != 0);
    let (anywhere, somewhere): (Vec<_>, Vec<_>) =
        changed.partition(|((_, _, _, country), _)| country.is_none());
    let mut all = Vec::new();
    if !anywhere.is_empty() {
        let mut facet_counts = statement(
            "INSERT INTO tally (owner, offer_lead, class, n)
             SELECT owner, offer_lead, class, n
             FROM unnest($1, $2, $3, $4) AS changed (owner, offer_lead, class, n)
             ON CONFLICT (owner, offer_lead, class) DO UPDATE
             SET n = tally.n + excluded.n",
        );
        push_facet_count_columns(&mut facet_counts, &anywhere);
        all.push(facet_counts);
    }
    if !somewhere.is_empty() {
        let mut facet_counts = statement(
            "INSERT INTO country_tally (owner, offer_lead, class, n, country)
             SELECT owner, offer_lead, class, n, country
             FROM unnest($1, $2, $3, $4, $5) AS changed (owner, offer_lead, class, n, country)
             ON CONFLICT (owner, offer_lead, country, class) DO UPDATE
             SET n = country_tally.n + excluded.n",
        );
        push_facet_count_columns(&mut facet_counts, &somewhere);
        let countries = somewhere.iter().map(|((_, _, _, country), _)| country.map(str::as_bytes));
        facet_counts.column(Type::BYTEA_ARRAY, countries.map(|country| country.map(<[u8]>::to_vec)));
        all.push(facet_counts);
    }
    all
}

fn push_facet_count_columns(facet_counts: &mut Statement, counts: &[(FacetCountKey<'_>, i64)]) {
    facet_counts.column(Type::BYTEA_ARRAY, counts.iter().map(|((owner, ..), _)| bytes(owner)));
    facet_counts.column(Type::BOOL_ARRAY, counts.iter().map(|((_, lead, ..), _)| *lead));
    facet_counts.column(Type::INT2_ARRAY, counts.iter().map(|((_, _, facet, _), _)| small(*facet)));
    facet_counts.column(Type::INT8_ARRAY, counts.iter().map(|(_, change)| *change));
}

fn log_rows(write_set: &WriteSet) -> Statement {
    let mut insert = statement(
        "INSERT INTO change_log (
           organization, position, referral, engagement, version,
           action, at, actor_organization, actor_user, changes
         )
         SELECT organization, position, referral, engagement, version,
                action, at, actor_organization, actor_user, changes
         FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) AS new (
           organization, position, referral, engagement, version,
           action, at, actor_organization, actor_user, changes
         )",
    );
    let log_rows = &write_set.log_rows;
    insert.column(Type::BYTEA_ARRAY, log_rows.iter().map(|log_rows| bytes(&log_rows.owner)));
    insert.column(Type::INT8_ARRAY, log_rows.iter().map(|log_rows| whole(log_rows.position)));
    insert.column(Type::BYTEA_ARRAY, log_rows.iter().map(|log_rows| log_rows.referral.as_bytes().to_vec()));
    insert.column(Type::BYTEA_ARRAY, log_rows.iter().map(|log_rows| log_rows.engagement.as_bytes().to_vec()));
    insert.column(Type::INT8_ARRAY, log_rows.iter().map(|log_rows| whole(log_rows.version)));
    insert.column(Type::INT2_ARRAY, log_rows.iter().map(|log_rows| log_rows.entry.action as i16));
    insert.column(Type::INT8_ARRAY, log_rows.iter().map(|log_rows| log_rows.entry.at.ticks()));
    let actors = || log_rows.iter().map(|log_rows| log_rows.entry.actor.as_ref());
    insert.column(Type::BYTEA_ARRAY, actors().map(|actor| actor.map(|actor| bytes(&actor.organization))));
    insert.column(Type::BYTEA_ARRAY, actors().map(|actor| actor.map(|actor| actor.user.as_bytes().to_vec())));
    insert.column(Type::BYTEA_ARRAY, log_rows.iter().map(|log_rows| log_rows.entry.changes.to_vec()));
    insert
}

/// Moves the heads of logs.
pub(super) fn heads(positions: &HashMap<OrganizationId, Position>) -> Statement {
    let mut update = statement(
        "UPDATE log_head
         SET position = new.position
         FROM unnest($1, $2) AS new (organization, position)
         WHERE log_head.organization = new.organization",
    );
    update.column(Type::BYTEA_ARRAY, positions.keys().map(bytes));
    update.column(Type::INT8_ARRAY, positions.values().map(|position| whole(*position)));
    update
}

fn answers(write_set: &WriteSet) -> Statement {
    let mut insert = statement(
        "INSERT INTO answer (organization, digest, remembered_at, status, request_digest, content)
         SELECT organization, digest, remembered_at, status, request_digest, content
         FROM unnest($1, $2, $3, $4, $5, $6) AS new (
           organization, digest, remembered_at, status, request_digest, content
         )",
    );
    let answers = &write_set.answers;
    insert.column(Type::BYTEA_ARRAY, answers.iter().map(|given| bytes(&given.key.organization)));
    insert.column(Type::BYTEA_ARRAY, answers.iter().map(|given| given.key.digest.to_vec()));
    insert.column(Type::INT8_ARRAY, answers.iter().map(|given| given.at.ticks()));
    insert.column(Type::INT4_ARRAY, answers.iter().map(|given| i32::from(given.answer.status)));
    insert.column(Type::BYTEA_ARRAY, answers.iter().map(|given| given.answer.request_digest.to_vec()));
    insert.column(Type::BYTEA_ARRAY, answers.iter().map(|given| given.answer.content.to_vec()));
    insert
}
