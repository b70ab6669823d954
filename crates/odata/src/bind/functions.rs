//! Calls, casts and `case`.

use super::operators::promote;
use super::{BindResult, Binder, boolean, fault, ignores_case, type_fault, unsupported};
use crate::ast::{Expr, Position, TypeName};
use crate::function::Function;
use crate::primitive::Primitive;
use crate::schema::Type;
use crate::typed::{BindErrorKind, PathBase, Typed, TypedKind, TypedPath};
use crate::value::Value;

/// The type of argument that a function takes.
#[derive(Clone, Copy)]
enum ArgumentType {
    Text,
    Whole,
    Number,
    /// A date or a date-time.
    Calendar,
    /// A time of day or a date-time.
    Clock,
    Instant,
    Duration,
}

impl Binder<'_> {
    pub(super) fn call(&mut self, at: Position, function: Function, arguments: &[Expr]) -> BindResult<Typed> {
        use Function as F;
        use Primitive as P;
        // Source: URL Conventions 5.1.1.5 to 5.1.1.9, the signatures.
        let (takes, gives): (&[ArgumentType], P) = match function {
            F::Concat => (&[ArgumentType::Text, ArgumentType::Text], P::String),
            F::Contains | F::EndsWith | F::StartsWith | F::MatchesPattern => {
                (&[ArgumentType::Text, ArgumentType::Text], P::Boolean)
            }
            F::IndexOf => (&[ArgumentType::Text, ArgumentType::Text], P::Int32),
            F::Length => (&[ArgumentType::Text], P::Int32),
            F::Substring => (&[ArgumentType::Text, ArgumentType::Whole, ArgumentType::Whole], P::String),
            F::ToLower | F::ToUpper | F::Trim => (&[ArgumentType::Text], P::String),
            F::Year | F::Month | F::Day => (&[ArgumentType::Calendar], P::Int32),
            F::Hour | F::Minute | F::Second => (&[ArgumentType::Clock], P::Int32),
            F::FractionalSeconds => (&[ArgumentType::Clock], P::Decimal),
            F::TotalSeconds => (&[ArgumentType::Duration], P::Decimal),
            F::TotalOffsetMinutes => (&[ArgumentType::Instant], P::Int32),
            F::Date => (&[ArgumentType::Instant], P::Date),
            F::Time => (&[ArgumentType::Instant], P::TimeOfDay),
            F::Now | F::MinDateTime | F::MaxDateTime => (&[], P::DateTimeOffset),
            F::Round | F::Floor | F::Ceiling => (&[ArgumentType::Number], P::Decimal),
            F::HasSubset | F::HasSubsequence | F::GeoDistance | F::GeoLength | F::GeoIntersects => {
                return Err(unsupported(at, &format!("the function {}", function.name())));
            }
        };
        let mut bound = Vec::with_capacity(arguments.len());
        for (argument, takes) in arguments.iter().zip(takes) {
            let argument = self.bind(argument)?;
            bound.push(self.argument(function, argument, *takes)?);
        }
        if function == F::MatchesPattern
            && let Some(Value::String(pattern)) = bound.get(1).and_then(Typed::as_value)
            && let Err(error) = self.work.prepare_pattern(pattern).map_err(|error| self.refused(at, error))?
        {
            return Err(fault(bound[1].at, error.kind, error.message));
        }
        // Rounding keeps the numeric type.
        let rounds = matches!(function, F::Round | F::Floor | F::Ceiling);
        let ty = match bound.first().and_then(|argument| argument.ty.as_ref()?.primitive()) {
            Some(primitive) if rounds => promote(primitive, primitive),
            _ => gives,
        };
        let ignore_case = bound.iter().any(ignores_case);
        Ok(Typed::new(at, ty, TypedKind::Call { function, arguments: bound, ignore_case }))
    }

    fn argument(&self, function: Function, typed: Typed, takes: ArgumentType) -> BindResult<Typed> {
        use Primitive as P;
        let (fits, coerce, wanted): (fn(P) -> bool, Option<P>, &str) = match takes {
            ArgumentType::Text => (|p| p == P::String, Some(P::String), "a string"),
            ArgumentType::Whole => (P::is_integer, None, "a whole number"),
            ArgumentType::Number => (P::is_numeric, None, "a number"),
            ArgumentType::Calendar => (
                |p| matches!(p, P::Date | P::DateTimeOffset),
                Some(P::DateTimeOffset),
                "a date or a date-time",
            ),
            ArgumentType::Clock => (
                |p| matches!(p, P::TimeOfDay | P::DateTimeOffset),
                Some(P::DateTimeOffset),
                "a time of day or a date-time",
            ),
            ArgumentType::Instant => (|p| p == P::DateTimeOffset, Some(P::DateTimeOffset), "a date-time"),
            ArgumentType::Duration => (|p| p == P::Duration, Some(P::Duration), "a duration"),
        };
        let fit = |typed: &Typed| match &typed.ty {
            None => true,
            Some(ty) => ty.primitive().is_some_and(fits),
        };
        if fit(&typed) {
            return Ok(typed);
        }
        if matches!((takes, &typed.ty), (ArgumentType::Text, Some(Type::Collection(_)))) {
            return Err(unsupported(typed.at, &format!("{} of collections", function.name())));
        }
        let (at, found) = (typed.at, typed.ty.as_ref().map(Type::to_string).unwrap_or_default());
        let coerced = match coerce {
            Some(primitive) => self.coerce(typed, &primitive.into())?,
            None => typed,
        };
        if fit(&coerced) {
            return Ok(coerced);
        }
        Err(type_fault(at, format!("{} needs {wanted}, found {found}", function.name())))
    }

    pub(super) fn type_named(&self, name: &TypeName) -> BindResult<Type> {
        let found = self.schema.find_type(&name.name);
        let Some(ty) = found else {
            return Err(fault(name.at, BindErrorKind::UnknownName, format!("unknown type '{}'", name.name)));
        };
        Ok(if name.collection { ty.collection() } else { ty })
    }

    fn operand(&mut self, at: Position, operand: Option<&Expr>) -> BindResult<Typed> {
        match operand {
            Some(operand) => self.bind(operand),
            None => {
                let path = TypedPath { base: PathBase::Item, steps: Vec::new() };
                let ty = self.element.clone().unwrap_or(Type::Structured(self.item.clone()));
                Ok(Typed::new(at, ty, TypedKind::Path(path)))
            }
        }
    }

    pub(super) fn cast(
        &mut self,
        at: Position,
        operand: Option<&Expr>,
        name: &TypeName,
    ) -> BindResult<Typed> {
        let to = self.type_named(name)?;
        let operand = self.operand(at, operand)?;
        let Some(from) = &operand.ty else { return Ok(Typed { at, ty: Some(to), kind: operand.kind }) };
        if *from == to {
            return Ok(operand);
        }
        if matches!(to, Type::Structured(_) | Type::Collection(_)) {
            return Err(unsupported(at, "a cast to an object or a collection"));
        }
        if !casts(from, &to) {
            return Err(type_fault(at, format!("{from} cannot be cast to {to}")));
        }
        let kind = TypedKind::Cast { operand: Box::new(operand), to: to.clone() };
        Ok(Typed::new(at, to, kind))
    }

    pub(super) fn is_of(
        &mut self,
        at: Position,
        operand: Option<&Expr>,
        name: &TypeName,
    ) -> BindResult<Typed> {
        let ty = self.type_named(name)?;
        let operand = Box::new(self.operand(at, operand)?);
        Ok(Typed::new(at, Primitive::Boolean, TypedKind::IsOf { operand, ty }))
    }

    pub(super) fn case(&mut self, at: Position, branches: &[(Expr, Expr)]) -> BindResult<Typed> {
        let mut bound = Vec::with_capacity(branches.len());
        let mut ty: Option<Type> = None;
        for (condition, value) in branches {
            let condition = self.bind(condition)?;
            boolean(&condition, "a condition of case")?;
            let value = self.bind(value)?;
            ty = match (ty, &value.ty) {
                (None, other) => other.clone(),
                (known, None) => known,
                (Some(known), Some(other)) => match (known.primitive(), other.primitive()) {
                    (Some(one), Some(two)) if one.is_numeric() && two.is_numeric() && one != two => {
                        Some(promote(one, two).into())
                    }
                    _ if known == *other => Some(known),
                    _ => {
                        return Err(type_fault(
                            value.at,
                            format!("the values of case are {known} and {other}"),
                        ));
                    }
                },
            };
            bound.push((condition, value));
        }
        Ok(Typed { at, ty, kind: TypedKind::Case(bound) })
    }
}

/// Source: URL Conventions 5.1.1.10.1, "cast".
fn casts(from: &Type, to: &Type) -> bool {
    use Primitive as P;
    match (from, to) {
        (Type::Primitive(_) | Type::Enum(_), Type::Primitive(P::String)) => true,
        (Type::Primitive(P::String), Type::Enum(_)) => true,
        (Type::Primitive(P::String), Type::Primitive(to)) => !to.is_geo() && *to != P::Stream,
        (Type::Primitive(P::DateTimeOffset), Type::Primitive(P::Date | P::TimeOfDay)) => true,
        (Type::Primitive(P::Date), Type::Primitive(P::DateTimeOffset)) => true,
        (Type::Primitive(from), Type::Primitive(to)) => from.is_numeric() && to.is_numeric(),
        _ => false,
    }
}

/// Returns a constant amount, as `topcount` and similar transformations need it.
pub(super) fn constant(typed: &Typed) -> Option<Value> {
    typed.as_value().filter(|value| value.to_double().is_some()).cloned()
}
