//! The values that referrals are sorted by: made of the evaluator's, ordered as the engines order theirs.

use std::cmp::Ordering;

use odata::{Value, fold};

use crate::SortValue;

impl SortValue {
    /// Converts a value; texts are folded if the order ignores case.
    pub fn of(value: &Value, ignore_case: bool) -> SortValue {
        match value {
            Value::Null | Value::Present => SortValue::Null,
            Value::Boolean(value) => SortValue::Boolean(*value),
            Value::Integer(number) => SortValue::Integer(*number),
            Value::Decimal(number) => SortValue::Decimal(*number),
            Value::Double(number) => SortValue::Real(*number),
            Value::String(text) => SortValue::Text(if ignore_case { fold(text) } else { text.clone() }),
            Value::Guid(guid) => SortValue::Bytes(guid.0.to_be_bytes().to_vec()),
            Value::Date(date) => SortValue::Integer(date.0.into()),
            Value::DateTimeOffset(instant) => SortValue::Integer(instant.ticks),
            Value::TimeOfDay(time) => SortValue::Integer(time.0),
            Value::Duration(duration) => SortValue::Integer(duration.0),
            Value::Binary(bytes) => SortValue::Bytes(bytes.clone()),
            Value::Enum { value, .. } => SortValue::Integer(*value),
        }
    }

    /// Compares two values of one expression: null before everything, not-a-number before all numbers.
    pub fn compare(&self, other: &SortValue) -> Ordering {
        match (self, other) {
            (SortValue::Boolean(left), SortValue::Boolean(right)) => left.cmp(right),
            (SortValue::Integer(left), SortValue::Integer(right)) => left.cmp(right),
            (SortValue::Decimal(left), SortValue::Decimal(right)) => left.cmp(right),
            (SortValue::Text(left), SortValue::Text(right)) => left.cmp(right),
            (SortValue::Bytes(left), SortValue::Bytes(right)) => left.cmp(right),
            (SortValue::Real(left), SortValue::Real(right)) => (!left.is_nan())
                .cmp(&!right.is_nan())
                .then(left.partial_cmp(right).unwrap_or(Ordering::Equal)),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    /// Returns the rank of the kind. Values of one expression differ in kind only by null.
    fn rank(&self) -> u8 {
        match self {
            SortValue::Null => 0,
            SortValue::Boolean(_) => 1,
            SortValue::Integer(_) | SortValue::Decimal(_) | SortValue::Real(_) => 2,
            SortValue::Text(_) => 3,
            SortValue::Bytes(_) => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_comes_first_and_texts_without_case_are_one() {
        let text = |text: &str, ignore| SortValue::of(&Value::String(text.to_owned()), ignore);
        assert_eq!(SortValue::Null.compare(&text("", false)), Ordering::Less);
        assert_eq!(
            SortValue::of(&Value::Integer(i64::MIN), false).compare(&SortValue::Null),
            Ordering::Greater
        );
        assert_eq!(text("Ä", true).compare(&text("ä", true)), Ordering::Equal);
        assert_eq!(text("B", false).compare(&text("a", false)), Ordering::Less);
        assert_eq!(SortValue::Real(f64::NAN).compare(&SortValue::Real(f64::NEG_INFINITY)), Ordering::Less);
    }
}
