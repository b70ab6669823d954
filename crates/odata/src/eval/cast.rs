//! Conversion of document members to values, and of values to other types.

use std::borrow::Cow;

use rust_decimal::Decimal;
use serde_json::Value as Json;

use super::operand::Operand;
use super::{EvalError, Evaluator};
use crate::literal::{EnumMember, Literal};
use crate::primitive::{DateTimeOffset, Primitive};
use crate::schema::Type;
use crate::value::Value;

/// Cost of looking up the name of an enumeration member, in nodes.
const ENUM: u64 = 4;

impl Evaluator<'_> {
    /// Converts a member of a document to a value. Values that do not fit the type become null.
    pub(super) fn read<'x>(&self, json: &'x Json, ty: &Type) -> Result<Operand<'x>, EvalError> {
        Ok(match (json, ty) {
            (Json::Null, _) => Operand::NULL,
            (_, Type::Structured(_) | Type::Collection(_)) => Value::Present.into(),
            (Json::String(text), Type::Primitive(Primitive::String)) => Operand::Text(Cow::Borrowed(text)),
            (Json::String(text), Type::Enum(name)) => {
                self.take(ENUM)?;
                self.enum_of(name, text)?.into()
            }
            (Json::Number(number), Type::Primitive(primitive)) => {
                self.take_text(number.as_str().len().saturating_mul(4))?;
                number_of(number.as_str(), *primitive).into()
            }
            (Json::Bool(value), Type::Primitive(Primitive::Boolean)) => Operand::boolean(*value),
            (Json::String(text), Type::Primitive(primitive)) => {
                self.take_text(text.len().saturating_mul(4))?;
                value_of(text, *primitive).into()
            }
            _ => Operand::NULL,
        })
    }

    fn enum_of(&self, name: &str, text: &str) -> Result<Value, EvalError> {
        let Some(enumeration) = self.schema.find_enum(name) else { return Ok(Value::Null) };
        if let Some((name, value)) = enumeration.members.iter().find(|(name, _)| **name == *text) {
            return Ok(Value::Enum { name: name.to_string(), value: *value });
        }
        self.take_text(text.len().saturating_mul(16))?;
        let Ok(members) = EnumMember::parse_list(text) else { return Ok(Value::Null) };
        let mut all = 0;
        for member in &members {
            let value = match member {
                EnumMember::Value(value) => Some(*value),
                EnumMember::Name(member) => enumeration.value(member, true),
            };
            let Some(value) = value else { return Ok(Value::Null) };
            all |= value;
        }
        Ok(enumeration.names(all).map_or(Value::Null, |name| Value::Enum { name, value: all }))
    }

    /// Converts a value to another type. Values that cannot be cast become null.
    pub(super) fn cast_operand<'x>(&self, operand: Operand<'x>, to: &Type) -> Result<Operand<'x>, EvalError> {
        use Primitive as P;
        if let Operand::Text(text) = &operand {
            return Ok(match to {
                Type::Primitive(P::String) => operand,
                Type::Enum(name) => self.enum_of(name, text)?.into(),
                Type::Primitive(to) => {
                    self.take_text(text.len().saturating_mul(4))?;
                    self.hold(text.len())?;
                    exactly(value_of(text, *to), *to).into()
                }
                Type::Structured(_) | Type::Collection(_) => Operand::NULL,
            });
        }
        self.take(4)?;
        let value = operand.value();
        Ok(match (value, to) {
            (Value::Null, _) => Value::Null,
            (value, Type::Primitive(P::String)) => {
                // The text of bytes is a third longer than the bytes.
                self.take_text(operand.length().saturating_mul(4))?;
                self.hold(operand.length().saturating_mul(2))?;
                value.to_text().map_or(Value::Null, Value::String)
            }
            (Value::DateTimeOffset(instant), Type::Primitive(P::Date)) => Value::Date(instant.local().0),
            (Value::DateTimeOffset(instant), Type::Primitive(P::TimeOfDay)) => {
                Value::TimeOfDay(instant.local().1)
            }
            (Value::Date(date), Type::Primitive(P::DateTimeOffset)) => {
                Value::DateTimeOffset(DateTimeOffset::midnight(*date))
            }
            (Value::Integer(_) | Value::Decimal(_) | Value::Double(_), Type::Primitive(to))
                if to.is_numeric() =>
            {
                let number = value.to_text().map_or(Value::Null, |text| number_of(&text, *to));
                exactly(number, *to)
            }
            _ => Value::Null,
        }
        .into())
    }
}

/// Values that only floating point can hold are not exact numbers.
fn exactly(value: Value, to: Primitive) -> Value {
    match value {
        Value::Double(_) if to == Primitive::Decimal => Value::Null,
        value => value,
    }
}

/// Converts a text to a value of a primitive type, or null if it is not one.
fn value_of(text: &str, primitive: Primitive) -> Value {
    if primitive == Primitive::String {
        return Value::String(text.to_owned());
    }
    if primitive.is_numeric() {
        return number_of(text, primitive);
    }
    match Literal::parse_value(primitive, text) {
        Ok(Literal::Boolean(value)) => Value::Boolean(value),
        Ok(Literal::Guid(guid)) => Value::Guid(guid),
        Ok(Literal::Date(date)) => Value::Date(date),
        Ok(Literal::DateTimeOffset(instant)) => Value::DateTimeOffset(instant),
        Ok(Literal::TimeOfDay(time)) => Value::TimeOfDay(time),
        Ok(Literal::Duration(duration)) => Value::Duration(duration),
        Ok(Literal::Binary(bytes)) => Value::Binary(bytes),
        _ => Value::Null,
    }
}

/// Returns the range of an integer type.
fn range(primitive: Primitive) -> Option<(i64, i64)> {
    Some(match primitive {
        Primitive::Byte => (0, u8::MAX.into()),
        Primitive::SByte => (i8::MIN.into(), i8::MAX.into()),
        Primitive::Int16 => (i16::MIN.into(), i16::MAX.into()),
        Primitive::Int32 => (i32::MIN.into(), i32::MAX.into()),
        Primitive::Int64 => (i64::MIN, i64::MAX),
        _ => return None,
    })
}

/// Converts digits to a number of a type. Integers are truncated towards zero; values out of range become null.
fn number_of(text: &str, primitive: Primitive) -> Value {
    let (decimal, double) = match Literal::parse_value(Primitive::Double, text) {
        Ok(Literal::Integer(number)) => (Some(Decimal::from(number)), number as f64),
        Ok(Literal::Number(number)) => (number.decimal(), number.double()),
        Ok(Literal::Infinity) => (None, f64::INFINITY),
        Ok(Literal::NegativeInfinity) => (None, f64::NEG_INFINITY),
        Ok(Literal::NotANumber) => (None, f64::NAN),
        _ => return Value::Null,
    };
    match primitive {
        Primitive::Double => Value::Double(double),
        Primitive::Single => single(double),
        Primitive::Decimal => match decimal {
            Some(decimal) => Value::Decimal(decimal),
            // The nearest floating-point number, if it has no exact value.
            None if double.is_finite() => Value::Double(double),
            None => Value::Null,
        },
        whole => {
            let number = match decimal {
                Some(decimal) => i64::try_from(decimal.trunc()).ok(),
                None => whole_of(double),
            };
            match (number, range(whole)) {
                (Some(number), Some((least, most))) if (least..=most).contains(&number) => {
                    Value::Integer(number)
                }
                _ => Value::Null,
            }
        }
    }
}

/// Returns the nearest single-precision number by its shortest digits; null if only a double can hold it.
fn single(double: f64) -> Value {
    #[expect(clippy::cast_possible_truncation, reason = "to the nearest is what is wanted")]
    let single = double as f32;
    if single.is_infinite() && double.is_finite() {
        return Value::Null;
    }
    Value::Double(single.to_string().parse().unwrap_or(f64::from(single)))
}

/// Returns the integer part of a number that is too small, or has too many digits, to be exact.
fn whole_of(double: f64) -> Option<i64> {
    const EXACT: f64 = 9_007_199_254_740_992.0; // 2^53
    #[expect(
        clippy::cast_possible_truncation,
        reason = "cut towards zero is what is wanted, and it is in range"
    )]
    (double.abs() < EXACT).then_some(double as i64)
}

/// Converts a number to the wider type of its expression.
pub(super) fn widened<'x>(operand: Operand<'x>, ty: Option<&Type>) -> Operand<'x> {
    let value = operand.value();
    let wider = match ty.and_then(Type::primitive) {
        Some(Primitive::Decimal) => value.to_decimal().map(Value::Decimal),
        Some(primitive) if primitive.is_float() => value.to_double().map(Value::Double),
        _ => None,
    };
    wider.map_or(operand, Operand::from)
}
