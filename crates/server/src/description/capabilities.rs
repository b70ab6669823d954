//! What the service can do, in the terms of the capabilities vocabulary. Source: Org.OData.Capabilities.V1.
//!
//! Which members may be filtered and sorted by is asked of the reader of questions itself, so that the two cannot
//! differ; a test asks it about the rest.
//!
//! No conformance level is claimed: the referrals contract itself bends what OData says of PUT and PATCH.

use exchange::{ApiMode, ListRequest, RELATED_REFERRALS};
use odata::Function;
use referral::{Kind, ObjectType, PropertyDefinition, Referral};

use super::DescriptionInput;
use super::csdl::{Annotation, Expression, RESOURCE_PATH, paths, texts};

/// What strict takes in `$filter` (spec 11.2).
const STRICT_FILTERS: [&str; 14] = [
    "eq",
    "ne",
    "gt",
    "ge",
    "lt",
    "le",
    "and",
    "or",
    "not",
    "in",
    "any",
    "contains",
    "startswith",
    "endswith",
];

/// Operators that extended adds, and what stands apart from the canonical functions.
const MORE_FILTERS: [&str; 11] =
    ["has", "add", "sub", "mul", "div", "divby", "mod", "all", "cast", "isof", "case"];

/// The transformations of `$apply` that the store carries out.
const TRANSFORMATIONS: [&str; 16] = [
    "aggregate",
    "bottomcount",
    "bottompercent",
    "bottomsum",
    "compute",
    "concat",
    "filter",
    "groupby",
    "identity",
    "orderby",
    "search",
    "skip",
    "top",
    "topcount",
    "toppercent",
    "topsum",
];

/// Parts of the extended temperament, claimed when they answer: `tests/metadata_truth.rs` fails while one of these is not
/// what the server does.
const SEARCH: bool = true;
const APPLY: bool = true;
const BATCH: bool = true;

const NAVIGATION: &str = "Org.OData.Capabilities.V1.NavigationType";
const METHOD: &str = "Org.OData.Capabilities.V1.HttpMethod";

fn one(term: &'static str, value: impl Into<Expression>) -> Annotation {
    Annotation::new(term, value)
}

/// Of the service as a whole.
pub(super) fn of_container(input: &DescriptionInput<'_>) -> Vec<Annotation> {
    let extended = input.extended();
    let mut all = vec![
        one("Core.ODataVersions", if extended { "4.01" } else { "4.0" }),
        one("Capabilities.SupportedFormats", texts(&["application/json"])),
        one("Capabilities.SupportedMetadataFormats", texts(&["application/xml", "application/json"])),
        one("Capabilities.KeyAsSegmentSupported", true),
        one("Capabilities.AsynchronousRequestsSupported", false),
        one("Capabilities.CrossJoinSupported", false),
        one("Capabilities.QuerySegmentSupported", extended),
        one("Capabilities.AnnotationValuesInQuerySupported", false),
        one("Capabilities.BatchSupported", extended && BATCH),
    ];
    if extended && BATCH {
        let batch = [
            ("Supported", true.into()),
            ("ContinueOnErrorSupported", true.into()),
            ("RequestDependencyConditionsSupported", true.into()),
            ("SupportedFormats", texts(&["application/json", "multipart/mixed"])),
        ];
        all.push(one("Capabilities.BatchSupport", batch));
    }
    all
}

/// Of the referrals.
pub(super) fn of_entity_set(input: &DescriptionInput<'_>) -> Vec<Annotation> {
    let extended = input.extended();
    let mut all = vec![
        one("Core.Description", "The referrals of the caller's organization."),
        one("Core.ResourcePath", RESOURCE_PATH),
        one("Capabilities.TopSupported", true),
        one("Capabilities.SkipSupported", true),
        one("Capabilities.ComputeSupported", extended),
        one("Capabilities.SelectSupport", select(extended)),
        one("Capabilities.CountRestrictions", count(extended)),
        one("Capabilities.FilterFunctions", filter_functions(extended)),
        one("Capabilities.FilterRestrictions", filter(extended)),
        one("Capabilities.SortRestrictions", sort(extended)),
        one("Capabilities.SearchRestrictions", [("Searchable", (extended && SEARCH).into())]),
        one("Capabilities.ExpandRestrictions", [("Expandable", extended.into())]),
        one("Capabilities.IndexableByKey", true),
        one("Capabilities.ChangeTracking", [("Supported", false.into())]),
        one("Capabilities.InsertRestrictions", insert()),
        one("Capabilities.DeepInsertSupport", [("Supported", false.into())]),
        one("Capabilities.UpdateRestrictions", update()),
        one("Capabilities.DeepUpdateSupport", [("Supported", false.into())]),
        one("Capabilities.DeleteRestrictions", [("Deletable", false.into())]),
    ];
    if extended && APPLY {
        let rollup = Expression::Members("Org.OData.Aggregation.V1.RollupType", &["None"]);
        let apply = [("Transformations", texts(&TRANSFORMATIONS)), ("Rollup", rollup)];
        all.push(one("Aggregation.ApplySupported", apply));
    }
    if !extended {
        let none = [("Navigability", Expression::Members(NAVIGATION, &["None"]))];
        all.push(one("Capabilities.NavigationRestrictions", none));
    }
    all
}

/// `$select`, and what it may hold in its parentheses.
fn select(extended: bool) -> Expression {
    if !extended {
        return [("Supported", true.into())].into();
    }
    [
        ("Supported", true.into()),
        ("Filterable", true.into()),
        ("Searchable", false.into()),
        ("TopSupported", true.into()),
        ("SkipSupported", true.into()),
        ("ComputeSupported", true.into()),
        ("Countable", true.into()),
        ("Sortable", true.into()),
    ]
    .into()
}

/// `$count` of the list in both, `/$count` of what a referral holds in extended alone.
fn count(extended: bool) -> Expression {
    if extended {
        return [("Countable", true.into())].into();
    }
    let related = Expression::Navigation(RELATED_REFERRALS.to_owned());
    [
        ("Countable", true.into()),
        ("NonCountableProperties", paths(collections())),
        ("NonCountableNavigationProperties", Expression::Collection(vec![related])),
    ]
    .into()
}

fn filter_functions(extended: bool) -> Expression {
    if !extended {
        return texts(&STRICT_FILTERS);
    }
    let functions =
        Function::ALL.iter().filter(|function| is_offered(**function)).map(|function| function.name());
    let mut all: Vec<&str> = STRICT_FILTERS.into_iter().chain(MORE_FILTERS).collect();
    for function in functions {
        if !all.iter().any(|known| known.eq_ignore_ascii_case(function)) {
            all.push(function);
        }
    }
    texts(&all)
}

/// Whether the store can carry a function out: no geography, and no questions about parts of a list.
fn is_offered(function: Function) -> bool {
    !function.is_geo() && !matches!(function, Function::HasSubset | Function::HasSubsequence)
}

fn filter(extended: bool) -> Expression {
    let mut closed = Vec::new();
    outside(&Referral::TYPE, "", &|path, row| is_filterable(path, row, extended), &mut closed);
    [
        ("Filterable", true.into()),
        ("RequiresFilter", false.into()),
        ("NonFilterableProperties", paths(closed)),
    ]
    .into()
}

fn sort(extended: bool) -> Expression {
    let mut closed = Vec::new();
    let is_sortable = |path: &str, _: &PropertyDefinition| {
        is_stored(path) && is_taken(&format!("$orderby={path}"), extended)
    };
    outside(&Referral::TYPE, "", &is_sortable, &mut closed);
    [("Sortable", true.into()), ("NonSortableProperties", paths(closed))].into()
}

/// Whether a filter may ask for a member's value, or for what is in its list.
fn is_filterable(path: &str, row: &PropertyDefinition, extended: bool) -> bool {
    match row.kind {
        Kind::Object(_) => false,
        _ if !is_stored(path) => false,
        Kind::List(_) | Kind::ProfileIds(_) | Kind::Texts | Kind::Unknown => {
            is_taken(&format!("$filter={path}/any()"), extended)
        }
        _ => is_taken(&format!("$filter={path} eq null"), extended),
    }
}

/// Links are made when answering (ADR 0004): what looks for referrals cannot see them.
fn is_stored(path: &str) -> bool {
    path != "links" && !path.starts_with("links/")
}

/// Whether the list takes this query.
fn is_taken(query: &str, extended: bool) -> bool {
    let mode = if extended { ApiMode::Extended } else { ApiMode::Strict };
    ListRequest::from_query(query, mode).is_ok()
}

fn insert() -> Expression {
    let mut required = Vec::new();
    required_members(&Referral::TYPE, "", &mut required);
    let words = "The server sets what is computed. A target that names another organization makes the new referral that \
                 organization's.";
    [
        ("Insertable", true.into()),
        ("RequiredProperties", paths(required)),
        ("TypecastSegmentSupported", false.into()),
        ("Description", words.into()),
    ]
    .into()
}

fn update() -> Expression {
    let words = "PATCH takes a JSON Patch (RFC 6902). PUT, which is obsolete, needs If-Match and leaves absent members as \
                 they are.";
    [
        ("Updatable", true.into()),
        ("Upsertable", false.into()),
        ("UpdateMethod", Expression::Members(METHOD, &["PATCH", "PUT"])),
        ("FilterSegmentSupported", false.into()),
        ("TypecastSegmentSupported", false.into()),
        ("Description", words.into()),
    ]
    .into()
}

/// Paths of the members for which `within` does not hold: a structured one as a whole, unless it holds for one in it.
fn outside(
    of: &ObjectType,
    before: &str,
    within: &dyn Fn(&str, &PropertyDefinition) -> bool,
    found: &mut Vec<String>,
) {
    for row in of.properties {
        let path = format!("{before}{}", row.name);
        if within(&path, row) {
            continue;
        }
        let mut inner = Vec::new();
        let whole = match row.kind {
            Kind::Object(of) => {
                let depth = path.matches('/').count() + 1;
                outside(of, &format!("{path}/"), within, &mut inner);
                // Each member is closed, and each as a whole.
                inner.len() == of.properties.len()
                    && inner.iter().all(|member| member.matches('/').count() == depth)
            }
            _ => true,
        };
        if whole { found.push(path) } else { found.append(&mut inner) }
    }
}

/// Paths of the members that have several values.
fn collections() -> Vec<String> {
    let mut found = Vec::new();
    each_path(&Referral::TYPE, "", &mut |path, row| {
        if matches!(row.kind, Kind::List(_) | Kind::ProfileIds(_) | Kind::Texts | Kind::Unknown) {
            found.push(path);
        }
    });
    found
}

/// Walks every member that a path leads to, but through no collection.
fn each_path(
    of: &'static ObjectType,
    before: &str,
    visit: &mut dyn FnMut(String, &'static PropertyDefinition),
) {
    for row in of.properties {
        let path = format!("{before}{}", row.name);
        if let Kind::Object(inner) = row.kind {
            each_path(inner, &format!("{path}/"), visit);
        }
        visit(path, row);
    }
}

/// What a new referral must have, in it and in its structured members (spec 8.4, the wire profile).
fn required_members(of: &ObjectType, before: &str, found: &mut Vec<String>) {
    for row in of.properties.iter().filter(|row| row.required) {
        let path = format!("{before}{}", row.name);
        if let Kind::Object(inner) = row.kind {
            found.push(path.clone());
            required_members(inner, &format!("{path}/"), found);
        } else {
            found.push(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an annotation's record says of a member.
    fn paths_in<'a>(record: &'a Expression, member: &str) -> Vec<&'a str> {
        let Expression::Record(members) = record else { panic!("no record") };
        let found = members.iter().find(|(name, _)| *name == member).expect(member);
        let Expression::Collection(items) = &found.1 else { panic!("no collection") };
        let path = |item: &'a Expression| match item {
            Expression::Path(path) => &**path,
            _ => panic!("no path"),
        };
        items.iter().map(path).collect()
    }

    #[test]
    fn strict_filters_and_sorts_by_the_fields_of_the_contract() {
        let (filter, sort) = (filter(false), sort(false));
        let closed = paths_in(&filter, "NonFilterableProperties");
        for path in
            ["links", "trackingInfo", "inviteContext", "details/notes", "customerProfile/size", "eTag"]
        {
            assert!(closed.contains(&path), "{path}: {closed:?}");
        }
        for path in
            ["details", "details/dealValue", "customerProfile", "customerProfile/address", "team", "consent"]
        {
            assert!(!closed.contains(&path), "{path}: {closed:?}");
        }
        let unsorted = paths_in(&sort, "NonSortableProperties");
        let sortable: Vec<&str> = Referral::TYPE.properties.iter().map(|row| row.name).collect();
        let sortable: Vec<&str> = sortable.into_iter().filter(|name| !unsorted.contains(name)).collect();
        assert_eq!(sortable, ["createdDateTime", "updatedDateTime"]);
    }

    #[test]
    fn extended_filters_by_every_stored_member_and_sorts_by_every_single_value() {
        let (filter, sort) = (filter(true), sort(true));
        assert_eq!(paths_in(&filter, "NonFilterableProperties"), ["links"]);
        let mut expected = collections();
        expected.push("links".to_owned());
        expected.sort_unstable();
        let mut unsorted = paths_in(&sort, "NonSortableProperties");
        unsorted.sort_unstable();
        assert_eq!(unsorted, expected);
    }
}
