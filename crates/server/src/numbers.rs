//! Numbers of `Edm.Int64` and `Edm.Decimal` as strings: what `IEEE754Compatible=true` asks for. Source: OData JSON
//! Format 4.01, section 3.2.

use std::sync::Arc;

use exchange::{Question, RELATED_REFERRALS, schema};
use odata::{Primitive, Property, Schema, Type, TypedOptions, TypedSelect};
use referral::Referral;
use serde_json::Value as Json;

/// What the body of an answer is, where it holds numbers: it travels with the answer until the answer leaves.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// One referral, as a question shows it; `None`: whole.
    Referral(Option<Arc<Question>>),
    /// The answer to a question.
    List(Arc<Question>),
    /// A property: its type and what was asked of it.
    Property(Type, Option<Box<TypedOptions>>),
}

impl Content {
    /// A property that is the only one that is selected.
    pub(crate) fn property(ty: Type, selection: &TypedOptions) -> Content {
        let options = match selection.select.as_deref() {
            Some([TypedSelect::Property { options, .. }]) => options.clone(),
            _ => None,
        };
        Content::Property(ty, options)
    }

    /// The body with strings in place of these numbers.
    pub(crate) fn with_strings(&self, body: &[u8]) -> Option<Vec<u8>> {
        let mut json: Json = serde_json::from_slice(body).ok()?;
        let none = TypedOptions::default();
        match self {
            Content::Referral(question) => {
                let options = question.as_ref().map_or(&none, |question| question.options());
                entity(&mut json, options);
            }
            Content::List(question) => {
                counts(&mut json);
                for item in json.get_mut("value").and_then(Json::as_array_mut).into_iter().flatten() {
                    entity(item, question.options());
                }
            }
            Content::Property(ty, options) => {
                counts(&mut json);
                let picks = [Pick { steps: &[], options: options.as_deref() }];
                match ty {
                    Type::Structured(_) => typed(&mut json, ty, schema(), &picks),
                    _ => {
                        if let Some(value) = json.get_mut("value") {
                            typed(value, ty, schema(), &picks);
                        }
                    }
                }
            }
        }
        serde_json::to_vec(&json).ok()
    }
}

/// A selected path, as far as it is still ahead, with what was asked of its end.
#[derive(Clone, Copy)]
struct Pick<'a> {
    steps: &'a [Property],
    options: Option<&'a TypedOptions>,
}

/// A referral, or a result of an aggregation.
fn entity(json: &mut Json, options: &TypedOptions) {
    let (schema, of) = match &options.apply {
        Some(apply) => (&*apply.schema, &*apply.result),
        None => (schema(), Referral::TYPE.name),
    };
    object(json, of, schema, &[Pick { steps: &[], options: Some(options) }]);
    let Json::Object(members) = json else { return };
    let related = options.expand.first().map(|expand| &expand.options);
    if let (Some(Json::Array(items)), Some(related)) = (members.get_mut(RELATED_REFERRALS), related) {
        items.iter_mut().for_each(|item| entity(item, related));
    }
}

/// The members of an object: declared ones by the schema, computed ones by their expressions.
fn object(json: &mut Json, of: &str, schema: &Schema, picks: &[Pick<'_>]) {
    counts(json);
    let Json::Object(members) = json else { return };
    let asked: Vec<&TypedOptions> =
        picks.iter().filter(|pick| pick.steps.is_empty()).filter_map(|pick| pick.options).collect();
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
                Some(Pick { steps: steps.as_slice(), options: options.as_deref() })
            }
            _ => None,
        });
        let ahead = picks.iter().copied().filter(|pick| !pick.steps.is_empty()).chain(selected);
        let inner: Vec<Pick<'_>> = ahead
            .filter(|pick| pick.steps.first().is_some_and(|step| *step.name == **name))
            .map(|pick| Pick { steps: pick.steps.get(1..).unwrap_or_default(), ..pick })
            .collect();
        typed(value, &property.ty, schema, &inner);
    }
}

fn typed(json: &mut Json, ty: &Type, schema: &Schema, picks: &[Pick<'_>]) {
    match (ty, json) {
        (Type::Primitive(Primitive::Int64 | Primitive::Decimal), json @ Json::Number(_)) => {
            *json = Json::String(json.to_string());
        }
        (Type::Collection(element), Json::Array(items)) => {
            items.iter_mut().for_each(|item| typed(item, element, schema, picks));
        }
        (Type::Structured(of), json @ Json::Object(_)) => object(json, of, schema, picks),
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
