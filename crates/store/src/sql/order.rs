//! The keys of an order, and where a page begins.

use odata::TypedOrder;
use referral::ReferralId;

use super::{Bound, Encoding, NotSupported, Writer, depth};
use crate::{Key, Place};

/// Most keys of one order: each may make the condition of the next page deeper, and engines bound that.
pub(crate) const MOST_KEYS: usize = 64;

/// A key as SQL, to be selected, sorted by and compared with, as often as it must be.
#[derive(Debug, Clone)]
pub(crate) struct SortKey {
    /// The expression, compared by value.
    pub(crate) text: String,
    /// How its column is read back into a [`Key`].
    pub(crate) encoding: Encoding,
    /// `desc`
    pub(crate) descending: bool,
    /// Whether it may be NULL, which comes first ascending and last descending.
    pub(crate) nullable: bool,
}

impl SortKey {
    /// As a term of `ORDER BY`.
    pub(crate) fn term(&self) -> String {
        if self.descending { format!("{} DESC", self.text) } else { self.text.clone() }
    }
}

impl Writer<'_> {
    /// The keys of an order.
    pub(crate) fn keys(&mut self, order: &[TypedOrder]) -> Result<Vec<SortKey>, NotSupported> {
        if order.len() > MOST_KEYS {
            return Err(NotSupported::new(format!(
                "an order by more than {MOST_KEYS} keys is not supported"
            )));
        }
        order.iter().map(|key| self.key(key)).collect()
    }

    /// One key.
    pub(crate) fn key(&mut self, key: &TypedOrder) -> Result<SortKey, NotSupported> {
        depth::check(&key.expr)?;
        let encoding = Encoding::of(key.expr.ty.as_ref());
        let sql = self.operand(&key.expr, encoding, key.ignore_case)?;
        let text = match encoding {
            Encoding::Decimal => self.dialect.by_value(&sql.text),
            _ => sql.text,
        };
        Ok(SortKey { text, encoding, descending: key.descending, nullable: sql.nullable })
    }

    /// Adds the condition that a row comes strictly after a place; ties are broken by `referral.id` ascending.
    pub(crate) fn after(&mut self, keys: &[SortKey], place: &Place) {
        let condition = self.after_place(keys, place);
        self.push(&condition);
    }

    fn after_place(&mut self, keys: &[SortKey], place: &Place) -> String {
        let id = self.after_id(place.id);
        keys.iter().zip(&place.keys).rev().fold(id, |rest, (key, value)| self.after_key(key, value, &rest))
    }

    fn after_id(&mut self, id: ReferralId) -> String {
        let id = self.parameter(Bound::Blob(id.as_bytes().to_vec()));
        format!("(referral.id > {id})")
    }

    /// Beyond the value, or at it and beyond in the `rest` of the keys. The range is said first, for indexes.
    fn after_key(&mut self, key: &SortKey, value: &Key, rest: &str) -> String {
        let text = &key.text;
        let value = bound(value);
        if value == Bound::Null {
            return match key.descending {
                true => format!("({text} IS NULL AND {rest})"),
                false => format!("({text} IS NOT NULL OR {rest})"),
            };
        }
        let value = self.parameter(value);
        match (key.descending, key.nullable) {
            (false, _) => format!("({text} >= {value} AND ({text} > {value} OR {rest}))"),
            (true, false) => format!("({text} <= {value} AND ({text} < {value} OR {rest}))"),
            (true, true) => {
                format!("({text} IS NULL OR ({text} <= {value} AND ({text} < {value} OR {rest})))")
            }
        }
    }
}

/// A key as a parameter.
fn bound(key: &Key) -> Bound {
    match key {
        Key::Null => Bound::Null,
        Key::Boolean(value) => Bound::Integer((*value).into()),
        Key::Integer(number) => Bound::Integer(*number),
        Key::Decimal(number) => Bound::Text(number.to_string()),
        Key::Real(number) => Bound::Real(*number),
        Key::Text(text) => Bound::Text(text.clone()),
        Key::Bytes(bytes) => Bound::Blob(bytes.clone()),
    }
}
