//! The values that referrals are sorted by: made of the evaluator's, ordered as the engines order theirs.

use std::cmp::Ordering;

use odata::{Value, fold};

use crate::Key;

impl Key {
    /// The key of a value; texts are folded where the order ignores case.
    pub fn of(value: &Value, ignore_case: bool) -> Key {
        match value {
            Value::Null | Value::Present => Key::Null,
            Value::Boolean(value) => Key::Boolean(*value),
            Value::Integer(number) => Key::Integer(*number),
            Value::Decimal(number) => Key::Decimal(*number),
            Value::Double(number) => Key::Real(*number),
            Value::String(text) => Key::Text(if ignore_case { fold(text) } else { text.clone() }),
            Value::Guid(guid) => Key::Bytes(guid.0.to_be_bytes().to_vec()),
            Value::Date(date) => Key::Integer(date.0.into()),
            Value::DateTimeOffset(instant) => Key::Integer(instant.ticks),
            Value::TimeOfDay(time) => Key::Integer(time.0),
            Value::Duration(duration) => Key::Integer(duration.0),
            Value::Binary(bytes) => Key::Bytes(bytes.clone()),
            Value::Enum { value, .. } => Key::Integer(*value),
        }
    }

    /// The order of two keys of one expression: null before everything, not-a-number before all numbers.
    pub fn sort(&self, other: &Key) -> Ordering {
        match (self, other) {
            (Key::Boolean(left), Key::Boolean(right)) => left.cmp(right),
            (Key::Integer(left), Key::Integer(right)) => left.cmp(right),
            (Key::Decimal(left), Key::Decimal(right)) => left.cmp(right),
            (Key::Text(left), Key::Text(right)) => left.cmp(right),
            (Key::Bytes(left), Key::Bytes(right)) => left.cmp(right),
            (Key::Real(left), Key::Real(right)) => (!left.is_nan())
                .cmp(&!right.is_nan())
                .then(left.partial_cmp(right).unwrap_or(Ordering::Equal)),
            _ => self.rank().cmp(&other.rank()),
        }
    }

    /// Where keys of different kinds stand; only null meets others.
    fn rank(&self) -> u8 {
        match self {
            Key::Null => 0,
            Key::Boolean(_) => 1,
            Key::Integer(_) | Key::Decimal(_) | Key::Real(_) => 2,
            Key::Text(_) => 3,
            Key::Bytes(_) => 4,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn null_comes_first_and_texts_without_case_are_one() {
        let text = |text: &str, ignore| Key::of(&Value::String(text.to_owned()), ignore);
        assert_eq!(Key::Null.sort(&text("", false)), Ordering::Less);
        assert_eq!(Key::of(&Value::Integer(i64::MIN), false).sort(&Key::Null), Ordering::Greater);
        assert_eq!(text("Ä", true).sort(&text("ä", true)), Ordering::Equal);
        assert_eq!(text("B", false).sort(&text("a", false)), Ordering::Less);
        assert_eq!(Key::Real(f64::NAN).sort(&Key::Real(f64::NEG_INFINITY)), Ordering::Less);
    }
}
