//! The way in to a thread: a channel that can be shut once, after which what was sent is still received.
//!
//! A receiver that went away would leave messages unanswered; so threads end when every sender is gone, and
//! shutting the door lets go of the one that is kept.

use std::sync::{PoisonError, RwLock};

use flume::{Receiver, Sender};

use crate::StoreError;

/// How many messages may wait; more make their senders wait.
const WAITING: usize = 4096;

pub(super) struct CommandChannel<T>(RwLock<Option<Sender<T>>>);

impl<T> CommandChannel<T> {
    /// A door, and the end behind it.
    pub(super) fn new() -> (CommandChannel<T>, Receiver<T>) {
        let (sender, receiver) = flume::bounded(WAITING);
        (CommandChannel(RwLock::new(Some(sender))), receiver)
    }

    /// A sender of one's own: the thread does not end while it lives.
    ///
    /// # Errors
    /// `Closed` once the door is shut.
    pub(super) fn open(&self) -> Result<Sender<T>, StoreError> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StoreError::Closed)
    }

    pub(super) async fn send(&self, message: T) -> Result<(), StoreError> {
        self.open()?.into_send_async(message).await.map_err(|_| StoreError::Closed)
    }

    pub(super) fn shut(&self) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).take();
    }
}
