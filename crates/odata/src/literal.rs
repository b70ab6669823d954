//! Literals: the values of primitive types in a query.

use std::fmt;

use rust_decimal::Decimal;

use crate::error::ParseError;
use crate::limits::Limits;
use crate::parse::Parser;
use crate::primitive::{Date, DateTimeOffset, Duration, Guid, Primitive, TimeOfDay};
use crate::print::Printer;
use crate::source::DecodedText;

/// A primitive literal. Source: ABNF `primitiveLiteral`.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// `null`
    Null,
    /// `true`, `false`
    Boolean(bool),
    /// An integer of 64 bits.
    Integer(i64),
    /// A number with a fraction or an exponent, or outside of 64 bits. Its digits are kept.
    Number(Number),
    /// `INF`
    Infinity,
    /// `-INF`
    NegativeInfinity,
    /// `NaN`
    NotANumber,
    /// `'text'`, unescaped; also `"text"` inside arrays and objects.
    String(String),
    /// `01234567-89ab-cdef-0123-456789abcdef`
    Guid(Guid),
    /// `2012-09-03`
    Date(Date),
    /// `2012-09-03T14:53:00+02:00`
    DateTimeOffset(DateTimeOffset),
    /// `23:59:59.9`
    TimeOfDay(TimeOfDay),
    /// `duration'PT1H'`
    Duration(Duration),
    /// `binary'Zm9v'`
    Binary(Vec<u8>),
    /// `Sales.Pattern'Yellow,Solid'`: with its type. Without a type it is a string.
    Enum(EnumLiteral),
    /// `geography'SRID=0;Point(142.1 64.1)'`: checked against the grammar, kept as text.
    Geo(GeoLiteral),
}

/// A number as written, without a leading plus.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Number {
    text: String,
}

impl Number {
    /// Creates a number from a text of the grammar `[-] 1*DIGIT [ "." 1*DIGIT ] [ "e" [SIGN] 1*DIGIT ]`.
    pub(crate) fn new(text: &str) -> Number {
        Number { text: text.strip_prefix('+').unwrap_or(text).to_owned() }
    }

    /// Creates a number from a decimal.
    pub fn from_decimal(decimal: Decimal) -> Number {
        Number { text: decimal.to_string() }
    }

    /// Returns the digits as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the exact value if it fits into 96 bits and 28 decimal places.
    pub fn decimal(&self) -> Option<Decimal> {
        let lower = self.text.to_ascii_lowercase().replace("e+", "e");
        if !lower.contains('e') {
            return Decimal::from_str_exact(&lower).ok();
        }
        // Not if it must be rounded: that would be another number.
        let decimal = Decimal::from_scientific(&lower).ok()?;
        let significant = |text: &str| {
            let digits: String =
                text.split('e').next().unwrap_or("").chars().filter(char::is_ascii_digit).collect();
            digits.trim_matches('0').to_owned()
        };
        (significant(&lower) == significant(&decimal.to_string())).then_some(decimal)
    }

    /// Returns the nearest floating-point number.
    pub fn double(&self) -> f64 {
        self.text.parse().unwrap_or(f64::NAN)
    }
}

/// An enumeration literal with its type. Source: ABNF `enumLiteral`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EnumLiteral {
    /// The name of the type, usually qualified.
    pub type_name: String,
    /// The members, by name or by number.
    pub members: Vec<EnumMember>,
}

/// One member of an enumeration literal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum EnumMember {
    /// By name.
    Name(String),
    /// By its number.
    Value(i64),
}

impl EnumMember {
    /// Parses members as documents contain them: `Solid,Yellow,+42`. Source: ABNF `enumValue`.
    pub fn parse_list(text: &str) -> Result<Vec<EnumMember>, ParseError> {
        let source = DecodedText::plain(text);
        let limits = Limits::default();
        let mut parser = Parser::new(&source, &limits);
        let members = parser.enum_value()?;
        parser.end()?;
        Ok(members)
    }
}

impl fmt::Display for EnumMember {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EnumMember::Name(name) => f.write_str(name),
            EnumMember::Value(value) => write!(f, "{value}"),
        }
    }
}

/// A point, line or polygon, as text. Source: ABNF `geographyPoint` and similar productions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GeoLiteral {
    /// Whether it is on a plane (`geometry`) rather than on the earth (`geography`).
    pub plane: bool,
    /// `SRID=0;Point(142.1 64.1)`
    pub text: String,
}

impl Literal {
    /// Parses a decoded text as a literal of an expression.
    pub fn parse(text: &str) -> Result<Literal, ParseError> {
        let source = DecodedText::plain(text);
        let limits = Limits::default();
        let mut parser = Parser::new(&source, &limits);
        let literal = parser.primitive_literal()?;
        parser.end()?;
        Ok(literal)
    }

    /// Parses a decoded text as a literal of the given type in a URL (`'text'`, `duration'PT1H'`).
    pub fn parse_as(primitive: Primitive, text: &str) -> Result<Literal, ParseError> {
        let source = DecodedText::plain(text);
        let limits = Limits::default();
        let mut parser = Parser::new(&source, &limits);
        let literal = parser.literal_of(primitive)?;
        parser.end()?;
        Ok(literal)
    }

    /// Parses a value of the given type as documents contain it: date-times, GUIDs and durations without quotes and
    /// prefix, strings unchanged. Source: ABNF `primitiveValue`.
    pub fn parse_value(primitive: Primitive, text: &str) -> Result<Literal, ParseError> {
        let source = DecodedText::plain(text);
        let limits = Limits::default();
        let mut parser = Parser::new(&source, &limits);
        let literal = parser.value_of(primitive)?;
        parser.end()?;
        Ok(literal)
    }

    /// Returns the primitive type, if the literal determines it.
    pub fn primitive(&self) -> Option<Primitive> {
        Some(match self {
            Literal::Null | Literal::Enum(_) => return None,
            Literal::Boolean(_) => Primitive::Boolean,
            Literal::Integer(_) => Primitive::Int64,
            Literal::Number(number) if number.decimal().is_some() => Primitive::Decimal,
            Literal::Number(_) | Literal::Infinity | Literal::NegativeInfinity | Literal::NotANumber => {
                Primitive::Double
            }
            Literal::String(_) => Primitive::String,
            Literal::Guid(_) => Primitive::Guid,
            Literal::Date(_) => Primitive::Date,
            Literal::DateTimeOffset(_) => Primitive::DateTimeOffset,
            Literal::TimeOfDay(_) => Primitive::TimeOfDay,
            Literal::Duration(_) => Primitive::Duration,
            Literal::Binary(_) => Primitive::Binary,
            Literal::Geo(geo) if geo.plane => Primitive::Geometry,
            Literal::Geo(_) => Primitive::Geography,
        })
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Printer::plain();
        out.literal(self);
        f.write_str(&out.text)
    }
}
