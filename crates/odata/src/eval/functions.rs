//! The canonical functions over values. Lengths and positions of texts count characters (code points), from 0.

use std::borrow::Cow;

use rust_decimal::prelude::{Decimal, RoundingStrategy};

use super::arithmetic::exact;
use super::operand::Operand;
use super::{EvalError, Evaluator, Pattern};
use crate::function::Function;
use crate::primitive::{DAY, Date, DateTimeOffset, SECOND, TimeOfDay};
use crate::value::{Value, folded};

/// The earliest date-time that all clients support: 0001-01-01T00:00:00Z.
const EARLIEST: i64 = -719_162 * DAY;
/// The latest: 9999-12-31T23:59:59.9999999Z.
const LATEST: i64 = 2_932_897 * DAY - 1;

/// Maximum factor by which the bytes of a text grow when its case changes.
const GROWTH: usize = 3;

impl Evaluator<'_> {
    /// Applies a function. If an argument is null, the result is null.
    pub(super) fn apply_function<'x>(
        &self,
        function: Function,
        arguments: &[Operand<'x>],
        ignore_case: bool,
    ) -> Result<Operand<'x>, EvalError> {
        let length = arguments.iter().map(Operand::length).fold(0, usize::saturating_add);
        self.take_text(length)?;
        Ok(match (text_function(function), arguments) {
            (true, [one]) => match one.text() {
                Some(text) => self.of_text(function, text)?,
                None => Operand::NULL,
            },
            (true, [one, other]) if function != Function::Substring => match (one.text(), other.text()) {
                (Some(one), Some(other)) => self.of_texts(function, one, other, ignore_case)?,
                _ => Operand::NULL,
            },
            (true, [text, from, rest @ ..]) => match text.text() {
                Some(text) => self.substring(text, from.value(), rest.first().map(Operand::value))?,
                None => Operand::NULL,
            },
            _ => {
                let argument = arguments.first().map_or(&Value::Null, Operand::value);
                of_value(function, argument, self.now).unwrap_or(Value::Null).into()
            }
        })
    }

    fn of_text<'x>(&self, function: Function, text: &str) -> Result<Operand<'x>, EvalError> {
        let made = |text: String| Ok(Operand::Text(Cow::Owned(text)));
        match function {
            Function::ToLower | Function::ToUpper => {
                self.hold(text.len().saturating_mul(GROWTH))?;
                self.take_text(text.len())?;
                made(if function == Function::ToLower { text.to_lowercase() } else { text.to_uppercase() })
            }
            Function::Trim => {
                let trimmed = text.trim();
                self.hold(trimmed.len())?;
                made(trimmed.to_owned())
            }
            _ => Ok(Operand::integer(text.chars().count())),
        }
    }

    fn of_texts<'x>(
        &self,
        function: Function,
        text: &str,
        part: &str,
        ignore_case: bool,
    ) -> Result<Operand<'x>, EvalError> {
        match function {
            Function::Concat => {
                self.hold(text.len().saturating_add(part.len()))?;
                return Ok(Operand::Text(Cow::Owned([text, part].concat())));
            }
            Function::MatchesPattern => {
                let pattern = match self.work {
                    Some(work) => work.pattern(part)?,
                    None => Pattern::parse(part)?,
                };
                return pattern.matches(text, self.work).map(Operand::boolean);
            }
            _ => {}
        }
        let (text, part) = if ignore_case {
            self.take_text(text.len().saturating_add(part.len()).saturating_mul(GROWTH))?;
            self.hold(text.len().saturating_add(part.len()).saturating_mul(GROWTH))?;
            (folded(text), folded(part))
        } else {
            (Cow::Borrowed(text), Cow::Borrowed(part))
        };
        Ok(match function {
            Function::Contains => Operand::boolean(text.contains(&*part)),
            Function::StartsWith => Operand::boolean(text.starts_with(&*part)),
            Function::EndsWith => Operand::boolean(text.ends_with(&*part)),
            _ => match text.find(&*part) {
                Some(at) => Operand::integer(text[..at].chars().count()),
                None => Value::Integer(-1).into(),
            },
        })
    }

    /// Returns a substring. A start before the beginning is the beginning; a negative start counts from the end (URL
    /// Conventions 5.1.1.7.1).
    fn substring<'x>(
        &self,
        text: &str,
        from: &Value,
        length: Option<&Value>,
    ) -> Result<Operand<'x>, EvalError> {
        let Value::Integer(from) = from else { return Ok(Operand::NULL) };
        let length = match length {
            None => usize::MAX,
            Some(Value::Integer(length)) => usize::try_from((*length).max(0)).unwrap_or(usize::MAX),
            Some(_) => return Ok(Operand::NULL),
        };
        let characters = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
        let from = if *from < 0 { from.saturating_add(characters).max(0) } else { *from };
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let place = |rest: &str, characters: usize| {
            rest.char_indices().nth(characters).map_or(rest.len(), |(at, _)| at)
        };
        let rest = &text[place(text, from)..];
        let part = &rest[..place(rest, length)];
        self.hold(part.len())?;
        Ok(Operand::Text(Cow::Owned(part.to_owned())))
    }
}

/// Returns whether the first argument of a function is a text.
fn text_function(function: Function) -> bool {
    use Function as F;
    matches!(
        function,
        F::Concat
            | F::Contains
            | F::EndsWith
            | F::IndexOf
            | F::Length
            | F::MatchesPattern
            | F::StartsWith
            | F::Substring
            | F::ToLower
            | F::ToUpper
            | F::Trim
    )
}

/// Applies a function of one value that is not a text, or of no arguments. `None` is null.
fn of_value(function: Function, value: &Value, now: DateTimeOffset) -> Option<Value> {
    use Function as F;
    let whole = |number: i64| Some(Value::Integer(number));
    Some(match function {
        F::Year => return whole(date(value)?.calendar().0.into()),
        F::Month => return whole(date(value)?.calendar().1.into()),
        F::Day => return whole(date(value)?.calendar().2.into()),
        F::Hour => return whole(time(value)?.0 / SECOND / 3600),
        F::Minute => return whole(time(value)?.0 / SECOND / 60 % 60),
        F::Second => return whole(time(value)?.0 / SECOND % 60),
        F::FractionalSeconds => Value::Decimal(Decimal::new(time(value)?.0 % SECOND, 7).normalize()),
        F::TotalSeconds => match value {
            Value::Duration(duration) => Value::Decimal(Decimal::new(duration.0, 7).normalize()),
            _ => return None,
        },
        F::TotalOffsetMinutes => match value {
            Value::DateTimeOffset(instant) => return whole(instant.offset.into()),
            _ => return None,
        },
        F::Date => Value::Date(date(value)?),
        F::Time => Value::TimeOfDay(time(value)?),
        F::Now => Value::DateTimeOffset(now),
        F::MinDateTime => Value::DateTimeOffset(DateTimeOffset { ticks: EARLIEST, offset: 0 }),
        F::MaxDateTime => Value::DateTimeOffset(DateTimeOffset { ticks: LATEST, offset: 0 }),
        F::Round | F::Floor | F::Ceiling => return round(function, value),
        // Functions of texts, and functions that are never bound.
        F::Concat
        | F::Contains
        | F::EndsWith
        | F::IndexOf
        | F::Length
        | F::MatchesPattern
        | F::StartsWith
        | F::Substring
        | F::ToLower
        | F::ToUpper
        | F::Trim
        | F::HasSubset
        | F::HasSubsequence
        | F::GeoDistance
        | F::GeoLength
        | F::GeoIntersects => return None,
    })
}

fn date(value: &Value) -> Option<Date> {
    match value {
        Value::Date(date) => Some(*date),
        Value::DateTimeOffset(instant) => Some(instant.local().0),
        _ => None,
    }
}

fn time(value: &Value) -> Option<TimeOfDay> {
    match value {
        Value::TimeOfDay(time) => Some(*time),
        Value::DateTimeOffset(instant) => Some(instant.local().1),
        _ => None,
    }
}

fn round(function: Function, value: &Value) -> Option<Value> {
    Some(match (value, function) {
        (Value::Integer(number), _) => Value::Integer(*number),
        (Value::Decimal(number), Function::Floor) => exact(number.floor()),
        (Value::Decimal(number), Function::Ceiling) => exact(number.ceil()),
        (Value::Decimal(number), _) => {
            exact(number.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero))
        }
        (Value::Double(number), Function::Floor) => Value::Double(number.floor()),
        (Value::Double(number), Function::Ceiling) => Value::Double(number.ceil()),
        (Value::Double(number), _) => Value::Double(number.round()),
        _ => return None,
    })
}
