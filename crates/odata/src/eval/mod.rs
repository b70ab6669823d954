//! Evaluation of typed trees over JSON documents. Both storage engines use it for lists and `$apply`.
//!
//! Null (URL Conventions 5.1.1.1): `eq` and `ne` compare null as a value; `gt`, `ge`, `lt`, `le` with null are false;
//! `and`, `or`, `not` are three-valued; arithmetic, functions and casts of null are null; `any`, `all`, `in` are never
//! null. A filter keeps items for which it is true, not those for which it is null. An absent member is null.
//!
//! Order: operands and arguments from left to right. `and` and `or` stop at the first term that decides; `in`, `any`
//! and `all` at the first member that decides; `case` evaluates only the value of its branch. An error
//! ([`EvalError::Fault`]) occurs only if the expression without a value is evaluated.
//!
//! Cost: every step charges the budget before it is done ([`Work`]). When the budget is exhausted, the evaluation ends.

mod apply;
mod arithmetic;
mod budget;
mod cast;
mod error;
mod functions;
mod groups;
mod operand;
mod pattern;
mod project;
mod sum;

pub use apply::SearchMatcher;
pub use budget::Work;
pub use error::EvalError;
pub use groups::Groups;
pub use pattern::{Pattern, PatternError};

use std::borrow::Borrow;
use std::cmp::Ordering;

use serde_json::Value as Json;

use crate::ast::Comparison;
use crate::primitive::DateTimeOffset;
use crate::schema::{Schema, Type};
use crate::tokenizer;
use crate::typed::{Collection, PathBase, Predicate, Typed, TypedKind, TypedPath};
use crate::typed_options::TypedOrder;
use crate::value::Value;

use operand::Operand;

/// Evaluates typed expressions over documents.
#[derive(Clone, Copy, Debug)]
pub struct Evaluator<'a> {
    /// The schema the expressions were bound against.
    pub schema: &'a Schema,
    /// The value of `now()`.
    pub now: DateTimeOffset,
    /// The remaining budget; `None` for no limit, when requests have no influence on the expression.
    pub work: Option<&'a Work>,
}

/// The item, and the members that lambda variables refer to.
#[derive(Clone, Debug)]
struct EvalScope<'x> {
    item: &'x Json,
    variables: Vec<(u32, &'x Json)>,
}

type EvalResult<T> = Result<T, EvalError>;

/// Size of an object member, in bytes, without its name and its value.
const MEMBER: usize = 96;

const NOTHING: &Json = &Json::Null;

impl Evaluator<'_> {
    /// Returns whether a filter is true for a document.
    ///
    /// # Errors
    /// [`EvalError`]
    pub fn matches(&self, filter: &Typed, item: &Json) -> Result<bool, EvalError> {
        self.evaluated(filter, item, |operand| operand.is_true())
    }

    /// Evaluates an expression for a document.
    ///
    /// # Errors
    /// [`EvalError`]
    pub fn value(&self, typed: &Typed, item: &Json) -> Result<Value, EvalError> {
        self.evaluated(typed, item, |operand| operand.into_value())
    }

    fn evaluated<T>(&self, typed: &Typed, item: &Json, finish: impl Fn(Operand<'_>) -> T) -> EvalResult<T> {
        let held = self.held();
        let operand = self.eval(typed, &mut EvalScope { item, variables: Vec::new() })?;
        self.release_to(held);
        Ok(finish(operand))
    }

    /// Compares two documents by the sort keys.
    ///
    /// # Errors
    /// [`EvalError`]
    pub fn order(&self, keys: &[TypedOrder], left: &Json, right: &Json) -> Result<Ordering, EvalError> {
        for key in keys {
            let (left, right) = (self.value(&key.expr, left)?, self.value(&key.expr, right)?);
            let order = self.sort(key, &left, &right)?;
            if order != Ordering::Equal {
                return Ok(order);
            }
        }
        Ok(Ordering::Equal)
    }

    /// Compares two values of a sort key.
    fn sort(&self, key: &TypedOrder, left: &Value, right: &Value) -> EvalResult<Ordering> {
        self.take_text(left.bytes().min(right.bytes()))?;
        let order = left.sort(right, key.ignore_case);
        Ok(if key.descending { order.reverse() } else { order })
    }

    /// Sorts documents by the sort keys. The sort is stable.
    ///
    /// # Errors
    /// [`EvalError`]
    pub fn sorted<J: Borrow<Json>>(&self, keys: &[TypedOrder], items: Vec<J>) -> Result<Vec<J>, EvalError> {
        self.sorted_by(keys, items, Borrow::borrow)
    }

    fn sorted_by<J>(
        &self,
        keys: &[TypedOrder],
        items: Vec<J>,
        document: impl Fn(&J) -> &Json,
    ) -> EvalResult<Vec<J>> {
        if keys.is_empty() {
            return Ok(items);
        }
        let held = self.held();
        let mut keyed: Vec<(Vec<Value>, J)> = Vec::with_capacity(items.len());
        for item in items {
            let mut values = Vec::with_capacity(keys.len());
            for key in keys {
                let value = self.value(&key.expr, document(&item))?;
                self.hold(value.bytes() + size_of::<Value>())?;
                values.push(value);
            }
            keyed.push((values, item));
        }
        let mut failed = None;
        keyed.sort_by(|(left, _), (right, _)| {
            // After an error all documents compare as equal, so that the sort ends soon.
            let mut order = Ordering::Equal;
            for (key, (left, right)) in keys.iter().zip(left.iter().zip(right)) {
                if failed.is_some() || order != Ordering::Equal {
                    break;
                }
                match self.sort(key, left, right) {
                    Ok(found) => order = found,
                    Err(error) => failed = Some(error),
                }
            }
            order
        });
        self.release_to(held);
        match failed {
            None => Ok(keyed.into_iter().map(|(_, item)| item).collect()),
            Some(error) => Err(error),
        }
    }

    /// Evaluates an expression to JSON. Objects and collections are returned whole.
    fn json(&self, typed: &Typed, item: &Json) -> EvalResult<Json> {
        match (&typed.kind, &typed.ty) {
            (TypedKind::Path(path), Some(Type::Structured(_) | Type::Collection(_))) => {
                let json = self.resolve(path, &EvalScope { item, variables: Vec::new() })?;
                let bytes = self.size_of(json)?;
                self.hold(bytes)?;
                Ok(json.clone())
            }
            _ => {
                let value = self.value(typed, item)?;
                self.hold(value.bytes())?;
                Ok(value.to_json())
            }
        }
    }

    /// Returns the approximate size of a tree in bytes. Measuring is charged like a copy.
    ///
    /// # Errors
    /// [`EvalError`]
    pub fn size_of(&self, json: &Json) -> Result<usize, EvalError> {
        self.take(2)?;
        let mut bytes = size_of::<Json>();
        match json {
            Json::Null | Json::Bool(_) => {}
            Json::Number(number) => bytes += number.as_str().len(),
            Json::String(text) => {
                self.take_text(text.len())?;
                bytes += text.len();
            }
            Json::Array(items) => {
                for item in items {
                    bytes += self.size_of(item)?;
                }
            }
            Json::Object(members) => {
                for (name, member) in members {
                    bytes += MEMBER + name.len() + self.size_of(member)?;
                }
            }
        }
        Ok(bytes)
    }

    fn take(&self, nodes: u64) -> EvalResult<()> {
        self.work.map_or(Ok(()), |work| work.take(nodes))
    }

    fn take_text(&self, bytes: usize) -> EvalResult<()> {
        self.work.map_or(Ok(()), |work| work.take_text(bytes))
    }

    fn hold(&self, bytes: usize) -> EvalResult<()> {
        self.work.map_or(Ok(()), |work| work.hold(bytes))
    }

    fn held(&self) -> u64 {
        self.work.map_or(0, Work::held)
    }

    fn release_to(&self, held: u64) {
        if let Some(work) = self.work {
            work.release_to(held);
        }
    }

    fn eval<'x>(&self, typed: &'x Typed, scope: &mut EvalScope<'x>) -> EvalResult<Operand<'x>> {
        self.take(1)?;
        match &typed.kind {
            TypedKind::Value(value) => Ok(Operand::of(value)),
            TypedKind::Path(path) => match &typed.ty {
                Some(ty) => {
                    let json = self.resolve(path, scope)?;
                    self.read(json, ty)
                }
                None => Ok(Operand::NULL),
            },
            _ => {
                let held = self.held();
                let operand =
                    self.eval_compound(typed, scope).map_err(|error| error.with_position(typed.at))?;
                // Intermediate values are gone, only the result remains.
                self.release_to(held + operand.owned_bytes() as u64);
                Ok(operand)
            }
        }
    }

    fn eval_compound<'x>(&self, typed: &'x Typed, scope: &mut EvalScope<'x>) -> EvalResult<Operand<'x>> {
        Ok(match &typed.kind {
            TypedKind::Value(_) | TypedKind::Path(_) => Operand::NULL, // handled by the caller
            TypedKind::Not(operand) => match self.eval(operand, scope)?.value() {
                Value::Boolean(value) => Operand::boolean(!value),
                _ => Operand::NULL,
            },
            TypedKind::Negate(operand) => arithmetic::negate(self.eval(operand, scope)?.value())?.into(),
            TypedKind::And(terms) => self.all_of(terms, false, scope)?,
            TypedKind::Or(terms) => self.all_of(terms, true, scope)?,
            TypedKind::Compare { op, left, right, ignore_case } => {
                let (left, right) = (self.eval(left, scope)?, self.eval(right, scope)?);
                Operand::boolean(self.compare_operands(*op, &left, &right, *ignore_case)?)
            }
            TypedKind::Arithmetic { op, left, right } => {
                let (left, right) = (self.eval(left, scope)?, self.eval(right, scope)?);
                self.take(2)?;
                arithmetic::arithmetic(*op, left.value(), right.value())?.into()
            }
            TypedKind::Has { left, right } => {
                match (self.eval(left, scope)?.value(), self.eval(right, scope)?.value()) {
                    (Value::Enum { value, .. }, Value::Enum { value: flags, .. }) => {
                        Operand::boolean(value & flags == *flags)
                    }
                    _ => Operand::NULL,
                }
            }
            TypedKind::In { left, list, ignore_case } => {
                let left = self.eval(left, scope)?;
                for member in list {
                    let member = self.eval(member, scope)?;
                    if self.compare_operands(Comparison::Eq, &left, &member, *ignore_case)? {
                        return Ok(Operand::boolean(true));
                    }
                }
                Operand::boolean(false)
            }
            TypedKind::Member { left, collection, ignore_case } => {
                let left = self.eval(left, scope)?;
                let found = self.find_member(collection, scope, |member, _| {
                    let member = self.read(member, &collection.element)?;
                    self.compare_operands(Comparison::Eq, &left, &member, *ignore_case)
                })?;
                Operand::boolean(found)
            }
            TypedKind::Call { function, arguments, ignore_case } => {
                let mut values = Vec::with_capacity(arguments.len());
                for argument in arguments {
                    values.push(self.eval(argument, scope)?);
                }
                self.apply_function(*function, &values, *ignore_case)?
            }
            TypedKind::Cast { operand, to } => {
                let operand = self.eval(operand, scope)?;
                self.cast_operand(operand, to)?
            }
            TypedKind::IsOf { operand, ty } => {
                let there = !self.eval(operand, scope)?.is_null();
                Operand::boolean(there && operand.ty.as_ref() == Some(ty))
            }
            TypedKind::SearchMatch { of, search } => {
                let path = TypedPath { base: *of, steps: Vec::new() };
                let member = self.resolve(&path, scope)?;
                Operand::boolean(tokenizer::matches_document(search, member, self.work)?)
            }
            TypedKind::Case(branches) => {
                for (condition, value) in branches {
                    if self.eval(condition, scope)?.is_true() {
                        return Ok(cast::widened(self.eval(value, scope)?, typed.ty.as_ref()));
                    }
                }
                Operand::NULL
            }
            TypedKind::Count(collection) => {
                let mut count = 0;
                self.find_member(collection, scope, |_, _| {
                    count += 1;
                    Ok(false)
                })?;
                Operand::integer(count)
            }
            TypedKind::Any { collection, predicate } => {
                Operand::boolean(self.find_member(collection, scope, |member, scope| match predicate {
                    None => Ok(true),
                    Some(predicate) => self.predicate_holds(predicate, member, scope),
                })?)
            }
            TypedKind::All { collection, predicate } => {
                let exception = self.find_member(collection, scope, |member, scope| {
                    self.predicate_holds(predicate, member, scope).map(|answer| !answer)
                })?;
                Operand::boolean(!exception)
            }
        })
    }

    /// Evaluates `and` (`end` is false) or `or` (`end` is true): that value decides, and null is remembered.
    fn all_of<'x>(
        &self,
        terms: &'x [Typed],
        end: bool,
        scope: &mut EvalScope<'x>,
    ) -> EvalResult<Operand<'x>> {
        let mut unknown = false;
        for term in terms {
            match self.eval(term, scope)?.value() {
                Value::Boolean(value) if *value == end => return Ok(Operand::boolean(end)),
                Value::Boolean(_) => {}
                _ => unknown = true,
            }
        }
        Ok(if unknown { Operand::NULL } else { Operand::boolean(!end) })
    }

    /// Returns whether a collection has a member for which `wanted` is true, and stops at the first one.
    fn find_member<'x>(
        &self,
        collection: &'x Collection,
        scope: &mut EvalScope<'x>,
        mut wanted: impl FnMut(&'x Json, &mut EvalScope<'x>) -> EvalResult<bool>,
    ) -> EvalResult<bool> {
        let Json::Array(members) = self.resolve(&collection.path, scope)? else { return Ok(false) };
        'members: for member in members {
            self.take(1)?;
            for filter in &collection.filters {
                if !self.predicate_holds(filter, member, scope)? {
                    continue 'members;
                }
            }
            if wanted(member, scope)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn predicate_holds<'x>(
        &self,
        predicate: &'x Predicate,
        member: &'x Json,
        scope: &mut EvalScope<'x>,
    ) -> EvalResult<bool> {
        scope.variables.push((predicate.variable, member));
        let answer = self.eval(&predicate.expr, scope)?.is_true();
        scope.variables.pop();
        Ok(answer)
    }

    /// Returns the value at a path; null if there is none.
    fn resolve<'x>(&self, path: &TypedPath, scope: &EvalScope<'x>) -> EvalResult<&'x Json> {
        self.take(path.steps.len() as u64)?;
        Ok(resolve(path, scope))
    }

    fn compare_operands(
        &self,
        op: Comparison,
        left: &Operand<'_>,
        right: &Operand<'_>,
        ignore_case: bool,
    ) -> EvalResult<bool> {
        let bytes = if ignore_case {
            left.length().saturating_add(right.length()).saturating_mul(4)
        } else {
            left.length().min(right.length())
        };
        self.take_text(bytes)?;
        let order = left.compare(right, ignore_case);
        let equal = order == Some(Ordering::Equal) || (left.is_null() && right.is_null());
        Ok(match op {
            Comparison::Eq => equal,
            Comparison::Ne => !equal,
            Comparison::Gt => order == Some(Ordering::Greater),
            Comparison::Ge => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            Comparison::Lt => order == Some(Ordering::Less),
            Comparison::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        })
    }
}

fn resolve<'x>(path: &TypedPath, scope: &EvalScope<'x>) -> &'x Json {
    let mut json = match path.base {
        PathBase::Item => scope.item,
        PathBase::Variable(number) => {
            scope.variables.iter().rev().find(|(known, _)| *known == number).map_or(NOTHING, |(_, json)| json)
        }
    };
    for step in &path.steps {
        json = json.get(&*step.name).unwrap_or(NOTHING);
    }
    json
}
