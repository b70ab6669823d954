//! The options of a request. `$apply` comes first, because it changes the type of the items; then `$compute`, because
//! all other options may use its names.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{BindResult, Binder, SchemaRef, fault, ignores_case, type_fault, unsupported};
use crate::ast::{Compute, ExpandItem, ItemSegment, ItemSegmentKind, OrderBy, Position, SelectItem};
use crate::query::{QueryOptions, SystemOption};
use crate::schema::{Property, Type};
use crate::suggestion::did_you_mean;
use crate::typed::{BindError, BindErrorKind};
use crate::typed_options::{ExpandKind, TypedCompute, TypedExpand, TypedOptions, TypedOrder, TypedSelect};

impl<'a> Binder<'a> {
    /// Binds all options of a request that refer to properties. The first error is returned, with its option.
    pub fn options(&mut self, options: &'a QueryOptions) -> Result<TypedOptions, BindError> {
        let of = |option: SystemOption| {
            move |error: BindError| BindError { option: error.option.or(Some(option)), ..error }
        };
        self.aliases.extend(options.aliases.iter().map(|(name, value)| (name.as_str(), value)));
        let mut bound = TypedOptions {
            search: options.search.clone(),
            top: options.top,
            skip: options.skip,
            count: options.count,
            levels: options.levels,
            ..TypedOptions::default()
        };
        if let Some(apply) = &options.apply {
            let apply = self.apply(apply).map_err(of(SystemOption::Apply))?;
            self.item = apply.result.clone();
            self.schema = SchemaRef::Extended(Arc::clone(&apply.schema));
            bound.apply = Some(apply);
        }
        if let Some(compute) = &options.compute {
            bound.compute = self.compute(compute).map_err(of(SystemOption::Compute))?;
        }
        if let Some(filter) = &options.filter {
            bound.filter = Some(self.filter(filter).map_err(of(SystemOption::Filter))?);
        }
        if let Some(orderby) = &options.orderby {
            bound.orderby = self.orderby(orderby).map_err(of(SystemOption::OrderBy))?;
        }
        if let Some(select) = &options.select {
            bound.select = Some(self.select(select).map_err(of(SystemOption::Select))?);
        }
        if let Some(expand) = &options.expand {
            bound.expand = self.expand(expand).map_err(of(SystemOption::Expand))?;
        }
        Ok(bound)
    }

    /// Binds the sort keys of `$orderby`.
    pub fn orderby(&mut self, keys: &[OrderBy]) -> Result<Vec<TypedOrder>, BindError> {
        keys.iter().map(|key| self.order(&key.expr, key.descending)).collect()
    }

    pub(super) fn order(&mut self, expr: &crate::ast::Expr, descending: bool) -> BindResult<TypedOrder> {
        let expr = self.bind(expr)?;
        if let Some(ty @ (Type::Structured(_) | Type::Collection(_))) = &expr.ty {
            return Err(type_fault(expr.at, format!("{ty} cannot be sorted")));
        }
        let ignore_case = ignores_case(&expr);
        Ok(TypedOrder { expr, descending, ignore_case })
    }

    /// Binds computed properties. Each one may be used by the following ones and by everything that is bound later.
    pub fn compute(&mut self, items: &[Compute]) -> Result<Vec<TypedCompute>, BindError> {
        let mut bound = Vec::with_capacity(items.len());
        for item in items {
            if self.computed.iter().any(|computed| self.is_same(&computed.name, &item.name)) {
                return Err(name_taken(item.at, &item.name));
            }
            self.check_name_unused(item.at, &item.name)?;
            let expr = self.bind(&item.expr)?;
            let computed = TypedCompute { name: item.name.as_str().into(), expr };
            self.computed.push(computed.clone());
            bound.push(computed);
        }
        Ok(bound)
    }

    /// Binds `$select`.
    pub fn select(&mut self, items: &'a [SelectItem]) -> Result<Vec<TypedSelect>, BindError> {
        let mut bound = Vec::with_capacity(items.len());
        let mut names = BTreeSet::new();
        for item in items {
            let selected = self.select_item(item)?;
            let name = match &selected {
                TypedSelect::All => "*".to_owned(),
                TypedSelect::Computed(name) => name.to_string(),
                TypedSelect::Property { steps, .. } => path_text(steps),
            };
            if !names.insert(name.clone()) && !self.settings.selected_twice {
                return Err(duplicate_name(item.at, &name));
            }
            bound.push(selected);
        }
        // The members of a property with nested options are named in these options.
        for (item, selected) in items.iter().zip(&bound) {
            let TypedSelect::Property { steps, options: Some(_) } = selected else { continue };
            let inside = format!("{}/", path_text(steps));
            let deeper = names.range(inside.clone()..).next().filter(|name| name.starts_with(&inside));
            if let Some(name) = deeper {
                let message =
                    format!("'{name}' must be selected in the parentheses of '{}'", path_text(steps));
                return Err(fault(item.at, BindErrorKind::Value, message));
            }
        }
        Ok(bound)
    }

    fn select_item(&mut self, item: &'a SelectItem) -> BindResult<TypedSelect> {
        self.node(item.at, item.path.len())?;
        if item.parameters.is_some() {
            return Err(unsupported(item.at, "an operation in $select"));
        }
        if let [only] = item.path.as_slice() {
            match &only.kind {
                ItemSegmentKind::Star => return Ok(TypedSelect::All),
                ItemSegmentKind::Name(name) => {
                    if let Some(computed) = self.computed.iter().find(|computed| *computed.name == *name) {
                        return Ok(TypedSelect::Computed(computed.name.clone()));
                    }
                }
                _ => {}
            }
        }
        let (steps, ty) = self.item_steps(&item.path)?;
        let navigates = steps.iter().position(|step| step.navigation);
        if navigates.is_some_and(|at| at + 1 < steps.len() || item.options.is_some()) {
            return Err(type_fault(item.at, "members of related entities are selected in $expand"));
        }
        let options = match &item.options {
            Some(options) => Some(Box::new(self.nested(item.at, &ty, options)?)),
            None => None,
        };
        Ok(TypedSelect::Property { steps, options })
    }

    /// Binds `$expand`.
    pub fn expand(&mut self, items: &'a [ExpandItem]) -> Result<Vec<TypedExpand>, BindError> {
        let mut bound: Vec<TypedExpand> = Vec::with_capacity(items.len());
        let mut all: Option<TypedExpand> = None;
        let mut names = BTreeSet::new();
        for (index, item) in items.iter().enumerate() {
            let expand = self.expand_item(index, item)?;
            // A count has its own name in the result, so it does not collide with the property that it counts.
            let counts = expand.what == ExpandKind::Count;
            let name = if expand.steps.is_empty() { "*".to_owned() } else { path_text(&expand.steps) };
            if !names.insert((name.clone(), counts)) {
                return Err(duplicate_name(item.at, &name));
            }
            if expand.steps.is_empty() {
                all = Some(expand);
            } else {
                bound.push(expand);
            }
        }
        // `*` is every navigation property that is not named explicitly.
        if let Some(all) = all {
            let every = self.schema.properties(&self.item).filter(|property| property.navigation);
            let counts = all.what == ExpandKind::Count;
            let others = every.filter(|property| !names.contains(&(property.name.to_string(), counts)));
            bound.extend(others.map(|property| TypedExpand { steps: vec![property.clone()], ..all.clone() }));
        }
        Ok(bound)
    }

    /// Binds one item. The steps are empty for `*`.
    fn expand_item(&mut self, index: usize, item: &'a ExpandItem) -> BindResult<TypedExpand> {
        self.node(item.at, item.path.len())?;
        let mut path = item.path.as_slice();
        let what = match path.last().map(|segment| &segment.kind) {
            Some(ItemSegmentKind::Ref) => ExpandKind::References,
            Some(ItemSegmentKind::Count) => ExpandKind::Count,
            Some(ItemSegmentKind::Value) => return Err(unsupported(item.at, "$value")),
            _ => ExpandKind::Entities,
        };
        if what != ExpandKind::Entities {
            path = &path[..path.len() - 1];
        }
        if let [ItemSegment { kind: ItemSegmentKind::Star, .. }] = path {
            let levels = item.options.as_ref().and_then(|options| options.levels);
            let options = TypedOptions { levels, ..TypedOptions::default() };
            return Ok(TypedExpand { item: index, steps: Vec::new(), what, options });
        }
        let (steps, ty) = self.item_steps(path)?;
        if !steps.last().is_some_and(|step| step.navigation) {
            let name = steps.last().map_or("", |step| &step.name);
            return Err(type_fault(
                item.at,
                format!("'{name}' is not a navigation property: use $select, not $expand"),
            ));
        }
        if steps.iter().filter(|step| step.navigation).count() > 1 {
            let message = "a nested expansion goes into the parentheses of the outer one";
            return Err(type_fault(item.at, message));
        }
        let options = match &item.options {
            Some(options) => self.nested(item.at, &ty, options)?,
            None => TypedOptions::default(),
        };
        Ok(TypedExpand { item: index, steps, what, options })
    }

    /// Refuses the name of a new property if the item already has it.
    pub(super) fn check_name_unused(&self, at: Position, name: &str) -> BindResult<()> {
        match self.schema.property(&self.item, name, self.settings.ignore_property_case) {
            Some(_) => Err(name_taken(at, name)),
            None => Ok(()),
        }
    }

    /// Returns whether two names refer to the same property.
    pub(super) fn is_same(&self, one: &str, other: &str) -> bool {
        one == other || (self.settings.ignore_property_case && one.eq_ignore_ascii_case(other))
    }

    /// Returns the properties of a path in `$select` and `$expand`, and the type of the last one.
    fn item_steps(&self, path: &[ItemSegment]) -> BindResult<(Vec<Property>, Type)> {
        let mut ty = Type::Structured(self.item.clone());
        let mut steps: Vec<Property> = Vec::new();
        for (index, segment) in path.iter().enumerate() {
            let of = match &ty {
                Type::Structured(of) => of.clone(),
                Type::Collection(element) => match &**element {
                    Type::Structured(of) => of.clone(),
                    other => return Err(type_fault(segment.at, format!("{other} has no properties"))),
                },
                other => return Err(type_fault(segment.at, format!("{other} has no properties"))),
            };
            let name = match &segment.kind {
                ItemSegmentKind::Name(name) => name,
                ItemSegmentKind::Qualified(name)
                    if self.schema.find_type(name) == Some(Type::Structured(of)) =>
                {
                    continue;
                }
                ItemSegmentKind::Qualified(_) | ItemSegmentKind::AllOperations(_) => {
                    return Err(unsupported(segment.at, "a type or an operation here"));
                }
                ItemSegmentKind::Annotation(..) => return Err(unsupported(segment.at, "an annotation")),
                _ => return Err(unsupported(segment.at, "'*' inside a path")),
            };
            let Some(property) = self.schema.property(&of, name, self.settings.ignore_property_case) else {
                if index + 1 < path.len() && self.schema.find_type(name) == Some(Type::Structured(of.clone()))
                {
                    continue;
                }
                let near = did_you_mean(name, self.schema.properties(&of).map(|property| &*property.name));
                let message = format!("unknown property '{name}'{near}");
                return Err(fault(segment.at, BindErrorKind::UnknownName, message));
            };
            ty = property.ty.clone();
            steps.push(property.clone());
        }
        Ok((steps, ty))
    }

    /// Binds the options of a request for a property of this type. They refer to its elements if it is a collection,
    /// otherwise to its value.
    pub fn options_for_type(
        &mut self,
        of: &Type,
        options: &'a QueryOptions,
    ) -> Result<TypedOptions, BindError> {
        self.inner(of, options, false)
    }

    /// Binds nested options. They refer to the members of the property that they follow.
    fn nested(&mut self, at: Position, of: &Type, options: &'a QueryOptions) -> BindResult<TypedOptions> {
        // The position is in the outer option, so the error belongs to the outer option.
        self.inner(of, options, true).map_err(|error| match error.kind {
            BindErrorKind::Misplaced => BindError { option: None, at: at.0, ..error },
            _ => BindError { option: None, ..error },
        })
    }

    fn inner(&mut self, of: &Type, options: &'a QueryOptions, nested: bool) -> BindResult<TypedOptions> {
        let element = of.element().unwrap_or(of).clone();
        if let Some(option) = options.given.iter().find(|option| !option_applies(**option, of, &element)) {
            let message = format!("{} does not apply to {of}", option.name());
            let kind = BindErrorKind::Misplaced;
            return Err(BindError { option: Some(*option), at: 0, kind, message });
        }
        let (item, element): (Arc<str>, _) = match element {
            Type::Structured(name) => (name, None),
            other => ("".into(), Some(other)),
        };
        let mut inner = Binder {
            schema: self.schema.clone(),
            settings: self.settings,
            item,
            element,
            aliases: self.aliases.clone(),
            constants: self.constants.clone(),
            computed: Vec::new(),
            variables: Vec::new(),
            next_variable: 0,
            depth: self.depth,
            nodes: self.nodes,
            derived: self.derived,
            nested,
            work: Arc::clone(&self.work),
        };
        let bound = inner.options(options);
        self.nodes = inner.nodes;
        self.derived = inner.derived;
        bound
    }
}

/// Returns whether an option makes sense for a value of a type, whose elements have the type `element`.
fn option_applies(option: SystemOption, of: &Type, element: &Type) -> bool {
    use SystemOption::{Compute, Count, Expand, Filter, OrderBy, Search, Select, Skip, Top};
    match option {
        Filter | Search | OrderBy | Skip | Top | Count => matches!(of, Type::Collection(_)),
        Select | Compute | Expand => matches!(element, Type::Structured(_)),
        _ => true,
    }
}

fn path_text(steps: &[Property]) -> String {
    let names: Vec<&str> = steps.iter().map(|step| &*step.name).collect();
    names.join("/")
}

fn name_taken(at: Position, name: &str) -> BindError {
    fault(at, BindErrorKind::Value, format!("'{name}' exists already"))
}

fn duplicate_name(at: Position, name: &str) -> BindError {
    fault(at, BindErrorKind::Value, format!("'{name}' is named twice"))
}
