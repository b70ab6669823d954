//! What changed between two documents, member by member of the property table.

use serde_json::{Map, Value, json};

use crate::table::{Access, Kind, ObjectType, Property};

/// One changed member.
#[derive(Debug)]
pub(crate) struct Changed<'a> {
    /// Its path, such as `details/dealValue`.
    pub path: String,
    /// Its row in the table.
    pub property: &'static Property,
    before: &'a Value,
    after: &'a Value,
}

/// Every changed member, in wire order. Lists count as one member.
pub(crate) fn changed<'a>(of: &ObjectType, before: &'a Value, after: &'a Value) -> Vec<Changed<'a>> {
    let mut found = Vec::new();
    collect(of, before, after, "", &mut found);
    found
}

fn collect<'a>(of: &ObjectType, before: &'a Value, after: &'a Value, at: &str, found: &mut Vec<Changed<'a>>) {
    for property in of.properties {
        let (was, is) = (
            before.get(property.name).unwrap_or(&Value::Null),
            after.get(property.name).unwrap_or(&Value::Null),
        );
        if was == is {
            continue;
        }
        let path = if at.is_empty() { property.name.to_owned() } else { format!("{at}/{}", property.name) };
        match property.kind {
            Kind::Object(inner) if was.is_object() && is.is_object() => collect(inner, was, is, &path, found),
            _ => found.push(Changed { path, property, before: was, after: is }),
        }
    }
}

/// The news for the change log: `{ "member/path": [before, after], … }`.
pub(crate) fn as_json(changes: &[Changed<'_>]) -> Value {
    let pairs = changes.iter().map(|change| (change.path.clone(), json!([change.before, change.after])));
    Value::Object(pairs.collect::<Map<_, _>>())
}

/// The first member that belongs to the server or is fixed, and that `next` shows differently.
pub(crate) fn protected_change(of: &ObjectType, current: &Value, next: &Value) -> Option<String> {
    changed(of, current, next)
        .into_iter()
        .find(|change| matches!(change.property.access, Access::Server | Access::Fixed))
        .map(|change| change.path)
}

/// Gives back to `next` what it must not lose: members of the server and fixed ones that it leaves out, and
/// those whose value is the server's whatever was sent.
pub(crate) fn keep_protected(of: &ObjectType, current: &Value, next: &mut Value) {
    let (Value::Object(current), Value::Object(next)) = (current, next) else { return };
    for property in of.properties {
        let Some(stored) = current.get(property.name) else { continue };
        let own =
            matches!(property.access, Access::Server | Access::Fixed) && !next.contains_key(property.name);
        if own || property.access == Access::Derived {
            next.insert(property.name.to_owned(), stored.clone());
            continue;
        }
        match property.kind {
            Kind::Object(inner) => {
                let inside = next.entry(property.name).or_insert_with(|| Value::Object(Map::new()));
                keep_protected(inner, stored, inside);
            }
            Kind::List(inner) => keep_in_list(inner, stored, next.get_mut(property.name)),
            _ => {}
        }
    }
}

/// List elements have no identity but their e-mail: the same person keeps what the server knows of them, and of
/// anybody else it knows nothing.
fn keep_in_list(of: &ObjectType, current: &Value, next: Option<&mut Value>) {
    let (Some(stored), Some(next)) = (current.as_array(), next.and_then(Value::as_array_mut)) else { return };
    if of.name != crate::model::Member::TYPE.name {
        return;
    }
    for member in next {
        let same = |old: &&Value| {
            let emails =
                (old.get("email").and_then(Value::as_str), member.get("email").and_then(Value::as_str));
            matches!(emails, (Some(one), Some(other)) if one.eq_ignore_ascii_case(other))
        };
        let known = stored.iter().find(same).cloned();
        let Value::Object(member) = member else { continue };
        for property in of.properties.iter().filter(|property| property.access == Access::Server) {
            match known.as_ref().and_then(|old| old.get(property.name)) {
                Some(value) => member.insert(property.name.to_owned(), value.clone()),
                None => member.shift_remove(property.name),
            };
        }
    }
}

/// Lays what was sent over what is stored: objects member by member, everything else as a whole (U8).
pub(crate) fn lay_over(stored: &mut Value, sent: &Value) {
    match (stored, sent) {
        (Value::Object(stored), Value::Object(sent)) => {
            for (name, value) in sent {
                match stored.get_mut(name) {
                    Some(inside) => lay_over(inside, value),
                    None => {
                        stored.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (stored, sent) => *stored = sent.clone(),
    }
}
