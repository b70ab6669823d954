//! `$apply`. Source: OData Extension for Data Aggregation 4.0, ABNF.
//!
//! ```text
//! apply     = "$apply" EQ applyExpr
//! applyExpr = applyTrafo *( "/" applyTrafo )
//! ```

use super::{ParseResult, Parser};
use crate::ast::{Expr, ExprKind, Position, Root, SegmentKind};
use crate::error::{ParseError, ParseErrorKind};
use crate::pipeline::{Aggregate, Grouping, Method, RankMethod, Transformation, TransformationKind};
use crate::suggestion::did_you_mean;

/// Transformations of the extension that are recognized but not supported.
const UNSUPPORTED: [&str; 12] = [
    "addnested",
    "ancestors",
    "bottomlevels",
    "descendants",
    "expand",
    "join",
    "nest",
    "outerjoin",
    "rolluprecursive",
    "toplevels",
    "traverse",
    "rollup",
];

const NAMES: [&str; 16] = [
    "aggregate",
    "bottomcount",
    "bottompercent",
    "bottomsum",
    "compute",
    "concat",
    "filter",
    "groupby",
    "identity",
    "orderby",
    "search",
    "skip",
    "top",
    "topcount",
    "toppercent",
    "topsum",
];

impl Parser<'_> {
    /// `applyExpr = applyTrafo *( "/" applyTrafo )`
    pub fn apply_value(&mut self) -> ParseResult<Vec<Transformation>> {
        self.nested(|p| {
            let mut pipeline = Vec::new();
            loop {
                p.check_list_length(pipeline.len())?;
                pipeline.push(p.transformation()?);
                if !p.eat(b'/') {
                    return Ok(pipeline);
                }
            }
        })
    }

    fn transformation(&mut self) -> ParseResult<Transformation> {
        self.node()?;
        let at = self.pos;
        let name = self.qualified_name("a transformation")?.to_ascii_lowercase();
        if name == "identity" {
            return Ok(Transformation { at: Position(at), kind: TransformationKind::Identity });
        }
        if UNSUPPORTED.contains(&name.as_str()) || name.contains('.') {
            let message = format!("the transformation '{name}' is not supported");
            return Err(ParseError::new(at, ParseErrorKind::Unsupported, message));
        }
        if !NAMES.contains(&name.as_str()) {
            let message = format!("unknown transformation '{name}'{}", did_you_mean(&name, NAMES));
            return Err(ParseError::new(at, ParseErrorKind::UnknownFunction, message));
        }
        self.expect(b'(')?;
        self.skip_blanks();
        let kind = self.transformation_body(&name)?;
        self.skip_blanks();
        self.close(")")?;
        Ok(Transformation { at: Position(at), kind })
    }

    fn transformation_body(&mut self, name: &str) -> ParseResult<TransformationKind> {
        Ok(match name {
            "aggregate" => TransformationKind::Aggregate(self.aggregates()?),
            "groupby" => self.group_by()?,
            "filter" => TransformationKind::Filter(self.common_expr()?),
            "search" => TransformationKind::Search(self.search_value()?),
            "compute" => TransformationKind::Compute(self.compute_items()?),
            "orderby" => TransformationKind::OrderBy(self.orderby_items()?),
            "skip" => TransformationKind::Skip(self.unsigned_integer()?),
            "top" => TransformationKind::Top(self.unsigned_integer()?),
            "concat" => {
                let mut parts = vec![self.apply_value()?];
                while self.comma() {
                    self.check_list_length(parts.len())?;
                    parts.push(self.apply_value()?);
                }
                if parts.len() < 2 {
                    return Err(self.expected("',': concat takes two sequences or more"));
                }
                TransformationKind::Concat(parts)
            }
            _ => {
                let kind = RankMethod::ALL.into_iter().find(|kind| kind.name() == name);
                let Some(kind) = kind else { return Err(self.expected("a transformation")) };
                let amount = self.common_expr()?;
                if !self.comma() {
                    return Err(self.expected("','"));
                }
                TransformationKind::Ranked { kind, amount, by: self.common_expr()? }
            }
        })
    }

    /// `aggregateExpr = commonExpr RWS "with" RWS aggregateMethod asAlias / "$count" asAlias / customAggregate [ asAlias ]`
    fn aggregates(&mut self) -> ParseResult<Vec<Aggregate>> {
        let mut aggregates = Vec::new();
        loop {
            self.check_list_length(aggregates.len())?;
            let at = Position(self.pos);
            let expr = self.common_expr()?;
            let method = self.method()?;
            let counts = is_count(&expr);
            let bare = method.is_none() && expr.as_members().is_some() && !self.as_follows();
            if method.is_none() && !counts && expr.as_members().is_none() {
                return Err(self.expected("' with ' and a method"));
            }
            let name = if bare { None } else { Some(self.as_name()?.1) };
            aggregates.push(Aggregate { at, expr, method, name });
            if !self.comma() {
                return Ok(aggregates);
            }
        }
    }

    fn as_follows(&self) -> bool {
        let mut ahead = Parser { ..*self };
        ahead.skip_blanks() && ahead.peek_identifier().is_some()
    }

    fn method(&mut self) -> ParseResult<Option<Method>> {
        let from = self.pos;
        let with = self.skip_blanks()
            && self.peek_identifier().is_some_and(|word| word.eq_ignore_ascii_case("with"));
        if !with {
            self.pos = from;
            return Ok(None);
        }
        self.pos += 4;
        self.expect_blanks()?;
        let at = self.pos;
        let name = self.qualified_name("sum, min, max, average or countdistinct")?;
        let method = match name.to_ascii_lowercase().as_str() {
            "sum" => Method::Sum,
            "min" => Method::Min,
            "max" => Method::Max,
            "average" => Method::Average,
            "countdistinct" => Method::CountDistinct,
            _ if name.contains('.') => Method::Custom(name.to_owned()),
            _ => {
                let near = did_you_mean(name, ["sum", "min", "max", "average", "countdistinct"]);
                let message = format!("unknown method '{name}'{near}");
                return Err(ParseError::new(at, ParseErrorKind::UnknownFunction, message));
            }
        };
        let after = self.pos;
        if self.skip_blanks() && self.peek_identifier().is_some_and(|word| word.eq_ignore_ascii_case("from"))
        {
            return Err(ParseError::new(self.pos, ParseErrorKind::Unsupported, "'from' is not supported"));
        }
        self.pos = after;
        Ok(Some(method))
    }

    /// `groupbyTrafo = "groupby" OPEN BWS OPEN BWS groupbyElement *( BWS COMMA BWS groupbyElement ) BWS CLOSE [ BWS COMMA BWS applyExpr ] BWS CLOSE`
    fn group_by(&mut self) -> ParseResult<TransformationKind> {
        self.expect(b'(')?;
        self.skip_blanks();
        let mut by = Vec::new();
        loop {
            self.check_list_length(by.len())?;
            by.push(self.grouping()?);
            if !self.comma() {
                break;
            }
        }
        self.skip_blanks();
        self.expect(b')')?;
        let apply = if self.comma() { self.apply_value()? } else { Vec::new() };
        Ok(TransformationKind::GroupBy { by, apply })
    }

    /// `rollupSpec = "rollup" OPEN BWS ( "$all" / groupingProperty ) 1*( BWS COMMA BWS groupingProperty ) BWS CLOSE`
    fn grouping(&mut self) -> ParseResult<Grouping> {
        if !self.looking_at("rollup(") {
            return Ok(Grouping::Path(self.grouping_path()?));
        }
        self.pos += "rollup(".len();
        self.skip_blanks();
        let all = self.eat_exact("$all");
        let mut levels = Vec::new();
        if !all {
            levels.push(self.grouping_path()?);
        }
        while self.comma() {
            self.check_list_length(levels.len())?;
            levels.push(self.grouping_path()?);
        }
        if levels.is_empty() || (levels.len() == 1 && !all) {
            return Err(self.expected("',' and a further level"));
        }
        self.skip_blanks();
        self.expect(b')')?;
        Ok(Grouping::Rollup { all, levels })
    }

    fn grouping_path(&mut self) -> ParseResult<Expr> {
        let at = self.pos;
        let expr = self.common_expr()?;
        if matches!(expr.kind, ExprKind::Path(_)) {
            Ok(expr)
        } else {
            Err(ParseError::expected(at, "the path of a property"))
        }
    }
}

/// Returns whether an expression is `$count`, or a path that ends with it.
fn is_count(expr: &Expr) -> bool {
    let ExprKind::Path(path) = &expr.kind else { return false };
    let last = path.segments.last().map(|segment| &segment.kind);
    !matches!(path.root, Root::Alias(_)) && matches!(last, Some(SegmentKind::Count { .. }))
}
