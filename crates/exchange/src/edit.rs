//! Changing a referral: PUT and PATCH, one decision. Source: spec 4.4, 4.5, 9, 10, T18.

use std::sync::Arc;

use referral::{
    EditRequest, FailedPrecondition, MAX_DOCUMENT_BYTES, Preconditions, Redaction, Referral, ReferralId,
    ReferralStatus, Rejection,
};
use store::{Action, Change, Entry, Outcome, RememberedAnswer, StoredReferral, Write};
use tokio::sync::{Mutex, MutexGuard};

use crate::caller::Caller;
use crate::error::{EditError, ReadError};
use crate::heavy::{RequestCost, Taken};
use crate::once::{Already, Once, Remember, Written};
use crate::visibility::{redacted, unredacted};
use crate::{Exchange, VisibleReferral, search_words, to_store};

/// A write without a tag is decided again at most so often (spec 4.4), then answers 503.
const ROUNDS: usize = 64;

/// Writers of one referral that were overtaken take turns, so that each round has a winner among those who wait.
#[derive(Debug)]
pub(crate) struct Turns([Mutex<()>; 64]);

impl Default for Turns {
    fn default() -> Turns {
        Turns(std::array::from_fn(|_| Mutex::new(())))
    }
}

impl Turns {
    async fn take(&self, id: ReferralId) -> MutexGuard<'_, ()> {
        self.0[usize::from(id.as_bytes()[15]) % self.0.len()].lock().await
    }
}

/// As whom the caller writes.
enum Writer {
    Owner,
    /// The organization that sent a connected referral, which may only withdraw it (T18).
    Sender,
}

/// How one attempt ended.
enum Attempt {
    Saved(VisibleReferral),
    Replayed(RememberedAnswer),
    Overtaken,
}

/// What a request makes of a referral.
enum Decided {
    Change(Box<ToCommit>),
    /// It is as the request wants it.
    NoChange(VisibleReferral),
}

/// A change that is decided and not yet committed.
struct ToCommit {
    change: Change,
    visible: VisibleReferral,
    referral: Referral,
    /// The length of its document.
    bytes: usize,
}

impl Exchange {
    /// Changes a referral. `remember` makes the answer to keep for a repeat.
    ///
    /// # Errors
    /// [`EditError`], in the order of spec 4.5.
    #[expect(clippy::too_many_arguments, reason = "each is a part of the request")]
    pub async fn edit(
        &self,
        caller: &Caller,
        id: ReferralId,
        preconditions: &Preconditions,
        request: &EditRequest<'_>,
        cost: RequestCost<'_>,
        once: Option<&Once>,
        remember: Remember<'_, VisibleReferral, EditError>,
    ) -> Result<Written<VisibleReferral>, EditError> {
        let _turn = self.turn(once).await.ok_or(EditError::RequestInProgress)?;
        let (mut queue, mut taken) = (None, Taken::default());
        for _ in 0..ROUNDS {
            match self.attempt(caller, id, preconditions, request, (cost, &mut taken), once, remember).await {
                Ok(Attempt::Saved(visible)) => return Ok(Written::Now(visible)),
                Ok(Attempt::Replayed(answer)) => return Ok(Written::Before(answer)),
                Ok(Attempt::Overtaken) if queue.is_none() => queue = Some(self.turns.take(id).await),
                Ok(Attempt::Overtaken) => {}
                Err(error) => return self.failed(once, error, remember).await,
            }
        }
        Err(EditError::Contended)
    }

    async fn failed(
        &self,
        once: Option<&Once>,
        error: EditError,
        remember: Remember<'_, VisibleReferral, EditError>,
    ) -> Result<Written<VisibleReferral>, EditError> {
        if let Some(once) = once
            && let Some(earlier) = self.remember(once, remember(Err(&error))).await?
        {
            return Ok(Written::Before(earlier.replay(EditError::RequestIdReused)?));
        }
        Err(error)
    }

    #[expect(clippy::too_many_arguments, reason = "as of the edit that it is an attempt at")]
    async fn attempt(
        &self,
        caller: &Caller,
        id: ReferralId,
        preconditions: &Preconditions,
        request: &EditRequest<'_>,
        (cost, taken): (RequestCost<'_>, &mut Taken),
        once: Option<&Once>,
        remember: Remember<'_, VisibleReferral, EditError>,
    ) -> Result<Attempt, EditError> {
        let stored = self.known(caller, id).await?;
        let writer = self.writer(caller, &stored, request).await?;
        match preconditions.failed_for(&stored.etag) {
            Some(FailedPrecondition::IfMatch) => return Err(EditError::Stale),
            Some(FailedPrecondition::IfNoneMatch) => return Err(EditError::Excluded),
            None => {}
        }
        taken.for_document(cost.memory, stored.document.len().max(cost.body_bytes))?;
        let decide = || self.decide(caller, &writer, &stored, request, once, remember);
        let bytes = stored.document.len() + cost.body_bytes;
        let decided = match self.run_heavy(caller, bytes, decide).await?? {
            Decided::Change(decided) => decided,
            Decided::NoChange(visible) => {
                if let Some(once) = once
                    && let Some(earlier) = self.remember(once, remember(Ok(&visible))).await?
                {
                    return Ok(Attempt::Replayed(earlier.replay(EditError::RequestIdReused)?));
                }
                return Ok(Attempt::Saved(visible));
            }
        };
        let ToCommit { change, visible, referral, bytes } = *decided;
        Ok(match self.store.commit(change).await? {
            Outcome::Committed(_) => {
                self.recent.keep(stored.version + 1, referral, bytes);
                Attempt::Saved(visible)
            }
            Outcome::AlreadyAnswered(answer) => match self.already(once, answer).await? {
                Already::Earlier(earlier) => Attempt::Replayed(earlier.replay(EditError::RequestIdReused)?),
                Already::Forgotten => Attempt::Overtaken,
            },
            Outcome::Overtaken | Outcome::GuardFailed => Attempt::Overtaken,
        })
    }

    /// What the request makes of the referral as it is stored. Nothing is waited for.
    fn decide(
        &self,
        caller: &Caller,
        writer: &Writer,
        stored: &StoredReferral,
        request: &EditRequest<'_>,
        once: Option<&Once>,
        remember: Remember<'_, VisibleReferral, EditError>,
    ) -> Result<Decided, EditError> {
        let (id, now, request_options) = (stored.id, self.now(), &self.policy.request_options);
        let current = self.recent.of(stored).map_err(|error| ReadError::Damaged(id, error))?;
        let edit =
            match request.decide_parsed(&current, &stored.document, stored.version, now, request_options) {
                Ok(edit) => edit,
                Err(referral::DecisionError::Rejected(refusal)) => return Err(refusal.into()),
                Err(referral::DecisionError::Damaged(error)) => {
                    return Err(ReadError::Damaged(id, error).into());
                }
            };
        let Some(edit) = edit else { return Ok(Decided::NoChange(show(writer, stored)?)) };
        let next = to_store(&edit.referral, stored.version + 1, stored.columns.sender.clone());
        // A withdrawal makes nothing longer that matters, and who withdraws could not shorten it.
        let grown = next.document.len() > stored.document.len().max(MAX_DOCUMENT_BYTES);
        if grown && matches!(writer, Writer::Owner) {
            return Err(Rejection::from(request.too_long()).into());
        }
        let visible = show(writer, &next)?;
        let entry = Entry {
            action: Action::Updated,
            at: next.columns.updated,
            actor: Some(caller.actor()),
            changes: edit.changes.to_string().into(),
        };
        let answer = once.and_then(|once| {
            remember(Ok(&visible)).map(|(status, content)| once.replayable(status, content, now))
        });
        let bytes = next.document.len();
        let search = edit.texts_changed.then(|| search_words(&edit.referral));
        let write = Write { referral: next, decided_on: Some(stored.version), entry, search };
        let change = Change { write: Some(write), guards: Vec::new(), answer };
        Ok(Decided::Change(Box::new(ToCommit { change, visible, referral: edit.referral, bytes })))
    }

    /// As whom the caller may write, if at all: spec 3.3 and T18.
    async fn writer(
        &self,
        caller: &Caller,
        stored: &Arc<StoredReferral>,
        request: &EditRequest<'_>,
    ) -> Result<Writer, EditError> {
        if stored.owner == caller.organization {
            return if caller.reaches(stored) { Ok(Writer::Owner) } else { Err(ReadError::NotOnTeam.into()) };
        }
        let Some(_) = self.visibility(caller, stored).await? else { return Err(ReadError::NotFound.into()) };
        let sent = stored.columns.sender.as_ref() == Some(&caller.organization);
        if sent && request.is_withdrawal() && stored.columns.status == ReferralStatus::New {
            return Ok(Writer::Sender);
        }
        Err(EditError::NotOwner)
    }
}

fn show(writer: &Writer, stored: &StoredReferral) -> Result<VisibleReferral, ReadError> {
    match writer {
        Writer::Owner => Ok(unredacted(stored)),
        Writer::Sender => redacted(stored, Redaction::Inviting),
    }
}
