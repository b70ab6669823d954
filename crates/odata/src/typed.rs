//! The typed tree: paths are resolved, types are known, literals are converted. It is evaluated, or translated to SQL.
//! Plain enums, to be matched without wildcards.

use std::sync::Arc;

use crate::ast::{Arithmetic, Comparison, Position, Search};
use crate::function::Function;
use crate::query::SystemOption;
use crate::schema::{Property, Type};
use crate::value::Value;

/// An expression with its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Typed {
    /// Its position in the text of its option.
    pub at: Position,
    /// Its type; `None` for a bare `null`.
    pub ty: Option<Type>,
    /// The expression itself.
    pub kind: TypedKind,
}

/// The kinds of typed expression.
#[derive(Clone, Debug, PartialEq)]
pub enum TypedKind {
    /// A constant. An alias that is used repeatedly shares one value.
    Value(Arc<Value>),
    /// A property, or the item or variable itself if there are no steps.
    Path(TypedPath),
    /// `not`. Null for null.
    Not(Box<Typed>),
    /// `-`
    Negate(Box<Typed>),
    /// `and`, three-valued.
    And(Vec<Typed>),
    /// `or`, three-valued.
    Or(Vec<Typed>),
    /// Never null: null equals null only, and is neither greater nor less than anything.
    Compare {
        /// The operator.
        op: Comparison,
        /// The left operand.
        left: Box<Typed>,
        /// The right operand.
        right: Box<Typed>,
        /// Whether texts are compared case-insensitively.
        ignore_case: bool,
    },
    /// Null if an operand is null. Division by zero and overflow are errors.
    Arithmetic {
        /// The operator.
        op: Arithmetic,
        /// The left operand.
        left: Box<Typed>,
        /// The right operand.
        right: Box<Typed>,
    },
    /// Whether an enumeration value has all flags of another. Null if an operand is null.
    Has {
        /// The value to test.
        left: Box<Typed>,
        /// The flags.
        right: Box<Typed>,
    },
    /// Whether a value equals one of these; never null.
    In {
        /// The value.
        left: Box<Typed>,
        /// The list.
        list: Vec<Typed>,
        /// Whether texts are compared case-insensitively.
        ignore_case: bool,
    },
    /// Whether a value is a member of a collection; never null.
    Member {
        /// The value.
        left: Box<Typed>,
        /// The collection.
        collection: Box<Collection>,
        /// Whether texts are compared case-insensitively.
        ignore_case: bool,
    },
    /// A function call. Null if an argument is null.
    Call {
        /// The function.
        function: Function,
        /// The given arguments.
        arguments: Vec<Typed>,
        /// Whether texts are compared case-insensitively.
        ignore_case: bool,
    },
    /// A cast. Null if the value cannot be cast.
    Cast {
        /// The value.
        operand: Box<Typed>,
        /// The target type.
        to: Type,
    },
    /// Whether a value is not null and has a type; never null.
    IsOf {
        /// The value.
        operand: Box<Typed>,
        /// The type to test for.
        ty: Type,
    },
    /// Whether the texts of a member match a search expression; never null.
    SearchMatch {
        /// The member.
        of: PathBase,
        /// The search expression.
        search: Search,
    },
    /// The value of the first condition that is true, otherwise null.
    Case(Vec<(Typed, Typed)>),
    /// The number of members.
    Count(Box<Collection>),
    /// Whether the predicate is true for any member; without a predicate, whether there is any member. Never null.
    Any {
        /// The collection.
        collection: Box<Collection>,
        /// The condition for each member.
        predicate: Option<Predicate>,
    },
    /// Whether the predicate is true for every member; never null.
    All {
        /// The collection.
        collection: Box<Collection>,
        /// The condition for each member.
        predicate: Predicate,
    },
}

/// A condition for the members of a collection.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicate {
    /// The number of the lambda variable in paths, unique in its expression.
    pub variable: u32,
    /// The condition.
    pub expr: Box<Typed>,
}

/// A collection-valued property, possibly filtered.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// The property.
    pub path: TypedPath,
    /// `$filter` segments and the options of `$count`. Only members for which all are true are included.
    pub filters: Vec<Predicate>,
    /// The type of the members.
    pub element: Type,
}

/// A resolved path.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedPath {
    /// The start of the path.
    pub base: PathBase,
    /// The properties, outermost first.
    pub steps: Vec<Property>,
}

/// The start of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathBase {
    /// The item that the query is about.
    Item,
    /// A member of a collection; see [`Predicate::variable`].
    Variable(u32),
}

impl TypedPath {
    /// Returns the names joined by slashes: `customerProfile/address/country`.
    pub fn wire(&self) -> String {
        let names: Vec<&str> = self.steps.iter().map(|step| &*step.name).collect();
        names.join("/")
    }
}

impl Typed {
    pub(crate) fn new(at: Position, ty: impl Into<Type>, kind: TypedKind) -> Typed {
        Typed { at, ty: Some(ty.into()), kind }
    }

    /// Creates a constant of a type.
    pub fn constant(at: Position, ty: Option<Type>, value: Value) -> Typed {
        Typed { at, ty, kind: TypedKind::Value(Arc::new(value)) }
    }

    /// Returns the constant, if it is one.
    pub fn as_value(&self) -> Option<&Value> {
        match &self.kind {
            TypedKind::Value(value) => Some(value),
            _ => None,
        }
    }

    /// Returns the path from the item, if it is one.
    pub fn as_item_path(&self) -> Option<&TypedPath> {
        match &self.kind {
            TypedKind::Path(path) if path.base == PathBase::Item => Some(path),
            _ => None,
        }
    }

    /// Returns the terms of the outermost `and` chain, including nested chains in parentheses.
    pub fn conjuncts(&self) -> Vec<&Typed> {
        let mut found = Vec::new();
        let mut waiting = vec![self];
        while let Some(typed) = waiting.pop() {
            match &typed.kind {
                TypedKind::And(terms) => waiting.extend(terms.iter().rev()),
                _ => found.push(typed),
            }
        }
        found
    }

    /// Returns `path op value`, with the value on either side: the path from the item, the operator as seen from the
    /// path, and the value. An index can answer it.
    pub fn as_comparison(&self) -> Option<(&TypedPath, Comparison, &Value)> {
        let TypedKind::Compare { op, left, right, .. } = &self.kind else { return None };
        if let (Some(path), Some(value)) = (left.as_item_path(), right.as_value()) {
            return Some((path, *op, value));
        }
        Some((right.as_item_path()?, op.flipped(), left.as_value()?))
    }

    /// Returns the value that a term `property eq value` of the outermost `and` chain requires for a property.
    pub fn equality_value(&self, wire: &str) -> Option<&Value> {
        self.conjuncts().into_iter().find_map(|term| match term.as_comparison()? {
            (path, Comparison::Eq, value) if path.wire() == wire => Some(value),
            _ => None,
        })
    }

    /// Returns the direct subexpressions, including those inside collections.
    pub fn children(&self) -> Vec<&Typed> {
        match &self.kind {
            TypedKind::Value(_) | TypedKind::Path(_) | TypedKind::SearchMatch { .. } => Vec::new(),
            TypedKind::Not(operand)
            | TypedKind::Negate(operand)
            | TypedKind::Cast { operand, .. }
            | TypedKind::IsOf { operand, .. } => vec![operand],
            TypedKind::And(terms) | TypedKind::Or(terms) => terms.iter().collect(),
            TypedKind::Compare { left, right, .. }
            | TypedKind::Arithmetic { left, right, .. }
            | TypedKind::Has { left, right } => vec![left, right],
            TypedKind::In { left, list, .. } => std::iter::once(&**left).chain(list).collect(),
            TypedKind::Member { left, collection, .. } => {
                std::iter::once(&**left).chain(collection.inner()).collect()
            }
            TypedKind::Call { arguments, .. } => arguments.iter().collect(),
            TypedKind::Case(branches) => branches.iter().flat_map(|(when, then)| [when, then]).collect(),
            TypedKind::Count(collection) => collection.inner().collect(),
            TypedKind::Any { collection, predicate } => {
                collection.inner().chain(predicate.iter().map(|predicate| &*predicate.expr)).collect()
            }
            TypedKind::All { collection, predicate } => {
                collection.inner().chain([&*predicate.expr]).collect()
            }
        }
    }

    /// Returns the height of the tree: the number of nodes on the longest path down, including this one.
    pub fn height(&self) -> usize {
        1 + self.children().into_iter().map(Typed::height).max().unwrap_or(0)
    }

    /// Visits this expression and all below it, outer ones first.
    pub fn walk<'a>(&'a self, visit: &mut impl FnMut(&'a Typed)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }

    /// Returns every path from the item, by its wire name. The empty name is the item itself.
    pub fn item_paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.walk(&mut |typed| {
            if let TypedKind::SearchMatch { of: PathBase::Item, .. } = typed.kind {
                found.push(String::new());
            }
        });
        self.walk_paths(&mut |path| found.extend((path.base == PathBase::Item).then(|| path.wire())));
        found
    }

    /// Visits every path, those of collections included.
    pub fn walk_paths<'a>(&'a self, visit: &mut impl FnMut(&'a TypedPath)) {
        self.walk(&mut |typed| match &typed.kind {
            TypedKind::Path(path) => visit(path),
            TypedKind::Member { collection, .. }
            | TypedKind::Count(collection)
            | TypedKind::Any { collection, .. }
            | TypedKind::All { collection, .. } => visit(&collection.path),
            _ => {}
        });
    }
}

impl Collection {
    fn inner(&self) -> impl Iterator<Item = &Typed> {
        self.filters.iter().map(|filter| &*filter.expr)
    }
}

/// A well-formed query that has no meaning in this schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindError {
    /// The option, if known.
    pub option: Option<SystemOption>,
    /// Byte offset in the option's decoded text.
    pub at: usize,
    /// The kind of error.
    pub kind: BindErrorKind,
    /// What is wrong; lower case, no full stop.
    pub message: String,
}

/// Why a query could not be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindErrorKind {
    /// A property, type, member or alias that does not exist.
    UnknownName,
    /// Types that cannot be combined.
    Type,
    /// A literal that is not a value of the required type.
    Value,
    /// An option that has no meaning here.
    Misplaced,
    /// Part of OData, but not supported by this library: 501 rather than 400.
    Unsupported,
    /// A limit of [`Limits`](crate::Limits) is exceeded.
    Limit,
}

impl std::fmt::Display for BindError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(option) = self.option {
            write!(f, "{}, ", option.name())?;
        }
        write!(f, "at {}: {}", self.at, self.message)
    }
}

impl std::error::Error for BindError {}
