//! The SQL of lists: index ranges, and the predicates that columns decide. The residual is evaluated
//! against the documents in `lists.rs`, by the evaluator itself.

use std::sync::LazyLock;

use referral::ReferralId;
use tokio_postgres::types::{ToSql, Type};

use super::rows::STORED;
use crate::item::ItemSource;
use crate::planner::{
    AccessPath, FacetKey, IndexOrder, IndexedInstant, PlannedQuery, Range, Satisfied, ScanPart,
};

/// A statement with its values.
#[derive(Default)]
pub(super) struct Sql {
    pub(super) text: String,
    values: Vec<BoundValue>,
}

/// A value that is bound.
enum BoundValue {
    Integer(i64),
    Bytes(Vec<u8>),
    AllBytes(Vec<Vec<u8>>),
    AllSmall(Vec<i16>),
}

impl Sql {
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn bind(&mut self, value: BoundValue) {
        self.values.push(value);
        self.text.push_str(&format!("${}", self.values.len()));
    }

    pub(super) fn integer(&mut self, before: &str, number: i64) {
        self.push(before);
        self.bind(BoundValue::Integer(number));
    }

    pub(super) fn bytes(&mut self, before: &str, bytes: &[u8]) {
        self.push(before);
        self.bind(BoundValue::Bytes(bytes.to_vec()));
    }

    fn any_of<'b>(&mut self, before: &str, all: impl Iterator<Item = &'b [u8]>) {
        self.push(before);
        self.push(" = ANY (");
        self.bind(BoundValue::AllBytes(all.map(<[u8]>::to_vec).collect()));
        self.push(")");
    }

    /// A condition on the members with one of these e-mails that are on the team of a row of a table.
    fn of_team(&mut self, question: &str, table: &str, emails: &[String]) {
        self.push(&format!(
            " AND {question}
               FROM team_member AS other
               WHERE other.owner = {table}.owner
                 AND other.offer_lead = {table}.offer_lead
                 AND other.created = {table}.created
                 AND other.id = {table}.id
                 AND "
        ));
        self.any_of("other.email", emails.iter().map(String::as_bytes));
        self.push(")");
    }

    fn facets(&mut self, facets: &[FacetKey]) {
        self.push(" AND referral.class = ANY (");
        let numbers = facets.iter().filter_map(|facet| i16::try_from(facet.0).ok());
        self.bind(BoundValue::AllSmall(numbers.collect()));
        self.push(")");
    }

    pub(super) fn push_range(&mut self, column: &str, range: &Range) {
        for (op, bound) in [(">=", range.low), ("<=", range.high)] {
            if let Some(bound) = bound {
                self.integer(&format!(" AND {column} {op} "), bound);
            }
        }
    }

    pub(super) fn params(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.values
            .iter()
            .map(|value| match value {
                BoundValue::Integer(number) => (number as &(dyn ToSql + Sync), Type::INT8),
                BoundValue::Bytes(bytes) => (bytes as &(dyn ToSql + Sync), Type::BYTEA),
                BoundValue::AllBytes(all) => (all as &(dyn ToSql + Sync), Type::BYTEA_ARRAY),
                BoundValue::AllSmall(all) => (all as &(dyn ToSql + Sync), Type::INT2_ARRAY),
            })
            .collect()
    }
}

/// A query in SQL.
#[derive(Clone, Copy)]
pub(super) struct SelectBuilder<'a> {
    pub(super) planned: &'a PlannedQuery<'a>,
}

/// The words of a referral, after what else is selected of it.
const WORDS: &str = "(
       SELECT words
       FROM referral_words
       WHERE referral_words.owner = referral.owner
         AND referral_words.id = referral.id
     ) AS words";

/// Everything of a referral, and its words.
static STORED_AND_WORDS: LazyLock<String> = LazyLock::new(|| format!("{STORED}, {WORDS}"));

impl SelectBuilder<'_> {
    /// Returns the columns that a page selects.
    pub(super) fn select(&self) -> &'static str {
        if self.planned.predicates.search.is_some() { &STORED_AND_WORDS } else { STORED }
    }

    /// Returns the columns that a scan selects, with the words last if they are searched.
    pub(super) fn scanned(&self, source: &ItemSource) -> String {
        let of_source = match source {
            ItemSource::Nothing => "",
            ItemSource::Columns(_) => {
                ", referral.class, referral.expires, referral.accepted, referral.country, \
                 referral.shared_with_microsoft, referral.engagement"
            }
            ItemSource::Document(_) => ", referral.document",
        };
        let words =
            if self.planned.predicates.search.is_some() { format!(", {WORDS}") } else { String::new() };
        format!("referral.id, referral.created, referral.updated{of_source}{words}")
    }

    /// Returns what the ranges of an index satisfy.
    pub(super) fn satisfied(access_path: &AccessPath) -> Satisfied {
        let satisfied = Satisfied { created: true, ..Satisfied::default() };
        match access_path {
            AccessPath::Facets(_) => Satisfied { facet: true, ..satisfied },
            AccessPath::Country => Satisfied { country: true, ..satisfied },
            AccessPath::Updated => Satisfied { created: false, updated: true, ..satisfied },
            AccessPath::Team(_) => Satisfied { first_team: true, ..satisfied },
            AccessPath::Created => satisfied,
            AccessPath::Nothing | AccessPath::Ids | AccessPath::Engagement | AccessPath::Search => {
                Satisfied::default()
            }
        }
    }

    /// Adds the predicates that columns decide and the path does not satisfy.
    fn predicates(&self, sql: &mut Sql, satisfied: Satisfied) {
        let predicates = &self.planned.predicates;
        if let (Some(facets), false) = (self.planned.facets(), satisfied.facet) {
            sql.facets(facets);
        }
        if !satisfied.created {
            sql.push_range("referral.created", &predicates.created);
        }
        if !satisfied.updated {
            sql.push_range("referral.updated", &predicates.updated);
        }
        if let (Some(country), false) = (predicates.country, satisfied.country) {
            sql.bytes(" AND referral.country = ", country.as_bytes());
        }
        for emails in predicates.teams.iter().skip(usize::from(satisfied.first_team)) {
            sql.of_team("EXISTS (SELECT 1", "referral", emails);
        }
        if let Some(ids) = &predicates.ids {
            sql.any_of(" AND referral.id", ids.iter().map(|id| &id.as_bytes()[..]));
        }
        if let Some(engagement) = predicates.engagement {
            sql.bytes(" AND referral.engagement = ", engagement.as_bytes());
        }
    }

    /// Returns a statement for all rows that match by columns, by an access path, in no order.
    pub(super) fn set(&self, access_path: &AccessPath, select: &str) -> Sql {
        let owner = self.planned.query.scope.owner.as_bytes();
        let mut sql = Sql::default();
        sql.bytes(&format!("SELECT {select} FROM referral WHERE referral.owner = "), owner);
        let leads = if self.planned.query.scope.offer_leads { "(FALSE, TRUE)" } else { "(FALSE)" };
        sql.push(&format!(" AND referral.offer_lead IN {leads}"));
        match access_path {
            AccessPath::Nothing => sql.push(" AND FALSE"),
            AccessPath::Team(emails) => {
                let members =
                    " AND referral.id IN (SELECT member.id FROM team_member AS member WHERE member.owner = ";
                sql.bytes(members, owner);
                sql.any_of(" AND member.email", emails.iter().map(String::as_bytes));
                sql.push(&format!(" AND member.offer_lead IN {leads})"));
            }
            AccessPath::Engagement => {
                if let Some(engagement) = self.planned.predicates.engagement {
                    let enum_member = " AND referral.id IN (SELECT listed.id FROM referral_directory AS listed \
                         WHERE listed.engagement = ";
                    sql.bytes(enum_member, engagement.as_bytes());
                    sql.bytes(" AND listed.owner = ", owner);
                    sql.push(")");
                }
            }
            AccessPath::Ids
            | AccessPath::Search
            | AccessPath::Facets(_)
            | AccessPath::Country
            | AccessPath::Updated
            | AccessPath::Created => {}
        }
        self.predicates(&mut sql, Satisfied::in_a_set(access_path));
        sql
    }

    /// The first rows after a place in an order of an index: one range of it for each class, e-mail and sort of lead,
    /// merged by the server, which reads no more of each than it must.
    pub(super) fn page(
        &self,
        access_path: &AccessPath,
        index_order: IndexOrder,
        after: Option<(i64, ReferralId)>,
        limit: i64,
        offset: i64,
    ) -> Sql {
        let column = match index_order.by {
            IndexedInstant::Created => "created",
            IndexedInstant::Updated => "updated",
        };
        let scan_parts = self.planned.scan_parts(index_order, after);
        let leads: &[&str] =
            if self.planned.query.scope.offer_leads { &["FALSE", "TRUE"] } else { &["FALSE"] };
        let splits: Vec<Partition<'_>> = match access_path {
            AccessPath::Facets(facets) => facets.iter().map(|facet| Partition::Facet(*facet)).collect(),
            AccessPath::Team(emails) => emails
                .iter()
                .enumerate()
                .map(|(number, email)| Partition::Team(email, &emails[..number]))
                .collect(),
            _ => vec![Partition::Whole],
        };
        let direction = if index_order.descending { " DESC" } else { "" };
        let mut sql = Sql::default();
        sql.push("SELECT * FROM (");
        let mut first = true;
        for lead in leads {
            for split in &splits {
                for part in &scan_parts {
                    sql.push(if first { "(" } else { " UNION ALL (" });
                    first = false;
                    self.branch(&mut sql, access_path, column, lead, split, part);
                    let table = if matches!(split, Partition::Team(..)) { "member" } else { "referral" };
                    sql.push(&format!(" ORDER BY {table}.{column}{direction}, {table}.id"));
                    sql.integer(" LIMIT ", limit.saturating_add(offset));
                    sql.push(")");
                }
            }
        }
        sql.push(&format!(") AS page ORDER BY {column}{direction}, id"));
        sql.integer(" LIMIT ", limit);
        sql.integer(" OFFSET ", offset);
        sql
    }

    fn branch(
        &self,
        sql: &mut Sql,
        access_path: &AccessPath,
        column: &str,
        lead: &str,
        split: &Partition<'_>,
        part: &ScanPart,
    ) {
        let owner = self.planned.query.scope.owner.as_bytes();
        let select = self.select();
        let table = match split {
            Partition::Team(email, before) => {
                // The columns of the order are those of the table whose index has the order.
                let select = select
                    .replace("referral.id,", "member.id,")
                    .replace("referral.created,", "member.created,");
                let members = format!(
                    "SELECT {select} FROM team_member AS member
                     JOIN referral
                       ON referral.owner = member.owner
                       AND referral.id = member.id
                     WHERE member.owner = "
                );
                sql.bytes(&members, owner);
                sql.push(&format!(" AND member.offer_lead = {lead}"));
                sql.bytes(" AND member.email = ", email.as_bytes());
                if !before.is_empty() {
                    // Who is on the team twice is shown once. A count, so that it is asked of one row after the other.
                    sql.of_team("0 = (SELECT count(*)", "member", before);
                }
                "member"
            }
            Partition::Whole | Partition::Facet(_) => {
                sql.bytes(&format!("SELECT {select} FROM referral WHERE referral.owner = "), owner);
                sql.push(&format!(" AND referral.offer_lead = {lead}"));
                if let Partition::Facet(facet) = split {
                    sql.push(&format!(" AND referral.class = {}", facet.0));
                }
                if let (AccessPath::Country, Some(country)) = (access_path, self.planned.predicates.country) {
                    sql.bytes(" AND referral.country = ", country.as_bytes());
                }
                "referral"
            }
        };
        match part {
            ScanPart::Range(range) => sql.push_range(&format!("{table}.{column}"), range),
            ScanPart::Tie(at, id) => {
                sql.integer(&format!(" AND {table}.{column} = "), *at);
                sql.bytes(&format!(" AND {table}.id > "), id.as_bytes());
            }
        }
        self.predicates(sql, SelectBuilder::satisfied(access_path));
    }
}

/// What distinguishes a branch of a page.
enum Partition<'a> {
    Whole,
    Facet(FacetKey),
    /// An e-mail, and those before it.
    Team(&'a str, &'a [String]),
}
