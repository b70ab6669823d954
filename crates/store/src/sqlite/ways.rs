//! The SQL of lists: what is asked of the rows of a way. How it is read stands in `query.rs`, and what leads through an
//! index in the order of a page in `streams.rs`.

use super::search;
use super::streams::of_classes;
use crate::StoreError;
use crate::asked::{Asked, Met};
use crate::plan::{Instant, Natural, Range, Way};
use crate::sql::{Bound, Dialect, Encoding, SortKey, Statement, Writer, balanced};

/// One row is asked about by its number; of many, those the index has are gone through.
const WORDS_OF_ONE: &str = "EXISTS (SELECT 1 FROM search WHERE rowid = row AND search MATCH ";
const WORDS_OF_MANY: &str = "row IN (SELECT rowid FROM search WHERE search MATCH ";

/// A query in SQL.
#[derive(Clone, Copy)]
pub(super) struct Ways<'a> {
    pub(super) asked: &'a Asked<'a>,
}

impl Ways<'_> {
    /// A question to one row, the first parameter, by what the way has not met; `None` where it has met all.
    pub(super) fn look(self, met: Met) -> Result<Option<Statement>, StoreError> {
        if !self.asked.has_more_than(met) {
            return Ok(None);
        }
        let mut writer = Writer::new(Dialect::Sqlite, self.asked.query.scope.now);
        writer.push("SELECT 1 FROM referral WHERE row = ");
        writer.bind(Bound::Integer(0));
        self.conditions(&mut writer, met, WORDS_OF_ONE)?;
        Ok(Some(writer.finish()))
    }

    /// What is selected of all rows that match, by a way.
    fn set(self, writer: &mut Writer<'_>, way: &Way, select: &str) -> Result<(), StoreError> {
        writer.push(&format!("SELECT {select} FROM "));
        self.from(writer, way)
    }

    /// The rows of a way with the conditions it does not meet.
    pub(super) fn from(self, writer: &mut Writer<'_>, way: &Way) -> Result<(), StoreError> {
        // A plus keeps a condition from choosing another index.
        let (index, plus) = match way {
            Way::Nothing | Way::Ids | Way::Team(_) | Way::Search => ("", "+"),
            Way::Engagement => ("INDEXED BY referral_of_engagement", "+"),
            Way::Classes(_) => ("INDEXED BY referral_by_class", ""),
            Way::Country => ("INDEXED BY referral_by_country", ""),
            Way::Updated => ("INDEXED BY referral_last_updated", ""),
            Way::Created => ("INDEXED BY referral_newest_first", ""),
        };
        writer.push(&format!("referral {index} WHERE {plus}referral.owner = "));
        writer.bind(Bound::Blob(self.asked.query.scope.owner.as_bytes().to_vec()));
        writer.push(&format!(" AND {plus}offer_lead IN {}", self.leads()));
        if let Way::Team(emails) = way {
            writer.push(" AND row IN (");
            self.members(writer, "referral", emails);
            writer.push(")");
        }
        self.conditions(writer, Met::in_a_set(way), WORDS_OF_MANY)
    }

    /// The conditions that are not met; that on words as `words` begins it.
    fn conditions(self, writer: &mut Writer<'_>, met: Met, words: &str) -> Result<(), StoreError> {
        let conditions = &self.asked.conditions;
        if let (Some(classes), false) = (self.asked.classes(), met.class) {
            writer.push(&format!(" AND {}", of_classes(classes)));
        }
        if !met.created {
            within(writer, "created", &conditions.created);
        }
        if !met.updated {
            within(writer, "updated", &conditions.updated);
        }
        if let (Some(country), false) = (conditions.country, met.country) {
            writer.push(" AND country = ");
            writer.bind(Bound::Text(country.to_owned()));
        }
        // As many as the filter has: joined as a tree, for SQLite bounds how deep a condition is.
        let before = writer.take();
        let mut terms = Vec::new();
        for emails in conditions.teams.iter().skip(usize::from(met.first_team)) {
            writer.push(
                "EXISTS (
                   SELECT 1
                   FROM team_member AS member
                   WHERE member.owner = referral.owner
                     AND member.offer_lead = referral.offer_lead
                     AND member.created = referral.created
                     AND member.id = referral.id
                     AND member.email IN (",
            );
            bind_all(writer, emails.iter().map(|email| Bound::Text(email.clone())));
            writer.push("))");
            terms.push(writer.take());
        }
        for term in &conditions.rest {
            writer.predicate(term)?;
            terms.push(writer.take());
        }
        writer.push(&before);
        if !terms.is_empty() {
            writer.push(&format!(" AND {}", balanced(&terms, " AND ")));
        }
        if let Some(ids) = &conditions.ids {
            writer.push(" AND referral.id IN (");
            bind_all(writer, ids.iter().map(|id| Bound::Blob(id.as_bytes().to_vec())));
            writer.push(")");
        }
        if let Some(engagement) = conditions.engagement {
            writer.push(" AND engagement = ");
            writer.bind(Bound::Blob(engagement.as_bytes().to_vec()));
        }
        if let Some(search) = conditions.search {
            writer.push(&format!(" AND {words}"));
            writer.bind(Bound::Text(search::expression(&self.asked.query.scope.owner, search)));
            writer.push(")");
        }
        Ok(())
    }

    /// The page of a way that must be sorted, and the keys that are selected after the row and its id.
    pub(super) fn sorted(self, way: &Way) -> Result<(Statement, Vec<SortKey>), StoreError> {
        let mut writer = Writer::new(Dialect::Sqlite, self.asked.query.scope.now);
        let keys = match self.asked.natural {
            Some(natural) => vec![instant_key(natural)],
            None => writer.keys(&self.asked.query.order)?,
        };
        let texts: String = keys.iter().map(|key| format!(", {}", key.text)).collect();
        self.set(&mut writer, way, &format!("row, referral.id{texts}"))?;
        if let Some(place) = &self.asked.query.after {
            writer.push(" AND ");
            writer.after(&keys, place);
        }
        writer.push(" ORDER BY ");
        for key in &keys {
            writer.push(&format!("{}, ", key.term()));
        }
        writer.push("referral.id LIMIT ");
        writer.bind(Bound::Integer(i64::try_from(self.asked.query.limit).unwrap_or(i64::MAX)));
        writer.push(" OFFSET ");
        writer.bind(Bound::Integer(i64::try_from(self.asked.query.skip).unwrap_or(i64::MAX)));
        Ok((writer.finish(), keys))
    }

    /// How many match, by the way to all of them.
    pub(super) fn counted(self) -> Result<Statement, StoreError> {
        let mut writer = Writer::new(Dialect::Sqlite, self.asked.query.scope.now);
        let way = self.asked.set_way();
        match &way {
            Way::Team(emails) if !self.asked.has_more_than(Met::in_a_set(&way)) => {
                self.members(&mut writer, "count(DISTINCT referral)", emails);
            }
            _ => self.set(&mut writer, &way, "count(*)")?,
        }
        Ok(writer.finish())
    }

    /// What is selected of the rows of `team_member` with one of these e-mails.
    fn members(self, writer: &mut Writer<'_>, select: &str, emails: &[String]) {
        writer.push(&format!("SELECT {select} FROM team_member WHERE owner = "));
        writer.bind(Bound::Blob(self.asked.query.scope.owner.as_bytes().to_vec()));
        writer.push(" AND email IN (");
        bind_all(writer, emails.iter().map(|email| Bound::Text(email.clone())));
        writer.push(&format!(") AND offer_lead IN {}", self.leads()));
    }

    fn leads(self) -> &'static str {
        if self.asked.query.scope.offer_leads { "(0, 1)" } else { "(0)" }
    }
}

/// An instant as a key to sort by.
fn instant_key(natural: Natural) -> SortKey {
    let text = match natural.by {
        Instant::Created => "referral.created",
        Instant::Updated => "referral.updated",
    };
    SortKey {
        text: text.to_owned(),
        encoding: Encoding::Integer,
        descending: natural.descending,
        nullable: false,
    }
}

fn within(writer: &mut Writer<'_>, column: &str, range: &Range) {
    for (op, bound) in [(">=", range.low), ("<=", range.high)] {
        if let Some(bound) = bound {
            writer.push(&format!(" AND {column} {op} "));
            writer.bind(Bound::Integer(bound));
        }
    }
}

fn bind_all(writer: &mut Writer<'_>, values: impl Iterator<Item = Bound>) {
    for (place, value) in values.enumerate() {
        if place > 0 {
            writer.push(", ");
        }
        writer.bind(value);
    }
}
