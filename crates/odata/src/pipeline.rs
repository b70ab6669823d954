//! The parsed tree of `$apply`.

use crate::ast::{Compute, Expr, OrderBy, Position, Search};

/// One transformation of `$apply`. Source: OData Extension for Data Aggregation 4.0, section 3.
#[derive(Clone, Debug, PartialEq)]
pub struct Transformation {
    /// Position of its beginning.
    pub at: Position,
    /// The transformation itself.
    pub kind: TransformationKind,
}

/// The transformations.
#[derive(Clone, Debug, PartialEq)]
pub enum TransformationKind {
    /// `aggregate(…)`
    Aggregate(Vec<Aggregate>),
    /// `groupby((…), …)`
    GroupBy {
        /// The grouping properties.
        by: Vec<Grouping>,
        /// The transformations of each group. Without them, the result is the distinct groups.
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
    /// `topcount(n, …)` and similar transformations.
    Ranked {
        /// The kind of ranking.
        kind: RankMethod,
        /// A number of items, a sum, or a percentage.
        amount: Expr,
        /// The expression to rank by.
        by: Expr,
    },
    /// `concat(…, …)`: the results one after the other.
    Concat(Vec<Vec<Transformation>>),
    /// `identity`
    Identity,
}

/// The transformations that keep the largest or smallest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RankMethod {
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

impl RankMethod {
    /// All of them.
    pub const ALL: [RankMethod; 6] = [
        RankMethod::TopCount,
        RankMethod::BottomCount,
        RankMethod::TopSum,
        RankMethod::BottomSum,
        RankMethod::TopPercent,
        RankMethod::BottomPercent,
    ];

    /// Returns the name as written.
    pub fn name(self) -> &'static str {
        match self {
            RankMethod::TopCount => "topcount",
            RankMethod::BottomCount => "bottomcount",
            RankMethod::TopSum => "topsum",
            RankMethod::BottomSum => "bottomsum",
            RankMethod::TopPercent => "toppercent",
            RankMethod::BottomPercent => "bottompercent",
        }
    }

    /// Returns whether the largest are kept.
    pub fn is_top(self) -> bool {
        matches!(self, RankMethod::TopCount | RankMethod::TopSum | RankMethod::TopPercent)
    }
}

/// One aggregate: `expression with method as name`, `$count as name`.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// Position of its beginning.
    pub at: Position,
    /// The aggregated expression. A path that ends with `$count` counts.
    pub expr: Expr,
    /// The method; `None` for `$count` and custom aggregates.
    pub method: Option<Method>,
    /// The name of the result. A custom aggregate needs none.
    pub name: Option<String>,
}

/// The methods of aggregation.
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
    /// A custom method of the service, qualified.
    Custom(String),
}

impl Method {
    /// Returns the name as written.
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

/// A grouping of `groupby`.
#[derive(Clone, Debug, PartialEq)]
pub enum Grouping {
    /// A path.
    Path(Expr),
    /// `rollup($all, …)`, `rollup(…)`: adds the totals of each leading part.
    Rollup {
        /// Whether it begins with `$all`, which adds the grand total.
        all: bool,
        /// The levels, from coarse to fine.
        levels: Vec<Expr>,
    },
}
