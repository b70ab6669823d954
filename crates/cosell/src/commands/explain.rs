//! `cosell explain`: how the server would carry out a list.

use std::sync::Arc;

use exchange::{ApiMode, Exchange, ListRequest, Policy};
use referral::OrganizationId;
use store::sqlite::{SqliteOptions, SqliteStore};
use store::{QueryPlan, Store};
use tempfile::TempDir;

use crate::clock::SystemClock;
use crate::failure::Failure;
use crate::options::{DatabaseOptions, ExplainOptions};
use crate::random::RandomIds;
use crate::{serving, terminal};

/// Prints the plan of a query.
///
/// # Errors
/// `Usage` for a query that would be refused; `Failed` when no temporary store can be made.
pub fn run(options: ExplainOptions) -> Result<(), Failure> {
    let query = options.query.split_once('?').map_or(options.query.as_str(), |(_, query)| query);
    let mode = if options.strict { ApiMode::Strict } else { ApiMode::Extended };
    let list_request = ListRequest::from_query(query, mode).map_err(Failure::usage)?;
    if list_request.engagement().is_some() {
        terminal::print_line(ENGAGEMENT);
        return Ok(());
    }
    if list_request.options().apply.is_some() {
        return Err(Failure::usage(
            "$apply has no page to explain; leave it out to see how its referrals are found",
        ));
    }
    serving::run(async {
        let plan = match &options.database {
            None => plan(&list_request).await?,
            Some(database) => plan_on_database(&list_request, &options, database).await?,
        };
        terminal::print_line(&describe_plan(&plan, options.statements));
        Ok(())
    })
}

/// Asks a database, for an organization that has something there.
async fn plan_on_database(
    list_request: &ListRequest,
    options: &ExplainOptions,
    database: &str,
) -> Result<QueryPlan, Failure> {
    let location = DatabaseOptions {
        database: Some(database.to_owned()),
        config: options.config.clone(),
        ..DatabaseOptions::default()
    };
    let location = super::location(&location)?;
    // Opening would bring the schema up to date, and who asks changes nothing.
    let version = super::migrate::version(&location).await?;
    if version.found < version.known {
        return Err(Failure::failed(format!(
            "the schema is of version {}, this program's is {}: run cosell migrate first",
            version.found, version.known
        )));
    }
    let store = super::open_and_check(&location).await?;
    let outcome = async {
        let heads = store.heads().await?;
        let longest = heads.into_iter().max_by_key(|(_, position)| *position).map(|(owner, _)| owner);
        let owner = options.organization.clone().or(longest).unwrap_or(OrganizationId::MICROSOFT);
        plan_of(list_request, Arc::clone(&store) as Arc<dyn Store>, owner).await
    };
    let outcome = outcome.await;
    store.close().await;
    outcome
}

async fn plan_of(
    list_request: &ListRequest,
    store: Arc<dyn Store>,
    owner: OrganizationId,
) -> Result<QueryPlan, Failure> {
    let exchange =
        Exchange::open(store, Arc::new(SystemClock), Arc::new(RandomIds), Policy::default()).await?;
    exchange.explain(owner, list_request).await.map_err(Failure::usage)
}

const ENGAGEMENT: &str =
    "way       the referrals of the engagement, by its index, as far as the caller may see them
page      each is held against the query as the caller sees it, and sorted
by index  yes
count     of those that match";

/// Asks an empty store: the plan depends on the query alone, not on the data.
async fn plan(list_request: &ListRequest) -> Result<QueryPlan, Failure> {
    let folder = TempDir::new().map_err(Failure::failed)?;
    let path = folder.path().to_owned();
    let opened =
        tokio::task::spawn_blocking(move || SqliteStore::open(&path, SqliteOptions::default())).await;
    let store = Arc::new(opened.map_err(Failure::failed)??);
    let plan = plan_of(list_request, Arc::clone(&store) as Arc<dyn Store>, OrganizationId::MICROSOFT).await;
    store.close().await;
    plan
}

fn describe_plan(plan: &QueryPlan, statements: bool) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (at, step) in plan.steps.iter().enumerate() {
        lines.push(format!("{:<9} {step}", if at == 0 { "way" } else { "" }));
    }
    lines.push(format!("by index  {}", if plan.by_index { "yes" } else { "no" }));
    lines.push(format!("count     {}", plan.count));
    for (at, scan) in scans(&plan.planner).iter().enumerate() {
        lines.push(format!("{:<9} {scan}", if at == 0 { "planner" } else { "" }));
    }
    if statements {
        lines.extend(plan.statements.iter().map(|statement| format!("\n{statement}")));
        if !plan.planner.is_empty() {
            lines.push(format!("\n{}", plan.planner.join("\n")));
        }
    }
    lines.join("\n")
}

/// How PostgreSQL's planner reads tables, each way once: the lines of its plan that name one.
fn scans(planner: &[String]) -> Vec<&str> {
    let mut scans: Vec<&str> = Vec::new();
    for line in planner {
        let step = line.trim_start().trim_start_matches("->").trim_start();
        let scan = step.split("  (").next().unwrap_or(step);
        if scan.contains(" Scan") && !scans.contains(&scan) {
            scans.push(scan);
        }
    }
    scans
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_planner_names_each_way_into_a_table_once() {
        let plan = [
            "Limit  (cost=0.28..8.30 rows=1 width=100)",
            "  ->  Append  (cost=0.28..8.30 rows=1 width=100)",
            "        ->  Index Scan using referral_by_class on referral  (cost=0.28..8.30 rows=1 width=100)",
            "              Index Cond: (owner = '\\\\x01'::bytea)",
            "        ->  Index Scan using referral_by_class on referral  (cost=0.28..9.30 rows=7 width=100)",
            "        ->  Seq Scan on team_member member  (cost=0.00..8.30 rows=1 width=100)",
        ];
        let plan: Vec<String> = plan.map(str::to_owned).to_vec();
        let expected = ["Index Scan using referral_by_class on referral", "Seq Scan on team_member member"];
        assert_eq!(scans(&plan), expected);
        assert!(scans(&[]).is_empty());
    }
}
