//! CSDL as JSON. Source: OData CSDL JSON Representation 4.01.

use exchange::{NAMESPACE, RELATED_REFERRALS};
use referral::Enumeration;
use serde_json::{Map, Value, json};

use super::csdl::{
    Annotation, CONTAINER, Csdl, CsdlMember, CsdlType, Definition, ENTITY_SET, Expression, VOCABULARIES,
    qualified,
};
use super::csdl_xml::vocabulary_address;

/// The document, for a version of OData.
pub(super) fn write(csdl: &Csdl, version: &str) -> Value {
    let mut schema = Map::new();
    for definition in &csdl.definitions {
        let (name, value) = match definition {
            Definition::Structured(of) => (of.name, structured(of)),
            Definition::Enumeration(list) => (list.name, enumeration(list)),
        };
        schema.insert(name.to_owned(), value);
    }
    schema.insert(CONTAINER.to_owned(), container(csdl));
    let references: Map<String, Value> = VOCABULARIES
        .into_iter()
        .map(|(namespace, alias)| {
            let include = json!({ "$Include": [{ "$Namespace": namespace, "$Alias": alias }] });
            (vocabulary_address(namespace, "json"), include)
        })
        .collect();
    json!({
        "$Version": version,
        "$EntityContainer": qualified(CONTAINER),
        "$Reference": references,
        NAMESPACE: schema,
    })
}

fn structured(of: &CsdlType) -> Value {
    let mut out = match of.key {
        Some(key) => object(json!({ "$Kind": "EntityType", "$Key": [key] })),
        None => object(json!({ "$Kind": "ComplexType" })),
    };
    out.extend(of.members.iter().map(|one| (one.name.to_owned(), member(one))));
    annotate(&mut out, &of.annotations);
    Value::Object(out)
}

fn member(member: &CsdlMember) -> Value {
    let mut out = Map::new();
    if member.navigation {
        out.insert("$Kind".to_owned(), "NavigationProperty".into());
    }
    if member.collection {
        out.insert("$Collection".to_owned(), true.into());
    }
    if member.type_name != "Edm.String" {
        out.insert("$Type".to_owned(), member.type_name.clone().into());
    }
    if member.nullable {
        out.insert("$Nullable".to_owned(), true.into());
    }
    let facets = [
        ("$MaxLength", member.facets.max_length.map(Value::from)),
        ("$Precision", member.facets.precision.map(Value::from)),
        ("$Scale", member.facets.scale.map(Value::from)),
    ];
    out.extend(facets.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    annotate(&mut out, &member.annotations);
    Value::Object(out)
}

fn enumeration(list: &Enumeration) -> Value {
    let mut out = object(json!({ "$Kind": "EnumType" }));
    let members = list.spellings.iter().zip(0..);
    out.extend(members.map(|(spelling, number)| ((*spelling).to_owned(), Value::from(number))));
    Value::Object(out)
}

fn container(csdl: &Csdl) -> Value {
    let mut set = object(json!({
        "$Collection": true,
        "$Type": qualified(referral::Referral::TYPE.name),
        "$NavigationPropertyBinding": { RELATED_REFERRALS: ENTITY_SET },
    }));
    annotate(&mut set, &csdl.entity_set);
    let mut out = object(json!({ "$Kind": "EntityContainer", ENTITY_SET: set }));
    annotate(&mut out, &csdl.container);
    Value::Object(out)
}

fn annotate(out: &mut Map<String, Value>, all: &[Annotation]) {
    out.extend(all.iter().map(|annotation| (format!("@{}", annotation.term), expression(&annotation.value))));
}

fn expression(value: &Expression) -> Value {
    match value {
        Expression::Bool(value) => (*value).into(),
        Expression::Text(text) => text.clone().into(),
        Expression::Members(_, names) => names.join(",").into(),
        Expression::Path(path) | Expression::Navigation(path) => path.clone().into(),
        Expression::Record(members) => {
            members.iter().map(|(name, value)| ((*name).to_owned(), expression(value))).collect()
        }
        Expression::Collection(items) => items.iter().map(expression).collect(),
    }
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(members) => members,
        _ => Map::new(),
    }
}
