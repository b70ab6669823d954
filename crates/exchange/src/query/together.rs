//! An engagement as one of its parties sees it: its own referrals whole, the others' as spec 8.6 shows them.
//!
//! What a party may not see behaves as if it were empty, in filters and orders too. So the question is put to each
//! referral as the caller sees it, here, and not to the store; an engagement has few of them.

use std::cmp::Ordering;

use odata::{DateTimeOffset, Evaluator, TypedOptions, TypedOrder, Work};
use referral::{EngagementId, Referral, View};
use serde_json::Value as Json;
use store::{Counting, Key, Place, StoreError, StoredReferral, schema};

use super::page::{Matches, Window, within};
use crate::caller::Caller;
use crate::error::ReadError;
use crate::sight::{Membership, redacted, side, whole};
use crate::{Exchange, Shown};

/// The most referrals of an engagement that one question looks at.
const MEMBERS: usize = 10_000;
/// So many are read at a time.
const CHUNK: usize = 100;

/// After so many documents other requests have their turn.
const TURN: usize = 10;

/// How the caller sees a referral of the engagement.
#[derive(Clone, Copy)]
enum Sight {
    Own,
    Others(View),
}

impl Exchange {
    /// What the options leave of an engagement's referrals, as the caller sees them.
    pub(super) async fn together(
        &self,
        caller: &Caller,
        engagement: EngagementId,
        options: &TypedOptions,
        window: Window<'_>,
        work: &Work,
    ) -> Result<Matches, ReadError> {
        let now = DateTimeOffset { ticks: self.now().ticks(), offset: 0 };
        let evaluator = Evaluator { schema: schema(), now, work: Some(work) };
        let newest = newest_first();
        let order = if options.orderby.is_empty() { &newest } else { &options.orderby };
        let membership = self.membership(caller, engagement).await?;
        let mut places: Vec<Place> = Vec::new();
        let mut read_to = None;
        let mut read = 0;
        let mut left_out = 0;
        loop {
            let chunk = self.store.engagement_members(engagement, read_to, CHUNK).await?;
            read += chunk.len();
            if read > MEMBERS {
                let message = format!("the engagement has more than {MEMBERS} referrals");
                return Err(StoreError::TooCostly(message).into());
            }
            for (at, stored) in chunk.iter().enumerate() {
                if at % TURN == 0 {
                    tokio::task::yield_now().await;
                }
                let Some(sight) = self.sight_of(caller, stored, &membership) else { continue };
                work.take_bytes(stored.document.len());
                // Whoever may see the referral is told that it cannot be read; the rest of the list goes on.
                let Some((document, words)) = as_seen(stored, sight)? else {
                    left_out += 1;
                    continue;
                };
                let found = options.filter.as_ref().is_none_or(|filter| evaluator.matches(filter, &document))
                    && options.search.as_ref().is_none_or(|search| store::matches(search, &words));
                if found {
                    let key =
                        |key: &TypedOrder| Key::of(&evaluator.value(&key.expr, &document), key.ignore_case);
                    places.push(Place { keys: order.iter().map(key).collect(), id: stored.id });
                }
                within(work)?;
            }
            match chunk.last() {
                Some(last) if chunk.len() == CHUNK => read_to = Some((last.columns.created, last.id)),
                _ => break,
            }
        }
        places.sort_by(|left, right| compare(order, left, right));
        let count = (window.count != Counting::No).then_some(places.len() as u64);
        let after = |place: &Place| {
            window.after.is_none_or(|after| compare(order, place, after) == Ordering::Greater)
        };
        let skip = usize::try_from(window.skip).unwrap_or(usize::MAX);
        let mut found = Vec::new();
        for place in places.into_iter().filter(after).skip(skip) {
            if found.len() == window.limit {
                break;
            }
            // One that has gone meanwhile makes room for the next: a page is short only where the list ends.
            if let Some(shown) = self.shown_together(caller, &place, &membership).await? {
                found.push((shown, place));
            }
        }
        Ok(Matches { found, count, left_out })
    }

    /// From which side the caller sees a referral of the engagement; `None`: not at all.
    fn sight_of(&self, caller: &Caller, stored: &StoredReferral, membership: &Membership) -> Option<Sight> {
        if self.is_hidden(stored) {
            return None;
        }
        if stored.owner == caller.organization {
            return caller.reaches(stored).then_some(Sight::Own);
        }
        side(caller, stored, membership).map(Sight::Others)
    }

    /// A referral of the page. It is read once more: only the places of all matches are held, not their documents.
    async fn shown_together(
        &self,
        caller: &Caller,
        place: &Place,
        membership: &Membership,
    ) -> Result<Option<Shown>, ReadError> {
        let Some(stored) = self.store.find_referral(place.id).await? else { return Ok(None) };
        Ok(match self.sight_of(caller, &stored, membership) {
            None => None,
            Some(Sight::Own) => Some(whole(&stored)),
            Some(Sight::Others(view)) => Some(redacted(&stored, view)?),
        })
    }
}

/// The document as seen from a side, and the words that `$search` looks in; `None` for a damaged one.
fn as_seen(stored: &StoredReferral, sight: Sight) -> Result<Option<(Json, String)>, ReadError> {
    let referral = match Referral::from_document(&stored.document) {
        Ok(referral) => referral,
        Err(error) => {
            let id = stored.id;
            tracing::error!(referral.id = %id, "Referral {id} cannot be read and is left out of a list: {error}");
            return Ok(None);
        }
    };
    let referral = match sight {
        Sight::Own => referral,
        Sight::Others(view) => referral.seen_by(view),
    };
    let words = store::index_text(referral.search_texts());
    let document = serde_json::to_value(&referral).map_err(|error| StoreError::Engine(error.to_string()))?;
    Ok(Some((document, words)))
}

/// The order of two places; ties by id.
fn compare(order: &[TypedOrder], left: &Place, right: &Place) -> Ordering {
    for (key, (left, right)) in order.iter().zip(left.keys.iter().zip(&right.keys)) {
        let compared = left.sort(right);
        let compared = if key.descending { compared.reverse() } else { compared };
        if compared != Ordering::Equal {
            return compared;
        }
    }
    left.id.as_bytes().cmp(right.id.as_bytes())
}

/// The order without `$orderby`: `createdDateTime desc`.
fn newest_first() -> Vec<TypedOrder> {
    use odata::{Base, Position, Typed, TypedKind, TypedPath};
    let steps: Vec<_> =
        schema().property(super::ITEM, "createdDateTime", false).cloned().into_iter().collect();
    let ty = steps.first().map(|step| step.ty.clone());
    let kind = TypedKind::Path(TypedPath { base: Base::Item, steps });
    vec![TypedOrder {
        expr: Typed { at: Position::default(), ty, kind },
        descending: true,
        ignore_case: false,
    }]
}
