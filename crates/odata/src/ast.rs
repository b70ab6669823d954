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
    /// Every operator.
    pub const ALL: [Arithmetic; 6] = [
        Arithmetic::Add,
        Arithmetic::Sub,
        Arithmetic::Mul,
        Arithmetic::Div,
        Arithmetic::DivBy,
        Arithmetic::Mod,
    ];

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
