//! Idempotency: a request is executed once, however often it is sent. Source: spec 4.3.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use referral::{ClientRequestId, Timestamp};
use store::{Change, CommitOutcome, IdempotencyKey, IdempotencyRecord, StoreError, StoredResponse};
use tokio::sync::Notify;

use crate::{Caller, Exchange};

/// Lifetime of a stored response: a day (4.3.3).
pub(crate) const RESPONSE_LIFETIME_SECONDS: i64 = 24 * 3600;
/// Timeout for a repeat that waits for the first request (4.3.7).
const REPEAT_TIMEOUT: Duration = Duration::from_secs(5);

/// Makes the response to store from an outcome: HTTP status and opaque content. `None`: it is not stored (412, 5xx).
pub type ResponseRecorder<'a, T, E> = &'a (dyn Fn(Result<&T, &E>) -> Option<(u16, Bytes)> + Send + Sync);

/// The identity of a request that can be repeated.
#[derive(Debug, Clone)]
pub struct IdempotentRequest {
    pub(crate) key: IdempotencyKey,
    pub(crate) request_digest: [u8; 32],
}

impl IdempotentRequest {
    /// Returns the identity of a request: caller, method, path and request id, and a digest of its content. `path` is
    /// the canonical path (4.3.3).
    pub fn new(
        caller: &Caller,
        method: &str,
        path: &str,
        id: ClientRequestId,
        body: &[u8],
        if_match: &str,
    ) -> IdempotentRequest {
        let key = digest_of(&[caller.user().as_bytes(), method.as_bytes(), path.as_bytes(), id.as_bytes()]);
        IdempotentRequest {
            key: IdempotencyKey { organization: caller.organization().clone(), digest: key },
            request_digest: digest_of(&[if_match.as_bytes(), body]),
        }
    }

    pub(crate) fn record(&self, status: u16, content: Bytes, at: Timestamp) -> IdempotencyRecord {
        let answer = StoredResponse { request_digest: self.request_digest, status, content };
        IdempotencyRecord { key: self.key.clone(), answer, at }
    }
}

/// SHA-256 of the parts, each with its length before it, so that no two lists of parts look alike.
fn digest_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut bytes = [0; 32];
    bytes.copy_from_slice(context.finish().as_ref());
    bytes
}

/// The outcome of a write.
#[derive(Debug, Clone, PartialEq)]
pub enum WriteResult<T> {
    /// The write was executed.
    Done(T),
    /// The write was executed before. This is its stored response.
    Replayed(StoredResponse),
}

/// The requests that are running, by key.
#[derive(Debug, Default)]
pub(crate) struct InFlightRequests(Mutex<HashMap<IdempotencyKey, Arc<Notify>>>);

/// Removes its request from the table and wakes the repeats that wait for it, when dropped.
#[derive(Debug)]
pub(crate) struct InFlightGuard<'a> {
    running: &'a InFlightRequests,
    key: IdempotencyKey,
}

impl InFlightRequests {
    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<IdempotencyKey, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the first request with this key. Returns `None` after [`REPEAT_TIMEOUT`].
    async fn enter(&self, key: &IdempotencyKey) -> Option<InFlightGuard<'_>> {
        let wait = async {
            loop {
                let first = {
                    let mut table = self.table();
                    match table.get(key) {
                        None => {
                            table.insert(key.clone(), Arc::new(Notify::new()));
                            return InFlightGuard { running: self, key: key.clone() };
                        }
                        Some(notify) => notify.clone().notified_owned(),
                    }
                };
                first.await;
            }
        };
        tokio::time::timeout(REPEAT_TIMEOUT, wait).await.ok()
    }
}

impl Drop for InFlightGuard<'_> {
    fn drop(&mut self) {
        if let Some(notify) = self.running.table().remove(&self.key) {
            notify.notify_waiters();
        }
    }
}

/// The stored response for a request id.
pub(crate) enum PreviousResponse {
    /// It was the same request. This is its response.
    SameRequest(StoredResponse),
    /// It was another request.
    OtherRequest,
}

impl PreviousResponse {
    /// Returns the response to send again, or the error for an id that was used for another request.
    pub(crate) fn replay<E>(self, reused: E) -> Result<StoredResponse, E> {
        match self {
            PreviousResponse::SameRequest(answer) => Ok(answer),
            PreviousResponse::OtherRequest => Err(reused),
        }
    }

    fn of(answer: StoredResponse, request_identity: &IdempotentRequest) -> PreviousResponse {
        if answer.request_digest == request_identity.request_digest {
            PreviousResponse::SameRequest(answer)
        } else {
            PreviousResponse::OtherRequest
        }
    }
}

/// The meaning of a stored response that a commit found.
pub(crate) enum ReplayCheck {
    Found(PreviousResponse),
    /// It was older than a day and has been deleted: commit again.
    Expired,
}

impl Exchange {
    /// Checks a stored response that the commit of a change found.
    pub(crate) async fn check_replay(
        &self,
        request_identity: Option<&IdempotentRequest>,
        answer: StoredResponse,
    ) -> Result<ReplayCheck, StoreError> {
        let Some(request_identity) = request_identity else { return Ok(ReplayCheck::Expired) };
        let since = self.now().plus_seconds(-RESPONSE_LIFETIME_SECONDS);
        if self.store.stored_response(&request_identity.key, since).await?.is_none() {
            while self.store.forget_responses(since).await? > 0 {}
            return Ok(ReplayCheck::Expired);
        }
        Ok(ReplayCheck::Found(PreviousResponse::of(answer, request_identity)))
    }

    /// Marks a request as running. Returns `None` if another one with its id takes too long.
    ///
    /// An earlier response is not looked up here but at the end: the commit of a change looks up the id anyway, and
    /// [`Self::record_response`] where there is none (ADR 0030).
    pub(crate) async fn enter_in_flight(
        &self,
        request_identity: Option<&IdempotentRequest>,
    ) -> Option<Option<InFlightGuard<'_>>> {
        match request_identity {
            None => Some(None),
            Some(request_identity) => self.in_flight.enter(&request_identity.key).await.map(Some),
        }
    }

    /// Returns the stored response for the request id, if there is one.
    async fn previous_response(
        &self,
        request_identity: &IdempotentRequest,
    ) -> Result<Option<PreviousResponse>, StoreError> {
        let since = self.now().plus_seconds(-RESPONSE_LIFETIME_SECONDS);
        let known = self.store.stored_response(&request_identity.key, since).await?;
        Ok(known.map(|known| PreviousResponse::of(known, request_identity)))
    }

    /// Remembers an answer that came with no change: a failure, or a write without effect. `None` is one that is not
    /// to be remembered. Hands back what was answered before under this id: what that changed may be why this one is
    /// refused, as stale for instance.
    pub(crate) async fn record_response(
        &self,
        request_identity: &IdempotentRequest,
        answer: Option<(u16, Bytes)>,
    ) -> Result<Option<PreviousResponse>, StoreError> {
        let Some((status, content)) = answer else { return self.previous_response(request_identity).await };
        let answer = Some(request_identity.record(status, content, self.now()));
        let change = Change { write: None, guards: Vec::new(), answer };
        loop {
            let outcome = match self.store.commit(change.clone()).await {
                Ok(outcome) => outcome,
                // An earlier response can still be read while writes fail.
                Err(error) => return self.previous_response(request_identity).await?.map(Some).ok_or(error),
            };
            let CommitOutcome::Replayed(known) = outcome else { return Ok(None) };
            match self.check_replay(Some(request_identity), known).await? {
                ReplayCheck::Found(previous) => return Ok(Some(previous)),
                ReplayCheck::Expired => {}
            }
        }
    }

    /// Deletes responses that are older than a day. The binary calls it regularly.
    ///
    /// # Errors
    /// Errors of the store.
    pub async fn delete_old_responses(&self) -> Result<u64, StoreError> {
        self.store.forget_responses(self.now().plus_seconds(-RESPONSE_LIFETIME_SECONDS)).await
    }
}
