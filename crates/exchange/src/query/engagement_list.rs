//! An engagement as one of its parties sees it: its own referrals whole, the others' as spec 8.6 shows them.
//!
//! What a party may not see behaves as if it were empty, in filters and orders too. So the question is put to each
//! referral as the caller sees it, here, and not to the store; an engagement has few of them.

use std::cmp::Ordering;
use std::sync::Arc;

use odata::{DateTimeOffset, EvalError, Evaluator, Search, Typed, TypedOptions, TypedOrder, Work};
use referral::{EngagementId, Redaction, Referral};
use serde_json::Value as Json;
use store::{CountMode, Cursor, SortValue, StoreError, StoredReferral, schema};

use super::page::{Matches, PageWindow};
use crate::caller::Caller;
use crate::error::ReadError;
use crate::evaluation::{EvaluationBudget, reading_cost};
use crate::visibility::{Membership, redacted, unredacted, visibility_for};
use crate::{Exchange, VisibleReferral};

/// Maximum number of referrals of an engagement that one list reads.
const MAX_REFERRALS: usize = 10_000;
/// Number of referrals that are read at a time.
const CHUNK: usize = 32;

/// The visibility of a referral of the engagement for the caller.
#[derive(Clone, Copy)]
enum PartyVisibility {
    Own,
    Redacted(Redaction),
}

impl Exchange {
    /// Returns the referrals of an engagement that match the options, as the caller sees them.
    pub(super) async fn engagement_matches(
        &self,
        caller: &Caller,
        engagement: EngagementId,
        options: &TypedOptions,
        window: PageWindow<'_>,
        budget: &mut EvaluationBudget,
    ) -> Result<Matches, ReadError> {
        let now = DateTimeOffset { ticks: self.now().ticks(), offset: 0 };
        let newest = newest_first();
        let order = if options.orderby.is_empty() { &newest } else { &options.orderby };
        let criteria =
            Criteria { filter: options.filter.as_ref(), search: options.search.as_ref(), order, now };
        let membership = self.membership(caller, engagement).await?;
        let mut places: Vec<Cursor> = Vec::new();
        let mut read_to = None;
        let mut read = 0;
        let mut left_out = 0;
        loop {
            let chunk = self.store.engagement_members(engagement, read_to, CHUNK).await?;
            read += chunk.len();
            if read > MAX_REFERRALS {
                let message = format!("the engagement has more than {MAX_REFERRALS} referrals");
                return Err(StoreError::TooCostly(message).into());
            }
            match chunk.last() {
                Some(last) if chunk.len() == CHUNK => read_to = Some((last.columns.created, last.id)),
                _ => read_to = None,
            }
            let visibilities = chunk.into_iter().filter_map(|stored| {
                let visibility = self.visibility_of(caller, &stored, &membership)?;
                Some((stored, visibility))
            });
            let seen: Arc<[(Arc<StoredReferral>, PartyVisibility)]> = visibilities.collect();
            let (found, damaged) = self
                .evaluate(
                    caller,
                    budget,
                    reading_cost_of(&seen),
                    |work| criteria.places(&seen, work),
                    || {
                        let (seen, criteria) = (Arc::clone(&seen), criteria.to_owned());
                        Box::new(move |work| criteria.borrowed().places(&seen, work))
                    },
                )
                .await?;
            left_out += damaged;
            for place in &found {
                budget.hold(place_bytes(place))?;
            }
            places.extend(found);
            if read_to.is_none() {
                break;
            }
        }
        places.sort_by(|left, right| compare(order, left, right));
        let count = (window.count != CountMode::No).then_some(places.len() as u64);
        let after = |place: &Cursor| {
            window.after.is_none_or(|after| compare(order, place, after) == Ordering::Greater)
        };
        let skip = usize::try_from(window.skip).unwrap_or(usize::MAX);
        // They are read once more: only the places of all matches are held, not their documents. One that has gone
        // meanwhile makes room for the next: a page is short only where the list ends.
        let (mut page, mut seen) = (Vec::new(), Vec::new());
        for place in places.into_iter().filter(after).skip(skip) {
            if page.len() == window.limit {
                break;
            }
            let stored = self.store.find_referral(place.id).await?;
            if let Some(stored) = stored
                && let Some(visibility) = self.visibility_of(caller, &stored, &membership)
            {
                page.push(place);
                seen.push((stored, visibility));
            }
        }
        let seen: Arc<[(Arc<StoredReferral>, PartyVisibility)]> = seen.into();
        let redacted = redaction_cost(&seen);
        let visible = self
            .evaluate(
                caller,
                budget,
                redacted,
                |work| visible_referrals(&seen, work),
                || {
                    let seen = Arc::clone(&seen);
                    Box::new(move |work| visible_referrals(&seen, work))
                },
            )
            .await?;
        let found = visible.into_iter().zip(page).collect();
        Ok(Matches { found, count, left_out, unreadable: 0, cut_short: false })
    }

    /// Returns the visibility of a referral of the engagement; `None` if the caller does not see it.
    fn visibility_of(
        &self,
        caller: &Caller,
        stored: &StoredReferral,
        membership: &Membership,
    ) -> Option<PartyVisibility> {
        if self.is_hidden(stored) {
            return None;
        }
        if stored.owner == caller.organization {
            return caller.may_access(stored).then_some(PartyVisibility::Own);
        }
        visibility_for(caller, stored, membership).map(PartyVisibility::Redacted)
    }
}

/// The conditions and the order of a list.
#[derive(Clone, Copy)]
struct Criteria<'a> {
    filter: Option<&'a Typed>,
    search: Option<&'a Search>,
    order: &'a [TypedOrder],
    now: DateTimeOffset,
}

/// An owned copy, for another thread.
struct OwnedCriteria {
    filter: Option<Typed>,
    search: Option<Search>,
    order: Vec<TypedOrder>,
    now: DateTimeOffset,
}

impl OwnedCriteria {
    fn borrowed(&self) -> Criteria<'_> {
        let (filter, search) = (self.filter.as_ref(), self.search.as_ref());
        Criteria { filter, search, order: &self.order, now: self.now }
    }
}

impl Criteria<'_> {
    fn to_owned(self) -> OwnedCriteria {
        let (filter, search) = (self.filter.cloned(), self.search.cloned());
        OwnedCriteria { filter, search, order: self.order.to_vec(), now: self.now }
    }

    /// The places of those that are found, and how many cannot be read: whoever may see one is told so, and the rest of
    /// the list goes on.
    fn places(
        &self,
        seen: &[(Arc<StoredReferral>, PartyVisibility)],
        work: &Work,
    ) -> Result<(Vec<Cursor>, usize), ReadError> {
        let (mut places, mut damaged) = (Vec::new(), 0);
        for (stored, visibility) in seen {
            work.take(reading_cost(stored.document.len())).map_err(StoreError::from)?;
            if self.search.is_some() {
                work.take(tokenizing_cost(stored.document.len())).map_err(StoreError::from)?;
            }
            let Some((document, words)) = as_visible(stored, *visibility, self.search.is_some())? else {
                damaged += 1;
                continue;
            };
            if let Some(keys) = self.keys(&document, &words, work).map_err(StoreError::from)? {
                places.push(Cursor { keys, id: stored.id });
            }
        }
        Ok((places, damaged))
    }

    /// Returns the values that a referral is sorted by; `None` if it does not match.
    fn keys(&self, document: &Json, words: &str, work: &Work) -> Result<Option<Vec<SortValue>>, EvalError> {
        let evaluator = Evaluator { schema: schema(), now: self.now, work: Some(work) };
        if let Some(filter) = self.filter
            && !evaluator.matches(filter, document)?
        {
            return Ok(None);
        }
        if let Some(search) = self.search
            && !store::matches_within_budget(search, words, work)?
        {
            return Ok(None);
        }
        let mut keys = Vec::with_capacity(self.order.len());
        for key in self.order {
            let value = evaluator.value(&key.expr, document)?;
            let made = SortValue::of(&value, key.ignore_case);
            work.hold(key_bytes(&made))?;
            keys.push(made);
        }
        Ok(Some(keys))
    }
}

/// Returns the minimum cost of evaluating these referrals, in nodes.
fn reading_cost_of(seen: &[(Arc<StoredReferral>, PartyVisibility)]) -> u64 {
    seen.iter().map(|(stored, _)| reading_cost(stored.document.len())).sum()
}

/// Returns the cost of finding the words of a document of this length, in nodes.
fn tokenizing_cost(bytes: usize) -> u64 {
    2 * reading_cost(bytes)
}

/// Returns the cost of redacting them; the owner's own are not redacted.
fn redaction_cost(seen: &[(Arc<StoredReferral>, PartyVisibility)]) -> u64 {
    let others = seen.iter().filter(|(_, visibility)| matches!(visibility, PartyVisibility::Redacted(_)));
    others.map(|(stored, _)| reading_cost(stored.document.len())).sum()
}

/// Returns the referrals of a page as the caller sees them.
fn visible_referrals(
    seen: &[(Arc<StoredReferral>, PartyVisibility)],
    work: &Work,
) -> Result<Vec<VisibleReferral>, ReadError> {
    let mut all = Vec::with_capacity(seen.len());
    for (stored, visibility) in seen {
        all.push(match visibility {
            PartyVisibility::Own => unredacted(stored),
            PartyVisibility::Redacted(redaction) => {
                work.take(reading_cost(stored.document.len())).map_err(StoreError::from)?;
                redacted(stored, *redaction)?
            }
        });
    }
    Ok(all)
}

fn place_bytes(place: &Cursor) -> usize {
    place.keys.iter().map(key_bytes).sum::<usize>() + size_of::<Cursor>()
}

fn key_bytes(key: &SortValue) -> usize {
    size_of::<SortValue>()
        + match key {
            SortValue::Text(text) => text.len(),
            SortValue::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
}

/// The document as the caller sees it and, where they are searched, the words that `$search` looks in; `None` for a damaged
/// one.
fn as_visible(
    stored: &StoredReferral,
    visibility: PartyVisibility,
    is_searched: bool,
) -> Result<Option<(Json, String)>, ReadError> {
    let referral = match Referral::from_document(&stored.document) {
        Ok(referral) => referral,
        Err(error) => {
            let id = stored.id;
            tracing::error!(referral.id = %id, "Referral {id} cannot be read and is left out of a list: {error}");
            return Ok(None);
        }
    };
    let referral = match visibility {
        PartyVisibility::Own => referral,
        PartyVisibility::Redacted(redaction) => referral.redact(redaction),
    };
    let words = if is_searched { store::index_text(referral.search_texts()) } else { String::new() };
    let document = serde_json::to_value(&referral).map_err(|error| StoreError::Engine(error.to_string()))?;
    Ok(Some((document, words)))
}

/// Compares two positions in the order; ties are ordered by id.
fn compare(order: &[TypedOrder], left: &Cursor, right: &Cursor) -> Ordering {
    for (key, (left, right)) in order.iter().zip(left.keys.iter().zip(&right.keys)) {
        let compared = left.compare(right);
        let compared = if key.descending { compared.reverse() } else { compared };
        if compared != Ordering::Equal {
            return compared;
        }
    }
    left.id.as_bytes().cmp(right.id.as_bytes())
}

/// The order without `$orderby`: `createdDateTime desc`.
fn newest_first() -> Vec<TypedOrder> {
    use odata::{PathBase, Position, Typed, TypedKind, TypedPath};
    let steps: Vec<_> =
        schema().property(super::ENTITY_TYPE, "createdDateTime", false).cloned().into_iter().collect();
    let ty = steps.first().map(|step| step.ty.clone());
    let kind = TypedKind::Path(TypedPath { base: PathBase::Item, steps });
    vec![TypedOrder {
        expr: Typed { at: Position::default(), ty, kind },
        descending: true,
        ignore_case: false,
    }]
}
