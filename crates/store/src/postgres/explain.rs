//! How a list would be carried out, in words and statements, and what the database's planner makes of it.

use std::sync::Arc;

use super::pool::Pool;
use super::ways::Ways;
use super::{query, rows};
use crate::asked::{Asked, check_expressions};
use crate::list_work::ListWork;
use crate::plan::Way;
use crate::{Plan, Query, StoreError};

/// How a query would be carried out, if every class had many referrals.
pub(super) fn plan(query: &Query) -> Result<Plan, StoreError> {
    check_expressions(query.filter.as_ref(), &query.order)?;
    let asked = Asked::of_many(query)?;
    let ways = Ways { asked: &asked };
    let way = asked.page_way();
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let mut steps = vec![said(&way)];
    let mut statements = vec![query::figures(query, &asked.conditions).text];
    let mut by_index = false;
    match asked.in_order(&way) {
        _ if way == Way::Nothing => {}
        Some(natural) => {
            by_index = !asked.has_more_than(Ways::met(&way));
            if !by_index {
                steps.push("rows are held against the other conditions until the page is full".to_owned());
            }
            statements.push(ways.page(&way, natural, asked.after(), limit, 0).text);
        }
        None => {
            steps.push("those that match are sorted".to_owned());
            statements.push(ways.set(&way, &ways.scanned(&asked.order_source())).text);
        }
    }
    for path in asked.residual_paths() {
        steps.push(format!("{path} is read from the document"));
    }
    let count = match asked.kept_count() {
        Some(_) => "kept for each class, and summed up".to_owned(),
        None => format!("all that match are counted; {}", said(&asked.set_way())),
    };
    Ok(Plan { steps, by_index, count, statements, planner: Vec::new() })
}

/// What the database's planner makes of the page with what the owner has now; nothing where that is nothing.
pub(super) async fn planner(pool: &Arc<Pool>, query: &Query) -> Result<Vec<String>, StoreError> {
    let work = ListWork::for_planning();
    let (reading, asked) = query::ask(pool, query, &work).await?;
    let ways = Ways { asked: &asked };
    let way = asked.page_way();
    if way == Way::Nothing || asked.figures.classes.is_empty() {
        reading.end().await?;
        return Ok(Vec::new());
    }
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let mut sql = match asked.in_order(&way) {
        Some(natural) => ways.page(&way, natural, asked.after(), limit, 0),
        None => ways.set(&way, &ways.scanned(&asked.order_source())),
    };
    sql.text.insert_str(0, "EXPLAIN ");
    let lines = reading.rows(&sql).await?.iter().map(|row| rows::get(row, 0)).collect::<Result<_, _>>()?;
    reading.end().await?;
    Ok(lines)
}

/// A way in words.
fn said(way: &Way) -> String {
    match way {
        Way::Nothing => "no referral can match: none is read",
        Way::Ids => "by their ids",
        Way::Engagement => "all of the engagement",
        Way::Team(_) => "all with one of the e-mails on the team",
        Way::Search => "all that the words are in",
        Way::Classes(_) => "a range, newest first, for each class that occurs and passes the filter",
        Way::Country => "all of the country, newest first",
        Way::Updated => "a range of updatedDateTime",
        Way::Created => "a range of createdDateTime",
    }
    .to_owned()
}
