//! What every engine asks of a query alike: the ways to its referrals (`plan.rs`), where its page begins, what is left to
//! hold rows against, and the order of what is found. Expressions are evaluated here, by the evaluator of `odata`, so
//! that a query means the same on every engine.

use std::cmp::Ordering;
use std::sync::OnceLock;

use odata::{Typed, TypedOrder, TypedPath};
use referral::ReferralId;
use serde_json::Value as Json;

use crate::class::Class;
use crate::item::ItemSource;
use crate::list_work::ListWork;
use crate::plan::{Conditions, Figures, Instant, Natural, Range, Way};
use crate::{Key, Place, Query, StoreError};

/// A query with all that is known before a row is read.
pub(crate) struct Asked<'q> {
    pub(crate) query: &'q Query,
    pub(crate) conditions: Conditions<'q>,
    /// The order, where an index has it.
    pub(crate) natural: Option<Natural>,
    pub(crate) figures: Figures,
    /// The classes that may be shown; `None`: all.
    classes: Option<Vec<Class>>,
    /// What is evaluated for each row, in the order of the filter.
    residual: Vec<Residual<'q>>,
}

/// A term of the filter that neither columns nor indexes decide.
struct Residual<'q> {
    term: &'q Typed,
    /// The value of a term that asks about no member: it is evaluated once, for the first row.
    constant: Option<OnceLock<bool>>,
}

/// What a way meets of the conditions; rows are held against the rest.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Met {
    pub(crate) class: bool,
    pub(crate) created: bool,
    pub(crate) updated: bool,
    pub(crate) country: bool,
    pub(crate) first_team: bool,
}

impl Met {
    /// What a way meets in a statement that says every other condition itself.
    pub(crate) fn in_a_set(way: &Way) -> Met {
        Met { first_team: matches!(way, Way::Team(_)), ..Met::default() }
    }
}

/// What a statement reads of rows in the order of an index.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Part {
    /// The rest of an instant, after an id.
    Tie(i64, ReferralId),
    /// Everything of a range.
    Range(Range),
}

impl<'q> Asked<'q> {
    /// # Errors
    /// `NotSupported` for a place to go on from that belongs to another order: it would be taken for one in this;
    /// what the evaluation of constants meets.
    pub(crate) fn new(
        query: &'q Query,
        conditions: Conditions<'q>,
        figures: Figures,
        work: &ListWork,
    ) -> Result<Asked<'q>, StoreError> {
        let classes = conditions.classes(&figures, &work.evaluator(query.scope.now))?;
        let residual = conditions
            .rest
            .iter()
            .map(|term| Residual { term, constant: term.item_paths().is_empty().then(OnceLock::new) });
        let residual = residual.collect();
        let asked = Asked { query, natural: Natural::of(query), conditions, figures, classes, residual };
        asked.check()?;
        Ok(asked)
    }

    /// As if every class had many referrals: what a query's way is when nothing is known of its owner.
    ///
    /// # Errors
    /// As [`Asked::new`].
    pub(crate) fn of_many(query: &'q Query) -> Result<Asked<'q>, StoreError> {
        /// As many of each class as make no way cheap by being empty.
        const MANY: u64 = 1000;
        let work = ListWork::for_planning();
        let conditions = Conditions::of(query, &work.evaluator(query.scope.now))?;
        let figures = Figures {
            classes: Class::all().map(|class| (class, MANY)).collect(),
            in_country: Class::all().map(|class| (class, MANY / 20)).collect(),
            ..Figures::default()
        };
        Asked::new(query, conditions, figures, &work)
    }

    fn check(&self) -> Result<(), StoreError> {
        let keys = match self.natural {
            Some(natural) => 1 + usize::from(natural.with_id),
            None => self.query.order.len(),
        };
        match &self.query.after {
            Some(place) if place.keys.len() != keys => {
                Err(StoreError::NotSupported("the place to go on from is none of this order".to_owned()))
            }
            Some(Place { keys, .. })
                if self.natural.is_some() && !matches!(keys.first(), Some(Key::Integer(_))) =>
            {
                Err(StoreError::NotSupported("the place to go on from is no instant".to_owned()))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn classes(&self) -> Option<&[Class]> {
        self.classes.as_deref()
    }

    /// As many as must be found, at least.
    pub(crate) fn wanted(&self) -> u64 {
        wanted(self.query)
    }

    pub(crate) fn page_way(&self) -> Way {
        match self.natural {
            Some(natural) => self.conditions.page_way(natural, self.classes(), &self.figures, self.wanted()),
            None => self.set_way(),
        }
    }

    pub(crate) fn set_way(&self) -> Way {
        self.conditions.set_way(self.classes(), &self.figures, self.wanted())
    }

    /// The order of the index of a way, where it is that of the page.
    pub(crate) fn in_order(&self, way: &Way) -> Option<Natural> {
        self.natural.filter(|natural| way.order() == Some(natural.by))
    }

    /// How many match, where the kept counts tell it.
    pub(crate) fn kept_count(&self) -> Option<u64> {
        self.conditions.kept_count(&self.figures, self.classes())
    }

    /// Where the page begins, in an order of an index.
    pub(crate) fn after(&self) -> Option<(i64, ReferralId)> {
        match self.query.after.as_ref().map(|place| (place.keys.first(), place.id)) {
            Some((Some(Key::Integer(at)), id)) => Some((*at, id)),
            _ => None,
        }
    }

    /// What comes after a place in an order of an index: the rest of the same instant, then everything beyond.
    pub(crate) fn parts(&self, natural: Natural, after: Option<(i64, ReferralId)>) -> Vec<Part> {
        let range = match natural.by {
            Instant::Created => self.conditions.created,
            Instant::Updated => self.conditions.updated,
        };
        let Some((at, id)) = after else { return vec![Part::Range(range)] };
        let tie = range.contains(at).then_some(Part::Tie(at, id));
        tie.into_iter().chain([Part::Range(range.after(at, natural.descending))]).collect()
    }

    /// Whether rows must be held against more than what is met.
    pub(crate) fn has_more_than(&self, met: Met) -> bool {
        self.has_columns_besides(met) || !self.residual.is_empty()
    }

    /// Whether rows must be held against columns and words besides what is met.
    pub(crate) fn has_columns_besides(&self, met: Met) -> bool {
        let conditions = &self.conditions;
        (self.classes.is_some() && !met.class)
            || (!conditions.created.is_whole() && !met.created)
            || (!conditions.updated.is_whole() && !met.updated)
            || (conditions.country.is_some() && !met.country)
            || conditions.teams.len() > usize::from(met.first_team)
            || conditions.ids.is_some()
            || conditions.engagement.is_some()
            || conditions.search.is_some()
    }
}

/// As many as a query must find, at least.
pub(crate) fn wanted(query: &Query) -> u64 {
    query.skip.saturating_add(query.limit as u64)
}

/// What is evaluated.
impl Asked<'_> {
    /// Whether columns and indexes tell which rows match.
    pub(crate) fn is_plain(&self) -> bool {
        self.residual.is_empty()
    }

    /// What is read of a row to decide whether it matches.
    pub(crate) fn filter_source(&self) -> ItemSource {
        ItemSource::of(self.residual_paths())
    }

    /// What is read of a row to decide whether it matches, and where it stands in the order.
    pub(crate) fn order_source(&self) -> ItemSource {
        let keys = match self.natural {
            Some(_) => Vec::new(),
            None => self.query.order.iter().flat_map(|key| key.expr.item_paths()).collect(),
        };
        ItemSource::of(self.residual_paths().chain(keys))
    }

    /// The paths that the terms evaluated for each row ask about.
    pub(crate) fn residual_paths(&self) -> impl Iterator<Item = String> {
        self.residual.iter().flat_map(|residual| residual.term.item_paths())
    }

    /// Whether the terms that are evaluated for each row are true for an item.
    ///
    /// # Errors
    /// What the evaluation meets.
    pub(crate) fn matches(&self, item: &Json, work: &ListWork) -> Result<bool, StoreError> {
        let evaluator = work.evaluator(self.query.scope.now);
        for Residual { term, constant } in &self.residual {
            let matches = match constant.as_ref().and_then(OnceLock::get) {
                Some(value) => *value,
                None => evaluator.matches(term, item)?,
            };
            if let Some(constant) = constant {
                // Another thread never has another value.
                let _ = constant.set(matches);
            }
            if !matches {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Where a row stands in the order of the query.
    ///
    /// # Errors
    /// What the evaluation of the keys meets.
    pub(crate) fn place(
        &self,
        id: ReferralId,
        created: i64,
        updated: i64,
        item: &Json,
        work: &ListWork,
    ) -> Result<Place, StoreError> {
        if let Some(natural) = self.natural {
            let at = match natural.by {
                Instant::Created => created,
                Instant::Updated => updated,
            };
            return Ok(natural.place(at, id));
        }
        let evaluator = work.evaluator(self.query.scope.now);
        let key = |order: &TypedOrder| {
            let value = evaluator.value(&order.expr, item)?;
            Ok(Key::of(&value, order.ignore_case))
        };
        let keys: Result<_, odata::EvalError> = self.query.order.iter().map(key).collect();
        Ok(Place { keys: keys?, id })
    }

    /// The order of two places of this query.
    fn compare(&self, one: &Place, other: &Place) -> Ordering {
        let descending = |key: usize| match self.natural {
            Some(natural) => key == 0 && natural.descending,
            None => self.query.order.get(key).is_some_and(|order| order.descending),
        };
        let keys = one.keys.iter().zip(&other.keys).enumerate().map(|(key, (one, other))| {
            let order = one.sort(other);
            if descending(key) { order.reverse() } else { order }
        });
        keys.fold(Ordering::Equal, Ordering::then).then(one.id.cmp(&other.id))
    }
}

/// Refuses paths to what is not stored with a referral.
///
/// # Errors
/// `NotSupported`, with a sentence for the client.
fn check_stored(expression: &Typed) -> Result<(), StoreError> {
    let mut checked = Ok(());
    expression.walk_paths(&mut |path| {
        if checked.is_ok() {
            checked = check_path(path);
        }
    });
    checked
}

/// Refuses a path to what is not stored with a referral.
///
/// # Errors
/// `NotSupported`, with a sentence for the client.
pub(crate) fn check_path(path: &TypedPath) -> Result<(), StoreError> {
    let message = if let Some(step) = path.steps.iter().find(|step| step.navigation) {
        format!("'{}' leads to other referrals: it is expanded, not asked about", step.name)
    } else if path.base == odata::PathBase::Item
        && path.steps.first().is_some_and(|step| &*step.name == "links")
    {
        "'links' is made for each answer: it cannot be asked about".to_owned()
    } else {
        return Ok(());
    };
    Err(StoreError::NotSupported(message))
}

/// Refuses what no engine can carry out in a filter and an order.
///
/// # Errors
/// `NotSupported`.
pub(crate) fn check_expressions<'e>(
    filter: Option<&'e Typed>,
    order: impl IntoIterator<Item = &'e TypedOrder>,
) -> Result<(), StoreError> {
    filter.into_iter().chain(order.into_iter().map(|key| &key.expr)).try_for_each(check_stored)
}

/// The first places of a query's order, of rows that come in any order. It holds twice as many as are wanted at most.
pub(crate) struct FirstPlaces<'a, R> {
    asked: &'a Asked<'a>,
    work: &'a ListWork,
    /// As many as the page ends at.
    wanted: usize,
    kept: Vec<(Place, R)>,
    matching: u64,
}

impl<'a, R> FirstPlaces<'a, R> {
    /// As many are sorted at a time, at least.
    const SORTED: usize = 4096;

    pub(crate) fn new(asked: &'a Asked<'a>, work: &'a ListWork) -> FirstPlaces<'a, R> {
        let wanted = usize::try_from(asked.wanted()).unwrap_or(usize::MAX);
        FirstPlaces { asked, work, wanted, kept: Vec::new(), matching: 0 }
    }

    /// Adds a row that matches.
    ///
    /// # Errors
    /// `TooCostly` where too many long values would be held.
    pub(crate) fn add(&mut self, place: Place, row: R) -> Result<(), StoreError> {
        self.matching += 1;
        let after = self.asked.query.after.as_ref();
        if after.is_some_and(|after| self.asked.compare(after, &place) != Ordering::Less) {
            return Ok(());
        }
        self.work.hold(place.bytes())?;
        self.kept.push((place, row));
        if self.kept.len() >= self.wanted.saturating_mul(2).max(Self::SORTED) {
            self.sort();
        }
        Ok(())
    }

    fn sort(&mut self) {
        self.kept.sort_by(|(one, _), (other, _)| self.asked.compare(one, other));
        for (place, _) in self.kept.drain(self.wanted.min(self.kept.len())..) {
            self.work.work().release(place.bytes());
        }
    }

    /// The page in order, and how many rows match in all.
    pub(crate) fn finish(mut self) -> (Vec<(Place, R)>, u64) {
        self.sort();
        let skip = usize::try_from(self.asked.query.skip).unwrap_or(usize::MAX);
        (self.kept.into_iter().skip(skip).collect(), self.matching)
    }
}
