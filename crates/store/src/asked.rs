//! What every engine asks of a query alike before it reads a row: the ways to its referrals (`plan.rs`), where its page
//! begins, and what is left to hold rows against.

use odata::{DateTimeOffset, Evaluator};
use referral::ReferralId;

use crate::class::Class;
use crate::plan::{Conditions, Figures, Instant, Natural, Range, Way};
use crate::{Key, Place, Query, StoreError};

/// A query with all that is known before a row is read.
pub(crate) struct Asked<'q> {
    pub(crate) query: &'q Query,
    pub(crate) evaluator: Evaluator<'static>,
    pub(crate) conditions: Conditions<'q>,
    /// The order, where an index has it.
    pub(crate) natural: Option<Natural>,
    pub(crate) figures: Figures,
    /// The classes that may be shown; `None`: all.
    classes: Option<Vec<Class>>,
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
        evaluator: Evaluator<'static>,
        conditions: Conditions<'q>,
        figures: Figures,
    ) -> Result<Asked<'q>, StoreError> {
        let classes = conditions.classes(&figures, &evaluator)?;
        let asked = Asked { query, evaluator, natural: Natural::of(query), conditions, figures, classes };
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
        let evaluator = evaluator(query);
        let conditions = Conditions::of(query, &evaluator)?;
        let figures = Figures {
            classes: Class::all().map(|class| (class, MANY)).collect(),
            in_country: Class::all().map(|class| (class, MANY / 20)).collect(),
            ..Figures::default()
        };
        Asked::new(query, evaluator, conditions, figures)
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
        let conditions = &self.conditions;
        (self.classes.is_some() && !met.class)
            || (!conditions.created.is_whole() && !met.created)
            || (!conditions.updated.is_whole() && !met.updated)
            || (conditions.country.is_some() && !met.country)
            || conditions.teams.len() > usize::from(met.first_team)
            || conditions.ids.is_some()
            || conditions.engagement.is_some()
            || conditions.search.is_some()
            || !conditions.rest.is_empty()
    }
}

/// As many as a query must find, at least.
pub(crate) fn wanted(query: &Query) -> u64 {
    query.skip.saturating_add(query.limit as u64)
}

/// What `now()` is in a query's expressions.
pub(crate) fn evaluator(query: &Query) -> Evaluator<'static> {
    let now = DateTimeOffset { ticks: query.scope.now.ticks(), offset: 0 };
    Evaluator { schema: crate::schema(), now, work: None }
}
