//! Binding of `$apply`: each step operates on the result of the step before. Grouping and aggregation create new types,
//! which are added to a copy of the schema.

use std::sync::Arc;

use super::functions::constant;
use super::operators::promote;
use super::{BindResult, Binder, SchemaRef, fault, ignores_case, limit, type_fault, unsupported};
use crate::ast::{ExprKind, Position, SegmentKind};
use crate::limits::DERIVED_TYPES;
use crate::pipeline::{Aggregate, Grouping, Method, Transformation, TransformationKind};
use crate::primitive::Primitive;
use crate::schema::{Property, Schema, Structured, Type};
use crate::typed::{BindError, BindErrorKind, PathBase, Typed, TypedKind, TypedPath};
use crate::typed_options::{TypedAggregate, TypedApply, TypedTransformation};

impl Binder<'_> {
    /// Binds a pipeline. Expressions bound afterwards still refer to the items before it; see [`TypedApply::result`]
    /// for the type of its result.
    pub fn apply(&mut self, steps: &[Transformation]) -> Result<TypedApply, BindError> {
        let mut inner = self.clone();
        let steps = inner.pipeline(steps)?;
        self.nodes = inner.nodes;
        self.next_variable = inner.next_variable;
        self.derived = inner.derived;
        let schema = match inner.schema {
            SchemaRef::Given(schema) => Arc::new(Schema::clone(schema)),
            SchemaRef::Extended(schema) => schema,
        };
        Ok(TypedApply { steps, result: inner.item, schema })
    }

    fn pipeline(&mut self, steps: &[Transformation]) -> BindResult<Vec<TypedTransformation>> {
        let mut bound = Vec::with_capacity(steps.len());
        for step in steps {
            self.node(step.at, 1)?;
            bound.extend(self.step(step)?);
        }
        Ok(bound)
    }

    fn step(&mut self, step: &Transformation) -> BindResult<Option<TypedTransformation>> {
        Ok(Some(match &step.kind {
            TransformationKind::Identity => return Ok(None),
            TransformationKind::Filter(predicate) => TypedTransformation::Filter(self.filter(predicate)?),
            TransformationKind::Search(search) => TypedTransformation::Search(search.clone()),
            TransformationKind::OrderBy(keys) => TypedTransformation::OrderBy(self.orderby(keys)?),
            TransformationKind::Skip(number) => TypedTransformation::Skip(*number),
            TransformationKind::Top(number) => TypedTransformation::Top(*number),
            TransformationKind::Compute(items) => {
                let bound = self.compute(items)?;
                // From here on they are ordinary members.
                self.computed.clear();
                let mut properties: Vec<Property> = self.schema.properties(&self.item).cloned().collect();
                for computed in &bound {
                    let ty = computed.expr.ty.clone().unwrap_or(Type::Primitive(Primitive::String));
                    properties.push(Property {
                        ignore_case: ignores_case(&computed.expr),
                        ..Property::new(&computed.name, ty)
                    });
                }
                self.set_item_type(step.at, properties)?;
                TypedTransformation::Compute(bound)
            }
            TransformationKind::Ranked { kind, amount, by } => {
                let amount = self.bind(amount)?;
                let Some(value) = constant(&amount) else {
                    return Err(type_fault(amount.at, format!("{} needs a number first", kind.name())));
                };
                let by = self.order(by, kind.is_top())?;
                TypedTransformation::Ranked { kind: *kind, amount: value, by }
            }
            TransformationKind::Aggregate(aggregates) => {
                let bound = self.aggregates(aggregates)?;
                self.set_item_type(step.at, bound.iter().map(aggregated).collect())?;
                TypedTransformation::Aggregate(bound)
            }
            TransformationKind::GroupBy { by, apply } => self.group_by(step.at, by, apply)?,
            TransformationKind::Concat(parts) => {
                let mut bound = Vec::with_capacity(parts.len());
                let mut properties: Vec<Property> = Vec::new();
                for part in parts {
                    let mut inner = self.clone();
                    bound.push(inner.pipeline(part)?);
                    for property in inner.schema.properties(&inner.item) {
                        match properties.iter().find(|known| known.name == property.name) {
                            None => properties.push(Property { nullable: true, ..property.clone() }),
                            Some(known) if inner.is_alike(&known.ty, &property.ty) => {}
                            Some(known) => {
                                let (name, one, other) = (&known.name, &known.ty, &property.ty);
                                let message = format!("'{name}' is {one} in one part and {other} in another");
                                return Err(fault(step.at, BindErrorKind::Type, message));
                            }
                        }
                    }
                    let item = self.item.clone();
                    *self = inner;
                    self.item = item;
                }
                self.set_item_type(step.at, properties)?;
                TypedTransformation::Concat(bound)
            }
        }))
    }

    /// Sets the type of the items for the following steps.
    fn set_item_type(&mut self, at: Position, properties: Vec<Property>) -> BindResult<()> {
        self.item = self.declare(at, properties)?;
        Ok(())
    }

    fn declare(&mut self, at: Position, properties: Vec<Property>) -> BindResult<Arc<str>> {
        self.derived += 1;
        if self.derived > DERIVED_TYPES {
            return Err(limit(at, format!("more than {DERIVED_TYPES} steps that create a type")));
        }
        // Names in queries never begin with a digit.
        let name: Arc<str> = self.schema.len().to_string().into();
        self.schema.push(Structured { name: name.clone(), base: None, properties });
        Ok(name)
    }

    fn aggregates(&mut self, aggregates: &[Aggregate]) -> BindResult<Vec<TypedAggregate>> {
        let mut bound: Vec<TypedAggregate> = Vec::with_capacity(aggregates.len());
        for aggregate in aggregates {
            let typed = self.aggregate(aggregate)?;
            if bound.iter().any(|known| self.is_same(&known.name, &typed.name)) {
                let message = format!("two aggregates are named '{}'", typed.name);
                return Err(fault(aggregate.at, BindErrorKind::Value, message));
            }
            self.check_name_unused(aggregate.at, &typed.name)?;
            bound.push(typed);
        }
        Ok(bound)
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> BindResult<TypedAggregate> {
        let Some(name) = aggregate.name.as_deref() else {
            return Err(unsupported(aggregate.at, "a custom aggregate"));
        };
        let name: Arc<str> = name.into();
        let counts_items = matches!(&aggregate.expr.kind, ExprKind::Path(path)
            if matches!(path.segments.as_slice(), [only] if matches!(only.kind, SegmentKind::Count { filter: None, search: None })));
        if counts_items {
            return Ok(TypedAggregate { name, ty: Primitive::Int64.into(), of: None, ignore_case: false });
        }
        let expr = self.bind(&aggregate.expr)?;
        let Some(method) = aggregate.method.clone() else {
            return Err(unsupported(aggregate.at, "the count of a path as an aggregate"));
        };
        let ty = aggregate_type(&expr, &method)?;
        let ignore_case = ignores_case(&expr);
        Ok(TypedAggregate { name, ty, of: Some((expr, method)), ignore_case })
    }

    fn group_by(
        &mut self,
        at: Position,
        by: &[Grouping],
        apply: &[Transformation],
    ) -> BindResult<TypedTransformation> {
        let mut paths = Vec::with_capacity(by.len());
        for grouping in by {
            let Grouping::Path(expr) = grouping else {
                let at = match grouping {
                    Grouping::Rollup { levels, .. } => {
                        levels.first().map(|level| level.at).unwrap_or_default()
                    }
                    Grouping::Path(expr) => expr.at,
                };
                return Err(unsupported(at, "rollup"));
            };
            let typed = self.bind(expr)?;
            match typed {
                Typed {
                    ty: Some(Type::Primitive(_) | Type::Enum(_)), kind: TypedKind::Path(path), ..
                } if path.base == PathBase::Item && !path.steps.is_empty() => {
                    if paths.iter().any(|known: &TypedPath| known.wire() == path.wire()) {
                        let message = format!("'{}' is named twice", path.wire());
                        return Err(fault(expr.at, BindErrorKind::Value, message));
                    }
                    paths.push(path);
                }
                other => return Err(type_fault(other.at, "groupby takes the paths of primitive properties")),
            }
        }
        let mut inner = self.clone();
        let bound = inner.pipeline(apply)?;
        let mut properties = Vec::new();
        if !apply.is_empty() {
            properties.extend(inner.schema.properties(&inner.item).cloned());
        }
        let item = self.item.clone();
        *self = inner;
        self.item = item;
        let groups: Vec<&TypedPath> = paths.iter().collect();
        let keys = self.nested_type(at, &groups, 0)?;
        properties.retain(|property| !keys.iter().any(|key| key.name == property.name));
        let properties = keys.into_iter().chain(properties).collect();
        self.set_item_type(at, properties)?;
        Ok(TypedTransformation::GroupBy { by: paths, apply: bound })
    }

    /// Returns whether members of two types may have the same name. Types created by grouping differ for each group.
    fn is_alike(&self, one: &Type, other: &Type) -> bool {
        let (Type::Structured(one), Type::Structured(other)) = (one, other) else { return one == other };
        one == other
            || self.schema.properties(one).all(|property| {
                let same = self.schema.property(other, &property.name, false);
                same.is_none_or(|same| self.is_alike(&property.ty, &same.ty))
            })
    }

    /// Returns the members that hold grouping paths. Paths inside objects become members of nested types.
    fn nested_type(&mut self, at: Position, paths: &[&TypedPath], depth: usize) -> BindResult<Vec<Property>> {
        let mut properties: Vec<Property> = Vec::new();
        for path in paths {
            let Some(step) = path.steps.get(depth) else { continue };
            if properties.iter().any(|known| known.name == step.name) {
                continue;
            }
            let mut property = step.clone();
            if path.steps.len() > depth + 1 {
                let same: Vec<&TypedPath> = paths
                    .iter()
                    .copied()
                    .filter(|other| other.steps.get(depth).is_some_and(|other| other.name == step.name))
                    .collect();
                let inner = self.nested_type(at, &same, depth + 1)?;
                property.ty = Type::Structured(self.declare(at, inner)?);
            }
            properties.push(property);
        }
        Ok(properties)
    }
}

fn aggregated(aggregate: &TypedAggregate) -> Property {
    Property { ignore_case: aggregate.ignore_case, ..Property::new(&aggregate.name, aggregate.ty.clone()) }
}

/// Source: OData Extension for Data Aggregation 4.0, "Standard Aggregation Methods".
fn aggregate_type(expr: &Typed, method: &Method) -> BindResult<Type> {
    let primitive = expr.ty.as_ref().and_then(Type::primitive);
    let orders = matches!(&expr.ty, None | Some(Type::Primitive(_) | Type::Enum(_)));
    let needs = |what: &str| {
        let found = expr.ty.as_ref().map_or("null".to_owned(), Type::to_string);
        Err(type_fault(expr.at, format!("{} needs {what}, found {found}", method.name())))
    };
    match method {
        Method::Sum => match primitive {
            Some(primitive) if primitive.is_numeric() => Ok(promote(primitive, primitive).into()),
            Some(Primitive::Duration) => Ok(Primitive::Duration.into()),
            _ => needs("numbers"),
        },
        Method::Average => match primitive {
            Some(primitive) if primitive.is_float() => Ok(Primitive::Double.into()),
            Some(primitive) if primitive.is_numeric() => Ok(Primitive::Decimal.into()),
            _ => needs("numbers"),
        },
        Method::Min | Method::Max if orders => Ok(expr.ty.clone().unwrap_or(Primitive::String.into())),
        Method::CountDistinct if orders => Ok(Primitive::Int64.into()),
        Method::Min | Method::Max | Method::CountDistinct => needs("values that have an order"),
        Method::Custom(_) => Err(unsupported(expr.at, "a custom aggregation method")),
    }
}
