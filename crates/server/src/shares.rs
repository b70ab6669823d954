//! Places that all callers share, and how much of each one caller may hold. Source: ADR 0033.
//!
//! Every place has a limit and counts what is held. What one caller may hold follows from what is free: together with
//! what its whole organization holds, it must fit into that. So one caller alone has at most a third of a place, a
//! second one still finds room beside it, and however many take all they can get, some room stays free for the next.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use exchange::Caller;
use http_body_util::Full;
use hyper::body::Body;
use referral::OrganizationId;

use crate::response::ApiResponse;

/// Accounts kept before those that nobody uses are dropped.
const MAX_ACCOUNTS: usize = 10_000;

/// A place that all callers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Capacity {
    /// Requests in work, by number.
    Requests,
    /// Bodies on their way, by number.
    Bodies,
    /// Memory of requests in bytes: bodies that have come or are coming, what is read from them, what is decided on,
    /// and writes that wait for the rest of their group.
    Memory,
    /// Bytes of answers that their clients have not taken yet.
    Answers,
}

impl Capacity {
    /// Every place, in the order of its number.
    pub(crate) const ALL: [Capacity; 4] =
        [Capacity::Requests, Capacity::Bodies, Capacity::Memory, Capacity::Answers];

    /// Its name in the figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Capacity::Requests => "requests",
            Capacity::Bodies => "bodies",
            Capacity::Memory => "memory",
            Capacity::Answers => "answers",
        }
    }
}

/// Why something finds no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CapacityError {
    /// The caller, or its organization, holds its share.
    Share(Capacity),
    /// The place is full.
    Full(Capacity),
}

/// What is held of each place.
#[derive(Debug, Default)]
struct Usage([AtomicU64; Capacity::ALL.len()]);

impl Usage {
    fn of(&self, capacity: Capacity) -> &AtomicU64 {
        &self.0[capacity as usize]
    }

    /// Adds, and returns what is held then.
    fn add(&self, capacity: Capacity, amount: u64) -> u64 {
        self.of(capacity).fetch_add(amount, Relaxed).saturating_add(amount)
    }
}

/// The limits of all places and what is held of them.
#[derive(Debug)]
struct Capacities {
    limits: [u64; Capacity::ALL.len()],
    held: Usage,
}

/// What one caller holds. An account without an organization behind it is its own.
#[derive(Debug)]
pub(crate) struct Account {
    capacities: Arc<Capacities>,
    organization: Arc<Usage>,
    user: Usage,
}

impl Account {
    /// Takes some of a place, or says why there is no room.
    pub(crate) fn take(
        self: &Arc<Self>,
        capacity: Capacity,
        amount: u64,
    ) -> Result<Reservation, CapacityError> {
        let mut reservation = Reservation { account: Arc::clone(self), capacity, amount: 0 };
        reservation.grow(amount)?;
        Ok(reservation)
    }

    /// Takes some of a place whether there is room or not: for what has happened already and must be told.
    pub(crate) fn take_over_limit(self: &Arc<Self>, capacity: Capacity, amount: u64) -> Reservation {
        self.add(capacity, amount);
        Reservation { account: Arc::clone(self), capacity, amount }
    }

    /// Whether there is room for a little more.
    pub(crate) fn check_room(&self, capacity: Capacity) -> Result<(), CapacityError> {
        let user = self.user.of(capacity).load(Relaxed);
        if user == 0 {
            return Ok(());
        }
        let (total, organization) = (self.capacities.held.of(capacity), self.organization.of(capacity));
        self.check(capacity, total.load(Relaxed), organization.load(Relaxed), user)
    }

    fn add(&self, capacity: Capacity, amount: u64) -> (u64, u64, u64) {
        let total = self.capacities.held.add(capacity, amount);
        (total, self.organization.add(capacity, amount), self.user.add(capacity, amount))
    }

    fn release(&self, capacity: Capacity, amount: u64) {
        for held in [&self.user, &*self.organization, &self.capacities.held] {
            held.of(capacity).fetch_sub(amount, Relaxed);
        }
    }

    /// The rule: what the caller holds and what its organization holds, together, must fit into what is free.
    fn check(
        &self,
        capacity: Capacity,
        total: u64,
        organization: u64,
        user: u64,
    ) -> Result<(), CapacityError> {
        let limit = self.capacities.limits[capacity as usize];
        let free = limit.checked_sub(total).ok_or(CapacityError::Full(capacity))?;
        if organization.saturating_add(user) <= free { Ok(()) } else { Err(CapacityError::Share(capacity)) }
    }
}

/// What a caller holds of a place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Reservation {
    account: Arc<Account>,
    capacity: Capacity,
    amount: u64,
}

impl Reservation {
    /// Takes more; when that fails, what was held stays held.
    pub(crate) fn grow(&mut self, by: u64) -> Result<(), CapacityError> {
        let (total, organization, user) = self.account.add(self.capacity, by);
        let outcome = match self.account.check(self.capacity, total, organization, user) {
            // An organization that holds nothing else may have one request of any size that there is room for, up to
            // half of the place: however small a place is, it serves one at a time.
            Err(CapacityError::Share(_))
                if organization == self.amount.saturating_add(by) && self.is_alone(by) =>
            {
                Ok(())
            }
            outcome => outcome,
        };
        match outcome {
            Ok(()) => self.amount += by,
            Err(_) => self.account.release(self.capacity, by),
        }
        outcome
    }

    /// Whether it is the first of its kind, or leaves half of the place to others.
    fn is_alone(&self, by: u64) -> bool {
        matches!(self.capacity, Capacity::Requests | Capacity::Bodies)
            || self.amount.saturating_add(by) <= self.most()
    }

    /// The most that one request may hold of a place of bytes, when its organization holds nothing else.
    pub(crate) fn most(&self) -> u64 {
        self.account.capacities.limits[self.capacity as usize] / 2
    }

    /// How much is held.
    #[cfg(test)]
    fn amount(&self) -> u64 {
        self.amount
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.amount > 0 {
            self.account.release(self.capacity, self.amount);
        }
    }
}

/// Bytes that count as held for as long as anybody has them.
struct ReservedBytes {
    bytes: bytes::Bytes,
    _claim: Reservation,
}

impl ReservedBytes {
    /// The same bytes, which give the claim back when the last reader lets go of them.
    fn of(bytes: bytes::Bytes, reservation: Reservation) -> bytes::Bytes {
        bytes::Bytes::from_owner(ReservedBytes { bytes, _claim: reservation })
    }
}

impl AsRef<[u8]> for ReservedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A caller with its account.
#[derive(Debug)]
pub(crate) struct AuthenticatedCaller {
    caller: Caller,
    pub(crate) account: Arc<Account>,
}

/// Shorter answers are not counted: those that a connection has not sent take no more than its buffers.
const MAX_UNCOUNTED_BYTES: u64 = 16 * 1024;

impl AuthenticatedCaller {
    /// A place among the requests in work. Whoever does not take its answers gets none.
    pub(crate) fn permit(&self) -> Result<Reservation, CapacityError> {
        let permit = self.account.take(Capacity::Requests, 1)?;
        self.account.check_room(Capacity::Answers)?;
        Ok(permit)
    }

    /// Counts an answer as the caller's until it is sent, or refuses it: of reads.
    pub(crate) fn count_response(&self, response: ApiResponse) -> Result<ApiResponse, CapacityError> {
        let length = length(&response);
        if length < MAX_UNCOUNTED_BYTES {
            return Ok(response);
        }
        let reservation = self.account.take(Capacity::Answers, length)?;
        let mut response = held(response, reservation);
        response
            .extensions_mut()
            .insert(ResponseReader { caller: self.caller.clone(), account: Arc::clone(&self.account) });
        Ok(response)
    }

    /// Counts an answer as the caller's until it is sent: of writes, which have happened.
    pub(crate) fn count_written_response(&self, response: ApiResponse) -> ApiResponse {
        let length = length(&response);
        if length < MAX_UNCOUNTED_BYTES {
            return response;
        }
        held(response, self.account.take_over_limit(Capacity::Answers, length))
    }
}

/// The caller that reads a long answer: it travels with the answer until that leaves.
#[derive(Debug, Clone)]
pub(crate) struct ResponseReader {
    pub(crate) caller: Caller,
    account: Arc<Account>,
}

impl ResponseReader {
    /// Counts bytes that take the place of an answer's: there was room for those.
    pub(crate) fn count_replaced_body(&self, body: Vec<u8>) -> bytes::Bytes {
        let reservation = self.account.take_over_limit(Capacity::Answers, body.len() as u64);
        ReservedBytes::of(body.into(), reservation)
    }
}

fn length(response: &ApiResponse) -> u64 {
    response.body().size_hint().exact().unwrap_or(0)
}

fn held(response: ApiResponse, reservation: Reservation) -> ApiResponse {
    response.map(|body| Full::new(ReservedBytes::of(body.into_inner().unwrap_or_default(), reservation)))
}

impl Deref for AuthenticatedCaller {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// How much each place holds; see [`Capacity`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CapacityLimits {
    pub(crate) requests: usize,
    pub(crate) memory: u64,
    pub(crate) answers: u64,
}

/// The accounts of all callers.
#[derive(Debug)]
pub(crate) struct FairShares {
    capacities: Arc<Capacities>,
    organizations: Mutex<Organizations>,
    /// Who asks without a token, all together, in places of their own.
    anonymous: Arc<Account>,
}

type Organizations = HashMap<OrganizationId, (Arc<Usage>, HashMap<String, Arc<Account>>)>;

impl FairShares {
    /// Nobody holds anything; strangers have so much memory of their own.
    pub(crate) fn new(limits: CapacityLimits, anonymous: u64) -> FairShares {
        let capacities = |requests: usize, memory, answers| {
            let requests = requests as u64;
            Arc::new(Capacities { limits: [requests, requests, memory, answers], held: Usage::default() })
        };
        let account =
            |capacities| Account { capacities, organization: Arc::default(), user: Usage::default() };
        FairShares {
            capacities: capacities(limits.requests, limits.memory, limits.answers),
            organizations: Mutex::default(),
            anonymous: Arc::new(account(capacities(limits.requests, anonymous, limits.answers))),
        }
    }

    /// The account of those who ask without a token.
    pub(crate) fn anonymous(&self) -> &Arc<Account> {
        &self.anonymous
    }

    /// A caller with its account. Done once for a token, not for a request.
    pub(crate) fn authenticated_caller(&self, caller: Caller) -> AuthenticatedCaller {
        let mut organizations = self.organizations.lock().unwrap_or_else(PoisonError::into_inner);
        let users: usize = organizations.values().map(|(_, users)| users.len()).sum();
        if users >= MAX_ACCOUNTS {
            organizations.retain(|_, (_, users)| {
                users.retain(|_, account| Arc::strong_count(account) > 1);
                !users.is_empty()
            });
        }
        let (held, users) = organizations.entry(caller.organization().clone()).or_default();
        let account = users.entry(caller.user().to_owned()).or_insert_with(|| {
            let (capacities, organization) = (Arc::clone(&self.capacities), Arc::clone(held));
            Arc::new(Account { capacities, organization, user: Usage::default() })
        });
        let account = Arc::clone(account);
        AuthenticatedCaller { caller, account }
    }

    /// For each place: its name, what is held, and its limit.
    pub(crate) fn usage(&self) -> [(&'static str, u64, u64); Capacity::ALL.len()] {
        Capacity::ALL.map(|capacity| {
            (
                capacity.name(),
                self.capacities.held.of(capacity).load(Relaxed),
                self.capacities.limits[capacity as usize],
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: CapacityLimits = CapacityLimits { requests: 90, memory: 9_000, answers: 9_000 };

    struct Callers {
        shares: FairShares,
        organizations: HashMap<u8, Arc<Usage>>,
    }

    impl Callers {
        fn new(limits: CapacityLimits) -> Callers {
            Callers { shares: FairShares::new(limits, 100), organizations: HashMap::new() }
        }

        fn user_of(&mut self, organization: u8) -> Arc<Account> {
            let organization = Arc::clone(self.organizations.entry(organization).or_default());
            let capacities = Arc::clone(&self.shares.capacities);
            Arc::new(Account { capacities, organization, user: Usage::default() })
        }
    }

    /// Takes as much as it can get, in steps.
    fn greedy(account: &Arc<Account>, capacity: Capacity, step: u64) -> Vec<Reservation> {
        std::iter::from_fn(|| account.take(capacity, step).ok()).collect()
    }

    fn sum(claims: &[Reservation]) -> u64 {
        claims.iter().map(Reservation::amount).sum()
    }

    #[test]
    fn one_caller_takes_a_third_and_the_next_still_finds_room() {
        for capacity in Capacity::ALL {
            let mut callers = Callers::new(LIMITS);
            let limit = callers.shares.capacities.limits[capacity as usize];
            let step = limit / 90;
            let (first, second) = (callers.user_of(1), callers.user_of(2));
            let held = greedy(&first, capacity, step);
            assert_eq!(sum(&held), limit / 3, "{capacity:?}");
            assert_eq!(first.take(capacity, step).unwrap_err(), CapacityError::Share(capacity));
            assert!(sum(&greedy(&second, capacity, step)) >= limit / 6, "{capacity:?}");
            drop(held);
            assert!(first.take(capacity, step).is_ok());
        }
    }

    #[test]
    fn however_many_take_what_they_can_a_newcomer_finds_room() {
        for (organizations, users) in [(1, 1), (1, 6), (6, 1), (3, 2), (12, 1), (1, 20)] {
            let mut callers = Callers::new(CapacityLimits { memory: 48 << 20, ..LIMITS });
            let hostile: Vec<_> = (0..organizations)
                .flat_map(|organization| vec![organization; users])
                .map(|organization| callers.user_of(organization))
                .collect();
            let mut held = Vec::new();
            // In turns, so that each has its whole share of what the others leave.
            loop {
                let before = held.len();
                held.extend(
                    hostile.iter().filter_map(|account| account.take(Capacity::Memory, 1 << 14).ok()),
                );
                if held.len() == before {
                    break;
                }
            }
            let stranger = callers.user_of(200);
            assert!(stranger.take(Capacity::Memory, 1 << 20).is_ok(), "{organizations} of {users}");
            let colleague = callers.user_of(0);
            assert!(colleague.take(Capacity::Memory, 1 << 16).is_ok(), "{organizations} of {users}");
        }
    }

    #[test]
    fn a_place_for_one_serves_one_at_a_time() {
        let mut callers = Callers::new(CapacityLimits { requests: 1, ..LIMITS });
        let (first, second) = (callers.user_of(1), callers.user_of(2));
        let reservation = first.take(Capacity::Requests, 1).unwrap();
        assert_eq!(first.take(Capacity::Requests, 1).unwrap_err(), CapacityError::Full(Capacity::Requests));
        assert_eq!(second.take(Capacity::Requests, 1).unwrap_err(), CapacityError::Full(Capacity::Requests));
        drop(reservation);
        assert!(second.take(Capacity::Requests, 1).is_ok());
    }

    #[test]
    fn one_request_alone_may_have_half_of_a_place_and_no_more() {
        let mut callers = Callers::new(LIMITS);
        let account = callers.user_of(1);
        let mut reservation = account.take(Capacity::Memory, 4_000).unwrap();
        assert!(reservation.grow(500).is_ok());
        assert_eq!(reservation.grow(1), Err(CapacityError::Share(Capacity::Memory)));
        assert_eq!(account.take(Capacity::Memory, 1).unwrap_err(), CapacityError::Share(Capacity::Memory));
        drop(reservation);
        assert_eq!(account.capacities.held.of(Capacity::Memory).load(Relaxed), 0);
    }

    #[test]
    fn what_must_be_told_is_counted_beyond_the_share_and_given_back() {
        let mut callers = Callers::new(LIMITS);
        let account = callers.user_of(1);
        assert_eq!(account.check_room(Capacity::Answers), Ok(()));
        let reservation = account.take_over_limit(Capacity::Answers, 20_000);
        assert_eq!(account.check_room(Capacity::Answers), Err(CapacityError::Full(Capacity::Answers)));
        let bytes = ReservedBytes::of(bytes::Bytes::from_static(b"told"), reservation);
        let copy = bytes.clone();
        drop(bytes);
        assert!(account.check_room(Capacity::Answers).is_err());
        drop(copy);
        assert_eq!(account.check_room(Capacity::Answers), Ok(()));
    }
}
