//! Arithmetic. If an operand is null, the result is null. Division by zero and overflow are errors for integers, exact
//! numbers, durations and instants; floating-point numbers return `INF` and `NaN`. Source: URL Conventions 5.1.1.2.

use rust_decimal::Decimal;

use super::EvalError;
use crate::ast::Arithmetic;
use crate::primitive::{DAY, Date, DateTimeOffset, Duration, YEARS};
use crate::value::Value;

type EvalResult<T> = Result<T, EvalError>;

fn by_zero(op: Arithmetic) -> EvalError {
    EvalError::fault(format!("'{}' by zero", op.name()))
}

fn beyond(what: &str, ty: &str) -> EvalError {
    EvalError::fault(format!("the result of '{what}' is out of the range of {ty}"))
}

/// Returns an exact number. Zero has no sign.
pub(super) fn exact(number: Decimal) -> Value {
    Value::Decimal(if number.is_zero() { number.abs() } else { number })
}

pub(super) fn negate(value: &Value) -> EvalResult<Value> {
    const NEGATE: &str = "-";
    Ok(match value {
        Value::Integer(number) => {
            Value::Integer(number.checked_neg().ok_or_else(|| beyond(NEGATE, "Edm.Int64"))?)
        }
        Value::Decimal(number) => exact(-*number),
        Value::Double(number) => Value::Double(-number),
        Value::Duration(Duration(ticks)) => {
            Value::Duration(Duration(ticks.checked_neg().ok_or_else(|| beyond(NEGATE, "Edm.Duration"))?))
        }
        _ => Value::Null,
    })
}

/// Returns null if an operand is null, or has a type that the operation does not take.
pub(super) fn arithmetic(op: Arithmetic, left: &Value, right: &Value) -> EvalResult<Value> {
    use Value as V;
    if left.is_null() || right.is_null() {
        return Ok(V::Null);
    }
    match (left, right) {
        (V::Integer(left), V::Integer(right)) if op != Arithmetic::DivBy => whole(op, *left, *right),
        (V::Duration(span), number) | (number, V::Duration(span)) if number.to_double().is_some() => {
            scaled(op, *span, number)
        }
        (V::Double(_), _) | (_, V::Double(_)) => {
            let (Some(left), Some(right)) = (left.to_double(), right.to_double()) else {
                return Ok(V::Null);
            };
            Ok(V::Double(match op {
                Arithmetic::Add => left + right,
                Arithmetic::Sub => left - right,
                Arithmetic::Mul => left * right,
                Arithmetic::Div | Arithmetic::DivBy => left / right,
                Arithmetic::Mod => left % right,
            }))
        }
        _ => match (left.to_decimal(), right.to_decimal()) {
            (Some(left), Some(right)) => decimal(op, left, right),
            _ => calendar(op, left, right),
        },
    }
}

fn whole(op: Arithmetic, left: i64, right: i64) -> EvalResult<Value> {
    let result = match op {
        Arithmetic::Add => left.checked_add(right),
        Arithmetic::Sub => left.checked_sub(right),
        Arithmetic::Mul => left.checked_mul(right),
        _ if right == 0 => return Err(by_zero(op)),
        Arithmetic::Div | Arithmetic::DivBy => left.checked_div(right),
        // The only remainder whose computation overflows is zero.
        Arithmetic::Mod => Some(left.wrapping_rem(right)),
    };
    result.map(Value::Integer).ok_or_else(|| beyond(op.name(), "Edm.Int64"))
}

fn decimal(op: Arithmetic, left: Decimal, right: Decimal) -> EvalResult<Value> {
    let result = match op {
        Arithmetic::Add => left.checked_add(right),
        Arithmetic::Sub => left.checked_sub(right),
        Arithmetic::Mul => left.checked_mul(right),
        _ if right.is_zero() => return Err(by_zero(op)),
        // Without the trailing zeros that a division leaves.
        Arithmetic::Div | Arithmetic::DivBy => left.checked_div(right).map(|quotient| quotient.normalize()),
        Arithmetic::Mod => left.checked_rem(right),
    };
    result.map(exact).ok_or_else(|| beyond(op.name(), "Edm.Decimal"))
}

/// Multiplies or divides a duration by a number.
fn scaled(op: Arithmetic, Duration(ticks): Duration, number: &Value) -> EvalResult<Value> {
    let too_large = || beyond(op.name(), "Edm.Duration");
    let ticks = Decimal::from(ticks);
    let number = match number {
        Value::Double(number) if number.is_infinite() && op != Arithmetic::Mul => Decimal::ZERO,
        Value::Double(number) => Decimal::try_from(*number).map_err(|_| too_large())?,
        number => number.to_decimal().ok_or_else(too_large)?,
    };
    let result = match op {
        Arithmetic::Mul => ticks.checked_mul(number),
        _ if number.is_zero() => return Err(by_zero(op)),
        _ => ticks.checked_div(number),
    };
    let ticks = result.and_then(|ticks| i64::try_from(ticks.trunc()).ok()).ok_or_else(too_large)?;
    Ok(Value::Duration(Duration(ticks)))
}

/// Adds and subtracts dates, date-times and durations.
fn calendar(op: Arithmetic, left: &Value, right: &Value) -> EvalResult<Value> {
    use Value as V;
    let add = |one: i64, other: i64| match op {
        Arithmetic::Add => one.checked_add(other),
        Arithmetic::Sub => one.checked_sub(other),
        _ => None,
    };
    let result = match (left, right) {
        (V::Duration(one), V::Duration(other)) => {
            add(one.0, other.0).map(|ticks| V::Duration(Duration(ticks)))
        }
        (V::DateTimeOffset(one), V::DateTimeOffset(other)) => {
            add(one.ticks, other.ticks).map(|ticks| V::Duration(Duration(ticks)))
        }
        (V::Date(one), V::Date(other)) => add(one.0.into(), other.0.into())
            .and_then(|days| days.checked_mul(DAY))
            .map(|ticks| V::Duration(Duration(ticks))),
        (V::DateTimeOffset(instant), V::Duration(span)) | (V::Duration(span), V::DateTimeOffset(instant)) => {
            let moved = add(instant.ticks, span.0).map(|ticks| DateTimeOffset { ticks, ..*instant });
            moved.filter(|moved| has_a_year(moved.local().0)).map(V::DateTimeOffset)
        }
        // A date counts as its midnight. The result is the day of the resulting instant.
        (V::Date(date), V::Duration(span)) | (V::Duration(span), V::Date(date)) => {
            let midnight = i64::from(date.0).checked_mul(DAY);
            let days = midnight.and_then(|ticks| add(ticks, span.0)).map(|ticks| ticks.div_euclid(DAY));
            let date = days.and_then(|days| i32::try_from(days).ok()).map(Date);
            date.filter(|date| has_a_year(*date)).map(V::Date)
        }
        _ => return Ok(V::Null),
    };
    let ty = match (left, right) {
        (V::DateTimeOffset(_), V::Duration(_)) | (V::Duration(_), V::DateTimeOffset(_)) => {
            "Edm.DateTimeOffset"
        }
        (V::Date(_), V::Duration(_)) | (V::Duration(_), V::Date(_)) => "Edm.Date",
        _ => "Edm.Duration",
    };
    result.ok_or_else(|| beyond(op.name(), ty))
}

/// Returns whether the year of a date is in the supported range.
fn has_a_year(date: Date) -> bool {
    (-YEARS..=YEARS).contains(&date.calendar().0)
}
