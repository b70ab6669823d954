//! Validates request bodies against the property table: names, types, formats and limits.
//!
//! Valid values are normalized in place: member names and enum values in the contract's spelling, instants in UTC,
//! numbers without trailing zeros. Unknown members and members set by the server are removed. Source: spec 5, 6, 8.5.

use std::borrow::Cow;
use std::cell::RefCell;

use crate::amount::Amount;
use crate::error::ValidationError;
use crate::etag::ETag;
use crate::ids::{EngagementId, OrganizationId};
use crate::json::Json;
use crate::model::Target;
use crate::table::{Access, Kind, ObjectType, PropertyDefinition};
use crate::timestamp::Timestamp;
use crate::unknown::UnknownMembers;

/// Maximum number of targets of one referral (spec 8.5).
const MOST_TARGETS: usize = 50;
/// Maximum number of elements of every other list. More people than this do not fit into the longest document; without
/// the limit, a short body with a million empty elements would be expanded with nulls.
const MOST_ELEMENTS: usize = 10_000;
/// Spare capacity, in members, that is kept after members were removed. A body full of unknown members must not occupy
/// memory while its request waits for the store.
const SPARE: usize = 64;

/// The kind of request that values come from. It decides what null means and what happens to members of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestKind {
    /// POST: null means absent; members of the server are ignored.
    Create,
    /// PUT: null clears what can be cleared (U8); members of the server are ignored.
    Replace,
    /// A value in a PATCH operation. As PUT, but members of the server are kept, to be compared later, and an object
    /// replaces the stored one.
    Patch,
    /// A merge patch. As a PATCH value, but objects are merged into the stored ones.
    Merge,
    /// A value for a member of the server. It is normalized, and nothing is removed.
    Compare,
}

/// Validates the values of one request.
#[derive(Debug, Clone, Copy)]
pub struct Validator<'u> {
    /// The kind of request.
    pub request_kind: RequestKind,
    /// Collects the members that the contract does not have. They are removed from the value.
    pub unknown: &'u RefCell<UnknownMembers>,
}

/// A position in the body. It is rendered as the target of an error, and only then built as a string.
#[derive(Debug, Clone, Copy)]
pub struct BodyPath<'a> {
    segment: PathSegment<'a>,
    outer: Option<&'a BodyPath<'a>>,
}

/// One segment of a path: from a value to a value inside it.
#[derive(Debug, Clone, Copy)]
enum PathSegment<'a> {
    Member(&'a str),
    Element(usize),
}

impl BodyPath<'_> {
    /// The root of the body.
    pub(crate) const BODY: BodyPath<'static> = BodyPath { segment: PathSegment::Member("body"), outer: None };

    fn member<'a>(&'a self, name: &'a str) -> BodyPath<'a> {
        BodyPath { segment: PathSegment::Member(name), outer: Some(self) }
    }

    fn element(&self, at: usize) -> BodyPath<'_> {
        BodyPath { segment: PathSegment::Element(at), outer: Some(self) }
    }

    fn render(&self) -> String {
        let mut path = match self.outer {
            Some(outer) if outer.outer.is_some() => outer.render() + "/",
            _ => String::new(),
        };
        match self.segment {
            PathSegment::Member(name) => path.push_str(name),
            PathSegment::Element(at) => path.push_str(&at.to_string()),
        }
        path
    }
}

impl Validator<'_> {
    /// Validates a whole object: the body of POST or PUT.
    ///
    /// # Errors
    /// The first error. The value is then partly normalized.
    pub(crate) fn object(
        &self,
        of: &ObjectType,
        value: &mut Json<'_>,
        path: &BodyPath<'_>,
    ) -> Result<(), ValidationError> {
        let Json::Object(members) = value else {
            return Err(self.wrong(&format!("a {} object", of.name), value, path));
        };
        let (mut kept, mut next) = (0, 0);
        for at in 0..members.len() {
            let (name, value) = &mut members[at];
            let Some((found, property)) = of.find_from(next, name) else {
                self.pass_over(of, name, path);
                continue;
            };
            next = found + 1;
            if !self.member(property, value, &path.member(property.name))? {
                continue;
            }
            *name = Cow::Borrowed(property.name);
            // If a member occurs in two spellings, the last one counts.
            let known = members[..kept].iter().position(|(known, _)| *known == property.name);
            members.swap(known.unwrap_or(kept), at);
            kept += usize::from(known.is_none());
        }
        members.truncate(kept);
        if members.capacity() - kept > SPARE {
            members.shrink_to_fit();
        }
        Ok(())
    }

    /// Validates one member. Returns `false` if the member is ignored.
    pub(crate) fn member(
        &self,
        property: &PropertyDefinition,
        value: &mut Json<'_>,
        path: &BodyPath<'_>,
    ) -> Result<bool, ValidationError> {
        match property.access {
            Access::Derived => return Ok(false),
            Access::Server if matches!(self.request_kind, RequestKind::Create | RequestKind::Replace) => {
                return Ok(false);
            }
            // Compared with the stored value later. A value that cannot be parsed certainly differs, and so do links.
            Access::Server => return self.servers(property, value, path).map(|()| true),
            _ => {}
        }
        if !value.is_null() {
            return self.value(&property.kind, value, path).map(|()| true);
        }
        if self.request_kind == RequestKind::Create {
            return Ok(false);
        }
        if property.nullable {
            return Ok(true);
        }
        *value = match property.kind {
            Kind::Object(of) if property.access == Access::Fixed => cleared(of),
            _ if property.access == Access::Fixed => {
                return Err(ValidationError::read_only(path.render(), property.name));
            }
            Kind::Flag => Json::Bool(false),
            Kind::List(_) | Kind::ProfileIds(_) | Kind::Texts | Kind::Unknown => Json::List(Vec::new()),
            _ => return Err(self.wrong(&property.kind.expected(), value, path)),
        };
        Ok(true)
    }

    /// Normalizes a value for a member of the server, as the document has it. Documents contain no links; where an
    /// object with links may be sent at all, they are ignored.
    fn servers(
        &self,
        property: &PropertyDefinition,
        value: &mut Json<'_>,
        path: &BodyPath<'_>,
    ) -> Result<(), ValidationError> {
        let compare = Validator { request_kind: RequestKind::Compare, ..*self };
        let good = match value {
            Json::Null => property.nullable || property.name == "links",
            _ if property.name == "links" => {
                *value = Json::Null;
                self.request_kind == RequestKind::Merge
            }
            value => compare.value(&property.kind, value, path).is_ok(),
        };
        if good { Ok(()) } else { Err(ValidationError::read_only(path.render(), property.name)) }
    }

    /// Records an unknown member. Annotations (`@odata.type`, `team@odata.count`) are not members.
    #[cold]
    fn pass_over(&self, of: &ObjectType, name: &str, path: &BodyPath<'_>) {
        if !name.contains('@') {
            self.unknown.borrow_mut().add(of, name, || path.member(name).render());
        }
    }

    fn wrong(&self, expected: &str, value: &Json<'_>, path: &BodyPath<'_>) -> ValidationError {
        let target = path.render();
        let found = match value {
            Json::Null => "null".to_owned(),
            Json::Object(_) => "an object".to_owned(),
            Json::List(_) => "an array".to_owned(),
            other => brief(&other.to_string()),
        };
        ValidationError::value(target.clone(), format!("{target} must be {expected}."), found)
    }

    /// Validates a value of the given kind.
    pub(crate) fn value(
        &self,
        kind: &Kind,
        value: &mut Json<'_>,
        path: &BodyPath<'_>,
    ) -> Result<(), ValidationError> {
        let good = match (kind, &mut *value) {
            (Kind::Object(of), value) => return self.whole_object(of, value, path),
            (Kind::List(of) | Kind::ProfileIds(of), Json::List(items)) => return self.list(of, items, path),
            (Kind::ProfileIds(of), Json::Object(members)) => {
                let mut pairs = pairs(std::mem::take(members));
                self.list(of, &mut pairs, path)?;
                *value = Json::List(pairs);
                return Ok(());
            }
            (Kind::Texts, Json::List(items)) => {
                let mut texts = items.iter_mut().enumerate();
                return texts
                    .try_for_each(|(at, item)| self.value(&Kind::Text(1024), item, &path.element(at)));
            }
            (Kind::Unknown, Json::List(_)) | (Kind::Boolean | Kind::Flag, Json::Bool(_)) => true,
            (Kind::Amount, Json::Number(text) | Json::Text(text)) => match amount(text) {
                Some(normal) => {
                    *value = Json::Number(normal);
                    true
                }
                None => false,
            },
            (Kind::SalesStage, Json::Number(text)) => match sales_stage(text) {
                Some(normal) => {
                    *value = Json::Text(normal.into_owned().into());
                    true
                }
                None => false,
            },
            (_, Json::Text(text)) if text.contains('\0') => false,
            (kind, Json::Text(text)) => scalar(kind, text),
            _ => false,
        };
        if good { Ok(()) } else { Err(self.wrong(&kind.expected(), value, path)) }
    }

    /// Validates an object inside an object. Required members are demanded where the object replaces the stored one,
    /// not where it is merged into it.
    fn whole_object(
        &self,
        of: &ObjectType,
        value: &mut Json<'_>,
        path: &BodyPath<'_>,
    ) -> Result<(), ValidationError> {
        self.object(of, value, path)?;
        match self.request_kind {
            RequestKind::Create | RequestKind::Patch => require(of, |name| value.get(name).is_some(), path),
            _ => Ok(()),
        }
    }

    /// Validates a list element. Elements are never merged, so required members must be present.
    pub(crate) fn element(
        &self,
        of: &ObjectType,
        value: &mut Json<'_>,
        path: &BodyPath<'_>,
    ) -> Result<(), ValidationError> {
        self.object(of, value, path)?;
        require(of, |name| value.get(name).is_some(), path)
    }

    fn list(
        &self,
        of: &ObjectType,
        items: &mut [Json<'_>],
        path: &BodyPath<'_>,
    ) -> Result<(), ValidationError> {
        let most = if of.name == Target::TYPE.name { MOST_TARGETS } else { MOST_ELEMENTS };
        if items.len() > most {
            let message = format!("The list may hold at most {most} elements.");
            return Err(ValidationError::value(path.render(), message, items.len().to_string()));
        }
        let mut items = items.iter_mut().enumerate();
        items.try_for_each(|(at, item)| self.element(of, item, &path.element(at)))
    }
}

/// Converts the object form of a list of pairs: `{}` is an empty list and `{ "Duns": "…" }` a list of one (spec 5.3).
fn pairs<'a>(members: Vec<(Cow<'a, str>, Json<'a>)>) -> Vec<Json<'a>> {
    let filled = members.into_iter().filter(|(_, id)| !id.is_null());
    let pair = |(name, id)| vec![("profileType".into(), Json::Text(name)), ("id".into(), id)];
    filled.map(|member| Json::Object(pair(member))).collect()
}

/// Returns what null means for a fixed object: null in each of its members.
fn cleared(of: &ObjectType) -> Json<'static> {
    let own = of.properties.iter().filter(|property| property.access != Access::Derived);
    Json::Object(own.map(|property| (property.name.into(), Json::Null)).collect())
}

/// Checks that the required members of a new object are present.
pub(crate) fn require(
    of: &ObjectType,
    is_there: impl Fn(&str) -> bool,
    path: &BodyPath<'_>,
) -> Result<(), ValidationError> {
    let missing = || of.properties.iter().filter(|property| property.required && !is_there(property.name));
    let Some(first) = missing().next() else { return Ok(()) };
    let mut invalid = ValidationError::missing(path.member(first.name).render());
    let names: Vec<_> = missing().map(|property| property.name).collect();
    if names.len() > 1 {
        invalid.message = format!("One or more required properties are missing: {}.", names.join(", "));
    }
    Err(invalid)
}

fn amount<'a>(text: &str) -> Option<Cow<'a, str>> {
    let amount: Amount = text.parse().ok()?;
    Some(amount.to_string().into())
}

/// A percentage from 0 to 100, kept as the text that was sent, or one of the four stage names of the connector.
fn sales_stage(text: &str) -> Option<Cow<'_, str>> {
    const NAMES: [&str; 4] = ["Qualify", "Develop", "Propose", "Close"];
    if let Some(name) = NAMES.into_iter().find(|name| name.eq_ignore_ascii_case(text)) {
        return Some(name.into());
    }
    let percentage: Amount = text.parse().ok()?;
    (percentage.value() <= rust_decimal::Decimal::ONE_HUNDRED).then(|| text.into())
}

/// Returns whether a text has the right form, and normalizes it.
fn scalar(kind: &Kind, text: &mut Cow<'_, str>) -> bool {
    match kind {
        Kind::Text(max) => within(text, *max),
        Kind::NonEmpty(max) => !text.is_empty() && within(text, *max),
        Kind::Phone => within(text, 64),
        Kind::Email => text.is_empty() || is_email(text),
        Kind::Digits => {
            !text.is_empty() && text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_digit())
        }
        Kind::Guid => spelt(text, text.parse::<EngagementId>().ok().map(|id| id.to_string())),
        Kind::Organization => spelt(text, text.parse::<OrganizationId>().ok().map(|id| id.to_string())),
        Kind::ETag => spelt(text, text.parse::<ETag>().ok().map(|tag| tag.to_string())),
        Kind::DateTime => spelt(text, text.parse::<Timestamp>().ok().map(|instant| instant.to_string())),
        Kind::Enumeration(list) => spelt(text, list.spelling(text)),
        Kind::Currency => {
            let good = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic());
            spelt(text, good.then(|| text.to_ascii_uppercase()))
        }
        Kind::Country => spelt(text, crate::country::two_letter_code(text)),
        Kind::SalesStage => spelt(text, sales_stage(text).map(Cow::into_owned)),
        _ => false,
    }
}

/// Replaces a text by its normal spelling, if there is one.
fn spelt<'a>(text: &mut Cow<'a, str>, normal: Option<impl Into<Cow<'a, str>>>) -> bool {
    let Some(normal) = normal else { return false };
    *text = normal.into();
    true
}

fn within(text: &str, max: usize) -> bool {
    text.len() <= max || text.chars().count() <= max
}

/// Returns whether a text has one `@`, something on both sides of it, and at most 320 characters (spec 8.5).
pub(crate) fn is_email(text: &str) -> bool {
    let mut parts = text.split('@');
    let both = parts.next().is_some_and(|part| !part.is_empty())
        && parts.next().is_some_and(|part| !part.is_empty());
    both && parts.next().is_none() && within(text, 320)
}

/// Returns the first 80 characters, for an error body.
pub(crate) fn brief(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Referral;
    use serde_json::{Value, json};

    fn check(body: &Value) -> Result<Value, (String, &'static str)> {
        let mut json = Json::from(body);
        let unknown = RefCell::default();
        Validator { request_kind: RequestKind::Replace, unknown: &unknown }
            .object(&Referral::TYPE, &mut json, &BodyPath::BODY)
            .map_err(|invalid| (invalid.target, invalid.code.as_str()))?;
        Ok(Value::from(&json))
    }

    #[test]
    fn values_become_normal() {
        for (sent, normal) in [
            (
                json!({ "Status": "closed", "SUBSTATUS": "won" }),
                json!({ "status": "Closed", "substatus": "Won" }),
            ), // REF-060 REF-118
            (
                json!({ "details": { "dealValue": "10000.50" } }),
                json!({ "details": { "dealValue": 10000.5 } }),
            ),
            (json!({ "details": { "currency": "usd" } }), json!({ "details": { "currency": "USD" } })),
            (
                json!({ "details": { "closingDateTime": "2020-12-01" } }),
                json!({ "details": { "closingDateTime": "2020-12-01T00:00:00Z" } }),
            ),
            (json!({ "customerProfile": { "ids": {} } }), json!({ "customerProfile": { "ids": [] } })), // REF-075
            (
                json!({ "customerProfile": { "ids": { "Duns": "1" } } }),
                json!({ "customerProfile": { "ids": [{ "profileType": "Duns", "id": "1" }] } }),
            ),
            (
                json!({ "customerProfile": { "address": { "country": "usa" } } }),
                json!({ "customerProfile": { "address": { "country": "US" } } }),
            ),
            (json!({ "salesStage": 60 }), json!({ "salesStage": "60" })),
            (json!({ "salesStage": "close" }), json!({ "salesStage": "Close" })),
            (
                json!({ "engagementId": "37EF26AA-1D15-4533-9F93-A69BD33AB1E5" }),
                json!({ "engagementId": "37ef26aa-1d15-4533-9f93-a69bd33ab1e5" }),
            ),
            (json!({ "id": 5, "createdDateTime": "never", "colour": "red", "@odata.context": 1 }), json!({})), // REF-094 REF-169
            (
                json!({ "favorite": null, "team": null, "name": null }),
                json!({ "favorite": false, "team": [], "name": null }),
            ),
            (json!({ "name": "Überraschung 你好 🎉" }), json!({ "name": "Überraschung 你好 🎉" })), // REF-097
        ] {
            assert_eq!(check(&sent), Ok(normal), "{sent}");
        }
    }

    #[test]
    fn the_first_offender_is_named() {
        // REF-117 REF-120 REF-121 REF-122 REF-124 REF-125 REF-142 REF-254
        for (sent, target) in [
            (json!({ "substatus": "Engaged" }), "substatus"),
            (json!({ "qualification": "Good" }), "qualification"),
            (json!({ "type": 1 }), "type"),
            (json!({ "details": { "currency": "EURO" } }), "details/currency"),
            (json!({ "details": { "currency": "E1R" } }), "details/currency"),
            (json!({ "details": { "dealValue": -1 } }), "details/dealValue"),
            (json!({ "details": { "dealValue": true } }), "details/dealValue"),
            (json!({ "details": { "closingDateTime": "tomorrow" } }), "details/closingDateTime"),
            (json!({ "details": [] }), "details"),
            (json!({ "team": [{}, { "email": "nobody" }] }), "team/1/email"),
            (json!({ "team": [{ "email": "a@b@c" }] }), "team/0/email"),
            (json!({ "team": {} }), "team"),
            (json!({ "team": [{ "contactPreference": null }] }), "team/0/contactPreference"),
            (
                json!({ "customerProfile": { "address": { "country": "Polska" } } }),
                "customerProfile/address/country",
            ),
            (
                json!({ "customerProfile": { "address": { "country": "XXY" } } }),
                "customerProfile/address/country",
            ),
            (json!({ "customerProfile": { "name": "" } }), "customerProfile/name"),
            (json!({ "customerProfile": { "ids": [{ "id": "1" }] } }), "customerProfile/ids/0/profileType"),
            (json!({ "customerProfile": null }), "customerProfile"),
            (json!({ "name": "x".repeat(257) }), "name"),
            (json!({ "name": "a\u{0}b" }), "name"),
            (json!({ "statusReason": "x".repeat(1025) }), "statusReason"),
            (json!({ "engagementId": "37ef26aa" }), "engagementId"),
            (json!({ "salesStage": 101 }), "salesStage"),
            (json!({ "salesStage": "later" }), "salesStage"),
            (json!({ "mpnId": "12a" }), "mpnId"),
            (json!([]), "body"),
        ] {
            assert_eq!(check(&sent).map_err(|(target, _)| target), Err(target.to_owned()), "{sent}");
        }
        let targets = vec![json!({ "type": "SolutionProfile", "id": "1" }); 51];
        assert_eq!(check(&json!({ "target": targets })).unwrap_err().0, "target");
    }

    #[test]
    fn unknown_members_are_told_with_their_places_and_annotations_are_none() {
        let unknown = RefCell::default();
        let validator = Validator { request_kind: RequestKind::Replace, unknown: &unknown };
        let body = json!({
            "details": { "dealvalues": 5, "requirements": { "solutions": [{ "id": "1", "nmae": "x" }] } },
            "team": [{}, { "emailAddress": "SECRET" }],
            "colour": "red", "@odata.context": "x", "team@odata.count": 2, "ETAG": "\"x\"",
        });
        validator.object(&Referral::TYPE, &mut Json::from(&body), &BodyPath::BODY).unwrap();
        let told = "details/dealvalues: did you mean dealValue?; \
                    details/requirements/solutions/0/nmae: did you mean name?; \
                    team/1/emailAddress: did you mean email?; colour: unknown";
        assert_eq!(unknown.into_inner().to_string(), told);
    }
}
