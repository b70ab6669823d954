//! `$select`, `$compute` and their nested options over a document. Source: OData 4.01 Protocol, 11.2.5.1 and 11.2.5.3.

use serde_json::{Map, Value as Json};

use super::{EvalError, EvalResult, Evaluator, MEMBER};
use crate::schema::Property;
use crate::typed_options::{TypedOptions, TypedSelect};

/// The remaining steps of a selected path, with its nested options.
type SelectedPath<'a> = (&'a [Property], Option<&'a TypedOptions>);

impl Evaluator<'_> {
    /// Applies `select` and `compute` to an item. Members stay in the order of the document, and computed ones follow.
    /// Without `select`, all members are kept.
    ///
    /// # Errors
    /// [`EvalError`]
    pub fn project(&self, options: &TypedOptions, item: &Json) -> Result<Json, EvalError> {
        let everything = match &options.select {
            None => true,
            Some(select) => select.iter().any(|one| matches!(one, TypedSelect::All)),
        };
        let selected = options.select.as_deref().unwrap_or_default();
        let wanted = |name: &str| {
            everything
                || selected.iter().any(|one| matches!(one, TypedSelect::Computed(known) if **known == *name))
        };
        let mut computed = Vec::new();
        for one in options.compute.iter().filter(|one| wanted(&one.name)) {
            self.take(selected.len() as u64)?;
            computed.push((one.name.to_string(), self.json(&one.expr, item)?));
        }
        let paths: Vec<SelectedPath<'_>> = selected
            .iter()
            .filter_map(|one| match one {
                TypedSelect::Property { steps, options } => Some((steps.as_slice(), options.as_deref())),
                TypedSelect::All | TypedSelect::Computed(_) => None,
            })
            .collect();
        let mut shown = self.pick(&paths, everything, item)?;
        if let Json::Object(members) = &mut shown {
            members.extend(computed);
        }
        Ok(shown)
    }

    fn copy(&self, json: &Json) -> EvalResult<Json> {
        let bytes = self.size_of(json)?;
        self.hold(bytes)?;
        Ok(json.clone())
    }

    /// Returns the selected members of an object, or of each object in an array. With `everything`, the others too.
    fn pick(&self, paths: &[SelectedPath<'_>], everything: bool, from: &Json) -> EvalResult<Json> {
        if everything && paths.iter().all(|(_, options)| options.is_none()) {
            return self.copy(from);
        }
        match from {
            Json::Object(members) => {
                let mut shown = Map::new();
                for (name, value) in members {
                    self.take(paths.len() as u64 / 4 + 1)?;
                    let inner: Vec<SelectedPath<'_>> = paths
                        .iter()
                        .filter(|(steps, _)| steps.first().is_some_and(|step| *step.name == **name))
                        .map(|(steps, options)| (steps.get(1..).unwrap_or_default(), *options))
                        .collect();
                    if everything || !inner.is_empty() {
                        self.hold(name.len() + MEMBER)?;
                        self.show(name, &inner, everything, value, &mut shown)?;
                    }
                }
                Ok(Json::Object(shown))
            }
            Json::Array(items) => items.iter().map(|item| self.pick(paths, everything, item)).collect(),
            other => self.copy(other),
        }
    }

    /// Copies one member: whole, reduced by nested options, or with some of its own members.
    fn show(
        &self,
        name: &str,
        paths: &[SelectedPath<'_>],
        everything: bool,
        value: &Json,
        into: &mut Map<String, Json>,
    ) -> EvalResult<()> {
        let narrowing = paths.iter().find_map(|(steps, options)| options.filter(|_| steps.is_empty()));
        let shown = match (narrowing, value) {
            (None, value) => {
                let whole = everything || paths.iter().any(|(steps, _)| steps.is_empty());
                self.pick(paths, whole, value)?
            }
            (Some(options), Json::Array(items)) => {
                let (shown, count) = self.narrowed(options, items)?;
                if options.count == Some(true) {
                    into.insert(format!("{name}@odata.count"), count.into());
                }
                Json::Array(shown)
            }
            (Some(options), object) => self.project(options, object)?,
        };
        into.insert(name.to_owned(), shown);
        Ok(())
    }

    /// Returns the elements that nested options keep, each projected, and the number that the filter kept.
    fn narrowed(&self, options: &TypedOptions, items: &[Json]) -> EvalResult<(Vec<Json>, usize)> {
        let mut kept: Vec<&Json> = Vec::new();
        for item in items {
            self.take(1)?;
            if match &options.filter {
                None => true,
                Some(filter) => self.matches(filter, item)?,
            } {
                kept.push(item);
            }
        }
        let count = kept.len();
        let kept = self.sorted(&options.orderby, kept)?;
        let bound = |number: Option<u64>| number.map(|number| usize::try_from(number).unwrap_or(usize::MAX));
        let skip = bound(options.skip).unwrap_or(0);
        let top = bound(options.top).unwrap_or(usize::MAX);
        let shown: EvalResult<Vec<Json>> =
            kept.into_iter().skip(skip).take(top).map(|item| self.project(options, item)).collect();
        Ok((shown?, count))
    }
}
