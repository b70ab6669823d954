//! Dates, times and durations. Source: ABNF section 7.

use super::{ParseResult, Parser};
use crate::error::{ParseError, ParseErrorKind};
use crate::primitive::{DAY, Date, DateTimeOffset, Duration, SECOND, TimeOfDay};

impl Parser<'_> {
    /// Parses one digit in a range: `hour = ( "0" / "1" ) DIGIT / "2" ( "0" … "3" )`.
    fn digit(&mut self, least: u8, most: u8, what: &str) -> ParseResult<i64> {
        match self.peek() {
            Some(byte) if (b'0' + least..=b'0' + most).contains(&byte) => {
                self.pos += 1;
                Ok(i64::from(byte - b'0'))
            }
            _ => Err(self.expected(what)),
        }
    }

    /// Parses two digits. The second one is limited if the first is the largest.
    fn two(&mut self, tens: u8, last: u8, what: &str) -> ParseResult<i64> {
        let ten = self.digit(0, tens, what)?;
        let most = if ten == i64::from(tens) { last } else { 9 };
        Ok(10 * ten + self.digit(0, most, what)?)
    }

    /// `date = year "-" month "-" day`, `year = [ "-" ] ( "0" 3DIGIT / oneToNine 3*DIGIT )`
    pub fn date(&mut self) -> ParseResult<Date> {
        let from = self.pos;
        let minus = self.eat(b'-');
        let most = if self.peek() == Some(b'0') { 4 } else { 9 };
        let year: i32 = self.digits(4, most, "a year of four digits")?.parse().unwrap_or(i32::MAX);
        self.expect(b'-')?;
        let month = self.two(1, 2, "a month")?;
        self.expect(b'-')?;
        let day = self.two(3, 1, "a day")?;
        let year = if minus { -year } else { year };
        let (month, day) = (u8::try_from(month).unwrap_or(0), u8::try_from(day).unwrap_or(0));
        Date::from_calendar(year, month, day).ok_or_else(|| {
            ParseError::new(
                from,
                ParseErrorKind::Value,
                format!("the calendar has no day {}", self.slice(from)),
            )
        })
    }

    /// `timeOfDayLiteral = hour COLON minute [ COLON second [ "." fractionalSeconds ] ]`
    pub fn time_of_day(&mut self) -> ParseResult<TimeOfDay> {
        let ticks = self.clock()?;
        // A leap second becomes the last instant of its day, because there is no 24:00.
        Ok(TimeOfDay(ticks.min(DAY - 1)))
    }

    fn clock(&mut self) -> ParseResult<i64> {
        let hour = self.two(2, 3, "an hour")?;
        self.expect(b':')?;
        let minute = self.two(5, 9, "a minute")?;
        let mut ticks = (hour * 60 + minute) * 60 * SECOND;
        let seconds_follow = self.peek() == Some(b':')
            && self.peek_at(1).is_some_and(|b| b.is_ascii_digit())
            && self.is_second();
        if seconds_follow {
            self.pos += 1;
            ticks += self.two(6, 0, "a second")? * SECOND;
            if self.peek() == Some(b'.') {
                self.pos += 1;
                ticks += fraction(self.digits(1, 12, "a digit")?);
            }
        }
        Ok(ticks)
    }

    /// In a `case` condition, the colon after minutes may end the condition. Seconds have two digits.
    fn is_second(&self) -> bool {
        !self.before_colon || self.peek_at(2).is_some_and(|b| b.is_ascii_digit())
    }

    /// `dateTimeOffsetLiteral = date "T" timeOfDayLiteral ( "Z" / SIGN hour COLON minute )`
    pub fn date_time_offset(&mut self) -> ParseResult<DateTimeOffset> {
        let date = self.date()?;
        if !matches!(self.peek(), Some(b'T' | b't')) {
            return Err(self.expected("'T'"));
        }
        self.pos += 1;
        self.date_time_after(date)
    }

    pub(super) fn date_time_after(&mut self, date: Date) -> ParseResult<DateTimeOffset> {
        let local = i64::from(date.0) * DAY + self.clock()?;
        let sign = match self.peek() {
            Some(b'Z' | b'z') => {
                self.pos += 1;
                return Ok(DateTimeOffset { ticks: local, offset: 0 });
            }
            // A '+' that was not percent-encoded may have been decoded to a space.
            Some(b'+' | b' ') => 1,
            Some(b'-') => -1,
            _ => return Err(self.expected("'Z' or an offset")),
        };
        self.pos += 1;
        let hour = self.two(2, 3, "an hour")?;
        self.expect(b':')?;
        let minutes = sign * (hour * 60 + self.two(5, 9, "a minute")?);
        let offset = i16::try_from(minutes).unwrap_or(0);
        Ok(DateTimeOffset { ticks: local - minutes * 60 * SECOND, offset })
    }

    /// `durationValue = [ "-" ] "P" [ 1*DIGIT "D" ] [ "T" [ 1*DIGIT "H" ] [ 1*DIGIT "M" ] [ 1*DIGIT [ "." 1*DIGIT ] "S" ] ]`
    pub fn duration_value(&mut self) -> ParseResult<Duration> {
        let from = self.pos;
        let minus = self.eat(b'-');
        if !self.eat_text("P") {
            return Err(self.expected("'P'"));
        }
        let mut ticks = 0i128;
        let days_from = self.pos;
        if self.peek().is_some_and(|b| b.is_ascii_digit()) {
            ticks += i128::from(DAY) * big(self.digits(1, usize::MAX, "a digit")?);
            if !self.eat_text("D") {
                return Err(self.expected("'D'"));
            }
        }
        if self.eat_text("T") {
            ticks += self.duration_time()?;
        } else if self.pos == days_from {
            return Err(self.expected("a number of days or 'T'"));
        }
        let ticks = if minus { -ticks } else { ticks };
        i64::try_from(ticks).map(Duration).map_err(|_| {
            ParseError::new(from, ParseErrorKind::Value, "expected a duration of less than 29,000 years")
        })
    }

    fn duration_time(&mut self) -> ParseResult<i128> {
        let mut ticks = 0i128;
        let mut units: &[(&str, i128)] = &[("H", 3600), ("M", 60), ("S", 1)];
        let from = self.pos;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            let number = big(self.digits(1, usize::MAX, "a digit")?);
            let mut part = 0;
            if self.peek() == Some(b'.') {
                self.pos += 1;
                part = fraction(self.digits(1, usize::MAX, "a digit")?);
                units = if units.is_empty() { units } else { &[("S", 1)] };
            }
            let Some(unit) = units.iter().position(|(unit, _)| self.looking_at(unit)) else {
                return Err(self.expected("'H', 'M' or 'S'"));
            };
            self.pos += 1;
            ticks += number * units[unit].1 * i128::from(SECOND) + i128::from(part);
            units = &units[unit + 1..];
        }
        if self.pos == from {
            return Err(self.expected("a number of hours, minutes or seconds"));
        }
        Ok(ticks)
    }
}

/// Returns the ticks of the digits after a decimal point. Digits after the seventh are dropped.
fn fraction(digits: &str) -> i64 {
    let mut ticks = 0;
    for place in 0..7 {
        ticks = ticks * 10 + digits.as_bytes().get(place).map_or(0, |b| i64::from(b - b'0'));
    }
    ticks
}

/// Parses digits as a number. Beyond 64 bits, returns a number that is too large for any duration.
fn big(digits: &str) -> i128 {
    digits.parse::<u64>().map_or(i128::from(u64::MAX), i128::from)
}
