//! The parsed tree of a query: names are not resolved, and every node has its position in the decoded text.

use crate::function::Function;
use crate::literal::Literal;
use crate::query::QueryOptions;

/// Byte offset in the decoded text of the option. Ignored by equality: two trees are equal if they have the same
/// meaning.
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
    /// Position of its beginning; for an operator, position of the operator.
    pub at: Position,
    /// The expression itself.
    pub kind: ExprKind,
}

/// The kinds of expression.
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
    /// `… and … and …`: two terms or more. A chain is one node.
    And(Vec<Expr>),
    /// `… or … or …`: two terms or more.
    Or(Vec<Expr>),
    /// `eq`, `ne`, `gt`, `ge`, `lt`, `le`
    Compare(Comparison, Box<Expr>, Box<Expr>),
    /// `add`, `sub`, `mul`, `div`, `divby`, `mod`
    Arithmetic(Arithmetic, Box<Expr>, Box<Expr>),
    /// `… has …`
    Has(Box<Expr>, Box<Expr>),
    /// `… in …`. The right side is a [`ExprKind::List`], an array, or a collection-valued expression.
    In(Box<Expr>, Box<Expr>),
    /// A canonical function.
    Call(Function, Vec<Expr>),
    /// `cast(…, Type)`. Without an operand, the current instance is cast.
    Cast(Option<Box<Expr>>, TypeName),
    /// `isof(…, Type)`. Without an operand, the current instance is tested.
    IsOf(Option<Box<Expr>>, TypeName),
    /// `case(condition : value, …)`
    Case(Vec<(Expr, Expr)>),
    /// `('a', 'b')` on the right of `in`: literals only, possibly none.
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
    /// Returns the operator as written.
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

    /// Returns whether it is `eq` or `ne`.
    pub fn is_equality(self) -> bool {
        matches!(self, Comparison::Eq | Comparison::Ne)
    }

    /// Returns the operator for exchanged operands.
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
    /// `div`: of two integers an integer, truncated towards zero.
    Div,
    /// `divby`: exact division.
    DivBy,
    /// `mod`: the remainder, with the sign of the left operand.
    Mod,
}

impl Arithmetic {
    /// All operators.
    pub const ALL: [Arithmetic; 6] = [
        Arithmetic::Add,
        Arithmetic::Sub,
        Arithmetic::Mul,
        Arithmetic::Div,
        Arithmetic::DivBy,
        Arithmetic::Mod,
    ];

    /// Returns the operator as written.
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
    /// Its position.
    pub at: Position,
    /// Usually qualified: `Edm.String`, `Model.Customer`, `Customer`.
    pub name: String,
    /// `Collection(…)`
    pub collection: bool,
}

/// A member path. Source: ABNF `firstMemberExpr`, `rootExpr`.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// The start of the path.
    pub root: Root,
    /// The segments after it. Empty only after an explicit root.
    pub segments: Vec<Segment>,
}

/// The start of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// Not written: a lambda variable of that name, or a member of the current instance.
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
    /// Its position.
    pub at: Position,
    /// The segment itself.
    pub kind: SegmentKind,
}

/// The kinds of segment.
#[derive(Clone, Debug, PartialEq)]
pub enum SegmentKind {
    /// A member, a lambda variable, or a type without namespace.
    Name(String),
    /// A type or a function with its namespace.
    Qualified(String),
    /// `@Measures.Currency#Reporting`
    Annotation {
        /// The term, usually with a namespace.
        term: String,
        /// The text after `#`.
        qualifier: Option<String>,
    },
    /// `(1)`, `(ID=1)`, `()`: a key, or the parameters of a function. It belongs to the segment before, or comes after
    /// `$filter(…)`.
    Arguments(Vec<Argument>),
    /// `$count`, with nested options.
    Count {
        /// The nested `$filter`.
        filter: Option<Box<Expr>>,
        /// The nested `$search`.
        search: Option<Box<Search>>,
    },
    /// `$filter(…)`
    Filter(Box<Expr>),
    /// `any(…)`. With empty parentheses, it tests whether there is any member.
    Any(Option<Lambda>),
    /// `all(…)`
    All(Lambda),
}

/// A key value or a parameter.
#[derive(Clone, Debug, PartialEq)]
pub struct Argument {
    /// Its position.
    pub at: Position,
    /// Its name. A single key value needs none.
    pub name: Option<String>,
    /// Its value.
    pub value: Expr,
}

/// `variable : predicate`
#[derive(Clone, Debug, PartialEq)]
pub struct Lambda {
    /// The position of the variable.
    pub at: Position,
    /// The variable's name.
    pub variable: String,
    /// The condition for each member.
    pub predicate: Box<Expr>,
}

/// One sort key of `$orderby`.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderBy {
    /// The expression to sort by.
    pub expr: Expr,
    /// `desc`
    pub descending: bool,
}

/// One computed property: `expression as name`.
#[derive(Clone, Debug, PartialEq)]
pub struct Compute {
    /// The position of the name.
    pub at: Position,
    /// The expression.
    pub expr: Expr,
    /// The name of the new property.
    pub name: String,
}

/// A `$search` expression. Source: ABNF `searchExpr`; precedence NOT, AND, OR.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Position of its beginning.
    pub at: Position,
    /// The expression itself.
    pub kind: SearchKind,
}

/// The kinds of search expression.
#[derive(Clone, Debug, PartialEq)]
pub enum SearchKind {
    /// One word.
    Word(String),
    /// `"several words in this order"`
    Phrase(String),
    /// `'unfinished'`: the text that a person has typed so far. It is not parsed further.
    Incomplete(String),
    /// `NOT …`
    Not(Box<Search>),
    /// `… AND …`, or juxtaposition.
    And(Vec<Search>),
    /// `… OR …`
    Or(Vec<Search>),
}

/// One item of `$select`. Source: ABNF `selectItem`.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectItem {
    /// Position of its beginning.
    pub at: Position,
    /// The selected path.
    pub path: Vec<ItemSegment>,
    /// Parameter names of a function overload: `MostPopularName(Location,Kind)`.
    pub parameters: Option<Vec<String>>,
    /// Nested options.
    pub options: Option<Box<QueryOptions>>,
}

/// One item of `$expand`. Source: ABNF `expandItem`.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpandItem {
    /// Position of its beginning.
    pub at: Position,
    /// The expanded path. It may end with `*`, `$value`, `$ref` or `$count`.
    pub path: Vec<ItemSegment>,
    /// Nested options.
    pub options: Option<Box<QueryOptions>>,
}

/// A segment in `$select` and `$expand`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ItemSegment {
    /// Its position.
    pub at: Position,
    /// The segment itself.
    pub kind: ItemSegmentKind,
}

/// The kinds of segment in `$select` and `$expand`.
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
