//! What paths from the item lead to: columns and documents of referrals, and what `$apply` made of them.

use std::sync::Arc;

use odata::{Property, Type};
use referral::{Kind, Referral};

use super::Encoding;
use super::expr::{Sql, null, present};

/// A member that a step of `$apply` made.
#[derive(Debug, Clone)]
pub(crate) struct Column {
    /// The names on the way to it.
    pub(crate) path: Vec<Arc<str>>,
    /// Its type; `None`: it is null.
    pub(crate) ty: Option<Type>,
    /// The parts of a concatenation that have it; `None`: every row has it.
    pub(crate) parts: Option<Vec<usize>>,
    /// Its value.
    pub(super) text: String,
}

/// What the rows at hand are.
#[derive(Debug, Clone, Default)]
pub(super) struct Items {
    /// Whether they are referrals, and have documents.
    pub(super) referrals: bool,
    /// What they have besides.
    pub(super) columns: Vec<Column>,
}

impl Items {
    pub(super) fn referrals() -> Items {
        Items { referrals: true, columns: Vec::new() }
    }

    /// A member that a column holds; `None` for one that the document holds alone.
    pub(super) fn find(&self, steps: &[Property], ty: Option<&Type>) -> Option<Sql> {
        if steps.is_empty() {
            return Some(Sql { nullable: false, ..present("TRUE".to_owned()) });
        }
        if let Some(column) = self.columns.iter().find(|column| column.is_at(steps)) {
            let (text, encoding) = (column.text.clone(), Encoding::of(ty));
            return Some(Sql { text, encoding, nullable: true, zoned: false });
        }
        if self.referrals {
            let (column, nullable) = column(steps)?;
            let text = format!("referral.{column}");
            return Some(Sql { text, encoding: Encoding::of(ty), nullable, zoned: false });
        }
        // The objects that grouping paths lead through are there; nothing else is.
        let around = self.columns.iter().any(|column| column.is_within(steps));
        Some(if around { present("TRUE".to_owned()) } else { Sql { encoding: Encoding::of(ty), ..null() } })
    }
}

impl Column {
    fn is_at(&self, steps: &[Property]) -> bool {
        self.path.len() == steps.len() && self.is_within(steps)
    }

    fn is_within(&self, steps: &[Property]) -> bool {
        self.path.len() >= steps.len() && self.path.iter().zip(steps).all(|(name, step)| *name == step.name)
    }
}

/// The column that holds a member too, and whether it may be NULL.
pub(super) fn column(steps: &[Property]) -> Option<(&'static str, bool)> {
    let mut rows = Referral::TYPE.properties;
    let mut found = None;
    for step in steps {
        let row = rows.iter().find(|row| *row.name == *step.name)?;
        rows = match row.kind {
            Kind::Object(inner) => inner.properties,
            _ => &[],
        };
        found = row.column;
    }
    Some(match found? {
        "id" => ("id", false),
        "engagement_id" => ("engagement", false),
        "created" => ("created", false),
        "updated" => ("updated", false),
        "expires" => ("expires", true),
        "accepted" => ("accepted", true),
        "status" => ("status", false),
        "substatus" => ("substatus", false),
        "direction" => ("direction", false),
        "qualification" => ("qualification", false),
        "type" => ("type", false),
        "country" => ("country", true),
        "shared_with_microsoft" => ("shared_with_microsoft", false),
        // The owner and the entity tag are kept in another form than the document's.
        _ => return None,
    })
}
