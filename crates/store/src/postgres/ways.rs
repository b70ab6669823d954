//! The SQL of lists: what an index leads to, and the conditions that columns tell. What only a document tells is held
//! against the documents in `query.rs`, by the evaluator itself.

use std::sync::LazyLock;

use referral::ReferralId;
use tokio_postgres::types::{ToSql, Type};

use super::rows::STORED;
use crate::asked::{Asked, Met, Part};
use crate::class::Class;
use crate::item::ItemSource;
use crate::plan::{Instant, Natural, Range, Way};

/// A statement with its values.
#[derive(Default)]
pub(super) struct Sql {
    pub(super) text: String,
    values: Vec<Value>,
}

/// A value that is bound.
enum Value {
    Integer(i64),
    Bytes(Vec<u8>),
    AllBytes(Vec<Vec<u8>>),
    AllSmall(Vec<i16>),
}

impl Sql {
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    fn bind(&mut self, value: Value) {
        self.values.push(value);
        self.text.push_str(&format!("${}", self.values.len()));
    }

    pub(super) fn integer(&mut self, before: &str, number: i64) {
        self.push(before);
        self.bind(Value::Integer(number));
    }

    pub(super) fn bytes(&mut self, before: &str, bytes: &[u8]) {
        self.push(before);
        self.bind(Value::Bytes(bytes.to_vec()));
    }

    fn any_of<'b>(&mut self, before: &str, all: impl Iterator<Item = &'b [u8]>) {
        self.push(before);
        self.push(" = ANY (");
        self.bind(Value::AllBytes(all.map(<[u8]>::to_vec).collect()));
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

    fn classes(&mut self, classes: &[Class]) {
        self.push(" AND referral.class = ANY (");
        let numbers = classes.iter().filter_map(|class| i16::try_from(class.0).ok());
        self.bind(Value::AllSmall(numbers.collect()));
        self.push(")");
    }

    pub(super) fn within(&mut self, column: &str, range: &Range) {
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
                Value::Integer(number) => (number as &(dyn ToSql + Sync), Type::INT8),
                Value::Bytes(bytes) => (bytes as &(dyn ToSql + Sync), Type::BYTEA),
                Value::AllBytes(all) => (all as &(dyn ToSql + Sync), Type::BYTEA_ARRAY),
                Value::AllSmall(all) => (all as &(dyn ToSql + Sync), Type::INT2_ARRAY),
            })
            .collect()
    }
}

/// A query in SQL.
#[derive(Clone, Copy)]
pub(super) struct Ways<'a> {
    pub(super) asked: &'a Asked<'a>,
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

impl Ways<'_> {
    /// What is selected of a row to hold it against the conditions that are left.
    pub(super) fn select(&self) -> &'static str {
        if self.asked.conditions.search.is_some() { &STORED_AND_WORDS } else { STORED }
    }

    /// What is selected of a row to evaluate expressions over it, its words last where they are searched.
    pub(super) fn scanned(&self, source: &ItemSource) -> String {
        let of_source = match source {
            ItemSource::Nothing => "",
            ItemSource::Columns(_) => {
                ", referral.class, referral.expires, referral.accepted, referral.country, \
                 referral.shared_with_microsoft, referral.engagement"
            }
            ItemSource::Document(_) => ", referral.document",
        };
        let words = if self.asked.conditions.search.is_some() { format!(", {WORDS}") } else { String::new() };
        format!("referral.id, referral.created, referral.updated{of_source}{words}")
    }

    /// What the ranges of an index meet.
    pub(super) fn met(way: &Way) -> Met {
        let met = Met { created: true, ..Met::default() };
        match way {
            Way::Classes(_) => Met { class: true, ..met },
            Way::Country => Met { country: true, ..met },
            Way::Updated => Met { created: false, updated: true, ..met },
            Way::Team(_) => Met { first_team: true, ..met },
            Way::Created => met,
            Way::Nothing | Way::Ids | Way::Engagement | Way::Search => Met::default(),
        }
    }

    /// What columns tell, as far as a way has not met it.
    fn conditions(&self, sql: &mut Sql, met: Met) {
        let conditions = &self.asked.conditions;
        if let (Some(classes), false) = (self.asked.classes(), met.class) {
            sql.classes(classes);
        }
        if !met.created {
            sql.within("referral.created", &conditions.created);
        }
        if !met.updated {
            sql.within("referral.updated", &conditions.updated);
        }
        if let (Some(country), false) = (conditions.country, met.country) {
            sql.bytes(" AND referral.country = ", country.as_bytes());
        }
        for emails in conditions.teams.iter().skip(usize::from(met.first_team)) {
            sql.of_team("EXISTS (SELECT 1", "referral", emails);
        }
        if let Some(ids) = &conditions.ids {
            sql.any_of(" AND referral.id", ids.iter().map(|id| &id.as_bytes()[..]));
        }
        if let Some(engagement) = conditions.engagement {
            sql.bytes(" AND referral.engagement = ", engagement.as_bytes());
        }
    }

    /// All rows that columns tell of, by a way, in no order.
    pub(super) fn set(&self, way: &Way, select: &str) -> Sql {
        let owner = self.asked.query.scope.owner.as_bytes();
        let mut sql = Sql::default();
        sql.bytes(&format!("SELECT {select} FROM referral WHERE referral.owner = "), owner);
        let leads = if self.asked.query.scope.offer_leads { "(FALSE, TRUE)" } else { "(FALSE)" };
        sql.push(&format!(" AND referral.offer_lead IN {leads}"));
        match way {
            Way::Nothing => sql.push(" AND FALSE"),
            Way::Team(emails) => {
                let members =
                    " AND referral.id IN (SELECT member.id FROM team_member AS member WHERE member.owner = ";
                sql.bytes(members, owner);
                sql.any_of(" AND member.email", emails.iter().map(String::as_bytes));
                sql.push(&format!(" AND member.offer_lead IN {leads})"));
            }
            Way::Engagement => {
                if let Some(engagement) = self.asked.conditions.engagement {
                    let listed = " AND referral.id IN (SELECT listed.id FROM referral_directory AS listed \
                         WHERE listed.engagement = ";
                    sql.bytes(listed, engagement.as_bytes());
                    sql.bytes(" AND listed.owner = ", owner);
                    sql.push(")");
                }
            }
            Way::Ids | Way::Search | Way::Classes(_) | Way::Country | Way::Updated | Way::Created => {}
        }
        self.conditions(&mut sql, Met::in_a_set(way));
        sql
    }

    /// The first rows after a place in an order of an index: one range of it for each class, e-mail and sort of lead,
    /// merged by the server, which reads no more of each than it must.
    pub(super) fn page(
        &self,
        way: &Way,
        natural: Natural,
        after: Option<(i64, ReferralId)>,
        limit: i64,
        offset: i64,
    ) -> Sql {
        let column = match natural.by {
            Instant::Created => "created",
            Instant::Updated => "updated",
        };
        let parts = self.asked.parts(natural, after);
        let leads: &[&str] = if self.asked.query.scope.offer_leads { &["FALSE", "TRUE"] } else { &["FALSE"] };
        let splits: Vec<Split<'_>> = match way {
            Way::Classes(classes) => classes.iter().map(|class| Split::Class(*class)).collect(),
            Way::Team(emails) => {
                emails.iter().enumerate().map(|(place, email)| Split::Team(email, &emails[..place])).collect()
            }
            _ => vec![Split::Whole],
        };
        let direction = if natural.descending { " DESC" } else { "" };
        let mut sql = Sql::default();
        sql.push("SELECT * FROM (");
        let mut first = true;
        for lead in leads {
            for split in &splits {
                for part in &parts {
                    sql.push(if first { "(" } else { " UNION ALL (" });
                    first = false;
                    self.arm(&mut sql, way, column, lead, split, part);
                    let table = if matches!(split, Split::Team(..)) { "member" } else { "referral" };
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

    fn arm(&self, sql: &mut Sql, way: &Way, column: &str, lead: &str, split: &Split<'_>, part: &Part) {
        let owner = self.asked.query.scope.owner.as_bytes();
        let select = self.select();
        let table = match split {
            Split::Team(email, before) => {
                // The order's columns are those of the table whose index has the order.
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
            Split::Whole | Split::Class(_) => {
                sql.bytes(&format!("SELECT {select} FROM referral WHERE referral.owner = "), owner);
                sql.push(&format!(" AND referral.offer_lead = {lead}"));
                if let Split::Class(class) = split {
                    sql.push(&format!(" AND referral.class = {}", class.0));
                }
                if let (Way::Country, Some(country)) = (way, self.asked.conditions.country) {
                    sql.bytes(" AND referral.country = ", country.as_bytes());
                }
                "referral"
            }
        };
        match part {
            Part::Range(range) => sql.within(&format!("{table}.{column}"), range),
            Part::Tie(at, id) => {
                sql.integer(&format!(" AND {table}.{column} = "), *at);
                sql.bytes(&format!(" AND {table}.id > "), id.as_bytes());
            }
        }
        self.conditions(sql, Ways::met(way));
    }
}

/// What an arm of a page is about.
enum Split<'a> {
    Whole,
    Class(Class),
    /// An e-mail, and those before it.
    Team(&'a str, &'a [String]),
}
