//! Slots for long work: few at once, shared between organizations and users.
//!
//! A user has one slot at a time and an organization all but one, so whoever asks for long work again and again waits
//! for itself.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use referral::OrganizationId;
use store::StoreError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::caller::Caller;

/// Work that runs at once.
const SLOTS: usize = 2;
/// Work of one user that may wait.
const MAX_WAITING: usize = 64;
/// Organizations or users above this number are forgotten where they hold nothing.
const MAX_IDLE_KEYS: usize = 1024;

/// The slots of one kind of work.
#[derive(Debug)]
pub(crate) struct WorkSlots {
    threads: Arc<Semaphore>,
    organizations: SlotsByKey<OrganizationId>,
    users: SlotsByKey<(OrganizationId, String)>,
    what: &'static str,
}

/// A number of slots for each key.
#[derive(Debug)]
struct SlotsByKey<K> {
    by_key: Mutex<HashMap<K, Arc<Semaphore>>>,
    each: usize,
}

impl<K: Eq + Hash> SlotsByKey<K> {
    fn new(each: usize) -> SlotsByKey<K> {
        SlotsByKey { by_key: Mutex::default(), each }
    }

    fn get(&self, key: K) -> Arc<Semaphore> {
        let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if by_key.len() > MAX_IDLE_KEYS {
            by_key.retain(|_, slots| Arc::strong_count(slots) > 1);
        }
        Arc::clone(by_key.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }
}

/// A slot, given back when it is dropped.
pub(crate) struct Slot(#[expect(dead_code, reason = "held, never read")] [OwnedSemaphorePermit; 3]);

impl WorkSlots {
    /// Slots for work that is called so when too much of it waits.
    pub(crate) fn new(what: &'static str) -> WorkSlots {
        WorkSlots {
            threads: Arc::new(Semaphore::new(SLOTS)),
            organizations: SlotsByKey::new(SLOTS.saturating_sub(1).max(1)),
            users: SlotsByKey::new(1),
            what,
        }
    }

    /// Waits for a slot of the caller's.
    ///
    /// # Errors
    /// `Unavailable` where too much work of the same user waits.
    pub(crate) async fn acquire(&self, caller: &Caller) -> Result<Slot, StoreError> {
        let user = self.users.get((caller.organization.clone(), caller.user.clone()));
        // The map has it, the one that runs, those that wait, and this one.
        if Arc::strong_count(&user) >= MAX_WAITING + 3 {
            let what = self.what;
            return Err(StoreError::Unavailable(format!("too many {what} of the same user wait")));
        }
        let closed = |_| StoreError::Closed;
        let user = user.acquire_owned().await.map_err(closed)?;
        let organization = self.organizations.get(caller.organization.clone());
        let organization = organization.acquire_owned().await.map_err(closed)?;
        let thread = Arc::clone(&self.threads).acquire_owned().await.map_err(closed)?;
        Ok(Slot([user, organization, thread]))
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::caller::Role;

    fn caller(organization: u8, user: &str) -> Caller {
        let organization = format!("00000000-0000-4000-8000-0000000000{organization:02x}").parse();
        Caller {
            organization: organization.expect("an organization"),
            user: user.to_owned(),
            identities: Vec::new(),
            role: Role::User,
        }
    }

    /// What a future says when it is asked once.
    fn now<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    fn acquired(slots: &WorkSlots, caller: &Caller) -> Option<Slot> {
        match now(slots.acquire(caller)) {
            Poll::Ready(slot) => Some(slot.expect("open slots")),
            Poll::Pending => None,
        }
    }

    #[test]
    fn an_organization_leaves_a_slot_to_others() {
        let slots = WorkSlots::new("pieces");
        let held = acquired(&slots, &caller(1, "ann"));
        assert!(held.is_some());
        assert!(acquired(&slots, &caller(1, "ann")).is_none());
        assert!(acquired(&slots, &caller(1, "bob")).is_none());
        let other = acquired(&slots, &caller(2, "cyd"));
        assert!(other.is_some());
        assert!(acquired(&slots, &caller(3, "dan")).is_none(), "all slots are taken");
        drop(held);
        assert!(acquired(&slots, &caller(3, "dan")).is_some());
    }

    #[test]
    fn too_much_waiting_work_of_a_user_is_refused_and_of_others_is_not() {
        let slots = WorkSlots::new("pieces");
        let (ann, bob) = (caller(1, "ann"), caller(2, "bob"));
        let _held = acquired(&slots, &ann);
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| Box::pin(slots.acquire(&ann))).collect();
        for one in &mut waiting {
            assert!(now(one).is_pending());
        }
        let refused = now(slots.acquire(&ann));
        let Poll::Ready(Err(StoreError::Unavailable(why))) = refused else { panic!("not refused") };
        assert_eq!(why, "too many pieces of the same user wait");
        assert!(acquired(&slots, &bob).is_some());
        // Those that gave up make room.
        drop(waiting);
        assert!(now(slots.acquire(&ann)).is_pending());
    }
}
