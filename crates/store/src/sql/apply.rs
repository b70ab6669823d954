//! `$apply`: each step that makes other rows is a table of its own, computed once, and the next step reads it.
//!
//! The rows of a step have an order, which `top`, `skip` and the results keep: referrals newest first with ties by
//! `id`, groups by their values, and what `orderby` asks before either.

use std::sync::Arc;

use odata::{
    Method, Position, RankMethod, Search, SearchKind, Type, Typed, TypedAggregate, TypedApply, TypedCompute,
    TypedKind, TypedOrder, TypedPath, TypedTransformation, Value,
};

use super::expr::{Sql, balanced};
use super::items::Items;
use super::{Bound, Column, Encoding, NotSupported, Statement, Writer, depth};
use crate::{Aggregation, Counting, Query};

/// Most tables that one statement may be made of.
const MOST_TABLES: usize = 100;

/// Where the rows come from that the first step reads.
#[derive(Debug, Clone)]
pub(crate) enum Start {
    /// `referral … WHERE …`
    Referrals(String),
    /// `… WHERE …`: rows that stand for several referrals each.
    Counts {
        /// The table and its conditions.
        from: String,
        /// How many referrals a row stands for.
        count: String,
        /// What is known of them: a member and its value.
        members: Vec<(Arc<str>, Type, String)>,
    },
}

/// A finished statement, and what its columns are.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    pub(crate) statement: Statement,
    /// Whether the first column is a referral's document, to which the others are added.
    pub(crate) documents: bool,
    /// Whether the column behind the members says which part of a concatenation a row is of.
    pub(crate) parts: bool,
    /// The members, in the order of their columns.
    pub(crate) columns: Vec<Column>,
}

/// The query for the referrals that the filters and searches leave which an aggregation begins with, and the steps after
/// them.
pub(crate) fn leading_query(aggregation: &Aggregation) -> (Query, &[TypedTransformation]) {
    let (filter, search, steps) = leading(&aggregation.apply);
    let query = Query {
        scope: aggregation.scope.clone(),
        filter,
        search,
        order: Vec::new(),
        after: None,
        skip: 0,
        limit: usize::MAX,
        count: Counting::No,
    };
    (query, steps)
}

/// The filters and searches that a pipeline begins with, as one of each, and the steps after them.
fn leading(apply: &TypedApply) -> (Option<Typed>, Option<Search>, &[TypedTransformation]) {
    let (mut filters, mut searches) = (Vec::new(), Vec::new());
    let mut rest = apply.steps.as_slice();
    while let Some((step, after)) = rest.split_first() {
        match step {
            TypedTransformation::Filter(filter) => filters.push(filter.clone()),
            TypedTransformation::Search(search) => searches.push(search.clone()),
            _ => break,
        }
        rest = after;
    }
    let filter = match filters.len() {
        0 | 1 => filters.pop(),
        _ => {
            Some(Typed { at: Position::default(), ty: filters[0].ty.clone(), kind: TypedKind::And(filters) })
        }
    };
    let search = match searches.len() {
        0 | 1 => searches.pop(),
        _ => Some(Search { at: Position::default(), kind: SearchKind::And(searches) }),
    };
    (filter, search, rest)
}

/// Rows to read from.
#[derive(Debug, Clone)]
struct Rows {
    /// A table and its conditions, to which others may be added.
    from: String,
    items: Items,
    order: Vec<Term>,
    /// Which part of a concatenation a row is of, and how many parts there are.
    part: Option<(String, usize)>,
    /// How many referrals a row stands for, where that is not one.
    count: Option<String>,
}

/// A term of the order, compared by value.
#[derive(Debug, Clone)]
struct Term {
    text: String,
    encoding: Encoding,
    descending: bool,
}

impl Term {
    fn new(text: impl Into<String>, encoding: Encoding) -> Term {
        Term { text: text.into(), encoding, descending: false }
    }

    fn written(&self) -> String {
        if self.descending { format!("{} DESC", self.text) } else { self.text.clone() }
    }
}

type Written<T> = Result<T, NotSupported>;

/// A pipeline under construction.
struct Pipeline<'w, 'a> {
    writer: &'w mut Writer<'a>,
    tables: Vec<String>,
}

impl Writer<'_> {
    /// The statement of a pipeline's steps after the [`leading`] ones, with what is kept of the results.
    pub(crate) fn apply(
        mut self,
        start: Start,
        steps: &[TypedTransformation],
        filter: Option<&Typed>,
        order: &[TypedOrder],
        skip: u64,
        limit: usize,
    ) -> Written<Applied> {
        let mut pipeline = Pipeline { writer: &mut self, tables: Vec::new() };
        let mut rows = pipeline.steps(start.rows(), steps)?;
        if let Some(filter) = filter {
            rows = pipeline.filter(rows, filter)?;
        }
        rows = pipeline.order(rows, order)?;
        let tables = pipeline.tables;
        self.finish_apply(&tables, &rows, skip, limit)
    }

    fn finish_apply(mut self, tables: &[String], rows: &Rows, skip: u64, limit: usize) -> Written<Applied> {
        let document = rows.items.referrals.then(|| "referral.document".to_owned());
        let members = rows.items.columns.iter().map(|column| column.text.clone());
        let part = rows.part.iter().map(|(part, _)| part.clone());
        let mut selected: Vec<String> = document.into_iter().chain(members).chain(part).collect();
        if selected.is_empty() {
            selected.push("NULL".to_owned());
        }
        if !tables.is_empty() {
            self.push(&format!("WITH {} ", tables.join(", ")));
        }
        self.push(&format!("SELECT {} FROM {}{}", selected.join(", "), rows.from, ordered(&rows.order)));
        self.push(" LIMIT ");
        self.bind(whole(u64::try_from(limit).unwrap_or(u64::MAX)));
        self.push(" OFFSET ");
        self.bind(whole(skip));
        Ok(Applied {
            documents: rows.items.referrals,
            parts: rows.part.is_some(),
            columns: rows.items.columns.clone(),
            statement: self.finish(),
        })
    }
}

impl Start {
    fn rows(self) -> Rows {
        match self {
            Start::Referrals(from) => Rows {
                from,
                items: Items::referrals(),
                order: vec![
                    Term { descending: true, ..Term::new("referral.created", Encoding::Integer) },
                    Term::new("referral.id", Encoding::Bytes),
                ],
                part: None,
                count: None,
            },
            Start::Counts { from, count, members } => {
                let column = |(name, ty, text)| Column { path: vec![name], ty: Some(ty), parts: None, text };
                let columns = members.into_iter().map(column).collect();
                let items = Items { referrals: false, columns };
                Rows { from, items, order: Vec::new(), part: None, count: Some(count) }
            }
        }
    }
}

impl Pipeline<'_, '_> {
    fn steps(&mut self, mut rows: Rows, steps: &[TypedTransformation]) -> Written<Rows> {
        for step in steps {
            rows = self.step(rows, step)?;
        }
        Ok(rows)
    }

    fn step(&mut self, rows: Rows, step: &TypedTransformation) -> Written<Rows> {
        match step {
            TypedTransformation::Filter(filter) => self.filter(rows, filter),
            TypedTransformation::Search(_) => {
                Err(NotSupported::new("search in $apply is supported before every other step"))
            }
            TypedTransformation::Aggregate(aggregates) => self.group(rows, &[], Some(aggregates), &[]),
            TypedTransformation::GroupBy { by, apply } => self.group_by(rows, by, apply),
            TypedTransformation::Compute(computed) => self.compute(rows, computed),
            TypedTransformation::OrderBy(keys) => self.order(rows, keys),
            TypedTransformation::Skip(number) => self.cut(rows, *number, None),
            TypedTransformation::Top(number) => self.cut(rows, 0, Some(*number)),
            TypedTransformation::Ranked { kind, amount, by } => self.rank(rows, *kind, amount, by),
            TypedTransformation::Concat(parts) => self.concat(&rows, parts),
        }
    }

    /// Writes with names that mean members of these rows.
    fn with<T>(
        &mut self,
        items: &Items,
        write: impl FnOnce(&mut super::Writer<'_>) -> Written<T>,
    ) -> Written<T> {
        self.writer.items = items.clone();
        write(self.writer)
    }

    fn value(&mut self, items: &Items, expr: &Typed) -> Written<Sql> {
        depth::check(expr)?;
        let sql = self.with(items, |writer| writer.expr(expr))?;
        if sql.zoned {
            return Err(NotSupported::new(
                "a result that is a date-time with an offset of its own is not supported",
            ));
        }
        Ok(sql)
    }

    fn filter(&mut self, mut rows: Rows, filter: &Typed) -> Written<Rows> {
        depth::check(filter)?;
        let condition = self.with(&rows.items, |writer| writer.condition(filter))?;
        rows.from.push_str(&format!(" AND {condition}"));
        Ok(rows)
    }

    fn order(&mut self, mut rows: Rows, keys: &[TypedOrder]) -> Written<Rows> {
        let keys = self.with(&rows.items, |writer| writer.keys(keys))?;
        let before = std::mem::take(&mut rows.order);
        rows.order = keys
            .into_iter()
            .map(|key| Term { text: key.text, encoding: key.encoding, descending: key.descending })
            .chain(before)
            .take(super::order::MOST_KEYS)
            .collect();
        Ok(rows)
    }

    fn rank(&mut self, rows: Rows, kind: RankMethod, amount: &Value, by: &TypedOrder) -> Written<Rows> {
        if !matches!(kind, RankMethod::TopCount | RankMethod::BottomCount) {
            return Err(NotSupported::new(format!("{} is not supported; topcount is", kind.name())));
        }
        let count = amount.to_decimal().and_then(|amount| u64::try_from(amount.trunc()).ok()).unwrap_or(0);
        let rows = self.order(rows, std::slice::from_ref(by))?;
        self.cut(rows, 0, Some(count))
    }

    /// A table of a `SELECT`, computed once; its name.
    fn table(&mut self, select: &str) -> Written<String> {
        if self.tables.len() >= MOST_TABLES {
            return Err(NotSupported::new(format!(
                "$apply of more than {MOST_TABLES} steps is not supported"
            )));
        }
        let name = format!("t{}", self.tables.len() + 1);
        self.tables.push(format!("{name} AS MATERIALIZED ({select})"));
        Ok(name)
    }

    /// The same rows, or those left by `tail`, as a table with further columns.
    fn again(&mut self, rows: &Rows, further: Vec<Column>, tail: &str) -> Written<Rows> {
        let mut selected = Vec::new();
        if rows.items.referrals {
            selected.push("referral.row AS row".to_owned());
        }
        let columns: Vec<&Column> = rows.items.columns.iter().chain(&further).collect();
        let carried = |text: &str, encoding: Encoding| match encoding {
            Encoding::Text => self.writer.dialect.carried(text),
            _ => text.to_owned(),
        };
        for (at, column) in columns.iter().enumerate() {
            selected.push(format!("{} AS c{at}", carried(&column.text, Encoding::of(column.ty.as_ref()))));
        }
        for (at, term) in rows.order.iter().enumerate() {
            selected.push(format!("{} AS o{at}", carried(&term.text, term.encoding)));
        }
        selected.extend(rows.part.iter().map(|(part, _)| format!("{part} AS part")));
        selected.extend(rows.count.iter().map(|count| format!("{count} AS n")));
        if selected.is_empty() {
            selected.push("NULL AS nothing".to_owned());
        }
        let name = self.table(&format!("SELECT {} FROM {}{tail}", selected.join(", "), rows.from))?;
        let from = match rows.items.referrals {
            true => format!("{name} CROSS JOIN referral ON referral.row = {name}.row WHERE TRUE"),
            false => format!("{name} WHERE TRUE"),
        };
        let columns = columns
            .into_iter()
            .enumerate()
            .map(|(at, column)| Column { text: format!("{name}.c{at}"), ..column.clone() })
            .collect();
        let order = rows
            .order
            .iter()
            .enumerate()
            .map(|(at, term)| Term { text: self.by_value(&format!("{name}.o{at}"), term.encoding), ..*term });
        let order = order.collect();
        Ok(Rows {
            from,
            items: Items { referrals: rows.items.referrals, columns },
            order,
            part: rows.part.as_ref().map(|(_, parts)| (format!("{name}.part"), *parts)),
            count: rows.count.as_ref().map(|_| format!("{name}.n")),
        })
    }

    fn by_value(&self, text: &str, encoding: Encoding) -> String {
        match encoding {
            Encoding::Decimal => self.writer.dialect.by_value(text),
            _ => text.to_owned(),
        }
    }

    fn cut(&mut self, rows: Rows, skip: u64, top: Option<u64>) -> Written<Rows> {
        let top = self.writer.parameter(whole(top.unwrap_or(u64::MAX)));
        let skip = self.writer.parameter(whole(skip));
        let tail = format!("{} LIMIT {top} OFFSET {skip}", ordered(&rows.order));
        self.again(&rows, Vec::new(), &tail)
    }

    fn compute(&mut self, rows: Rows, computed: &[TypedCompute]) -> Written<Rows> {
        let mut further = Vec::with_capacity(computed.len());
        for one in computed {
            let text = self.value(&rows.items, &one.expr)?.text;
            further.push(Column { path: vec![one.name.clone()], ty: one.expr.ty.clone(), parts: None, text });
        }
        self.again(&rows, further, "")
    }

    /// Groups, with what is made of each: nothing, other groups, or aggregates of what filters leave.
    fn group_by(&mut self, rows: Rows, by: &[TypedPath], apply: &[TypedTransformation]) -> Written<Rows> {
        let filters = apply.iter().take_while(|step| matches!(step, TypedTransformation::Filter(_))).count();
        match (&apply[..filters], &apply[filters..]) {
            ([], []) => self.group(rows, by, None, &[]),
            (filters, [TypedTransformation::Aggregate(aggregates)]) => {
                self.group(rows, by, Some(aggregates), filters)
            }
            ([], [TypedTransformation::GroupBy { by: inner, apply }]) if apart(by, inner) => {
                let all: Vec<TypedPath> = by.iter().chain(inner).cloned().collect();
                self.group_by(rows, &all, apply)
            }
            _ => Err(NotSupported::new(
                "inside groupby only filter before aggregate, aggregate and groupby are supported",
            )),
        }
    }

    fn group(
        &mut self,
        rows: Rows,
        by: &[TypedPath],
        aggregates: Option<&[TypedAggregate]>,
        filters: &[TypedTransformation],
    ) -> Written<Rows> {
        let mut columns = Vec::new();
        let mut keys = Vec::new();
        for path in by {
            let (column, encoding) = self.key(&rows.items, path)?;
            keys.push((self.by_value(&column.text, encoding), encoding));
            columns.push(column);
        }
        let filter = self.filters(&rows.items, filters)?;
        for aggregate in aggregates.unwrap_or_default() {
            let column = self.aggregate(&rows, aggregate, &filter)?;
            // What groups are made by is shown, whatever else goes by that name.
            if !columns.iter().take(by.len()).any(|key| key.path.first() == column.path.first()) {
                columns.push(column);
            }
        }
        let mut tail = String::new();
        if !by.is_empty() {
            let keys: Vec<&str> = keys.iter().map(|(key, _)| key.as_str()).collect();
            tail = format!(" GROUP BY {}", keys.join(", "));
        }
        let made = Rows {
            from: rows.from,
            items: Items { referrals: false, columns },
            order: Vec::new(),
            part: None,
            count: None,
        };
        let mut groups = self.again(&made, Vec::new(), &tail)?;
        for (column, (_, encoding)) in groups.items.columns.iter().zip(&keys) {
            groups.order.push(Term::new(self.by_value(&column.text, *encoding), *encoding));
        }
        Ok(groups)
    }

    fn key(&mut self, items: &Items, path: &TypedPath) -> Written<(Column, Encoding)> {
        let last = path.steps.last();
        if last.is_some_and(|step| step.ignore_case) {
            return Err(NotSupported::new(format!(
                "groups by '{}', which ignores case, are not supported",
                path.wire()
            )));
        }
        let ty = last.map(|step| step.ty.clone());
        let typed = Typed { at: Position::default(), ty: ty.clone(), kind: TypedKind::Path(path.clone()) };
        let sql = self.value(items, &typed)?;
        let names = path.steps.iter().map(|step| step.name.clone()).collect();
        Ok((Column { path: names, ty, parts: None, text: sql.text }, sql.encoding))
    }

    /// The condition of what an aggregate is made of: a group stays when none of its rows pass.
    fn filters(&mut self, items: &Items, filters: &[TypedTransformation]) -> Written<String> {
        let mut conditions = Vec::with_capacity(filters.len());
        for filter in filters {
            if let TypedTransformation::Filter(filter) = filter {
                depth::check(filter)?;
                conditions.push(self.with(items, |writer| writer.condition(filter))?);
            }
        }
        if conditions.is_empty() {
            return Ok(String::new());
        }
        Ok(format!(" FILTER (WHERE {})", balanced(&conditions, " AND ")))
    }

    fn aggregate(&mut self, rows: &Rows, aggregate: &TypedAggregate, filter: &str) -> Written<Column> {
        let text = match (&aggregate.of, &rows.count) {
            (None, None) => format!("count(*){filter}"),
            (None, Some(count)) => format!("coalesce(sum({count}){filter}, 0)"),
            (Some((expr, method)), None) => {
                if aggregate.ignore_case {
                    return Err(NotSupported::new("aggregates of what ignores case are not supported"));
                }
                let sql = self.value(&rows.items, expr)?;
                let value = self.by_value(&sql.text, sql.encoding);
                match (method, &expr.ty) {
                    (Method::Min, _) => format!("min({value}){filter}"),
                    (Method::Max, _) => format!("max({value}){filter}"),
                    (Method::CountDistinct, _) => format!("count(DISTINCT {value}){filter}"),
                    (Method::Sum | Method::Average, Some(ty)) => {
                        format!("{}{filter}", self.writer.dialect.total(method, ty, &sql.text))
                    }
                    (Method::Sum | Method::Average | Method::Custom(_), _) => {
                        return Err(NotSupported::new(format!(
                            "the method {} is not supported",
                            method.name()
                        )));
                    }
                }
            }
            // Kept counts tell how many there are, and nothing of each.
            (Some(_), Some(_)) => {
                return Err(NotSupported::new("aggregates of kept counts are not supported"));
            }
        };
        let ty = Some(aggregate.ty.clone());
        Ok(Column { path: vec![aggregate.name.clone()], ty, parts: None, text })
    }

    /// What each part makes of the same rows, one after the other.
    fn concat(&mut self, rows: &Rows, parts: &[Vec<TypedTransformation>]) -> Written<Rows> {
        let mut made = Vec::with_capacity(parts.len());
        for part in parts {
            let part = self.steps(rows.clone(), part)?;
            if part.items.referrals {
                return Err(NotSupported::new(
                    "concat of referrals as they are is not supported: aggregate or group them in each part",
                ));
            }
            made.push(part);
        }
        let mut columns: Vec<Column> = Vec::new();
        let mut first_part = 0;
        for part in &made {
            for column in &part.items.columns {
                let own = column.parts.clone().unwrap_or_else(|| (0..part.parts()).collect());
                let own = own.into_iter().map(|number| first_part + number);
                match columns.iter_mut().find(|known| known.path == column.path) {
                    Some(known) if Encoding::of(known.ty.as_ref()) != Encoding::of(column.ty.as_ref()) => {
                        let name = column.path.last().map_or("", |name| name);
                        return Err(NotSupported::new(format!(
                            "'{name}' is of two types in concat, which is not supported"
                        )));
                    }
                    Some(known) => known.parts.get_or_insert_default().extend(own),
                    None => columns.push(Column { parts: Some(own.collect()), ..column.clone() }),
                }
            }
            first_part += part.parts();
        }
        let mut selects = Vec::with_capacity(made.len());
        let mut before = 0;
        for part in &made {
            selects.push(part.select(&columns, before));
            before += part.parts();
        }
        let name = self.table(&selects.join(" UNION ALL "))?;
        for (at, column) in columns.iter_mut().enumerate() {
            column.text = format!("{name}.c{at}");
        }
        let order = ["part", "place"].map(|term| Term::new(format!("{name}.{term}"), Encoding::Integer));
        Ok(Rows {
            from: format!("{name} WHERE TRUE"),
            items: Items { referrals: false, columns },
            order: order.into(),
            part: Some((format!("{name}.part"), before)),
            count: None,
        })
    }
}

impl Rows {
    fn parts(&self) -> usize {
        self.part.as_ref().map_or(1, |(_, parts)| *parts)
    }

    /// These rows with the columns of a concatenation, in which their parts are numbered from `before`.
    fn select(&self, columns: &[Column], before: usize) -> String {
        let own = |wanted: &Column| self.items.columns.iter().find(|column| column.path == wanted.path);
        let mut selected: Vec<String> = columns
            .iter()
            .map(|column| own(column).map_or("NULL", |column| column.text.as_str()))
            .enumerate()
            .map(|(at, text)| format!("{text} AS c{at}"))
            .collect();
        selected.push(match &self.part {
            Some((part, _)) => format!("{part} + {before} AS part"),
            None => format!("{before} AS part"),
        });
        selected.push(format!("row_number() OVER ({}) AS place", ordered(&self.order).trim_start()));
        format!("SELECT {} FROM {}", selected.join(", "), self.from)
    }
}

/// Whether paths share no object: what inner groups show would be hidden by the outer ones.
fn apart(outer: &[TypedPath], inner: &[TypedPath]) -> bool {
    let first = |path: &TypedPath| path.steps.first().map(|step| step.name.clone());
    outer.iter().all(|one| inner.iter().all(|other| first(one) != first(other)))
}

fn ordered(order: &[Term]) -> String {
    if order.is_empty() {
        return String::new();
    }
    let terms: Vec<String> = order.iter().map(Term::written).collect();
    format!(" ORDER BY {}", terms.join(", "))
}

fn whole(number: u64) -> Bound {
    Bound::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}
