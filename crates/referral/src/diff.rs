//! Differences between two referrals, member by member of the property table, and merging of sent values into stored
//! ones.

use std::collections::HashMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::json::Json;
use crate::model::{Member, Referral};
use crate::table::{Access, Kind, ObjectType, PropertyDefinition};

/// One changed member.
#[derive(Debug)]
pub(crate) struct ChangedMember {
    /// The path, such as `details/dealValue`.
    pub path: String,
    /// The member's row in the property table.
    pub property: &'static PropertyDefinition,
    before: Value,
    after: Value,
}

/// A value of the resource that can be compared and changed. Structs (made by `resource!`) do so member by member; all
/// other values, including lists, as a whole.
pub(crate) trait FieldValue: Clone + Serialize + DeserializeOwned + PartialEq {
    /// Merges a normalized value into this one (U8).
    fn merge_from(&mut self, sent: &Json<'_>) -> Result<(), serde_json::Error> {
        *self = Self::deserialize(sent)?;
        Ok(())
    }

    /// Replaces the member at a path below this value, as a PATCH does.
    fn set_within(&mut self, _stored: &Self, path: &str, _sent: &Json<'_>) -> Result<(), serde_json::Error> {
        Err(serde::de::Error::custom(format_args!("no member {path}")))
    }

    /// Restores what replacing this object by `sent` must not change: omitted members of the server, omitted fixed
    /// members, and members that the server derives.
    fn keep_protected(&mut self, _stored: &Self, _sent: Option<&Json<'_>>) {}

    /// Writes the value as JSON. Faster than serde: names need no escapes, and most texts need none.
    fn write(&self, out: &mut Vec<u8>) {
        serde_json::to_writer(out, self).expect("the resource holds only values that JSON can express");
    }

    /// Returns whether the value is null.
    fn is_null(&self) -> bool {
        false
    }

    /// Adds the differences to `found`. `path` and `property` are those of this value; a whole referral has neither.
    fn compare(
        &self,
        after: &Self,
        path: String,
        property: Option<&'static PropertyDefinition>,
        found: &mut Vec<ChangedMember>,
    ) {
        if let Some(property) = property {
            found.push(ChangedMember { path, property, before: json_of(self), after: json_of(after) });
        }
    }
}

impl<T: FieldValue> FieldValue for Option<T> {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Some(value) => value.write(out),
            None => out.extend_from_slice(b"null"),
        }
    }

    fn is_null(&self) -> bool {
        self.is_none()
    }
}

impl<T: FieldValue> FieldValue for Vec<T> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(b'[');
        for (at, item) in self.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            item.write(out);
        }
        out.push(b']');
    }
}

impl FieldValue for String {
    fn write(&self, out: &mut Vec<u8>) {
        // Without an early return, so that the compiler vectorizes the loop.
        let is_special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
        if self.bytes().fold(false, |found, byte| found | is_special(byte)) {
            serde_json::to_writer(out, self).expect("a string is JSON");
        } else {
            write_plain(self, out);
        }
    }
}

impl FieldValue for bool {}
impl FieldValue for Value {}

/// Writes a text that needs no escapes.
pub(crate) fn write_plain(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Replaces a member, or a member inside it, by the value of a PATCH operation.
pub(crate) fn set<T: FieldValue>(
    member: &mut T,
    stored: &T,
    row: Option<&PropertyDefinition>,
    rest: &str,
    sent: &Json<'_>,
) -> Result<(), serde_json::Error> {
    if !rest.is_empty() {
        return member.set_within(stored, rest, sent);
    }
    if row.is_none_or(|row| row.access != Access::Derived) {
        *member = T::deserialize(sent)?;
        member.keep_protected(stored, Some(sent));
    }
    Ok(())
}

/// Restores a member that replacing the surrounding object must not change.
pub(crate) fn keep<T: FieldValue>(
    member: &mut T,
    stored: &T,
    row: Option<&PropertyDefinition>,
    sent: Option<&Json<'_>>,
) {
    match row.map(|row| row.access) {
        Some(Access::Derived) => *member = stored.clone(),
        Some(Access::Server | Access::Fixed) if sent.is_none() => *member = stored.clone(),
        _ => member.keep_protected(stored, sent),
    }
}

fn json_of(value: &(impl Serialize + ?Sized)) -> Value {
    serde_json::to_value(value).expect("the resource holds only values that JSON can express")
}

/// Returns all changed members, in wire order.
pub(crate) fn changed(before: &Referral, after: &Referral) -> Vec<ChangedMember> {
    let mut found = Vec::new();
    before.compare(after, String::new(), None, &mut found);
    found
}

/// Returns the changes for the change log: `{ "member/path": [before, after], … }`.
pub(crate) fn as_json(changes: Vec<ChangedMember>) -> Value {
    let pairs = changes.into_iter().map(|change| (change.path, json!([change.before, change.after])));
    Value::Object(pairs.collect::<Map<_, _>>())
}

/// Restores in `next` what a PATCH that replaced an object left out: members of the server, fixed members, and members
/// that the server derives.
pub(crate) fn keep_protected(of: &ObjectType, current: &Value, next: &mut Value) {
    let (Value::Object(current), Value::Object(next)) = (current, next) else { return };
    for property in of.properties {
        let Some(stored) = current.get(property.name) else { continue };
        let left_out = !next.contains_key(property.name);
        let servers = matches!(property.access, Access::Server | Access::Fixed);
        if servers && left_out || property.access == Access::Derived {
            next.insert(property.name.to_owned(), stored.clone());
        } else if let Kind::Object(inner) = property.kind {
            let inside = next.entry(property.name).or_insert_with(|| Value::Object(Map::new()));
            keep_protected(inner, stored, inside);
        }
    }
}

/// Keeps the validation results of people who stay. A person is identified by the e-mail address only; new people have
/// no results.
pub(crate) fn keep_known(stored: &[Member], next: &mut [Member]) {
    let folded = |member: &Member| member.email.as_deref().map(str::to_ascii_lowercase);
    let mut first_of = HashMap::new();
    for old in stored {
        if let Some(email) = folded(old) {
            first_of.entry(email).or_insert(old);
        }
    }
    for (at, member) in next.iter_mut().enumerate() {
        let email = folded(member);
        let in_place = stored.get(at).filter(|old| folded(old) == email);
        let known = in_place.or_else(|| first_of.get(&email?).copied());
        member.email_validation_status = known.and_then(|old| old.email_validation_status.clone());
        member.phone_validation_status = known.and_then(|old| old.phone_validation_status.clone());
    }
}
