//! `cosell explain`: how the server would carry out a list.

use std::sync::Arc;

use exchange::{Exchange, Policy, Question, Temperament};
use referral::OrganizationId;
use store::sqlite::{SqliteOptions, SqliteStore};
use store::{Plan, Store};
use tempfile::TempDir;

use crate::chance::RandomIds;
use crate::clock::SystemClock;
use crate::failure::Failure;
use crate::options::ExplainOptions;
use crate::{serving, terminal};

/// Prints the plan of a query.
///
/// # Errors
/// `Usage` for a query that would be refused; `Failed` when no temporary store can be made.
pub fn run(options: ExplainOptions) -> Result<(), Failure> {
    let query = options.query.split_once('?').map_or(options.query.as_str(), |(_, query)| query);
    let temperament = if options.strict { Temperament::Strict } else { Temperament::Extended };
    let question = Question::read(query, temperament).map_err(Failure::usage)?;
    if question.engagement().is_some() {
        terminal::say(ENGAGEMENT);
        return Ok(());
    }
    if question.options().apply.is_some() {
        return Err(Failure::usage(
            "$apply has no page to explain; leave it out to see how its referrals are found",
        ));
    }
    serving::run(async {
        terminal::say(&told(&plan(&question).await?, options.statements));
        Ok(())
    })
}

const ENGAGEMENT: &str =
    "way       the referrals of the engagement, by its index, as far as the caller may see them
page      each is held against the query as the caller sees it, and sorted
by index  yes
count     of those that match";

/// Asks an empty store: the plan depends on the query alone, not on the data.
async fn plan(question: &Question) -> Result<Plan, Failure> {
    let folder = TempDir::new().map_err(Failure::failed)?;
    let path = folder.path().to_owned();
    let opened =
        tokio::task::spawn_blocking(move || SqliteStore::open(&path, SqliteOptions::default())).await;
    let store = Arc::new(opened.map_err(Failure::failed)??);
    let kept = Arc::clone(&store) as Arc<dyn Store>;
    let exchange =
        Exchange::open(kept, Arc::new(SystemClock), Arc::new(RandomIds), Policy::default()).await?;
    let plan = exchange.explain(OrganizationId::MICROSOFT, question).await;
    store.close().await;
    plan.map_err(Failure::usage)
}

fn told(plan: &Plan, statements: bool) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (at, step) in plan.steps.iter().enumerate() {
        lines.push(format!("{:<9} {step}", if at == 0 { "way" } else { "" }));
    }
    lines.push(format!("by index  {}", if plan.by_index { "yes" } else { "no" }));
    lines.push(format!("count     {}", plan.count));
    if statements {
        lines.extend(plan.statements.iter().map(|statement| format!("\n{statement}")));
    }
    lines.join("\n")
}
