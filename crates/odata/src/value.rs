//! Values: literals with a known type, and the results of the evaluator.

use std::borrow::Cow;
use std::cmp::Ordering;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::primitive::{Date, DateTimeOffset, Duration, Guid, TimeOfDay};

/// A value of a known type.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Null.
    Null,
    /// `Edm.Boolean`
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// An exact number.
    Decimal(Decimal),
    /// A floating-point number, including `INF` and `NaN`.
    Double(f64),
    /// `Edm.String`
    String(String),
    /// `Edm.Guid`
    Guid(Guid),
    /// `Edm.Date`
    Date(Date),
    /// `Edm.DateTimeOffset`
    DateTimeOffset(DateTimeOffset),
    /// `Edm.TimeOfDay`
    TimeOfDay(TimeOfDay),
    /// `Edm.Duration`
    Duration(Duration),
    /// `Edm.Binary`
    Binary(Vec<u8>),
    /// A member of an enumeration, or several of a flags type.
    Enum {
        /// The name in documents.
        name: String,
        /// The number that it is compared by.
        value: i64,
    },
    /// An object or an array that is not null. Nothing else is known of it.
    Present,
}

impl Value {
    /// Returns whether it is null.
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Returns the bytes it owns on the heap.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Value::String(text) => text.len(),
            Value::Binary(bytes) => bytes.len(),
            Value::Enum { name, .. } => name.len(),
            _ => 0,
        }
    }

    pub(crate) fn is_true(&self) -> bool {
        matches!(self, Value::Boolean(true))
    }

    /// Returns it as a floating-point number.
    pub fn to_double(&self) -> Option<f64> {
        match self {
            Value::Integer(number) => number.to_f64(),
            Value::Decimal(number) => number.to_f64(),
            Value::Double(number) => Some(*number),
            _ => None,
        }
    }

    /// Returns it as an exact number.
    pub fn to_decimal(&self) -> Option<Decimal> {
        match self {
            Value::Integer(number) => Some(Decimal::from(*number)),
            Value::Decimal(number) => Some(*number),
            _ => None,
        }
    }

    /// Compares two values of comparable types; `None` if one is null, not a number, or of another kind. Texts are
    /// compared by code points, after [`fold`] if case is ignored.
    pub fn compare(&self, other: &Value, ignore_case: bool) -> Option<Ordering> {
        match (self, other) {
            (Value::Boolean(left), Value::Boolean(right)) => Some(left.cmp(right)),
            (Value::Integer(left), Value::Integer(right)) => Some(left.cmp(right)),
            (Value::String(left), Value::String(right)) if ignore_case => {
                Some(folded(left).cmp(&folded(right)))
            }
            (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
            (Value::Guid(left), Value::Guid(right)) => Some(left.cmp(right)),
            (Value::Date(left), Value::Date(right)) => Some(left.cmp(right)),
            (Value::DateTimeOffset(left), Value::DateTimeOffset(right)) => Some(left.ticks.cmp(&right.ticks)),
            (Value::TimeOfDay(left), Value::TimeOfDay(right)) => Some(left.cmp(right)),
            (Value::Duration(left), Value::Duration(right)) => Some(left.cmp(right)),
            (Value::Binary(left), Value::Binary(right)) => Some(left.cmp(right)),
            (Value::Enum { value: left, .. }, Value::Enum { value: right, .. }) => Some(left.cmp(right)),
            _ => match (self.to_decimal(), other.to_decimal()) {
                (Some(left), Some(right)) => Some(left.cmp(&right)),
                _ => self.to_double()?.partial_cmp(&other.to_double()?),
            },
        }
    }

    /// Compares two values for sorting: null first, then not-a-number, then all others.
    pub fn sort(&self, other: &Value, ignore_case: bool) -> Ordering {
        let rank = |value: &Value| match value {
            Value::Null => 0,
            Value::Double(number) if number.is_nan() => 1,
            _ => 2,
        };
        rank(self).cmp(&rank(other)).then_with(|| self.compare(other, ignore_case).unwrap_or(Ordering::Equal))
    }

    /// Returns the text in documents and in `cast(…, Edm.String)`; `None` for null and for objects.
    pub fn to_text(&self) -> Option<String> {
        Some(match self {
            Value::Null | Value::Present => return None,
            Value::Boolean(value) => value.to_string(),
            Value::Integer(number) => number.to_string(),
            Value::Decimal(number) => number.to_string(),
            Value::Double(number) if number.is_nan() => "NaN".to_owned(),
            Value::Double(number) if number.is_infinite() => {
                if *number > 0.0 {
                    "INF".to_owned()
                } else {
                    "-INF".to_owned()
                }
            }
            Value::Double(number) => number.to_string(),
            Value::String(text) => text.clone(),
            Value::Guid(guid) => guid.to_string(),
            Value::Date(date) => date.to_string(),
            Value::DateTimeOffset(instant) => instant.to_string(),
            Value::TimeOfDay(time) => time.to_string(),
            Value::Duration(duration) => duration.to_string(),
            Value::Binary(bytes) => crate::print::base64url(bytes),
            Value::Enum { name, .. } => name.clone(),
        })
    }
}

impl Value {
    /// Returns the value as JSON. Values that JSON does not have become texts (`INF`) or null.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Value::Null | Value::Present => Json::Null,
            Value::Boolean(value) => Json::Bool(*value),
            Value::Integer(number) => Json::from(*number),
            Value::Decimal(number) => number.to_string().parse().map_or(Json::Null, Json::Number),
            Value::Double(number) if number.is_finite() => Json::from(*number),
            other => other.to_text().map_or(Json::Null, Json::String),
        }
    }
}

/// Folds case, for case-insensitive comparisons. It is Unicode's lower case. The SQL engines' own functions cover only
/// a part of it, so SQL must store or register this one.
pub fn fold(text: &str) -> String {
    text.to_lowercase()
}

/// Like [`fold`], without copying a text that is folded already.
pub(crate) fn folded(text: &str) -> Cow<'_, str> {
    let is_folded = text.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if is_folded { Cow::Borrowed(text) } else { Cow::Owned(fold(text)) }
}
