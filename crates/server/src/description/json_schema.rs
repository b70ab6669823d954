//! The resource in the terms of JSON Schema 2020-12: what answers hold, and what requests may send.
//!
//! Answers are described exactly. Of requests the recommended form is described: the server takes more (names and
//! enumerations in any case, unknown members, members of its own, which it passes over).

use referral::{Access, Kind, ObjectType, PropertyDefinition, Referral};
use serde_json::{Map, Value, json};

use super::descriptions;

/// Members that an answer leaves out unless they are set (spec 5.3).
const SOMETIMES_ABSENT: [&str; 3] =
    ["emailValidationStatus", "phoneValidationStatus", "consentToMicrosoftToContactSpecificPartners"];

/// The most targets of one referral (spec 8.5).
const MAX_TARGETS: usize = 50;

/// Which way the JSON goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SchemaUse {
    Response,
    Request,
}

/// Schemas by name: of every type in answers, under its own name, and in requests, with `Input` behind it.
pub(super) fn of_resource() -> Map<String, Value> {
    let mut schemas = Map::new();
    for usage in [SchemaUse::Response, SchemaUse::Request] {
        let mut known = Vec::new();
        structured(&Referral::TYPE, usage, false, &mut schemas, &mut known);
    }
    schemas
}

/// What a new referral must have beyond the form of what is sent (spec 8.4, the wire profile).
pub(super) fn required_in_new() -> Value {
    required(&Referral::TYPE)
}

/// A reference to a schema of the document.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn name_of(of: &ObjectType, usage: SchemaUse) -> String {
    match usage {
        SchemaUse::Response => of.name.to_owned(),
        SchemaUse::Request => format!("{}Input", of.name),
    }
}

/// Adds the schema of a type, and after it those it uses, each once.
fn structured(
    of: &'static ObjectType,
    usage: SchemaUse,
    is_element: bool,
    schemas: &mut Map<String, Value>,
    known: &mut Vec<&'static str>,
) {
    if known.contains(&of.name) {
        return;
    }
    known.push(of.name);
    let rows = || of.properties.iter().filter(|row| usage == SchemaUse::Response || is_senders(row));
    let properties: Map<String, Value> =
        rows().map(|row| (row.name.to_owned(), member(of, row, usage))).collect();
    let needed: Vec<&str> = match usage {
        SchemaUse::Response => {
            rows().map(|row| row.name).filter(|name| !SOMETIMES_ABSENT.contains(name)).collect()
        }
        // An element stands alone; any other object may be laid over the stored one.
        SchemaUse::Request if is_element => rows().filter(|row| row.required).map(|row| row.name).collect(),
        SchemaUse::Request => Vec::new(),
    };
    let mut schema = json!({ "type": "object", "properties": properties });
    if let Some(words) = descriptions::of_type(of.name) {
        schema["description"] = words.into();
    }
    if !needed.is_empty() {
        schema["required"] = needed.into();
    }
    schemas.insert(name_of(of, usage), schema);
    for row in rows() {
        match row.kind {
            Kind::Object(inner) => structured(inner, usage, false, schemas, known),
            Kind::List(inner) | Kind::ProfileIds(inner) => structured(inner, usage, true, schemas, known),
            Kind::Enumeration(list) => {
                let values = json!({ "type": "string", "enum": list.spellings });
                schemas.entry(list.name).or_insert(values);
            }
            _ => {}
        }
    }
}

/// Whether a caller has something to say about a member.
fn is_senders(row: &PropertyDefinition) -> bool {
    !matches!(row.access, Access::Server | Access::Derived)
}

fn member(of: &ObjectType, row: &PropertyDefinition, usage: SchemaUse) -> Value {
    let mut schema = value(row, usage);
    let may_be_null = row.nullable || (usage == SchemaUse::Request && is_cleared_by_null(&row.kind));
    if may_be_null {
        schema = or_null(schema);
    }
    if let Some(words) = descriptions::of_member(of.name, row.name) {
        schema["description"] = words.into();
    }
    if usage == SchemaUse::Response && !is_senders(row) {
        schema["readOnly"] = true.into();
    }
    schema
}

/// Members that null sets to false or empties (U8).
fn is_cleared_by_null(kind: &Kind) -> bool {
    matches!(kind, Kind::Flag | Kind::List(_) | Kind::ProfileIds(_) | Kind::Texts | Kind::Unknown)
}

fn or_null(mut schema: Value) -> Value {
    match &mut schema["type"] {
        Value::String(single) => {
            schema["type"] = json!([single.clone(), "null"]);
            schema
        }
        Value::Array(several) => {
            several.push("null".into());
            schema
        }
        _ => {
            if let Some(members) = schema.as_object_mut() {
                members.remove("type");
            }
            json!({ "anyOf": [schema, { "type": "null" }] })
        }
    }
}

/// A value that is not null. The limits are those of spec 8.5.
fn value(row: &PropertyDefinition, usage: SchemaUse) -> Value {
    let request = usage == SchemaUse::Request;
    match &row.kind {
        Kind::Text(max) => json!({ "type": "string", "maxLength": max }),
        Kind::NonEmpty(max) => json!({ "type": "string", "minLength": 1, "maxLength": max }),
        Kind::Guid => json!({ "type": "string", "format": "uuid" }),
        Kind::Organization => {
            json!({ "type": "string", "pattern": "^(msft|[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12})$" })
        }
        Kind::ETag => json!({ "type": "string", "pattern": "^\".+\"$" }),
        Kind::DateTime if request => json!({ "type": "string", "format": "date-time" }),
        Kind::DateTime => json!({ "type": "string", "format": "date-time", "pattern": "Z$" }),
        Kind::Amount if request => json!({ "type": ["number", "string"], "minimum": 0, "pattern": "^[0-9]" }),
        Kind::Amount => json!({ "type": "number", "minimum": 0 }),
        Kind::Boolean | Kind::Flag => json!({ "type": "boolean" }),
        Kind::Enumeration(list) => reference(list.name),
        Kind::Email => json!({ "type": "string", "maxLength": 320 }),
        Kind::Phone => json!({ "type": "string", "maxLength": 64 }),
        Kind::Country if request => json!({ "type": "string", "pattern": "^[A-Za-z]{2,3}$" }),
        Kind::Country => json!({ "type": "string", "pattern": "^[A-Z]{2}$" }),
        Kind::Currency if request => json!({ "type": "string", "pattern": "^[A-Za-z]{3}$" }),
        Kind::Currency => json!({ "type": "string", "pattern": "^[A-Z]{3}$" }),
        Kind::Digits => json!({ "type": "string", "pattern": "^[0-9]+$", "maxLength": 1024 }),
        Kind::SalesStage if request => json!({ "type": ["string", "number"] }),
        Kind::SalesStage => json!({ "type": "string" }),
        Kind::Object(inner) => reference(&name_of(inner, usage)),
        Kind::ProfileIds(inner) if request => {
            let list = json!({ "type": "array", "items": reference(&name_of(inner, usage)) });
            json!({ "anyOf": [list, { "type": "object" }] })
        }
        Kind::List(inner) | Kind::ProfileIds(inner) => {
            let mut list = json!({ "type": "array", "items": reference(&name_of(inner, usage)) });
            if inner.name == referral::Target::TYPE.name {
                list["maxItems"] = MAX_TARGETS.into();
            }
            list
        }
        Kind::Texts => json!({ "type": "array", "items": { "type": "string" } }),
        Kind::Unknown => json!({ "type": "array", "maxItems": 0 }),
    }
}

fn required(of: &ObjectType) -> Value {
    let rows = || of.properties.iter().filter(|row| row.required);
    let names: Vec<&str> = rows().map(|row| row.name).collect();
    let inner: Map<String, Value> = rows()
        .filter_map(|row| match row.kind {
            Kind::Object(inner) if inner.properties.iter().any(|row| row.required) => {
                Some((row.name.to_owned(), required(inner)))
            }
            _ => None,
        })
        .collect();
    match inner.is_empty() {
        true => json!({ "required": names }),
        false => json!({ "required": names, "properties": inner }),
    }
}
