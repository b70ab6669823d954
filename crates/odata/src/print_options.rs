//! Printing of options and other parts.

use std::fmt;

use crate::ast::{
    Compute, ExpandItem, Expr, ItemSegment, ItemSegmentKind, OrderBy, Path, Search, SelectItem,
};
use crate::pipeline::{Aggregate, Grouping, Transformation, TransformationKind};
use crate::print::Printer;
use crate::query::{Levels, QueryOptions, SystemOption};

impl Printer {
    fn order_by(&mut self, order: &OrderBy) {
        self.expr(&order.expr);
        if order.descending {
            self.push(" desc");
        }
    }

    fn compute(&mut self, compute: &Compute) {
        self.expr(&compute.expr);
        self.push(" as ");
        self.push(&compute.name);
    }

    fn item_path(&mut self, path: &[ItemSegment]) {
        self.joined(path, "/", |out, segment| match &segment.kind {
            ItemSegmentKind::Name(name) | ItemSegmentKind::Qualified(name) => out.push(name),
            ItemSegmentKind::Annotation(term, qualifier) => out.annotation(term, qualifier.as_deref()),
            ItemSegmentKind::Star => out.push("*"),
            ItemSegmentKind::AllOperations(namespace) => out.push(&format!("{namespace}.*")),
            ItemSegmentKind::Ref => out.push("$ref"),
            ItemSegmentKind::Count => out.push("$count"),
            ItemSegmentKind::Value => out.push("$value"),
        });
    }

    fn select_item(&mut self, item: &SelectItem) {
        self.item_path(&item.path);
        if let Some(parameters) = &item.parameters {
            self.push("(");
            self.joined(parameters, ",", |out, name| out.push(name));
            self.push(")");
        }
        self.nested(item.options.as_deref());
    }

    fn expand_item(&mut self, item: &ExpandItem) {
        self.item_path(&item.path);
        self.nested(item.options.as_deref());
    }

    fn nested(&mut self, options: Option<&QueryOptions>) {
        let Some(options) = options else { return };
        self.push("(");
        self.options(options, ";");
        self.push(")");
    }

    /// Writes all options of a request.
    pub fn query(&mut self, options: &QueryOptions) {
        let mut first = self.options(options, "&");
        for (name, value) in &options.custom {
            self.separate("&", &mut first);
            self.push_escaped(name);
            if let Some(value) = value {
                self.text.push('=');
                self.push_escaped(value);
            }
        }
    }

    /// Writes the separator between options, never encoded, unless it is the first one.
    fn separate(&mut self, separator: &str, first: &mut bool) {
        if !std::mem::take(first) {
            self.text.push_str(separator);
        }
    }

    /// Writes system options and aliases. Returns whether there were none.
    fn options(&mut self, options: &QueryOptions, separator: &str) -> bool {
        let mut first = true;
        for option in &options.given {
            self.separate(separator, &mut first);
            self.push(option.name());
            self.push("=");
            self.option(*option, options);
        }
        for (name, value) in &options.aliases {
            self.separate(separator, &mut first);
            self.push(&format!("@{name}="));
            self.expr(value);
        }
        first
    }

    fn option(&mut self, option: SystemOption, options: &QueryOptions) {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let number = |value: Option<u64>| value.unwrap_or(0).to_string();
        match option {
            SystemOption::Apply => {
                self.joined(options.apply.as_deref().unwrap_or(&[]), "/", Self::transformation)
            }
            SystemOption::Compute => {
                self.joined(options.compute.as_deref().unwrap_or(&[]), ",", Self::compute)
            }
            SystemOption::Count => self.push(if options.count == Some(true) { "true" } else { "false" }),
            SystemOption::Expand => {
                self.joined(options.expand.as_deref().unwrap_or(&[]), ",", Self::expand_item)
            }
            SystemOption::Filter => options.filter.iter().for_each(|filter| self.expr(filter)),
            SystemOption::Index => self.push(&options.index.unwrap_or(0).to_string()),
            SystemOption::Levels => self.push(&match options.levels {
                Some(Levels::Of(levels)) => levels.to_string(),
                _ => "max".to_owned(),
            }),
            SystemOption::OrderBy => {
                self.joined(options.orderby.as_deref().unwrap_or(&[]), ",", Self::order_by)
            }
            SystemOption::Search => options.search.iter().for_each(|search| self.search(search)),
            SystemOption::Select => {
                self.joined(options.select.as_deref().unwrap_or(&[]), ",", Self::select_item)
            }
            SystemOption::Skip => self.push(&number(options.skip)),
            SystemOption::Top => self.push(&number(options.top)),
            SystemOption::Format => self.push(&text(&options.format)),
            SystemOption::SchemaVersion => self.push(&text(&options.schemaversion)),
            SystemOption::DeltaToken => self.push_escaped(&text(&options.deltatoken)),
            SystemOption::SkipToken => self.push_escaped(&text(&options.skiptoken)),
            SystemOption::Id => self.push(&text(&options.id)),
        }
    }

    fn transformation(&mut self, transformation: &Transformation) {
        let name = match &transformation.kind {
            TransformationKind::Identity => return self.push("identity"),
            TransformationKind::Aggregate(_) => "aggregate",
            TransformationKind::GroupBy { .. } => "groupby",
            TransformationKind::Filter(_) => "filter",
            TransformationKind::Search(_) => "search",
            TransformationKind::Compute(_) => "compute",
            TransformationKind::OrderBy(_) => "orderby",
            TransformationKind::Skip(_) => "skip",
            TransformationKind::Top(_) => "top",
            TransformationKind::Ranked { kind, .. } => kind.name(),
            TransformationKind::Concat(_) => "concat",
        };
        self.push(name);
        self.push("(");
        match &transformation.kind {
            TransformationKind::Identity => {}
            TransformationKind::Aggregate(aggregates) => self.joined(aggregates, ",", Self::aggregate),
            TransformationKind::GroupBy { by, apply } => {
                self.push("(");
                self.joined(by, ",", Self::grouping);
                self.push(")");
                if !apply.is_empty() {
                    self.push(",");
                    self.joined(apply, "/", Self::transformation);
                }
            }
            TransformationKind::Filter(predicate) => self.expr(predicate),
            TransformationKind::Search(search) => self.search(search),
            TransformationKind::Compute(items) => self.joined(items, ",", Self::compute),
            TransformationKind::OrderBy(items) => self.joined(items, ",", Self::order_by),
            TransformationKind::Skip(number) | TransformationKind::Top(number) => {
                self.push(&number.to_string())
            }
            TransformationKind::Ranked { amount, by, .. } => {
                self.expr(amount);
                self.push(",");
                self.expr(by);
            }
            TransformationKind::Concat(parts) => {
                self.joined(parts, ",", |out, part| out.joined(part, "/", Self::transformation));
            }
        }
        self.push(")");
    }

    fn aggregate(&mut self, aggregate: &Aggregate) {
        self.expr(&aggregate.expr);
        if let Some(method) = &aggregate.method {
            self.push(" with ");
            self.push(method.name());
        }
        if let Some(name) = &aggregate.name {
            self.push(" as ");
            self.push(name);
        }
    }

    fn grouping(&mut self, grouping: &Grouping) {
        match grouping {
            Grouping::Path(path) => self.expr(path),
            Grouping::Rollup { all, levels } => {
                self.push(if *all { "rollup($all," } else { "rollup(" });
                self.joined(levels, ",", Self::expr);
                self.push(")");
            }
        }
    }
}

macro_rules! display {
    ($($type:ty => $write:ident;)*) => {
        $(impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut out = Printer::plain();
                out.$write(self);
                f.write_str(&out.text)
            }
        })*
    };
}

display! {
    Expr => expr;
    Path => path;
    Search => search;
    OrderBy => order_by;
    Compute => compute;
    SelectItem => select_item;
    ExpandItem => expand_item;
    Transformation => transformation;
}
