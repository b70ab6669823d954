//! The SQL of lists: what columns and indexes tell of the rows of a way. What only a document tells is evaluated in
//! `lists.rs`, and what leads through an index in the order of a page stands in `streams.rs`.

use rusqlite::types::Value as Column;

use super::merge_scan::of_facets;
use super::search;
use crate::planner::{AccessPath, PlannedQuery, Range, Satisfied};

/// For one row the words are tested by its number; for many, the matches of the index are visited.
const WORDS_OF_ONE: &str = "EXISTS (SELECT 1 FROM search WHERE rowid = row AND search MATCH ";
const WORDS_OF_MANY: &str = "row IN (SELECT rowid FROM search WHERE search MATCH ";

/// A statement with the values of its parameters, first to last.
#[derive(Debug, Default)]
pub(super) struct Sql {
    pub(super) text: String,
    pub(super) values: Vec<Column>,
}

impl Sql {
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(super) fn bind(&mut self, value: Column) {
        self.values.push(value);
        self.text.push_str(&format!("?{}", self.values.len()));
    }

    fn bind_all(&mut self, values: impl Iterator<Item = Column>) {
        for (place, value) in values.enumerate() {
            if place > 0 {
                self.push(", ");
            }
            self.bind(value);
        }
    }

    fn push_range(&mut self, column: &str, range: &Range) {
        for (op, bound) in [(">=", range.low), ("<=", range.high)] {
            if let Some(bound) = bound {
                self.push(&format!(" AND {column} {op} "));
                self.bind(Column::Integer(bound));
            }
        }
    }
}

/// A query in SQL.
#[derive(Clone, Copy)]
pub(super) struct SelectBuilder<'a> {
    pub(super) planned: &'a PlannedQuery<'a>,
}

impl SelectBuilder<'_> {
    /// Returns a statement that tests one row, its first parameter, by the predicates that the path does not satisfy;
    /// `None` if it satisfies all.
    pub(super) fn look(self, satisfied: Satisfied) -> Option<Sql> {
        if !self.planned.has_unsatisfied_columns(satisfied) {
            return None;
        }
        let mut sql = Sql::default();
        sql.push("SELECT 1 FROM referral WHERE row = ");
        sql.bind(Column::Integer(0));
        self.predicates(&mut sql, satisfied, WORDS_OF_ONE);
        Some(sql)
    }

    /// Returns a statement for all rows that match by columns, by an access path.
    pub(super) fn set(self, access_path: &AccessPath, select: &str) -> Sql {
        // A plus keeps a condition from choosing another index.
        let (index, plus) = match access_path {
            AccessPath::Nothing | AccessPath::Ids | AccessPath::Team(_) | AccessPath::Search => ("", "+"),
            AccessPath::Engagement => ("INDEXED BY referral_of_engagement", "+"),
            AccessPath::Facets(_) => ("INDEXED BY referral_by_class", ""),
            AccessPath::Country => ("INDEXED BY referral_by_country", ""),
            AccessPath::Updated => ("INDEXED BY referral_last_updated", ""),
            AccessPath::Created => ("INDEXED BY referral_newest_first", ""),
        };
        let mut sql = Sql::default();
        sql.push(&format!("SELECT {select} FROM referral {index} WHERE {plus}referral.owner = "));
        sql.bind(Column::Blob(self.planned.query.scope.owner.as_bytes().to_vec()));
        sql.push(&format!(" AND {plus}offer_lead IN {}", self.leads()));
        if let AccessPath::Team(emails) = access_path {
            sql.push(" AND row IN (");
            self.members(&mut sql, "referral", emails);
            sql.push(")");
        }
        if *access_path == AccessPath::Nothing {
            sql.push(" AND FALSE");
        }
        self.predicates(&mut sql, Satisfied::in_a_set(access_path), WORDS_OF_MANY);
        sql
    }

    /// The conditions on columns that are not met; that on words as `words` begins it.
    fn predicates(self, sql: &mut Sql, satisfied: Satisfied, words: &str) {
        let predicates = &self.planned.predicates;
        if let (Some(facets), false) = (self.planned.facets(), satisfied.facet) {
            sql.push(&format!(" AND {}", of_facets(facets)));
        }
        if !satisfied.created {
            sql.push_range("created", &predicates.created);
        }
        if !satisfied.updated {
            sql.push_range("updated", &predicates.updated);
        }
        if let (Some(country), false) = (predicates.country, satisfied.country) {
            sql.push(" AND country = ");
            sql.bind(Column::Text(country.to_owned()));
        }
        for emails in predicates.teams.iter().skip(usize::from(satisfied.first_team)) {
            sql.push(
                " AND EXISTS (
                   SELECT 1
                   FROM team_member AS member
                   WHERE member.owner = referral.owner
                     AND member.offer_lead = referral.offer_lead
                     AND member.created = referral.created
                     AND member.id = referral.id
                     AND member.email IN (",
            );
            sql.bind_all(emails.iter().map(|email| Column::Text(email.clone())));
            sql.push("))");
        }
        if let Some(ids) = &predicates.ids {
            sql.push(" AND referral.id IN (");
            sql.bind_all(ids.iter().map(|id| Column::Blob(id.as_bytes().to_vec())));
            sql.push(")");
        }
        if let Some(engagement) = predicates.engagement {
            sql.push(" AND engagement = ");
            sql.bind(Column::Blob(engagement.as_bytes().to_vec()));
        }
        if let Some(search) = predicates.search {
            sql.push(&format!(" AND {words}"));
            sql.bind(Column::Text(search::expression(&self.planned.query.scope.owner, search)));
            sql.push(")");
        }
    }

    /// Returns a statement that counts the rows that match by columns.
    pub(super) fn counted(self) -> Sql {
        let access_path = self.planned.scan_access_path();
        match &access_path {
            AccessPath::Team(emails)
                if !self.planned.has_unsatisfied_columns(Satisfied::in_a_set(&access_path)) =>
            {
                let mut sql = Sql::default();
                self.members(&mut sql, "count(DISTINCT referral)", emails);
                sql
            }
            _ => self.set(&access_path, "count(*)"),
        }
    }

    /// What is selected of the rows of `team_member` with one of these e-mails.
    fn members(self, sql: &mut Sql, select: &str, emails: &[String]) {
        sql.push(&format!("SELECT {select} FROM team_member WHERE owner = "));
        sql.bind(Column::Blob(self.planned.query.scope.owner.as_bytes().to_vec()));
        sql.push(" AND email IN (");
        sql.bind_all(emails.iter().map(|email| Column::Text(email.clone())));
        sql.push(&format!(") AND offer_lead IN {}", self.leads()));
    }

    fn leads(self) -> &'static str {
        if self.planned.query.scope.offer_leads { "(0, 1)" } else { "(0)" }
    }
}
