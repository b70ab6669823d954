//! The canonical functions over values. Texts are counted in characters (code points), places begin at 0.

use rust_decimal::prelude::{Decimal, RoundingStrategy};

use super::exact;
use crate::ast::Arithmetic;
use crate::function::Function;
use crate::primitive::{DAY, Date, DateTimeOffset, Duration, SECOND, TimeOfDay};
use crate::value::{Value, fold};

/// The earliest date-time that clients of every sort can hold: 0001-01-01T00:00:00Z.
const EARLIEST: i64 = -719_162 * DAY;
/// The latest: 9999-12-31T23:59:59.9999999Z.
const LATEST: i64 = 2_932_897 * DAY - 1;

/// `None` is null.
pub(super) fn call(
    function: Function,
    arguments: &[Value],
    ignore_case: bool,
    now: DateTimeOffset,
) -> Option<Value> {
    use Function as F;
    let text = |index: usize| match arguments.get(index)? {
        Value::String(text) => Some(text.as_str()),
        _ => None,
    };
    let folded = |index: usize| Some(if ignore_case { fold(text(index)?) } else { text(index)?.to_owned() });
    let first = arguments.first();
    let whole = |number: i64| Some(Value::Integer(number));
    Some(match function {
        F::Concat => Value::String(format!("{}{}", text(0)?, text(1)?)),
        F::Contains => Value::Boolean(folded(0)?.contains(&folded(1)?)),
        F::StartsWith => Value::Boolean(folded(0)?.starts_with(&folded(1)?)),
        F::EndsWith => Value::Boolean(folded(0)?.ends_with(&folded(1)?)),
        F::IndexOf => {
            let (text, part) = (folded(0)?, folded(1)?);
            let place = text.find(&part).map(|at| text[..at].chars().count());
            return whole(place.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1));
        }
        F::Length => return whole(i64::try_from(text(0)?.chars().count()).ok()?),
        F::Substring => substring(text(0)?, arguments.get(1)?, arguments.get(2))?,
        F::ToLower => Value::String(text(0)?.to_lowercase()),
        F::ToUpper => Value::String(text(0)?.to_uppercase()),
        F::Trim => Value::String(text(0)?.trim().to_owned()),
        F::Year => return whole(date(first?)?.calendar().0.into()),
        F::Month => return whole(date(first?)?.calendar().1.into()),
        F::Day => return whole(date(first?)?.calendar().2.into()),
        F::Hour => return whole(time(first?)?.0 / SECOND / 3600),
        F::Minute => return whole(time(first?)?.0 / SECOND / 60 % 60),
        F::Second => return whole(time(first?)?.0 / SECOND % 60),
        F::FractionalSeconds => Value::Decimal(Decimal::new(time(first?)?.0 % SECOND, 7).normalize()),
        F::TotalSeconds => match first? {
            Value::Duration(duration) => Value::Decimal(Decimal::new(duration.0, 7).normalize()),
            _ => return None,
        },
        F::TotalOffsetMinutes => match first? {
            Value::DateTimeOffset(instant) => return whole(instant.offset.into()),
            _ => return None,
        },
        F::Date => Value::Date(date(first?)?),
        F::Time => Value::TimeOfDay(time(first?)?),
        F::Now => Value::DateTimeOffset(now),
        F::MinDateTime => Value::DateTimeOffset(DateTimeOffset { ticks: EARLIEST, offset: 0 }),
        F::MaxDateTime => Value::DateTimeOffset(DateTimeOffset { ticks: LATEST, offset: 0 }),
        F::Round | F::Floor | F::Ceiling => return round(function, first?),
        F::MatchesPattern => Value::Boolean(Pattern::parse(text(1)?)?.matches(text(0)?)),
        F::HasSubset | F::HasSubsequence | F::GeoDistance | F::GeoLength | F::GeoIntersects => {
            return None;
        }
    })
}

/// An ECMAScript pattern as `matchesPattern` takes it. The time of a match is bounded by the length of text and
/// pattern.
#[derive(Clone, Debug)]
pub struct Pattern(regex_lite::Regex);

impl Pattern {
    /// Reads a pattern; `None` where it is malformed or uses what needs backtracking.
    pub fn parse(pattern: &str) -> Option<Pattern> {
        regex_lite::RegexBuilder::new(pattern).size_limit(1 << 18).nest_limit(32).build().ok().map(Pattern)
    }

    /// Whether it is found in a text.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// A place before the beginning is the beginning; a negative one counts from the end (URL Conventions 5.1.1.7.1).
fn substring(text: &str, from: &Value, length: Option<&Value>) -> Option<Value> {
    let Value::Integer(from) = from else { return None };
    let characters = i64::try_from(text.chars().count()).ok()?;
    let from = if *from < 0 { from.saturating_add(characters).max(0) } else { *from };
    let rest = text.chars().skip(usize::try_from(from).ok()?);
    Some(Value::String(match length {
        None => rest.collect(),
        Some(Value::Integer(length)) => rest.take(usize::try_from((*length).max(0)).ok()?).collect(),
        Some(_) => return None,
    }))
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

/// Dates, date-times and durations added and taken from one another.
pub(super) fn calendar(op: Arithmetic, left: &Value, right: &Value) -> Option<Value> {
    use Value as V;
    let add = |one: i64, other: i64| match op {
        Arithmetic::Add => one.checked_add(other),
        Arithmetic::Sub => one.checked_sub(other),
        _ => None,
    };
    Some(match (left, right) {
        (V::Duration(one), V::Duration(other)) => V::Duration(Duration(add(one.0, other.0)?)),
        (V::DateTimeOffset(one), V::DateTimeOffset(other)) => {
            V::Duration(Duration(add(one.ticks, other.ticks)?))
        }
        (V::Date(one), V::Date(other)) => {
            V::Duration(Duration((i64::from(one.0) - i64::from(other.0)).checked_mul(DAY)?))
        }
        (V::DateTimeOffset(instant), V::Duration(span)) => {
            V::DateTimeOffset(DateTimeOffset { ticks: add(instant.ticks, span.0)?, ..*instant })
        }
        (V::Duration(span), V::DateTimeOffset(instant)) => {
            V::DateTimeOffset(DateTimeOffset { ticks: add(instant.ticks, span.0)?, ..*instant })
        }
        // A date moves by whole days.
        (V::Date(date), V::Duration(span)) => {
            V::Date(Date(i32::try_from(add(date.0.into(), span.0 / DAY)?).ok()?))
        }
        (V::Duration(span), V::Date(date)) => {
            V::Date(Date(i32::try_from(add(date.0.into(), span.0 / DAY)?).ok()?))
        }
        _ => return None,
    })
}
