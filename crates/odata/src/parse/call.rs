//! Calls: canonical functions, `cast`, `isof`, `case`.

use super::expr::OR;
use super::{ParseResult, Parser};
use crate::ast::{Expr, ExprKind, TypeName};
use crate::error::ParseError;
use crate::function::Function;

impl Parser<'_> {
    /// Returns whether a name, possibly `geo.…`, and an opening parenthesis come next.
    pub(super) fn call_follows(&self) -> bool {
        let mut ahead = Parser { ..*self };
        ahead.qualified_name("").is_ok() && ahead.peek() == Some(b'(')
    }

    /// `methodCallExpr`, `castExpr`, `isofExpr`, `caseMethodCallExpr`. Consumes nothing if the name is none of these:
    /// it may be a key or a function of the service.
    pub(super) fn try_call(&mut self, at: usize) -> ParseResult<Option<Expr>> {
        let name = self.qualified_name("a function")?;
        let function = Function::from_name(name);
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

    /// `containsMethodCallExpr = "contains" OPEN BWS commonExpr BWS COMMA BWS commonExpr BWS CLOSE` and similar
    /// productions
    fn method_call(&mut self, at: usize, function: Function) -> ParseResult<Expr> {
        let (least, most) = function.arity();
        let mut arguments = Vec::new();
        let mut height = 0;
        self.skip_blanks();
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
                self.skip_blanks();
            } else if self.peek() == Some(b')') {
                return Err(self.expected(format_args!("an argument of {}", function.name())));
            }
            arguments.push(self.common_expr()?);
            height = height.max(self.height);
            self.skip_blanks();
        }
        if self.peek() == Some(b',') {
            let what = format!("')': {} takes {}", function.name(), counted(most));
            return Err(self.expected(what));
        }
        self.close(")")?;
        self.add_height(height)?;
        Ok(Expr::at(at, ExprKind::Call(function, arguments)))
    }

    fn missing(&mut self, what: &str) -> ParseError {
        match self.close(what) {
            Err(error) => error,
            Ok(()) => self.expected(what),
        }
    }

    /// `castExpr = "cast" OPEN BWS [ commonExpr BWS COMMA BWS ] optionallyQualifiedTypeName BWS CLOSE`
    fn cast_or_isof(&mut self, at: usize, cast: bool) -> ParseResult<Expr> {
        self.skip_blanks();
        let mut ahead = Parser { ..*self };
        let type_alone = ahead.type_name().is_ok() && {
            ahead.skip_blanks();
            ahead.peek() == Some(b')')
        };
        let mut height = 0;
        let operand = if type_alone {
            None
        } else {
            let operand = self.common_expr()?;
            height = self.height;
            self.skip_blanks();
            if !self.eat(b',') {
                return Err(self.missing(","));
            }
            self.skip_blanks();
            Some(Box::new(operand))
        };
        let name = self.type_name()?;
        self.skip_blanks();
        self.expect(b')')?;
        self.add_height(height)?;
        Ok(Expr::at(at, if cast { ExprKind::Cast(operand, name) } else { ExprKind::IsOf(operand, name) }))
    }

    /// `optionallyQualifiedTypeName`: a name, or `Collection(name)`
    fn type_name(&mut self) -> ParseResult<TypeName> {
        let at = crate::ast::Position(self.pos);
        let collection = self.eat_exact("Collection(");
        let name = self.qualified_name("the name of a type")?.to_owned();
        if collection {
            self.expect(b')')?;
        }
        Ok(TypeName { at, name, collection })
    }

    /// `caseMethodCallExpr = "case" OPEN BWS boolCommonExpr BWS COLON BWS commonExpr BWS *( COMMA … ) CLOSE`
    fn case(&mut self, at: usize) -> ParseResult<Expr> {
        let mut branches = Vec::new();
        let mut height = 0;
        loop {
            self.check_list_length(branches.len())?;
            self.skip_blanks();
            self.before_colon = true;
            let condition = self.nested(|p| p.binary(OR));
            self.before_colon = false;
            let condition = condition?;
            height = height.max(self.height);
            self.skip_blanks();
            if !self.eat(b':') {
                return Err(self.missing(":"));
            }
            self.skip_blanks();
            let value = self.common_expr()?;
            height = height.max(self.height);
            branches.push((condition, value));
            self.skip_blanks();
            if !self.eat(b',') {
                break;
            }
        }
        self.close(")")?;
        self.add_height(height)?;
        Ok(Expr::at(at, ExprKind::Case(branches)))
    }
}

fn counted(arguments: usize) -> String {
    match arguments {
        0 => "no arguments".to_owned(),
        1 => "1 argument".to_owned(),
        more => format!("at most {more} arguments"),
    }
}
