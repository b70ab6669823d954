//! From names to meanings: the tree as written becomes a bound tree, or one error that says what means nothing.
//!
//! [`path`] resolves paths and lambdas, [`operators`] types and coercions, [`functions`] calls and casts,
//! [`options`] `$select`, `$expand`, `$orderby` and `$compute`, [`apply`] the pipeline of `$apply`.

mod apply;
mod functions;
mod operators;
mod options;
mod path;

use std::borrow::Cow;
use std::sync::Arc;

use crate::ast::{Expr, ExprKind, Position};
use crate::limits::Limits;
use crate::primitive::Primitive;
use crate::schema::{Schema, Type};
use crate::typed::{BindError, BindErrorKind, Typed, TypedKind};
use crate::typed_options::TypedCompute;
use crate::value::Value;

/// How names and literals are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindSettings {
    /// Properties are found whatever their case.
    pub ignore_property_case: bool,
    /// Members of enumerations are found whatever their case.
    pub ignore_enum_case: bool,
    /// `'…'` stands for a GUID, date, date-time, time of day or duration where one is compared with.
    pub quoted_literals: bool,
    /// A bare GUID stands for its text where a string is compared with, and a date for its midnight (UTC) where a
    /// date-time is.
    pub bare_literals: bool,
    /// Bounds: depth, and nodes with all aliases and computed properties written out.
    pub limits: Limits,
}

impl Default for BindSettings {
    fn default() -> BindSettings {
        BindSettings {
            ignore_property_case: false,
            ignore_enum_case: true,
            quoted_literals: true,
            bare_literals: true,
            limits: Limits::default(),
        }
    }
}

type Bound<T> = Result<T, BindError>;

/// Binds expressions about items of one type.
#[derive(Clone, Debug)]
pub struct Binder<'a> {
    schema: Cow<'a, Schema>,
    settings: &'a BindSettings,
    /// The type of the item.
    item: Arc<str>,
    /// An element that is no object: in `$select=emails($filter=endswith($this,'.com'))`.
    element: Option<Type>,
    aliases: Vec<(&'a str, &'a Expr)>,
    computed: Vec<TypedCompute>,
    variables: Vec<Variable>,
    next_variable: u32,
    depth: usize,
    nodes: usize,
    /// Types made by `$apply` so far.
    derived: usize,
    /// Inside nested options `$it` is not the item.
    nested: bool,
}

#[derive(Clone, Debug)]
struct Variable {
    /// Empty for the members that a `$filter` segment speaks of.
    name: String,
    number: u32,
    ty: Type,
}

impl<'a> Binder<'a> {
    /// For items of the structured type of this name.
    pub fn new(schema: &'a Schema, item: &str, settings: &'a BindSettings) -> Binder<'a> {
        Binder {
            schema: Cow::Borrowed(schema),
            settings,
            item: item.into(),
            element: None,
            aliases: Vec::new(),
            computed: Vec::new(),
            variables: Vec::new(),
            next_variable: 0,
            depth: 0,
            nodes: 0,
            derived: 0,
            nested: false,
        }
    }

    /// With the values of parameter aliases.
    pub fn with_aliases(mut self, aliases: &'a [(String, Expr)]) -> Binder<'a> {
        self.aliases.extend(aliases.iter().map(|(name, value)| (name.as_str(), value)));
        self
    }

    /// Binds an expression that says yes or no.
    pub fn filter(&mut self, expr: &Expr) -> Result<Typed, BindError> {
        let typed = self.bind(expr)?;
        boolean(&typed, "the filter")?;
        Ok(typed)
    }

    /// Binds any expression.
    pub fn bind(&mut self, expr: &Expr) -> Result<Typed, BindError> {
        // Aliases and computed properties bring their own trees: the bound one is no deeper than a parsed one.
        if self.depth >= self.settings.limits.depth {
            return Err(limit(expr.at, format!("nested more than {} deep", self.settings.limits.depth)));
        }
        self.node(expr.at, 1)?;
        self.depth += 1;
        let typed = self.bind_kind(expr);
        self.depth -= 1;
        typed
    }

    /// Counts nodes of the bound tree: what aliases and computed properties stand for counts each time.
    fn node(&mut self, at: Position, nodes: usize) -> Bound<()> {
        self.nodes += nodes;
        if self.nodes > self.settings.limits.nodes {
            let message = format!("more than {} parts, aliases written out", self.settings.limits.nodes);
            return Err(limit(at, message));
        }
        Ok(())
    }

    fn bind_kind(&mut self, expr: &Expr) -> Bound<Typed> {
        let at = expr.at;
        match &expr.kind {
            ExprKind::Literal(literal) => self.literal(at, literal),
            ExprKind::Path(path) => self.path(at, path),
            ExprKind::Not(operand) => {
                let operand = self.bind(operand)?;
                boolean(&operand, "'not'; it binds tighter than comparisons, so put these in parentheses")?;
                Ok(Typed::new(at, Primitive::Boolean, TypedKind::Not(Box::new(operand))))
            }
            ExprKind::Negate(operand) => self.negate(at, operand),
            ExprKind::And(terms) => {
                let terms = self.terms(terms, "'and'")?;
                Ok(Typed::new(at, Primitive::Boolean, TypedKind::And(terms)))
            }
            ExprKind::Or(terms) => {
                let terms = self.terms(terms, "'or'")?;
                Ok(Typed::new(at, Primitive::Boolean, TypedKind::Or(terms)))
            }
            ExprKind::Compare(op, left, right) => self.compare(at, *op, left, right),
            ExprKind::Arithmetic(op, left, right) => self.arithmetic(at, *op, left, right),
            ExprKind::Has(left, right) => self.has(at, left, right),
            ExprKind::In(left, right) => self.contained(at, left, right),
            ExprKind::Call(function, arguments) => self.call(at, *function, arguments),
            ExprKind::Cast(operand, name) => self.cast(at, operand.as_deref(), name),
            ExprKind::IsOf(operand, name) => self.is_of(at, operand.as_deref(), name),
            ExprKind::Case(branches) => self.case(at, branches),
            ExprKind::List(_) => Err(fault(at, BindErrorKind::Type, "a list stands only behind 'in'")),
            ExprKind::Array(_) => Err(unsupported(at, "an array outside of 'in'")),
            ExprKind::Object(_) => Err(unsupported(at, "an object")),
        }
    }

    fn terms(&mut self, terms: &[Expr], operator: &str) -> Bound<Vec<Typed>> {
        let mut bound = Vec::with_capacity(terms.len());
        for term in terms {
            let typed = self.bind(term)?;
            boolean(&typed, operator)?;
            bound.push(typed);
        }
        Ok(bound)
    }
}

/// Refuses what is neither boolean nor null.
fn boolean(typed: &Typed, whose: &str) -> Bound<()> {
    match &typed.ty {
        None | Some(Type::Primitive(Primitive::Boolean)) => Ok(()),
        Some(ty) => {
            let message = format!("expected a boolean, found {ty}: {whose}");
            Err(fault(typed.at, BindErrorKind::Type, message))
        }
    }
}

fn fault(at: Position, kind: BindErrorKind, message: impl Into<String>) -> BindError {
    BindError { option: None, at: at.0, kind, message: message.into() }
}

fn type_fault(at: Position, message: impl Into<String>) -> BindError {
    fault(at, BindErrorKind::Type, message)
}

fn unsupported(at: Position, what: &str) -> BindError {
    fault(at, BindErrorKind::Unsupported, format!("{what} is not supported"))
}

fn limit(at: Position, message: String) -> BindError {
    fault(at, BindErrorKind::Limit, message)
}

fn null(at: Position) -> Typed {
    Typed { at, ty: None, kind: TypedKind::Value(Value::Null) }
}

/// Whether comparisons of its text ignore case: a property that says so.
fn ignores_case(typed: &Typed) -> bool {
    match &typed.kind {
        TypedKind::Path(path) => path.steps.last().is_some_and(|step| step.ignore_case),
        _ => false,
    }
}
