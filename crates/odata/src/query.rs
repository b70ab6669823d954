//! The query string as a whole: options are split, decoded one by one, and parsed.
//!
//! ```text
//! queryOptions = queryOption *( "&" queryOption )
//! queryOption  = systemQueryOption / aliasAndValue / nameAndValue / customQueryOption
//! ```

use std::fmt;

use crate::ast::{Compute, ExpandItem, Expr, OrderBy, Search, SelectItem};
use crate::error::{ParseError, ParseErrorKind, QueryError};
use crate::limits::Limits;
use crate::parse::Parser;
use crate::pipeline::Transformation;
use crate::print::Printer;
use crate::source::DecodedText;
use crate::suggestion::did_you_mean;

macro_rules! system_options {
    ($($variant:ident $name:literal $says:literal;)*) => {
        /// A system query option.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum SystemOption { $(#[doc = $says] $variant,)* }

        impl SystemOption {
            /// All options.
            pub const ALL: &[SystemOption] = &[$(SystemOption::$variant),*];

            /// Returns the name with its `$`.
            pub fn name(self) -> &'static str {
                match self { $(SystemOption::$variant => $name,)* }
            }
        }
    };
}

system_options! {
    Apply "$apply" "Aggregation.";
    Compute "$compute" "Computed properties.";
    Count "$count" "Whether the response has the number of matches.";
    DeltaToken "$deltatoken" "The position of a reader of changes.";
    Expand "$expand" "Related entities in line.";
    Filter "$filter" "The entities to return.";
    Format "$format" "The media type of the response.";
    Id "$id" "The entity that `$entity` or `$ref` refers to.";
    Index "$index" "The position of an insertion into an ordered collection.";
    Levels "$levels" "The depth of a recursive expansion; only nested in `$expand`.";
    OrderBy "$orderby" "The sort order.";
    SchemaVersion "$schemaversion" "The version of the schema that the client uses.";
    Search "$search" "Free text.";
    Select "$select" "The properties to return.";
    Skip "$skip" "The number of entities to skip.";
    SkipToken "$skiptoken" "The beginning of the next page.";
    Top "$top" "The maximum number of entities.";
}

impl SystemOption {
    /// Returns the option with this name, without its `$`, in any case.
    pub fn from_name(name: &str) -> Option<SystemOption> {
        SystemOption::ALL.iter().copied().find(|option| option.name()[1..].eq_ignore_ascii_case(name))
    }
}

/// The value of `$levels`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Levels {
    /// A number of levels, at least one.
    Of(u64),
    /// As many levels as the service supports.
    Max,
}

/// How a query string is parsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseSettings {
    /// Bounds.
    pub limits: Limits,
    /// `+` is a space, as in a form. In the URL standard it is a plus.
    pub plus_is_blank: bool,
    /// Options may be written without `$` (OData 4.01). Otherwise such names are custom options.
    pub bare_names: bool,
    /// An option may be repeated, and the last one counts. The standard forbids it.
    pub repeatable: bool,
    /// Options that count as absent when their value is empty. For others an empty value is an error.
    pub empty_is_absent: Vec<SystemOption>,
}

impl Default for ParseSettings {
    fn default() -> ParseSettings {
        ParseSettings {
            limits: Limits::default(),
            plus_is_blank: true,
            bare_names: true,
            repeatable: false,
            empty_is_absent: Vec::new(),
        }
    }
}

/// The options of one request, or nested options in `$expand` and `$select`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueryOptions {
    /// `$apply`
    pub apply: Option<Vec<Transformation>>,
    /// `$compute`
    pub compute: Option<Vec<Compute>>,
    /// `$count`
    pub count: Option<bool>,
    /// `$deltatoken`
    pub deltatoken: Option<String>,
    /// `$expand`
    pub expand: Option<Vec<ExpandItem>>,
    /// `$filter`
    pub filter: Option<Expr>,
    /// `$format`
    pub format: Option<String>,
    /// `$id`
    pub id: Option<String>,
    /// `$index`
    pub index: Option<i64>,
    /// `$levels`
    pub levels: Option<Levels>,
    /// `$orderby`
    pub orderby: Option<Vec<OrderBy>>,
    /// `$schemaversion`
    pub schemaversion: Option<String>,
    /// `$search`
    pub search: Option<Search>,
    /// `$select`
    pub select: Option<Vec<SelectItem>>,
    /// `$skip`. A larger number becomes the largest of 64 bits.
    pub skip: Option<u64>,
    /// `$skiptoken`
    pub skiptoken: Option<String>,
    /// `$top`. A larger number becomes the largest of 64 bits.
    pub top: Option<u64>,
    /// `@name=…`, in the order given.
    pub aliases: Vec<(String, Expr)>,
    /// Custom options of the service, decoded, in the order given. Without `=` there is no value.
    pub custom: Vec<(String, Option<String>)>,
    /// The system options, in the order given.
    pub given: Vec<SystemOption>,
}

impl QueryOptions {
    /// Parses a query string, without its `?`. Stops at the first error.
    pub fn parse(query: &str, settings: &ParseSettings) -> Result<QueryOptions, QueryError> {
        let mut options = QueryOptions::default();
        let mut nodes = 0;
        let mut from = 0;
        for (index, raw) in query.split('&').enumerate() {
            if index >= settings.limits.options {
                let message = format!("more than {} options", settings.limits.options);
                let error = ParseError::new(0, ParseErrorKind::Limit, message);
                return Err(QueryError { option: String::new(), raw_at: from, error });
            }
            if !raw.is_empty() {
                options.read(&RawOption::new(raw, from), settings, &mut nodes)?;
            }
            from += raw.len() + 1;
        }
        Ok(options)
    }

    /// Returns whether an option was given.
    pub fn has(&self, option: SystemOption) -> bool {
        self.given.contains(&option)
    }

    /// Returns the value of a parameter alias.
    pub fn alias(&self, name: &str) -> Option<&Expr> {
        self.aliases.iter().find(|(alias, _)| alias == name).map(|(_, value)| value)
    }

    /// Returns the value of a custom option, or an empty text if it has none. Names are compared exactly.
    pub fn custom(&self, name: &str) -> Option<&str> {
        let found = self.custom.iter().find(|(custom, _)| custom == name)?;
        Some(found.1.as_deref().unwrap_or(""))
    }

    /// Returns the options as a query string in canonical form: system options in the order given, aliases, custom
    /// options.
    pub fn to_query(&self) -> String {
        let mut out = Printer::url();
        out.query(self);
        out.text
    }

    fn read(
        &mut self,
        raw: &RawOption<'_>,
        settings: &ParseSettings,
        nodes: &mut usize,
    ) -> Result<(), QueryError> {
        let name = raw.decode(raw.name, 0, false, settings)?;
        if let Some(alias) = name.text.strip_prefix('@') {
            return self.read_alias(raw, alias, settings, nodes);
        }
        // With a space before it, the name would not be recognized, and the option would be ignored.
        if name.text.trim_start().len() < name.text.len() && name.text.trim_start().starts_with(['$', '@']) {
            let error = ParseError::new(
                0,
                ParseErrorKind::UnknownOption,
                "no space is allowed before the name of an option",
            );
            return Err(raw.error(name.text.trim(), 0, error));
        }
        let (dollar, bare) = match name.text.strip_prefix('$') {
            Some(rest) => (true, rest),
            None => (false, name.text.as_str()),
        };
        let option = SystemOption::from_name(bare).filter(|option| *option != SystemOption::Levels);
        let Some(option) = option.filter(|_| dollar || settings.bare_names) else {
            return if dollar {
                Err(unknown(raw, &name.text, bare))
            } else {
                self.read_custom(raw, name.text, settings)
            };
        };
        if self.has(option) {
            if !settings.repeatable {
                return Err(raw.error(
                    option.name(),
                    0,
                    ParseError::new(0, ParseErrorKind::Repeated, "given twice"),
                ));
            }
            self.given.retain(|given| *given != option);
        }
        let Some(value) = raw.value else {
            return Err(raw.error(option.name(), raw.name.len(), ParseError::expected(0, "'='")));
        };
        if value.is_empty() && settings.empty_is_absent.contains(&option) {
            return Ok(());
        }
        raw.parse(option.name(), settings, nodes, |p| p.option_value(option, self))
    }

    fn read_alias(
        &mut self,
        raw: &RawOption<'_>,
        name: &str,
        settings: &ParseSettings,
        nodes: &mut usize,
    ) -> Result<(), QueryError> {
        let option = format!("@{name}");
        let source = DecodedText::plain(name);
        let mut parser = Parser::new(&source, &settings.limits);
        parser
            .identifier("the name of an alias")
            .and_then(|_| parser.end())
            .map_err(|error| raw.error(&option, 1 + error.at, error))?;
        if self.alias(name).is_some() {
            if !settings.repeatable {
                return Err(raw.error(
                    &option,
                    0,
                    ParseError::new(0, ParseErrorKind::Repeated, "given twice"),
                ));
            }
            self.aliases.retain(|(alias, _)| alias != name);
        }
        if raw.value.is_none() {
            return Err(raw.error(&option, raw.name.len(), ParseError::expected(0, "'='")));
        }
        raw.parse(&option, settings, nodes, |p| {
            let value = p.common_expr()?;
            self.aliases.push((name.to_owned(), value));
            Ok(())
        })
    }

    fn read_custom(
        &mut self,
        raw: &RawOption<'_>,
        name: String,
        settings: &ParseSettings,
    ) -> Result<(), QueryError> {
        let value = match raw.value {
            Some(value) => {
                Some(raw.decode(value, raw.name.len() + 1, settings.plus_is_blank, settings)?.text)
            }
            None => None,
        };
        self.custom.push((name, value));
        Ok(())
    }
}

impl fmt::Display for QueryOptions {
    /// Writes the decoded text; see [`to_query`](Self::to_query) for the encoded one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = Printer::plain();
        out.query(self);
        f.write_str(&out.text)
    }
}

/// One `name=value` of the query string.
struct RawOption<'a> {
    name: &'a str,
    value: Option<&'a str>,
    /// Its offset in the query string.
    from: usize,
}

impl<'a> RawOption<'a> {
    fn new(raw: &'a str, from: usize) -> RawOption<'a> {
        match raw.split_once('=') {
            Some((name, value)) => RawOption { name, value: Some(value), from },
            None => RawOption { name: raw, value: None, from },
        }
    }

    fn error(&self, option: &str, raw_offset: usize, error: ParseError) -> QueryError {
        QueryError { option: option.to_owned(), raw_at: self.from + raw_offset, error }
    }

    fn decode(
        &self,
        raw: &str,
        offset: usize,
        plus: bool,
        settings: &ParseSettings,
    ) -> Result<DecodedText, QueryError> {
        // A decoded byte takes at most three bytes, so longer texts need not be decoded.
        let fault = |error: ParseError| self.error(self.name, offset + error.at, error);
        if raw.len() > settings.limits.option_length.saturating_mul(3) {
            return Err(fault(too_long(settings.limits.option_length)));
        }
        let source = DecodedText::decode(raw, plus).map_err(fault)?;
        if source.text.len() > settings.limits.option_length {
            return Err(fault(too_long(settings.limits.option_length)));
        }
        Ok(source)
    }

    /// Decodes and parses the whole value.
    fn parse(
        &self,
        option: &str,
        settings: &ParseSettings,
        nodes: &mut usize,
        read: impl FnOnce(&mut Parser<'_>) -> Result<(), ParseError>,
    ) -> Result<(), QueryError> {
        let offset = self.name.len() + 1;
        let source = self
            .decode(self.value.unwrap_or(""), offset, settings.plus_is_blank, settings)
            .map_err(|error| QueryError { option: option.to_owned(), ..error })?;
        let mut parser = Parser::new(&source, &settings.limits);
        parser.nodes = *nodes;
        let read = read(&mut parser).and_then(|()| parser.end_of_option());
        *nodes = parser.nodes;
        read.map_err(|error| self.error(option, offset + source.raw_position(error.at), error))
    }
}

fn too_long(limit: usize) -> ParseError {
    ParseError::new(0, ParseErrorKind::Limit, format!("an option of more than {limit} bytes"))
}

/// `$filter ` with a space is a known option without its `=`; `$fliter` is unknown.
fn unknown(raw: &RawOption<'_>, name: &str, bare: &str) -> QueryError {
    let word: &str = bare.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("");
    if word.len() < bare.len()
        && let Some(option) = SystemOption::from_name(word)
    {
        return raw.error(option.name(), 1 + word.len(), ParseError::expected(0, "'='"));
    }
    let names = SystemOption::ALL.iter().map(|option| option.name());
    let message = match SystemOption::from_name(bare) {
        Some(option) => format!("{} belongs inside the parentheses of $expand", option.name()),
        None => format!("no such option{}", did_you_mean(&format!("${bare}"), names)),
    };
    raw.error(name, 0, ParseError::new(0, ParseErrorKind::UnknownOption, message))
}

impl Expr {
    /// Parses an expression from a decoded text.
    pub fn parse(text: &str, limits: &Limits) -> Result<Expr, ParseError> {
        whole(text, limits, |p| p.common_expr())
    }
}

impl Search {
    /// Parses a search expression from an encoded text: `;` and similar characters are part of words only if
    /// percent-encoded.
    pub fn parse(text: &str, limits: &Limits) -> Result<Search, ParseError> {
        let source = DecodedText::decode(text, false)?;
        let mut parser = Parser::new(&source, limits);
        let search = parser.search_value()?;
        parser.end()?;
        Ok(search)
    }
}

fn whole<T>(
    text: &str,
    limits: &Limits,
    read: impl FnOnce(&mut Parser<'_>) -> Result<T, ParseError>,
) -> Result<T, ParseError> {
    if text.len() > limits.option_length {
        return Err(too_long(limits.option_length));
    }
    let source = DecodedText::plain(text);
    let mut parser = Parser::new(&source, limits);
    let value = read(&mut parser)?;
    parser.end_of_option()?;
    Ok(value)
}
