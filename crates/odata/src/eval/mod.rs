//! The bound tree over JSON documents, directly: slow, plain, and the measure of what SQL must answer.
//!
//! Null (URL Conventions 5.1.1.1): `eq` and `ne` compare null as a value; `gt`, `ge`, `lt`, `le` are false beside it;
//! `and`, `or`, `not` are three-valued; arithmetic, functions and casts of null are null; `any`, `all`, `in` are
//! never null. A filter keeps what is true, not what is null. A member that is absent is null.

mod apply;
mod functions;
mod parts;
mod project;
mod work;

pub use functions::Pattern;
pub use parts::Sum;
pub use work::Work;

use std::borrow::Borrow;
use std::cmp::Ordering;

use rust_decimal::Decimal;
use serde_json::Value as Json;

use crate::ast::{Arithmetic, Comparison};
use crate::function::Function;
use crate::literal::{EnumMember, Literal};
use crate::primitive::{DateTimeOffset, Duration, Primitive};
use crate::schema::{Schema, Type};
use crate::typed::{Base, Collection, Predicate, Typed, TypedKind, TypedPath};
use crate::typed_options::TypedOrder;
use crate::value::Value;
use crate::words;

/// Runs bound expressions over documents.
#[derive(Clone, Copy, Debug)]
pub struct Evaluator<'a> {
    /// The schema the expressions were bound against.
    pub schema: &'a Schema,
    /// What `now()` is.
    pub now: DateTimeOffset,
    /// How much may still be done; `None`: whatever it takes. Callers that give one ask it afterwards.
    pub work: Option<&'a Work>,
}

/// The item, and the members that predicates speak of.
#[derive(Clone, Debug)]
struct Scope<'a> {
    item: &'a Json,
    variables: Vec<(u32, &'a Json)>,
}

/// What a search in a member costs, in nodes: it looks through all texts that the member holds.
const SEARCH: usize = 200;
/// What it costs to make a pattern ready, in nodes.
const PATTERN: usize = 1000;

const NOTHING: &Json = &Json::Null;

impl<'a> Evaluator<'a> {
    /// Whether a filter is true for a document.
    pub fn matches(&self, filter: &Typed, item: &Json) -> bool {
        self.value(filter, item).is_true()
    }

    /// The value of an expression for a document.
    pub fn value(&self, typed: &Typed, item: &Json) -> Value {
        self.eval(typed, &mut Scope { item, variables: Vec::new() })
    }

    /// The order of two documents; equal where no key tells them apart.
    pub fn order(&self, keys: &[TypedOrder], left: &Json, right: &Json) -> Ordering {
        for key in keys {
            let order = self.value(&key.expr, left).sort(&self.value(&key.expr, right), key.ignore_case);
            let order = if key.descending { order.reverse() } else { order };
            if order != Ordering::Equal {
                return order;
            }
        }
        Ordering::Equal
    }

    /// Documents in the order of the keys, which are made once: an order that the budget runs out of stays one.
    fn sorted<J: Borrow<Json>>(&self, keys: &[TypedOrder], items: Vec<J>) -> Vec<J> {
        if keys.is_empty() {
            return items;
        }
        let key = |item: &J| keys.iter().map(|key| self.value(&key.expr, item.borrow())).collect();
        let mut keyed: Vec<(Vec<Value>, J)> = items.into_iter().map(|item| (key(&item), item)).collect();
        keyed.sort_by(|(left, _), (right, _)| {
            let pairs = keys.iter().zip(left.iter().zip(right));
            let orders = pairs.map(|(key, (left, right))| {
                let order = left.sort(right, key.ignore_case);
                if key.descending { order.reverse() } else { order }
            });
            orders.fold(Ordering::Equal, Ordering::then)
        });
        keyed.into_iter().map(|(_, item)| item).collect()
    }

    /// Takes from the budget; `false` when nothing is left of it.
    fn spend(&self, nodes: usize) -> bool {
        self.work.is_none_or(|work| work.take(nodes))
    }

    /// A value that was read or made, paid for by its length.
    fn paid(&self, value: Value) -> Value {
        match self.work {
            Some(work) if !work.take_bytes(work::bytes(&value)) => Value::Null,
            _ => value,
        }
    }

    fn eval<'j>(&self, typed: &Typed, scope: &mut Scope<'j>) -> Value {
        if !self.spend(1) {
            return Value::Null;
        }
        match &typed.kind {
            TypedKind::Value(value) => self.paid(value.clone()),
            TypedKind::Path(path) => {
                let value = typed.ty.as_ref().map_or(Value::Null, |ty| self.read(resolve(path, scope), ty));
                self.paid(value)
            }
            TypedKind::Not(operand) => match self.eval(operand, scope) {
                Value::Boolean(value) => Value::Boolean(!value),
                _ => Value::Null,
            },
            TypedKind::Negate(operand) => negate(&self.eval(operand, scope)),
            TypedKind::And(terms) => self.all_of(terms, false, scope),
            TypedKind::Or(terms) => self.all_of(terms, true, scope),
            TypedKind::Compare { op, left, right, ignore_case } => {
                let (left, right) = (self.eval(left, scope), self.eval(right, scope));
                Value::Boolean(holds(*op, &left, &right, *ignore_case))
            }
            TypedKind::Arithmetic { op, left, right } => {
                let (left, right) = (self.eval(left, scope), self.eval(right, scope));
                arithmetic(*op, &left, &right).unwrap_or(Value::Null)
            }
            TypedKind::Has { left, right } => match (self.eval(left, scope), self.eval(right, scope)) {
                (Value::Enum { value, .. }, Value::Enum { value: flags, .. }) => {
                    Value::Boolean(value & flags == flags)
                }
                _ => Value::Null,
            },
            TypedKind::In { left, list, ignore_case } => {
                let left = self.eval(left, scope);
                let found = list
                    .iter()
                    .any(|member| holds(Comparison::Eq, &left, &self.eval(member, scope), *ignore_case));
                Value::Boolean(found)
            }
            TypedKind::Member { left, collection, ignore_case } => {
                let left = self.eval(left, scope);
                let members = self.members(collection, scope);
                let found = members.into_iter().any(|member| {
                    holds(Comparison::Eq, &left, &self.read(member, &collection.element), *ignore_case)
                });
                Value::Boolean(found)
            }
            TypedKind::Call { function, arguments, ignore_case } => {
                let arguments: Vec<Value> =
                    arguments.iter().map(|argument| self.eval(argument, scope)).collect();
                if !self.spend(price(*function, &arguments)) {
                    return Value::Null;
                }
                functions::call(*function, &arguments, *ignore_case, self.now).unwrap_or(Value::Null)
            }
            TypedKind::Cast { operand, to } => self.cast(self.eval(operand, scope), to),
            TypedKind::IsOf { operand, ty } => {
                let there = !self.eval(operand, scope).is_null();
                Value::Boolean(there && operand.ty.as_ref() == Some(ty))
            }
            TypedKind::Found { of, search } => {
                if !self.spend(SEARCH) {
                    return Value::Null;
                }
                let member = resolve(&TypedPath { base: *of, steps: Vec::new() }, scope);
                Value::Boolean(words::is_in(search, member))
            }
            TypedKind::Case(branches) => {
                let branch = branches.iter().find(|(condition, _)| self.eval(condition, scope).is_true());
                branch.map_or(Value::Null, |(_, value)| widened(self.eval(value, scope), typed.ty.as_ref()))
            }
            TypedKind::Count(collection) => {
                Value::Integer(i64::try_from(self.members(collection, scope).len()).unwrap_or(i64::MAX))
            }
            TypedKind::Any { collection, predicate } => {
                let members = self.members(collection, scope);
                Value::Boolean(match predicate {
                    None => !members.is_empty(),
                    Some(predicate) => members.into_iter().any(|member| self.asks(predicate, member, scope)),
                })
            }
            TypedKind::All { collection, predicate } => {
                let members = self.members(collection, scope);
                Value::Boolean(members.into_iter().all(|member| self.asks(predicate, member, scope)))
            }
        }
    }

    /// `and` where `end` is false, `or` where it is true: that value decides, null is remembered.
    fn all_of(&self, terms: &[Typed], end: bool, scope: &mut Scope<'_>) -> Value {
        let mut unknown = false;
        for term in terms {
            match self.eval(term, scope) {
                Value::Boolean(value) if value == end => return Value::Boolean(end),
                Value::Boolean(_) => {}
                _ => unknown = true,
            }
        }
        if unknown { Value::Null } else { Value::Boolean(!end) }
    }

    fn members<'j>(&self, collection: &Collection, scope: &mut Scope<'j>) -> Vec<&'j Json> {
        let Json::Array(members) = resolve(&collection.path, scope) else { return Vec::new() };
        if !self.spend(members.len()) {
            return Vec::new();
        }
        let mut kept: Vec<&'j Json> = members.iter().collect();
        for filter in &collection.filters {
            kept.retain(|member| self.asks(filter, member, scope));
        }
        kept
    }

    fn asks<'j>(&self, predicate: &Predicate, member: &'j Json, scope: &mut Scope<'j>) -> bool {
        scope.variables.push((predicate.variable, member));
        let answer = self.eval(&predicate.expr, scope).is_true();
        scope.variables.pop();
        answer
    }

    /// A member of a document as a value; what does not fit its type is null.
    fn read(&self, json: &Json, ty: &Type) -> Value {
        match (json, ty) {
            (Json::Null, _) => Value::Null,
            (_, Type::Structured(_) | Type::Collection(_)) => Value::Present,
            (Json::String(text), Type::Enum(name)) => self.enum_of(name, text),
            (Json::Number(number), Type::Primitive(primitive)) => number_of(&number.to_string(), *primitive),
            (Json::Bool(value), Type::Primitive(Primitive::Boolean)) => Value::Boolean(*value),
            (Json::String(text), Type::Primitive(primitive)) => value_of(text, *primitive),
            _ => Value::Null,
        }
    }

    fn enum_of(&self, name: &str, text: &str) -> Value {
        let Some(enumeration) = self.schema.find_enum(name) else { return Value::Null };
        let Ok(members) = EnumMember::parse_list(text) else { return Value::Null };
        let mut all = 0;
        for member in &members {
            let value = match member {
                EnumMember::Value(value) => Some(*value),
                EnumMember::Name(member) => enumeration.value(member, true),
            };
            let Some(value) = value else { return Value::Null };
            all |= value;
        }
        enumeration.names(all).map_or(Value::Null, |name| Value::Enum { name, value: all })
    }

    /// A value as one of another type; what cannot be cast is null.
    pub fn cast(&self, value: Value, to: &Type) -> Value {
        use Primitive as P;
        match (self.cast_loosely(value, to), to) {
            // What only floating point holds is no exact number.
            (Value::Double(_), Type::Primitive(P::Decimal)) => Value::Null,
            (value, _) => value,
        }
    }

    fn cast_loosely(&self, value: Value, to: &Type) -> Value {
        use Primitive as P;
        match (value, to) {
            (Value::Null, _) => Value::Null,
            (Value::String(text), Type::Enum(name)) => self.enum_of(name, &text),
            (value, Type::Primitive(P::String)) => value.to_text().map_or(Value::Null, Value::String),
            (Value::DateTimeOffset(instant), Type::Primitive(P::Date)) => Value::Date(instant.local().0),
            (Value::DateTimeOffset(instant), Type::Primitive(P::TimeOfDay)) => {
                Value::TimeOfDay(instant.local().1)
            }
            (Value::Date(date), Type::Primitive(P::DateTimeOffset)) => {
                Value::DateTimeOffset(DateTimeOffset::midnight(date))
            }
            (Value::String(text), Type::Primitive(to)) => value_of(&text, *to),
            (value, Type::Primitive(to)) if to.is_numeric() => {
                value.to_text().map_or(Value::Null, |text| number_of(&text, *to))
            }
            _ => Value::Null,
        }
    }
}

/// What a function costs beside its arguments, in nodes.
fn price(function: Function, arguments: &[Value]) -> usize {
    let lengths = arguments.iter().map(work::bytes);
    match function {
        // A match takes as long as text and pattern multiplied.
        Function::MatchesPattern => {
            let steps = lengths.fold(1, |product: usize, length| product.saturating_mul(length));
            // A repetition that is counted is written out before it is matched.
            let counted = matches!(arguments.get(1), Some(Value::String(pattern)) if pattern.contains('{'));
            (steps / 16).saturating_add(if counted { 4 * PATTERN } else { PATTERN })
        }
        _ => lengths.sum::<usize>() / 32,
    }
}

fn resolve<'j>(path: &TypedPath, scope: &Scope<'j>) -> &'j Json {
    let mut json = match path.base {
        Base::Item => scope.item,
        Base::Variable(number) => {
            scope.variables.iter().rev().find(|(known, _)| *known == number).map_or(NOTHING, |(_, json)| json)
        }
    };
    for step in &path.steps {
        json = json.get(&*step.name).unwrap_or(NOTHING);
    }
    json
}

/// A text as a value of a primitive type; null where it is none.
fn value_of(text: &str, primitive: Primitive) -> Value {
    if primitive == Primitive::String {
        return Value::String(text.to_owned());
    }
    if primitive.is_numeric() {
        return number_of(text, primitive);
    }
    match Literal::parse_value(primitive, text) {
        Ok(Literal::Boolean(value)) => Value::Boolean(value),
        Ok(Literal::Guid(guid)) => Value::Guid(guid),
        Ok(Literal::Date(date)) => Value::Date(date),
        Ok(Literal::DateTimeOffset(instant)) => Value::DateTimeOffset(instant),
        Ok(Literal::TimeOfDay(time)) => Value::TimeOfDay(time),
        Ok(Literal::Duration(duration)) => Value::Duration(duration),
        Ok(Literal::Binary(bytes)) => Value::Binary(bytes),
        _ => Value::Null,
    }
}

/// Digits as a number of a type: whole numbers are cut towards zero, what does not fit is null.
fn number_of(text: &str, primitive: Primitive) -> Value {
    let (decimal, double) = match Literal::parse_value(Primitive::Double, text) {
        Ok(Literal::Integer(number)) => (Some(Decimal::from(number)), number as f64),
        Ok(Literal::Number(number)) => (number.decimal(), number.double()),
        Ok(Literal::Infinity) => (None, f64::INFINITY),
        Ok(Literal::NegativeInfinity) => (None, f64::NEG_INFINITY),
        Ok(Literal::NotANumber) => (None, f64::NAN),
        _ => return Value::Null,
    };
    if primitive.is_float() {
        return Value::Double(double);
    }
    match decimal {
        Some(decimal) if primitive == Primitive::Decimal => Value::Decimal(decimal),
        Some(decimal) => i64::try_from(decimal.trunc()).map_or(Value::Null, Value::Integer),
        // Beyond what is exact, the nearest there is.
        None if primitive == Primitive::Decimal && double.is_finite() => Value::Double(double),
        None => Value::Null,
    }
}

/// A number as one of the wider type that an expression has.
fn widened(value: Value, ty: Option<&Type>) -> Value {
    let wider = match ty.and_then(Type::primitive) {
        Some(Primitive::Decimal) => value.to_decimal().map(Value::Decimal),
        Some(primitive) if primitive.is_float() => value.to_double().map(Value::Double),
        _ => None,
    };
    wider.unwrap_or(value)
}

fn holds(op: Comparison, left: &Value, right: &Value, ignore_case: bool) -> bool {
    let order = left.compare(right, ignore_case);
    let equal = match (left, right) {
        (Value::Null, Value::Null) => true,
        _ => order == Some(Ordering::Equal),
    };
    match op {
        Comparison::Eq => equal,
        Comparison::Ne => !equal,
        Comparison::Gt => order == Some(Ordering::Greater),
        Comparison::Ge => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        Comparison::Lt => order == Some(Ordering::Less),
        Comparison::Le => matches!(order, Some(Ordering::Less | Ordering::Equal)),
    }
}

fn negate(value: &Value) -> Value {
    match value {
        Value::Integer(number) => number.checked_neg().map_or(Value::Null, Value::Integer),
        Value::Decimal(number) => exact(-*number),
        Value::Double(number) => Value::Double(-number),
        Value::Duration(duration) => {
            duration.0.checked_neg().map_or(Value::Null, |ticks| Value::Duration(Duration(ticks)))
        }
        _ => Value::Null,
    }
}

/// An exact number; zero has no sign.
fn exact(number: Decimal) -> Value {
    Value::Decimal(if number.is_zero() { number.abs() } else { number })
}

/// Without the zeros that a division leaves behind.
fn quotient(left: Decimal, right: Decimal) -> Option<Decimal> {
    left.checked_div(right).map(|quotient| quotient.normalize())
}

/// `None` is null: an operand that is, a division by zero, a result beyond its type, or one that is no number.
fn arithmetic(op: Arithmetic, left: &Value, right: &Value) -> Option<Value> {
    use Value as V;
    match (left, right) {
        (V::Integer(left), V::Integer(right)) => match op {
            Arithmetic::Add => left.checked_add(*right).map(V::Integer),
            Arithmetic::Sub => left.checked_sub(*right).map(V::Integer),
            Arithmetic::Mul => left.checked_mul(*right).map(V::Integer),
            Arithmetic::Div => left.checked_div(*right).map(V::Integer),
            Arithmetic::Mod => left.checked_rem(*right).map(V::Integer),
            Arithmetic::DivBy => quotient(Decimal::from(*left), Decimal::from(*right)).map(exact),
        },
        (V::Double(_), _) | (_, V::Double(_)) if left.to_double().is_some() => {
            let (left, right) = (left.to_double()?, right.to_double()?);
            let result = match op {
                Arithmetic::Add => left + right,
                Arithmetic::Sub => left - right,
                Arithmetic::Mul => left * right,
                _ if right == 0.0 => return None,
                Arithmetic::Div | Arithmetic::DivBy => left / right,
                Arithmetic::Mod => left % right,
            };
            (!result.is_nan()).then_some(V::Double(result))
        }
        (V::Duration(duration), number) | (number, V::Duration(duration)) if number.to_double().is_some() => {
            let ticks = Decimal::from(duration.0);
            let number = number.to_decimal().or_else(|| Decimal::try_from(number.to_double()?).ok())?;
            let ticks =
                if op == Arithmetic::Mul { ticks.checked_mul(number)? } else { ticks.checked_div(number)? };
            i64::try_from(ticks.trunc()).ok().map(|ticks| V::Duration(Duration(ticks)))
        }
        _ => match (left.to_decimal(), right.to_decimal()) {
            (Some(left), Some(right)) => match op {
                Arithmetic::Add => left.checked_add(right),
                Arithmetic::Sub => left.checked_sub(right),
                Arithmetic::Mul => left.checked_mul(right),
                Arithmetic::Div | Arithmetic::DivBy => quotient(left, right),
                Arithmetic::Mod => left.checked_rem(right),
            }
            .map(exact),
            _ => functions::calendar(op, left, right),
        },
    }
}
