//! The options of a request, bound.

use std::sync::Arc;

use crate::ast::Search;
use crate::pipeline::{Method, RankMethod};
use crate::query::Levels;
use crate::schema::{Property, Schema, Type};
use crate::typed::{Typed, TypedPath};
use crate::value::Value;

/// A key of the order.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedOrder {
    /// What is sorted by.
    pub expr: Typed,
    /// `desc`
    pub descending: bool,
    /// Texts compare folded.
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

/// The options of a request, bound. What is no expression is as it was given.
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

/// One selected thing.
#[derive(Clone, Debug, PartialEq)]
pub enum TypedSelect {
    /// `*`
    All,
    /// A property, perhaps inside others.
    Property {
        /// From the item inwards.
        steps: Vec<Property>,
        /// What holds of the members of a collection, or is selected of an object.
        options: Option<Box<TypedOptions>>,
    },
    /// A computed property.
    Computed(Arc<str>),
}

/// One expanded navigation.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedExpand {
    /// Which of the items of `$expand` asks for it, from 0.
    pub item: usize,
    /// From the item inwards; the last is the navigation property.
    pub steps: Vec<Property>,
    /// What is asked for.
    pub what: ExpandKind,
    /// What holds of the related entities.
    pub options: TypedOptions,
}

/// What an expansion asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpandKind {
    /// The entities.
    Entities,
    /// References to them.
    References,
    /// Their number.
    Count,
}

/// A bound `$apply`.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedApply {
    /// One after the other.
    pub steps: Vec<TypedTransformation>,
    /// The schema, with the types of the results.
    pub schema: Arc<Schema>,
    /// The type of a result in that schema.
    pub result: Arc<str>,
}

impl TypedApply {
    /// Whether the results are items as they were before, perhaps fewer and with more members.
    pub fn keeps_items(&self) -> bool {
        use TypedTransformation::{Aggregate, Concat, GroupBy};
        !self.steps.iter().any(|step| matches!(step, Aggregate(_) | GroupBy { .. } | Concat(_)))
    }
}

/// One step of `$apply`; its expressions see the items the step before left.
#[derive(Clone, Debug, PartialEq)]
pub enum TypedTransformation {
    /// Keeps items for which it is true.
    Filter(Typed),
    /// Keeps items that match.
    Search(Search),
    /// One item with these members.
    Aggregate(Vec<TypedAggregate>),
    /// One item for each combination of values, with what `apply` makes of its group.
    GroupBy {
        /// Paths whose values are the combination.
        by: Vec<TypedPath>,
        /// What is made of each group; nothing leaves the combination alone.
        apply: Vec<TypedTransformation>,
    },
    /// Adds members.
    Compute(Vec<TypedCompute>),
    /// Sorts.
    OrderBy(Vec<TypedOrder>),
    /// Leaves out the first.
    Skip(u64),
    /// Keeps the first.
    Top(u64),
    /// Keeps the largest or smallest.
    Ranked {
        /// Which of the transformations.
        kind: RankMethod,
        /// How many, how much, or what share in percent: a constant.
        amount: Value,
        /// What is ranked by.
        by: TypedOrder,
    },
    /// The results of these one after the other.
    Concat(Vec<Vec<TypedTransformation>>),
}

/// One aggregate.
#[derive(Clone, Debug, PartialEq)]
pub struct TypedAggregate {
    /// The name of the result.
    pub name: Arc<str>,
    /// The type of the result.
    pub ty: Type,
    /// What is aggregated and how; `None`: the number of items.
    pub of: Option<(Typed, Method)>,
    /// Texts compare folded.
    pub ignore_case: bool,
}
