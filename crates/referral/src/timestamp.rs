//! Instants on the wire: UTC, in steps of 100 nanoseconds, as .NET counts them. Source: spec 5.1 and 8.5.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::{Date, Month};

/// 100 ns steps in a second.
const TICKS: i64 = 10_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// Day number of 1970-01-01 in the `time` crate's Julian day count.
const EPOCH_JULIAN_DAY: i64 = 2_440_588;

/// An instant between the years 1 and 9999, in steps of 100 ns since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The text is not a date-time of the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an RFC 3339 date-time or a date of the years 0001 to 9999")]
pub struct ParseTimestampError;

impl Timestamp {
    /// 0001-01-01T00:00:00Z, the earliest time in .NET.
    pub const MIN: Timestamp = Timestamp(-62_135_596_800 * TICKS);
    /// 9999-12-31T23:59:59.9999999Z, the latest time in .NET.
    pub const MAX: Timestamp = Timestamp(253_402_300_800 * TICKS - 1);

    /// Creates an instant from 100 ns steps since the Unix epoch. Values outside the years 1 to 9999 are clamped.
    pub fn from_ticks(ticks: i64) -> Timestamp {
        Timestamp(ticks.clamp(Self::MIN.0, Self::MAX.0))
    }

    /// Creates an instant from whole seconds since the Unix epoch, clamped the same way.
    pub fn from_unix_seconds(seconds: i64) -> Timestamp {
        Timestamp::from_ticks(seconds.saturating_mul(TICKS))
    }

    /// Returns the 100 ns steps since the Unix epoch, which the database stores.
    pub const fn ticks(self) -> i64 {
        self.0
    }

    /// Returns the whole seconds since the Unix epoch, rounded down.
    pub const fn unix_seconds(self) -> i64 {
        self.0.div_euclid(TICKS)
    }

    /// Returns the next distinguishable instant (T19).
    pub fn next(self) -> Timestamp {
        Timestamp::from_ticks(self.0.saturating_add(1))
    }

    /// Returns this instant plus whole seconds.
    pub fn plus_seconds(self, seconds: i64) -> Timestamp {
        Timestamp::from_ticks(self.0.saturating_add(seconds.saturating_mul(TICKS)))
    }

    /// Returns midnight UTC at the beginning of this instant's day, plus whole days.
    pub fn midnight_plus_days(self, days: i64) -> Timestamp {
        let day = self.unix_seconds().div_euclid(SECONDS_PER_DAY) + days;
        Timestamp::from_unix_seconds(day.saturating_mul(SECONDS_PER_DAY))
    }

    fn from_parts(date: Date, seconds_of_day: i64, fraction: i64, offset_seconds: i64) -> Option<Timestamp> {
        let day = i64::from(date.to_julian_day()) - EPOCH_JULIAN_DAY;
        let seconds = day * SECONDS_PER_DAY + seconds_of_day - offset_seconds;
        let ticks = seconds.checked_mul(TICKS)?.checked_add(fraction)?;
        (Self::MIN.0..=Self::MAX.0).contains(&ticks).then_some(Timestamp(ticks))
    }

    /// Writes the wire form into a buffer without allocating. At most 28 bytes.
    fn write_into(self, buffer: &mut [u8; 28]) -> usize {
        let seconds = self.unix_seconds();
        let fraction = self.0.rem_euclid(TICKS) as u32;
        let (day, second) = (seconds.div_euclid(SECONDS_PER_DAY), seconds.rem_euclid(SECONDS_PER_DAY) as u32);
        let date = Date::from_julian_day((day + EPOCH_JULIAN_DAY) as i32).unwrap_or(Date::MIN);
        digits(&mut buffer[0..4], date.year() as u32);
        buffer[4] = b'-';
        digits(&mut buffer[5..7], u32::from(u8::from(date.month())));
        buffer[7] = b'-';
        digits(&mut buffer[8..10], u32::from(date.day()));
        buffer[10] = b'T';
        digits(&mut buffer[11..13], second / 3600);
        buffer[13] = b':';
        digits(&mut buffer[14..16], second / 60 % 60);
        buffer[16] = b':';
        digits(&mut buffer[17..19], second % 60);
        let mut end = 19;
        if fraction > 0 {
            buffer[19] = b'.';
            digits(&mut buffer[20..27], fraction);
            end = 27;
            while buffer[end - 1] == b'0' {
                end -= 1;
            }
        }
        buffer[end] = b'Z';
        end + 1
    }
}

fn digits(into: &mut [u8], mut value: u32) {
    for place in into.iter_mut().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

/// Parses exactly `count` ASCII digits at the front of `text`.
fn number(text: &mut &[u8], count: usize) -> Option<i64> {
    let (head, rest) = text.split_at_checked(count)?;
    *text = rest;
    head.iter().try_fold(0i64, |sum, &byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

fn skip(text: &mut &[u8], wanted: &[u8]) -> Option<()> {
    let (&first, rest) = text.split_first()?;
    *text = rest;
    wanted.contains(&first).then_some(())
}

/// Parses `.` and digits in 100 ns steps. Digits after the seventh are dropped (spec 8.5).
fn fraction(text: &mut &[u8]) -> Option<i64> {
    if text.first() != Some(&b'.') {
        return Some(0);
    }
    let rest = &text[1..];
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if length == 0 {
        return None;
    }
    let ticks = (0..7)
        .fold(0, |sum, place| sum * 10 + rest[..length].get(place).map_or(0, |byte| i64::from(byte - b'0')));
    *text = &rest[length..];
    Some(ticks)
}

fn offset(text: &mut &[u8]) -> Option<i64> {
    let (&sign, rest) = text.split_first()?;
    *text = rest;
    let sign = match sign {
        b'Z' | b'z' => return Some(0),
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let hours = number(text, 2)?;
    skip(text, b":")?;
    let minutes = number(text, 2)?;
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn parse(mut text: &[u8]) -> Option<Timestamp> {
    let text = &mut text;
    let year = number(text, 4)?;
    skip(text, b"-")?;
    let month = Month::try_from(number(text, 2)? as u8).ok()?;
    skip(text, b"-")?;
    let date = Date::from_calendar_date(year as i32, month, number(text, 2)? as u8).ok()?;
    if text.is_empty() {
        return Timestamp::from_parts(date, 0, 0, 0);
    }
    skip(text, b"Tt")?;
    let hour = number(text, 2)?;
    skip(text, b":")?;
    let minute = number(text, 2)?;
    skip(text, b":")?;
    let second = number(text, 2)?;
    let fraction = fraction(text)?;
    let offset = offset(text)?;
    if !text.is_empty() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    if second == 60 {
        // A leap second ends a UTC day. It becomes the next second (spec 8.5), without its fraction.
        let utc_minute = (hour * 60 + minute - offset / 60).rem_euclid(24 * 60);
        return if utc_minute == 24 * 60 - 1 {
            Timestamp::from_parts(date, (hour * 60 + minute + 1) * 60, 0, offset)
        } else {
            None
        };
    }
    Timestamp::from_parts(date, (hour * 60 + minute) * 60 + second, fraction, offset)
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    /// Parses an RFC 3339 date-time, or a date as midnight UTC. Fractional digits after the seventh are dropped.
    ///
    /// # Errors
    /// [`ParseTimestampError`] for any other text, and for instants outside the years 1 to 9999.
    fn from_str(text: &str) -> Result<Timestamp, ParseTimestampError> {
        parse(text.as_bytes()).ok_or(ParseTimestampError)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut buffer = [0; 28];
        let length = self.write_into(&mut buffer);
        f.write_str(std::str::from_utf8(&buffer[..length]).unwrap_or_default())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl crate::diff::FieldValue for Timestamp {
    fn write(&self, out: &mut Vec<u8>) {
        let mut buffer = [0; 28];
        let length = self.write_into(&mut buffer);
        crate::diff::write_plain(std::str::from_utf8(&buffer[..length]).unwrap_or_default(), out);
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut buffer = [0; 28];
        let length = self.write_into(&mut buffer);
        serializer.serialize_str(std::str::from_utf8(&buffer[..length]).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        crate::json::from_text(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_and_written_in_the_shortest_utc_form() {
        // REF-066 REF-067
        for (text, wire) in [
            ("2020-10-30T21:03:00.0000000Z", "2020-10-30T21:03:00Z"),
            ("2018-11-06T18:40:42.6178337Z", "2018-11-06T18:40:42.6178337Z"),
            ("2019-02-24t10:00:00.50z", "2019-02-24T10:00:00.5Z"),
            ("2020-01-01T01:30:00+02:00", "2019-12-31T23:30:00Z"),
            ("2020-01-01T00:00:00.123456789Z", "2020-01-01T00:00:00.1234567Z"),
            ("2020-02-29", "2020-02-29T00:00:00Z"),
            ("1998-12-31T23:59:60.5Z", "1999-01-01T00:00:00Z"),
            ("1998-12-31T15:59:60-08:00", "1999-01-01T00:00:00Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("9999-12-31T23:59:59.9999999Z", "9999-12-31T23:59:59.9999999Z"),
        ] {
            let read: Timestamp = text.parse().unwrap_or_else(|_| panic!("{text}"));
            assert_eq!(read.to_string(), wire, "{text}");
            assert_eq!(wire.parse(), Ok(read), "{text}");
        }
    }

    #[test]
    fn what_is_no_instant_is_refused() {
        for text in [
            "",
            "2020",
            "2020-13-01",
            "2021-02-29",
            "2020-01-01T24:00:00Z",
            "2020-01-01T00:60:00Z",
            "2020-01-01T00:00:60Z",
            "2020-01-01T00:00:61Z",
            "2020-01-01T00:00:00",
            "2020-01-01 00:00:00Z",
            "2020-01-01T00:00:00.Z",
            "2020-01-01T00:00:00+2:00",
            "2020-01-01T00:00:00+24:00",
            "0000-01-01",
            "0001-01-01T00:00:00+01:00",
            "9999-12-31T23:59:59-01:00",
            "2020-01-01Z",
            "২020-01-01",
            "+2020-01-01",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(ParseTimestampError), "{text}");
        }
    }

    #[test]
    fn days_are_counted_from_midnight() {
        // The sample of T10: created 2018-10-30T21:03:42Z, expires 2018-11-13.
        let created: Timestamp = "2018-10-30T21:03:42Z".parse().unwrap();
        assert_eq!(created.midnight_plus_days(14).to_string(), "2018-11-13T00:00:00Z");
        assert_eq!(created.next().ticks(), created.ticks() + 1);
        assert_eq!(Timestamp::MAX.next(), Timestamp::MAX);
    }
}
