//! Context URLs: the part after `$metadata#`. Source: ABNF section 3, "Context URL Fragments".

use crate::ast::{Argument, Position};
use crate::error::ParseError;
use crate::limits::Limits;
use crate::parse::Parser;
use crate::source::DecodedText;

/// A context fragment, with unresolved names.
#[derive(Clone, Debug, PartialEq)]
pub struct Context {
    /// `Collection(…)`, `$ref`, or a path of sets, types, keys and members.
    pub segments: Vec<ContextSegment>,
    /// The selected and expanded members, in parentheses.
    pub select: Option<Vec<ContextItem>>,
    /// `$entity`, `$delta`, `$deletedEntity`, `$link` or `$deletedLink`
    pub suffix: Option<String>,
}

/// One segment of a context.
#[derive(Clone, Debug, PartialEq)]
pub enum ContextSegment {
    /// A set, a type or a member.
    Name(String),
    /// `Collection(Edm.String)`, `Collection($ref)`
    Collection(String),
    /// `$ref`
    Ref,
    /// `('ALFKI')`
    Key(Vec<Argument>),
}

/// One item of a select list.
#[derive(Clone, Debug, PartialEq)]
pub struct ContextItem {
    /// Its position.
    pub at: Position,
    /// `*`, `Model.*`, or names joined by slashes, annotations with their sign.
    pub path: String,
    /// `+`: recursively expanded
    pub recursive: bool,
    /// The nested list.
    pub select: Option<Vec<ContextItem>>,
}

type ParseResult<T> = Result<T, ParseError>;

const SUFFIXES: [&str; 5] = ["$entity", "$delta", "$deletedEntity", "$link", "$deletedLink"];

impl Context {
    /// Parses a fragment with its `#`, without decoding.
    pub fn parse(text: &str) -> Result<Context, ParseError> {
        let source = DecodedText::plain(text);
        let limits = Limits::default();
        let mut parser = Parser::new(&source, &limits);
        parser.expect(b'#')?;
        let context = context(&mut parser)?;
        parser.end()?;
        Ok(context)
    }
}

fn context(p: &mut Parser<'_>) -> ParseResult<Context> {
    let mut context = Context { segments: Vec::new(), select: None, suffix: None };
    if p.eat_exact("$ref") {
        context.segments.push(ContextSegment::Ref);
        return Ok(context);
    }
    if p.eat_exact("Collection(") {
        let name = if p.eat_exact("$ref") { "$ref" } else { p.qualified_name("the name of a type")? };
        context.segments.push(ContextSegment::Collection(name.to_owned()));
        p.expect(b')')?;
        context.select = select_list(p)?;
        return Ok(context);
    }
    loop {
        p.check_list_length(context.segments.len())?;
        context.segments.push(ContextSegment::Name(p.qualified_name("a name")?.to_owned()));
        if let Some(key) = key(p)? {
            context.segments.push(ContextSegment::Key(key));
        } else if let Some(select) = select_list(p)? {
            context.select = Some(select);
        }
        if !p.eat(b'/') {
            return Ok(context);
        }
        if p.peek() == Some(b'$') || context.select.is_some() {
            for suffix in SUFFIXES {
                if p.eat_exact(suffix) {
                    context.suffix = Some(suffix.to_owned());
                    return Ok(context);
                }
            }
            return Err(p.expected(SUFFIXES.join(", ")));
        }
    }
}

/// Parses a key: parentheses that begin with a literal, or with a name and `=`.
fn key(p: &mut Parser<'_>) -> ParseResult<Option<Vec<Argument>>> {
    if p.peek() != Some(b'(') {
        return Ok(None);
    }
    let from = p.pos;
    p.pos += 1;
    let named = p.peek_identifier().is_some_and(|name| p.peek_at(name.len()) == Some(b'='));
    let literal = p.peek().is_some_and(|b| b == b'\'' || b == b'-' || b.is_ascii_digit());
    p.pos = from;
    if !named && !literal {
        return Ok(None);
    }
    p.in_path = true;
    let arguments = p.arguments(&mut 0);
    p.in_path = false;
    arguments.map(Some)
}

/// `selectList = OPEN [ selectListItem *( COMMA selectListItem ) ] CLOSE`
fn select_list(p: &mut Parser<'_>) -> ParseResult<Option<Vec<ContextItem>>> {
    if !p.eat(b'(') {
        return Ok(None);
    }
    let mut items = Vec::new();
    if p.eat(b')') {
        return Ok(Some(items));
    }
    loop {
        p.check_list_length(items.len())?;
        items.push(item(p)?);
        if !p.eat(b',') {
            break;
        }
    }
    p.expect(b')')?;
    Ok(Some(items))
}

fn item(p: &mut Parser<'_>) -> ParseResult<ContextItem> {
    p.node()?;
    let at = p.pos;
    loop {
        if p.eat(b'*') {
            break;
        }
        if p.eat(b'@') {
            p.annotation()?;
        } else {
            p.qualified_name("a name")?;
            if p.eat_exact(".*") {
                break;
            }
        }
        if !p.eat(b'/') {
            break;
        }
    }
    let path = p.slice(at).to_owned();
    let recursive = p.eat(b'+');
    let select = p.nested(select_list)?;
    Ok(ContextItem { at: Position(at), path, recursive, select })
}
