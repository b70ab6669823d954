//! The tree of `$apply` as written.

use crate::ast::{Compute, Expr, OrderBy, Position, Search};

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
        kind: RankMethod,
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
    /// Every one.
    pub const ALL: [RankMethod; 6] = [
        RankMethod::TopCount,
        RankMethod::BottomCount,
        RankMethod::TopSum,
        RankMethod::BottomSum,
        RankMethod::TopPercent,
        RankMethod::BottomPercent,
    ];

    /// The name as written.
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

    /// Whether the largest are kept.
    pub fn is_top(self) -> bool {
        matches!(self, RankMethod::TopCount | RankMethod::TopSum | RankMethod::TopPercent)
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
