//! A channel to a thread that can be closed once. Messages sent before are still received.
//!
//! The thread ends when every sender is gone, so that no message stays unanswered; closing drops the sender that is kept.

use std::sync::{PoisonError, RwLock};

use flume::{Receiver, Sender};

use crate::StoreError;

/// Capacity of the channel; when it is full, senders wait.
const WAITING: usize = 4096;

pub(super) struct CommandChannel<T>(RwLock<Option<Sender<T>>>);

impl<T> CommandChannel<T> {
    /// Returns a channel and its receiver.
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
