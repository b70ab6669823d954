//! `$select`, `$expand`, and the options in their parentheses.
//!
//! ```text
//! select = "$select" EQ selectItem *( COMMA selectItem )
//! expand = "$expand" EQ expandItem *( COMMA expandItem )
//! ```

use super::{Parsed, Parser};
use crate::ast::{Compute, ExpandItem, ItemSegment, ItemSegmentKind, OrderBy, Position, SelectItem};
use crate::error::{Error, ErrorKind};
use crate::near::hint;
use crate::query::{Levels, QueryOptions, SystemOption};

/// Whose parentheses the options stand in: each allows its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    /// `expandOption`
    Expand,
    /// `expandRefOption`
    Ref,
    /// `expandCountOption`
    Count,
    /// `*(…)`: `levels` alone
    Star,
    /// `selectOption`
    Select,
}

impl Context {
    fn allows(self, option: SystemOption) -> bool {
        use SystemOption as S;
        match option {
            S::Filter | S::Search => self != Context::Star,
            S::OrderBy | S::Skip | S::Top | S::Count => !matches!(self, Context::Star | Context::Count),
            S::Select | S::Compute => matches!(self, Context::Expand | Context::Select),
            S::Expand | S::Apply => self == Context::Expand,
            S::Levels => matches!(self, Context::Expand | Context::Star),
            _ => false,
        }
    }
}

impl Parser<'_> {
    /// The value of `$select`.
    pub fn select_items(&mut self) -> Parsed<Vec<SelectItem>> {
        let mut items = Vec::new();
        loop {
            self.room(items.len())?;
            items.push(self.select_item()?);
            if !self.comma() {
                return Ok(items);
            }
        }
    }

    /// `selectItem = STAR / allOperationsInSchema / selectProperty / optionallyQualifiedActionName / …`
    fn select_item(&mut self) -> Parsed<SelectItem> {
        let at = Position(self.pos);
        let mut path = Vec::new();
        loop {
            self.room(path.len())?;
            let segment = self.item_segment(path.is_empty())?;
            let last = matches!(segment.kind, ItemSegmentKind::Star | ItemSegmentKind::AllOperations(_));
            path.push(segment);
            if last {
                return Ok(SelectItem { at, path, parameters: None, options: None });
            }
            if !self.eat(b'/') {
                break;
            }
        }
        let mut item = SelectItem { at, path, parameters: None, options: None };
        if self.peek() == Some(b'(') {
            if self.parameter_names_follow() {
                item.parameters = Some(self.parameter_names()?);
            } else {
                item.options = Some(Box::new(self.deeper(|p| p.nested_options(Context::Select))?));
            }
        }
        Ok(item)
    }

    fn parameter_names_follow(&self) -> bool {
        let mut ahead = Parser { ..*self };
        ahead.pos += 1;
        ahead.blanks();
        match ahead.peek_identifier() {
            Some(name) => {
                ahead.pos += name.len();
                ahead.blanks();
                matches!(ahead.peek(), Some(b',' | b')'))
            }
            None => false,
        }
    }

    /// `OPEN parameterNames CLOSE`, `parameterNames = parameterName *( COMMA parameterName )`
    fn parameter_names(&mut self) -> Parsed<Vec<String>> {
        self.expect(b'(')?;
        let mut names = Vec::new();
        loop {
            self.room(names.len())?;
            self.node()?;
            names.push(self.identifier("the name of a parameter")?.to_owned());
            if !self.comma() {
                break;
            }
        }
        self.expect(b')')?;
        Ok(names)
    }

    /// A name, a qualified name, an annotation, `*` or `Model.*`
    fn item_segment(&mut self, first: bool) -> Parsed<ItemSegment> {
        self.node()?;
        let at = Position(self.pos);
        let kind = match self.peek() {
            Some(b'*') if first => {
                self.pos += 1;
                ItemSegmentKind::Star
            }
            Some(b'@') => {
                self.pos += 1;
                let (term, qualifier) = self.annotation()?;
                ItemSegmentKind::Annotation(term, qualifier)
            }
            _ => {
                let name = self.qualified_name("the name of a property")?.to_owned();
                if first && self.eat_exact(".*") {
                    ItemSegmentKind::AllOperations(name)
                } else if name.contains('.') {
                    ItemSegmentKind::Qualified(name)
                } else {
                    ItemSegmentKind::Name(name)
                }
            }
        };
        Ok(ItemSegment { at, kind })
    }

    /// The value of `$expand`.
    pub fn expand_items(&mut self) -> Parsed<Vec<ExpandItem>> {
        let mut items = Vec::new();
        loop {
            self.room(items.len())?;
            items.push(self.expand_item()?);
            if !self.comma() {
                return Ok(items);
            }
        }
    }

    /// `expandItem = "$value" / expandPath / optionallyQualifiedEntityTypeName "/" expandPath`
    fn expand_item(&mut self) -> Parsed<ExpandItem> {
        let at = Position(self.pos);
        let mut path = Vec::new();
        let mut context = Context::Expand;
        loop {
            self.room(path.len())?;
            let segment_at = Position(self.pos);
            let mut last = true;
            let kind = if path.is_empty() && self.eat_exact("$value") {
                self.node()?;
                path.push(ItemSegment { at: segment_at, kind: ItemSegmentKind::Value });
                return Ok(ExpandItem { at, path, options: None });
            } else if self.eat(b'*') {
                context = Context::Star;
                last = self.peek() != Some(b'/');
                ItemSegmentKind::Star
            } else if !path.is_empty() && self.eat_exact("$ref") {
                if context == Context::Star {
                    path.push(ItemSegment { at: segment_at, kind: ItemSegmentKind::Ref });
                    return Ok(ExpandItem { at, path, options: None });
                }
                context = Context::Ref;
                ItemSegmentKind::Ref
            } else if !path.is_empty() && context == Context::Expand && self.eat_exact("$count") {
                context = Context::Count;
                ItemSegmentKind::Count
            } else if context == Context::Star {
                return Err(self.expected("$ref"));
            } else {
                last = false;
                self.item_segment(false)?.kind
            };
            self.node()?;
            path.push(ItemSegment { at: segment_at, kind });
            if last || !self.eat(b'/') {
                break;
            }
        }
        let options = match self.peek() {
            Some(b'(') => Some(Box::new(self.deeper(|p| p.nested_options(context))?)),
            _ => None,
        };
        Ok(ExpandItem { at, path, options })
    }

    /// `OPEN option *( SEMI option ) CLOSE`
    pub fn nested_options(&mut self, context: Context) -> Parsed<QueryOptions> {
        self.expect(b'(')?;
        let mut options = QueryOptions::default();
        loop {
            self.blanks();
            self.nested_option(context, &mut options)?;
            self.blanks();
            if !self.eat(b';') {
                break;
            }
        }
        self.close(")")?;
        Ok(options)
    }

    fn nested_option(&mut self, context: Context, options: &mut QueryOptions) -> Parsed<()> {
        self.node()?;
        self.room(options.given.len() + options.aliases.len())?;
        let at = self.pos;
        if self.eat(b'@') {
            if matches!(context, Context::Star | Context::Ref | Context::Count) {
                return Err(Error::expected(at, "an option that belongs here"));
            }
            let name = self.identifier("the name of an alias")?.to_owned();
            self.expect(b'=')?;
            if options.alias(&name).is_some() {
                return Err(Error::new(at, ErrorKind::Repeated, format!("@{name} is given twice")));
            }
            options.aliases.push((name, self.common_expr()?));
            return Ok(());
        }
        self.eat(b'$');
        let name = self.identifier("the name of an option")?;
        let Some(option) = SystemOption::named(name) else {
            let names = SystemOption::ALL.iter().map(|option| &option.name()[1..]);
            let message = format!("unknown option '{}'{}", self.slice(at), hint(name, names));
            return Err(Error::new(at, ErrorKind::UnknownOption, message));
        };
        if !context.allows(option) {
            let message = format!("expected an option that belongs here, found {}", option.name());
            return Err(Error::new(at, ErrorKind::Syntax, message));
        }
        if options.has(option) {
            return Err(Error::new(at, ErrorKind::Repeated, format!("{} is given twice", option.name())));
        }
        self.expect(b'=')?;
        self.option_value(option, options)
    }

    /// The value of an option, as much of it as there is.
    pub fn option_value(&mut self, option: SystemOption, options: &mut QueryOptions) -> Parsed<()> {
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
            SystemOption::Skip => options.skip = Some(self.natural()?),
            SystemOption::Top => options.top = Some(self.natural()?),
            SystemOption::Format => options.format = Some(self.format()?),
            SystemOption::SchemaVersion => options.schemaversion = Some(self.schemaversion()?),
            SystemOption::DeltaToken => options.deltatoken = Some(self.token()?),
            SystemOption::SkipToken => options.skiptoken = Some(self.token()?),
            SystemOption::Id => options.id = Some(self.token()?),
        }
        Ok(())
    }

    /// `inlinecount = "$count" EQ boolean`
    fn boolean(&mut self) -> Parsed<bool> {
        for (word, value) in [("true", true), ("false", false)] {
            if self.eat_text(word) {
                return Ok(value);
            }
        }
        Err(self.expected("true or false"))
    }

    /// `1*DIGIT`; what 64 bits do not hold is as good as the largest number they do
    pub fn natural(&mut self) -> Parsed<u64> {
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
    fn index(&mut self) -> Parsed<i64> {
        let minus = self.eat(b'-');
        let number = i64::try_from(self.natural()?).unwrap_or(i64::MAX);
        Ok(if minus { -number } else { number })
    }

    /// `levels = "$levels" EQ ( oneToNine *DIGIT / "max" )`
    fn levels(&mut self) -> Parsed<Levels> {
        if self.eat_text("max") {
            return Ok(Levels::Max);
        }
        if !matches!(self.peek(), Some(b'1'..=b'9')) {
            return Err(self.expected("a number from 1, or max"));
        }
        self.natural().map(Levels::Of)
    }

    /// `format = "$format" EQ ( "atom" / "json" / "xml" / 1*pchar "/" 1*pchar )`
    fn format(&mut self) -> Parsed<String> {
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
    fn schemaversion(&mut self) -> Parsed<String> {
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
    fn token(&mut self) -> Parsed<String> {
        if self.at_end() {
            return Err(self.expected("a value"));
        }
        let text = self.rest().to_owned();
        self.pos = self.bytes.len();
        Ok(text)
    }

    /// `orderby = "$orderby" EQ orderbyItem *( COMMA orderbyItem )`, `orderbyItem = commonExpr [ RWS ( "asc" / "desc" ) ]`
    pub fn orderby_items(&mut self) -> Parsed<Vec<OrderBy>> {
        let mut items = Vec::new();
        loop {
            self.room(items.len())?;
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
        if self.blanks() {
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
    pub fn compute_items(&mut self) -> Parsed<Vec<Compute>> {
        let mut items = Vec::new();
        loop {
            self.room(items.len())?;
            let expr = self.common_expr()?;
            let (at, name) = self.as_name()?;
            items.push(Compute { at, expr, name });
            if !self.comma() {
                return Ok(items);
            }
        }
    }

    /// `RWS "as" RWS odataIdentifier`
    pub fn as_name(&mut self) -> Parsed<(Position, String)> {
        let from = self.pos;
        let follows =
            self.blanks() && self.peek_identifier().is_some_and(|word| word.eq_ignore_ascii_case("as"));
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
