//! Resource paths and whole request URLs, by the grammar only. The service decides which names are sets, functions or
//! keys.
//!
//! ```text
//! odataRelativeUri = %s"$batch" [ "?" batchOptions ] / %s"$entity" … / %s"$metadata" … / resourcePath [ "?" [ queryOptions ] ]
//! resourcePath     = entitySetName [ collectionNavigation ] / singletonEntity [ singleNavigation ] / …
//! ```

use crate::ast::{Argument, Expr, Position};
use crate::context::Context;
use crate::error::{ParseError, ParseErrorKind};
use crate::limits::Limits;
use crate::parse::Parser;
use crate::query::{ParseSettings, QueryOptions, SystemOption};
use crate::source::DecodedText;

/// A request's URL, relative to the service's root.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceUri {
    /// The addressed resource.
    pub resource: Resource,
    /// The options.
    pub options: QueryOptions,
}

/// The kinds of resource.
#[derive(Clone, Debug, PartialEq)]
pub enum Resource {
    /// `$batch`
    Batch,
    /// `$entity`, possibly with a type cast: the entity that `$id` names
    Entity(Option<String>),
    /// `$metadata`, possibly with a context after `#`
    Metadata(Option<Context>),
    /// Anything else.
    Path(ResourcePath),
}

/// A path of segments.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourcePath {
    /// The segments, at least one.
    pub segments: Vec<ResourceSegment>,
}

/// One segment, or the parentheses after one.
#[derive(Clone, Debug, PartialEq)]
pub struct ResourceSegment {
    /// Its position in the decoded path.
    pub at: Position,
    /// The segment itself.
    pub kind: ResourceSegmentKind,
}

/// The kinds of segment.
#[derive(Clone, Debug, PartialEq)]
pub enum ResourceSegmentKind {
    /// A set, a member, a function or action without namespace, or a key written as a segment.
    Name(String),
    /// A type, a function or an action with its namespace, or a key written as a segment.
    Qualified(String),
    /// A segment that can only be a key: `2001`, `O'Neil`, `-1`.
    Key(String),
    /// `(1)`, `(ID=1,Size=5)`, `()`
    Arguments(Vec<Argument>),
    /// `$filter(…)`
    Filter(Box<Expr>),
    /// `$each`
    Each,
    /// `$count`
    Count,
    /// `$ref`
    Ref,
    /// `$value`
    Value,
    /// `$query`
    Query,
    /// `$all`
    All,
    /// `$crossjoin(…)`
    CrossJoin(Vec<String>),
}

impl ResourceSegmentKind {
    /// Returns whether it must be the last segment.
    fn is_last(&self) -> bool {
        use ResourceSegmentKind::{Count, Query, Ref, Value};
        matches!(self, Count | Ref | Value | Query)
    }
}

type ParseResult<T> = Result<T, ParseError>;

impl ResourcePath {
    /// Parses an encoded path without a leading slash. The position of the error is in the encoded path.
    pub fn parse(raw: &str, limits: &Limits) -> Result<ResourcePath, ParseError> {
        if raw.len() > limits.option_length {
            let message = format!("a path of more than {} bytes", limits.option_length);
            return Err(ParseError::new(0, ParseErrorKind::Limit, message));
        }
        let source = DecodedText::decode(raw, false)?;
        let mut parser = Parser::new(&source, limits);
        parser.in_path = true;
        path(&mut parser).map_err(|error| ParseError { at: source.raw_position(error.at), ..error })
    }
}

impl ResourceUri {
    /// Parses an encoded URL relative to the service root. The position of the error is in the encoded URL.
    pub fn parse(raw: &str, settings: &ParseSettings) -> Result<ResourceUri, ParseError> {
        let (before, fragment) = match raw.split_once('#') {
            Some((before, _)) => (before, Some(before.len())),
            None => (raw, None),
        };
        let (path, query) = match before.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (before, None),
        };
        let options_at = path.len() + 1;
        let resource = match path {
            "$batch" => Resource::Batch,
            "$entity" => Resource::Entity(None),
            "$metadata" => {
                let context = |at: usize| {
                    Context::parse(&raw[at..]).map_err(|error| ParseError { at: at + error.at, ..error })
                };
                Resource::Metadata(fragment.map(context).transpose()?)
            }
            _ if path.starts_with("$entity/") => Resource::Entity(Some(entity_cast(path, &settings.limits)?)),
            _ => Resource::Path(ResourcePath::parse(path, &settings.limits)?),
        };
        if let (Some(at), false) = (fragment, matches!(resource, Resource::Metadata(_))) {
            return Err(ParseError::expected(at, "no fragment"));
        }
        allowed(&resource, query.unwrap_or(""), options_at)?;
        let options = QueryOptions::parse(query.unwrap_or(""), settings)
            .map_err(|error| ParseError { at: options_at + error.raw_at, ..error.error })?;
        if matches!(resource, Resource::Entity(_)) && options.id.is_none() {
            return Err(ParseError::expected(before.len(), "$id"));
        }
        Ok(ResourceUri { resource, options })
    }

    /// Returns the offset of the path in an absolute URL, after scheme, host and port. Source: ABNF `serviceRoot`, RFC
    /// 3986 `host`.
    pub fn path_of_absolute(text: &str) -> Result<usize, ParseError> {
        let source = DecodedText::plain(text);
        let limits = Limits::default();
        let mut p = Parser::new(&source, &limits);
        if !p.eat_text("https") && !p.eat_text("http") {
            return Err(p.expected("http or https"));
        }
        for byte in *b"://" {
            p.expect(byte)?;
        }
        let literal = p.eat(b'[');
        while p.peek().is_some_and(|b| {
            b.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&b) || (literal && b == b':')
        }) {
            p.pos += 1;
        }
        if literal {
            p.expect(b']')?;
        }
        if p.eat(b':') {
            while p.peek().is_some_and(|b| b.is_ascii_digit()) {
                p.pos += 1;
            }
        }
        if p.peek() == Some(b'/') { Ok(p.pos) } else { Err(p.expected("'/'")) }
    }
}

/// The options of `$batch`, `$metadata` and `$entity`. Source: ABNF `batchOptions`, `metadataOptions`, `entityOptions`,
/// `entityCastOptions`.
fn allowed(resource: &Resource, query: &str, mut at: usize) -> ParseResult<()> {
    let options: &[SystemOption] = match resource {
        Resource::Path(_) => return Ok(()),
        Resource::Batch | Resource::Metadata(_) => &[SystemOption::Format],
        Resource::Entity(None) => &[SystemOption::Format, SystemOption::Id],
        Resource::Entity(Some(_)) => {
            &[SystemOption::Format, SystemOption::Id, SystemOption::Expand, SystemOption::Select]
        }
    };
    for piece in query.split('&') {
        let name = piece.split('=').next().unwrap_or("");
        let option = SystemOption::from_name(name.strip_prefix('$').unwrap_or(name));
        if option.is_some_and(|option| !options.contains(&option)) {
            return Err(ParseError::expected(at, "an option that belongs here"));
        }
        at += piece.len() + 1;
    }
    Ok(())
}

fn entity_cast(path: &str, limits: &Limits) -> ParseResult<String> {
    let source = DecodedText::plain(path);
    let mut p = Parser::new(&source, limits);
    p.pos = "$entity/".len();
    let name = p.qualified_name("the name of a type")?.to_owned();
    p.end()?;
    Ok(name)
}

fn path(p: &mut Parser<'_>) -> ParseResult<ResourcePath> {
    let mut segments = Vec::new();
    loop {
        p.check_list_length(segments.len())?;
        segment(p, &mut segments)?;
        let last = segments.last().is_some_and(|segment| segment.kind.is_last());
        if last || !p.eat(b'/') {
            break;
        }
    }
    p.end()?;
    Ok(ResourcePath { segments })
}

fn segment(p: &mut Parser<'_>, segments: &mut Vec<ResourceSegment>) -> ParseResult<()> {
    p.node()?;
    let at = p.pos;
    let first = segments.is_empty();
    let kind = if p.peek() == Some(b'$') {
        dollar(p, first)?
    } else if first {
        ResourceSegmentKind::Name(p.identifier("the name of a resource")?.to_owned())
    } else {
        name_or_key(p)?
    };
    let named = matches!(
        kind,
        ResourceSegmentKind::Name(_) | ResourceSegmentKind::Qualified(_) | ResourceSegmentKind::Filter(_)
    );
    segments.push(ResourceSegment { at: Position(at), kind });
    // `ProductsByCategoryId(categoryId=2)(2)`: the parameters, then the key.
    for _ in 0..2 {
        if named && p.peek() == Some(b'(') {
            let at = Position(p.pos);
            let kind = ResourceSegmentKind::Arguments(p.arguments(&mut 0)?);
            segments.push(ResourceSegment { at, kind });
        }
    }
    Ok(())
}

fn dollar(p: &mut Parser<'_>, first: bool) -> ParseResult<ResourceSegmentKind> {
    use ResourceSegmentKind as S;
    if first {
        if p.eat_exact("$crossjoin(") {
            let mut names = Vec::new();
            loop {
                p.check_list_length(names.len())?;
                names.push(p.identifier("the name of a set")?.to_owned());
                if !p.eat(b',') {
                    break;
                }
            }
            p.expect(b')')?;
            return Ok(S::CrossJoin(names));
        }
        if p.eat_exact("$all") {
            return Ok(S::All);
        }
        return Err(p.expected("$all, $crossjoin or the name of a resource"));
    }
    if p.eat_exact("$filter(") {
        let in_path = std::mem::replace(&mut p.in_path, false);
        let predicate = p.common_expr()?;
        p.in_path = in_path;
        p.expect(b')')?;
        return Ok(S::Filter(Box::new(predicate)));
    }
    for (word, kind) in [
        ("$each", S::Each),
        ("$count", S::Count),
        ("$ref", S::Ref),
        ("$value", S::Value),
        ("$query", S::Query),
    ] {
        if p.eat_exact(word) {
            return Ok(kind);
        }
    }
    Err(p.expected("$count, $ref, $value, $filter, $each or $query"))
}

/// Parses a name if it ends the segment; any other segment is a key. Source: ABNF `keyPathLiteral = *pchar`
fn name_or_key(p: &mut Parser<'_>) -> ParseResult<ResourceSegmentKind> {
    let from = p.pos;
    if p.peek_identifier().is_some() {
        let name = p.qualified_name("a name")?.to_owned();
        if matches!(p.peek(), None | Some(b'(')) || (p.peek() == Some(b'/') && !p.is_escaped(p.pos)) {
            return Ok(if name.contains('.') {
                ResourceSegmentKind::Qualified(name)
            } else {
                ResourceSegmentKind::Name(name)
            });
        }
        p.pos = from;
    }
    while let Some(byte) = p.peek() {
        if byte == b'/' && !p.is_escaped(p.pos) {
            break;
        }
        p.pos += 1;
    }
    if p.pos == from {
        return Err(p.expected("a segment"));
    }
    Ok(ResourceSegmentKind::Key(p.slice(from).to_owned()))
}
