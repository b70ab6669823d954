//! Checks of extended mode: valid syntax that is not supported, and the combination of options with `$apply`.
//! No accepted option is ignored.

use odata::{Levels, SystemOption, Typed, TypedExpand, TypedOptions, TypedSelect, TypedTransformation};

use super::{ListRequestError, ListRequestErrorKind};

type CheckResult = Result<(), ListRequestError>;

/// Rejects what is not supported, and moves `$search` into `$apply`. Source: OData 4.01
/// Protocol, section 11.2.1 (the order in which options are evaluated); OData Data Aggregation 4.0, section 3.
pub(super) fn prepare(options: &mut TypedOptions) -> CheckResult {
    move_search_into_apply(options)?;
    check_links_unread(options)?;
    check_select(options, SystemOption::Select)?;
    options.expand.iter().try_for_each(check_expand)
}

/// Rejects options of a property that are not supported.
pub(super) fn check_property(options: &TypedOptions) -> CheckResult {
    if options.search.is_some() {
        return Err(not_implemented(SystemOption::Search, "words are looked for in whole referrals alone"));
    }
    if options.apply.is_some() {
        return Err(not_implemented(SystemOption::Apply, "aggregations are made of whole referrals alone"));
    }
    check_select(options, SystemOption::Select)
}

fn not_implemented(option: SystemOption, message: &str) -> ListRequestError {
    ListRequestError {
        option: option.name().to_owned(),
        at: 0,
        message: message.to_owned(),
        kind: ListRequestErrorKind::NotImplemented,
    }
}

/// The words of `$search` are looked for in referrals, so before a step that makes something else of them or counts
/// them; past steps that only sort or add members.
fn move_search_into_apply(options: &mut TypedOptions) -> CheckResult {
    use TypedTransformation::{Compute, Filter, OrderBy, Search};
    let Some(apply) = &mut options.apply else { return Ok(()) };
    let Some(search) = options.search.take() else { return Ok(()) };
    if !apply.steps.iter().all(|step| matches!(step, Compute(_) | Filter(_) | OrderBy(_) | Search(_))) {
        let message = "words cannot be looked for in what this $apply makes; put search(…) first in it";
        return Err(not_implemented(SystemOption::Search, message));
    }
    apply.steps.insert(0, Search(search));
    Ok(())
}

/// Rejects expressions that read links: they are added to responses (ADR 0004), so stored documents lack them.
fn check_links_unread(options: &TypedOptions) -> CheckResult {
    if let Some(apply) = &options.apply {
        if steps_read_links(&apply.steps) {
            return Err(links_error(SystemOption::Apply));
        }
        if !apply.keeps_items() {
            return Ok(());
        }
    }
    options.filter.iter().try_for_each(check_condition)?;
    if options.orderby.iter().any(|key| reads_links(&key.expr)) {
        return Err(links_error(SystemOption::OrderBy));
    }
    Ok(())
}

/// Rejects a condition of `$filter` that reads links.
pub(super) fn check_condition(filter: &Typed) -> CheckResult {
    if reads_links(filter) { Err(links_error(SystemOption::Filter)) } else { Ok(()) }
}

fn links_error(option: SystemOption) -> ListRequestError {
    not_implemented(
        option,
        "'links' exist only in responses: they can be selected and used in $compute, but not filtered, sorted or aggregated",
    )
}

fn reads_links(expr: &Typed) -> bool {
    expr.item_paths().iter().any(|path| path == "links" || path.starts_with("links/"))
}

/// Returns whether a step reads the links of a referral, before another step transforms the referrals.
fn steps_read_links(steps: &[TypedTransformation]) -> bool {
    use TypedTransformation as Step;
    for step in steps {
        let (reads, goes_on) = match step {
            Step::Filter(filter) => (reads_links(filter), true),
            Step::Compute(computed) => (computed.iter().any(|one| reads_links(&one.expr)), true),
            Step::OrderBy(keys) => (keys.iter().any(|key| reads_links(&key.expr)), true),
            Step::Ranked { by, .. } => (reads_links(&by.expr), true),
            Step::Search(_) | Step::Skip(_) | Step::Top(_) => (false, true),
            Step::Aggregate(aggregates) => {
                let mut expressions = aggregates.iter().filter_map(|one| one.of.as_ref());
                (expressions.any(|(expr, _)| reads_links(expr)), false)
            }
            Step::GroupBy { by, apply } => {
                let links = by.iter().any(|path| path.wire().starts_with("links/"));
                (links || steps_read_links(apply), false)
            }
            Step::Concat(parts) => (parts.iter().any(|part| steps_read_links(part)), false),
        };
        if reads || !goes_on {
            return reads;
        }
    }
    false
}

/// Checks the nested options of `$select`, at any depth.
fn check_select(options: &TypedOptions, option: SystemOption) -> CheckResult {
    for selected in options.select.iter().flatten() {
        let TypedSelect::Property { options: Some(inner), .. } = selected else { continue };
        if inner.search.is_some() {
            return Err(not_implemented(option, "$search is not supported in the parentheses of $select"));
        }
        check_select(inner, option)?;
    }
    Ok(())
}

/// Checks the nested options of `$expand`, at any depth.
fn check_expand(expand: &TypedExpand) -> CheckResult {
    let options = &expand.options;
    if options.apply.is_some() {
        return Err(not_implemented(
            SystemOption::Expand,
            "$apply is not supported in the parentheses of $expand",
        ));
    }
    if !matches!(options.levels, None | Some(Levels::Of(1) | Levels::Max)) {
        return Err(not_implemented(SystemOption::Expand, "$levels of more than 1 is not supported"));
    }
    let named =
        |error: ListRequestError| ListRequestError { option: SystemOption::Expand.name().into(), ..error };
    check_links_unread(options).map_err(named)?;
    check_select(options, SystemOption::Expand)?;
    options.expand.iter().try_for_each(check_expand)
}
