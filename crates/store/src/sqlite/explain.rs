//! How a list would be carried out, in words and statements. Nothing is read for it.

use super::query::DOCUMENT;
use super::streams::Streams;
use super::ways::Ways;
use crate::asked::{Asked, Met, check_expressions};
use crate::plan::{Conditions, Way};
use crate::{Plan, Query, StoreError};

/// How a query would be carried out, if every class had many referrals.
pub(super) fn plan(query: &Query) -> Result<Plan, StoreError> {
    check_expressions(query.filter.as_ref(), &query.order)?;
    let asked = Asked::of_many(query)?;
    let ways = Ways { asked: &asked };
    let way = asked.page_way();
    let mut steps = vec![said(&way, &asked.conditions)];
    let mut statements = Vec::new();
    let mut by_index = false;
    if way != Way::Nothing {
        match asked.in_order(&way) {
            Some(natural) => {
                let streams = Streams::new(&asked, &way, natural);
                if streams.len() > 1 {
                    steps.push("these streams are merged, newest or oldest first as asked".to_owned());
                }
                statements.extend(streams.texts().map(str::to_owned));
                let met = Streams::meet(&way);
                let filtered = matches!(way, Way::Country | Way::Updated) && asked.classes().is_some();
                by_index = !asked.has_more_than(met) && !filtered;
                if filtered {
                    steps.push("entries of other classes are passed over in the index".to_owned());
                }
                if asked.has_more_than(met) {
                    steps.push(format!("each is held against {}", rest_said(&asked, met)));
                }
                statements.extend(ways.look(met).map(|look| look.text));
            }
            None => {
                let met = Met::in_a_set(&way);
                if asked.has_more_than(met) {
                    steps.push(format!("each is held against {}", rest_said(&asked, met)));
                }
                steps.push("those that match are sorted".to_owned());
                statements.push(ways.set(&way, "row, referral.id, referral.created, referral.updated").text);
            }
        }
        statements.push(DOCUMENT.to_owned());
    }
    let count = match asked.kept_count() {
        Some(_) => "kept for each class, and summed up".to_owned(),
        None => {
            statements.push(ways.counted().text);
            format!("all that match are counted; {}", said(&asked.set_way(), &asked.conditions))
        }
    };
    Ok(Plan { steps, by_index, count, statements, planner: Vec::new() })
}

/// What rows are held against, in words.
fn rest_said(asked: &Asked<'_>, met: Met) -> String {
    let conditions = &asked.conditions;
    let mut said: Vec<String> = Vec::new();
    let mut add = |applies: bool, what: &str| said.extend(applies.then(|| what.to_owned()));
    add(asked.classes().is_some() && !met.class, "the classes");
    add(!conditions.created.is_whole() && !met.created, "createdDateTime");
    add(!conditions.updated.is_whole() && !met.updated, "updatedDateTime");
    add(conditions.country.is_some() && !met.country, "the country");
    add(conditions.teams.len() > usize::from(met.first_team), "the team");
    add(conditions.ids.is_some(), "the ids");
    add(conditions.engagement.is_some(), "the engagement");
    add(conditions.search.is_some(), "the words");
    for path in conditions.rest.iter().flat_map(|term| term.item_paths()) {
        if !said.contains(&path) {
            said.push(path);
        }
    }
    if said.is_empty() { "the filter".to_owned() } else { said.join(", ") }
}

/// A way in words.
fn said(way: &Way, conditions: &Conditions<'_>) -> String {
    match way {
        Way::Nothing => "no referral can match: none is read".to_owned(),
        Way::Ids => "by their ids".to_owned(),
        Way::Engagement => "all of the engagement".to_owned(),
        Way::Team(emails) if emails.len() == 1 => "all with the e-mail on the team, newest first".to_owned(),
        Way::Team(emails) => {
            format!("a stream, newest first, for each of {} e-mails on the team", emails.len())
        }
        Way::Search => "all that the words are in, by the search index".to_owned(),
        Way::Classes(_) => {
            let mut members: Vec<String> =
                conditions.class.iter().flat_map(|term| term.item_paths()).collect();
            members.sort();
            members.dedup();
            format!(
                "a stream, newest first, for each class that occurs and passes the filter on {}",
                members.join(", ")
            )
        }
        Way::Country => "all of the country, newest first".to_owned(),
        Way::Updated if conditions.updated.is_whole() => "all by updatedDateTime".to_owned(),
        Way::Updated => "a range of updatedDateTime".to_owned(),
        Way::Created if conditions.created.is_whole() => "all by createdDateTime".to_owned(),
        Way::Created => "a range of createdDateTime".to_owned(),
    }
}
