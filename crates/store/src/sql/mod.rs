//! SQL from typed queries: text with parameters, for every engine that speaks SQL.
//!
//! [`Writer`] walks the tree and knows what an expression means; [`Dialect`] knows how an engine says it. What a
//! request brings is bound, never pasted: the text holds words of ours alone. The meaning is that of
//! `odata::Evaluator` over the stored document; `tests/differential.rs` holds the two against each other.
//!
//! How values stand in SQL ([`Encoding`]): booleans are 0 and 1; whole numbers, instants, dates, times and durations
//! in their smallest unit, and enumerations by their place are integers; exact numbers are text compared by value;
//! GUIDs and binary data are bytes. Null is NULL.
//!
//! An operand is written once, however often it is asked about: a copy per level would double with each level.

mod apply;
mod collection;
mod depth;
mod dialect;
mod encoding;
mod expr;
mod items;
mod order;

use odata::{DateTimeOffset, Evaluator, Schema, Typed};
use referral::Timestamp;

pub(crate) use self::apply::{Applied, Start, leading_query};
pub(crate) use self::dialect::Dialect;
pub(crate) use self::encoding::{Bound, Encoding};
pub(crate) use self::expr::balanced;
pub(crate) use self::items::Column;
use self::items::Items;
#[cfg(test)]
pub(crate) use self::order::MOST_KEYS;
pub(crate) use self::order::SortKey;
use crate::StoreError;

/// A statement and what its parameters stand for, first to last.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Statement {
    /// Parameters are numbered from 1; one may stand in several places.
    pub(crate) text: String,
    /// Their values.
    pub(crate) values: Vec<Bound>,
}

/// What an engine cannot carry out; a sentence for the client, without a full stop.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotSupported(pub(crate) String);

impl NotSupported {
    fn new(what: impl Into<String>) -> NotSupported {
        NotSupported(what.into())
    }
}

impl From<NotSupported> for StoreError {
    fn from(error: NotSupported) -> StoreError {
        StoreError::NotSupported(error.0)
    }
}

/// A statement under construction. Rows of the table `referral` are what its expressions speak of.
pub(crate) struct Writer<'a> {
    dialect: Dialect,
    evaluator: Evaluator<'a>,
    /// What paths from the item lead to.
    items: Items,
    text: String,
    values: Vec<Bound>,
    /// The table names by which members of collections go, innermost last.
    members: Vec<(u32, String)>,
    aliases: usize,
}

impl Writer<'static> {
    /// An empty statement; `now` is what `now()` is in its expressions.
    pub(crate) fn new(dialect: Dialect, now: Timestamp) -> Writer<'static> {
        Writer::with_schema(dialect, now, crate::schema())
    }
}

impl<'a> Writer<'a> {
    /// The same, for expressions bound against another schema.
    pub(crate) fn with_schema(dialect: Dialect, now: Timestamp, schema: &'a Schema) -> Writer<'a> {
        let now = DateTimeOffset { ticks: now.ticks(), offset: 0 };
        Writer {
            dialect,
            evaluator: Evaluator { schema, now, work: None },
            items: Items::referrals(),
            text: String::new(),
            values: Vec::new(),
            members: Vec::new(),
            aliases: 0,
        }
    }

    /// Adds words of ours.
    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Adds a parameter.
    pub(crate) fn bind(&mut self, value: Bound) {
        let parameter = self.parameter(value);
        self.text.push_str(&parameter);
    }

    /// A parameter to be put in with [`push`](Self::push), in one place or in several.
    pub(crate) fn parameter(&mut self, value: Bound) -> String {
        self.values.push(value);
        self.dialect.parameter(self.values.len())
    }

    /// Adds a condition that holds where the expression is true; where it is null or false it is one of the two.
    pub(crate) fn predicate(&mut self, typed: &Typed) -> Result<(), NotSupported> {
        depth::check(typed)?;
        let condition = self.condition(typed)?;
        self.text.push_str(&condition);
        Ok(())
    }

    /// Adds the value of an expression.
    #[cfg(test)]
    pub(crate) fn any_value(&mut self, typed: &Typed) -> Result<(), NotSupported> {
        depth::check(typed)?;
        let sql = self.expr(typed)?;
        self.text.push_str(&sql.text);
        Ok(())
    }

    /// What was added since the statement was empty or was taken from.
    pub(crate) fn take(&mut self) -> String {
        std::mem::take(&mut self.text)
    }

    /// The finished statement.
    pub(crate) fn finish(self) -> Statement {
        Statement { text: self.text, values: self.values }
    }

    /// A table name that nothing else in the statement has.
    fn alias(&mut self) -> String {
        self.aliases += 1;
        format!("m{}", self.aliases)
    }
}
