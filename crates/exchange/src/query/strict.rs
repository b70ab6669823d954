//! The query language of strict mode: only spec 11.1 and 11.2.

use odata::{
    Collection, Function, PathBase, QueryOptions, SystemOption, Typed, TypedKind, TypedOptions, TypedPath,
    TypedSelect,
};

use referral::ApiMode;

use super::{ListRequestError, ListRequestErrorKind};

/// The options of spec 11.1.
const LIST_OPTIONS: [SystemOption; 8] = [
    SystemOption::Select,
    SystemOption::Filter,
    SystemOption::OrderBy,
    SystemOption::Top,
    SystemOption::Skip,
    SystemOption::Count,
    SystemOption::Expand,
    SystemOption::SkipToken,
];

/// Options that never apply to a list.
const OTHER_OPTIONS: [SystemOption; 5] = [
    SystemOption::Id,
    SystemOption::Index,
    SystemOption::DeltaToken,
    SystemOption::SchemaVersion,
    SystemOption::Levels,
];

/// The keys of `$orderby`.
const SORTABLE: [&str; 2] = ["createdDateTime", "updatedDateTime"];

/// The fields of spec 11.2.
const FILTERABLE: [&str; 24] = [
    "engagementId",
    "status",
    "substatus",
    "updatedDateTime",
    "qualification",
    "type",
    "direction",
    "id",
    "name",
    "externalReferenceId",
    "createdDateTime",
    "acceptedDateTime",
    "closedDateTime",
    "expirationDateTime",
    "organizationId",
    "mpnId",
    "campaignId",
    "registrationStatus",
    "favorite",
    "customerProfile/name",
    "details/dealValue",
    "details/currency",
    "details/closingDateTime",
    "customerProfile/address/country",
];

/// Objects whose members can all be used in `$filter`.
const FILTERABLE_OBJECTS: [&str; 2] = ["customerProfile/address/", "consent/"];

/// Lists whose members `any` may ask.
const FILTERABLE_LISTS: [&str; 3] = ["team", "target", "customerProfile/team"];

/// The functions of spec 11.2.
const FUNCTIONS: [Function; 3] = [Function::Contains, Function::StartsWith, Function::EndsWith];

/// Rejects options that are not supported.
pub(super) fn check_options(options: &QueryOptions, mode: ApiMode) -> Result<(), ListRequestError> {
    for option in &options.given {
        if OTHER_OPTIONS.contains(option) {
            let kind = ListRequestErrorKind::for_unsupported(true, mode);
            return Err(ListRequestError {
                kind,
                ..unsupported(option.name(), 0, "this option is not offered here")
            });
        }
        if mode == ApiMode::Strict && !LIST_OPTIONS.contains(option) {
            return Err(unsupported(option.name(), 0, "this option is not offered"));
        }
    }
    match options.aliases.first() {
        Some((name, _)) if mode == ApiMode::Strict => {
            Err(unsupported(&format!("@{name}"), 0, "parameter aliases are not offered"))
        }
        _ => Ok(()),
    }
}

/// Rejects expressions that are valid, but not supported in strict mode.
pub(super) fn check_supported(options: &TypedOptions) -> Result<(), ListRequestError> {
    if let Some(filter) = &options.filter {
        check_expression(filter, false)?;
    }
    for key in &options.orderby {
        let offered = key.expr.as_item_path().is_some_and(|path| SORTABLE.contains(&path.wire().as_str()));
        if !offered {
            let message = format!("expected {}", SORTABLE.join(" or "));
            return Err(unsupported(SystemOption::OrderBy.name(), key.expr.at.0, &message));
        }
    }
    for selected in options.select.iter().flatten() {
        let TypedSelect::Property { steps, options: None } = selected else {
            return Err(unsupported(
                SystemOption::Select.name(),
                0,
                "expected names of members, separated by commas",
            ));
        };
        if !matches!(steps.as_slice(), [only] if !only.navigation) {
            return Err(unsupported(
                SystemOption::Select.name(),
                0,
                "only whole members of the referral are offered",
            ));
        }
    }
    if !options.expand.is_empty() {
        return Err(unsupported(SystemOption::Expand.name(), 0, "nothing can be expanded"));
    }
    Ok(())
}

fn unsupported(option: &str, at: usize, message: &str) -> ListRequestError {
    let kind = ListRequestErrorKind::ExtendedOnly;
    ListRequestError { option: option.to_owned(), at, message: message.to_owned(), kind }
}

fn not_offered(typed: &Typed, what: &str) -> ListRequestError {
    unsupported(SystemOption::Filter.name(), typed.at.0, &format!("{what} is not offered"))
}

/// One expression of a filter and all below it, `inside` a lambda or not.
fn check_expression(typed: &Typed, inside: bool) -> Result<(), ListRequestError> {
    match &typed.kind {
        TypedKind::Value(_)
        | TypedKind::Not(_)
        | TypedKind::And(_)
        | TypedKind::Or(_)
        | TypedKind::Compare { .. }
        | TypedKind::In { .. } => {}
        TypedKind::Path(path) => check_field(typed, path)?,
        TypedKind::Call { function, .. } if FUNCTIONS.contains(function) => {}
        TypedKind::Any { .. } if inside => return Err(not_offered(typed, "'any' within 'any'")),
        TypedKind::Any { collection, .. } => check_collection(typed, collection)?,
        TypedKind::Call { function, .. } => {
            return Err(not_offered(typed, &format!("the function {}", function.name())));
        }
        TypedKind::All { .. } => return Err(not_offered(typed, "'all'")),
        TypedKind::Count(_) | TypedKind::SearchMatch { .. } => return Err(not_offered(typed, "'$count'")),
        TypedKind::Has { .. } => return Err(not_offered(typed, "'has'")),
        TypedKind::Negate(_) | TypedKind::Arithmetic { .. } => return Err(not_offered(typed, "arithmetic")),
        TypedKind::Member { .. } => return Err(not_offered(typed, "'in' with a list of the referral")),
        TypedKind::Cast { .. } | TypedKind::IsOf { .. } => {
            return Err(not_offered(typed, "a question about types"));
        }
        // `has` on a type without flags is bound as `case`.
        TypedKind::Case(_) => return Err(not_offered(typed, "'case' or 'has'")),
    }
    let inside = inside || matches!(typed.kind, TypedKind::Any { .. });
    typed.children().into_iter().try_for_each(|child| check_expression(child, inside))
}

fn check_field(typed: &Typed, path: &TypedPath) -> Result<(), ListRequestError> {
    let wire = path.wire();
    let offered = match path.base {
        PathBase::Variable(_) => path.steps.len() <= 1,
        PathBase::Item => {
            FILTERABLE.contains(&wire.as_str())
                || FILTERABLE_OBJECTS.iter().any(|object| wire.starts_with(object))
        }
    };
    if offered { Ok(()) } else { Err(not_offered(typed, &format!("filtering by '{wire}'"))) }
}

fn check_collection(typed: &Typed, collection: &Collection) -> Result<(), ListRequestError> {
    let wire = collection.path.wire();
    let offered = collection.path.base == PathBase::Item
        && collection.filters.is_empty()
        && FILTERABLE_LISTS.contains(&wire.as_str());
    if offered { Ok(()) } else { Err(not_offered(typed, &format!("'any' of '{wire}'"))) }
}
