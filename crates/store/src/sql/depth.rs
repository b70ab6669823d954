//! How deep the SQL of an expression is, before it is written: engines refuse what is too deep, and a query must be
//! refused with a sentence instead.
//!
//! SQLite bounds two things by 1000: the height of an expression, and, while it looks up names inside nested
//! statements, the sum of the heights around. The numbers here are never smaller than SQLite's.

use odata::{Collection, Predicate, Typed, TypedKind};

use super::NotSupported;

/// What an expression may come to; the rest is for what stands around it in a statement.
const DEEPEST: usize = 900;
/// The path of a document as a value: a cast of a member of a text of a column.
const PATH: usize = 4;

/// Heights: of the expression, and of it with the deepest nested statement inside.
#[derive(Debug, Clone, Copy, Default)]
struct Depth {
    own: usize,
    nested: usize,
}

impl Depth {
    fn leaf(own: usize) -> Depth {
        Depth { own, nested: 0 }
    }

    /// So many levels around it.
    fn within(self, levels: usize) -> Depth {
        Depth { own: self.own + levels, ..self }
    }

    fn max(self, other: Depth) -> Depth {
        Depth { own: self.own.max(other.own), nested: self.nested.max(other.nested) }
    }

    /// As the condition of a nested statement.
    fn statement(self) -> Depth {
        Depth { own: self.own + 2, nested: self.total() }
    }

    fn total(self) -> usize {
        self.own + self.nested
    }
}

/// Refuses what an engine would refuse.
pub(super) fn check(typed: &Typed) -> Result<(), NotSupported> {
    if depth(typed).total() > DEEPEST {
        let message = "the expression is nested too deep: use fewer collections inside one another";
        return Err(NotSupported::new(message));
    }
    Ok(())
}

fn deepest<'a>(all: impl IntoIterator<Item = &'a Typed>) -> Depth {
    all.into_iter().map(depth).fold(Depth::default(), Depth::max)
}

/// The height of a tree of equal sides over so many terms.
fn chain(terms: usize) -> usize {
    usize::try_from(usize::BITS - terms.leading_zeros()).unwrap_or(usize::MAX)
}

fn depth(typed: &Typed) -> Depth {
    match &typed.kind {
        TypedKind::Value(_) => Depth::leaf(1),
        TypedKind::Path(_) => Depth::leaf(PATH),
        TypedKind::Not(operand) | TypedKind::Negate(operand) | TypedKind::Cast { operand, .. } => {
            depth(operand).within(1)
        }
        TypedKind::IsOf { operand, .. } => depth(operand).within(2),
        TypedKind::SearchMatch { .. } => Depth::default().within(2),
        TypedKind::And(terms) | TypedKind::Or(terms) => deepest(terms).within(chain(terms.len())),
        // A conversion, its order by value, the comparison, and whether that is true.
        TypedKind::Compare { left, right, .. } => depth(left).max(depth(right)).within(4),
        TypedKind::Arithmetic { left, right, .. } => depth(left).max(depth(right)).within(1),
        TypedKind::Has { left, right } => depth(left).max(depth(right)).within(3),
        TypedKind::In { left, list, .. } => {
            let plain = list.iter().all(|member| {
                member.as_value().is_some()
                    && member.ty.as_ref().is_none_or(|ty| Some(ty) == left.ty.as_ref())
            });
            let all = depth(left).max(deepest(list)).within(5);
            if plain { all } else { all.within(chain(list.len())).statement() }
        }
        TypedKind::Member { left, collection, .. } => {
            members(collection, depth(left).max(Depth::leaf(PATH)).within(3))
        }
        TypedKind::Call { arguments, .. } => deepest(arguments).within(2),
        TypedKind::Case(branches) => {
            deepest(branches.iter().flat_map(|(condition, value)| [condition, value])).within(2)
        }
        TypedKind::Count(collection) => members(collection, Depth::default()),
        TypedKind::Any { collection, predicate } => {
            members(collection, predicate.as_ref().map(asked).unwrap_or_default())
        }
        TypedKind::All { collection, predicate } => members(collection, asked(predicate)).within(1),
    }
}

fn asked(predicate: &Predicate) -> Depth {
    depth(&predicate.expr).within(1)
}

fn members(collection: &Collection, condition: Depth) -> Depth {
    let filters = deepest(collection.filters.iter().map(|filter| &*filter.expr));
    let all = filters.max(condition).max(Depth::leaf(PATH));
    all.within(chain(collection.filters.len() + 1)).statement()
}
