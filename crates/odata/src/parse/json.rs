//! JSON inside expressions. Source: ABNF section 5, "JSON format for queries".

use super::{ParseResult, Parser};
use crate::ast::{Expr, ExprKind};
use crate::error::{ParseError, ParseErrorKind};
use crate::literal::Literal;

impl Parser<'_> {
    /// `arrayOrObject = array / object`
    pub fn array_or_object(&mut self) -> ParseResult<Expr> {
        self.skip_blanks();
        match self.peek() {
            Some(b'[') => self.nested(Self::array),
            Some(b'{') => self.nested(Self::object),
            _ => Err(self.expected("a value")),
        }
    }

    /// `array = begin-array [ valueInUrl *( value-separator valueInUrl ) ] end-array`
    fn array(&mut self) -> ParseResult<Expr> {
        let at = self.pos;
        self.expect(b'[')?;
        self.skip_blanks();
        let mut members = Vec::new();
        let mut height = 0;
        if self.peek() != Some(b']') {
            loop {
                self.check_list_length(members.len())?;
                members.push(self.value_in_url()?);
                height = height.max(self.height);
                if !self.comma() {
                    break;
                }
            }
            self.skip_blanks();
        }
        self.close("]")?;
        self.add_height(height)?;
        Ok(Expr::at(at, ExprKind::Array(members)))
    }

    /// `object = begin-object [ member *( value-separator member ) ] end-object`,
    /// `member = stringInUrl name-separator valueInUrl`
    fn object(&mut self) -> ParseResult<Expr> {
        let at = self.pos;
        self.expect(b'{')?;
        self.skip_blanks();
        let mut members = Vec::new();
        let mut height = 0;
        if self.peek() != Some(b'}') {
            loop {
                self.check_list_length(members.len())?;
                let name = self.string_in_url()?;
                self.skip_blanks();
                self.expect(b':')?;
                self.skip_blanks();
                members.push((name, self.value_in_url()?));
                height = height.max(self.height);
                if !self.comma() {
                    break;
                }
            }
            self.skip_blanks();
        }
        self.close("}")?;
        self.add_height(height)?;
        Ok(Expr::at(at, ExprKind::Object(members)))
    }

    /// `valueInUrl = stringInUrl / commonExpr`
    fn value_in_url(&mut self) -> ParseResult<Expr> {
        if self.peek() != Some(b'"') {
            return self.common_expr();
        }
        let at = self.pos;
        let text = self.string_in_url()?;
        self.node()?;
        self.height = 1;
        Ok(Expr::at(at, ExprKind::Literal(Literal::String(text))))
    }

    /// `stringInUrl = quotation-mark *charInJSON quotation-mark`
    pub fn string_in_url(&mut self) -> ParseResult<String> {
        if !self.eat(b'"') {
            return Err(self.expected("a text in double quotes"));
        }
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let until = rest.find(['"', '\\']).unwrap_or(rest.len());
            text.push_str(&rest[..until]);
            self.pos += until;
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(text);
                }
                Some(_) => text.push(self.json_escape()?),
                None => return Err(self.expected("a double quote at the end of the text")),
            }
        }
    }

    fn json_escape(&mut self) -> ParseResult<char> {
        let at = self.pos;
        self.pos += 1;
        let escaped = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.pos += 1;
                return self.unicode_escape(at);
            }
            _ => return Err(self.expected("an escaped character")),
        };
        self.pos += 1;
        Ok(escaped)
    }

    fn unicode_escape(&mut self, at: usize) -> ParseResult<char> {
        let high = self.four_hex()?;
        let code = if (0xd800..0xdc00).contains(&high) && self.eat_exact("\\u") {
            let low = self.four_hex()?;
            0x10000 + ((high - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff)
        } else {
            high
        };
        char::from_u32(code).ok_or_else(|| {
            ParseError::new(at, ParseErrorKind::Value, "half a surrogate pair is not a character")
        })
    }

    fn four_hex(&mut self) -> ParseResult<u32> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|b| char::from(b).to_digit(16)) else {
                return Err(self.expected("a hexadecimal digit"));
            };
            code = code * 16 + digit;
            self.pos += 1;
        }
        Ok(code)
    }
}
