//! Plans a list: which access path leads to its referrals, which index has its order, and what is left to evaluate for
//! each row. Both engines follow the same plan, so that a query costs and means the same on each.

mod access_path;
mod facet_key;
mod planned_query;
mod sort_value;

pub(crate) use access_path::{
    AccessPath, IndexOrder, IndexedInstant, Predicates, Range, Statistics, add_facet_count,
};
pub(crate) use facet_key::FacetKey;
pub(crate) use planned_query::{
    PlannedQuery, Satisfied, ScanPart, TopRows, check_expressions, check_path, rows_needed,
};
