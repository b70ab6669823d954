//! Doing a request once, however often it is sent. Source: spec 4.3.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_lc_rs::digest;
use bytes::Bytes;
use referral::{ClientRequestId, Timestamp};
use store::{AnswerKey, Change, Outcome, RememberedAnswer, Replayable, StoreError};
use tokio::sync::Notify;

use crate::{Caller, Exchange};

/// An answer is remembered for a day (4.3.3).
pub(crate) const REMEMBERED_SECONDS: i64 = 24 * 3600;
/// How long a repeat waits for the first call (4.3.7).
const PATIENCE: Duration = Duration::from_secs(5);

/// Turns an outcome into the answer to remember: HTTP status and opaque content. `None`: not to be remembered
/// (412, 5xx).
pub type Remember<'a, T, E> = &'a (dyn Fn(Result<&T, &E>) -> Option<(u16, Bytes)> + Send + Sync);

/// The request's identity for replay.
#[derive(Debug, Clone)]
pub struct Once {
    pub(crate) key: AnswerKey,
    pub(crate) request_digest: [u8; 32],
}

impl Once {
    /// Names a request: who, what and where under which id, and a digest of what it asks. `path` is the canonical
    /// one (4.3.3).
    pub fn new(
        caller: &Caller,
        method: &str,
        path: &str,
        id: ClientRequestId,
        body: &[u8],
        if_match: &str,
    ) -> Once {
        let key = digest_of(&[caller.user().as_bytes(), method.as_bytes(), path.as_bytes(), id.as_bytes()]);
        Once {
            key: AnswerKey { organization: caller.organization().clone(), digest: key },
            request_digest: digest_of(&[if_match.as_bytes(), body]),
        }
    }

    pub(crate) fn replayable(&self, status: u16, content: Bytes, at: Timestamp) -> Replayable {
        let answer = RememberedAnswer { request_digest: self.request_digest, status, content };
        Replayable { key: self.key.clone(), answer, at }
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

/// What became of a write.
#[derive(Debug, Clone, PartialEq)]
pub enum Written<T> {
    /// It was done now.
    Now(T),
    /// It was done before; this is the answer it got.
    Before(RememberedAnswer),
}

/// The requests that run right now, by key.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<HashMap<AnswerKey, Arc<Notify>>>);

/// Leaves the table, and wakes who waits, when dropped.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    running: &'a Running,
    key: AnswerKey,
}

impl Running {
    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<AnswerKey, Arc<Notify>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the first call with this key, but not forever; `None` when patience ends.
    async fn enter(&self, key: &AnswerKey) -> Option<Turn<'_>> {
        let wait = async {
            loop {
                let first = {
                    let mut table = self.table();
                    match table.get(key) {
                        None => {
                            table.insert(key.clone(), Arc::new(Notify::new()));
                            return Turn { running: self, key: key.clone() };
                        }
                        Some(notify) => notify.clone().notified_owned(),
                    }
                };
                first.await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.ok()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(notify) = self.running.table().remove(&self.key) {
            notify.notify_waiters();
        }
    }
}

/// What a request finds that was answered before under its id.
pub(crate) enum Earlier {
    /// The same request; this is its answer.
    Answered(RememberedAnswer),
    /// Another one.
    Reused,
}

impl Earlier {
    /// The answer to give again, or the refusal of an id that was used for another request.
    pub(crate) fn replay<E>(self, reused: E) -> Result<RememberedAnswer, E> {
        match self {
            Earlier::Answered(answer) => Ok(answer),
            Earlier::Reused => Err(reused),
        }
    }

    fn of(answer: RememberedAnswer, once: &Once) -> Earlier {
        if answer.request_digest == once.request_digest { Earlier::Answered(answer) } else { Earlier::Reused }
    }
}

/// What an answer that turned up at the commit means.
pub(crate) enum Already {
    Earlier(Earlier),
    /// It was older than a day, and is gone now: commit again.
    Forgotten,
}

impl Exchange {
    /// Judges an answer that the store held when a change was to be committed.
    pub(crate) async fn already(
        &self,
        once: Option<&Once>,
        answer: RememberedAnswer,
    ) -> Result<Already, StoreError> {
        let Some(once) = once else { return Ok(Already::Forgotten) };
        let since = self.now().plus_seconds(-REMEMBERED_SECONDS);
        if self.store.answer(&once.key, since).await?.is_none() {
            while self.store.forget_answers(since).await? > 0 {}
            return Ok(Already::Forgotten);
        }
        Ok(Already::Earlier(Earlier::of(answer, once)))
    }

    /// The turn of a request among those of its id; `None` when the first of them takes too long.
    ///
    /// Whether it was answered before is not asked here but where it ends: the commit of a change looks under its id
    /// anyway, and [`Self::remember`] where there is none (ADR 0030).
    pub(crate) async fn turn(&self, once: Option<&Once>) -> Option<Option<Turn<'_>>> {
        match once {
            None => Some(None),
            Some(once) => self.running.enter(&once.key).await.map(Some),
        }
    }

    /// What was answered before, as the store knows it now.
    async fn earlier(&self, once: &Once) -> Result<Option<Earlier>, StoreError> {
        let since = self.now().plus_seconds(-REMEMBERED_SECONDS);
        let known = self.store.answer(&once.key, since).await?;
        Ok(known.map(|known| Earlier::of(known, once)))
    }

    /// Remembers an answer that came with no change: a failure, or a write without effect. `None` is one that is not
    /// to be remembered. Hands back what was answered before under this id: what that changed may be why this one is
    /// refused, as stale for instance.
    pub(crate) async fn remember(
        &self,
        once: &Once,
        answer: Option<(u16, Bytes)>,
    ) -> Result<Option<Earlier>, StoreError> {
        let Some((status, content)) = answer else { return self.earlier(once).await };
        let answer = Some(once.replayable(status, content, self.now()));
        let change = Change { write: None, guards: Vec::new(), answer };
        loop {
            let outcome = match self.store.commit(change.clone()).await {
                Ok(outcome) => outcome,
                // While nothing can be written, what was answered before is known all the same.
                Err(error) => return self.earlier(once).await?.map(Some).ok_or(error),
            };
            let Outcome::AlreadyAnswered(known) = outcome else { return Ok(None) };
            match self.already(Some(once), known).await? {
                Already::Earlier(earlier) => return Ok(Some(earlier)),
                Already::Forgotten => {}
            }
        }
    }

    /// Forgets answers older than a day. The composition root calls it now and then.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn forget_old_answers(&self) -> Result<u64, StoreError> {
        self.store.forget_answers(self.now().plus_seconds(-REMEMBERED_SECONDS)).await
    }
}
