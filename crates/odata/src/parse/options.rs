//! The values of options, and nested options.

use super::{ParseResult, Parser};
use crate::ast::{Compute, OrderBy, Position};
use crate::error::{ParseError, ParseErrorKind};
use crate::query::{Levels, QueryOptions, SystemOption};
use crate::suggestion::did_you_mean;

/// The context of nested options. Each context allows other options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NestedContext {
    /// `expandOption`
    Expand,
    /// `expandRefOption`
    Ref,
    /// `expandCountOption`
    Count,
    /// `*(…)`: only `levels`
    Star,
    /// `selectOption`
    Select,
}

impl NestedContext {
    fn allows(self, option: SystemOption) -> bool {
        use SystemOption as S;
        match option {
            S::Filter | S::Search => self != NestedContext::Star,
            S::OrderBy | S::Skip | S::Top | S::Count => {
                !matches!(self, NestedContext::Star | NestedContext::Count)
            }
            S::Select | S::Compute => matches!(self, NestedContext::Expand | NestedContext::Select),
            S::Expand | S::Apply => self == NestedContext::Expand,
            S::Levels => matches!(self, NestedContext::Expand | NestedContext::Star),
            _ => false,
        }
    }
}

impl Parser<'_> {
    /// `OPEN option *( SEMI option ) CLOSE`
    pub fn nested_options(&mut self, context: NestedContext) -> ParseResult<QueryOptions> {
        self.expect(b'(')?;
        let outer = std::mem::replace(&mut self.in_options, true);
        let mut options = QueryOptions::default();
        loop {
            self.skip_blanks();
            self.nested_option(context, &mut options)?;
            self.skip_blanks();
            if !self.eat(b';') {
                break;
            }
        }
        self.in_options = outer;
        self.close(")")?;
        Ok(options)
    }

    fn nested_option(&mut self, context: NestedContext, options: &mut QueryOptions) -> ParseResult<()> {
        self.node()?;
        self.check_list_length(options.given.len() + options.aliases.len())?;
        let at = self.pos;
        if self.eat(b'@') {
            if matches!(context, NestedContext::Star | NestedContext::Ref | NestedContext::Count) {
                return Err(ParseError::expected(at, "an option that belongs here"));
            }
            let name = self.identifier("the name of an alias")?.to_owned();
            self.expect(b'=')?;
            if options.alias(&name).is_some() {
                return Err(ParseError::new(at, ParseErrorKind::Repeated, format!("@{name} is given twice")));
            }
            options.aliases.push((name, self.common_expr()?));
            return Ok(());
        }
        self.eat(b'$');
        let name = self.identifier("the name of an option")?;
        let Some(option) = SystemOption::from_name(name) else {
            let names = SystemOption::ALL.iter().map(|option| &option.name()[1..]);
            let message = format!("unknown option '{}'{}", self.slice(at), did_you_mean(name, names));
            return Err(ParseError::new(at, ParseErrorKind::UnknownOption, message));
        };
        if !context.allows(option) {
            let message = format!("expected an option that belongs here, found {}", option.name());
            return Err(ParseError::new(at, ParseErrorKind::Syntax, message));
        }
        if options.has(option) {
            return Err(ParseError::new(
                at,
                ParseErrorKind::Repeated,
                format!("{} is given twice", option.name()),
            ));
        }
        self.expect(b'=')?;
        self.option_value(option, options)
    }

    /// Parses the value of an option, as far as it extends.
    pub fn option_value(&mut self, option: SystemOption, options: &mut QueryOptions) -> ParseResult<()> {
        options.given.push(option);
        match option {
            SystemOption::Apply => options.apply = Some(self.apply_value()?),
            SystemOption::Compute => options.compute = Some(self.compute_items()?),
            SystemOption::Count => options.count = Some(self.boolean()?),
            SystemOption::Expand => options.expand = Some(self.expand_items()?),
            SystemOption::Filter => options.filter = Some(self.common_expr()?),
            SystemOption::Index => options.index = Some(self.index()?),
            SystemOption::Levels => options.levels = Some(self.levels()?),
            SystemOption::OrderBy => options.orderby = Some(self.orderby_items()?),
            SystemOption::Search => options.search = Some(self.search_value()?),
            SystemOption::Select => options.select = Some(self.select_items()?),
            SystemOption::Skip => options.skip = Some(self.unsigned_integer()?),
            SystemOption::Top => options.top = Some(self.unsigned_integer()?),
            SystemOption::Format => options.format = Some(self.format()?),
            SystemOption::SchemaVersion => options.schemaversion = Some(self.schemaversion()?),
            SystemOption::DeltaToken => options.deltatoken = Some(self.token()?),
            SystemOption::SkipToken => options.skiptoken = Some(self.token()?),
            SystemOption::Id => options.id = Some(self.token()?),
        }
        Ok(())
    }

    /// `inlinecount = "$count" EQ boolean`
    fn boolean(&mut self) -> ParseResult<bool> {
        for (word, value) in [("true", true), ("false", false)] {
            if self.eat_text(word) {
                return Ok(value);
            }
        }
        Err(self.expected("true or false"))
    }

    /// `1*DIGIT`. A number that does not fit into 64 bits becomes the largest one that does.
    pub fn unsigned_integer(&mut self) -> ParseResult<u64> {
        let from = self.pos;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.pos += 1;
        }
        if self.pos == from {
            return Err(self.expected("a whole number that is not negative"));
        }
        Ok(self.slice(from).parse().unwrap_or(u64::MAX))
    }

    /// `index = "$index" EQ [ "-" ] 1*DIGIT`
    fn index(&mut self) -> ParseResult<i64> {
        let minus = self.eat(b'-');
        let number = i64::try_from(self.unsigned_integer()?).unwrap_or(i64::MAX);
        Ok(if minus { -number } else { number })
    }

    /// `levels = "$levels" EQ ( oneToNine *DIGIT / "max" )`
    fn levels(&mut self) -> ParseResult<Levels> {
        if self.eat_text("max") {
            return Ok(Levels::Max);
        }
        if !matches!(self.peek(), Some(b'1'..=b'9')) {
            return Err(self.expected("a number from 1, or max"));
        }
        self.unsigned_integer().map(Levels::Of)
    }

    /// `format = "$format" EQ ( "atom" / "json" / "xml" / 1*pchar "/" 1*pchar )`
    fn format(&mut self) -> ParseResult<String> {
        let from = self.pos;
        for word in ["atom", "json", "xml"] {
            if self.looking_at(word) && self.bytes.len() == self.pos + word.len() {
                self.pos += word.len();
                return Ok(self.slice(from).to_owned());
            }
        }
        let text = self.rest();
        match text.split_once('/') {
            Some((kind, subtype)) if !kind.is_empty() && !subtype.is_empty() && !subtype.contains('/') => {
                self.pos = self.bytes.len();
                Ok(text.to_owned())
            }
            _ => Err(self.expected("atom, json, xml or a media type")),
        }
    }

    /// `schemaversion = "$schemaversion" EQ ( STAR / 1*unreserved )`
    fn schemaversion(&mut self) -> ParseResult<String> {
        let from = self.pos;
        if !self.eat(b'*') {
            while self.peek().is_some_and(|b| b.is_ascii_alphanumeric() || b"-._~".contains(&b)) {
                self.pos += 1;
            }
        }
        if self.pos == from {
            Err(self.expected("a version or '*'"))
        } else {
            Ok(self.slice(from).to_owned())
        }
    }

    /// `skiptoken = "$skiptoken" EQ 1*( qchar-no-AMP )`
    fn token(&mut self) -> ParseResult<String> {
        if self.at_end() {
            return Err(self.expected("a value"));
        }
        let text = self.rest().to_owned();
        self.pos = self.bytes.len();
        Ok(text)
    }

    /// `orderby = "$orderby" EQ orderbyItem *( COMMA orderbyItem )`, `orderbyItem = commonExpr [ RWS ( "asc" / "desc" ) ]`
    pub fn orderby_items(&mut self) -> ParseResult<Vec<OrderBy>> {
        let mut items = Vec::new();
        loop {
            self.check_list_length(items.len())?;
            let expr = self.common_expr()?;
            let descending = self.direction();
            items.push(OrderBy { expr, descending });
            if !self.comma() {
                return Ok(items);
            }
        }
    }

    fn direction(&mut self) -> bool {
        let from = self.pos;
        if self.skip_blanks() {
            let word = self.peek_identifier().unwrap_or("");
            for (direction, descending) in [("asc", false), ("desc", true)] {
                if word.eq_ignore_ascii_case(direction) {
                    self.pos += word.len();
                    return descending;
                }
            }
        }
        self.pos = from;
        false
    }

    /// `compute = "$compute" EQ computeItem *( COMMA computeItem )`, `computeItem = commonExpr RWS "as" RWS computedProperty`
    pub fn compute_items(&mut self) -> ParseResult<Vec<Compute>> {
        let mut items = Vec::new();
        loop {
            self.check_list_length(items.len())?;
            let expr = self.common_expr()?;
            let (at, name) = self.as_name()?;
            items.push(Compute { at, expr, name });
            if !self.comma() {
                return Ok(items);
            }
        }
    }

    /// `RWS "as" RWS odataIdentifier`
    pub fn as_name(&mut self) -> ParseResult<(Position, String)> {
        let from = self.pos;
        let follows =
            self.skip_blanks() && self.peek_identifier().is_some_and(|word| word.eq_ignore_ascii_case("as"));
        if !follows {
            self.pos = from;
            let error = self.unexpected_after_expression();
            return Err(if error.message.contains("found") {
                error
            } else {
                self.expected("' as ' and a name")
            });
        }
        self.pos += 2;
        self.expect_blanks()?;
        let at = Position(self.pos);
        Ok((at, self.identifier("a name")?.to_owned()))
    }
}
