//! The SQL of lists: what columns and indexes tell of the rows of a way. What only a document tells is evaluated in
//! `query.rs`, and what leads through an index in the order of a page stands in `streams.rs`.

use rusqlite::types::Value as Column;

use super::search;
use super::streams::of_classes;
use crate::asked::{Asked, Met};
use crate::plan::{Range, Way};

/// One row is asked about by its number; of many, those the index has are gone through.
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

    fn within(&mut self, column: &str, range: &Range) {
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
pub(super) struct Ways<'a> {
    pub(super) asked: &'a Asked<'a>,
}

impl Ways<'_> {
    /// A question to one row, the first parameter, by the columns that the way has not met; `None` where it has met all.
    pub(super) fn look(self, met: Met) -> Option<Sql> {
        if !self.asked.has_columns_besides(met) {
            return None;
        }
        let mut sql = Sql::default();
        sql.push("SELECT 1 FROM referral WHERE row = ");
        sql.bind(Column::Integer(0));
        self.conditions(&mut sql, met, WORDS_OF_ONE);
        Some(sql)
    }

    /// What is selected of all rows that the columns tell of, by a way.
    pub(super) fn set(self, way: &Way, select: &str) -> Sql {
        // A plus keeps a condition from choosing another index.
        let (index, plus) = match way {
            Way::Nothing | Way::Ids | Way::Team(_) | Way::Search => ("", "+"),
            Way::Engagement => ("INDEXED BY referral_of_engagement", "+"),
            Way::Classes(_) => ("INDEXED BY referral_by_class", ""),
            Way::Country => ("INDEXED BY referral_by_country", ""),
            Way::Updated => ("INDEXED BY referral_last_updated", ""),
            Way::Created => ("INDEXED BY referral_newest_first", ""),
        };
        let mut sql = Sql::default();
        sql.push(&format!("SELECT {select} FROM referral {index} WHERE {plus}referral.owner = "));
        sql.bind(Column::Blob(self.asked.query.scope.owner.as_bytes().to_vec()));
        sql.push(&format!(" AND {plus}offer_lead IN {}", self.leads()));
        if let Way::Team(emails) = way {
            sql.push(" AND row IN (");
            self.members(&mut sql, "referral", emails);
            sql.push(")");
        }
        if *way == Way::Nothing {
            sql.push(" AND FALSE");
        }
        self.conditions(&mut sql, Met::in_a_set(way), WORDS_OF_MANY);
        sql
    }

    /// The conditions on columns that are not met; that on words as `words` begins it.
    fn conditions(self, sql: &mut Sql, met: Met, words: &str) {
        let conditions = &self.asked.conditions;
        if let (Some(classes), false) = (self.asked.classes(), met.class) {
            sql.push(&format!(" AND {}", of_classes(classes)));
        }
        if !met.created {
            sql.within("created", &conditions.created);
        }
        if !met.updated {
            sql.within("updated", &conditions.updated);
        }
        if let (Some(country), false) = (conditions.country, met.country) {
            sql.push(" AND country = ");
            sql.bind(Column::Text(country.to_owned()));
        }
        for emails in conditions.teams.iter().skip(usize::from(met.first_team)) {
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
        if let Some(ids) = &conditions.ids {
            sql.push(" AND referral.id IN (");
            sql.bind_all(ids.iter().map(|id| Column::Blob(id.as_bytes().to_vec())));
            sql.push(")");
        }
        if let Some(engagement) = conditions.engagement {
            sql.push(" AND engagement = ");
            sql.bind(Column::Blob(engagement.as_bytes().to_vec()));
        }
        if let Some(search) = conditions.search {
            sql.push(&format!(" AND {words}"));
            sql.bind(Column::Text(search::expression(&self.asked.query.scope.owner, search)));
            sql.push(")");
        }
    }

    /// How many rows the columns tell of, by the way to all of them.
    pub(super) fn counted(self) -> Sql {
        let way = self.asked.set_way();
        match &way {
            Way::Team(emails) if !self.asked.has_columns_besides(Met::in_a_set(&way)) => {
                let mut sql = Sql::default();
                self.members(&mut sql, "count(DISTINCT referral)", emails);
                sql
            }
            _ => self.set(&way, "count(*)"),
        }
    }

    /// What is selected of the rows of `team_member` with one of these e-mails.
    fn members(self, sql: &mut Sql, select: &str, emails: &[String]) {
        sql.push(&format!("SELECT {select} FROM team_member WHERE owner = "));
        sql.bind(Column::Blob(self.asked.query.scope.owner.as_bytes().to_vec()));
        sql.push(" AND email IN (");
        sql.bind_all(emails.iter().map(|email| Column::Text(email.clone())));
        sql.push(&format!(") AND offer_lead IN {}", self.leads()));
    }

    fn leads(self) -> &'static str {
        if self.asked.query.scope.offer_leads { "(0, 1)" } else { "(0)" }
    }
}
