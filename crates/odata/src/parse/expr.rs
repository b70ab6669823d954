//! Operators and their operands.
//!
//! ```text
//! commonExpr = ( primitiveLiteral / arrayOrObject / rootExpr / functionExpr / negateExpr / methodCallExpr
//!              / parenExpr / castExpr / isofExpr / notExpr / firstMemberExpr )
//!              [ addExpr / subExpr / mulExpr / divExpr / divbyExpr / modExpr ]
//!              [ eqExpr / neExpr / ltExpr / leExpr / gtExpr / geExpr / hasExpr / inExpr ]
//!              [ andExpr / orExpr ]
//! ```
//!
//! Precedence (URL Conventions 5.1.1.14, highest first): grouping; `has` `in`; `-` `not`; `mul` `div` `divby` `mod`;
//! `add` `sub`; `gt` `ge` `lt` `le`; `eq` `ne`; `and`; `or`. Operators of one row are left-associative.
//!
//! DIFFERENCE: the grammar requires a space between `not` or `in` and a parenthesis. Without the space the meaning is
//! still clear, and clients omit it, so it is optional.

use super::{ParseResult, Parser};
use crate::ast::{Arithmetic, Comparison, Expr, ExprKind, Root, SegmentKind};
use crate::error::{ParseError, ParseErrorKind};
use crate::function::Function;
use crate::suggestion::did_you_mean;

pub(super) const OPERATORS: [&str; 16] = [
    "or", "and", "eq", "ne", "gt", "ge", "lt", "le", "has", "in", "add", "sub", "mul", "div", "divby", "mod",
];

pub(super) const OR: u8 = 1;
const AND: u8 = 2;
const EQUALITY: u8 = 3;
const RELATION: u8 = 4;
const SUM: u8 = 5;
const PRODUCT: u8 = 6;
const UNARY: u8 = 7;
const MEMBER: u8 = 8;
const PRIMARY: u8 = 9;

#[derive(Clone, Copy, PartialEq)]
enum Operator {
    Or,
    And,
    Compare(Comparison),
    Arithmetic(Arithmetic),
    Has,
    In,
}

impl Operator {
    fn from_name(word: &str) -> Option<Operator> {
        use Operator::{And, Arithmetic as A, Compare as C, Has, In, Or};
        let lower = word.to_ascii_lowercase();
        Some(match lower.as_str() {
            "or" => Or,
            "and" => And,
            "eq" => C(Comparison::Eq),
            "ne" => C(Comparison::Ne),
            "gt" => C(Comparison::Gt),
            "ge" => C(Comparison::Ge),
            "lt" => C(Comparison::Lt),
            "le" => C(Comparison::Le),
            "add" => A(Arithmetic::Add),
            "sub" => A(Arithmetic::Sub),
            "mul" => A(Arithmetic::Mul),
            "div" => A(Arithmetic::Div),
            "divby" => A(Arithmetic::DivBy),
            "mod" => A(Arithmetic::Mod),
            "has" => Has,
            "in" => In,
            _ => return None,
        })
    }

    fn precedence(self) -> u8 {
        match self {
            Operator::Or => OR,
            Operator::And => AND,
            Operator::Compare(comparison) if comparison.is_equality() => EQUALITY,
            Operator::Compare(_) => RELATION,
            Operator::Arithmetic(Arithmetic::Add | Arithmetic::Sub) => SUM,
            Operator::Arithmetic(_) => PRODUCT,
            Operator::Has | Operator::In => MEMBER,
        }
    }
}

impl Parser<'_> {
    /// `commonExpr`, as far as it extends.
    pub fn common_expr(&mut self) -> ParseResult<Expr> {
        let before_colon = std::mem::replace(&mut self.before_colon, false);
        let expr = self.nested(|p| p.binary(OR));
        self.before_colon = before_colon;
        expr
    }

    /// Parses an operand and all operators of at least the given precedence (Pratt).
    pub(super) fn binary(&mut self, least: u8) -> ParseResult<Expr> {
        let mut left = self.unary()?;
        // A chain in parentheses is an operand, not the beginning of this chain.
        let mut open_chain = false;
        while let Some((operator, at)) = self.operator(least)? {
            let height = self.height;
            let right = match operator {
                Operator::In => self.list_or_operand()?,
                _ => self.nested(|p| p.binary(operator.precedence() + 1))?,
            };
            let member_height = self.height;
            let chain = match (&mut left.kind, operator) {
                (ExprKind::And(terms), Operator::And) | (ExprKind::Or(terms), Operator::Or) if open_chain => {
                    Some(terms)
                }
                _ => None,
            };
            if let Some(terms) = chain {
                terms.push(right);
                self.height = height.max(member_height + 1);
                continue;
            }
            self.add_height(height.max(member_height))?;
            open_chain = matches!(operator, Operator::And | Operator::Or);
            left = combine(operator, at, left, right);
        }
        Ok(left)
    }

    /// Counts an expression whose operands have the given height.
    pub(super) fn add_height(&mut self, height: usize) -> ParseResult<()> {
        self.height = height + 1;
        if self.height > self.limits.depth {
            return Err(self.too_deep());
        }
        self.node()
    }

    /// `RWS operator RWS` with at least the given precedence. Consumes nothing if there is none.
    fn operator(&mut self, least: u8) -> ParseResult<Option<(Operator, usize)>> {
        let from = self.pos;
        if !self.skip_blanks() {
            return Ok(None);
        }
        let at = self.pos;
        let found = self.peek_identifier().and_then(|word| Some((Operator::from_name(word)?, word.len())));
        let Some((operator, length)) = found.filter(|(operator, _)| operator.precedence() >= least) else {
            self.pos = from;
            return Ok(None);
        };
        self.pos += length;
        if !self.skip_blanks() && self.peek() != Some(b'(') {
            return Err(self.expected(format_args!("a space after '{}'", self.slice(at))));
        }
        Ok(Some((operator, at)))
    }

    /// `negateExpr = "-" BWS commonExpr`, `notExpr = "not" RWS boolCommonExpr`, or a primary.
    fn unary(&mut self) -> ParseResult<Expr> {
        let at = self.pos;
        if self.looking_at("not") && matches!(self.peek_at(3), Some(b' ' | b'\t' | b'(')) {
            self.pos += 3;
            self.skip_blanks();
            let operand = self.nested(|p| p.binary(UNARY))?;
            self.add_height(self.height)?;
            return Ok(Expr::at(at, ExprKind::Not(Box::new(operand))));
        }
        if let Some(literal) = self.try_literal()? {
            self.node()?;
            self.height = 1;
            return Ok(Expr::at(at, ExprKind::Literal(literal)));
        }
        if self.eat(b'-') {
            self.skip_blanks();
            let operand = self.nested(|p| p.binary(UNARY))?;
            self.add_height(self.height)?;
            return Ok(Expr::at(at, ExprKind::Negate(Box::new(operand))));
        }
        self.primary()
    }

    fn primary(&mut self) -> ParseResult<Expr> {
        let at = self.pos;
        match self.peek() {
            Some(b'(') => self.paren_expr(),
            Some(b'[' | b'{' | b' ' | b'\t') => self.array_or_object(),
            Some(b'$' | b'@') => self.first_member_expr(),
            Some(b'"') => Err(self.expected("a value; strings are in single quotes")),
            _ => {
                if self.peek_identifier().is_none() {
                    return Err(self.expected("a value"));
                }
                if self.call_follows()
                    && let Some(call) = self.try_call(at)?
                {
                    return Ok(call);
                }
                self.first_member_expr()
            }
        }
    }

    /// `parenExpr = OPEN BWS commonExpr BWS CLOSE`
    fn paren_expr(&mut self) -> ParseResult<Expr> {
        self.expect(b'(')?;
        self.skip_blanks();
        let expr = self.common_expr()?;
        self.skip_blanks();
        self.close(")")?;
        Ok(expr)
    }

    /// Consumes the closing parenthesis after an expression. The error suggests what else may have been meant.
    pub(super) fn close(&mut self, what: &str) -> ParseResult<()> {
        if self.eat(what.as_bytes()[0]) {
            return Ok(());
        }
        let mut back = Parser { ..*self };
        while back.pos > 0 && matches!(back.bytes[back.pos - 1], b' ' | b'\t') {
            back.pos -= 1;
        }
        let error = back.unexpected_after_expression();
        if error.message.contains("found") {
            Err(error)
        } else {
            Err(self.expected(format_args!("'{what}'")))
        }
    }

    /// `inExpr = RWS "in" RWS ( listExpr / commonExpr )`,
    /// `listExpr = OPEN BWS [ primitiveLiteral BWS *( COMMA BWS primitiveLiteral BWS ) ] CLOSE`
    fn list_or_operand(&mut self) -> ParseResult<Expr> {
        let at = self.pos;
        if self.peek() != Some(b'(') {
            return self.nested(|p| p.binary(PRIMARY));
        }
        let before_colon = std::mem::replace(&mut self.before_colon, false);
        let list = self.list_expr(at);
        self.before_colon = before_colon;
        list
    }

    fn list_expr(&mut self, at: usize) -> ParseResult<Expr> {
        self.expect(b'(')?;
        self.skip_blanks();
        let mut members = Vec::new();
        if self.eat(b')') {
            self.height = 1;
            return Ok(Expr::at(at, ExprKind::List(members)));
        }
        let first = self.common_expr()?;
        self.skip_blanks();
        if first.as_literal().is_none() {
            self.close(")")?;
            return Ok(first);
        }
        members.push(first);
        while self.eat(b',') {
            self.check_list_length(members.len())?;
            self.skip_blanks();
            self.node()?;
            let at = self.pos;
            members.push(Expr::at(at, ExprKind::Literal(self.primitive_literal()?)));
            self.skip_blanks();
        }
        self.close(")")?;
        self.add_height(1)?;
        Ok(Expr::at(at, ExprKind::List(members)))
    }

    /// Parses a path, or returns an error for a function that OData does not have.
    fn first_member_expr(&mut self) -> ParseResult<Expr> {
        let at = self.pos;
        let (path, height) = self.path()?;
        self.add_height(height)?;
        if let (Root::Implicit, [first, second, ..]) = (&path.root, path.segments.as_slice())
            && let (SegmentKind::Name(name) | SegmentKind::Qualified(name), SegmentKind::Arguments(arguments)) =
                (&first.kind, &second.kind)
        {
            let positional = arguments.iter().filter(|argument| argument.name.is_none()).count();
            let key = positional == 1
                && arguments.len() == 1
                && arguments.iter().all(|a| a.value.as_literal().is_some() || is_alias(&a.value));
            if positional > 0 && !key {
                let names =
                    Function::ALL.iter().map(|function| function.name()).chain(["cast", "isof", "case"]);
                let message = format!("unknown function '{name}'{}", did_you_mean(name, names));
                return Err(ParseError::new(at, ParseErrorKind::UnknownFunction, message));
            }
        }
        Ok(Expr::at(at, ExprKind::Path(path)))
    }
}

fn is_alias(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Path(path) if matches!(path.root, Root::Alias(_)) && path.segments.is_empty())
}

fn combine(operator: Operator, at: usize, left: Expr, right: Expr) -> Expr {
    let start = left.at.0;
    let kind = match operator {
        Operator::Or => return Expr::at(start, ExprKind::Or(vec![left, right])),
        Operator::And => return Expr::at(start, ExprKind::And(vec![left, right])),
        Operator::Compare(op) => ExprKind::Compare(op, Box::new(left), Box::new(right)),
        Operator::Arithmetic(op) => ExprKind::Arithmetic(op, Box::new(left), Box::new(right)),
        Operator::Has => ExprKind::Has(Box::new(left), Box::new(right)),
        Operator::In => ExprKind::In(Box::new(left), Box::new(right)),
    };
    Expr::at(at, kind)
}
