//! Explains how a list would be executed, in words and statements. Nothing is read for it.

use super::lists::DOCUMENT;
use super::merge_scan::MergeScan;
use super::select::SelectBuilder;
use crate::planner::{AccessPath, PlannedQuery, Predicates, Satisfied, check_expressions};
use crate::{Query, QueryPlan, StoreError};

/// Returns how a query would be executed if every facet key had many referrals.
pub(super) fn plan(query: &Query) -> Result<QueryPlan, StoreError> {
    check_expressions(query.filter.as_ref(), &query.order)?;
    let planned = PlannedQuery::assuming_many_rows(query)?;
    let builder = SelectBuilder { planned: &planned };
    let access_path = planned.page_access_path();
    let mut steps = vec![describe(&access_path, &planned.predicates)];
    let mut statements = Vec::new();
    let mut by_index = false;
    if access_path != AccessPath::Nothing {
        match planned.index_order_of(&access_path) {
            Some(index_order) => {
                let merge_scan = MergeScan::new(&planned, &access_path, index_order);
                if merge_scan.len() > 1 {
                    steps.push("these streams are merged, newest or oldest first as asked".to_owned());
                }
                statements.extend(merge_scan.texts().map(str::to_owned));
                let satisfied = MergeScan::satisfied(&access_path);
                let filtered = matches!(access_path, AccessPath::Country | AccessPath::Updated)
                    && planned.facets().is_some();
                by_index = !planned.has_unsatisfied(satisfied) && !filtered;
                if filtered {
                    steps.push("entries of other classes are passed over in the index".to_owned());
                }
                if planned.has_unsatisfied(satisfied) {
                    steps.push(format!("each is held against {}", describe_residual(&planned, satisfied)));
                }
                statements.extend(builder.look(satisfied).map(|look| look.text));
            }
            None => {
                let satisfied = Satisfied::in_a_set(&access_path);
                if planned.has_unsatisfied(satisfied) {
                    steps.push(format!("each is held against {}", describe_residual(&planned, satisfied)));
                }
                steps.push("those that match are sorted".to_owned());
                statements.push(
                    builder.set(&access_path, "row, referral.id, referral.created, referral.updated").text,
                );
            }
        }
        statements.push(DOCUMENT.to_owned());
    }
    let count = match planned.count_from_facets() {
        Some(_) => "kept for each class, and summed up".to_owned(),
        None => {
            statements.push(builder.counted().text);
            format!(
                "all that match are counted; {}",
                describe(&planned.scan_access_path(), &planned.predicates)
            )
        }
    };
    Ok(QueryPlan { steps, by_index, count, statements, planner: Vec::new() })
}

/// Describes what rows are tested by.
fn describe_residual(planned: &PlannedQuery<'_>, satisfied: Satisfied) -> String {
    let predicates = &planned.predicates;
    let mut names: Vec<String> = Vec::new();
    let mut add = |applies: bool, what: &str| names.extend(applies.then(|| what.to_owned()));
    add(planned.facets().is_some() && !satisfied.facet, "the classes");
    add(!predicates.created.is_unbounded() && !satisfied.created, "createdDateTime");
    add(!predicates.updated.is_unbounded() && !satisfied.updated, "updatedDateTime");
    add(predicates.country.is_some() && !satisfied.country, "the country");
    add(predicates.teams.len() > usize::from(satisfied.first_team), "the team");
    add(predicates.ids.is_some(), "the ids");
    add(predicates.engagement.is_some(), "the engagement");
    add(predicates.search.is_some(), "the words");
    for path in predicates.residual.iter().flat_map(|term| term.item_paths()) {
        if !names.contains(&path) {
            names.push(path);
        }
    }
    if names.is_empty() { "the filter".to_owned() } else { names.join(", ") }
}

/// Describes an access path.
fn describe(access_path: &AccessPath, predicates: &Predicates<'_>) -> String {
    match access_path {
        AccessPath::Nothing => "no referral can match: none is read".to_owned(),
        AccessPath::Ids => "by their ids".to_owned(),
        AccessPath::Engagement => "all of the engagement".to_owned(),
        AccessPath::Team(emails) if emails.len() == 1 => {
            "all with the e-mail on the team, newest first".to_owned()
        }
        AccessPath::Team(emails) => {
            format!("a stream, newest first, for each of {} e-mails on the team", emails.len())
        }
        AccessPath::Search => "all that the words are in, by the search index".to_owned(),
        AccessPath::Facets(_) => {
            let mut members: Vec<String> =
                predicates.facet.iter().flat_map(|term| term.item_paths()).collect();
            members.sort();
            members.dedup();
            format!(
                "a stream, newest first, for each class that occurs and passes the filter on {}",
                members.join(", ")
            )
        }
        AccessPath::Country => "all of the country, newest first".to_owned(),
        AccessPath::Updated if predicates.updated.is_unbounded() => "all by updatedDateTime".to_owned(),
        AccessPath::Updated => "a range of updatedDateTime".to_owned(),
        AccessPath::Created if predicates.created.is_unbounded() => "all by createdDateTime".to_owned(),
        AccessPath::Created => "a range of createdDateTime".to_owned(),
    }
}
