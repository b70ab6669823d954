//! The parser: a cursor over the decoded text of one option, with counters for its limits.
//!
//! One module for each part: [`literal`], [`time`] and [`geo`] values, [`expr`] operators, [`call`] functions,
//! [`json`], [`path`] member paths, [`search`], [`select`] (also `$expand`), [`apply`], and [`options`] for all others.
//! Each function names its production of the ABNF.

mod apply;
mod call;
mod expr;
mod geo;
mod json;
mod literal;
mod options;
mod path;
mod search;
mod select;
mod time;

use crate::error::{ParseError, ParseErrorKind};
use crate::limits::{IDENTIFIER, Limits};
use crate::source::DecodedText;
use crate::suggestion::did_you_mean;

pub(crate) use options::NestedContext;

pub(crate) struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    escaped: &'a [u32],
    pub(crate) pos: usize,
    pub(crate) limits: &'a Limits,
    /// The nesting of the parser: parentheses, arguments, options.
    depth: usize,
    /// The height of the last parsed expression.
    height: usize,
    /// The number of nodes so far. The caller carries it from option to option.
    pub(crate) nodes: usize,
    /// Whether an unencoded `/` in a string ends the segment, as in resource paths.
    pub(crate) in_path: bool,
    /// Whether the parser is inside nested options, which are separated by semicolons.
    in_options: bool,
    /// Whether the parser is in the condition of `case`, which ends with a colon: `X gt 10:15` is a number and a value,
    /// not a time of day.
    before_colon: bool,
}

type ParseResult<T> = Result<T, ParseError>;

impl<'a> Parser<'a> {
    pub fn new(source: &'a DecodedText, limits: &'a Limits) -> Parser<'a> {
        Parser {
            text: &source.text,
            bytes: source.text.as_bytes(),
            escaped: &source.escaped,
            pos: 0,
            limits,
            depth: 0,
            height: 0,
            nodes: 0,
            in_path: false,
            in_options: false,
            before_colon: false,
        }
    }

    pub fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    pub fn peek_at(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.pos + ahead).copied()
    }

    pub fn at_end(&self) -> bool {
        self.pos >= self.bytes.len()
    }

    pub fn rest(&self) -> &'a str {
        &self.text[self.pos..]
    }

    pub fn slice(&self, from: usize) -> &'a str {
        &self.text[from..self.pos]
    }

    pub fn char(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub fn is_escaped(&self, at: usize) -> bool {
        u32::try_from(at).is_ok_and(|at| self.escaped.binary_search(&at).is_ok())
    }

    /// Consumes the byte if it is next.
    pub fn eat(&mut self, byte: u8) -> bool {
        let next = self.peek() == Some(byte);
        if next {
            self.pos += 1;
        }
        next
    }

    /// Consumes the text if it is next, in any case of ASCII letters.
    pub fn eat_text(&mut self, text: &str) -> bool {
        let next = self.looking_at(text);
        if next {
            self.pos += text.len();
        }
        next
    }

    /// Consumes the text if it is next, in the same case.
    pub fn eat_exact(&mut self, text: &str) -> bool {
        let next = self.bytes[self.pos..].starts_with(text.as_bytes());
        if next {
            self.pos += text.len();
        }
        next
    }

    pub fn looking_at(&self, text: &str) -> bool {
        let bytes = &self.bytes[self.pos..];
        bytes.len() >= text.len() && bytes[..text.len()].eq_ignore_ascii_case(text.as_bytes())
    }

    pub fn expect(&mut self, byte: u8) -> ParseResult<()> {
        if self.eat(byte) { Ok(()) } else { Err(self.expected(format_args!("'{}'", char::from(byte)))) }
    }

    /// Consumes optional white space (`BWS`). Returns whether there was any (`RWS`).
    pub fn skip_blanks(&mut self) -> bool {
        let from = self.pos;
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.pos += 1;
        }
        self.pos > from
    }

    pub fn expect_blanks(&mut self) -> ParseResult<()> {
        if self.skip_blanks() { Ok(()) } else { Err(self.expected("a space")) }
    }

    /// `BWS COMMA BWS`
    pub fn comma(&mut self) -> bool {
        let from = self.pos;
        self.skip_blanks();
        if self.eat(b',') {
            self.skip_blanks();
            return true;
        }
        self.pos = from;
        false
    }

    pub fn expected(&self, what: impl std::fmt::Display) -> ParseError {
        ParseError::expected(self.pos, what)
    }

    pub fn end(&self) -> ParseResult<()> {
        if self.at_end() { Ok(()) } else { Err(self.expected("the end of the text")) }
    }

    /// Runs `inside` one level deeper.
    pub fn nested<T>(&mut self, inside: impl FnOnce(&mut Self) -> ParseResult<T>) -> ParseResult<T> {
        self.depth += 1;
        if self.depth > self.limits.depth {
            return Err(self.too_deep());
        }
        let result = inside(self);
        self.depth -= 1;
        result
    }

    fn too_deep(&self) -> ParseError {
        let message = format!("nested more than {} deep", self.limits.depth);
        ParseError::new(self.pos, ParseErrorKind::Limit, message)
    }

    /// Counts a node.
    pub fn node(&mut self) -> ParseResult<()> {
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            let message = format!("more than {} parts", self.limits.nodes);
            return Err(ParseError::new(self.pos, ParseErrorKind::Limit, message));
        }
        Ok(())
    }

    /// Refuses another member in a list of maximum length.
    pub fn check_list_length(&self, members: usize) -> ParseResult<()> {
        if members < self.limits.list {
            return Ok(());
        }
        let message = format!("a list of more than {} members", self.limits.list);
        Err(ParseError::new(self.pos, ParseErrorKind::Limit, message))
    }

    /// `odataIdentifier = identifierLeadingCharacter *127identifierCharacter`
    pub fn identifier(&mut self, what: &str) -> ParseResult<&'a str> {
        match self.peek_identifier() {
            Some(name) if name.chars().count() > IDENTIFIER => {
                let message = format!("a name of more than {IDENTIFIER} characters");
                Err(ParseError::new(self.pos, ParseErrorKind::Limit, message))
            }
            Some(name) => {
                self.pos += name.len();
                Ok(name)
            }
            None => Err(self.expected(what)),
        }
    }

    /// Returns the next identifier without consuming it.
    pub fn peek_identifier(&self) -> Option<&'a str> {
        let rest = self.rest();
        let mut chars = rest.char_indices();
        chars.next().filter(|&(_, first)| leads_identifier(first))?;
        let end = chars.find(|&(_, c)| !continues_identifier(c)).map_or(rest.len(), |(at, _)| at);
        Some(&rest[..end])
    }

    /// `[ namespace "." ] odataIdentifier`: a name with as many dots as are followed by another name.
    pub fn qualified_name(&mut self, what: &str) -> ParseResult<&'a str> {
        let from = self.pos;
        self.identifier(what)?;
        while self.peek() == Some(b'.') {
            self.pos += 1;
            if self.peek_identifier().is_none() {
                self.pos -= 1;
                break;
            }
            self.identifier(what)?;
        }
        Ok(self.slice(from))
    }

    /// Expects the end of an option. The error suggests what else may have been meant.
    pub fn end_of_option(&self) -> ParseResult<()> {
        if self.at_end() { Ok(()) } else { Err(self.unexpected_after_expression()) }
    }

    /// Returns the error for text after the end of an expression, such as an unknown operator.
    pub fn unexpected_after_expression(&self) -> ParseError {
        let mut ahead = Parser { ..*self };
        ahead.skip_blanks();
        let word = ahead.peek_identifier().unwrap_or("");
        if !word.is_empty() && ahead.pos > self.pos {
            let near = did_you_mean(word, expr::OPERATORS.iter().copied());
            let message = format!("expected an operator, found '{word}'{near}");
            return ParseError::new(ahead.pos, ParseErrorKind::Syntax, message);
        }
        let signs = [
            ("==", "eq"),
            ("=", "eq"),
            ("!=", "ne"),
            ("<>", "ne"),
            ("<=", "le"),
            ("<", "lt"),
            (">=", "ge"),
            (">", "gt"),
            ("&&", "and"),
            ("||", "or"),
            ("+", "add"),
            ("-", "sub"),
            ("*", "mul"),
            ("%", "mod"),
        ];
        match signs.iter().find(|(sign, _)| ahead.rest().starts_with(sign)) {
            Some((sign, word)) => {
                let message = format!("expected an operator, found '{sign}'; did you mean '{word}'?");
                ParseError::new(ahead.pos, ParseErrorKind::Syntax, message)
            }
            None => self.expected("the end of the text"),
        }
    }
}

pub(crate) fn leads_identifier(c: char) -> bool {
    c == '_' || c.is_ascii_alphabetic() || (!c.is_ascii() && c.is_alphabetic())
}

pub(crate) fn continues_identifier(c: char) -> bool {
    // Outside of ASCII the grammar allows the categories L, Nl, Nd, Mn, Mc, Pc and Cf: letters and digits, marks and
    // joiners.
    c == '_' || c.is_ascii_alphanumeric() || (!c.is_ascii() && (c.is_alphanumeric() || is_mark(c)))
}

/// Combining marks and joiners that occur in names of living languages.
fn is_mark(c: char) -> bool {
    matches!(u32::from(c),
        0x0300..=0x036f | 0x0483..=0x0487 | 0x0591..=0x05bd | 0x0610..=0x061a | 0x064b..=0x065f
        | 0x0900..=0x0903 | 0x093a..=0x094f | 0x0951..=0x0957 | 0x200c..=0x200d | 0x203f..=0x2040 | 0x20d0..=0x20dc)
}
