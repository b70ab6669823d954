//! The tree of a query as written: names unresolved, every node with its place in the decoded text.

use crate::function::Function;
use crate::literal::Literal;
use crate::query::QueryOptions;

/// Byte offset in the decoded text of the option. Takes no part in equality: two trees are equal when they say the
/// same, wherever it was written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Position(pub usize);

impl PartialEq for Position {
    fn eq(&self, _: &Position) -> bool {
        true
    }
}

impl Eq for Position {}

/// An expression. Source: ABNF `commonExpr`.
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// Where it begins; for an operator, where the operator stands.
    pub at: Position,
    /// What it is.
    pub kind: ExprKind,
}

/// The forms of an expression.
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A primitive literal.
    Literal(Literal),
    /// A member path: `customerProfile/address/country`, `$it/Name`, `@alias`, `Items/$count`.
    Path(Path),
    /// `not …`
    Not(Box<Expr>),
    /// `-…` of anything but a number literal.
    Negate(Box<Expr>),
    /// `… and … and …`: two members or more; a chain is one node.
    And(Vec<Expr>),
    /// `… or … or …`: two members or more.
    Or(Vec<Expr>),
    /// `eq`, `ne`, `gt`, `ge`, `lt`, `le`
    Compare(Comparison, Box<Expr>, Box<Expr>),
    /// `add`, `sub`, `mul`, `div`, `divby`, `mod`
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    /// `… has …`
    Has(Box<Expr>, Box<Expr>),
    /// `… in …`: the right side is a [`ExprKind::List`], an array, or anything collection-valued.
    In(Box<Expr>, Box<Expr>),
    /// A canonical function.
    Call(Function, Vec<Expr>),
    /// `cast(…, Type)`; without an operand, of the current instance.
    Cast(Option<Box<Expr>>, TypeName),
    /// `isof(…, Type)`; without an operand, of the current instance.
    IsOf(Option<Box<Expr>>, TypeName),
    /// `case(condition : value, …)`
    Case(Vec<(Expr, Expr)>),
    /// `('a', 'b')` on the right of `in`: literals alone, none at all included.
    List(Vec<Expr>),
    /// `[…]`
    Array(Vec<Expr>),
    /// `{"name": …}`
    Object(Vec<(String, Expr)>),
}

/// The comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `eq`
    Eq,
    /// `ne`
    Ne,
    /// `gt`
    Gt,
    /// `ge`
    Ge,
    /// `lt`
    Lt,
    /// `le`
    Le,
}

impl Comparison {
    /// The operator as written.
    pub fn name(self) -> &'static str {
        match self {
            Comparison::Eq => "eq",
            Comparison::Ne => "ne",
            Comparison::Gt => "gt",
            Comparison::Ge => "ge",
            Comparison::Lt => "lt",
            Comparison::Le => "le",
        }
    }

    /// `eq` and `ne`, which order nothing.
    pub fn is_equality(self) -> bool {
        matches!(self, Comparison::Eq | Comparison::Ne)
    }

    /// The operator that says the same with the sides exchanged.
    pub fn flipped(self) -> Comparison {
        match self {
            Comparison::Gt => Comparison::Lt,
            Comparison::Ge => Comparison::Le,
            Comparison::Lt => Comparison::Gt,
            Comparison::Le => Comparison::Ge,
            same => same,
        }
    }
}

/// The arithmetic operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Arithmetic {
    /// `add`
    Add,
    /// `sub`
    Sub,
    /// `mul`
    Mul,
    /// `div`: of two whole numbers a whole number, cut towards zero.
    Div,
    /// `divby`: exact.
    DivBy,
    /// `mod`: the rest, with the sign of the left side.
    Mod,
}

impl Arithmetic {
    /// The operator as written.
    pub fn name(self) -> &'static str {
        match self {
            Arithmetic::Add => "add",
            Arithmetic::Sub => "sub",
            Arithmetic::Mul => "mul",
            Arithmetic::Div => "div",
            Arithmetic::DivBy => "divby",
            Arithmetic::Mod => "mod",
        }
    }
}

/// The name of a type in `cast` and `isof`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypeName {
    /// Where it stands.
    pub at: Position,
    /// Mostly qualified: `Edm.String`, `Model.Customer`, `Customer`.
    pub name: String,
    /// `Collection(…)`
    pub collection: bool,
}

/// A member path. Source: ABNF `firstMemberExpr`, `rootExpr`.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// Where it begins.
    pub root: Root,
    /// What follows; empty only after an explicit root.
    pub segments: Vec<Segment>,
}

/// What a path starts from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// Nothing written: a lambda variable of that name, or a member of the current instance.
    Implicit,
    /// `$it`: the instance of the resource.
    It,
    /// `$this`: the instance the option is evaluated on.
    This,
    /// `$root`: the service.
    Service,
    /// `@name`: a parameter alias, or an annotation without namespace.
    Alias(String),
}

/// One segment of a path.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Where it stands.
    pub at: Position,
    /// What it is.
    pub kind: SegmentKind,
}

/// The forms of a segment.
#[derive(Clone, Debug, PartialEq)]
pub enum SegmentKind {
    /// A member, a lambda variable, or a type without namespace.
    Name(String),
    /// A type or a function with its namespace.
    Qualified(String),
    /// `@Measures.Currency#Reporting`
    Annotation {
        /// The term, mostly with a namespace.
        term: String,
        /// What follows `#`.
        qualifier: Option<String>,
    },
    /// `(1)`, `(ID=1)`, `()`: a key, or the parameters of a function; belongs to the segment before, or stands
    /// after `$filter(…)`.
    Arguments(Vec<Argument>),
    /// `$count`, with what may narrow it.
    Count {
        /// `$filter` in its parentheses.
        filter: Option<Box<Expr>>,
        /// `$search` in its parentheses.
        search: Option<Box<Search>>,
    },
    /// `$filter(…)`
    Filter(Box<Expr>),
    /// `any(…)`; empty parentheses ask whether there is a member at all.
    Any(Option<Lambda>),
    /// `all(…)`
    All(Lambda),
}

/// A key value or a parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// Where it stands.
    pub at: Position,
    /// Its name; a single key value needs none.
    pub name: Option<String>,
    /// Its value.
    pub value: Expr,
}

/// `variable : predicate`
#[derive(Clone, Debug, PartialEq)]
pub struct Lambda {
    /// Where the variable stands.
    pub at: Position,
    /// The variable's name.
    pub variable: String,
    /// What is asked of each member.
    pub predicate: Box<Expr>,
}

/// One key of `$orderby`.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderBy {
    /// What is sorted by.
    pub expr: Expr,
    /// `desc`
    pub descending: bool,
}

/// One computed property: `expression as name`.
#[derive(Clone, Debug, PartialEq)]
pub struct Compute {
    /// Where the name stands.
    pub at: Position,
    /// The value.
    pub expr: Expr,
    /// The name it gets.
    pub name: String,
}

/// A `$search` expression. Source: ABNF `searchExpr`; precedence NOT, AND, OR.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Where it begins.
    pub at: Position,
    /// What it is.
    pub kind: SearchKind,
}

/// The forms of a search expression.
#[derive(Clone, Debug, PartialEq)]
pub enum SearchKind {
    /// One word.
    Word(String),
    /// `"several words in this order"`
    Phrase(String),
    /// `'unfinished'`: what a person has typed so far, not to be parsed further.
    Incomplete(String),
    /// `NOT …`
    Not(Box<Search>),
    /// `… AND …`, also by juxtaposition.
    And(Vec<Search>),
    /// `… OR …`
    Or(Vec<Search>),
}

/// One item of `$select`. Source: ABNF `selectItem`.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectItem {
    /// Where it begins.
    pub at: Position,
    /// What is selected.
    pub path: Vec<ItemSegment>,
    /// Parameter names of a function overload: `MostPopularName(Location,Kind)`.
    pub parameters: Option<Vec<String>>,
    /// Nested options.
    pub options: Option<Box<QueryOptions>>,
}

/// One item of `$expand`. Source: ABNF `expandItem`.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpandItem {
    /// Where it begins.
    pub at: Position,
    /// What is expanded; ends with `*`, `$value`, `$ref` or `$count` where these are asked for.
    pub path: Vec<ItemSegment>,
    /// Nested options.
    pub options: Option<Box<QueryOptions>>,
}

/// A segment in `$select` and `$expand`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemSegment {
    /// Where it stands.
    pub at: Position,
    /// What it is.
    pub kind: ItemSegmentKind,
}

/// The forms of a segment in `$select` and `$expand`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemSegmentKind {
    /// A member, or a type or operation without namespace.
    Name(String),
    /// A type or an operation with its namespace.
    Qualified(String),
    /// `@Core.Messages`, with the text after `#`.
    Annotation(String, Option<String>),
    /// `*`
    Star,
    /// `Model.*`: all operations of a namespace.
    AllOperations(String),
    /// `$ref`
    Ref,
    /// `$count`
    Count,
    /// `$value`
    Value,
}

/// One transformation of `$apply`. Source: OData Extension for Data Aggregation 4.0, section 3.
#[derive(Clone, Debug, PartialEq)]
pub struct Transformation {
    /// Where it begins.
    pub at: Position,
    /// What it does.
    pub kind: TransformationKind,
}

/// The transformations.
#[derive(Clone, Debug, PartialEq)]
pub enum TransformationKind {
    /// `aggregate(…)`
    Aggregate(Vec<Aggregate>),
    /// `groupby((…), …)`
    GroupBy {
        /// What is grouped by.
        by: Vec<Grouping>,
        /// What is done with each group; nothing leaves the distinct groups.
        apply: Vec<Transformation>,
    },
    /// `filter(…)`
    Filter(Expr),
    /// `search(…)`
    Search(Search),
    /// `compute(… as …, …)`
    Compute(Vec<Compute>),
    /// `orderby(…)`
    OrderBy(Vec<OrderBy>),
    /// `skip(…)`
    Skip(u64),
    /// `top(…)`
    Top(u64),
    /// `topcount(n, …)` and its kin.
    Ranked {
        /// Which of them.
        kind: Ranked,
        /// How many, how much, or what share.
        amount: Expr,
        /// What is ranked by.
        by: Expr,
    },
    /// `concat(…, …)`: the results one after the other.
    Concat(Vec<Vec<Transformation>>),
    /// `identity`
    Identity,
}

/// The transformations that keep the largest or smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ranked {
    /// `topcount`
    TopCount,
    /// `bottomcount`
    BottomCount,
    /// `topsum`
    TopSum,
    /// `bottomsum`
    BottomSum,
    /// `toppercent`
    TopPercent,
    /// `bottompercent`
    BottomPercent,
}

impl Ranked {
    /// Every one.
    pub const ALL: [Ranked; 6] = [
        Ranked::TopCount,
        Ranked::BottomCount,
        Ranked::TopSum,
        Ranked::BottomSum,
        Ranked::TopPercent,
        Ranked::BottomPercent,
    ];

    /// The name as written.
    pub fn name(self) -> &'static str {
        match self {
            Ranked::TopCount => "topcount",
            Ranked::BottomCount => "bottomcount",
            Ranked::TopSum => "topsum",
            Ranked::BottomSum => "bottomsum",
            Ranked::TopPercent => "toppercent",
            Ranked::BottomPercent => "bottompercent",
        }
    }

    /// Whether the largest are kept.
    pub fn is_top(self) -> bool {
        matches!(self, Ranked::TopCount | Ranked::TopSum | Ranked::TopPercent)
    }
}

/// One aggregate: `expression with method as name`, `$count as name`.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Where it begins.
    pub at: Position,
    /// What is aggregated; a path that ends with `$count` counts.
    pub expr: Expr,
    /// How; `None` for `$count` and custom aggregates.
    pub method: Option<Method>,
    /// The name of the result; a custom aggregate may go without.
    pub name: Option<String>,
}

/// How values are aggregated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// `sum`
    Sum,
    /// `min`
    Min,
    /// `max`
    Max,
    /// `average`
    Average,
    /// `countdistinct`
    CountDistinct,
    /// A method of the service's own, qualified.
    Custom(String),
}

impl Method {
    /// The name as written.
    pub fn name(&self) -> &str {
        match self {
            Method::Sum => "sum",
            Method::Min => "min",
            Method::Max => "max",
            Method::Average => "average",
            Method::CountDistinct => "countdistinct",
            Method::Custom(name) => name,
        }
    }
}

/// What `groupby` groups by.
#[derive(Clone, Debug, PartialEq)]
pub enum Grouping {
    /// A path.
    Path(Expr),
    /// `rollup($all, …)`, `rollup(…)`: also the totals of each leading part.
    Rollup {
        /// Whether `$all` leads: also the grand total.
        all: bool,
        /// The levels, coarse to fine.
        levels: Vec<Expr>,
    },
}

impl Expr {
    /// An expression that stands nowhere in a text.
    pub fn new(kind: ExprKind) -> Expr {
        Expr { at: Position::default(), kind }
    }

    pub(crate) fn at(at: usize, kind: ExprKind) -> Expr {
        Expr { at: Position(at), kind }
    }

    /// The terms of the outermost `and` chain, those in parentheses of the same chain included; an expression
    /// without one is its own only term.
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

    /// The names of a path that is nothing but members: `["customerProfile", "name"]`, also after `$it`.
    pub fn as_members(&self) -> Option<Vec<&str>> {
        let ExprKind::Path(path) = &self.kind else { return None };
        if !matches!(path.root, Root::Implicit | Root::It) || path.segments.is_empty() {
            return None;
        }
        path.segments.iter().map(Segment::name).collect()
    }

    /// The literal, when it is one.
    pub fn as_literal(&self) -> Option<&Literal> {
        match &self.kind {
            ExprKind::Literal(literal) => Some(literal),
            _ => None,
        }
    }

    /// `member op literal`, with the literal on either side: the member path, the operator as read from the member,
    /// and the literal. What a term like `engagementId eq '…'` is recognised by.
    pub fn as_comparison(&self) -> Option<(Vec<&str>, Comparison, &Literal)> {
        let ExprKind::Compare(op, left, right) = &self.kind else { return None };
        if let (Some(members), Some(literal)) = (left.as_members(), right.as_literal()) {
            return Some((members, *op, literal));
        }
        Some((right.as_members()?, op.flipped(), left.as_literal()?))
    }

    /// The expressions directly below.
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

    /// Rebuilds the tree from the leaves up: `change` sees every expression with its children already changed.
    /// What an alias of a name (`email eq …` for a lambda) is replaced with.
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
    /// The name of a plain member.
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
