//! Literals and values. Source: ABNF section 7, "Literal Data Values".

use super::{ParseResult, Parser, continues_identifier};
use crate::error::{ParseError, ParseErrorKind};
use crate::literal::{EnumLiteral, EnumMember, GeoLiteral, Literal, Number};
use crate::primitive::{Guid, Primitive};

impl Parser<'_> {
    /// `primitiveLiteral`: the first form that matches.
    pub fn primitive_literal(&mut self) -> ParseResult<Literal> {
        match self.try_literal()? {
            Some(literal) => Ok(literal),
            None => Err(self.expected("a literal")),
        }
    }

    /// Parses a literal if the text begins with one. Otherwise consumes nothing.
    pub fn try_literal(&mut self) -> ParseResult<Option<Literal>> {
        let Some(first) = self.peek() else { return Ok(None) };
        if first == b'\'' {
            return self.string_literal().map(|text| Some(Literal::String(text)));
        }
        if self.looks_like_guid() {
            return self.guid().map(|guid| Some(Literal::Guid(guid)));
        }
        if first.is_ascii_digit() || matches!(first, b'-' | b'+') {
            return self.try_number_or_time();
        }
        self.try_word()
    }

    /// Parses literals that begin with a letter: `null`, `true`, `INF`, `duration'…'`, `Sales.Pattern'Yellow'`.
    fn try_word(&mut self) -> ParseResult<Option<Literal>> {
        let Some(word) = self.peek_identifier() else { return Ok(None) };
        let after = self.peek_at(word.len());
        if after == Some(b'\'') {
            return self.quoted_with_prefix(word).map(Some);
        }
        if after == Some(b'.') {
            return self.try_qualified_enum();
        }
        if matches!(after, Some(b'/' | b'(' | b'=')) {
            return Ok(None);
        }
        let literal = match word {
            "null" => Literal::Null,
            "INF" => Literal::Infinity,
            "NaN" => Literal::NotANumber,
            _ if word.eq_ignore_ascii_case("true") => Literal::Boolean(true),
            _ if word.eq_ignore_ascii_case("false") => Literal::Boolean(false),
            _ => return Ok(None),
        };
        self.pos += word.len();
        Ok(Some(literal))
    }

    fn quoted_with_prefix(&mut self, word: &str) -> ParseResult<Literal> {
        let from = self.pos;
        self.pos += word.len() + 1;
        let literal = match word.to_ascii_lowercase().as_str() {
            "duration" => Literal::Duration(self.duration_value()?),
            "binary" => Literal::Binary(self.binary_value()?),
            "geography" | "geometry" => {
                let text_from = self.pos;
                self.geo_value()?;
                let plane = word.eq_ignore_ascii_case("geometry");
                Literal::Geo(GeoLiteral { plane, text: self.slice(text_from).to_owned() })
            }
            _ => {
                self.pos = from;
                return self.enum_literal();
            }
        };
        self.expect(b'\'')?;
        Ok(literal)
    }

    fn try_qualified_enum(&mut self) -> ParseResult<Option<Literal>> {
        let from = self.pos;
        self.qualified_name("a name")?;
        let is_enum = self.peek() == Some(b'\'');
        self.pos = from;
        if is_enum { self.enum_literal().map(Some) } else { Ok(None) }
    }

    /// `enumLiteral = [ qualifiedEnumTypeName ] SQUOTE singleEnumLiteral *( COMMA singleEnumLiteral ) SQUOTE`,
    /// here with its type.
    fn enum_literal(&mut self) -> ParseResult<Literal> {
        let type_name = self.qualified_name("the name of an enumeration")?.to_owned();
        self.expect(b'\'')?;
        let members = self.enum_value()?;
        self.expect(b'\'')?;
        Ok(Literal::Enum(EnumLiteral { type_name, members }))
    }

    /// `enumValue = singleEnumValue *( "," singleEnumValue )`
    pub fn enum_value(&mut self) -> ParseResult<Vec<EnumMember>> {
        let mut members = Vec::new();
        loop {
            self.check_list_length(members.len())?;
            let digit = self.peek().is_some_and(|b| b.is_ascii_digit() || b == b'-' || b == b'+');
            members.push(if digit {
                EnumMember::Value(self.int_value(i64::MIN, i64::MAX)?)
            } else {
                EnumMember::Name(self.identifier("a member of the enumeration")?.to_owned())
            });
            if !self.eat(b',') {
                return Ok(members);
            }
        }
    }

    /// `stringLiteral = SQUOTE *( SQUOTE-in-string / pchar-no-SQUOTE ) SQUOTE`
    pub fn string_literal(&mut self) -> ParseResult<String> {
        self.expect(b'\'')?;
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let until = rest.find(|c| c == '\'' || (self.in_path && c == '/')).unwrap_or(rest.len());
            text.push_str(&rest[..until]);
            self.pos += until;
            match self.peek() {
                Some(b'\'') if self.peek_at(1) == Some(b'\'') => {
                    text.push('\'');
                    self.pos += 2;
                }
                Some(b'\'') => {
                    self.pos += 1;
                    return Ok(text);
                }
                Some(b'/') if self.is_escaped(self.pos) => {
                    text.push('/');
                    self.pos += 1;
                }
                _ => return Err(self.expected("a quote at the end of the text")),
            }
        }
    }

    /// Parses numbers, dates and times. A sign without digits is not a literal.
    fn try_number_or_time(&mut self) -> ParseResult<Option<Literal>> {
        let digits_from = usize::from(matches!(self.peek(), Some(b'-' | b'+')));
        let digits = self.bytes[self.pos + digits_from..].iter().take_while(|b| b.is_ascii_digit()).count();
        let minus = self.peek() == Some(b'-');
        if digits == 0 {
            let mut ahead = Parser { ..*self };
            ahead.pos += 1;
            if minus && ahead.peek_identifier() == Some("INF") {
                self.pos += "-INF".len();
                return Ok(Some(Literal::NegativeInfinity));
            }
            return Ok(None);
        }
        let plus = self.peek() == Some(b'+');
        let two_digits = |ahead| {
            self.peek_at(ahead).is_some_and(|b| b.is_ascii_digit())
                && self.peek_at(ahead + 1).is_some_and(|b| b.is_ascii_digit())
        };
        let end = digits_from + digits;
        if digits >= 4
            && !plus
            && self.peek_at(end) == Some(b'-')
            && two_digits(end + 1)
            && self.peek_at(end + 3) == Some(b'-')
        {
            return self.date_or_date_time().map(Some);
        }
        if digits == 2
            && digits_from == 0
            && self.peek_at(2) == Some(b':')
            && two_digits(3)
            && !self.colon_ends()
        {
            return self.time_of_day().map(|time| Some(Literal::TimeOfDay(time)));
        }
        self.number().map(Some)
    }

    /// In a `case` condition, `10:15` is a time of day only if the condition's colon or an operator follows.
    fn colon_ends(&self) -> bool {
        if !self.before_colon {
            return false;
        }
        let mut ahead = Parser { before_colon: false, ..*self };
        if ahead.time_of_day().is_err() {
            return true;
        }
        ahead.skip_blanks();
        matches!(ahead.peek(), None | Some(b',' | b')'))
    }

    fn date_or_date_time(&mut self) -> ParseResult<Literal> {
        let date = self.date()?;
        if matches!(self.peek(), Some(b'T' | b't')) {
            self.pos += 1;
            return self.date_time_after(date).map(Literal::DateTimeOffset);
        }
        Ok(Literal::Date(date))
    }

    /// `decimalLiteral = [ SIGN ] 1*DIGIT [ "." 1*DIGIT ] [ "e" [ SIGN ] 1*DIGIT ] / nanInfinity`
    pub fn number(&mut self) -> ParseResult<Literal> {
        for (word, literal) in
            [("-INF", Literal::NegativeInfinity), ("INF", Literal::Infinity), ("NaN", Literal::NotANumber)]
        {
            if self.eat_exact(word) {
                return Ok(literal);
            }
        }
        let from = self.pos;
        if matches!(self.peek(), Some(b'+' | b'-')) {
            self.pos += 1;
        }
        self.digits(1, usize::MAX, "a number")?;
        let mut whole = true;
        if self.peek() == Some(b'.') {
            self.pos += 1;
            self.digits(1, usize::MAX, "a digit")?;
            whole = false;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.pos += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.pos += 1;
            }
            self.digits(1, usize::MAX, "a digit")?;
            whole = false;
        }
        let text = self.slice(from);
        match text.parse() {
            Ok(integer) if whole => Ok(Literal::Integer(integer)),
            _ => Ok(Literal::Number(Number::new(text))),
        }
    }

    pub(super) fn digits(&mut self, least: usize, most: usize, what: &str) -> ParseResult<&str> {
        let from = self.pos;
        while self.pos - from < most && self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.pos += 1;
        }
        if self.pos - from < least { Err(self.expected(what)) } else { Ok(self.slice(from)) }
    }

    /// Parses an integer in a range. Source: ABNF `byteValue` to `int64Value`.
    pub fn int_value(&mut self, least: i64, most: i64) -> ParseResult<i64> {
        let from = self.pos;
        if matches!(self.peek(), Some(b'+' | b'-')) && least < 0 {
            self.pos += 1;
        }
        self.digits(1, usize::MAX, "a whole number")?;
        // A test case of the grammar has the SByte +128: the grammar limits the digits only, and the range is a
        // comment.
        match self.slice(from).parse::<i64>() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(ParseError::new(
                from,
                ParseErrorKind::Value,
                format!("expected a number from {least} to {most}"),
            )),
        }
    }

    /// Returns whether 8-4-4-4-12 hexadecimal digits come next.
    fn looks_like_guid(&self) -> bool {
        let Some(bytes) = self.bytes.get(self.pos..self.pos + 36) else { return false };
        bytes.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        }) && !self.text[self.pos + 36..].starts_with(continues_identifier)
    }

    /// `guid = 8HEXDIG "-" 4HEXDIG "-" 4HEXDIG "-" 4HEXDIG "-" 12HEXDIG`
    pub fn guid(&mut self) -> ParseResult<Guid> {
        let mut value = 0u128;
        for (group, digits) in [8, 4, 4, 4, 12].into_iter().enumerate() {
            if group > 0 {
                self.expect(b'-')?;
            }
            for _ in 0..digits {
                let digit = self.peek().and_then(|b| char::from(b).to_digit(16));
                let Some(digit) = digit else { return Err(self.expected("a hexadecimal digit")) };
                value = value << 4 | u128::from(digit);
                self.pos += 1;
            }
        }
        Ok(Guid(value))
    }

    /// `binaryValue = *(4base64char) [ base64b16 / base64b8 ]`: base64url, padding optional.
    pub fn binary_value(&mut self) -> ParseResult<Vec<u8>> {
        let mut bytes = Vec::new();
        let (mut bits, mut held) = (0u32, 0u32);
        while let Some(six) = self.peek().and_then(base64) {
            bits = (bits << 6 | u32::from(six)) & 0xffff;
            held += 6;
            self.pos += 1;
            if held >= 8 {
                held -= 8;
                bytes.push(u8::try_from(bits >> held & 0xff).unwrap_or(0));
            }
        }
        // The remaining 2 or 4 bits are the padding of the last character, and must be zero.
        if held >= 6 || bits & ((1 << held) - 1) != 0 {
            return Err(self.expected("a base64url character"));
        }
        let padding = if held == 4 {
            "=="
        } else if held == 2 {
            "="
        } else {
            ""
        };
        self.eat_exact(padding);
        Ok(bytes)
    }

    /// Parses a literal of a known type, as URLs contain it.
    pub fn literal_of(&mut self, primitive: Primitive) -> ParseResult<Literal> {
        use Primitive as P;
        Ok(match primitive {
            P::String => Literal::String(self.string_literal()?),
            P::Duration => {
                self.eat_text("duration");
                self.expect(b'\'')?;
                let duration = self.duration_value()?;
                self.expect(b'\'')?;
                Literal::Duration(duration)
            }
            P::Binary => {
                if !self.eat_text("binary") {
                    return Err(self.expected("binary'…'"));
                }
                self.expect(b'\'')?;
                let bytes = self.binary_value()?;
                self.expect(b'\'')?;
                Literal::Binary(bytes)
            }
            geo if geo.is_geo() => match self.try_literal()? {
                Some(literal @ Literal::Geo(_)) => literal,
                _ => return Err(self.expected("a geo literal")),
            },
            P::Boolean => match self.try_word()? {
                Some(literal @ Literal::Boolean(_)) => literal,
                _ => return Err(self.expected("true or false")),
            },
            other => return self.value_of(other),
        })
    }

    /// Parses a value of a known type, as documents contain it.
    pub fn value_of(&mut self, primitive: Primitive) -> ParseResult<Literal> {
        use Primitive as P;
        Ok(match primitive {
            P::Boolean => {
                let value = self.eat_exact("true");
                if !value && !self.eat_exact("false") {
                    return Err(self.expected("true or false"));
                }
                Literal::Boolean(value)
            }
            P::Guid => Literal::Guid(self.guid()?),
            P::Date => Literal::Date(self.date()?),
            P::DateTimeOffset => Literal::DateTimeOffset(self.date_time_offset()?),
            P::TimeOfDay => Literal::TimeOfDay(self.time_of_day()?),
            P::Duration => Literal::Duration(self.duration_value()?),
            P::Decimal | P::Double | P::Single => self.number()?,
            P::Byte => Literal::Integer(self.int_value(0, 255)?),
            // A published test case has +128 as an SByte: the grammar limits the digits only, and the range is a
            // comment.
            P::SByte => Literal::Integer(self.int_value(-128, 128)?),
            P::Int16 => Literal::Integer(self.int_value(i16::MIN.into(), i16::MAX.into())?),
            P::Int32 => Literal::Integer(self.int_value(i32::MIN.into(), i32::MAX.into())?),
            P::Int64 => Literal::Integer(self.int_value(i64::MIN, i64::MAX)?),
            P::Binary => Literal::Binary(self.binary_value()?),
            P::String | P::Stream => {
                let text = self.rest().to_owned();
                self.pos = self.bytes.len();
                Literal::String(text)
            }
            geo => {
                let from = self.pos;
                self.geo_value()?;
                let plane = geo.short_name().starts_with("Geometry");
                Literal::Geo(GeoLiteral { plane, text: self.slice(from).to_owned() })
            }
        })
    }
}

fn base64(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ => return None,
    })
}
