//! Intermediate values. Texts are borrowed from the document or the query where possible, so that long texts are not
//! copied.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::value::{Value, folded};

/// An intermediate value. Texts always have the first form.
#[derive(Clone, Debug)]
pub(super) enum Operand<'x> {
    Text(Cow<'x, str>),
    Value(Cow<'x, Value>),
}

impl<'x> Operand<'x> {
    pub(super) const NULL: Operand<'static> = Operand::Value(Cow::Owned(Value::Null));

    /// Borrows a value.
    pub(super) fn of(value: &'x Value) -> Operand<'x> {
        match value {
            Value::String(text) => Operand::Text(Cow::Borrowed(text)),
            value => Operand::Value(Cow::Borrowed(value)),
        }
    }

    pub(super) fn boolean(value: bool) -> Operand<'x> {
        Value::Boolean(value).into()
    }

    pub(super) fn integer(number: usize) -> Operand<'x> {
        Value::Integer(i64::try_from(number).unwrap_or(i64::MAX)).into()
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Operand::Value(value) if value.is_null())
    }

    pub(super) fn is_true(&self) -> bool {
        matches!(self, Operand::Value(value) if value.is_true())
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Operand::Text(text) => Some(text),
            Operand::Value(_) => None,
        }
    }

    /// Returns the value; null for a text.
    pub(super) fn value(&self) -> &Value {
        match self {
            Operand::Text(_) => &Value::Null,
            Operand::Value(value) => value,
        }
    }

    pub(super) fn into_value(self) -> Value {
        match self {
            Operand::Text(text) => Value::String(text.into_owned()),
            Operand::Value(value) => value.into_owned(),
        }
    }

    /// Returns the length of a text or of bytes.
    pub(super) fn length(&self) -> usize {
        match self {
            Operand::Text(text) => text.len(),
            Operand::Value(value) => value.bytes(),
        }
    }

    /// Returns the number of bytes that it owns.
    pub(super) fn owned_bytes(&self) -> usize {
        match self {
            Operand::Text(Cow::Owned(text)) => text.len(),
            Operand::Value(Cow::Owned(value)) => value.bytes(),
            Operand::Text(Cow::Borrowed(_)) | Operand::Value(Cow::Borrowed(_)) => 0,
        }
    }

    /// Like [`Value::compare`].
    pub(super) fn compare(&self, other: &Operand<'_>, ignore_case: bool) -> Option<Ordering> {
        match (self, other) {
            (Operand::Text(left), Operand::Text(right)) if ignore_case => {
                Some(folded(left).cmp(&folded(right)))
            }
            (Operand::Text(left), Operand::Text(right)) => Some(left.cmp(right)),
            (Operand::Value(left), Operand::Value(right)) => left.compare(right, ignore_case),
            _ => None,
        }
    }
}

impl From<Value> for Operand<'_> {
    fn from(value: Value) -> Self {
        match value {
            Value::String(text) => Operand::Text(Cow::Owned(text)),
            value => Operand::Value(Cow::Owned(value)),
        }
    }
}
