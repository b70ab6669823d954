//! Changing a referral: PUT and PATCH, one decision. Source: spec 4.4, 4.5, 9, 10, T18.

use std::sync::Arc;

use referral::{
    EditRequest, FailedPrecondition, MAX_DOCUMENT_BYTES, Preconditions, Redaction, Referral, ReferralId,
    ReferralStatus, Rejection,
};
use store::{Action, Change, CommitOutcome, Entry, StoredReferral, StoredResponse, Write};
use tokio::sync::{Mutex, MutexGuard};

use crate::caller::Caller;
use crate::error::{EditError, ReadError};
use crate::idempotency::{IdempotentRequest, ReplayCheck, ResponseRecorder, WriteResult};
use crate::large_work::{DocumentMemory, RequestCost};
use crate::visibility::{redacted, unredacted};
use crate::{Exchange, VisibleReferral, search_text, to_store};

/// Maximum number of attempts of a write without an entity tag (spec 4.4). After them it fails with 503.
const MAX_ATTEMPTS: usize = 64;

/// Locks for writers of one referral that were overtaken, so that one of those that wait succeeds in each round.
#[derive(Debug)]
pub(crate) struct ReferralLocks([Mutex<()>; 64]);

impl Default for ReferralLocks {
    fn default() -> ReferralLocks {
        ReferralLocks(std::array::from_fn(|_| Mutex::new(())))
    }
}

impl ReferralLocks {
    async fn take(&self, id: ReferralId) -> MutexGuard<'_, ()> {
        self.0[usize::from(id.as_bytes()[15]) % self.0.len()].lock().await
    }
}

/// The role in which the caller writes.
enum WriterRole {
    Owner,
    /// The organization that sent a connected referral, which may only withdraw it (T18).
    Sender,
}

/// The outcome of one attempt.
enum WriteAttempt {
    Saved(VisibleReferral),
    Replayed(StoredResponse),
    Overtaken,
}

/// The decision on a change.
enum Decision {
    Change(Box<PendingChange>),
    /// The referral is already as requested.
    NoChange(VisibleReferral),
}

/// A change that is decided and not yet committed.
struct PendingChange {
    change: Change,
    visible: VisibleReferral,
    referral: Referral,
    /// The length of its document.
    bytes: usize,
}

impl Exchange {
    /// Changes a referral. `recorder` makes the response to keep for a repeat.
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
        request_identity: Option<&IdempotentRequest>,
        recorder: ResponseRecorder<'_, VisibleReferral, EditError>,
    ) -> Result<WriteResult<VisibleReferral>, EditError> {
        let _turn = self.enter_in_flight(request_identity).await.ok_or(EditError::RequestInProgress)?;
        let (mut queue, mut taken) = (None, DocumentMemory::default());
        for _ in 0..MAX_ATTEMPTS {
            match self
                .attempt(caller, id, preconditions, request, (cost, &mut taken), request_identity, recorder)
                .await
            {
                Ok(WriteAttempt::Saved(visible)) => return Ok(WriteResult::Done(visible)),
                Ok(WriteAttempt::Replayed(answer)) => return Ok(WriteResult::Replayed(answer)),
                Ok(WriteAttempt::Overtaken) if queue.is_none() => queue = Some(self.locks.take(id).await),
                Ok(WriteAttempt::Overtaken) => {}
                Err(error) => return self.record_failure(request_identity, error, recorder).await,
            }
        }
        Err(EditError::Contended)
    }

    async fn record_failure(
        &self,
        request_identity: Option<&IdempotentRequest>,
        error: EditError,
        recorder: ResponseRecorder<'_, VisibleReferral, EditError>,
    ) -> Result<WriteResult<VisibleReferral>, EditError> {
        if let Some(request_identity) = request_identity
            && let Some(previous) = self.record_response(request_identity, recorder(Err(&error))).await?
        {
            return Ok(WriteResult::Replayed(previous.replay(EditError::RequestIdReused)?));
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
        (cost, taken): (RequestCost<'_>, &mut DocumentMemory),
        request_identity: Option<&IdempotentRequest>,
        recorder: ResponseRecorder<'_, VisibleReferral, EditError>,
    ) -> Result<WriteAttempt, EditError> {
        let stored = self.find_offered(caller, id).await?;
        let writer = self.writer_role(caller, &stored, request).await?;
        match preconditions.failed_for(&stored.etag) {
            Some(FailedPrecondition::IfMatch) => return Err(EditError::Stale),
            Some(FailedPrecondition::IfNoneMatch) => return Err(EditError::Excluded),
            None => {}
        }
        taken.for_document(cost.memory, stored.document.len().max(cost.body_bytes))?;
        let decide = || self.decide(caller, &writer, &stored, request, request_identity, recorder);
        let bytes = stored.document.len() + cost.body_bytes;
        let decided = match self.run_large(caller, bytes, decide).await?? {
            Decision::Change(decided) => decided,
            Decision::NoChange(visible) => {
                if let Some(request_identity) = request_identity
                    && let Some(previous) =
                        self.record_response(request_identity, recorder(Ok(&visible))).await?
                {
                    return Ok(WriteAttempt::Replayed(previous.replay(EditError::RequestIdReused)?));
                }
                return Ok(WriteAttempt::Saved(visible));
            }
        };
        let PendingChange { change, visible, referral, bytes } = *decided;
        Ok(match self.store.commit(change).await? {
            CommitOutcome::Committed(_) => {
                self.decoded.insert(stored.version + 1, referral, bytes);
                WriteAttempt::Saved(visible)
            }
            CommitOutcome::Replayed(answer) => match self.check_replay(request_identity, answer).await? {
                ReplayCheck::Found(previous) => {
                    WriteAttempt::Replayed(previous.replay(EditError::RequestIdReused)?)
                }
                ReplayCheck::Expired => WriteAttempt::Overtaken,
            },
            CommitOutcome::VersionConflict | CommitOutcome::GuardFailed => WriteAttempt::Overtaken,
        })
    }

    /// Decides on the change of the stored referral, without I/O.
    fn decide(
        &self,
        caller: &Caller,
        writer: &WriterRole,
        stored: &StoredReferral,
        request: &EditRequest<'_>,
        request_identity: Option<&IdempotentRequest>,
        recorder: ResponseRecorder<'_, VisibleReferral, EditError>,
    ) -> Result<Decision, EditError> {
        let (id, now, request_options) = (stored.id, self.now(), &self.policy.request_options);
        let current = self.decoded.decode(stored).map_err(|error| ReadError::Damaged(id, error))?;
        let edit =
            match request.decide_parsed(&current, &stored.document, stored.version, now, request_options) {
                Ok(edit) => edit,
                Err(referral::DecisionError::Rejected(refusal)) => return Err(refusal.into()),
                Err(referral::DecisionError::Damaged(error)) => {
                    return Err(ReadError::Damaged(id, error).into());
                }
            };
        let Some(edit) = edit else { return Ok(Decision::NoChange(visible_after(writer, stored)?)) };
        let next = to_store(&edit.referral, stored.version + 1, stored.columns.sender.clone());
        // A withdrawal adds only a few bytes, and the sender could not shorten the document.
        let grown = next.document.len() > stored.document.len().max(MAX_DOCUMENT_BYTES);
        if grown && matches!(writer, WriterRole::Owner) {
            return Err(Rejection::from(request.too_long()).into());
        }
        let visible = visible_after(writer, &next)?;
        let entry = Entry {
            action: Action::Updated,
            at: next.columns.updated,
            actor: Some(caller.actor()),
            changes: edit.changes.to_string().into(),
        };
        let answer = request_identity.and_then(|request_identity| {
            recorder(Ok(&visible)).map(|(status, content)| request_identity.record(status, content, now))
        });
        let bytes = next.document.len();
        let search = edit.texts_changed.then(|| search_text(&edit.referral));
        let write = Write { referral: next, decided_on: Some(stored.version), entry, search };
        let change = Change { write: Some(write), guards: Vec::new(), answer };
        Ok(Decision::Change(Box::new(PendingChange { change, visible, referral: edit.referral, bytes })))
    }

    /// Returns the role in which the caller may write (spec 3.3 and T18).
    async fn writer_role(
        &self,
        caller: &Caller,
        stored: &Arc<StoredReferral>,
        request: &EditRequest<'_>,
    ) -> Result<WriterRole, EditError> {
        if stored.owner == caller.organization {
            return if caller.may_access(stored) {
                Ok(WriterRole::Owner)
            } else {
                Err(ReadError::NotOnTeam.into())
            };
        }
        let Some(_) = self.visibility(caller, stored).await? else { return Err(ReadError::NotFound.into()) };
        let sent = stored.columns.sender.as_ref() == Some(&caller.organization);
        if sent && request.is_withdrawal() && stored.columns.status == ReferralStatus::New {
            return Ok(WriterRole::Sender);
        }
        Err(EditError::NotOwner)
    }
}

fn visible_after(writer: &WriterRole, stored: &StoredReferral) -> Result<VisibleReferral, ReadError> {
    match writer {
        WriterRole::Owner => Ok(unredacted(stored)),
        WriterRole::Sender => redacted(stored, Redaction::Inviting),
    }
}
