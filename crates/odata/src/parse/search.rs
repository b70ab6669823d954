//! `$search`.
//!
//! ```text
//! search     = "$search" EQ BWS ( searchExpr / searchExpr-incomplete )
//! searchExpr = ( searchParenExpr / searchNegateExpr / searchPhrase / searchWord ) [ searchOrExpr / searchAndExpr ]
//! ```
//!
//! `AND`, `OR` and `NOT` are operators if they have the operands that they need, otherwise words.

use super::{ParseResult, Parser};
use crate::ast::{Position, Search, SearchKind};
use crate::query::SystemOption;

impl Parser<'_> {
    /// Parses the value of `$search`.
    pub fn search_value(&mut self) -> ParseResult<Search> {
        self.skip_blanks();
        if self.peek() == Some(b'\'') {
            return self.search_incomplete();
        }
        self.search_expr()
    }

    /// `searchExpr-incomplete = SQUOTE *( SQUOTE-in-string / qchar-no-AMP-SQUOTE / quotation-mark / SP ) SQUOTE`
    fn search_incomplete(&mut self) -> ParseResult<Search> {
        let at = Position(self.pos);
        self.node()?;
        Ok(Search { at, kind: SearchKind::Incomplete(self.string_literal()?) })
    }

    /// `searchExpr`, where `OR` has the lowest precedence
    pub fn search_expr(&mut self) -> ParseResult<Search> {
        self.nested(|p| p.search_chain(true))
    }

    /// Parses operands joined by `OR`, or by `AND` and juxtaposition.
    fn search_chain(&mut self, or: bool) -> ParseResult<Search> {
        let at = Position(self.pos);
        let mut members = Vec::new();
        loop {
            self.check_list_length(members.len())?;
            members.push(if or { self.search_chain(false)? } else { self.search_operand()? });
            let goes_on = if or { self.search_operator("OR") } else { self.search_and() };
            if !goes_on {
                break;
            }
        }
        if members.len() == 1 {
            return Ok(members.remove(0));
        }
        self.node()?;
        Ok(Search { at, kind: if or { SearchKind::Or(members) } else { SearchKind::And(members) } })
    }

    /// `RWS word RWS`, consumed only if an operand follows.
    fn search_operator(&mut self, word: &str) -> bool {
        let from = self.pos;
        if self.skip_blanks() && self.eat_exact(word) && self.skip_blanks() && self.search_operand_follows() {
            return true;
        }
        self.pos = from;
        false
    }

    /// `searchAndExpr = RWS [ %s"AND" RWS ] searchExpr`
    fn search_and(&mut self) -> bool {
        if self.search_operator("AND") {
            return true;
        }
        let from = self.pos;
        if self.search_operator("OR") {
            self.pos = from;
            return false;
        }
        if self.skip_blanks() && self.search_operand_follows() {
            return true;
        }
        self.pos = from;
        false
    }

    fn search_operand_follows(&self) -> bool {
        matches!(self.peek(), Some(b'(' | b'"')) || self.search_char().is_some()
    }

    /// `searchParenExpr / searchNegateExpr / searchPhrase / searchWord`
    fn search_operand(&mut self) -> ParseResult<Search> {
        self.node()?;
        let at = Position(self.pos);
        match self.peek() {
            Some(b'(') => {
                self.pos += 1;
                self.skip_blanks();
                let inner = self.search_expr()?;
                self.skip_blanks();
                self.expect(b')')?;
                return Ok(inner);
            }
            Some(b'"') => return Ok(Search { at, kind: SearchKind::Phrase(self.search_phrase()?) }),
            _ => {}
        }
        if self.eat_exact("NOT") {
            if self.skip_blanks() && self.search_operand_follows() {
                let operand = self.nested(Self::search_operand)?;
                return Ok(Search { at, kind: SearchKind::Not(Box::new(operand)) });
            }
            self.pos = at.0;
        }
        let mut word = String::new();
        let mut plain = true;
        while let Some(c) =
            self.search_char().or_else(|| self.char().filter(|c| *c == '\'' && !word.is_empty()))
        {
            word.push(c);
            plain &= c == '\'' || is_plain(c);
            self.pos += c.len_utf8();
        }
        if word.is_empty() {
            return Err(self.expected("a word, a phrase in double quotes or '('"));
        }
        // A word with characters that must be encoded, or that would be an operator elsewhere, becomes the phrase of
        // that word, so that it can be printed.
        plain &= !["AND", "OR", "NOT"].contains(&word.as_str());
        Ok(Search { at, kind: if plain { SearchKind::Word(word) } else { SearchKind::Phrase(word) } })
    }

    /// `searchPhrase = quotation-mark 1*( qchar-no-AMP-DQUOTE / SP ) quotation-mark`
    fn search_phrase(&mut self) -> ParseResult<String> {
        self.expect(b'"')?;
        let rest = self.rest();
        let Some(end) = rest.find('"') else {
            self.pos = self.bytes.len();
            return Err(self.expected("a double quote at the end of the phrase"));
        };
        if end == 0 {
            return Err(self.expected("a word"));
        }
        self.pos += end + 1;
        Ok(rest[..end].to_owned())
    }

    /// Returns the next character of a word. Never a quote or a parenthesis. Characters with a meaning in queries only
    /// if they are encoded. A semicolon before a nested option not even then, because clients that encode a whole value
    /// also encode its separators.
    fn search_char(&self) -> Option<char> {
        let c = self.char()?;
        let encoded = self.is_escaped(self.pos) && !"\"() \t".contains(c) && !c.is_ascii_control();
        let separates = c == ';' && self.in_options && self.option_follows(self.pos + 1);
        (is_plain(c) || (encoded && !separates)).then_some(c)
    }

    /// Returns whether an option begins here: `$select=`, `select=`, `@name=`.
    fn option_follows(&self, at: usize) -> bool {
        let mut ahead = Parser { pos: at, ..*self };
        ahead.skip_blanks();
        let alias = ahead.eat(b'@');
        if !alias {
            ahead.eat(b'$');
        }
        let Some(name) = ahead.peek_identifier() else { return false };
        ahead.pos += name.len();
        ahead.peek() == Some(b'=') && (alias || SystemOption::from_name(name).is_some())
    }
}

fn is_plain(c: char) -> bool {
    let sign = c.is_ascii_alphanumeric() || "-._~!*+,:@/?$=".contains(c) || !c.is_ascii();
    sign && !c.is_whitespace()
}
