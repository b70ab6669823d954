//! Explains how a list would be executed, in words and statements, with the plan of the database.

use std::sync::Arc;

use super::pool::Pool;
use super::select::SelectBuilder;
use super::{lists, rows};
use crate::list_work::ListWork;
use crate::planner::{AccessPath, PlannedQuery, check_expressions};
use crate::{Query, QueryPlan, StoreError};

/// Returns how a query would be executed if every facet key had many referrals.
pub(super) fn plan(query: &Query) -> Result<QueryPlan, StoreError> {
    check_expressions(query.filter.as_ref(), &query.order)?;
    let planned = PlannedQuery::assuming_many_rows(query)?;
    let builder = SelectBuilder { planned: &planned };
    let access_path = planned.page_access_path();
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let mut steps = vec![describe(&access_path)];
    let mut statements = vec![lists::statistics(query, &planned.predicates).text];
    let mut by_index = false;
    match planned.index_order_of(&access_path) {
        _ if access_path == AccessPath::Nothing => {}
        Some(index_order) => {
            by_index = !planned.has_unsatisfied(SelectBuilder::satisfied(&access_path));
            if !by_index {
                steps.push("rows are held against the other conditions until the page is full".to_owned());
            }
            statements.push(builder.page(&access_path, index_order, planned.after(), limit, 0).text);
        }
        None => {
            steps.push("those that match are sorted".to_owned());
            statements.push(builder.set(&access_path, &builder.scanned(&planned.order_source())).text);
        }
    }
    for path in planned.residual_paths() {
        steps.push(format!("{path} is read from the document"));
    }
    let count = match planned.count_from_facets() {
        Some(_) => "kept for each class, and summed up".to_owned(),
        None => format!("all that match are counted; {}", describe(&planned.scan_access_path())),
    };
    Ok(QueryPlan { steps, by_index, count, statements, planner: Vec::new() })
}

/// What the database's planner makes of the page with what the owner has now; nothing where that is nothing.
pub(super) async fn planner(pool: &Arc<Pool>, query: &Query) -> Result<Vec<String>, StoreError> {
    let work = ListWork::for_planning();
    let (reading, planned) = lists::plan_query(pool, query, &work).await?;
    let builder = SelectBuilder { planned: &planned };
    let access_path = planned.page_access_path();
    if access_path == AccessPath::Nothing || planned.statistics.facets.is_empty() {
        reading.end().await?;
        return Ok(Vec::new());
    }
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let mut sql = match planned.index_order_of(&access_path) {
        Some(index_order) => builder.page(&access_path, index_order, planned.after(), limit, 0),
        None => builder.set(&access_path, &builder.scanned(&planned.order_source())),
    };
    sql.text.insert_str(0, "EXPLAIN ");
    let lines = reading.rows(&sql).await?.iter().map(|row| rows::get(row, 0)).collect::<Result<_, _>>()?;
    reading.end().await?;
    Ok(lines)
}

/// Describes an access path.
fn describe(access_path: &AccessPath) -> String {
    match access_path {
        AccessPath::Nothing => "no referral can match: none is read",
        AccessPath::Ids => "by their ids",
        AccessPath::Engagement => "all of the engagement",
        AccessPath::Team(_) => "all with one of the e-mails on the team",
        AccessPath::Search => "all that the words are in",
        AccessPath::Facets(_) => "a range, newest first, for each class that occurs and passes the filter",
        AccessPath::Country => "all of the country, newest first",
        AccessPath::Updated => "a range of updatedDateTime",
        AccessPath::Created => "a range of createdDateTime",
    }
    .to_owned()
}
