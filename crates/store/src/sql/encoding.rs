//! How values stand in SQL.

use odata::{Primitive, Type, Value};

use super::NotSupported;

/// A value to be bound.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Bound {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

/// What the values of an expression are in SQL, when they are not NULL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// 0 or 1.
    Boolean,
    /// Whole numbers, instants, dates, times and durations in their smallest unit, places in an enumeration.
    Integer,
    /// The text of an exact number, compared by value.
    Decimal,
    /// Floating point.
    Real,
    /// Text, compared by code points.
    Text,
    /// GUIDs and binary data.
    Bytes,
    /// Something: of an object only whether it is there can be asked.
    Present,
}

impl Encoding {
    /// The encoding of a type; of a bare null, any.
    pub(crate) fn of(ty: Option<&Type>) -> Encoding {
        match ty {
            None | Some(Type::Enum(_)) => Encoding::Integer,
            Some(Type::Structured(_) | Type::Collection(_)) => Encoding::Present,
            Some(Type::Primitive(primitive)) => match primitive {
                Primitive::Boolean => Encoding::Boolean,
                Primitive::String => Encoding::Text,
                Primitive::Decimal => Encoding::Decimal,
                Primitive::Guid | Primitive::Binary => Encoding::Bytes,
                primitive if primitive.is_float() => Encoding::Real,
                _ => Encoding::Integer,
            },
        }
    }

    /// The one that values of both can be compared in: numbers of different sorts meet in the wider one.
    pub(crate) fn common(self, other: Encoding) -> Encoding {
        match (self, other) {
            (Encoding::Real, _) | (_, Encoding::Real) => Encoding::Real,
            (Encoding::Decimal, _) | (_, Encoding::Decimal) => Encoding::Decimal,
            (one, _) => one,
        }
    }

    /// A constant in this encoding.
    pub(crate) fn bound(self, value: &Value) -> Result<Bound, NotSupported> {
        Ok(match (value, self) {
            (Value::Null, _) => Bound::Null,
            (Value::Present, _) => Bound::Integer(1),
            (Value::Double(number), _) if number.is_nan() => {
                return Err(NotSupported::new("NaN is not supported: nothing stored is not a number"));
            }
            (Value::Double(number), _) => Bound::Real(*number),
            (Value::Integer(_) | Value::Decimal(_), Encoding::Real) => {
                value.to_double().map_or(Bound::Null, Bound::Real)
            }
            (Value::Integer(number), Encoding::Decimal) => Bound::Text(number.to_string()),
            (Value::Integer(number), _) => Bound::Integer(*number),
            (Value::Decimal(number), _) => Bound::Text(number.to_string()),
            (Value::Boolean(value), _) => Bound::Integer((*value).into()),
            (Value::String(text), _) => Bound::Text(text.clone()),
            (Value::Guid(guid), _) => Bound::Blob(guid.0.to_be_bytes().to_vec()),
            (Value::Binary(bytes), _) => Bound::Blob(bytes.clone()),
            (Value::Date(date), _) => Bound::Integer(date.0.into()),
            (Value::DateTimeOffset(instant), _) => Bound::Integer(instant.ticks),
            (Value::TimeOfDay(time), _) => Bound::Integer(time.0),
            (Value::Duration(duration), _) => Bound::Integer(duration.0),
            (Value::Enum { value, .. }, _) => Bound::Integer(*value),
        })
    }
}
