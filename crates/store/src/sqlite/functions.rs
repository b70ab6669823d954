//! The functions and the collation that statements of `sql/` call, on every connection. They are the evaluator's own,
//! so that a query answers the same here and there.

use std::cmp::Ordering;
use std::sync::Arc;

use odata::{
    Arithmetic, Date, DateTimeOffset, Duration, EvalError, Evaluator, Function, Guid, Limits, Pattern,
    Primitive, Search, SumAccumulator, TimeOfDay, Type, Value, fold,
};
use rusqlite::functions::{Aggregate, Context, FunctionFlags};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, Result, types};
use rust_decimal::Decimal;
use serde_json::Value as Json;

use super::engine_error;
use super::meter::Meter;
use super::packing;
use crate::sql::{Bound, Encoding};
use crate::{Key, StoreError};

/// Where functions are registered, and what counts their calls.
struct Registry<'c> {
    connection: &'c Connection,
    meter: Option<Arc<Meter>>,
}

/// Registers everything on a connection.
pub(super) fn register(connection: &Connection) -> std::result::Result<(), StoreError> {
    register_all(&Registry { connection, meter: None }).map_err(engine_error)
}

/// Registers everything anew, with its work counted.
pub(super) fn register_metered(
    connection: &Connection,
    meter: &Arc<Meter>,
) -> std::result::Result<(), StoreError> {
    register_all(&Registry { connection, meter: Some(Arc::clone(meter)) }).map_err(engine_error)
}

fn register_all(registry: &Registry<'_>) -> Result<()> {
    let meter = registry.meter.clone();
    registry.connection.create_collation("decimal", move |left, right| {
        if let Some(meter) = &meter {
            let _ = meter.calls(1); // the next step is the last, then
        }
        compare_decimals(left, right)
    })?;
    let meter = registry.meter.clone();
    registry.connection.create_scalar_function("carried", 1, flags(), move |context| {
        let value = context.get_raw(0);
        if let (Some(meter), ValueRef::Text(text)) = (&meter, value) {
            meter.text(text.len())?;
        }
        Ok(types::Value::try_from(value)?)
    })?;
    scalar(registry, "document_text", 1, |context| Ok(packing::text_of(context.get_raw(0))))?;
    scalar(registry, "fold", 1, |context| {
        Ok(match natural(context.get_raw(0)) {
            Value::String(text) => Some(fold(&text)),
            _ => None,
        })
    })?;
    scalar(registry, "odata_found", 2, |context| {
        let (ValueRef::Text(json), ValueRef::Text(words)) = (context.get_raw(0), context.get_raw(1)) else {
            return Ok(false);
        };
        let search =
            std::str::from_utf8(words).ok().and_then(|text| Search::parse(text, &Limits::default()).ok());
        // An element that is no object comes as its text alone.
        let element = serde_json::from_slice(json)
            .unwrap_or_else(|_| Json::String(String::from_utf8_lossy(json).into_owned()));
        match search {
            Some(search) => Ok(odata::tokenizer::matches_document(&search, &element, None)?),
            None => Ok(false),
        }
    })?;
    scalar(registry, "decimal_real", 1, |context| {
        Ok(value_of(context.get_raw(0), &Primitive::Decimal.into()).to_double())
    })?;
    value(registry, "odata_negate", 2, |context| {
        Ok(evaluator().negate(&value_of(context.get_raw(1), &*type_at(context, 0)?))?)
    })?;
    value(registry, "odata_cast", 3, |context| {
        let (from, to) = (type_at(context, 0)?, type_at(context, 1)?);
        Ok(evaluator().cast(value_of(context.get_raw(2), &from), &to)?)
    })?;
    for op in Arithmetic::ALL {
        value(registry, &format!("odata_{}", op.name()), 4, move |context| {
            let left = value_of(context.get_raw(2), &*type_at(context, 0)?);
            let right = value_of(context.get_raw(3), &*type_at(context, 1)?);
            Ok(evaluator().arithmetic(op, &left, &right)?)
        })?;
    }
    for &function in Function::ALL {
        register_function(registry, function)?;
    }
    let total = |finish| Total { finish, meter: registry.meter.clone() };
    registry.connection.create_aggregate_function("odata_sum", 2, flags(), total(|sum| Ok(sum.sum())))?;
    registry.connection.create_aggregate_function("odata_average", 2, flags(), total(SumAccumulator::average))
}

fn register_function(registry: &Registry<'_>, function: Function) -> Result<()> {
    use Function as F;
    let name = format!("odata_{}", function.name().to_lowercase());
    match function {
        F::MatchesPattern => scalar(registry, &name, 2, matches_pattern),
        F::Concat => {
            let meter = registry.meter.clone();
            value(registry, &name, -1, move |context| {
                let arguments: Vec<Value> =
                    (0..context.len()).map(|place| natural(context.get_raw(place))).collect();
                if let Some(meter) = &meter {
                    meter.text((0..context.len()).map(|place| length(context.get_raw(place))).sum())?;
                }
                Ok(evaluator().call(function, &arguments)?)
            })
        }
        F::Contains
        | F::EndsWith
        | F::IndexOf
        | F::Length
        | F::StartsWith
        | F::Substring
        | F::ToLower
        | F::ToUpper
        | F::Trim => value(registry, &name, -1, move |context| {
            let arguments: Vec<Value> =
                (0..context.len()).map(|place| natural(context.get_raw(place))).collect();
            Ok(evaluator().call(function, &arguments)?)
        }),
        F::Year
        | F::Month
        | F::Day
        | F::Hour
        | F::Minute
        | F::Second
        | F::FractionalSeconds
        | F::TotalSeconds
        | F::TotalOffsetMinutes
        | F::Date
        | F::Time
        | F::Round
        | F::Floor
        | F::Ceiling => value(registry, &name, 2, move |context| {
            Ok(evaluator().call(function, &[value_of(context.get_raw(1), &*type_at(context, 0)?)])?)
        }),
        // Written as constants, or not at all.
        F::Now
        | F::MinDateTime
        | F::MaxDateTime
        | F::HasSubset
        | F::HasSubsequence
        | F::GeoDistance
        | F::GeoLength
        | F::GeoIntersects => Ok(()),
    }
}

/// The evaluator as functions need it: `now()` is written as a constant.
fn evaluator() -> Evaluator<'static> {
    Evaluator { schema: crate::schema(), now: DateTimeOffset { ticks: 0, offset: 0 }, work: None }
}

/// Why a function has no value.
enum Failure {
    /// The expression has none.
    Eval(EvalError),
    /// SQLite says so.
    Engine(rusqlite::Error),
}

impl From<EvalError> for Failure {
    fn from(error: EvalError) -> Failure {
        Failure::Eval(error)
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Failure {
        Failure::Engine(error)
    }
}

impl Failure {
    /// The error of the statement; the meter keeps what is to be told.
    fn told(self, meter: Option<&Arc<Meter>>) -> rusqlite::Error {
        match (self, meter) {
            (Failure::Engine(error), _) => error,
            (Failure::Eval(error), Some(meter)) => meter.fails(error),
            (Failure::Eval(error), None) => rusqlite::Error::UserFunctionError(error.to_string().into()),
        }
    }
}

fn scalar<T: rusqlite::functions::SqlFnOutput>(
    registry: &Registry<'_>,
    name: &str,
    arguments: i32,
    function: impl Fn(&Context<'_>) -> std::result::Result<T, Failure> + Send + 'static,
) -> Result<()> {
    let meter = registry.meter.clone();
    registry.connection.create_scalar_function(name, arguments, flags(), move |context| {
        if let Some(meter) = &meter {
            meter.call((0..context.len()).map(|place| length(context.get_raw(place))).sum())?;
        }
        function(context).map_err(|failure| failure.told(meter.as_ref()))
    })
}

/// The bytes of a text; nothing of a number.
fn length(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) => 0,
    }
}

fn flags() -> FunctionFlags {
    FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC | FunctionFlags::SQLITE_INNOCUOUS
}

/// An aggregate over a type's name and values of it.
struct Total {
    /// What is made of the sum in the end.
    finish: fn(&SumAccumulator) -> std::result::Result<Value, EvalError>,
    meter: Option<Arc<Meter>>,
}

impl Aggregate<(Type, SumAccumulator), types::Value> for Total {
    fn init(&self, context: &mut Context<'_>) -> Result<(Type, SumAccumulator)> {
        Ok((type_of(context.get_raw(0))?, SumAccumulator::default()))
    }

    fn step(&self, context: &mut Context<'_>, (ty, sum): &mut (Type, SumAccumulator)) -> Result<()> {
        let added = sum.add(&value_of(context.get_raw(1), ty));
        added.map_err(|error| Failure::Eval(error).told(self.meter.as_ref()))
    }

    fn finalize(&self, _: &mut Context<'_>, total: Option<(Type, SumAccumulator)>) -> Result<types::Value> {
        let Some((_, sum)) = total else { return Ok(types::Value::Null) };
        let value = (self.finish)(&sum).map_err(|error| Failure::Eval(error).told(self.meter.as_ref()))?;
        Ok(column_of(value))
    }
}

fn value(
    registry: &Registry<'_>,
    name: &str,
    arguments: i32,
    function: impl Fn(&Context<'_>) -> std::result::Result<Value, Failure> + Send + 'static,
) -> Result<()> {
    scalar(registry, name, arguments, move |context| Ok(column_of(function(context)?)))
}

/// The type whose name is this argument, always a literal: looked up once for a statement.
fn type_at(context: &Context<'_>, place: i32) -> Result<Arc<Type>> {
    context.get_or_create_aux(place, type_of)
}

fn type_of(name: ValueRef<'_>) -> Result<Type> {
    let name = name.as_str().unwrap_or_default();
    crate::schema()
        .find_type(name)
        .ok_or_else(|| rusqlite::Error::UserFunctionError(format!("no type is called '{name}'").into()))
}

/// `matchesPattern`, which reads a constant pattern once for a statement.
fn matches_pattern(context: &Context<'_>) -> std::result::Result<Option<bool>, Failure> {
    type Read = (String, Pattern);
    let (Value::String(text), Value::String(pattern)) =
        (natural(context.get_raw(0)), natural(context.get_raw(1)))
    else {
        return Ok(None);
    };
    let known: Option<Arc<Read>> = context.get_aux(1)?;
    let read = match known.filter(|known| known.0 == pattern) {
        Some(known) => known,
        None => {
            let read = Pattern::parse(&pattern).map_err(EvalError::from)?;
            context.set_aux(1, (pattern, read))?
        }
    };
    Ok(Some(read.1.matches(&text, None)?))
}

/// Exact numbers by their value; what is none stands before all numbers.
fn compare_decimals(left: &str, right: &str) -> Ordering {
    let number = |text: &str| Decimal::from_str_exact(text).ok();
    number(left)
        .cmp(&number(right))
        .then_with(|| if number(left).is_none() { left.cmp(right) } else { Ordering::Equal })
}

/// A value of which only texts and whole numbers are expected.
fn natural(column: ValueRef<'_>) -> Value {
    match column {
        ValueRef::Text(_) => value_of(column, &Primitive::String.into()),
        ValueRef::Integer(number) => Value::Integer(number),
        ValueRef::Null | ValueRef::Real(_) | ValueRef::Blob(_) => Value::Null,
    }
}

/// What a column of this type holds; null for what it never should.
pub(super) fn value_of(column: ValueRef<'_>, ty: &Type) -> Value {
    use Primitive as P;
    match (column, ty) {
        (ValueRef::Integer(value), Type::Enum(name)) => {
            let named = crate::schema().find_enum(name).and_then(|known| known.names(value));
            named.map_or(Value::Null, |name| Value::Enum { name, value })
        }
        (ValueRef::Integer(number), Type::Primitive(primitive)) => match primitive {
            P::Boolean => Value::Boolean(number != 0),
            P::Date => i32::try_from(number).map_or(Value::Null, |days| Value::Date(Date(days))),
            P::DateTimeOffset => Value::DateTimeOffset(DateTimeOffset { ticks: number, offset: 0 }),
            P::TimeOfDay => Value::TimeOfDay(TimeOfDay(number)),
            P::Duration => Value::Duration(Duration(number)),
            _ => Value::Integer(number),
        },
        (ValueRef::Real(number), _) => Value::Double(number),
        (ValueRef::Text(bytes), Type::Primitive(P::Decimal)) => std::str::from_utf8(bytes)
            .ok()
            .and_then(|text| Decimal::from_str_exact(text).ok())
            .map_or(Value::Null, Value::Decimal),
        (ValueRef::Text(bytes), _) => {
            std::str::from_utf8(bytes).map_or(Value::Null, |text| Value::String(text.to_owned()))
        }
        (ValueRef::Blob(bytes), Type::Primitive(P::Guid)) => <[u8; 16]>::try_from(bytes)
            .map_or(Value::Null, |bytes| Value::Guid(Guid(u128::from_be_bytes(bytes)))),
        (ValueRef::Blob(bytes), _) => Value::Binary(bytes.to_vec()),
        (ValueRef::Null | ValueRef::Integer(_), _) => Value::Null,
    }
}

/// A value as a column holds it: as [`Encoding`] says.
fn column_of(value: Value) -> types::Value {
    match Encoding::Present.bound(&value) {
        Ok(bound) => bound.into(),
        // SQLite holds no not-a-number.
        Err(_) => types::Value::Null,
    }
}

/// A selected key.
pub(super) fn key(column: ValueRef<'_>, encoding: Encoding) -> Key {
    match (column, encoding) {
        (ValueRef::Null, _) => Key::Null,
        (ValueRef::Integer(value), Encoding::Boolean) => Key::Boolean(value != 0),
        (ValueRef::Integer(number), _) => Key::Integer(number),
        (ValueRef::Real(number), _) => Key::Real(number),
        (ValueRef::Text(_), Encoding::Decimal) => {
            value_of(column, &Primitive::Decimal.into()).to_decimal().map_or(Key::Null, Key::Decimal)
        }
        (ValueRef::Text(bytes), _) => Key::Text(String::from_utf8_lossy(bytes).into_owned()),
        (ValueRef::Blob(bytes), _) => Key::Bytes(bytes.to_vec()),
    }
}

impl From<Bound> for types::Value {
    fn from(bound: Bound) -> types::Value {
        match bound {
            Bound::Null => types::Value::Null,
            Bound::Integer(number) => types::Value::Integer(number),
            Bound::Real(number) => types::Value::Real(number),
            Bound::Text(text) => types::Value::Text(text),
            Bound::Blob(bytes) => types::Value::Blob(bytes),
        }
    }
}

impl ToSql for Bound {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Bound::Null => ValueRef::Null,
            Bound::Integer(number) => ValueRef::Integer(*number),
            Bound::Real(number) => ValueRef::Real(*number),
            Bound::Text(text) => ValueRef::Text(text.as_bytes()),
            Bound::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
