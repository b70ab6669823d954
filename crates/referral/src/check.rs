//! Holding what a caller sent against the property table: names, types, formats and limits.
//!
//! The result is the same JSON in the contract's own spelling ("normal"): canonical member names and enum
//! spellings, UTC instants, exact numbers; unknown members and the server's own left out. Source: spec 5, 6, 8.5.

use serde_json::{Map, Value};

use crate::amount::Amount;
use crate::etag::ETag;
use crate::ids::{EngagementId, OrganizationId};
use crate::invalid::Invalid;
use crate::model::Target;
use crate::table::{Access, Kind, ObjectType, Property};
use crate::timestamp::Timestamp;

/// Targets of one referral (spec 8.5).
const MOST_TARGETS: usize = 50;
/// Elements of every other list: more people than fit into the longest document, so that a short body of a million
/// empty ones is refused before they are filled with nulls.
const MOST_ELEMENTS: usize = 10_000;

/// What kind of request the values come from: decides what null means and what becomes of server members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion {
    /// POST: null equals absence, server members are passed over.
    Create,
    /// PUT: null clears what can be cleared (U8), server members are passed over.
    Replace,
    /// A value of a PATCH operation: as PUT, but server members are kept, to be compared later, and an object
    /// replaces the stored one.
    Patch,
    /// A merge patch: as a PATCH value, but objects are laid over the stored ones.
    Merge,
    /// A value sent for a member of the server: brought into normal form, nothing dropped.
    Compare,
}

/// How strictly names are taken.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Which request.
    pub occasion: Occasion,
    /// The switch "reject unknown members" (spec 5.1).
    pub reject_unknown: bool,
}

/// Where in the body the checker is; printed as the error's target.
#[derive(Debug, Default)]
pub struct Place(String);

impl Place {
    fn within<T>(&mut self, step: impl std::fmt::Display, inner: impl FnOnce(&mut Place) -> T) -> T {
        use std::fmt::Write;
        let length = self.0.len();
        let slash = if length == 0 { "" } else { "/" };
        // Writing to a String cannot fail.
        let _ = write!(self.0, "{slash}{step}");
        let result = inner(self);
        self.0.truncate(length);
        result
    }

    fn path(&self) -> String {
        if self.0.is_empty() { "body".into() } else { self.0.clone() }
    }
}

impl Check {
    /// Checks a whole object: the body of POST or PUT.
    ///
    /// # Errors
    /// The first offender.
    pub(crate) fn object(&self, of: &ObjectType, value: &Value, place: &mut Place) -> Result<Value, Invalid> {
        let Value::Object(members) = value else {
            return Err(self.wrong(&format!("a {} object", of.name), value, place));
        };
        let mut normal = Map::with_capacity(members.len());
        for (name, value) in members {
            let Some(property) = of.find(name) else {
                self.unknown(of, name, place)?;
                continue;
            };
            let checked = place.within(property.name, |place| self.member(property, value, place))?;
            if let Some(checked) = checked {
                normal.insert(property.name.to_owned(), checked);
            }
        }
        Ok(Value::Object(normal))
    }

    /// Checks one member; `None` when it is passed over.
    pub(crate) fn member(
        &self,
        property: &Property,
        value: &Value,
        place: &mut Place,
    ) -> Result<Option<Value>, Invalid> {
        match property.access {
            Access::Derived => return Ok(None),
            Access::Server if matches!(self.occasion, Occasion::Create | Occasion::Replace) => {
                return Ok(None);
            }
            // Compared with the stored value later; what cannot be read is certainly another one, and so are links.
            Access::Server => return self.servers(property, value, place).map(Some),
            _ => {}
        }
        if !value.is_null() {
            return self.value(&property.kind, value, place).map(Some);
        }
        if self.occasion == Occasion::Create {
            return Ok(None);
        }
        if property.nullable {
            return Ok(Some(Value::Null));
        }
        match property.kind {
            Kind::Object(of) if property.access == Access::Fixed => Ok(Some(cleared(of))),
            _ if property.access == Access::Fixed => Err(Invalid::read_only(place.path(), property.name)),
            Kind::Flag => Ok(Some(Value::Bool(false))),
            Kind::List(_) | Kind::ProfileIds(_) | Kind::Texts | Kind::Unknown => {
                Ok(Some(Value::Array(Vec::new())))
            }
            _ => Err(self.wrong(&property.kind.expected(), value, place)),
        }
    }

    /// A value for a member of the server, as it would stand in the document. Links do not stand there; where an
    /// object with them may be sent at all, they are passed over.
    fn servers(&self, property: &Property, value: &Value, place: &mut Place) -> Result<Value, Invalid> {
        let compare = Check { occasion: Occasion::Compare, ..*self };
        let sent = match value {
            Value::Null if property.nullable || property.name == "links" => Some(Value::Null),
            _ if property.name == "links" => (self.occasion == Occasion::Merge).then_some(Value::Null),
            _ => compare.value(&property.kind, value, place).ok(),
        };
        sent.ok_or_else(|| Invalid::read_only(place.path(), property.name))
    }

    fn unknown(&self, of: &ObjectType, name: &str, place: &mut Place) -> Result<(), Invalid> {
        if !self.reject_unknown || name.starts_with('@') {
            return Ok(());
        }
        let nearest = nearest_name(of, name).map(|near| format!(" Did you mean {near}?")).unwrap_or_default();
        let message = format!("{} has no member {}.{nearest}", of.name, brief(name));
        Err(Invalid::value(place.within(brief(name), |place| place.path()), message, brief(name)))
    }

    fn wrong(&self, expected: &str, value: &Value, place: &Place) -> Invalid {
        let target = place.path();
        let found = match value {
            Value::Null => "null".to_owned(),
            Value::Object(_) => "an object".to_owned(),
            Value::Array(_) => "an array".to_owned(),
            other => brief(&other.to_string()),
        };
        Invalid::value(target.clone(), format!("{target} must be {expected}."), found)
    }

    /// Checks a value that is not null.
    pub(crate) fn value(&self, kind: &Kind, value: &Value, place: &mut Place) -> Result<Value, Invalid> {
        let refused = |place: &Place| self.wrong(&kind.expected(), value, place);
        let normal = match (kind, value) {
            (Kind::Object(of), value) => return self.whole_object(of, value, place),
            (Kind::List(of), Value::Array(items)) => return self.list(of, items, place),
            (Kind::ProfileIds(of), Value::Array(items)) => return self.list(of, items, place),
            (Kind::ProfileIds(of), Value::Object(members)) => return self.profile_ids(of, members, place),
            (Kind::Texts, Value::Array(items)) => {
                let texts = items.iter().enumerate();
                let texts = texts
                    .map(|(at, item)| place.within(at, |place| self.value(&Kind::Text(1024), item, place)));
                return texts.collect::<Result<Vec<_>, _>>().map(Value::Array);
            }
            (Kind::Unknown, Value::Array(_)) => Some(value.clone()),
            (Kind::Boolean | Kind::Flag, Value::Bool(_)) => Some(value.clone()),
            (Kind::Amount, Value::Number(number)) => amount(number.as_str()),
            (Kind::Amount, Value::String(text)) => amount(text),
            (Kind::SalesStage, Value::Number(number)) => sales_stage(number.as_str()),
            (_, Value::String(text)) if text.contains('\0') => None,
            (kind, Value::String(text)) => scalar(kind, text),
            _ => None,
        };
        normal.ok_or_else(|| refused(place))
    }

    /// An object within an object. Its required members are asked for where it stands alone; elsewhere it is laid
    /// over the stored one.
    fn whole_object(&self, of: &ObjectType, value: &Value, place: &mut Place) -> Result<Value, Invalid> {
        let normal = self.object(of, value, place)?;
        if matches!(self.occasion, Occasion::Create | Occasion::Patch) {
            require(of, &normal, place)?;
        }
        Ok(normal)
    }

    /// A list element stands alone, so its required members must be there.
    pub(crate) fn element(
        &self,
        of: &ObjectType,
        value: &Value,
        place: &mut Place,
    ) -> Result<Value, Invalid> {
        let normal = self.object(of, value, place)?;
        require(of, &normal, place)?;
        Ok(normal)
    }

    fn list(&self, of: &ObjectType, items: &[Value], place: &mut Place) -> Result<Value, Invalid> {
        let most = if of.name == Target::TYPE.name { MOST_TARGETS } else { MOST_ELEMENTS };
        if items.len() > most {
            let message = format!("The list may hold at most {most} elements.");
            return Err(Invalid::value(place.path(), message, items.len().to_string()));
        }
        let items = items
            .iter()
            .enumerate()
            .map(|(at, item)| place.within(at, |place| self.element(of, item, place)));
        items.collect::<Result<Vec<_>, _>>().map(Value::Array)
    }

    /// A list of pairs in its other form: `{}` is an empty list and `{ "Duns": "…" }` a list of one (spec 5.3).
    fn profile_ids(
        &self,
        of: &ObjectType,
        members: &Map<String, Value>,
        place: &mut Place,
    ) -> Result<Value, Invalid> {
        let filled = members.iter().filter(|(_, id)| !id.is_null());
        let pairs = filled.map(|(name, id)| serde_json::json!({ "profileType": name, "id": id }));
        self.list(of, &pairs.collect::<Vec<_>>(), place)
    }
}

/// What null makes of a fixed object: null in its members.
fn cleared(of: &ObjectType) -> Value {
    let own = of.properties.iter().filter(|property| property.access != Access::Derived);
    own.map(|property| (property.name.to_owned(), Value::Null)).collect()
}

/// Asks for the members that a new object must have.
pub(crate) fn require(of: &ObjectType, normal: &Value, place: &mut Place) -> Result<(), Invalid> {
    let missing: Vec<_> = of
        .properties
        .iter()
        .filter(|property| property.required && normal.get(property.name).is_none())
        .collect();
    let Some(first) = missing.first() else { return Ok(()) };
    let mut invalid = Invalid::missing(place.within(first.name, |place| place.path()));
    if missing.len() > 1 {
        let names: Vec<_> = missing.iter().map(|property| property.name).collect();
        invalid.message = format!("One or more required properties are missing: {}.", names.join(", "));
    }
    Err(invalid)
}

fn amount(text: &str) -> Option<Value> {
    let amount: Amount = text.parse().ok()?;
    Some(Value::Number(amount.to_string().parse().ok()?))
}

/// A percentage of 0 to 100, kept as the text that was sent, or one of the connector's four names.
fn sales_stage(text: &str) -> Option<Value> {
    const NAMES: [&str; 4] = ["Qualify", "Develop", "Propose", "Close"];
    if let Some(name) = NAMES.iter().find(|name| name.eq_ignore_ascii_case(text)) {
        return Some(Value::String((*name).to_owned()));
    }
    let percentage: Amount = text.parse().ok()?;
    (percentage.value() <= rust_decimal::Decimal::ONE_HUNDRED).then(|| Value::String(text.to_owned()))
}

/// A text of the right form, in its normal spelling.
fn scalar(kind: &Kind, text: &str) -> Option<Value> {
    let keep = |good: bool| good.then(|| Value::String(text.to_owned()));
    match kind {
        Kind::Text(max) => keep(within(text, *max)),
        Kind::NonEmpty(max) => keep(!text.is_empty() && within(text, *max)),
        Kind::Phone => keep(within(text, 64)),
        Kind::Email => keep(text.is_empty() || is_email(text)),
        Kind::Digits => {
            keep(!text.is_empty() && text.len() <= 1024 && text.bytes().all(|byte| byte.is_ascii_digit()))
        }
        Kind::Guid => text.parse::<EngagementId>().ok().map(|id| Value::String(id.to_string())),
        Kind::Organization => text.parse::<OrganizationId>().ok().map(|id| Value::String(id.to_string())),
        Kind::ETag => text.parse::<ETag>().ok().map(|tag| Value::String(tag.to_string())),
        Kind::DateTime => text.parse::<Timestamp>().ok().map(|instant| Value::String(instant.to_string())),
        Kind::Enumeration(list) => list.spelling(text).map(|spelling| Value::String(spelling.to_owned())),
        Kind::Currency => (text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic()))
            .then(|| Value::String(text.to_ascii_uppercase())),
        Kind::Country => crate::country::two_letter_code(text).map(Value::String),
        Kind::SalesStage => sales_stage(text),
        _ => None,
    }
}

fn within(text: &str, max: usize) -> bool {
    text.len() <= max || text.chars().count() <= max
}

/// One `@`, parts on both sides, at most 320 characters (spec 8.5).
pub(crate) fn is_email(text: &str) -> bool {
    let mut parts = text.split('@');
    let both = parts.next().is_some_and(|part| !part.is_empty())
        && parts.next().is_some_and(|part| !part.is_empty());
    both && parts.next().is_none() && within(text, 320)
}

/// The first 80 characters, for an error body.
pub(crate) fn brief(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The member whose name is nearest, if near enough to be a slip.
pub(crate) fn nearest_name(of: &ObjectType, name: &str) -> Option<&'static str> {
    let wanted = name.to_ascii_lowercase();
    if wanted.len() > 64 {
        return None;
    }
    let near = of
        .properties
        .iter()
        .map(|property| (distance(&property.name.to_ascii_lowercase(), &wanted), property.name));
    near.min()
        .filter(|(distance, found)| *distance <= 1 + found.len().min(wanted.len()) / 4)
        .map(|(_, found)| found)
}

/// Levenshtein distance of two short texts.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, from) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], line + 1);
        for (column, &to) in other.iter().enumerate() {
            let kept = diagonal + usize::from(from != to);
            diagonal = row[column + 1];
            row[column + 1] = kept.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Referral;
    use serde_json::json;

    const REPLACE: Check = Check { occasion: Occasion::Replace, reject_unknown: false };

    fn check(body: Value) -> Result<Value, (String, &'static str)> {
        REPLACE
            .object(&Referral::TYPE, &body, &mut Place::default())
            .map_err(|invalid| (invalid.target, invalid.rule.code()))
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
            assert_eq!(check(sent.clone()), Ok(normal), "{sent}");
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
            assert_eq!(check(sent.clone()).map_err(|(target, _)| target), Err(target.to_owned()), "{sent}");
        }
        let targets = vec![json!({ "type": "SolutionProfile", "id": "1" }); 51];
        assert_eq!(check(json!({ "target": targets })).unwrap_err().0, "target");
    }

    #[test]
    fn an_unknown_member_is_refused_when_the_switch_is_on_and_the_nearest_is_named() {
        let strict = Check { occasion: Occasion::Replace, reject_unknown: true };
        let body = json!({ "details": { "dealvalues": 5 } });
        let invalid = strict.object(&Referral::TYPE, &body, &mut Place::default()).unwrap_err();
        assert_eq!(invalid.target, "details/dealvalues");
        assert!(invalid.message.contains("Did you mean dealValue?"), "{}", invalid.message);
        assert!(
            strict.object(&Referral::TYPE, &json!({ "@odata.context": "x" }), &mut Place::default()).is_ok()
        );
    }
}
