//! The bound tree: paths resolved, types known, literals coerced. What SQL is written from and what the evaluator
//! runs. Plain enums, to be matched without a wildcard.

use std::sync::Arc;

use crate::ast::{Arithmetic, Comparison, Position, Search};
use crate::function::Function;
use crate::query::SystemOption;
use crate::schema::{Property, Type};
use crate::value::Value;

/// An expression with its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Typed {
    /// Where it stands in the text of its option.
    pub at: Position,
    /// Its type; `None` for a bare `null`.
    pub ty: Option<Type>,
    /// What it is.
    pub kind: TypedKind,
}

/// The forms of a bound expression.
#[derive(Clone, Debug, PartialEq)]
pub enum TypedKind {
    /// A constant: one value however often an alias is used.
    Value(Arc<Value>),
    /// A property, or the item or variable itself where there are no steps.
    Path(TypedPath),
    /// `not`: of null, null.
    Not(Box<Typed>),
    /// `-`
    Negate(Box<Typed>),
    /// `and`, three-valued.
    And(Vec<Typed>),
    /// `or`, three-valued.
    Or(Vec<Typed>),
    /// Never null: null equals null and nothing else, and is neither greater nor less than anything.
    Compare {
        /// Which comparison.
        op: Comparison,
        /// Left side.
        left: Box<Typed>,
        /// Right side.
        right: Box<Typed>,
        /// Texts compare folded.
        ignore_case: bool,
    },
    /// Of null, null. A division by zero, and what the type does not hold, is a fault.
    Arithmetic {
        /// Which operation.
        op: Arithmetic,
        /// Left side.
        left: Box<Typed>,
        /// Right side.
        right: Box<Typed>,
    },
    /// Whether an enumeration value has all flags of another; of null, null.
    Has {
        /// The value asked.
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
        /// Texts compare folded.
        ignore_case: bool,
    },
    /// Whether a value is a member of a collection; never null.
    Member {
        /// The value.
        left: Box<Typed>,
        /// The collection.
        collection: Box<Collection>,
        /// Texts compare folded.
        ignore_case: bool,
    },
    /// A function; of null, null.
    Call {
        /// Which function.
        function: Function,
        /// Its arguments, as many as were given.
        arguments: Vec<Typed>,
        /// Texts compare folded.
        ignore_case: bool,
    },
    /// What cannot be cast is null.
    Cast {
        /// The value.
        operand: Box<Typed>,
        /// The wanted type.
        to: Type,
    },
    /// Whether a value is there and of a type; never null.
    IsOf {
        /// The value.
        operand: Box<Typed>,
        /// The type asked for.
        ty: Type,
    },
    /// Whether words are in the texts of a member of a collection; never null.
    SearchMatch {
        /// The member.
        of: PathBase,
        /// The words.
        search: Search,
    },
    /// The value of the first condition that is true, else null.
    Case(Vec<(Typed, Typed)>),
    /// How many members.
    Count(Box<Collection>),
    /// Whether the predicate is true for a member, or there is a member at all; never null.
    Any {
        /// The collection.
        collection: Box<Collection>,
        /// What is asked of each member.
        predicate: Option<Predicate>,
    },
    /// Whether the predicate is true for every member; never null.
    All {
        /// The collection.
        collection: Box<Collection>,
        /// What is asked of each member.
        predicate: Predicate,
    },
}

/// What is asked of a member of a collection.
#[derive(Clone, Debug, PartialEq)]
pub struct Predicate {
    /// The number the member goes by in paths; unique in its expression.
    pub variable: u32,
    /// The question.
    pub expr: Box<Typed>,
}

/// A collection-valued property, perhaps narrowed.
#[derive(Clone, Debug, PartialEq)]
pub struct Collection {
    /// The property.
    pub path: TypedPath,
    /// `$filter` segments and the options of `$count`: a member belongs to it when each is true.
    pub filters: Vec<Predicate>,
    /// The type of a member.
    pub element: Type,
}

/// A resolved path.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedPath {
    /// What it starts from.
    pub base: PathBase,
    /// Properties, outermost first.
    pub steps: Vec<Property>,
}

/// What a path starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathBase {
    /// The item the query is about.
    Item,
    /// A member of a collection, see [`Predicate::variable`].
    Variable(u32),
}

impl TypedPath {
    /// The names joined by slashes: `customerProfile/address/country`.
    pub fn wire(&self) -> String {
        let names: Vec<&str> = self.steps.iter().map(|step| &*step.name).collect();
        names.join("/")
    }
}

impl Typed {
    pub(crate) fn new(at: Position, ty: impl Into<Type>, kind: TypedKind) -> Typed {
        Typed { at, ty: Some(ty.into()), kind }
    }

    /// A constant of a type.
    pub fn constant(at: Position, ty: Option<Type>, value: Value) -> Typed {
        Typed { at, ty, kind: TypedKind::Value(Arc::new(value)) }
    }

    /// The constant, when it is one.
    pub fn as_value(&self) -> Option<&Value> {
        match &self.kind {
            TypedKind::Value(value) => Some(value),
            _ => None,
        }
    }

    /// The path from the item, when it is one.
    pub fn as_item_path(&self) -> Option<&TypedPath> {
        match &self.kind {
            TypedKind::Path(path) if path.base == PathBase::Item => Some(path),
            _ => None,
        }
    }

    /// The terms of the outermost `and` chain, those in parentheses of the same chain included.
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

    /// `path op value`, with the value on either side: the path from the item, the operator as read from the path,
    /// and the value. What an index can carry.
    pub fn as_comparison(&self) -> Option<(&TypedPath, Comparison, &Value)> {
        let TypedKind::Compare { op, left, right, .. } = &self.kind else { return None };
        if let (Some(path), Some(value)) = (left.as_item_path(), right.as_value()) {
            return Some((path, *op, value));
        }
        Some((right.as_item_path()?, op.flipped(), left.as_value()?))
    }

    /// The value that the outermost `and` chain pins a property to: `Some` when one of its terms is
    /// `property eq value`.
    pub fn equality_value(&self, wire: &str) -> Option<&Value> {
        self.conjuncts().into_iter().find_map(|term| match term.as_comparison()? {
            (path, Comparison::Eq, value) if path.wire() == wire => Some(value),
            _ => None,
        })
    }

    /// The expressions directly below, those inside collections included.
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

    /// The nodes on the longest way down, this one included.
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

    /// Every path from the item that is asked about, by its wire name.
    pub fn item_paths(&self) -> Vec<String> {
        let mut found = Vec::new();
        self.walk(&mut |typed| match &typed.kind {
            TypedKind::Path(path) => found.extend((path.base == PathBase::Item).then(|| path.wire())),
            TypedKind::Member { collection, .. }
            | TypedKind::Count(collection)
            | TypedKind::Any { collection, .. }
            | TypedKind::All { collection, .. } => {
                found.extend((collection.path.base == PathBase::Item).then(|| collection.path.wire()));
            }
            _ => {}
        });
        found
    }
}

impl Collection {
    fn inner(&self) -> impl Iterator<Item = &Typed> {
        self.filters.iter().map(|filter| &*filter.expr)
    }
}

/// A query that is well-formed and means nothing here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindError {
    /// The option it stands in, where one is known.
    pub option: Option<SystemOption>,
    /// Byte offset in the option's decoded text.
    pub at: usize,
    /// What sort of fault it is.
    pub kind: BindErrorKind,
    /// What is wrong; lower case, no full stop.
    pub message: String,
}

/// Why a query could not be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindErrorKind {
    /// A property, type, member or alias that does not exist.
    UnknownName,
    /// Types that do not go together.
    Type,
    /// A literal that is no value of the type it meets.
    Value,
    /// An option where it means nothing.
    Misplaced,
    /// OData has it, this library does not: 501 rather than 400.
    Unsupported,
    /// A bound of [`Limits`](crate::Limits) is passed.
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
