//! Paths: properties, variables, aliases, `$count`, lambdas.

use super::{BindResult, Binder, Variable, fault, type_fault, unsupported};
use crate::ast::{Lambda, Path, Position, Root, Search, Segment, SegmentKind};
use crate::primitive::Primitive;
use crate::schema::{Property, Type};
use crate::suggestion::did_you_mean;
use crate::typed::{BindErrorKind, Collection, PathBase, Predicate, Typed, TypedKind, TypedPath};

/// A path that is resolved up to some segment.
struct PathWalk {
    path: TypedPath,
    ty: Type,
    filters: Vec<Predicate>,
}

impl Binder<'_> {
    pub(super) fn path(&mut self, at: Position, path: &Path) -> BindResult<Typed> {
        if let Root::Alias(name) = &path.root {
            return self.alias(at, name, &path.segments);
        }
        if let (Root::Implicit, [only]) = (&path.root, path.segments.as_slice())
            && let Some(name) = only.name()
            && let Some(expr) = self.computed(name)
        {
            let expr = expr.clone();
            let mut nodes = 0;
            expr.walk(&mut |_| nodes += 1);
            self.node(at, nodes)?;
            if self.depth + expr.height() > self.settings.limits.depth {
                let message =
                    format!("nested more than {} deep, with '{name}' expanded", self.settings.limits.depth);
                return Err(fault(at, BindErrorKind::Limit, message));
            }
            return Ok(Typed { at, ..expr });
        }
        let (mut walk, rest) = self.start(at, path)?;
        for (index, segment) in rest.iter().enumerate() {
            self.node(segment.at, 1)?;
            let last = index + 1 == rest.len();
            match &segment.kind {
                SegmentKind::Name(name) => self.member(&mut walk, segment.at, name, rest.get(index + 1))?,
                SegmentKind::Qualified(name) => {
                    self.type_cast(&walk, segment.at, name, rest.get(index + 1))?
                }
                SegmentKind::Filter(predicate) => {
                    let element = element(&walk, segment.at, "$filter")?;
                    let predicate = self.predicate(String::new(), element, predicate)?;
                    walk.filters.push(predicate);
                }
                SegmentKind::Arguments(_) => {
                    return Err(unsupported(segment.at, "a key or a function in a path"));
                }
                SegmentKind::Annotation { .. } => return Err(unsupported(segment.at, "an annotation")),
                SegmentKind::Count { .. } | SegmentKind::Any(_) | SegmentKind::All(_) if !last => {
                    return Err(type_fault(rest[index + 1].at, "nothing may follow $count, any or all"));
                }
                SegmentKind::Count { filter, search } => {
                    let element = element(&walk, segment.at, "$count")?;
                    if let Some(filter) = filter {
                        let predicate = self.predicate(String::new(), element, filter)?;
                        walk.filters.push(predicate);
                    }
                    if let Some(search) = search {
                        walk.filters.push(self.found(segment.at, search));
                    }
                    let kind = TypedKind::Count(Box::new(collection(walk, segment.at, "$count")?));
                    return Ok(Typed::new(at, Primitive::Int64, kind));
                }
                SegmentKind::Any(lambda) => {
                    let predicate = match lambda {
                        Some(lambda) => Some(self.lambda(&walk, segment.at, "any", lambda)?),
                        None => None,
                    };
                    let collection = Box::new(collection(walk, segment.at, "any")?);
                    return Ok(Typed::new(at, Primitive::Boolean, TypedKind::Any { collection, predicate }));
                }
                SegmentKind::All(lambda) => {
                    let predicate = self.lambda(&walk, segment.at, "all", lambda)?;
                    let collection = Box::new(collection(walk, segment.at, "all")?);
                    return Ok(Typed::new(at, Primitive::Boolean, TypedKind::All { collection, predicate }));
                }
            }
        }
        if !walk.filters.is_empty() {
            return Err(type_fault(at, "a filtered collection needs $count, any or all"));
        }
        Ok(Typed::new(at, walk.ty, TypedKind::Path(walk.path)))
    }

    /// Binds the `$search` that a counted member must match.
    fn found(&mut self, at: Position, search: &Search) -> Predicate {
        let variable = self.next_variable;
        self.next_variable += 1;
        let kind = TypedKind::SearchMatch { of: PathBase::Variable(variable), search: search.clone() };
        Predicate { variable, expr: Box::new(Typed::new(at, Primitive::Boolean, kind)) }
    }

    /// Binds a collection-valued path, as it may follow `in`.
    pub(super) fn collection_path(&mut self, at: Position, path: &Path) -> BindResult<Collection> {
        let typed = self.path(at, path)?;
        match typed {
            Typed { ty: Some(Type::Collection(element)), kind: TypedKind::Path(path), .. } => {
                Ok(Collection { path, filters: Vec::new(), element: *element })
            }
            Typed { ty, .. } => {
                let found = ty.map_or("null".to_owned(), |ty| ty.to_string());
                Err(type_fault(at, format!("expected a list or a collection after 'in', found {found}")))
            }
        }
    }

    /// Returns the start of a path, and the remaining segments.
    fn start<'p>(&mut self, at: Position, path: &'p Path) -> BindResult<(PathWalk, &'p [Segment])> {
        let item = |binder: &Self| binder.element.clone().unwrap_or(Type::Structured(binder.item.clone()));
        let begin =
            |base, ty| PathWalk { path: TypedPath { base, steps: Vec::new() }, ty, filters: Vec::new() };
        match &path.root {
            Root::It if self.nested => Err(unsupported(at, "$it in nested options")),
            Root::It => Ok((begin(PathBase::Item, item(self)), &path.segments)),
            Root::This => match self.variables.iter().rev().find(|variable| variable.name.is_empty()) {
                Some(variable) => {
                    Ok((begin(PathBase::Variable(variable.number), variable.ty.clone()), &path.segments))
                }
                None => Ok((begin(PathBase::Item, item(self)), &path.segments)),
            },
            Root::Service => Err(unsupported(at, "$root")),
            Root::Alias(_) | Root::Implicit => {
                if let Some(name) = path.segments.first().and_then(Segment::name)
                    && let Some(variable) = self.variables.iter().rev().find(|variable| variable.name == name)
                {
                    return Ok((
                        begin(PathBase::Variable(variable.number), variable.ty.clone()),
                        &path.segments[1..],
                    ));
                }
                if let Some(name) = path.segments.first().and_then(Segment::name)
                    && let Some(Typed { ty: Some(ty), kind: TypedKind::Path(of), .. }) = self.computed(name)
                {
                    let walk = PathWalk { path: of.clone(), ty: ty.clone(), filters: Vec::new() };
                    return Ok((walk, &path.segments[1..]));
                }
                // Inside `$filter(…)` a name refers to the member that is filtered.
                match self.variables.iter().rev().find(|variable| variable.name.is_empty()) {
                    Some(variable) => {
                        Ok((begin(PathBase::Variable(variable.number), variable.ty.clone()), &path.segments))
                    }
                    None => Ok((begin(PathBase::Item, item(self)), &path.segments)),
                }
            }
        }
    }

    /// Returns the value of a computed property. Variables of the same name, and the members that a `$filter` segment
    /// refers to, take precedence.
    fn computed(&self, name: &str) -> Option<&Typed> {
        let is_nearer = |variable: &Variable| variable.name == name || variable.name.is_empty();
        if self.variables.iter().any(is_nearer) {
            return None;
        }
        self.computed.iter().find(|computed| &*computed.name == name).map(|computed| &computed.expr)
    }

    fn alias(&mut self, at: Position, name: &str, segments: &[Segment]) -> BindResult<Typed> {
        let Some((alias, value)) = self.aliases.iter().find(|(alias, _)| *alias == name).copied() else {
            let near = did_you_mean(name, self.aliases.iter().map(|(alias, _)| *alias));
            return Err(fault(
                at,
                BindErrorKind::UnknownName,
                format!("no value is given for @{name}{near}"),
            ));
        };
        if !segments.is_empty() {
            return Err(unsupported(at, "a path after an alias"));
        }
        if let Some((_, known)) = self.constants.iter().find(|(known, _)| *known == alias) {
            let known = Typed { at, ..known.clone() };
            self.node(at, 1)?;
            return Ok(known);
        }
        // Positions in its value belong to another option, so the position of the alias is used.
        let bound = self.bind(value).map_err(|error| crate::typed::BindError { at: at.0, ..error })?;
        if matches!(bound.kind, TypedKind::Value(_)) {
            self.constants.push((alias, bound.clone()));
        }
        Ok(Typed { at, ..bound })
    }

    fn member(
        &mut self,
        walk: &mut PathWalk,
        at: Position,
        name: &str,
        next: Option<&Segment>,
    ) -> BindResult<()> {
        let of = match &walk.ty {
            Type::Structured(of) => of.clone(),
            Type::Collection(_) => {
                let message = format!("'{}' is a collection: use any or all", walk.path.wire());
                return Err(type_fault(at, message));
            }
            other => {
                return Err(type_fault(at, format!("'{}' is {other}: it has no '{name}'", walk.path.wire())));
            }
        };
        let property = self.schema.property(&of, name, self.settings.ignore_property_case).cloned();
        let Some(property) = property else {
            if self.schema.find_type(name) == Some(walk.ty.clone()) && next.is_some() {
                return Ok(());
            }
            return Err(self.unknown(&of, at, name, next));
        };
        walk.ty = property.ty.clone();
        walk.path.steps.push(property);
        Ok(())
    }

    fn unknown(&self, of: &str, at: Position, name: &str, next: Option<&Segment>) -> crate::typed::BindError {
        let called = next.is_some_and(|next| matches!(next.kind, SegmentKind::Arguments(_)));
        let names = self.schema.properties(of).map(|property: &Property| &*property.name);
        let message = if called {
            let functions = crate::function::Function::ALL.iter().map(|function| function.name());
            format!("unknown function '{name}'{}", did_you_mean(name, functions))
        } else {
            format!("unknown property '{name}'{}", did_you_mean(name, names))
        };
        fault(at, BindErrorKind::UnknownName, message)
    }

    /// Allows a cast to the type itself or to a type that it extends, which changes nothing.
    fn type_cast(&self, walk: &PathWalk, at: Position, name: &str, next: Option<&Segment>) -> BindResult<()> {
        if next.is_some_and(|next| matches!(next.kind, SegmentKind::Arguments(_))) {
            return Err(unsupported(at, "a function of the service"));
        }
        let ty = match &walk.ty {
            Type::Collection(element) => &**element,
            ty => ty,
        };
        match self.schema.find_type(name) {
            None => Err(fault(at, BindErrorKind::UnknownName, format!("unknown type '{name}'"))),
            Some(wanted) if wanted == *ty => Ok(()),
            Some(_) => Err(unsupported(at, "a cast to another type in a path")),
        }
    }

    fn lambda(
        &mut self,
        walk: &PathWalk,
        at: Position,
        what: &str,
        lambda: &Lambda,
    ) -> BindResult<Predicate> {
        let element = element(walk, at, what)?;
        self.predicate(lambda.variable.clone(), element, &lambda.predicate)
    }

    fn predicate(&mut self, name: String, ty: Type, expr: &crate::ast::Expr) -> BindResult<Predicate> {
        let number = self.next_variable;
        self.next_variable += 1;
        self.variables.push(Variable { name, number, ty });
        let bound = self.filter(expr);
        self.variables.pop();
        Ok(Predicate { variable: number, expr: Box::new(bound?) })
    }
}

fn element(walk: &PathWalk, at: Position, what: &str) -> BindResult<Type> {
    match walk.ty.element() {
        Some(element) => Ok(element.clone()),
        None => {
            Err(type_fault(at, format!("{what} needs a collection, '{}' is {}", walk.path.wire(), walk.ty)))
        }
    }
}

fn collection(walk: PathWalk, at: Position, what: &str) -> BindResult<Collection> {
    let element = element(&walk, at, what)?;
    Ok(Collection { path: walk.path, filters: walk.filters, element })
}
