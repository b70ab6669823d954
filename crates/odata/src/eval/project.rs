//! `$select`, `$compute` and the options nested in them, over a document: what of it is shown.
//! Source: OData 4.01 Protocol, 11.2.5.1 and 11.2.5.3.

use serde_json::{Map, Value as Json};

use super::Evaluator;
use crate::schema::Property;
use crate::typed_options::{TypedOptions, TypedSelect};

/// One selected path, as far as it is still ahead.
type Pick<'a> = (&'a [Property], Option<&'a TypedOptions>);

impl Evaluator<'_> {
    /// An item with what `select` and `compute` make of it; members stay in the order of the document, computed ones
    /// follow. `select` of nothing shows all.
    pub fn project(&self, options: &TypedOptions, item: &Json) -> Json {
        let computed = options.compute.iter().map(|one| (&one.name, self.value(&one.expr, item).to_json()));
        let Some(select) = &options.select else {
            let mut shown = item.clone();
            if let Json::Object(members) = &mut shown {
                members.extend(computed.map(|(name, value)| (name.to_string(), value)));
            }
            return shown;
        };
        let everything = select.iter().any(|one| matches!(one, TypedSelect::All));
        let picks: Vec<Pick<'_>> = select
            .iter()
            .filter_map(|one| match one {
                TypedSelect::Property { steps, options } => Some((steps.as_slice(), options.as_deref())),
                TypedSelect::All | TypedSelect::Computed(_) => None,
            })
            .collect();
        let mut shown = if everything { item.clone() } else { self.pick(&picks, item) };
        if let Json::Object(members) = &mut shown {
            let wanted = |name: &str| {
                everything
                    || select
                        .iter()
                        .any(|one| matches!(one, TypedSelect::Computed(known) if **known == *name))
            };
            members.extend(
                computed.filter(|(name, _)| wanted(name)).map(|(name, value)| (name.to_string(), value)),
            );
        }
        shown
    }

    /// The picked members of an object, or of each object of an array.
    fn pick(&self, picks: &[Pick<'_>], from: &Json) -> Json {
        match from {
            Json::Object(members) => {
                let mut shown = Map::new();
                for (name, value) in members {
                    let inner: Vec<Pick<'_>> = picks
                        .iter()
                        .filter(|(steps, _)| steps.first().is_some_and(|step| *step.name == **name))
                        .map(|(steps, options)| (steps.get(1..).unwrap_or_default(), *options))
                        .collect();
                    if !inner.is_empty() {
                        self.show(name, &inner, value, &mut shown);
                    }
                }
                Json::Object(shown)
            }
            Json::Array(items) => items.iter().map(|item| self.pick(picks, item)).collect(),
            other => other.clone(),
        }
    }

    /// One member: whole, narrowed by nested options, or with some of its own members.
    fn show(&self, name: &str, picks: &[Pick<'_>], value: &Json, into: &mut Map<String, Json>) {
        let whole = picks.iter().find(|(steps, _)| steps.is_empty());
        match whole {
            None => {
                into.insert(name.to_owned(), self.pick(picks, value));
            }
            Some((_, None)) => {
                into.insert(name.to_owned(), value.clone());
            }
            Some((_, Some(options))) => match value {
                Json::Array(items) => {
                    let (shown, count) = self.narrowed(options, items);
                    if options.count == Some(true) {
                        into.insert(format!("{name}@odata.count"), count.into());
                    }
                    into.insert(name.to_owned(), Json::Array(shown));
                }
                object => {
                    into.insert(name.to_owned(), self.project(options, object));
                }
            },
        }
    }

    /// The members of a collection that nested options leave, each as they show it, and how many the filter left.
    fn narrowed(&self, options: &TypedOptions, items: &[Json]) -> (Vec<Json>, usize) {
        let kept: Vec<&Json> = items
            .iter()
            .filter(|item| options.filter.as_ref().is_none_or(|filter| self.matches(filter, item)))
            .collect();
        let count = kept.len();
        let kept = self.sorted(&options.orderby, kept);
        let bound = |number: Option<u64>| number.map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        let skip = bound(options.skip).unwrap_or(0);
        let top = bound(options.top).unwrap_or(usize::MAX);
        (kept.into_iter().skip(skip).take(top).map(|item| self.project(options, item)).collect(), count)
    }
}
