//! Exact decimal amounts. Source: spec 5.1 and 8.5.

use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An amount of 0 or more, with at most 28 digits, at most 4 of them after the decimal point.
///
/// Compared by value (`5` equals `5.0`) and written as a JSON number without trailing zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(Decimal);

/// The text is not a valid amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a decimal number of 0 or more with at most 28 digits, 4 of them decimals")]
pub struct ParseAmountError;

impl Amount {
    /// Returns the exact value.
    pub fn value(self) -> Decimal {
        self.0
    }
}

/// The digits of a number and its power of ten: `-12.50e3` is (`1250`, 1), negative.
struct DecimalParts {
    negative: bool,
    digits: String,
    exponent: i64,
}

/// Splits the text of a JSON number. Leading and trailing zeros are dropped, so that only significant digits count.
fn split(text: &str) -> Option<DecimalParts> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => (&rest[..at], rest[at + 1..].parse::<i64>().ok()?),
        None => (rest, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let all_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !all_digits(whole) || !all_digits(fraction) {
        return None;
    }
    let digits = format!("{whole}{fraction}");
    let exponent = exponent.checked_sub(fraction.len() as i64)?;
    let trimmed = digits.trim_end_matches('0');
    let exponent = exponent.checked_add((digits.len() - trimmed.len()) as i64)?;
    Some(DecimalParts { negative, digits: trimmed.trim_start_matches('0').into(), exponent })
}

impl FromStr for Amount {
    type Err = ParseAmountError;

    /// Parses the text of a JSON number, with or without an exponent.
    ///
    /// # Errors
    /// [`ParseAmountError`] for negative numbers, more than 28 digits, more than 4 decimals and any other text.
    fn from_str(text: &str) -> Result<Amount, ParseAmountError> {
        let parts = split(text).ok_or(ParseAmountError)?;
        if parts.digits.is_empty() {
            return Ok(Amount(Decimal::ZERO));
        }
        let length = parts.digits.len() as i64;
        if parts.negative || parts.exponent < -4 || parts.exponent > 28 || length + parts.exponent.max(0) > 28
        {
            return Err(ParseAmountError);
        }
        let number: i128 = parts.digits.parse().map_err(|_| ParseAmountError)?;
        let scale = (-parts.exponent).max(0) as u32;
        let number = number * 10i128.pow(parts.exponent.max(0) as u32);
        Decimal::try_from_i128_with_scale(number, scale).map(Amount).map_err(|_| ParseAmountError)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.normalize().fmt(f)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let number: serde_json::Number = self.to_string().parse().map_err(serde::ser::Error::custom)?;
        number.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        let number = serde_json::Number::deserialize(deserializer)?;
        number.as_str().parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact_and_written_without_trailing_zeros() {
        // REF-068 (the number's form; the routes test the member)
        for (text, wire) in [
            ("0", "0"),
            ("-0", "0"),
            ("50000", "50000"),
            ("50000.00", "50000"),
            ("0.10", "0.1"),
            ("1e3", "1000"),
            ("1.5E+2", "150"),
            ("12345678901234567890123456.78", "12345678901234567890123456.78"),
            ("9999999999999999999999999999", "9999999999999999999999999999"),
            ("10e-1", "1"),
            ("0e999999", "0"),
        ] {
            let amount: Amount = text.parse().unwrap_or_else(|_| panic!("{text}"));
            assert_eq!(serde_json::to_string(&amount).unwrap(), wire);
            assert_eq!(serde_json::from_str::<Amount>(wire).unwrap(), amount);
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        // REF-122
        for text in [
            "",
            "-1",
            "-0.0001",
            "1e400",
            "1e-400",
            "0.00001",
            "99999999999999999999999999999",
            "1e28",
            "NaN",
            "+1",
            " 1",
            "1,5",
            "1_000",
            ".5",
            "5.",
            "0x10",
            "1e9999999999999999999",
        ] {
            assert_eq!(text.parse::<Amount>(), Err(ParseAmountError), "{text}");
        }
    }
}
