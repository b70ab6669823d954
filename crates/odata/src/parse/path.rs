//! Member paths, lambdas and keys.
//!
//! ```text
//! firstMemberExpr = memberExpr / inscopeVariableExpr [ "/" memberExpr ]
//! rootExpr        = "$root/" ( entitySetName [ collectionNavigationExpr ] / … )
//! ```
//!
//! A property cannot be distinguished from a type or a variable without a schema. So a path is parsed as a list of
//! segments, and the binder decides what each of them is.

use super::{ParseResult, Parser};
use crate::ast::{Argument, ExprKind, Lambda, Path, Position, Root, Search, Segment, SegmentKind};
use crate::error::ParseError;

impl Parser<'_> {
    /// Parses a path. Returns the height of the highest expression in it, too.
    pub fn path(&mut self) -> ParseResult<(Path, usize)> {
        let mut height = 0;
        let mut segments = Vec::new();
        let root = self.root()?;
        match root {
            Root::Implicit => self.segment(true, &mut segments, &mut height)?,
            Root::Service => {
                self.expect(b'/')?;
                self.segment(true, &mut segments, &mut height)?;
            }
            _ => {}
        }
        while self.peek() == Some(b'/') {
            self.pos += 1;
            self.segment(false, &mut segments, &mut height)?;
        }
        Ok((Path { root, segments }, height))
    }

    /// `implicitVariableExpr = %s"$it" / %s"$this"`, `parameterAlias = AT odataIdentifier`
    fn root(&mut self) -> ParseResult<Root> {
        match self.peek() {
            Some(b'$') => {
                for (word, root) in [("$it", Root::It), ("$this", Root::This), ("$root", Root::Service)] {
                    let ends =
                        self.bytes.get(self.pos + word.len()).is_none_or(|b| !b.is_ascii_alphanumeric());
                    if ends && self.eat_exact(word) {
                        return Ok(root);
                    }
                }
                if self.looking_at("$count") {
                    Ok(Root::Implicit)
                } else {
                    Err(self.expected("$it, $this or $root"))
                }
            }
            Some(b'@') => {
                let from = self.pos;
                self.pos += 1;
                let name = self.qualified_name("the name of an alias or an annotation")?.to_owned();
                if name.contains('.') || self.peek() == Some(b'#') {
                    self.pos = from;
                    return Ok(Root::Implicit);
                }
                Ok(Root::Alias(name))
            }
            _ => Ok(Root::Implicit),
        }
    }

    /// Parses one segment, with its parentheses.
    fn segment(&mut self, first: bool, segments: &mut Vec<Segment>, height: &mut usize) -> ParseResult<()> {
        self.node()?;
        self.check_list_length(segments.len())?;
        let at = self.pos;
        let kind = match self.peek() {
            Some(b'@') => {
                self.pos += 1;
                let (term, qualifier) = self.annotation()?;
                SegmentKind::Annotation { term, qualifier }
            }
            Some(b'$') if self.eat_exact("$count") => self.count_options(height)?,
            Some(b'$') if !first && self.eat_exact("$filter(") => {
                let predicate = self.common_expr()?;
                *height = (*height).max(self.height);
                self.close(")")?;
                SegmentKind::Filter(Box::new(predicate))
            }
            Some(b'$') => return Err(self.expected("$count or $filter")),
            _ => {
                let name = self.qualified_name("a name")?;
                let called = self.peek() == Some(b'(');
                if !first && called && name.eq_ignore_ascii_case("any") {
                    SegmentKind::Any(self.lambda(height)?)
                } else if !first && called && name.eq_ignore_ascii_case("all") {
                    let Some(lambda) = self.lambda(height)? else {
                        return Err(ParseError::expected(
                            self.pos - 1,
                            "a variable: 'all' asks something of each member",
                        ));
                    };
                    SegmentKind::All(lambda)
                } else if name.contains('.') {
                    if first && !called && self.peek() != Some(b'/') {
                        return Err(self.expected("'/' or '(' after a qualified name"));
                    }
                    SegmentKind::Qualified(name.to_owned())
                } else {
                    SegmentKind::Name(name.to_owned())
                }
            }
        };
        let takes_arguments =
            matches!(kind, SegmentKind::Name(_) | SegmentKind::Qualified(_) | SegmentKind::Filter(_));
        segments.push(Segment { at: Position(at), kind });
        // A function may return a collection, which may be followed by a key: two pairs of parentheses at most.
        for _ in 0..2 {
            if takes_arguments && self.peek() == Some(b'(') {
                let at = self.pos;
                let kind = SegmentKind::Arguments(self.arguments(height)?);
                segments.push(Segment { at: Position(at), kind });
            }
        }
        Ok(())
    }

    /// `annotationInQuery = AT [ namespace "." ] termName [ HASH annotationQualifier ]`, after the sign
    pub fn annotation(&mut self) -> ParseResult<(String, Option<String>)> {
        let term = self.qualified_name("the name of an annotation")?.to_owned();
        let qualifier = if self.eat(b'#') { Some(self.identifier("a qualifier")?.to_owned()) } else { None };
        Ok((term, qualifier))
    }

    /// `count [ OPEN expandCountOption *( SEMI expandCountOption ) CLOSE ]`
    fn count_options(&mut self, height: &mut usize) -> ParseResult<SegmentKind> {
        let mut filter = None;
        let mut search: Option<Box<Search>> = None;
        if self.peek() == Some(b'(') {
            let options = self.nested(|p| p.nested_options(super::NestedContext::Count))?;
            *height = (*height).max(self.height);
            filter = options.filter.map(Box::new);
            search = options.search.map(Box::new);
        }
        Ok(SegmentKind::Count { filter, search })
    }

    /// `anyExpr = "any" OPEN BWS [ lambdaVariableExpr BWS COLON BWS lambdaPredicateExpr ] BWS CLOSE`
    fn lambda(&mut self, height: &mut usize) -> ParseResult<Option<Lambda>> {
        self.expect(b'(')?;
        self.skip_blanks();
        if self.eat(b')') {
            return Ok(None);
        }
        let at = Position(self.pos);
        let variable = self.identifier("a variable or ')'")?.to_owned();
        self.skip_blanks();
        self.expect(b':')?;
        self.skip_blanks();
        let predicate = Box::new(self.common_expr()?);
        *height = (*height).max(self.height);
        self.skip_blanks();
        self.close(")")?;
        Ok(Some(Lambda { at, variable, predicate }))
    }

    /// `keyPredicate = simpleKey / compoundKey`, or
    /// `functionExprParameters = OPEN [ BWS functionExprParameter *( BWS COMMA BWS functionExprParameter ) ] BWS CLOSE`
    pub fn arguments(&mut self, height: &mut usize) -> ParseResult<Vec<Argument>> {
        self.expect(b'(')?;
        self.skip_blanks();
        let mut arguments = Vec::new();
        if self.eat(b')') {
            return Ok(arguments);
        }
        loop {
            self.check_list_length(arguments.len())?;
            let at = Position(self.pos);
            let name = self.peek_identifier().filter(|name| self.peek_at(name.len()) == Some(b'='));
            if let Some(name) = name {
                self.pos += name.len() + 1;
            }
            let value = if self.in_path { self.key_value()? } else { self.common_expr()? };
            *height = (*height).max(self.height);
            arguments.push(Argument { at, name: name.map(str::to_owned), value });
            if !self.comma() {
                break;
            }
        }
        self.skip_blanks();
        self.close(")")?;
        Ok(arguments)
    }

    /// `( parameterAlias / keyPropertyValue )`: in a resource path, only literals and aliases
    fn key_value(&mut self) -> ParseResult<crate::ast::Expr> {
        let at = self.pos;
        self.node()?;
        if self.eat(b'@') {
            let root = Root::Alias(self.identifier("the name of an alias")?.to_owned());
            return Ok(crate::ast::Expr::at(at, ExprKind::Path(Path { root, segments: Vec::new() })));
        }
        Ok(crate::ast::Expr::at(at, ExprKind::Literal(self.primitive_literal()?)))
    }
}
