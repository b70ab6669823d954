//! Operators: which types can be combined, and how literals are converted to the type of the other operand.

use super::{BindResult, Binder, fault, ignores_case, null, type_fault, unsupported};
use crate::ast::{Arithmetic, Comparison, Expr, ExprKind, Path, Position, Root};
use crate::literal::{EnumMember, Literal};
use crate::primitive::{DateTimeOffset, Primitive};
use crate::schema::{EnumType, Type};
use crate::suggestion::did_you_mean;
use crate::typed::{BindErrorKind, Typed, TypedKind};
use crate::value::Value;

impl<'a> Binder<'a> {
    pub(super) fn literal(&self, at: Position, literal: &Literal) -> BindResult<Typed> {
        use Primitive as P;
        let (primitive, value) = match literal {
            Literal::Null => return Ok(null(at)),
            Literal::Boolean(value) => (P::Boolean, Value::Boolean(*value)),
            Literal::Integer(number) => (P::Int64, Value::Integer(*number)),
            Literal::Number(number) => match number.decimal() {
                Some(decimal) => (P::Decimal, Value::Decimal(decimal)),
                None => (P::Double, Value::Double(number.double())),
            },
            Literal::Infinity => (P::Double, Value::Double(f64::INFINITY)),
            Literal::NegativeInfinity => (P::Double, Value::Double(f64::NEG_INFINITY)),
            Literal::NotANumber => (P::Double, Value::Double(f64::NAN)),
            Literal::String(text) => (P::String, Value::String(text.clone())),
            Literal::Guid(guid) => (P::Guid, Value::Guid(*guid)),
            Literal::Date(date) => (P::Date, Value::Date(*date)),
            Literal::DateTimeOffset(instant) => (P::DateTimeOffset, Value::DateTimeOffset(*instant)),
            Literal::TimeOfDay(time) => (P::TimeOfDay, Value::TimeOfDay(*time)),
            Literal::Duration(duration) => (P::Duration, Value::Duration(*duration)),
            Literal::Binary(bytes) => (P::Binary, Value::Binary(bytes.clone())),
            Literal::Geo(_) => return Err(unsupported(at, "a geo literal")),
            Literal::Enum(literal) => {
                let Some(Type::Enum(name)) = self.schema.find_type(&literal.type_name) else {
                    let message = format!("unknown enumeration '{}'", literal.type_name);
                    return Err(fault(at, BindErrorKind::UnknownName, message));
                };
                let value = self.enum_value(at, &name, &literal.members)?;
                return Ok(Typed::constant(at, Some(Type::Enum(name)), value));
            }
        };
        self.hold(at, &value)?;
        Ok(Typed::constant(at, Some(primitive.into()), value))
    }

    /// Returns the value of members of an enumeration.
    pub(super) fn enum_value(&self, at: Position, name: &str, members: &[EnumMember]) -> BindResult<Value> {
        let Some(enumeration) = self.schema.find_enum(name) else {
            return Err(fault(at, BindErrorKind::UnknownName, format!("unknown enumeration '{name}'")));
        };
        if members.len() > 1 && !enumeration.flags {
            return Err(fault(at, BindErrorKind::Value, format!("{name} takes one member at a time")));
        }
        let mut value = 0;
        for member in members {
            value |= match member {
                EnumMember::Value(number) => *number,
                EnumMember::Name(member) => self.enum_member(at, enumeration, member)?,
            };
        }
        match enumeration.names(value) {
            Some(name) => Ok(Value::Enum { name, value }),
            None => {
                Err(fault(at, BindErrorKind::Value, format!("{name} has no member with the value {value}")))
            }
        }
    }

    fn enum_member(&self, at: Position, enumeration: &EnumType, member: &str) -> BindResult<i64> {
        enumeration.value(member, self.settings.ignore_enum_case).ok_or_else(|| {
            let near = did_you_mean(member, enumeration.members.iter().map(|(name, _)| &**name));
            fault(at, BindErrorKind::Value, format!("{} has no member '{member}'{near}", enumeration.name))
        })
    }

    /// Converts a constant to the given type if possible. Other expressions are returned unchanged.
    pub(super) fn coerce(&self, typed: Typed, to: &Type) -> BindResult<Typed> {
        let (at, Some(ty)) = (typed.at, typed.ty.clone()) else { return Ok(typed) };
        if ty == *to {
            return Ok(typed);
        }
        let TypedKind::Value(value) = &typed.kind else { return Ok(typed) };
        let coerced = match (&**value, to) {
            (Value::String(text), Type::Enum(name)) => {
                let members = EnumMember::parse_list(text).map_err(|_| {
                    let member = EnumMember::Name(text.clone());
                    match self.enum_value(at, name, &[member]) {
                        Err(error) => error,
                        Ok(_) => {
                            fault(at, BindErrorKind::Value, format!("'{text}' is not a member of {name}"))
                        }
                    }
                })?;
                self.enum_value(at, name, &members)?
            }
            (Value::String(text), Type::Primitive(primitive))
                if self.settings.quoted_literals && is_quoted(*primitive) =>
            {
                let Ok(literal) = Literal::parse_value(*primitive, text) else {
                    // A quoted date is midnight of that day, like an unquoted one.
                    if *primitive == Primitive::DateTimeOffset
                        && self.settings.bare_literals
                        && let Ok(Literal::Date(date)) = Literal::parse_value(Primitive::Date, text)
                    {
                        let instant = Value::DateTimeOffset(DateTimeOffset::midnight(date));
                        return Ok(Typed::constant(at, Some(to.clone()), instant));
                    }
                    return Err(fault(at, BindErrorKind::Value, format!("'{text}' is not {to}")));
                };
                return self.literal(at, &literal);
            }
            (Value::Guid(guid), Type::Primitive(Primitive::String)) if self.settings.bare_literals => {
                Value::String(guid.to_string())
            }
            (Value::Date(date), Type::Primitive(Primitive::DateTimeOffset))
                if self.settings.bare_literals =>
            {
                Value::DateTimeOffset(DateTimeOffset::midnight(*date))
            }
            _ => return Ok(typed),
        };
        Ok(Typed::constant(at, Some(to.clone()), coerced))
    }

    /// Converts both operands to the same type, or returns an error if their types cannot be compared.
    fn comparable(&self, at: Position, left: Typed, right: Typed) -> BindResult<(Typed, Typed)> {
        let (Some(left_type), Some(right_type)) = (left.ty.clone(), right.ty.clone()) else {
            return Ok((left, right));
        };
        let left = self.coerce(left, &right_type)?;
        let right = self.coerce(right, &left_type)?;
        match (&left.ty, &right.ty) {
            (Some(Type::Structured(_) | Type::Collection(_)), Some(_))
            | (Some(_), Some(Type::Structured(_) | Type::Collection(_))) => {
                Err(unsupported(at, "the comparison of objects and collections"))
            }
            (Some(one), Some(other)) if compare(one, other) => Ok((left, right)),
            (Some(one), Some(other)) => Err(type_fault(at, format!("{one} cannot be compared with {other}"))),
            _ => Ok((left, right)),
        }
    }

    pub(super) fn compare(
        &mut self,
        at: Position,
        op: Comparison,
        left: &Expr,
        right: &Expr,
    ) -> BindResult<Typed> {
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        let (left, right) = self.comparable(at, left, right)?;
        let ignore_case = ignores_case(&left) || ignores_case(&right);
        let kind = TypedKind::Compare { op, left: Box::new(left), right: Box::new(right), ignore_case };
        Ok(Typed::new(at, Primitive::Boolean, kind))
    }

    pub(super) fn contained(&mut self, at: Position, left: &Expr, right: &Expr) -> BindResult<Typed> {
        let mut left = self.bind(left)?;
        let right = self.alias_list(right).unwrap_or(right);
        let kind = match &right.kind {
            ExprKind::List(members) | ExprKind::Array(members) => {
                let mut list = Vec::with_capacity(members.len());
                let mut ignore_case = ignores_case(&left);
                for member in members {
                    let member = self.bind(member)?;
                    let (coerced, member) = self.comparable(at, left, member)?;
                    left = coerced;
                    ignore_case |= ignores_case(&member);
                    list.push(member);
                }
                TypedKind::In { left: Box::new(left), list, ignore_case }
            }
            ExprKind::Path(path) => {
                let collection = self.collection_path(right.at, path)?;
                let ty = Some(collection.element.clone());
                let probe = Typed { at, ty, kind: TypedKind::Path(collection.path.clone()) };
                let ignore_case = ignores_case(&left) || ignores_case(&probe);
                let (left, _) = self.comparable(at, left, probe)?;
                TypedKind::Member { left: Box::new(left), collection: Box::new(collection), ignore_case }
            }
            _ => return Err(type_fault(right.at, "expected a list or a collection after 'in'")),
        };
        Ok(Typed::new(at, Primitive::Boolean, kind))
    }

    /// `in @list` with `@list=['a','b']`
    fn alias_list(&self, expr: &Expr) -> Option<&'a Expr> {
        let ExprKind::Path(Path { root: Root::Alias(name), segments }) = &expr.kind else { return None };
        let (_, value) = self.aliases.iter().find(|(alias, _)| alias == name)?;
        (segments.is_empty() && matches!(value.kind, ExprKind::Array(_))).then_some(*value)
    }

    pub(super) fn has(&mut self, at: Position, left: &Expr, right: &Expr) -> BindResult<Typed> {
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        let right = match &left.ty {
            Some(ty @ Type::Enum(_)) => self.coerce(right, ty)?,
            Some(other) => {
                return Err(type_fault(left.at, format!("'has' needs an enumeration, found {other}")));
            }
            None => right,
        };
        if left.ty.is_some() && right.ty.is_some() && left.ty != right.ty {
            return Err(type_fault(right.at, "'has' needs a value of the same enumeration"));
        }
        let flags = |ty: &Type| match ty {
            Type::Enum(name) => self.schema.find_enum(name).is_some_and(|enumeration| enumeration.flags),
            _ => false,
        };
        if left.ty.is_some() && right.ty.is_some() && !left.ty.as_ref().is_some_and(flags) {
            return Ok(only_member(at, left, right));
        }
        let kind = TypedKind::Has { left: Box::new(left), right: Box::new(right) };
        Ok(Typed::new(at, Primitive::Boolean, kind))
    }

    pub(super) fn negate(&mut self, at: Position, operand: &Expr) -> BindResult<Typed> {
        let operand = self.bind(operand)?;
        match operand.ty.as_ref().map(Type::primitive) {
            None => {}
            Some(Some(primitive)) if primitive.is_numeric() || primitive == Primitive::Duration => {}
            Some(_) => return Err(type_fault(operand.at, "'-' needs a number or a duration")),
        }
        Ok(Typed { at, ty: operand.ty.clone(), kind: TypedKind::Negate(Box::new(operand)) })
    }

    pub(super) fn arithmetic(
        &mut self,
        at: Position,
        op: Arithmetic,
        left: &Expr,
        right: &Expr,
    ) -> BindResult<Typed> {
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        let primitive = |typed: &Typed| match &typed.ty {
            None => Ok(None),
            Some(Type::Primitive(primitive)) => Ok(Some(*primitive)),
            Some(other) => Err(type_fault(typed.at, format!("'{}' cannot take {other}", op.name()))),
        };
        let ty = match (primitive(&left)?, primitive(&right)?) {
            (Some(one), Some(other)) => result_type(op, one, other).ok_or_else(|| {
                let (one, other) = (Type::Primitive(one), Type::Primitive(other));
                type_fault(at, format!("'{}' cannot take {one} and {other}", op.name()))
            })?,
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return Ok(null(at)),
        };
        let by_zero = match right.as_value() {
            Some(Value::Integer(0)) => !ty.is_float(),
            Some(Value::Decimal(divisor)) => divisor.is_zero() && !ty.is_float(),
            Some(Value::Double(divisor)) => *divisor == 0.0 && ty == Primitive::Duration,
            _ => false,
        };
        // An expression that has no value for any referral is refused before any referral is read.
        if by_zero && matches!(op, Arithmetic::Div | Arithmetic::DivBy | Arithmetic::Mod) {
            return Err(fault(at, BindErrorKind::Value, format!("'{}' by zero", op.name())));
        }
        let kind = TypedKind::Arithmetic { op, left: Box::new(left), right: Box::new(right) };
        Ok(Typed::new(at, ty, kind))
    }
}

/// `left has right` for an enumeration without flags: the numbers of two members may share bits without meaning. It is
/// `eq`, except for null, which `has` does not define. Source: URL Conventions 5.1.1.1.9.
fn only_member(at: Position, left: Typed, right: Typed) -> Typed {
    let compare = |op, left: Typed, right: Typed| {
        let kind =
            TypedKind::Compare { op, left: Box::new(left), right: Box::new(right), ignore_case: false };
        Typed::new(at, Primitive::Boolean, kind)
    };
    let sides = [&left, &right].into_iter().filter(|side| !matches!(side.kind, TypedKind::Value(_)));
    let known: Vec<Typed> = sides.map(|side| compare(Comparison::Ne, side.clone(), null(at))).collect();
    let equal = compare(Comparison::Eq, left, right);
    if known.is_empty() {
        return equal;
    }
    let known = Typed::new(at, Primitive::Boolean, TypedKind::And(known));
    Typed::new(at, Primitive::Boolean, TypedKind::Case(vec![(known, equal)]))
}

/// Returns whether values of a type may also be written in quotes.
fn is_quoted(primitive: Primitive) -> bool {
    use Primitive as P;
    matches!(primitive, P::Guid | P::Date | P::DateTimeOffset | P::TimeOfDay | P::Duration)
}

/// Returns whether values of two types can be compared.
pub(super) fn compare(one: &Type, other: &Type) -> bool {
    match (one, other) {
        (Type::Primitive(one), Type::Primitive(other)) => {
            (one == other && !one.is_geo() && *one != Primitive::Stream)
                || (one.is_numeric() && other.is_numeric())
        }
        _ => one == other,
    }
}

/// Returns the wider of two numeric types: floating-point, exact, integer.
pub(super) fn promote(one: Primitive, other: Primitive) -> Primitive {
    if one.is_float() || other.is_float() {
        Primitive::Double
    } else if one == Primitive::Decimal || other == Primitive::Decimal {
        Primitive::Decimal
    } else {
        Primitive::Int64
    }
}

/// Source: URL Conventions 5.1.1.2, "Arithmetic Operators".
fn result_type(op: Arithmetic, one: Primitive, other: Primitive) -> Option<Primitive> {
    use Arithmetic as A;
    use Primitive as P;
    Some(match (op, one, other) {
        (A::DivBy, one, other) if one.is_numeric() && other.is_numeric() => match promote(one, other) {
            P::Int64 => P::Decimal,
            wider => wider,
        },
        (_, one, other) if one.is_numeric() && other.is_numeric() => promote(one, other),
        (A::Add | A::Sub, P::DateTimeOffset | P::Date | P::Duration, P::Duration) => one,
        (A::Add, P::Duration, P::DateTimeOffset | P::Date) => other,
        (A::Sub, P::DateTimeOffset, P::DateTimeOffset) | (A::Sub, P::Date, P::Date) => P::Duration,
        (A::Mul | A::Div | A::DivBy, P::Duration, number) if number.is_numeric() => P::Duration,
        (A::Mul, number, P::Duration) if number.is_numeric() => P::Duration,
        _ => return None,
    })
}
