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

use crate::answer::Answer;

/// Accounts kept before those that nobody uses are dropped.
const ACCOUNTS: usize = 10_000;

/// A place that all callers share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
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

impl Place {
    /// Every place, in the order of its number.
    pub(crate) const ALL: [Place; 4] = [Place::Requests, Place::Bodies, Place::Memory, Place::Answers];

    /// Its name in the figures.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Place::Requests => "requests",
            Place::Bodies => "bodies",
            Place::Memory => "memory",
            Place::Answers => "answers",
        }
    }
}

/// Why something finds no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoRoom {
    /// The caller, or its organization, holds its share.
    Share(Place),
    /// The place is full.
    Full(Place),
}

/// What is held of each place.
#[derive(Debug, Default)]
struct Held([AtomicU64; Place::ALL.len()]);

impl Held {
    fn of(&self, place: Place) -> &AtomicU64 {
        &self.0[place as usize]
    }

    /// Adds, and returns what is held then.
    fn add(&self, place: Place, amount: u64) -> u64 {
        self.of(place).fetch_add(amount, Relaxed).saturating_add(amount)
    }
}

/// The limits of all places and what is held of them.
#[derive(Debug)]
struct Places {
    limits: [u64; Place::ALL.len()],
    held: Held,
}

/// What one caller holds. An account without an organization behind it is its own.
#[derive(Debug)]
pub(crate) struct Account {
    places: Arc<Places>,
    organization: Arc<Held>,
    user: Held,
}

impl Account {
    /// Takes some of a place, or says why there is no room.
    pub(crate) fn take(self: &Arc<Self>, place: Place, amount: u64) -> Result<Claim, NoRoom> {
        let mut claim = Claim { account: Arc::clone(self), place, amount: 0 };
        claim.grow(amount)?;
        Ok(claim)
    }

    /// Takes some of a place whether there is room or not: for what has happened already and must be told.
    pub(crate) fn take_anyway(self: &Arc<Self>, place: Place, amount: u64) -> Claim {
        self.add(place, amount);
        Claim { account: Arc::clone(self), place, amount }
    }

    /// Whether there is room for a little more.
    pub(crate) fn has_room(&self, place: Place) -> Result<(), NoRoom> {
        let user = self.user.of(place).load(Relaxed);
        if user == 0 {
            return Ok(());
        }
        let (total, organization) = (self.places.held.of(place), self.organization.of(place));
        self.judge(place, total.load(Relaxed), organization.load(Relaxed), user)
    }

    fn add(&self, place: Place, amount: u64) -> (u64, u64, u64) {
        let total = self.places.held.add(place, amount);
        (total, self.organization.add(place, amount), self.user.add(place, amount))
    }

    fn give_back(&self, place: Place, amount: u64) {
        for held in [&self.user, &*self.organization, &self.places.held] {
            held.of(place).fetch_sub(amount, Relaxed);
        }
    }

    /// The rule: what the caller holds and what its organization holds, together, must fit into what is free.
    fn judge(&self, place: Place, total: u64, organization: u64, user: u64) -> Result<(), NoRoom> {
        let limit = self.places.limits[place as usize];
        let free = limit.checked_sub(total).ok_or(NoRoom::Full(place))?;
        if organization.saturating_add(user) <= free { Ok(()) } else { Err(NoRoom::Share(place)) }
    }
}

/// What a caller holds of a place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    account: Arc<Account>,
    place: Place,
    amount: u64,
}

impl Claim {
    /// Takes more; when that fails, what was held stays held.
    pub(crate) fn grow(&mut self, by: u64) -> Result<(), NoRoom> {
        let (total, organization, user) = self.account.add(self.place, by);
        let judged = match self.account.judge(self.place, total, organization, user) {
            // An organization that holds nothing else may have one request of any size that there is room for, up to
            // half of the place: however small a place is, it serves one at a time.
            Err(NoRoom::Share(_)) if organization == self.amount.saturating_add(by) && self.is_alone(by) => {
                Ok(())
            }
            judged => judged,
        };
        match judged {
            Ok(()) => self.amount += by,
            Err(_) => self.account.give_back(self.place, by),
        }
        judged
    }

    /// Whether it is the first of its kind, or leaves half of the place to others.
    fn is_alone(&self, by: u64) -> bool {
        matches!(self.place, Place::Requests | Place::Bodies) || self.amount.saturating_add(by) <= self.most()
    }

    /// The most that one request may hold of a place of bytes, when its organization holds nothing else.
    pub(crate) fn most(&self) -> u64 {
        self.account.places.limits[self.place as usize] / 2
    }

    /// How much is held.
    #[cfg(test)]
    fn amount(&self) -> u64 {
        self.amount
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.amount > 0 {
            self.account.give_back(self.place, self.amount);
        }
    }
}

/// Bytes that count as held for as long as anybody has them.
struct HeldBytes {
    bytes: bytes::Bytes,
    _claim: Claim,
}

impl HeldBytes {
    /// The same bytes, which give the claim back when the last reader lets go of them.
    fn of(bytes: bytes::Bytes, claim: Claim) -> bytes::Bytes {
        bytes::Bytes::from_owner(HeldBytes { bytes, _claim: claim })
    }
}

impl AsRef<[u8]> for HeldBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A caller with its account.
#[derive(Debug)]
pub(crate) struct KnownCaller {
    caller: Caller,
    pub(crate) account: Arc<Account>,
}

/// Shorter answers are not counted: those that a connection has not sent take no more than its buffers.
const SMALL_ANSWER: u64 = 16 * 1024;

impl KnownCaller {
    /// A place among the requests in work. Whoever does not take its answers gets none.
    pub(crate) fn permit(&self) -> Result<Claim, NoRoom> {
        let permit = self.account.take(Place::Requests, 1)?;
        self.account.has_room(Place::Answers)?;
        Ok(permit)
    }

    /// Counts an answer as the caller's until it is sent, or refuses it: of reads.
    pub(crate) fn holding(&self, answer: Answer) -> Result<Answer, NoRoom> {
        let length = length(&answer);
        if length < SMALL_ANSWER {
            return Ok(answer);
        }
        let claim = self.account.take(Place::Answers, length)?;
        let mut answer = held(answer, claim);
        answer
            .extensions_mut()
            .insert(Reader { caller: self.caller.clone(), account: Arc::clone(&self.account) });
        Ok(answer)
    }

    /// Counts an answer as the caller's until it is sent: of writes, which have happened.
    pub(crate) fn holding_anyway(&self, answer: Answer) -> Answer {
        let length = length(&answer);
        if length < SMALL_ANSWER {
            return answer;
        }
        held(answer, self.account.take_anyway(Place::Answers, length))
    }
}

/// The caller that reads a long answer: it travels with the answer until that leaves.
#[derive(Debug, Clone)]
pub(crate) struct Reader {
    pub(crate) caller: Caller,
    account: Arc<Account>,
}

impl Reader {
    /// Counts bytes that take the place of an answer's: there was room for those.
    pub(crate) fn holding_instead(&self, body: Vec<u8>) -> bytes::Bytes {
        let claim = self.account.take_anyway(Place::Answers, body.len() as u64);
        HeldBytes::of(body.into(), claim)
    }
}

fn length(answer: &Answer) -> u64 {
    answer.body().size_hint().exact().unwrap_or(0)
}

fn held(answer: Answer, claim: Claim) -> Answer {
    answer.map(|body| Full::new(HeldBytes::of(body.into_inner().unwrap_or_default(), claim)))
}

impl Deref for KnownCaller {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// How much each place holds; see [`Place`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) requests: usize,
    pub(crate) memory: u64,
    pub(crate) answers: u64,
}

/// The accounts of all callers.
#[derive(Debug)]
pub(crate) struct Shares {
    places: Arc<Places>,
    organizations: Mutex<Organizations>,
    /// Who asks without a token, all together, in places of their own.
    strangers: Arc<Account>,
}

type Organizations = HashMap<OrganizationId, (Arc<Held>, HashMap<String, Arc<Account>>)>;

impl Shares {
    /// Nobody holds anything; strangers have so much memory of their own.
    pub(crate) fn new(limits: Limits, strangers: u64) -> Shares {
        let places = |requests: usize, memory, answers| {
            let requests = requests as u64;
            Arc::new(Places { limits: [requests, requests, memory, answers], held: Held::default() })
        };
        let account = |places| Account { places, organization: Arc::default(), user: Held::default() };
        Shares {
            places: places(limits.requests, limits.memory, limits.answers),
            organizations: Mutex::default(),
            strangers: Arc::new(account(places(limits.requests, strangers, limits.answers))),
        }
    }

    /// The account of those who ask without a token.
    pub(crate) fn strangers(&self) -> &Arc<Account> {
        &self.strangers
    }

    /// A caller with its account. Done once for a token, not for a request.
    pub(crate) fn known(&self, caller: Caller) -> KnownCaller {
        let mut organizations = self.organizations.lock().unwrap_or_else(PoisonError::into_inner);
        let users: usize = organizations.values().map(|(_, users)| users.len()).sum();
        if users >= ACCOUNTS {
            organizations.retain(|_, (_, users)| {
                users.retain(|_, account| Arc::strong_count(account) > 1);
                !users.is_empty()
            });
        }
        let (held, users) = organizations.entry(caller.organization().clone()).or_default();
        let account = users.entry(caller.user().to_owned()).or_insert_with(|| {
            let (places, organization) = (Arc::clone(&self.places), Arc::clone(held));
            Arc::new(Account { places, organization, user: Held::default() })
        });
        let account = Arc::clone(account);
        KnownCaller { caller, account }
    }

    /// For each place: its name, what is held, and its limit.
    pub(crate) fn figures(&self) -> [(&'static str, u64, u64); Place::ALL.len()] {
        Place::ALL.map(|place| {
            (place.name(), self.places.held.of(place).load(Relaxed), self.places.limits[place as usize])
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { requests: 90, memory: 9_000, answers: 9_000 };

    struct Callers {
        shares: Shares,
        organizations: HashMap<u8, Arc<Held>>,
    }

    impl Callers {
        fn new(limits: Limits) -> Callers {
            Callers { shares: Shares::new(limits, 100), organizations: HashMap::new() }
        }

        fn user_of(&mut self, organization: u8) -> Arc<Account> {
            let organization = Arc::clone(self.organizations.entry(organization).or_default());
            let places = Arc::clone(&self.shares.places);
            Arc::new(Account { places, organization, user: Held::default() })
        }
    }

    /// Takes as much as it can get, in steps.
    fn greedy(account: &Arc<Account>, place: Place, step: u64) -> Vec<Claim> {
        std::iter::from_fn(|| account.take(place, step).ok()).collect()
    }

    fn sum(claims: &[Claim]) -> u64 {
        claims.iter().map(Claim::amount).sum()
    }

    #[test]
    fn one_caller_takes_a_third_and_the_next_still_finds_room() {
        for place in Place::ALL {
            let mut callers = Callers::new(LIMITS);
            let limit = callers.shares.places.limits[place as usize];
            let step = limit / 90;
            let (first, second) = (callers.user_of(1), callers.user_of(2));
            let held = greedy(&first, place, step);
            assert_eq!(sum(&held), limit / 3, "{place:?}");
            assert_eq!(first.take(place, step).unwrap_err(), NoRoom::Share(place));
            assert!(sum(&greedy(&second, place, step)) >= limit / 6, "{place:?}");
            drop(held);
            assert!(first.take(place, step).is_ok());
        }
    }

    #[test]
    fn however_many_take_what_they_can_a_newcomer_finds_room() {
        for (organizations, users) in [(1, 1), (1, 6), (6, 1), (3, 2), (12, 1), (1, 20)] {
            let mut callers = Callers::new(Limits { memory: 48 << 20, ..LIMITS });
            let hostile: Vec<_> = (0..organizations)
                .flat_map(|organization| vec![organization; users])
                .map(|organization| callers.user_of(organization))
                .collect();
            let mut held = Vec::new();
            // In turns, so that each has its whole share of what the others leave.
            loop {
                let before = held.len();
                held.extend(hostile.iter().filter_map(|account| account.take(Place::Memory, 1 << 14).ok()));
                if held.len() == before {
                    break;
                }
            }
            let stranger = callers.user_of(200);
            assert!(stranger.take(Place::Memory, 1 << 20).is_ok(), "{organizations} of {users}");
            let colleague = callers.user_of(0);
            assert!(colleague.take(Place::Memory, 1 << 16).is_ok(), "{organizations} of {users}");
        }
    }

    #[test]
    fn a_place_for_one_serves_one_at_a_time() {
        let mut callers = Callers::new(Limits { requests: 1, ..LIMITS });
        let (first, second) = (callers.user_of(1), callers.user_of(2));
        let claim = first.take(Place::Requests, 1).unwrap();
        assert_eq!(first.take(Place::Requests, 1).unwrap_err(), NoRoom::Full(Place::Requests));
        assert_eq!(second.take(Place::Requests, 1).unwrap_err(), NoRoom::Full(Place::Requests));
        drop(claim);
        assert!(second.take(Place::Requests, 1).is_ok());
    }

    #[test]
    fn one_request_alone_may_have_half_of_a_place_and_no_more() {
        let mut callers = Callers::new(LIMITS);
        let account = callers.user_of(1);
        let mut claim = account.take(Place::Memory, 4_000).unwrap();
        assert!(claim.grow(500).is_ok());
        assert_eq!(claim.grow(1), Err(NoRoom::Share(Place::Memory)));
        assert_eq!(account.take(Place::Memory, 1).unwrap_err(), NoRoom::Share(Place::Memory));
        drop(claim);
        assert_eq!(account.places.held.of(Place::Memory).load(Relaxed), 0);
    }

    #[test]
    fn what_must_be_told_is_counted_beyond_the_share_and_given_back() {
        let mut callers = Callers::new(LIMITS);
        let account = callers.user_of(1);
        assert_eq!(account.has_room(Place::Answers), Ok(()));
        let claim = account.take_anyway(Place::Answers, 20_000);
        assert_eq!(account.has_room(Place::Answers), Err(NoRoom::Full(Place::Answers)));
        let bytes = HeldBytes::of(bytes::Bytes::from_static(b"told"), claim);
        let copy = bytes.clone();
        drop(bytes);
        assert!(account.has_room(Place::Answers).is_err());
        drop(copy);
        assert_eq!(account.has_room(Place::Answers), Ok(()));
    }
}
