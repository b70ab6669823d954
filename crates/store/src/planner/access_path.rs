//! Chooses the access path of a query. It is chosen here for both engines, not by the optimizer of the database.
//!
//! [`Predicates`] splits a filter into the terms that indexed columns decide and the residual.
//! [`Predicates::page_access_path`] and [`Predicates::scan_access_path`] choose an [`AccessPath`] by the facet counts
//! ([`Statistics`]). The engine follows it, and tests each row by the predicates that the path does not satisfy.

use odata::{Comparison, EvalError, Evaluator, Search, Typed, TypedKind, Value, fold};
use referral::{EngagementId, ReferralId};

use crate::planner::FacetKey;
use crate::{Cursor, Query, SortValue};

/// Approximate cost of reading a row, relative to an index entry: the row is on a page of its own.
const ROW: u64 = 16;

/// So many conditions on the team are asked of the index of e-mails: an engine plans each as a query of its own. What
/// more there are the document tells.
const MOST_TEAMS: usize = 16;

/// Instants from `low` to `high`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Range {
    pub(crate) low: Option<i64>,
    pub(crate) high: Option<i64>,
}

impl Range {
    fn narrow(&mut self, op: Comparison, at: i64) {
        let (low, high) = match op {
            Comparison::Eq => (Some(at), Some(at)),
            Comparison::Gt => (Some(at.saturating_add(1)), None),
            Comparison::Ge => (Some(at), None),
            Comparison::Lt => (None, Some(at.saturating_sub(1))),
            Comparison::Le => (None, Some(at)),
            Comparison::Ne => (None, None),
        };
        self.low = self.low.max(low);
        self.high = [self.high, high].into_iter().flatten().min();
    }

    /// Returns whether the range has no bounds.
    pub(crate) fn is_unbounded(&self) -> bool {
        *self == Range::default()
    }

    fn is_empty(&self) -> bool {
        self.low.zip(self.high).is_some_and(|(low, high)| low > high)
    }

    /// Returns the part of the range that comes after an instant in the given direction.
    pub(crate) fn after(self, at: i64, descending: bool) -> Range {
        let mut rest = self;
        rest.narrow(if descending { Comparison::Lt } else { Comparison::Gt }, at);
        rest
    }

    pub(crate) fn contains(&self, at: i64) -> bool {
        self.low.is_none_or(|low| low <= at) && self.high.is_none_or(|high| at <= high)
    }
}

/// An instant that an index is ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IndexedInstant {
    Created,
    Updated,
}

/// The order of a query, if an index has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexOrder {
    pub(crate) by: IndexedInstant,
    pub(crate) descending: bool,
    /// Whether `id` is a key of its own, and has a value in a [`Cursor`].
    pub(crate) with_id: bool,
}

impl IndexOrder {
    /// Returns `None` if the rows must be sorted.
    pub(crate) fn of(query: &Query) -> Option<IndexOrder> {
        let path = |at: usize| Some(query.order.get(at)?.expr.as_item_path()?.wire());
        let Some(first) = query.order.first() else {
            return Some(IndexOrder { by: IndexedInstant::Created, descending: true, with_id: false });
        };
        let by = match path(0)?.as_str() {
            "createdDateTime" => IndexedInstant::Created,
            "updatedDateTime" => IndexedInstant::Updated,
            _ => return None,
        };
        let with_id = match query.order.get(1) {
            None => false,
            Some(second) if path(1)? == "id" && !second.descending && query.order.len() == 2 => true,
            Some(_) => return None,
        };
        Some(IndexOrder { by, descending: first.descending, with_id })
    }

    /// Returns the cursor of a referral in this order.
    pub(crate) fn cursor(self, at: i64, id: ReferralId) -> Cursor {
        let mut keys = vec![SortValue::Integer(at)];
        if self.with_id {
            keys.push(SortValue::Bytes(id.as_bytes().to_vec()));
        }
        Cursor { keys, id }
    }
}

/// The predicates of a query, by the column that decides them. All must be true.
#[derive(Debug, Clone, Default)]
pub(crate) struct Predicates<'q> {
    /// No referral can match.
    pub(crate) impossible: bool,
    /// Terms that the facet key decides.
    pub(crate) facet: Vec<&'q Typed>,
    pub(crate) created: Range,
    pub(crate) updated: Range,
    pub(crate) country: Option<&'q str>,
    /// For each list, at least one of its e-mails must be on the team.
    pub(crate) teams: Vec<Vec<String>>,
    pub(crate) ids: Option<Vec<ReferralId>>,
    pub(crate) engagement: Option<EngagementId>,
    pub(crate) search: Option<&'q Search>,
    /// Terms that must be evaluated for each document.
    pub(crate) residual: Vec<&'q Typed>,
}

/// Numbers of referrals in the scope of a query, which the access path is chosen by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Statistics {
    /// For each facet key that occurs.
    pub(crate) facets: Vec<(FacetKey, u64)>,
    /// For each facet key that occurs in the requested country.
    pub(crate) in_country: Vec<(FacetKey, u64)>,
    /// In the requested range of `updatedDateTime`, counted up to [`Predicates::updated_probe_limit`].
    pub(crate) updated: Option<u64>,
    /// With the words that are searched for, counted up to [`Predicates::common_words_limit`].
    pub(crate) found: Option<u64>,
}

/// A way to find an owner's referrals. Every row that it returns satisfies its condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AccessPath {
    /// No referral can match.
    Nothing,
    /// These, by their ids.
    Ids,
    /// The referrals of an engagement.
    Engagement,
    /// Referrals with one of these e-mails on the team, for each e-mail in the order of creation.
    Team(Vec<String>),
    /// Referrals that contain the words, by the search index.
    Search,
    /// Referrals with these facet keys, for each key in the order of creation.
    Facets(Vec<FacetKey>),
    /// Referrals of a country in the order of creation.
    Country,
    /// All in the order of the last update.
    Updated,
    /// All in the order of creation.
    Created,
}

impl AccessPath {
    /// Returns the instant that the path is ordered by, if any.
    pub(crate) fn order(&self) -> Option<IndexedInstant> {
        match self {
            AccessPath::Nothing | AccessPath::Ids | AccessPath::Engagement | AccessPath::Search => None,
            AccessPath::Team(_) | AccessPath::Facets(_) | AccessPath::Country | AccessPath::Created => {
                Some(IndexedInstant::Created)
            }
            AccessPath::Updated => Some(IndexedInstant::Updated),
        }
    }
}

impl<'q> Predicates<'q> {
    /// Splits the filter, the search and the team of a query into predicates.
    ///
    /// # Errors
    /// Errors of the evaluation of its constants.
    pub(crate) fn of(query: &'q Query, evaluator: &Evaluator<'_>) -> Result<Predicates<'q>, EvalError> {
        let mut predicates = Predicates { search: query.search.as_ref(), ..Predicates::default() };
        predicates.teams.extend(query.scope.team.clone());
        for term in query.filter.iter().flat_map(Typed::conjuncts) {
            if !predicates.take(term, evaluator)? {
                predicates.residual.push(term);
            }
        }
        predicates.impossible |= predicates.created.is_empty()
            || predicates.updated.is_empty()
            || predicates.teams.iter().any(Vec::is_empty)
            || predicates.ids.as_ref().is_some_and(Vec::is_empty);
        Ok(predicates)
    }

    /// Takes a term if the indexed columns decide it. Returns whether it was taken.
    fn take(&mut self, term: &'q Typed, evaluator: &Evaluator<'_>) -> Result<bool, EvalError> {
        // What may fail is evaluated for the rows that the terms before it leave, as the language says.
        if FacetKey::decides(term) && !may_fail(term) {
            self.facet.push(term);
            return Ok(true);
        }
        if let Some(emails) = team_emails(term) {
            let known = self.teams.contains(&emails);
            if !known && self.teams.len() < MOST_TEAMS {
                self.teams.push(emails);
                return Ok(true);
            }
            return Ok(known);
        }
        if let TypedKind::In { left, list, .. } = &term.kind
            && left.as_item_path().is_some_and(|path| path.wire() == "id")
        {
            let mut ids = Vec::with_capacity(list.len());
            for member in list {
                match constant(member, evaluator)?.as_ref().and_then(guid) {
                    Some(id) => ids.push(id),
                    None => return Ok(false),
                }
            }
            return Ok(self.only(ids));
        }
        let TypedKind::Compare { op, left, right, ignore_case } = &term.kind else { return Ok(false) };
        let (path, op, value) = match (left.as_item_path(), right.as_item_path()) {
            (Some(path), None) => (path, *op, &**right),
            (None, Some(path)) => (path, op.flipped(), &**left),
            _ => return Ok(false),
        };
        let text = match value.as_value() {
            Some(Value::String(text)) => Some(text.as_str()),
            _ => None,
        };
        let Some(value) = constant(value, evaluator)? else { return Ok(false) };
        Ok(match (path.wire().as_str(), op, &value) {
            (_, Comparison::Ne, _) => false,
            ("createdDateTime", op, Value::DateTimeOffset(at)) => {
                self.created.narrow(op, at.ticks);
                true
            }
            ("updatedDateTime", op, Value::DateTimeOffset(at)) => {
                self.updated.narrow(op, at.ticks);
                true
            }
            ("id", Comparison::Eq, value) => guid(value).is_some_and(|id| self.only(vec![id])),
            ("engagementId", Comparison::Eq, Value::Guid(id)) => {
                let id = EngagementId::from_bytes(id.0.to_be_bytes());
                self.impossible |= self.engagement.is_some_and(|other| other != id);
                self.engagement = Some(id);
                true
            }
            ("customerProfile/address/country", Comparison::Eq, Value::String(_)) if !ignore_case => {
                let Some(text) = text else { return Ok(false) };
                self.impossible |= self.country.is_some_and(|other| other != text);
                self.country = Some(text);
                true
            }
            _ => false,
        })
    }

    fn only(&mut self, mut ids: Vec<ReferralId>) -> bool {
        ids.sort();
        ids.dedup();
        match &mut self.ids {
            Some(known) => known.retain(|id| ids.contains(id)),
            None => self.ids = Some(ids),
        }
        true
    }

    /// Returns the facet keys that match, of those that occur; `None` if all match.
    ///
    /// # Errors
    /// Errors of the evaluation.
    pub(crate) fn facets(
        &self,
        statistics: &Statistics,
        evaluator: &Evaluator<'_>,
    ) -> Result<Option<Vec<FacetKey>>, EvalError> {
        if self.facet.is_empty() {
            return Ok(None);
        }
        let mut passing = Vec::new();
        for (facet, _) in &statistics.facets {
            if facet.matches(&self.facet, evaluator)? {
                passing.push(*facet);
            }
        }
        Ok((passing.len() < statistics.facets.len()).then_some(passing))
    }

    /// Returns the number of matching referrals, if the facet counts give it.
    pub(crate) fn count_from_facets(
        &self,
        statistics: &Statistics,
        facets: Option<&[FacetKey]>,
    ) -> Option<u64> {
        if self.impossible {
            return Some(0);
        }
        self.need_facets_and_country_only().then(|| statistics.matching(self, facets))
    }

    fn need_facets_and_country_only(&self) -> bool {
        self.created.is_unbounded()
            && self.updated.is_unbounded()
            && self.teams.is_empty()
            && self.ids.is_none()
            && self.engagement.is_none()
            && self.search.is_none()
            && self.residual.is_empty()
    }

    /// Returns whether the facet key decides the whole query.
    pub(crate) fn need_facets_only(&self) -> bool {
        !self.impossible && self.country.is_none() && self.need_facets_and_country_only()
    }

    /// Returns the number of rows of a range of `updatedDateTime` worth counting before a path is chosen: the number
    /// that makes sorting them cost what looking for the first page elsewhere costs. `None` where it does not matter.
    pub(crate) fn updated_probe_limit(
        &self,
        index_order: Option<IndexOrder>,
        total: u64,
        rows_needed: u64,
    ) -> Option<u64> {
        let matters = !self.updated.is_unbounded()
            && index_order.is_none_or(|index_order| index_order.by == IndexedInstant::Created)
            && self.ids.is_none()
            && self.engagement.is_none()
            && self.teams.is_empty()
            && self.search.is_none();
        matters.then(|| total.saturating_mul(rows_needed).isqrt() + 1)
    }

    /// Returns the number of referrals from which words are so common that testing each referral finds the page
    /// sooner: as many as make sorting them cost what that costs.
    pub(crate) fn common_words_limit(&self, total: u64, rows_needed: u64) -> u64 {
        total.saturating_mul(rows_needed).isqrt().max(1000)
    }

    /// Chooses the access path to the first `rows_needed` rows in the order of an index.
    pub(crate) fn page_access_path(
        &self,
        index_order: IndexOrder,
        facets: Option<&[FacetKey]>,
        statistics: &Statistics,
        rows_needed: u64,
    ) -> AccessPath {
        let rare = statistics
            .found
            .is_none_or(|found| found < self.common_words_limit(statistics.total(), rows_needed));
        if let Some(access_path) = self.narrow_access_path(facets, rare) {
            return access_path;
        }
        let matching = statistics.matching(self, facets).max(1);
        let total = statistics.total();
        let of_facets = statistics.of(facets);
        let in_country = statistics.in_country();
        // Rows to visit until enough match, assuming that matches are spread evenly.
        let until = |among: u64| rows_needed.saturating_mul(among) / matching;
        let ordered = |by: IndexedInstant, cost: u64| if by == index_order.by { cost } else { u64::MAX };
        let look = |needed: bool| if needed { ROW } else { 1 };
        let mut candidates = vec![(
            ordered(
                IndexedInstant::Created,
                until(total).saturating_mul(look(facets.is_some() || self.country.is_some())),
            ),
            AccessPath::Created,
        )];
        if let Some(facets) = facets {
            let walk = until(of_facets).saturating_mul(look(self.country.is_some()));
            let walk = walk.saturating_add(2 * facets.len() as u64);
            let cost = ordered(IndexedInstant::Created, walk).min(of_facets * ROW);
            candidates.push((cost, AccessPath::Facets(facets.to_vec())));
        }
        if self.country.is_some() {
            let cost = ordered(IndexedInstant::Created, until(in_country)).min(in_country * ROW);
            candidates.push((cost, AccessPath::Country));
        }
        let walk = until(total).saturating_mul(look(self.country.is_some()));
        let narrow = statistics.updated.filter(|count| *count < statistics.updated_probed(self, rows_needed));
        let cost = ordered(IndexedInstant::Updated, walk)
            .min(narrow.map_or(u64::MAX, |count| count * look(!self.residual.is_empty())));
        candidates.push((cost, AccessPath::Updated));
        cheapest(candidates)
    }

    /// Chooses the access path to all matching rows, in any order.
    pub(crate) fn scan_access_path(
        &self,
        facets: Option<&[FacetKey]>,
        statistics: &Statistics,
        rows_needed: u64,
    ) -> AccessPath {
        if let Some(access_path) = self.narrow_access_path(facets, true) {
            return access_path;
        }
        let total = statistics.total();
        // The width of the range is unknown: half of all is a guess.
        let range = |range: &Range| if range.is_unbounded() { total } else { total / 2 };
        // Columns that are not in the index are read from the row.
        let rows = |told: bool| if told && self.residual.is_empty() { 1 } else { ROW };
        let (all_facets, anywhere) = (facets.is_none(), self.country.is_none());
        let whenever = self.updated.is_unbounded();
        let cost = range(&self.created) * rows(all_facets && anywhere && whenever);
        let mut candidates = vec![(cost, AccessPath::Created)];
        if let Some(facets) = facets {
            let cost = statistics.of(Some(facets)) * rows(anywhere && whenever);
            candidates.push((cost, AccessPath::Facets(facets.to_vec())));
        }
        if self.country.is_some() {
            candidates.push((statistics.in_country() * rows(whenever), AccessPath::Country));
        }
        if !whenever {
            let entries =
                statistics.updated.filter(|count| *count < statistics.updated_probed(self, rows_needed));
            let cost = entries.unwrap_or(range(&self.updated)) * rows(anywhere);
            candidates.push((cost, AccessPath::Updated));
        }
        cheapest(candidates)
    }

    /// Returns a path that leads to few rows regardless of the other predicates. Words qualify only if they are rare.
    fn narrow_access_path(&self, facets: Option<&[FacetKey]>, rare: bool) -> Option<AccessPath> {
        if self.impossible || facets.is_some_and(<[FacetKey]>::is_empty) {
            return Some(AccessPath::Nothing);
        }
        if self.ids.is_some() {
            return Some(AccessPath::Ids);
        }
        if self.engagement.is_some() {
            return Some(AccessPath::Engagement);
        }
        if self.search.is_some() && rare {
            return Some(AccessPath::Search);
        }
        self.teams.first().map(|emails| AccessPath::Team(emails.clone()))
    }
}

/// The first of the cheapest.
fn cheapest(candidates: Vec<(u64, AccessPath)>) -> AccessPath {
    candidates
        .into_iter()
        .min_by_key(|(cost, _)| *cost)
        .map_or(AccessPath::Created, |(_, access_path)| access_path)
}

impl Statistics {
    pub(crate) fn total(&self) -> u64 {
        self.facets.iter().map(|(_, count)| count).sum()
    }

    fn of(&self, facets: Option<&[FacetKey]>) -> u64 {
        sum(&self.facets, facets)
    }

    fn in_country(&self) -> u64 {
        self.in_country.iter().map(|(_, count)| count).sum()
    }

    /// Returns the number of referrals with these facet keys, and in the requested country, if any.
    fn matching(&self, predicates: &Predicates<'_>, facets: Option<&[FacetKey]>) -> u64 {
        match predicates.country {
            Some(_) => sum(&self.in_country, facets),
            None => self.of(facets),
        }
    }

    /// Returns the limit up to which a range of `updatedDateTime` was counted.
    fn updated_probed(&self, predicates: &Predicates<'_>, rows_needed: u64) -> u64 {
        predicates.updated_probe_limit(None, self.total(), rows_needed).unwrap_or(0)
    }
}

/// Adds a count of a facet key to the known counts.
pub(crate) fn add_facet_count(counts: &mut Vec<(FacetKey, u64)>, facet: FacetKey, number: u64) {
    match counts.iter_mut().find(|(known, _)| *known == facet) {
        Some((_, known)) => *known += number,
        None => counts.push((facet, number)),
    }
}

fn sum(counts: &[(FacetKey, u64)], facets: Option<&[FacetKey]>) -> u64 {
    let rows_needed = |facet: &FacetKey| facets.is_none_or(|facets| facets.contains(facet));
    counts.iter().filter(|(facet, _)| rows_needed(facet)).map(|(_, count)| count).sum()
}

/// Returns the value of an expression that uses no member of a referral; `None` for null and for a fault.
fn constant(expression: &Typed, evaluator: &Evaluator<'_>) -> Result<Option<Value>, EvalError> {
    if !expression.item_paths().is_empty() {
        return Ok(None);
    }
    match evaluator.value(expression, &serde_json::Value::Null) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_null())),
        Err(EvalError::Fault { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns whether the evaluation of an expression may end with [`EvalError::Fault`].
fn may_fail(expression: &Typed) -> bool {
    let mut may_fail = false;
    expression.walk(&mut |typed| {
        may_fail |= matches!(
            typed.kind,
            TypedKind::Arithmetic { .. }
                | TypedKind::Negate(_)
                | TypedKind::Call { .. }
                | TypedKind::Cast { .. }
        );
    });
    may_fail
}

fn guid(value: &Value) -> Option<ReferralId> {
    match value {
        Value::Guid(guid) => Some(ReferralId::from_bytes(guid.0.to_be_bytes())),
        _ => None,
    }
}

/// The folded e-mails of `team/any(t:t/email eq '…')`, also `in (…)`: what `team_member` tells, which has no empty ones.
fn team_emails(term: &Typed) -> Option<Vec<String>> {
    let TypedKind::Any { collection, predicate: Some(predicate) } = &term.kind else { return None };
    let of_team = collection.path.base == odata::PathBase::Item
        && collection.path.wire() == "team"
        && collection.filters.is_empty();
    let is_email = |side: &Typed| match &side.kind {
        TypedKind::Path(path) => {
            path.base == odata::PathBase::Variable(predicate.variable) && path.wire() == "email"
        }
        _ => false,
    };
    let email = |side: &Typed| match side.as_value() {
        Some(Value::String(text)) if !text.is_empty() => Some(fold(text)),
        _ => None,
    };
    match &predicate.expr.kind {
        _ if !of_team => None,
        TypedKind::Compare { op: Comparison::Eq, left, right, ignore_case: true } => {
            let side = if is_email(left) { right } else { left };
            (is_email(left) || is_email(right)).then(|| email(side).map(|email| vec![email]))?
        }
        TypedKind::In { left, list, ignore_case: true } if is_email(left) => {
            let emails: Vec<String> = list.iter().map(email).collect::<Option<_>>()?;
            (!emails.is_empty()).then_some(emails)
        }
        _ => None,
    }
}
