//! Numbers of `Edm.Int64` and `Edm.Decimal` as strings: what `IEEE754Compatible=true` asks for. Source: OData JSON
//! Format 4.01, section 3.2.

use std::sync::Arc;

use exchange::{ListRequest, RELATED_REFERRALS, schema};
use odata::{Primitive, Property, Schema, Type, TypedOptions, TypedSelect};
use referral::Referral;
use serde_json::Value as Json;

use crate::item_writer::{JsonMembers, end_of_value};

/// What the body of an answer is, where it holds numbers: it travels with the answer until the answer leaves.
#[derive(Debug, Clone)]
pub(crate) enum BodyContent {
    /// One referral, as a question shows it; `None`: whole.
    Referral(Option<Arc<ListRequest>>),
    /// The answer to a question.
    List(Arc<ListRequest>),
    /// The answer to a batch: its parts have been written as each wants it.
    Batch,
    /// A property: its type and what was asked of it.
    Property(Type, Option<Box<TypedOptions>>),
}

impl BodyContent {
    /// A property that is the only one that is selected.
    pub(crate) fn property(ty: Type, selection: &TypedOptions) -> BodyContent {
        let options = match selection.select.as_deref() {
            Some([TypedSelect::Property { options, .. }]) => options.clone(),
            _ => None,
        };
        BodyContent::Property(ty, options)
    }

    /// The body with strings in place of these numbers; `None` where it is not JSON, for a document is damaged.
    pub(crate) fn with_strings(&self, body: &[u8]) -> Option<Vec<u8>> {
        let none = TypedOptions::default();
        if let BodyContent::List(list_request) = self {
            return list_with_strings(body, list_request.options());
        }
        let mut json: Json = serde_json::from_slice(body).ok()?;
        match self {
            BodyContent::Referral(list_request) => {
                let options = list_request.as_ref().map_or(&none, |list_request| list_request.options());
                entity(&mut json, options);
            }
            BodyContent::List(_) | BodyContent::Batch => {} // has been dealt with, or needs nothing
            BodyContent::Property(ty, options) => {
                counts(&mut json);
                let selection = [SelectedMember { steps: &[], options: options.as_deref() }];
                match ty {
                    Type::Structured(_) => typed(&mut json, ty, schema(), &selection),
                    _ => {
                        if let Some(value) = json.get_mut("value") {
                            typed(value, ty, schema(), &selection);
                        }
                    }
                }
            }
        }
        serde_json::to_vec(&json).ok()
    }
}

/// A list with strings in place of numbers. Its items are read one by one: together they take many times their length.
fn list_with_strings(body: &[u8], options: &TypedOptions) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(body.len() + body.len() / 8);
    let mut read = 0;
    for (name, member) in JsonMembers(body.get(1..)?) {
        out.push(if read == 0 { b'{' } else { b',' });
        read += 1 + member.len();
        if name == b"value" {
            out.extend_from_slice(b"\"value\":[");
            items_with_strings(member.strip_prefix(b"\"value\":[")?, options, &mut out)?;
            continue;
        }
        let mut alone: Json = serde_json::from_slice(&[&b"{"[..], member, b"}"].concat()).ok()?;
        counts(&mut alone);
        out.extend_from_slice(alone.to_string().strip_prefix('{')?.strip_suffix('}')?.as_bytes());
    }
    out.push(b'}');
    (body.get(read..) == Some(b"}")).then_some(out)
}

/// The items behind the bracket of a list, up to its end.
fn items_with_strings(mut rest: &[u8], options: &TypedOptions, out: &mut Vec<u8>) -> Option<()> {
    while rest != b"]" {
        let (item, behind) = rest.split_at_checked(end_of_value(rest)?)?;
        let mut item: Json = serde_json::from_slice(item).ok()?;
        entity(&mut item, options);
        serde_json::to_writer(&mut *out, &item).ok()?;
        rest = behind;
        if let Some(next) = rest.strip_prefix(b",") {
            out.push(b',');
            rest = next;
        }
    }
    out.push(b']');
    Some(())
}

/// A selected path, as far as it is still ahead, with what was asked of its end.
#[derive(Clone, Copy)]
struct SelectedMember<'a> {
    steps: &'a [Property],
    options: Option<&'a TypedOptions>,
}

/// A referral, or a result of an aggregation.
fn entity(json: &mut Json, options: &TypedOptions) {
    let (schema, of) = match &options.apply {
        Some(apply) => (&*apply.schema, &*apply.result),
        None => (schema(), Referral::TYPE.name),
    };
    object(json, of, schema, &[SelectedMember { steps: &[], options: Some(options) }]);
    let Json::Object(members) = json else { return };
    let related = options.expand.first().map(|expand| &expand.options);
    if let (Some(Json::Array(items)), Some(related)) = (members.get_mut(RELATED_REFERRALS), related) {
        items.iter_mut().for_each(|item| entity(item, related));
    }
}

/// The members of an object: declared ones by the schema, computed ones by their expressions.
fn object(json: &mut Json, of: &str, schema: &Schema, selection: &[SelectedMember<'_>]) {
    counts(json);
    let Json::Object(members) = json else { return };
    let asked: Vec<&TypedOptions> =
        selection.iter().filter(|pick| pick.steps.is_empty()).filter_map(|pick| pick.options).collect();
    for (name, value) in members.iter_mut() {
        let computed = asked.iter().flat_map(|options| &options.compute).find(|one| *one.name == **name);
        if let Some(computed) = computed {
            if let Some(ty) = &computed.expr.ty {
                typed(value, ty, schema, &[]);
            }
            continue;
        }
        let Some(property) = schema.property(of, name, false).filter(|property| !property.navigation) else {
            continue;
        };
        let selected = asked.iter().flat_map(|options| options.select.iter().flatten());
        let selected = selected.filter_map(|one| match one {
            TypedSelect::Property { steps, options } => {
                Some(SelectedMember { steps: steps.as_slice(), options: options.as_deref() })
            }
            _ => None,
        });
        let ahead = selection.iter().copied().filter(|pick| !pick.steps.is_empty()).chain(selected);
        let inner: Vec<SelectedMember<'_>> = ahead
            .filter(|pick| pick.steps.first().is_some_and(|step| *step.name == **name))
            .map(|pick| SelectedMember { steps: pick.steps.get(1..).unwrap_or_default(), ..pick })
            .collect();
        typed(value, &property.ty, schema, &inner);
    }
}

fn typed(json: &mut Json, ty: &Type, schema: &Schema, selection: &[SelectedMember<'_>]) {
    match (ty, json) {
        (Type::Primitive(Primitive::Int64 | Primitive::Decimal), json @ Json::Number(_)) => {
            *json = Json::String(json.to_string());
        }
        (Type::Collection(element), Json::Array(items)) => {
            items.iter_mut().for_each(|item| typed(item, element, schema, selection));
        }
        (Type::Structured(of), json @ Json::Object(_)) => object(json, of, schema, selection),
        _ => {}
    }
}

/// `@odata.count` and `member@odata.count`, which are of `Edm.Int64`.
fn counts(json: &mut Json) {
    let Json::Object(members) = json else { return };
    let is_count = |name: &str| name.ends_with("@odata.count") || name.ends_with("@count");
    for (_, value) in members.iter_mut().filter(|(name, value)| is_count(name) && value.is_number()) {
        *value = Json::String(value.to_string());
    }
}

#[cfg(test)]
mod tests {
    use exchange::ApiMode;

    use super::*;

    fn list(body: &str) -> Option<String> {
        let list_request =
            ListRequest::from_query("$compute=details/dealValue as v", ApiMode::Extended).unwrap();
        let text = BodyContent::List(Arc::new(list_request)).with_strings(body.as_bytes())?;
        Some(String::from_utf8(text).unwrap())
    }

    #[test]
    fn a_list_is_read_item_by_item() {
        for (body, with_strings) in [
            (r#"{"value":[]}"#, r#"{"value":[]}"#),
            (
                r#"{"@odata.context":"c,]}","@odata.count":2,"value":[{"name":"a]","details":{"dealValue":1.5}},{"v":2}],"@cosell.leftOut":1}"#,
                r#"{"@odata.context":"c,]}","@odata.count":"2","value":[{"name":"a]","details":{"dealValue":"1.5"}},{"v":"2"}],"@cosell.leftOut":1}"#,
            ),
        ] {
            assert_eq!(list(body).as_deref(), Some(with_strings));
        }
    }

    #[test]
    fn a_damaged_list_has_no_form_with_strings() {
        let body = r#"{"@odata.count":1,"value":[{"name":"a"},{"name":"b"}]}"#;
        for cut in 0..body.len() {
            assert_eq!(list(&body[..cut]), None, "{}", &body[..cut]);
        }
        for damaged in
            [r#"{"value":[{"name":}]}"#, r#"{"value":[{"name":"a"} {}]}"#, r#"{"value":1}"#, "null"]
        {
            assert_eq!(list(damaged), None, "{damaged}");
        }
    }
}
