//! A shop, for tests that need a schema.

#![allow(dead_code, reason = "each test takes what it needs")]

use odata::*;
use serde_json::{Value as Json, json};

pub fn schema() -> Schema {
    let structured = |name: &str| Type::Structured(name.into());
    let schema = Schema::new("Shop")
        .enumeration(EnumType::new("State", &["Draft", "Open", "Sold"]))
        .enumeration(EnumType {
            name: "Colors".into(),
            members: vec![("Red".into(), 1), ("Green".into(), 2), ("Blue".into(), 4)],
            flags: true,
        })
        .structured(
            "Address",
            vec![
                Property::new("city", Primitive::String),
                Property::new("country", Primitive::String).ignoring_case(),
            ],
        )
        .structured(
            "Person",
            vec![
                Property::new("email", Primitive::String).ignoring_case(),
                Property::new("age", Primitive::Int32),
                Property::new("address", structured("Address")),
                Property::new("tags", Type::from(Primitive::String).collection()),
            ],
        )
        .structured(
            "Item",
            vec![
                Property::new("id", Primitive::Guid).required(),
                Property::new("name", Primitive::String),
                Property::new("state", Type::Enum("State".into())),
                Property::new("colors", Type::Enum("Colors".into())),
                Property::new("price", Primitive::Decimal),
                Property::new("weight", Primitive::Double),
                Property::new("count", Primitive::Int64),
                Property::new("ready", Primitive::Boolean),
                Property::new("made", Primitive::DateTimeOffset),
                Property::new("day", Primitive::Date),
                Property::new("opens", Primitive::TimeOfDay),
                Property::new("lasts", Primitive::Duration),
                Property::new("address", structured("Address")),
                Property::new("people", structured("Person").collection()),
                Property::new("tags", Type::from(Primitive::String).collection()),
                Property::new("related", structured("Item").collection()).navigation(),
                Property::new("owner", structured("Person")).navigation(),
            ],
        );
    assert_eq!(schema.undeclared(), None);
    schema
}

pub fn item() -> Json {
    json!({
        "id": "01234567-89ab-cdef-0123-456789abcdef", "name": "Ärger im Haus", "state": "Open", "colors": "Red,Blue",
        "price": serde_json::from_str::<Json>("12.50").expect("a number"), "weight": 2.5, "count": 7, "ready": true,
        "made": "2024-02-29T23:30:15.1234567+02:00", "day": "2024-02-29", "opens": "08:30:00", "lasts": "P1DT2H",
        "address": {"city": "Berlin", "country": "DE"},
        "people": [
            {"email": "Ann@Example.org", "age": 30, "tags": ["a", "b"], "address": {"city": "Bonn", "country": "DE"}},
            {"email": "bob@example.org", "age": null, "tags": [], "address": null}
        ],
        "tags": ["x", "y"], "related": [{"name": "other"}], "owner": null
    })
}

pub fn expr(text: &str) -> Expr {
    Expr::parse(text, &Limits::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}

pub fn query(text: &str) -> QueryOptions {
    QueryOptions::parse(text, &ParseSettings::default()).unwrap_or_else(|error| panic!("{text}: {error}"))
}
