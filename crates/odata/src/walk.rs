//! Queries and transformations of parsed trees.

use crate::ast::{Argument, Comparison, Expr, ExprKind, Lambda, Path, Position, Root, Segment, SegmentKind};
use crate::literal::Literal;

impl Expr {
    /// Creates an expression without a position.
    pub fn new(kind: ExprKind) -> Expr {
        Expr { at: Position::default(), kind }
    }

    pub(crate) fn at(at: usize, kind: ExprKind) -> Expr {
        Expr { at: Position(at), kind }
    }

    /// Returns the terms of the outermost `and` chain, including nested chains in parentheses. Other expressions are
    /// their own only term.
    pub fn conjuncts(&self) -> Vec<&Expr> {
        let mut found = Vec::new();
        let mut waiting = vec![self];
        while let Some(expr) = waiting.pop() {
            match &expr.kind {
                ExprKind::And(terms) => waiting.extend(terms.iter().rev()),
                _ => found.push(expr),
            }
        }
        found
    }

    /// Returns the names of a path that consists of members only: `["customerProfile", "name"]`, also after `$it`.
    pub fn as_members(&self) -> Option<Vec<&str>> {
        let ExprKind::Path(path) = &self.kind else { return None };
        if !matches!(path.root, Root::Implicit | Root::It) || path.segments.is_empty() {
            return None;
        }
        path.segments.iter().map(Segment::name).collect()
    }

    /// Returns the literal, if it is one.
    pub fn as_literal(&self) -> Option<&Literal> {
        match &self.kind {
            ExprKind::Literal(literal) => Some(literal),
            _ => None,
        }
    }

    /// Returns `member op literal`, with the literal on either side: the path of the member, the operator as seen from
    /// the member, and the literal. It recognizes terms like `engagementId eq '…'`.
    pub fn as_comparison(&self) -> Option<(Vec<&str>, Comparison, &Literal)> {
        let ExprKind::Compare(op, left, right) = &self.kind else { return None };
        if let (Some(members), Some(literal)) = (left.as_members(), right.as_literal()) {
            return Some((members, *op, literal));
        }
        Some((right.as_members()?, op.flipped(), left.as_literal()?))
    }

    /// Returns the direct subexpressions.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Literal(_) => Vec::new(),
            ExprKind::Path(path) => path.segments.iter().flat_map(Segment::children).collect(),
            ExprKind::Not(operand) | ExprKind::Negate(operand) => vec![operand],
            ExprKind::And(members)
            | ExprKind::Or(members)
            | ExprKind::Call(_, members)
            | ExprKind::List(members)
            | ExprKind::Array(members) => members.iter().collect(),
            ExprKind::Compare(_, left, right)
            | ExprKind::Arithmetic(_, left, right)
            | ExprKind::Has(left, right)
            | ExprKind::In(left, right) => vec![left, right],
            ExprKind::Cast(operand, _) | ExprKind::IsOf(operand, _) => {
                operand.as_deref().into_iter().collect()
            }
            ExprKind::Case(branches) => branches.iter().flat_map(|(when, then)| [when, then]).collect(),
            ExprKind::Object(members) => members.iter().map(|(_, value)| value).collect(),
        }
    }

    /// Visits this expression and all below it, outer ones first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }

    /// Rebuilds the tree from the leaves up. `change` gets every expression with its children already changed. It is
    /// used to replace an alias by a lambda (`email eq …`).
    pub fn map(self, change: &mut impl FnMut(Expr) -> Expr) -> Expr {
        let boxed = |inner: Box<Expr>, change: &mut _| Box::new(Expr::map(*inner, change));
        let kind = match self.kind {
            leaf @ ExprKind::Literal(_) => leaf,
            ExprKind::Path(path) => ExprKind::Path(Path {
                root: path.root,
                segments: path.segments.into_iter().map(|segment| segment.map(change)).collect(),
            }),
            ExprKind::Not(operand) => ExprKind::Not(boxed(operand, change)),
            ExprKind::Negate(operand) => ExprKind::Negate(boxed(operand, change)),
            ExprKind::And(terms) => ExprKind::And(map_all(terms, change)),
            ExprKind::Or(terms) => ExprKind::Or(map_all(terms, change)),
            ExprKind::Compare(op, l, r) => ExprKind::Compare(op, boxed(l, change), boxed(r, change)),
            ExprKind::Arithmetic(op, l, r) => ExprKind::Arithmetic(op, boxed(l, change), boxed(r, change)),
            ExprKind::Has(l, r) => ExprKind::Has(boxed(l, change), boxed(r, change)),
            ExprKind::In(l, r) => ExprKind::In(boxed(l, change), boxed(r, change)),
            ExprKind::Call(function, arguments) => ExprKind::Call(function, map_all(arguments, change)),
            ExprKind::Cast(operand, name) => ExprKind::Cast(operand.map(|o| boxed(o, change)), name),
            ExprKind::IsOf(operand, name) => ExprKind::IsOf(operand.map(|o| boxed(o, change)), name),
            ExprKind::Case(branches) => {
                ExprKind::Case(branches.into_iter().map(|(w, t)| (w.map(change), t.map(change))).collect())
            }
            ExprKind::List(members) => ExprKind::List(map_all(members, change)),
            ExprKind::Array(members) => ExprKind::Array(map_all(members, change)),
            ExprKind::Object(members) => {
                ExprKind::Object(members.into_iter().map(|(name, value)| (name, value.map(change))).collect())
            }
        };
        change(Expr { at: self.at, kind })
    }
}

fn map_all(exprs: Vec<Expr>, change: &mut impl FnMut(Expr) -> Expr) -> Vec<Expr> {
    exprs.into_iter().map(|expr| expr.map(change)).collect()
}

impl Segment {
    /// Returns the name of a plain member.
    pub fn name(&self) -> Option<&str> {
        match &self.kind {
            SegmentKind::Name(name) => Some(name),
            _ => None,
        }
    }

    fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            SegmentKind::Name(_) | SegmentKind::Qualified(_) | SegmentKind::Annotation { .. } => Vec::new(),
            SegmentKind::Arguments(arguments) => arguments.iter().map(|argument| &argument.value).collect(),
            SegmentKind::Count { filter, .. } => filter.as_deref().into_iter().collect(),
            SegmentKind::Filter(predicate) => vec![predicate],
            SegmentKind::Any(lambda) => lambda.iter().map(|lambda| &*lambda.predicate).collect(),
            SegmentKind::All(lambda) => vec![&lambda.predicate],
        }
    }

    fn map(self, change: &mut impl FnMut(Expr) -> Expr) -> Segment {
        let kind = match self.kind {
            SegmentKind::Arguments(arguments) => SegmentKind::Arguments(
                arguments.into_iter().map(|a| Argument { value: a.value.map(change), ..a }).collect(),
            ),
            SegmentKind::Count { filter, search } => {
                SegmentKind::Count { filter: filter.map(|f| Box::new(f.map(change))), search }
            }
            SegmentKind::Filter(predicate) => SegmentKind::Filter(Box::new(predicate.map(change))),
            SegmentKind::Any(lambda) => SegmentKind::Any(lambda.map(|lambda| lambda.map(change))),
            SegmentKind::All(lambda) => SegmentKind::All(lambda.map(change)),
            leaf => leaf,
        };
        Segment { at: self.at, kind }
    }
}

impl Lambda {
    fn map(self, change: &mut impl FnMut(Expr) -> Expr) -> Lambda {
        Lambda { predicate: Box::new(self.predicate.map(change)), ..self }
    }
}
