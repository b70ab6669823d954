//! Operators, calls, JSON: everything of an expression but its paths.
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
//! `add` `sub`; `gt` `ge` `lt` `le`; `eq` `ne`; `and`; `or`. Operators of one row group from the left.
//!
//! DIFFERENCE: the grammar wants a blank between `not` or `in` and a parenthesis; without one it can be nothing
//! else, and clients write it, so it is taken.

use super::{Parsed, Parser};
use crate::ast::{Arithmetic, Comparison, Expr, ExprKind, Root, SegmentKind, TypeName};
use crate::error::{Error, ErrorKind};
use crate::function::Function;
use crate::literal::Literal;
use crate::near::hint;

pub(super) const OPERATORS: [&str; 16] = [
    "or", "and", "eq", "ne", "gt", "ge", "lt", "le", "has", "in", "add", "sub", "mul", "div", "divby", "mod",
];

const OR: u8 = 1;
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
    fn named(word: &str) -> Option<Operator> {
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

    fn binds(self) -> u8 {
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
    /// `commonExpr`, as much of it as there is.
    pub fn common_expr(&mut self) -> Parsed<Expr> {
        let before_colon = std::mem::replace(&mut self.before_colon, false);
        let expr = self.deeper(|p| p.binary(OR));
        self.before_colon = before_colon;
        expr
    }

    /// An operand and all operators that bind at least so tight (Pratt).
    fn binary(&mut self, least: u8) -> Parsed<Expr> {
        let mut left = self.unary()?;
        // A chain in parentheses is an operand, not the beginning of this chain.
        let mut open_chain = false;
        while let Some((operator, at)) = self.operator(least)? {
            let height = self.height;
            let right = match operator {
                Operator::In => self.list_or_operand()?,
                _ => self.deeper(|p| p.binary(operator.binds() + 1))?,
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
            self.grow(height.max(member_height))?;
            open_chain = matches!(operator, Operator::And | Operator::Or);
            left = combine(operator, at, left, right);
        }
        Ok(left)
    }

    /// Counts an expression on top of one so high.
    fn grow(&mut self, height: usize) -> Parsed<()> {
        self.height = height + 1;
        if self.height > self.limits.depth {
            return Err(self.too_deep());
        }
        self.node()
    }

    /// `RWS operator RWS`, when one comes that binds tight enough; nothing is taken otherwise.
    fn operator(&mut self, least: u8) -> Parsed<Option<(Operator, usize)>> {
        let from = self.pos;
        if !self.blanks() {
            return Ok(None);
        }
        let at = self.pos;
        let found = self.peek_identifier().and_then(|word| Some((Operator::named(word)?, word.len())));
        let Some((operator, length)) = found.filter(|(operator, _)| operator.binds() >= least) else {
            self.pos = from;
            return Ok(None);
        };
        self.pos += length;
        if !self.blanks() && self.peek() != Some(b'(') {
            return Err(self.expected(format_args!("a blank after '{}'", self.slice(at))));
        }
        Ok(Some((operator, at)))
    }

    /// `negateExpr = "-" BWS commonExpr`, `notExpr = "not" RWS boolCommonExpr`, or a primary.
    fn unary(&mut self) -> Parsed<Expr> {
        let at = self.pos;
        if self.looking_at("not") && matches!(self.peek_at(3), Some(b' ' | b'\t' | b'(')) {
            self.pos += 3;
            self.blanks();
            let operand = self.deeper(|p| p.binary(UNARY))?;
            self.grow(self.height)?;
            return Ok(Expr::at(at, ExprKind::Not(Box::new(operand))));
        }
        if let Some(literal) = self.try_literal()? {
            self.node()?;
            self.height = 1;
            return Ok(Expr::at(at, ExprKind::Literal(literal)));
        }
        if self.eat(b'-') {
            self.blanks();
            let operand = self.deeper(|p| p.binary(UNARY))?;
            self.grow(self.height)?;
            return Ok(Expr::at(at, ExprKind::Negate(Box::new(operand))));
        }
        self.primary()
    }

    fn primary(&mut self) -> Parsed<Expr> {
        let at = self.pos;
        match self.peek() {
            Some(b'(') => self.paren_expr(),
            Some(b'[' | b'{' | b' ' | b'\t') => self.array_or_object(),
            Some(b'$' | b'@') => self.first_member_expr(),
            Some(b'"') => Err(self.expected("a value; texts stand in single quotes")),
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
    fn paren_expr(&mut self) -> Parsed<Expr> {
        self.expect(b'(')?;
        self.blanks();
        let expr = self.common_expr()?;
        self.blanks();
        self.close(")")?;
        Ok(expr)
    }

    /// A closing parenthesis after an expression, or what else might have been meant.
    pub(super) fn close(&mut self, what: &str) -> Parsed<()> {
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
    fn list_or_operand(&mut self) -> Parsed<Expr> {
        let at = self.pos;
        if self.peek() != Some(b'(') {
            return self.deeper(|p| p.binary(PRIMARY));
        }
        let before_colon = std::mem::replace(&mut self.before_colon, false);
        let list = self.list_expr(at);
        self.before_colon = before_colon;
        list
    }

    fn list_expr(&mut self, at: usize) -> Parsed<Expr> {
        self.expect(b'(')?;
        self.blanks();
        let mut members = Vec::new();
        if self.eat(b')') {
            self.height = 1;
            return Ok(Expr::at(at, ExprKind::List(members)));
        }
        let first = self.common_expr()?;
        self.blanks();
        if first.as_literal().is_none() {
            self.close(")")?;
            return Ok(first);
        }
        members.push(first);
        while self.eat(b',') {
            self.room(members.len())?;
            self.blanks();
            self.node()?;
            let at = self.pos;
            members.push(Expr::at(at, ExprKind::Literal(self.primitive_literal()?)));
            self.blanks();
        }
        self.close(")")?;
        self.grow(1)?;
        Ok(Expr::at(at, ExprKind::List(members)))
    }

    /// Whether a name, possibly `geo.…`, and an opening parenthesis come next.
    fn call_follows(&self) -> bool {
        let mut ahead = Parser { ..*self };
        ahead.qualified_name("").is_ok() && ahead.peek() == Some(b'(')
    }

    /// `methodCallExpr`, `castExpr`, `isofExpr`, `caseMethodCallExpr`; nothing is taken when the name is none of
    /// these: it may be a key or a function of the service.
    fn try_call(&mut self, at: usize) -> Parsed<Option<Expr>> {
        let name = self.qualified_name("a function")?;
        let function = Function::named(name);
        let lower = name.to_ascii_lowercase();
        self.pos += 1;
        let expr = match (lower.as_str(), function) {
            (_, Some(function)) => self.method_call(at, function)?,
            ("cast" | "isof", _) => self.cast_or_isof(at, lower == "cast")?,
            ("case", _) => self.case(at)?,
            ("any" | "all", _) => {
                self.pos -= 1;
                return Err(self.expected(format_args!("a collection before '{lower}'")));
            }
            _ => {
                self.pos = at;
                return Ok(None);
            }
        };
        Ok(Some(expr))
    }

    /// `containsMethodCallExpr = "contains" OPEN BWS commonExpr BWS COMMA BWS commonExpr BWS CLOSE` and its fellows
    fn method_call(&mut self, at: usize, function: Function) -> Parsed<Expr> {
        let (least, most) = function.arity();
        let mut arguments = Vec::new();
        let mut height = 0;
        self.blanks();
        while arguments.len() < most {
            if arguments.len() >= least && self.peek() == Some(b')') {
                break;
            }
            if !arguments.is_empty() {
                if !self.eat(b',') {
                    let what = format!("',': {} takes {least} arguments", function.name());
                    return Err(if self.peek() == Some(b')') {
                        self.expected(what)
                    } else {
                        self.missing(",")
                    });
                }
                self.blanks();
            } else if self.peek() == Some(b')') {
                return Err(self.expected(format_args!("an argument of {}", function.name())));
            }
            arguments.push(self.common_expr()?);
            height = height.max(self.height);
            self.blanks();
        }
        if self.peek() == Some(b',') {
            let what = format!("')': {} takes {}", function.name(), counted(most));
            return Err(self.expected(what));
        }
        self.close(")")?;
        self.grow(height)?;
        Ok(Expr::at(at, ExprKind::Call(function, arguments)))
    }

    fn missing(&mut self, what: &str) -> Error {
        match self.close(what) {
            Err(error) => error,
            Ok(()) => self.expected(what),
        }
    }

    /// `castExpr = "cast" OPEN BWS [ commonExpr BWS COMMA BWS ] optionallyQualifiedTypeName BWS CLOSE`
    fn cast_or_isof(&mut self, at: usize, cast: bool) -> Parsed<Expr> {
        self.blanks();
        let mut ahead = Parser { ..*self };
        let type_alone = ahead.type_name().is_ok() && {
            ahead.blanks();
            ahead.peek() == Some(b')')
        };
        let mut height = 0;
        let operand = if type_alone {
            None
        } else {
            let operand = self.common_expr()?;
            height = self.height;
            self.blanks();
            if !self.eat(b',') {
                return Err(self.missing(","));
            }
            self.blanks();
            Some(Box::new(operand))
        };
        let name = self.type_name()?;
        self.blanks();
        self.expect(b')')?;
        self.grow(height)?;
        Ok(Expr::at(at, if cast { ExprKind::Cast(operand, name) } else { ExprKind::IsOf(operand, name) }))
    }

    /// `optionallyQualifiedTypeName`: a name, or `Collection(name)`
    fn type_name(&mut self) -> Parsed<TypeName> {
        let at = crate::ast::Position(self.pos);
        let collection = self.eat_exact("Collection(");
        let name = self.qualified_name("the name of a type")?.to_owned();
        if collection {
            self.expect(b')')?;
        }
        Ok(TypeName { at, name, collection })
    }

    /// `caseMethodCallExpr = "case" OPEN BWS boolCommonExpr BWS COLON BWS commonExpr BWS *( COMMA … ) CLOSE`
    fn case(&mut self, at: usize) -> Parsed<Expr> {
        let mut branches = Vec::new();
        let mut height = 0;
        loop {
            self.room(branches.len())?;
            self.blanks();
            self.before_colon = true;
            let condition = self.deeper(|p| p.binary(OR));
            self.before_colon = false;
            let condition = condition?;
            height = height.max(self.height);
            self.blanks();
            if !self.eat(b':') {
                return Err(self.missing(":"));
            }
            self.blanks();
            let value = self.common_expr()?;
            height = height.max(self.height);
            branches.push((condition, value));
            self.blanks();
            if !self.eat(b',') {
                break;
            }
        }
        self.close(")")?;
        self.grow(height)?;
        Ok(Expr::at(at, ExprKind::Case(branches)))
    }

    /// `arrayOrObject = array / object`
    pub fn array_or_object(&mut self) -> Parsed<Expr> {
        self.blanks();
        match self.peek() {
            Some(b'[') => self.deeper(Self::array),
            Some(b'{') => self.deeper(Self::object),
            _ => Err(self.expected("a value")),
        }
    }

    /// `array = begin-array [ valueInUrl *( value-separator valueInUrl ) ] end-array`
    fn array(&mut self) -> Parsed<Expr> {
        let at = self.pos;
        self.expect(b'[')?;
        self.blanks();
        let mut members = Vec::new();
        let mut height = 0;
        if self.peek() != Some(b']') {
            loop {
                self.room(members.len())?;
                members.push(self.value_in_url()?);
                height = height.max(self.height);
                if !self.comma() {
                    break;
                }
            }
            self.blanks();
        }
        self.close("]")?;
        self.grow(height)?;
        Ok(Expr::at(at, ExprKind::Array(members)))
    }

    /// `object = begin-object [ member *( value-separator member ) ] end-object`,
    /// `member = stringInUrl name-separator valueInUrl`
    fn object(&mut self) -> Parsed<Expr> {
        let at = self.pos;
        self.expect(b'{')?;
        self.blanks();
        let mut members = Vec::new();
        let mut height = 0;
        if self.peek() != Some(b'}') {
            loop {
                self.room(members.len())?;
                let name = self.string_in_url()?;
                self.blanks();
                self.expect(b':')?;
                self.blanks();
                members.push((name, self.value_in_url()?));
                height = height.max(self.height);
                if !self.comma() {
                    break;
                }
            }
            self.blanks();
        }
        self.close("}")?;
        self.grow(height)?;
        Ok(Expr::at(at, ExprKind::Object(members)))
    }

    /// `valueInUrl = stringInUrl / commonExpr`
    fn value_in_url(&mut self) -> Parsed<Expr> {
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
    pub fn string_in_url(&mut self) -> Parsed<String> {
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

    fn json_escape(&mut self) -> Parsed<char> {
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

    fn unicode_escape(&mut self, at: usize) -> Parsed<char> {
        let high = self.four_hex()?;
        let code = if (0xd800..0xdc00).contains(&high) && self.eat_exact("\\u") {
            let low = self.four_hex()?;
            0x10000 + ((high - 0xd800) << 10) + (low.wrapping_sub(0xdc00) & 0x3ff)
        } else {
            high
        };
        char::from_u32(code)
            .ok_or_else(|| Error::new(at, ErrorKind::Value, "half a surrogate pair is no character"))
    }

    fn four_hex(&mut self) -> Parsed<u32> {
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

    /// A path, or the refusal of a function that OData does not have.
    fn first_member_expr(&mut self) -> Parsed<Expr> {
        let at = self.pos;
        let (path, height) = self.path()?;
        self.grow(height)?;
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
                let message = format!("unknown function '{name}'{}", hint(name, names));
                return Err(Error::new(at, ErrorKind::UnknownFunction, message));
            }
        }
        Ok(Expr::at(at, ExprKind::Path(path)))
    }
}

fn is_alias(expr: &Expr) -> bool {
    matches!(&expr.kind, ExprKind::Path(path) if matches!(path.root, Root::Alias(_)) && path.segments.is_empty())
}

fn counted(arguments: usize) -> String {
    match arguments {
        0 => "no arguments".to_owned(),
        1 => "1 argument".to_owned(),
        more => format!("at most {more} arguments"),
    }
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
