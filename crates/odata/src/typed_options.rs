//! The typed options of a request.

use std::sync::Arc;

use crate::ast::Search;
use crate::pipeline::{Method, RankMethod};
use crate::query::Levels;
use crate::schema::{Property, Schema, Type};
use crate::typed::{Typed, TypedPath};
use crate::value::Value;

/// A sort key.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedOrder {
    /// The expression to sort by.
    pub expr: Typed,
    /// `desc`
    pub descending: bool,
    /// Whether texts are compared case-insensitively.
    pub ignore_case: bool,
}

/// A computed property.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedCompute {
    /// Its name.
    pub name: Arc<str>,
    /// Its value. Expressions that use the name hold a copy of this.
    pub expr: Typed,
}

/// The typed options of a request. Options without expressions are kept as given.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TypedOptions {
    /// `$filter`
    pub filter: Option<Typed>,
    /// `$orderby`
    pub orderby: Vec<TypedOrder>,
    /// `$select`; `None`: not given
    pub select: Option<Vec<TypedSelect>>,
    /// `$expand`
    pub expand: Vec<TypedExpand>,
    /// `$compute`
    pub compute: Vec<TypedCompute>,
    /// `$apply`
    pub apply: Option<TypedApply>,
    /// `$search`
    pub search: Option<Search>,
    /// `$top`
    pub top: Option<u64>,
    /// `$skip`
    pub skip: Option<u64>,
    /// `$count`
    pub count: Option<bool>,
    /// `$levels`
    pub levels: Option<Levels>,
}

/// One selected item.
#[derive(Clone, Debug, PartialEq)]
pub enum TypedSelect {
    /// `*`
    All,
    /// A property, possibly inside others.
    Property {
        /// The path, from the item inwards.
        steps: Vec<Property>,
        /// Nested options, for the members of a collection or of an object.
        options: Option<Box<TypedOptions>>,
    },
    /// A computed property.
    Computed(Arc<str>),
}

/// One expanded navigation property.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedExpand {
    /// The index of the item of `$expand` that it comes from.
    pub item: usize,
    /// The path, from the item inwards. The last one is the navigation property.
    pub steps: Vec<Property>,
    /// The kind of result.
    pub what: ExpandKind,
    /// Nested options, for the related entities.
    pub options: TypedOptions,
}

/// The kind of result of an expansion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpandKind {
    /// The entities.
    Entities,
    /// References to the entities.
    References,
    /// The number of entities.
    Count,
}

/// A typed `$apply`.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedApply {
    /// The steps, in order.
    pub steps: Vec<TypedTransformation>,
    /// The schema, with the types of the results.
    pub schema: Arc<Schema>,
    /// The type of the results in that schema.
    pub result: Arc<str>,
}

impl TypedApply {
    /// Returns whether the results are items as before, possibly fewer and with more members.
    pub fn keeps_items(&self) -> bool {
        use TypedTransformation::{Aggregate, Concat, GroupBy};
        !self.steps.iter().any(|step| matches!(step, Aggregate(_) | GroupBy { .. } | Concat(_)))
    }
}

/// One step of `$apply`. Its expressions refer to the results of the step before.
#[derive(Clone, Debug, PartialEq)]
pub enum TypedTransformation {
    /// Keeps the items for which it is true.
    Filter(Typed),
    /// Keeps the items that match.
    Search(Search),
    /// Returns one item with these members.
    Aggregate(Vec<TypedAggregate>),
    /// Returns one item for each combination of values, with the result of `apply` for its group.
    GroupBy {
        /// The paths whose values are combined.
        by: Vec<TypedPath>,
        /// The transformations of each group. Without them, only the combination is returned.
        apply: Vec<TypedTransformation>,
    },
    /// Adds members.
    Compute(Vec<TypedCompute>),
    /// Sorts.
    OrderBy(Vec<TypedOrder>),
    /// Drops the first items.
    Skip(u64),
    /// Keeps the first items.
    Top(u64),
    /// Keeps the largest or smallest items.
    Ranked {
        /// The kind of ranking.
        kind: RankMethod,
        /// A number of items, a sum, or a percentage: a constant.
        amount: Value,
        /// The expression to rank by.
        by: TypedOrder,
    },
    /// Returns the results of all pipelines, one after the other.
    Concat(Vec<Vec<TypedTransformation>>),
}

/// One aggregate.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedAggregate {
    /// The name of the result.
    pub name: Arc<str>,
    /// The type of the result.
    pub ty: Type,
    /// The expression and the method; `None` for the number of items.
    pub of: Option<(Typed, Method)>,
    /// Whether texts are compared case-insensitively.
    pub ignore_case: bool,
}
