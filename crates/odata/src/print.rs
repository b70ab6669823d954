//! Printing of trees in one canonical form. The printed text parses to the same tree.

use crate::ast::{Expr, ExprKind, Lambda, Path, Root, Search, SearchKind, Segment, SegmentKind};
use crate::literal::Literal;
use crate::source::encode;

/// A text that is being printed, decoded or encoded for a URL.
pub(crate) struct Printer {
    pub text: String,
    url: bool,
}

/// The precedence of the surrounding expression: expressions of lower precedence are put in parentheses. The numbers
/// are those of `parse::expr`.
const LOOSEST: u8 = 1;
const UNARY: u8 = 7;
const PRIMARY: u8 = 9;

impl Printer {
    pub fn plain() -> Printer {
        Printer { text: String::new(), url: false }
    }

    pub fn url() -> Printer {
        Printer { text: String::new(), url: true }
    }

    /// Writes text of the grammar. In a URL, characters that are not allowed are encoded, separators are not.
    pub fn push(&mut self, text: &str) {
        if self.url { encode(text, false, &mut self.text) } else { self.text.push_str(text) }
    }

    /// Writes literal text. In a URL, all special characters are encoded.
    pub fn push_escaped(&mut self, text: &str) {
        if self.url { encode(text, true, &mut self.text) } else { self.text.push_str(text) }
    }

    /// Writes members with a separator.
    pub fn joined<T>(&mut self, members: &[T], separator: &str, mut write: impl FnMut(&mut Self, &T)) {
        for (index, member) in members.iter().enumerate() {
            if index > 0 {
                self.push(separator);
            }
            write(self, member);
        }
    }

    fn quoted(&mut self, text: &str) {
        self.push("'");
        self.push_escaped(&text.replace('\'', "''"));
        self.push("'");
    }

    pub fn literal(&mut self, literal: &Literal) {
        match literal {
            Literal::Null => self.push("null"),
            Literal::Boolean(value) => self.push(if *value { "true" } else { "false" }),
            Literal::Integer(value) => self.push(&value.to_string()),
            Literal::Number(number) => self.push(number.text()),
            Literal::Infinity => self.push("INF"),
            Literal::NegativeInfinity => self.push("-INF"),
            Literal::NotANumber => self.push("NaN"),
            Literal::String(text) => self.quoted(text),
            Literal::Guid(guid) => self.push(&guid.to_string()),
            Literal::Date(date) => self.push(&date.to_string()),
            Literal::DateTimeOffset(instant) => self.push(&instant.to_string()),
            Literal::TimeOfDay(time) => self.push(&time.to_string()),
            Literal::Duration(duration) => self.push(&format!("duration'{duration}'")),
            Literal::Binary(bytes) => self.push(&format!("binary'{}'", base64url(bytes))),
            Literal::Enum(literal) => {
                self.push(&literal.type_name);
                self.push("'");
                self.joined(&literal.members, ",", |out, member| out.push(&member.to_string()));
                self.push("'");
            }
            Literal::Geo(geo) => {
                self.push(if geo.plane { "geometry'" } else { "geography'" });
                self.push(&geo.text);
                self.push("'");
            }
        }
    }

    pub fn expr(&mut self, expr: &Expr) {
        self.expr_in(expr, LOOSEST);
    }

    /// Writes an expression, in parentheses if its precedence is lower than that of its surroundings.
    fn expr_in(&mut self, expr: &Expr, least: u8) {
        if binds(&expr.kind) < least {
            self.push("(");
            self.expr(expr);
            self.push(")");
            return;
        }
        match &expr.kind {
            ExprKind::Literal(literal) => self.literal(literal),
            ExprKind::Path(path) => self.path(path),
            ExprKind::Not(operand) => {
                self.push("not ");
                self.expr_in(operand, UNARY);
            }
            ExprKind::Negate(operand) => {
                self.push("-");
                let from = self.text.len();
                self.expr_in(operand, UNARY);
                // `-5` and `-INF` are literals, so a negation before one is followed by a space.
                let literal = &self.text[from..];
                if literal.starts_with(|c: char| c.is_ascii_digit()) || literal.starts_with("INF") {
                    self.text.insert_str(from, if self.url { "%20" } else { " " });
                }
            }
            ExprKind::And(terms) => self.joined(terms, " and ", |out, term| out.expr_in(term, 3)),
            ExprKind::Or(terms) => self.joined(terms, " or ", |out, term| out.expr_in(term, 2)),
            ExprKind::Compare(op, left, right) => self.infix(expr, left, op.name(), right),
            ExprKind::Arithmetic(op, left, right) => self.infix(expr, left, op.name(), right),
            ExprKind::Has(left, right) => self.infix(expr, left, "has", right),
            ExprKind::In(left, right) => self.infix(expr, left, "in", right),
            ExprKind::Call(function, arguments) => {
                self.push(function.name());
                self.push("(");
                self.joined(arguments, ",", Self::expr);
                self.push(")");
            }
            ExprKind::Cast(operand, name) | ExprKind::IsOf(operand, name) => {
                self.push(if matches!(expr.kind, ExprKind::Cast(..)) { "cast(" } else { "isof(" });
                if let Some(operand) = operand {
                    self.expr(operand);
                    self.push(",");
                }
                self.push(&if name.collection {
                    format!("Collection({})", name.name)
                } else {
                    name.name.clone()
                });
                self.push(")");
            }
            ExprKind::Case(branches) => {
                self.push("case(");
                self.joined(branches, ",", |out, (condition, value)| {
                    out.expr(condition);
                    out.push(" : ");
                    out.expr(value);
                });
                self.push(")");
            }
            ExprKind::List(members) => {
                self.push("(");
                self.joined(members, ",", Self::expr);
                self.push(")");
            }
            ExprKind::Array(members) => {
                self.push("[");
                self.joined(members, ",", Self::json_value);
                self.push("]");
            }
            ExprKind::Object(members) => {
                self.push("{");
                self.joined(members, ",", |out, (name, value)| {
                    out.json_string(name);
                    out.push(":");
                    out.json_value(value);
                });
                self.push("}");
            }
        }
    }

    fn infix(&mut self, whole: &Expr, left: &Expr, operator: &str, right: &Expr) {
        let level = binds(&whole.kind);
        self.expr_in(left, level);
        self.push(" ");
        self.push(operator);
        self.push(" ");
        self.expr_in(right, level + 1);
    }

    fn json_value(&mut self, value: &Expr) {
        match value.as_literal() {
            Some(Literal::String(text)) => self.json_string(text),
            _ => self.expr(value),
        }
    }

    fn json_string(&mut self, text: &str) {
        self.push("\"");
        for c in text.chars() {
            match c {
                '"' => self.push_escaped("\\\""),
                '\\' => self.push_escaped("\\\\"),
                c if c.is_control() => self.push_escaped(&format!("\\u{:04x}", u32::from(c))),
                c => self.push_escaped(c.encode_utf8(&mut [0; 4])),
            }
        }
        self.push("\"");
    }

    pub fn path(&mut self, path: &Path) {
        match &path.root {
            Root::Implicit => {}
            Root::It => self.push("$it"),
            Root::This => self.push("$this"),
            Root::Service => self.push("$root"),
            Root::Alias(name) => self.push(&format!("@{name}")),
        }
        for (index, segment) in path.segments.iter().enumerate() {
            let joins = index > 0 || path.root != Root::Implicit;
            if joins && !matches!(segment.kind, SegmentKind::Arguments(_)) {
                self.push("/");
            }
            self.segment(segment);
        }
    }

    fn segment(&mut self, segment: &Segment) {
        match &segment.kind {
            SegmentKind::Name(name) | SegmentKind::Qualified(name) => self.push(name),
            SegmentKind::Annotation { term, qualifier } => self.annotation(term, qualifier.as_deref()),
            SegmentKind::Arguments(arguments) => {
                self.push("(");
                self.joined(arguments, ",", |out, argument| {
                    if let Some(name) = &argument.name {
                        out.push(name);
                        out.push("=");
                    }
                    out.expr(&argument.value);
                });
                self.push(")");
            }
            SegmentKind::Count { filter, search } => {
                self.push("$count");
                if filter.is_none() && search.is_none() {
                    return;
                }
                self.push("(");
                if let Some(filter) = filter {
                    self.push("$filter=");
                    self.expr(filter);
                }
                if let Some(search) = search {
                    self.push(if filter.is_some() { ";$search=" } else { "$search=" });
                    self.search(search);
                }
                self.push(")");
            }
            SegmentKind::Filter(predicate) => {
                self.push("$filter(");
                self.expr(predicate);
                self.push(")");
            }
            SegmentKind::Any(None) => self.push("any()"),
            SegmentKind::Any(Some(lambda)) => self.lambda("any", lambda),
            SegmentKind::All(lambda) => self.lambda("all", lambda),
        }
    }

    fn lambda(&mut self, quantifier: &str, lambda: &Lambda) {
        self.push(quantifier);
        self.push("(");
        self.push(&lambda.variable);
        self.push(":");
        self.expr(&lambda.predicate);
        self.push(")");
    }

    pub fn annotation(&mut self, term: &str, qualifier: Option<&str>) {
        self.push("@");
        self.push(term);
        if let Some(qualifier) = qualifier {
            self.push("#");
            self.push(qualifier);
        }
    }

    pub fn search(&mut self, search: &Search) {
        self.search_in(search, 1);
    }

    fn search_in(&mut self, search: &Search, least: u8) {
        let level = match &search.kind {
            SearchKind::Or(_) => 1,
            SearchKind::And(_) => 2,
            _ => 3,
        };
        if level < least {
            self.push("(");
            self.search(search);
            self.push(")");
            return;
        }
        match &search.kind {
            SearchKind::Word(word) => self.push_escaped(word),
            SearchKind::Phrase(phrase) => {
                self.push("\"");
                self.push_escaped(phrase);
                self.push("\"");
            }
            SearchKind::Incomplete(text) => self.quoted(text),
            SearchKind::Not(operand) => {
                self.push("NOT ");
                self.search_in(operand, 3);
            }
            SearchKind::And(members) => self.joined(members, " AND ", |out, member| out.search_in(member, 3)),
            SearchKind::Or(members) => self.joined(members, " OR ", |out, member| out.search_in(member, 2)),
        }
    }
}

/// Returns the precedence of an expression, as in `parse::expr`.
fn binds(kind: &ExprKind) -> u8 {
    use crate::ast::Arithmetic;
    match kind {
        ExprKind::Or(_) => 1,
        ExprKind::And(_) => 2,
        ExprKind::Compare(op, ..) if op.is_equality() => 3,
        ExprKind::Compare(..) => 4,
        ExprKind::Arithmetic(Arithmetic::Add | Arithmetic::Sub, ..) => 5,
        ExprKind::Arithmetic(..) => 6,
        ExprKind::Not(_) | ExprKind::Negate(_) => UNARY,
        ExprKind::Has(..) | ExprKind::In(..) => 8,
        _ => PRIMARY,
    }
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().enumerate().fold(0u32, |bits, (at, byte)| bits | u32::from(*byte) << (16 - 8 * at));
        for digit in 0..=chunk.len() {
            text.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}
