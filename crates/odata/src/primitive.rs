//! The primitive types of EDM, and the values for which Rust has no type: GUID, date, time, duration.
//!
//! Times are kept in ticks of 100 ns, and digits after the seventh are dropped. Years are from -20000 to 20000, so that
//! every instant fits into 64 bits.

use std::fmt;

/// Ticks of one second.
pub const SECOND: i64 = 10_000_000;
/// Ticks of one day.
pub const DAY: i64 = 86_400 * SECOND;
/// Maximum year, and the negative of the minimum year.
pub const YEARS: i32 = 20_000;

macro_rules! primitives {
    ($($variant:ident $name:literal),* $(,)?) => {
        /// A primitive type of EDM.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Primitive { $(#[doc = concat!("`Edm.", $name, "`")] $variant,)* }

        impl Primitive {
            /// All primitive types.
            pub const ALL: &[Primitive] = &[$(Primitive::$variant),*];

            /// Returns the name without `Edm.`.
            pub fn short_name(self) -> &'static str {
                match self { $(Primitive::$variant => $name,)* }
            }

            /// Returns the name with `Edm.`.
            pub fn name(self) -> &'static str {
                match self { $(Primitive::$variant => concat!("Edm.", $name),)* }
            }
        }
    };
}

primitives! {
    Binary "Binary", Boolean "Boolean", Byte "Byte", Date "Date", DateTimeOffset "DateTimeOffset",
    Decimal "Decimal", Double "Double", Duration "Duration", Guid "Guid", Int16 "Int16", Int32 "Int32",
    Int64 "Int64", SByte "SByte", Single "Single", Stream "Stream", String "String", TimeOfDay "TimeOfDay",
    Geography "Geography", GeographyCollection "GeographyCollection",
    GeographyLineString "GeographyLineString", GeographyMultiLineString "GeographyMultiLineString",
    GeographyMultiPoint "GeographyMultiPoint", GeographyMultiPolygon "GeographyMultiPolygon",
    GeographyPoint "GeographyPoint", GeographyPolygon "GeographyPolygon",
    Geometry "Geometry", GeometryCollection "GeometryCollection", GeometryLineString "GeometryLineString",
    GeometryMultiLineString "GeometryMultiLineString", GeometryMultiPoint "GeometryMultiPoint",
    GeometryMultiPolygon "GeometryMultiPolygon", GeometryPoint "GeometryPoint",
    GeometryPolygon "GeometryPolygon",
}

impl Primitive {
    /// Returns the type with this name, with or without `Edm.`.
    pub fn from_name(name: &str) -> Option<Primitive> {
        let short = name.strip_prefix("Edm.").unwrap_or(name);
        Primitive::ALL.iter().copied().find(|primitive| primitive.short_name() == short)
    }

    /// Returns whether it is an integer type.
    pub fn is_integer(self) -> bool {
        use Primitive::{Byte, Int16, Int32, Int64, SByte};
        matches!(self, Byte | Int16 | Int32 | Int64 | SByte)
    }

    /// Returns whether it is a binary floating-point type.
    pub fn is_float(self) -> bool {
        matches!(self, Primitive::Double | Primitive::Single)
    }

    /// Returns whether it is a numeric type.
    pub fn is_numeric(self) -> bool {
        self.is_integer() || self.is_float() || self == Primitive::Decimal
    }

    /// Returns whether it is a geo type.
    pub fn is_geo(self) -> bool {
        self.short_name().starts_with("Geo")
    }
}

impl fmt::Display for Primitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A GUID. Printed in lower case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Guid(pub u128);

impl fmt::Display for Guid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = self.0;
        let (a, b, c) = (v >> 96, (v >> 80) & 0xffff, (v >> 64) & 0xffff);
        write!(f, "{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", (v >> 48) & 0xffff, v & 0xffff_ffff_ffff)
    }
}

/// A date of the proleptic Gregorian calendar, as days since 1970-01-01.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i32);

impl Date {
    /// Creates a date; `None` if there is no such day, or the year is out of range.
    pub fn from_calendar(year: i32, month: u8, day: u8) -> Option<Date> {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 => 28 + u8::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        if day == 0 || day > days || !(-YEARS..=YEARS).contains(&year) {
            return None;
        }
        // Days from civil, with years that begin in March, so that the leap day is the last day of a year.
        let shifted = if month <= 2 { year - 1 } else { year };
        let era = shifted.div_euclid(400);
        let year_of_era = shifted.rem_euclid(400);
        let day_of_year = (153 * ((i32::from(month) + 9) % 12) + 2) / 5 + i32::from(day) - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Some(Date(era * 146_097 + day_of_era - 719_468))
    }

    /// Returns the year, the month from 1, and the day from 1.
    pub fn calendar(self) -> (i32, u8, u8) {
        let days = self.0.saturating_add(719_468);
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + i32::from(month <= 2);
        (year, u8::try_from(month).unwrap_or(12), u8::try_from(day).unwrap_or(31))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.calendar();
        let sign = if year < 0 { "-" } else { "" };
        write!(f, "{sign}{:04}-{month:02}-{day:02}", year.unsigned_abs())
    }
}

/// A time of day, in ticks since midnight, below one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(pub i64);

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0 / SECOND;
        write!(f, "{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        fraction(self.0 % SECOND, f)
    }
}

fn fraction(ticks: i64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    if ticks == 0 {
        return Ok(());
    }
    let digits = format!("{ticks:07}");
    write!(f, ".{}", digits.trim_end_matches('0'))
}

/// An instant with the offset it was written in. Equality compares both; [`instant`](Self::ticks) is the instant only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct DateTimeOffset {
    /// Ticks since 1970-01-01T00:00:00Z.
    pub ticks: i64,
    /// Minutes east of UTC.
    pub offset: i16,
}

impl DateTimeOffset {
    /// Returns date and time of day in its own offset.
    pub fn local(self) -> (Date, TimeOfDay) {
        let local = self.ticks.saturating_add(i64::from(self.offset) * 60 * SECOND);
        let days = i32::try_from(local.div_euclid(DAY)).unwrap_or(i32::MAX);
        (Date(days), TimeOfDay(local.rem_euclid(DAY)))
    }

    /// Creates the midnight (UTC) of a date.
    pub fn midnight(date: Date) -> DateTimeOffset {
        DateTimeOffset { ticks: i64::from(date.0).saturating_mul(DAY), offset: 0 }
    }
}

impl fmt::Display for DateTimeOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (date, time) = self.local();
        write!(f, "{date}T{time}")?;
        if self.offset == 0 {
            return f.write_str("Z");
        }
        let sign = if self.offset < 0 { '-' } else { '+' };
        let minutes = self.offset.unsigned_abs();
        write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)
    }
}

/// A duration of days and smaller units, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Duration(pub i64);

impl fmt::Display for Duration {
    /// The value without quotes and prefix: `-P6DT23H59M59.9999S`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ticks = self.0.unsigned_abs();
        let (second, day) = (SECOND.unsigned_abs(), DAY.unsigned_abs());
        f.write_str(if self.0 < 0 { "-P" } else { "P" })?;
        if ticks >= day {
            write!(f, "{}D", ticks / day)?;
        }
        let seconds = ticks % day / second;
        let rest = ticks % second;
        if ticks.is_multiple_of(day) && ticks > 0 {
            return Ok(());
        }
        f.write_str("T")?;
        for (value, unit) in [(seconds / 3600, 'H'), (seconds / 60 % 60, 'M')] {
            if value > 0 {
                write!(f, "{value}{unit}")?;
            }
        }
        if !seconds.is_multiple_of(60) || rest > 0 || ticks == 0 {
            write!(f, "{}", seconds % 60)?;
            fraction(i64::try_from(rest).unwrap_or(0), f)?;
            f.write_str("S")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{DAY, Date, DateTimeOffset, Duration, Guid, SECOND, TimeOfDay};

    #[test]
    fn every_day_comes_back_from_the_calendar() {
        for days in (-8_000_000..6_500_000).step_by(997).chain(-800..800) {
            let (year, month, day) = Date(days).calendar();
            assert_eq!(Date::from_calendar(year, month, day), Some(Date(days)), "{year}-{month}-{day}");
        }
        assert_eq!(Date::from_calendar(1970, 1, 1), Some(Date(0)));
        assert_eq!(Date::from_calendar(2000, 2, 29), Some(Date(11_016)));
        for (year, month, day) in [(2023, 2, 29), (1900, 2, 29), (2023, 4, 31), (2023, 13, 1), (20_001, 1, 1)]
        {
            assert_eq!(Date::from_calendar(year, month, day), None, "{year}-{month}-{day}");
        }
    }

    #[test]
    fn values_print_as_odata_writes_them() {
        assert_eq!(Date::from_calendar(-10_000, 4, 1).expect("a date").to_string(), "-10000-04-01");
        assert_eq!(Date::from_calendar(0, 1, 1).expect("a date").to_string(), "0000-01-01");
        assert_eq!(TimeOfDay(DAY - 1).to_string(), "23:59:59.9999999");
        assert_eq!(DateTimeOffset { ticks: 0, offset: -150 }.to_string(), "1969-12-31T21:30:00-02:30");
        assert_eq!(Duration(-(7 * DAY - 1000)).to_string(), "-P6DT23H59M59.9999S");
        assert_eq!(Duration(0).to_string(), "PT0S");
        assert_eq!(Duration(DAY).to_string(), "P1D");
        assert_eq!(Duration(60 * SECOND).to_string(), "PT1M");
        assert_eq!(
            Guid(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef).to_string(),
            "01234567-89ab-cdef-0123-456789abcdef"
        );
    }
}
