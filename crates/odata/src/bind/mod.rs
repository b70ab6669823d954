//! Name resolution and type checking: a parsed tree becomes a typed tree, or one error.
//!
//! [`path`] binds paths and lambdas, [`operators`] types and coercions, [`functions`] calls and casts, [`options`]
//! `$select`, `$expand`, `$orderby` and `$compute`, [`apply`] the pipeline of `$apply`.

mod apply;
mod functions;
mod operators;
mod options;
mod path;

use std::ops::Deref;
use std::sync::Arc;

use crate::ast::{Expr, ExprKind, Position};
use crate::eval::{EvalError, Evaluator, Work};
use crate::function::Function;
use crate::limits::Limits;
use crate::primitive::{DateTimeOffset, Primitive};
use crate::schema::{Schema, Structured, Type};
use crate::typed::{BindError, BindErrorKind, Typed, TypedKind};
use crate::typed_options::TypedCompute;
use crate::value::Value;

/// How names and literals are interpreted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindSettings {
    /// Property names are case-insensitive.
    pub ignore_property_case: bool,
    /// Names of enumeration members are case-insensitive.
    pub ignore_enum_case: bool,
    /// `'…'` may be a GUID, date, date-time, time of day or duration where it is compared with one.
    pub quoted_literals: bool,
    /// A bare GUID may be a string where it is compared with a string, and a date may be its midnight (UTC) where it is
    /// compared with a date-time.
    pub bare_literals: bool,
    /// Constant expressions are evaluated when they are bound. Otherwise the tree keeps what was written.
    pub fold_constants: bool,
    /// A property may be selected more than once. It occurs once in the result.
    pub selected_twice: bool,
    /// Limits on depth and on nodes, with all aliases and computed properties expanded.
    pub limits: Limits,
}

impl Default for BindSettings {
    fn default() -> BindSettings {
        BindSettings {
            ignore_property_case: false,
            ignore_enum_case: true,
            quoted_literals: true,
            bare_literals: true,
            fold_constants: true,
            selected_twice: false,
            limits: Limits::default(),
        }
    }
}

type BindResult<T> = Result<T, BindError>;

/// Binds expressions that refer to items of one type.
#[derive(Clone, Debug)]
pub struct Binder<'a> {
    schema: SchemaRef<'a>,
    settings: &'a BindSettings,
    /// The type of the item.
    item: Arc<str>,
    /// The type of an element that is not an object, as in `$select=emails($filter=endswith($this,'.com'))`.
    element: Option<Type>,
    aliases: Vec<(&'a str, &'a Expr)>,
    /// The aliases with constant values that were bound already.
    constants: Vec<(&'a str, Typed)>,
    computed: Vec<TypedCompute>,
    variables: Vec<Variable>,
    next_variable: u32,
    depth: usize,
    nodes: usize,
    /// Number of types created by `$apply` so far.
    derived: usize,
    /// Whether the options are nested. In nested options `$it` is not the current item.
    nested: bool,
    /// The budget for constants: time of evaluation, and bytes.
    work: Arc<Work>,
}

/// Approximate size of a bound expression, and of a type created by `$apply`, in bytes.
const NODE: usize = 320;
const DERIVED: usize = 4096;

/// Maximum evaluation time for the constants of one request, in nodes: a few milliseconds.
const CONSTANT_NODES: u64 = 200_000;
/// Maximum size of the constants of one request, in bytes: many times the size of a URL.
const CONSTANT_BYTES: u64 = 1 << 20;

/// A schema that was passed in, or a copy with the types that `$apply` creates.
#[derive(Clone, Debug)]
enum SchemaRef<'a> {
    Given(&'a Schema),
    Extended(Arc<Schema>),
}

impl Deref for SchemaRef<'_> {
    type Target = Schema;

    fn deref(&self) -> &Schema {
        match self {
            SchemaRef::Given(schema) => schema,
            SchemaRef::Extended(schema) => schema,
        }
    }
}

impl SchemaRef<'_> {
    /// Adds a type. The schema is copied if another binder uses it too.
    fn push(&mut self, structured: Structured) {
        if let SchemaRef::Given(schema) = self {
            *self = SchemaRef::Extended(Arc::new(Schema::clone(schema)));
        }
        if let SchemaRef::Extended(schema) = self {
            Arc::make_mut(schema).push(structured);
        }
    }
}

#[derive(Clone, Debug)]
struct Variable {
    /// Empty for the members that a `$filter` segment refers to.
    name: String,
    number: u32,
    ty: Type,
}

impl<'a> Binder<'a> {
    /// Creates a binder for items of the structured type with this name.
    pub fn new(schema: &'a Schema, item: &str, settings: &'a BindSettings) -> Binder<'a> {
        Binder {
            schema: SchemaRef::Given(schema),
            settings,
            item: item.into(),
            element: None,
            aliases: Vec::new(),
            constants: Vec::new(),
            computed: Vec::new(),
            variables: Vec::new(),
            next_variable: 0,
            depth: 0,
            nodes: 0,
            derived: 0,
            nested: false,
            work: Arc::new(Work::new(CONSTANT_NODES, CONSTANT_BYTES)),
        }
    }

    /// Adds the values of parameter aliases.
    pub fn with_aliases(mut self, aliases: &'a [(String, Expr)]) -> Binder<'a> {
        self.aliases.extend(aliases.iter().map(|(name, value)| (name.as_str(), value)));
        self
    }

    /// Binds a boolean expression.
    pub fn filter(&mut self, expr: &Expr) -> Result<Typed, BindError> {
        let typed = self.bind(expr)?;
        boolean(&typed, "the filter")?;
        Ok(typed)
    }

    /// Binds any expression.
    pub fn bind(&mut self, expr: &Expr) -> Result<Typed, BindError> {
        // Aliases and computed properties add their own trees, but the bound tree may not be deeper than a parsed one.
        if self.depth >= self.settings.limits.depth {
            return Err(limit(expr.at, format!("nested more than {} deep", self.settings.limits.depth)));
        }
        self.node(expr.at, 1)?;
        self.depth += 1;
        let typed = self.bind_kind(expr).and_then(|typed| self.folded(typed));
        self.depth -= 1;
        typed
    }

    /// Replaces a constant expression by its value. It is evaluated once, and refused if it has no value, wherever it
    /// occurs.
    fn folded(&self, typed: Typed) -> BindResult<Typed> {
        if !self.settings.fold_constants || !is_constant_expression(&typed) {
            return Ok(typed);
        }
        let now = DateTimeOffset { ticks: 0, offset: 0 }; // not used: constants do not depend on it
        let evaluator = Evaluator { schema: &self.schema, now, work: Some(&self.work) };
        let value = evaluator
            .value(&typed, &serde_json::Value::Null)
            .map_err(|error| self.refused(typed.at, error))?;
        for child in typed.children() {
            if let TypedKind::Value(value) = &child.kind
                && Arc::strong_count(value) == 1
            {
                self.work.release(value.bytes());
            }
        }
        self.hold(typed.at, &value)?;
        Ok(Typed::constant(typed.at, typed.ty, value))
    }

    /// Counts the size of a constant.
    fn hold(&self, at: Position, value: &Value) -> BindResult<()> {
        self.work.hold(value.bytes()).map_err(|error| self.refused(at, error))
    }

    fn refused(&self, at: Position, error: EvalError) -> BindError {
        match error {
            EvalError::Fault { at: place, message } => {
                fault(place.unwrap_or(at), BindErrorKind::Value, message)
            }
            EvalError::Exhausted | EvalError::Interrupted => {
                limit(at, "its constants take too much time or memory, with aliases expanded".to_owned())
            }
        }
    }

    /// Returns the approximate size of everything bound so far, in bytes.
    pub fn bytes(&self) -> usize {
        let constants = usize::try_from(self.work.held()).unwrap_or(usize::MAX);
        constants.saturating_add(self.nodes.saturating_mul(NODE)).saturating_add(self.derived * DERIVED)
    }

    /// Counts nodes of the bound tree. Aliases and computed properties count each time they are used.
    fn node(&mut self, at: Position, nodes: usize) -> BindResult<()> {
        self.nodes += nodes;
        if self.nodes > self.settings.limits.nodes {
            let message = format!("more than {} parts, with aliases expanded", self.settings.limits.nodes);
            return Err(limit(at, message));
        }
        Ok(())
    }

    fn bind_kind(&mut self, expr: &Expr) -> BindResult<Typed> {
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
            ExprKind::List(_) => Err(fault(at, BindErrorKind::Type, "a list is only allowed after 'in'")),
            ExprKind::Array(_) => Err(unsupported(at, "an array outside of 'in'")),
            ExprKind::Object(_) => Err(unsupported(at, "an object")),
        }
    }

    fn terms(&mut self, terms: &[Expr], operator: &str) -> BindResult<Vec<Typed>> {
        let mut bound = Vec::with_capacity(terms.len());
        for term in terms {
            let typed = self.bind(term)?;
            boolean(&typed, operator)?;
            bound.push(typed);
        }
        Ok(bound)
    }
}

/// Refuses expressions that are neither boolean nor null.
fn boolean(typed: &Typed, whose: &str) -> BindResult<()> {
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
    Typed::constant(at, None, Value::Null)
}

/// Returns whether an expression is constant: it depends on no item, no member and no time.
fn is_constant_expression(typed: &Typed) -> bool {
    use TypedKind as K;
    let can_be = match &typed.kind {
        K::Not(_)
        | K::Negate(_)
        | K::And(_)
        | K::Or(_)
        | K::Compare { .. }
        | K::Arithmetic { .. }
        | K::Has { .. }
        | K::In { .. }
        | K::Cast { .. }
        | K::IsOf { .. }
        | K::Case(_) => true,
        K::Call { function, .. } => *function != Function::Now,
        K::Value(_)
        | K::Path(_)
        | K::Member { .. }
        | K::SearchMatch { .. }
        | K::Count(_)
        | K::Any { .. }
        | K::All { .. } => false,
    };
    can_be && typed.children().iter().all(|child| matches!(child.kind, K::Value(_)))
}

/// Returns whether comparisons of a text ignore case, because of its property.
fn ignores_case(typed: &Typed) -> bool {
    match &typed.kind {
        TypedKind::Path(path) => path.steps.last().is_some_and(|step| step.ignore_case),
        _ => false,
    }
}
