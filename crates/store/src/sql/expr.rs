//! Expressions: what each form of the bound tree is in SQL.

use odata::{
    Arithmetic, Comparison, Function, PathBase, Primitive, Type, Typed, TypedKind, TypedPath, Value, fold,
};
use serde_json::Value as Json;

use super::{Bound, Encoding, NotSupported, Writer};

/// A written expression. Its text stands anywhere an operand may.
#[derive(Debug, Clone)]
pub(super) struct Sql {
    pub(super) text: String,
    pub(super) encoding: Encoding,
    /// Whether it may be NULL.
    pub(super) nullable: bool,
    /// An instant that may have been written in another offset than UTC, which its ticks do not tell.
    pub(super) zoned: bool,
}

impl Sql {
    fn boolean(text: String, nullable: bool) -> Sql {
        Sql { text, encoding: Encoding::Boolean, nullable, zoned: false }
    }
}

/// What a condition is written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truth {
    /// Only whether it is true: null may stand for false, and false for null.
    Filter,
    /// Its exact value of the three.
    Exact,
}

type Written<T> = Result<T, NotSupported>;

impl Writer<'_> {
    /// What keeps the rows for which the expression is true.
    pub(super) fn condition(&mut self, typed: &Typed) -> Written<String> {
        self.truth(typed, Truth::Filter)
    }

    pub(super) fn truth(&mut self, typed: &Typed, wanted: Truth) -> Written<String> {
        if let Some(value) = self.constant(typed) {
            return Ok(self.parameter(Encoding::Boolean.bound(&value)?));
        }
        match &typed.kind {
            TypedKind::And(terms) => self.chain(terms, " AND ", wanted),
            TypedKind::Or(terms) => self.chain(terms, " OR ", wanted),
            TypedKind::Compare { op, left, right, ignore_case } => {
                self.compare(*op, left, right, *ignore_case, wanted)
            }
            TypedKind::In { left, list, ignore_case } => self.in_list(left, list, *ignore_case, wanted),
            _ => Ok(self.expr(typed)?.text),
        }
    }

    /// Any expression.
    pub(super) fn expr(&mut self, typed: &Typed) -> Written<Sql> {
        self.operand(typed, Encoding::of(typed.ty.as_ref()), false)
    }

    /// An expression in the encoding that it is compared in, without case where that is wanted.
    pub(super) fn operand(&mut self, typed: &Typed, encoding: Encoding, ignore_case: bool) -> Written<Sql> {
        if let Some(value) = self.constant(typed) {
            return self.value(&value, encoding, ignore_case);
        }
        let sql = self.variable(typed)?;
        let text = match (sql.encoding, encoding) {
            (Encoding::Integer, Encoding::Decimal) => self.dialect.whole_to_decimal(&sql.text),
            (Encoding::Integer, Encoding::Real) => self.dialect.whole_to_real(&sql.text),
            (Encoding::Decimal, Encoding::Real) => self.dialect.decimal_to_real(&sql.text),
            (Encoding::Text, Encoding::Text) if ignore_case => self.dialect.fold(&sql.text),
            _ => sql.text,
        };
        Ok(Sql { text, encoding, ..sql })
    }

    /// A value as a parameter.
    fn value(&mut self, value: &Value, encoding: Encoding, ignore_case: bool) -> Written<Sql> {
        let bound = match (value, ignore_case) {
            (Value::String(text), true) => Bound::Text(fold(text)),
            _ => encoding.bound(value)?,
        };
        let nullable = bound == Bound::Null;
        let zoned = matches!(value, Value::DateTimeOffset(instant) if instant.offset != 0);
        Ok(Sql { text: self.parameter(bound), encoding, nullable, zoned })
    }

    /// The value of an expression that says nothing of any row.
    fn constant(&self, typed: &Typed) -> Option<Value> {
        let mut constant = true;
        typed.walk(&mut |part| {
            constant &= !matches!(
                part.kind,
                TypedKind::Path(_)
                    | TypedKind::SearchMatch { .. }
                    | TypedKind::Member { .. }
                    | TypedKind::Count(_)
                    | TypedKind::Any { .. }
                    | TypedKind::All { .. }
            );
        });
        // One without a value has none for the engine either.
        if constant { self.evaluator.value(typed, &Json::Null).ok() } else { None }
    }

    fn variable(&mut self, typed: &Typed) -> Written<Sql> {
        Ok(match &typed.kind {
            TypedKind::Value(value) => self.value(value, Encoding::of(typed.ty.as_ref()), false)?,
            TypedKind::Path(path) => self.path(path, typed.ty.as_ref())?,
            TypedKind::Not(operand) => {
                Sql::boolean(format!("(NOT {})", self.truth(operand, Truth::Exact)?), true)
            }
            TypedKind::And(_) | TypedKind::Or(_) => Sql::boolean(self.truth(typed, Truth::Exact)?, true),
            TypedKind::Compare { .. } | TypedKind::In { .. } => {
                Sql::boolean(self.truth(typed, Truth::Exact)?, false)
            }
            TypedKind::Negate(operand) => {
                let Some(ty) = &operand.ty else { return self.null_from(&[operand]) };
                let sql = self.expr(operand)?;
                Sql { text: self.dialect.negate(ty, &sql.text), nullable: true, ..sql }
            }
            TypedKind::Arithmetic { op, left, right } => {
                self.arithmetic(*op, left, right, typed.ty.as_ref())?
            }
            TypedKind::Has { left, right } => {
                let (left, right) = (self.expr(left)?, self.expr(right)?);
                Sql::boolean(self.dialect.has(&left.text, &right.text), true)
            }
            TypedKind::Member { left, collection, ignore_case } => {
                Sql::boolean(self.member_of(left, collection, *ignore_case)?, false)
            }
            TypedKind::Call { function, arguments, ignore_case } => {
                self.call(*function, arguments, *ignore_case, typed.ty.as_ref())?
            }
            TypedKind::Cast { operand, to } => self.cast(operand, to)?,
            TypedKind::SearchMatch { of, search } => {
                let json = self.json(*of);
                let words = self.parameter(Bound::Text(search.to_string()));
                Sql::boolean(self.dialect.found(&json, &words), false)
            }
            TypedKind::IsOf { operand, ty } => {
                let text = if operand.ty.as_ref() == Some(ty) {
                    format!("({} IS NOT NULL)", self.expr(operand)?.text)
                } else {
                    self.null_from(&[operand])?;
                    "FALSE".to_owned()
                };
                Sql::boolean(text, false)
            }
            TypedKind::Case(branches) => self.case(branches, typed.ty.as_ref())?,
            TypedKind::Count(collection) => Sql {
                text: self.count(collection)?,
                encoding: Encoding::Integer,
                nullable: false,
                zoned: false,
            },
            TypedKind::Any { collection, predicate } => {
                Sql::boolean(self.any(collection, predicate.as_ref())?, false)
            }
            TypedKind::All { collection, predicate } => Sql::boolean(self.all(collection, predicate)?, false),
        })
    }

    /// Terms of `AND` or `OR` as a tree of equal sides: engines bound the depth of what they read.
    fn chain(&mut self, terms: &[Typed], operator: &str, wanted: Truth) -> Written<String> {
        let mut written = Vec::with_capacity(terms.len());
        for term in terms {
            written.push(self.truth(term, wanted)?);
        }
        Ok(balanced(&written, operator))
    }

    fn compare(
        &mut self,
        op: Comparison,
        left: &Typed,
        right: &Typed,
        ignore_case: bool,
        wanted: Truth,
    ) -> Written<String> {
        let null = |typed: &Typed| typed.ty.is_none();
        if null(left) || null(right) {
            let other = if null(left) { right } else { left };
            return Ok(match op {
                Comparison::Eq => format!("({} IS NULL)", self.expr(other)?.text),
                Comparison::Ne => format!("({} IS NOT NULL)", self.expr(other)?.text),
                Comparison::Gt | Comparison::Ge | Comparison::Lt | Comparison::Le => {
                    self.null_from(&[other])?;
                    "FALSE".to_owned()
                }
            });
        }
        let encoding = Encoding::of(left.ty.as_ref()).common(Encoding::of(right.ty.as_ref()));
        let left = self.operand(left, encoding, ignore_case)?;
        let right = self.operand(right, encoding, ignore_case)?;
        Ok(self.holds(op, &left, &right, wanted))
    }

    /// `left op right` of one encoding; never null where its exact value is wanted.
    pub(super) fn holds(&self, op: Comparison, left: &Sql, right: &Sql, wanted: Truth) -> String {
        let one = match left.encoding {
            Encoding::Decimal => self.dialect.by_value(&left.text),
            _ => left.text.clone(),
        };
        let other = &right.text;
        let decided = !left.nullable && !right.nullable;
        // Where one side is never null, the plain sign says the same, and every index knows it.
        let plain = decided || (wanted == Truth::Filter && !(left.nullable && right.nullable));
        let sign = match op {
            Comparison::Eq if plain => "=",
            Comparison::Eq => return self.dialect.same(&one, other),
            Comparison::Ne if decided => "<>",
            Comparison::Ne => return self.dialect.differs(&one, other),
            Comparison::Gt => ">",
            Comparison::Ge => ">=",
            Comparison::Lt => "<",
            Comparison::Le => "<=",
        };
        let compared = format!("({one} {sign} {other})");
        if decided || wanted == Truth::Filter { compared } else { format!("({compared} IS TRUE)") }
    }

    fn in_list(&mut self, left: &Typed, list: &[Typed], ignore_case: bool, wanted: Truth) -> Written<String> {
        let own = Encoding::of(left.ty.as_ref());
        let mut members = Vec::with_capacity(list.len());
        let mut has_null = false;
        let mut plain = left.ty.is_some();
        for member in list {
            match self.constant(member) {
                Some(Value::Null) => has_null = true,
                value => {
                    let encoding = own.common(Encoding::of(member.ty.as_ref()));
                    plain &= value.is_some() && encoding == own;
                    members.push((member, encoding));
                }
            }
        }
        if !plain {
            return self.in_mixed_list(left, &members, has_null, ignore_case);
        }
        if members.is_empty() && !has_null {
            self.null_from(&[left])?;
            return Ok("FALSE".to_owned());
        }
        let left = self.operand(left, own, ignore_case)?;
        if members.is_empty() {
            return Ok(format!("({} IS NULL)", left.text));
        }
        let mut written = Vec::with_capacity(members.len());
        for (member, encoding) in members {
            written.push(self.operand(member, encoding, ignore_case)?.text);
        }
        let one = if own == Encoding::Decimal { self.dialect.by_value(&left.text) } else { left.text };
        let found = format!("({one} IN ({}))", written.join(", "));
        Ok(match (has_null, wanted) {
            // Null is in no list of values; then the answer is null, and that is what was looked for.
            (true, _) => format!("({found} IS NOT FALSE)"),
            (false, Truth::Exact) if left.nullable => format!("({found} IS TRUE)"),
            (false, _) => found,
        })
    }

    /// A list whose members are no constants of one encoding: each is compared with the value, computed once.
    fn in_mixed_list(
        &mut self,
        left: &Typed,
        members: &[(&Typed, Encoding)],
        has_null: bool,
        ignore_case: bool,
    ) -> Written<String> {
        if members.is_empty() && !has_null {
            self.null_from(&[left])?;
            return Ok("FALSE".to_owned());
        }
        let value = self.expr(left)?;
        let alias = self.alias();
        let name = format!("{alias}.value");
        let mut written = Vec::with_capacity(members.len() + 1);
        if has_null {
            written.push(format!("({name} IS NULL)"));
        }
        for (member, encoding) in members {
            let text = match (value.encoding, encoding) {
                (Encoding::Integer, Encoding::Decimal) => self.dialect.whole_to_decimal(&name),
                (Encoding::Integer, Encoding::Real) => self.dialect.whole_to_real(&name),
                (Encoding::Decimal, Encoding::Real) => self.dialect.decimal_to_real(&name),
                (Encoding::Text, Encoding::Text) if ignore_case => self.dialect.fold(&name),
                _ => name.clone(),
            };
            let probe = Sql { text, encoding: *encoding, nullable: true, zoned: false };
            let member = self.operand(member, *encoding, ignore_case)?;
            written.push(self.holds(Comparison::Eq, &probe, &member, Truth::Filter));
        }
        Ok(self.dialect.with_value(&alias, &value.text, &balanced(&written, " OR ")))
    }

    fn arithmetic(&mut self, op: Arithmetic, left: &Typed, right: &Typed, ty: Option<&Type>) -> Written<Sql> {
        let (Some(one), Some(other)) = (&left.ty, &right.ty) else { return self.null_from(&[left, right]) };
        let types = [one, other];
        let (one, other) = (self.expr(left)?, self.expr(right)?);
        let instant = ty.and_then(Type::primitive) == Some(Primitive::DateTimeOffset);
        Ok(Sql {
            text: self.dialect.arithmetic(op, types, &one.text, &other.text),
            encoding: Encoding::of(ty),
            nullable: true,
            zoned: instant && (one.zoned || other.zoned),
        })
    }

    fn call(
        &mut self,
        function: Function,
        arguments: &[Typed],
        ignore_case: bool,
        ty: Option<&Type>,
    ) -> Written<Sql> {
        use Function as F;
        let folds = ignore_case && matches!(function, F::Contains | F::StartsWith | F::EndsWith | F::IndexOf);
        if arguments.iter().any(|argument| argument.ty.is_none()) {
            let arguments: Vec<&Typed> = arguments.iter().collect();
            return Ok(Sql { encoding: Encoding::of(ty), ..self.null_from(&arguments)? });
        }
        let mut written = Vec::with_capacity(arguments.len());
        for argument in arguments {
            let sql = self.operand(argument, Encoding::of(argument.ty.as_ref()), folds)?;
            in_utc(&sql, function.name())?;
            written.push(sql.text);
        }
        let of = match function {
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
            | F::Ceiling => arguments.first().and_then(|argument| argument.ty.as_ref()),
            F::Concat
            | F::Contains
            | F::EndsWith
            | F::IndexOf
            | F::Length
            | F::StartsWith
            | F::Substring
            | F::MatchesPattern
            | F::ToLower
            | F::ToUpper
            | F::Trim => None,
            F::HasSubset
            | F::HasSubsequence
            | F::Now
            | F::MinDateTime
            | F::MaxDateTime
            | F::GeoDistance
            | F::GeoLength
            | F::GeoIntersects => {
                return Err(NotSupported::new(format!("the function {} is not supported", function.name())));
            }
        };
        let text = self.dialect.call(function, of, &written);
        Ok(Sql { text, encoding: Encoding::of(ty), nullable: true, zoned: false })
    }

    fn cast(&mut self, operand: &Typed, to: &Type) -> Written<Sql> {
        let Some(from) = &operand.ty else {
            return Ok(Sql { encoding: Encoding::of(Some(to)), ..self.null_from(&[operand])? });
        };
        let sql = self.expr(operand)?;
        in_utc(&sql, "cast")?;
        let zoned =
            from.primitive() == Some(Primitive::String) && to.primitive() == Some(Primitive::DateTimeOffset);
        let text = self.dialect.cast(from, to, &sql.text);
        Ok(Sql { text, encoding: Encoding::of(Some(to)), nullable: true, zoned })
    }

    fn case(&mut self, branches: &[(Typed, Typed)], ty: Option<&Type>) -> Written<Sql> {
        let encoding = Encoding::of(ty);
        let mut text = "(CASE".to_owned();
        let mut zoned = false;
        for (condition, value) in branches {
            let condition = self.condition(condition)?;
            let value = self.operand(value, encoding, false)?;
            zoned |= value.zoned;
            text.push_str(&format!(" WHEN {condition} THEN {}", value.text));
        }
        text.push_str(" END)");
        Ok(Sql { text, encoding, nullable: true, zoned })
    }

    /// NULL whatever these are, as long as they can be written at all.
    fn null_from(&mut self, operands: &[&Typed]) -> Written<Sql> {
        let values = self.values.len();
        for operand in operands {
            self.expr(operand)?;
        }
        self.values.truncate(values);
        Ok(null())
    }

    fn path(&mut self, path: &TypedPath, ty: Option<&Type>) -> Written<Sql> {
        stored(path)?;
        if path.base == PathBase::Item
            && let Some(sql) = self.items.find(&path.steps, ty)
        {
            return Ok(sql);
        }
        let json = self.json(path.base);
        let text = match ty {
            None => return Ok(null()),
            Some(Type::Structured(_) | Type::Collection(_)) if path.steps.is_empty() => {
                return Ok(present(json));
            }
            Some(Type::Structured(_) | Type::Collection(_)) => {
                return Ok(present(self.dialect.presence(&json, &path.steps)));
            }
            Some(Type::Enum(name)) => {
                let text = self.text(&json, path);
                match self.evaluator.schema.find_enum(name) {
                    Some(enumeration) => self.dialect.enumeration(&text, enumeration),
                    None => return Ok(null()),
                }
            }
            Some(Type::Primitive(Primitive::String | Primitive::Boolean)) => self.text(&json, path),
            Some(Type::Primitive(primitive)) => {
                let text = match primitive.is_numeric() && !path.steps.is_empty() {
                    true => self.dialect.number_text(&json, &path.steps),
                    false => self.text(&json, path),
                };
                self.dialect.cast(&Primitive::String.into(), &(*primitive).into(), &text)
            }
        };
        // What is stored was brought to UTC.
        Ok(Sql { text, encoding: Encoding::of(ty), nullable: true, zoned: false })
    }

    /// The text at a path.
    fn text(&self, json: &str, path: &TypedPath) -> String {
        if path.steps.is_empty() { json.to_owned() } else { self.dialect.member(json, &path.steps) }
    }

    /// The JSON that a path starts from.
    pub(super) fn json(&self, base: PathBase) -> String {
        match base {
            PathBase::Item => self.dialect.document(),
            PathBase::Variable(number) => {
                let known = self.members.iter().rev().find(|(known, _)| *known == number);
                known.map_or("NULL".to_owned(), |(_, alias)| self.dialect.element(alias))
            }
        }
    }
}

/// Of a bare null, nothing but null comes.
pub(super) fn null() -> Sql {
    Sql { text: "NULL".to_owned(), encoding: Encoding::Integer, nullable: true, zoned: false }
}

pub(super) fn present(text: String) -> Sql {
    Sql { text, encoding: Encoding::Present, nullable: true, zoned: false }
}

/// Terms joined so that no term is deeper than it must be.
pub(crate) fn balanced(terms: &[String], operator: &str) -> String {
    match terms {
        [] => "TRUE".to_owned(),
        [only] => only.clone(),
        terms => {
            let (left, right) = terms.split_at(terms.len() / 2);
            format!("({}{operator}{})", balanced(left, operator), balanced(right, operator))
        }
    }
}

/// Refuses an instant whose own offset would count.
fn in_utc(sql: &Sql, what: &str) -> Written<()> {
    if sql.zoned {
        let message = format!("{what} of a date-time that may have an offset of its own is not supported");
        return Err(NotSupported::new(message));
    }
    Ok(())
}

/// Refuses paths to what is not in the document.
pub(super) fn stored(path: &TypedPath) -> Written<()> {
    if let Some(step) = path.steps.iter().find(|step| step.navigation) {
        let message = format!("'{}' leads to other referrals: it is expanded, not asked about", step.name);
        return Err(NotSupported::new(message));
    }
    if path.base == PathBase::Item && path.steps.first().is_some_and(|step| &*step.name == "links") {
        return Err(NotSupported::new("'links' is made for each answer: it cannot be asked about"));
    }
    Ok(())
}
