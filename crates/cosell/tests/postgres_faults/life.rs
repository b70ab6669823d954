//! Clients that write through several nodes while nodes, servers and networks fail, and what they were told held against
//! what the database holds.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use referral::OrganizationId;
use serde_json::Value;
use store::Store;
use store::postgres::{PostgresOptions, PostgresStore};

use super::clients::{Call, Client, Request, get, post};
use super::ledger::{Attempt, Ledger, Line, Outcome, State};
use super::place::{ORGANIZATIONS, Place};
use super::support::chance::Chance;
use super::support::{Answer, Connection};

/// Clients at once, half of them of each organization.
pub const CLIENTS: usize = 12;
/// How long a client waits that was refused or not answered; what `Retry-After` says would make the tests long.
const PAUSE: Duration = Duration::from_millis(40);
/// How many answers are asked for again after each load.
const REPEATED: usize = 12;
/// Nothing may take so long.
const PATIENCE: Duration = Duration::from_secs(50);

/// Where the nodes are; a node that comes again has another address.
pub type Addresses = Mutex<Vec<SocketAddr>>;

/// What happened in all.
#[derive(Debug, Default)]
pub struct Tally {
    /// Writes with an answer of success.
    pub acknowledged: usize,
    /// Writes without an answer.
    pub unanswered: usize,
    /// Writes and reads answered with 503.
    pub refused: usize,
    /// Answers that were asked for again.
    pub repeated: usize,
}

/// The clients of one database, from its beginning on.
pub struct Life {
    tokens: Vec<String>,
    clients: Vec<Client>,
    ledger: Ledger,
    /// What was called since the database was last looked at.
    calls: Vec<Call>,
    /// What may be asked for again, of the last load.
    repeatable: Vec<(usize, Call)>,
    /// What happened.
    pub tally: Tally,
    /// The longest that a call waited for its answer.
    pub slowest: Duration,
}

/// What a load shows to who watches it.
#[derive(Default)]
pub struct Gauge {
    /// Writes that were acknowledged so far.
    pub acknowledged: AtomicU64,
    /// Answers of 503 so far.
    pub refused: AtomicU64,
}

impl Gauge {
    /// Waits until so many more writes are acknowledged than were when it was asked.
    pub fn wait_for_writes(&self, more: u64) {
        let from = self.acknowledged.load(Ordering::SeqCst);
        let begun = Instant::now();
        while self.acknowledged.load(Ordering::SeqCst) < from + more {
            assert!(begun.elapsed() < PATIENCE, "nothing is acknowledged any more");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Waits until a call has been refused.
    pub fn wait_for_a_refusal(&self) {
        let begun = Instant::now();
        while self.refused.load(Ordering::SeqCst) == 0 {
            assert!(begun.elapsed() < PATIENCE, "nobody is refused");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Ends the load also when the test fails meanwhile.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

fn organization_of(client: usize) -> usize {
    client % ORGANIZATIONS.len()
}

impl Life {
    /// Clients, and one referral in each organization that all of its clients change.
    pub fn begin(place: &Place, node: SocketAddr, chance: &mut Chance) -> Life {
        let tokens: Vec<String> = (0..ORGANIZATIONS.len()).map(|number| place.token(number)).collect();
        let mut clients: Vec<Client> =
            (0..CLIENTS).map(|number| Client::new(format!("c{number}"), chance.branch())).collect();
        let mut calls = Vec::new();
        for (organization, token) in tokens.iter().enumerate() {
            let mark = format!("shared-{organization}");
            let request = post(&mark);
            let answer = request.send(&mut Connection::open(node), token).unwrap();
            let id = answer.json()["id"].as_str().unwrap().to_owned();
            for client in clients.iter_mut().skip(organization).step_by(ORGANIZATIONS.len()) {
                client.shared = Some(id.clone());
            }
            calls.push(Call { mark, request, answer: Some(answer) });
        }
        let (ledger, repeatable, tally) = (Ledger::default(), Vec::new(), Tally::default());
        Life { tokens, clients, ledger, calls, repeatable, tally, slowest: Duration::ZERO }
    }

    /// Lets the clients write while something happens. Each has a node of its own, and goes to the next one when that
    /// does not answer.
    pub fn load<T>(&mut self, nodes: &Addresses, meanwhile: impl FnOnce(&Gauge) -> T) -> T {
        let (gauge, is_over) = (Gauge::default(), AtomicBool::new(false));
        let tokens = &self.tokens;
        let (seen, result) = std::thread::scope(|scope| {
            let clients = self.clients.iter_mut().enumerate();
            let writing: Vec<_> = clients
                .map(|(number, client)| {
                    let way = Way { nodes, number, gauge: &gauge, is_over: &is_over };
                    scope.spawn(move || way.write(client, &tokens[organization_of(number)]))
                })
                .collect();
            let ending = Ending(&is_over);
            let result = meanwhile(&gauge);
            drop(ending);
            let seen: Vec<_> = writing.into_iter().map(|client| client.join().unwrap()).collect();
            (seen, result)
        });
        self.repeatable.clear();
        for (number, (calls, slowest)) in seen.into_iter().enumerate() {
            self.slowest = self.slowest.max(slowest);
            for call in calls {
                let status = call.answer.as_ref().map(|answer| answer.status);
                self.tally.unanswered += usize::from(status.is_none());
                self.tally.refused += usize::from(status == Some(503));
                self.tally.acknowledged += usize::from(call.is_acknowledged());
                if call.request.is_repeatable() {
                    self.repeatable.push((number, call.clone()));
                }
                self.calls.push(call);
            }
        }
        result
    }

    /// Asks a node again for answers that were given, and for some that nobody received; then for every client's newest
    /// referrals, which show what was acknowledged or later.
    pub fn ask_again(&mut self, node: SocketAddr, chance: &mut Chance) {
        let mut connection = Connection::open(node);
        let (mut unknown, mut known): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.repeatable).into_iter().partition(|(_, call)| call.is_unknown());
        known.retain(|(_, call)| call.is_acknowledged());
        for some in [&mut unknown, &mut known] {
            while some.len() > REPEATED {
                some.swap_remove(chance.below(some.len() as u64) as usize);
            }
        }
        for (client, mut call) in unknown {
            let token = &self.tokens[organization_of(client)];
            let first = served(&mut connection, &call.request, token);
            let second = served(&mut connection, &call.request, token);
            call.assert_same_answer(&first, &second);
            self.clients[client].learn(&call.request, &first);
            call.answer = Some(first);
            self.calls.push(call);
            self.tally.repeated += 1;
        }
        for (client, call) in known {
            let Some(first) = &call.answer else { continue };
            let again = served(&mut connection, &call.request, &self.tokens[organization_of(client)]);
            call.assert_same_answer(first, &again);
            self.tally.repeated += 1;
        }
        for (number, client) in self.clients.iter_mut().enumerate() {
            let token = &self.tokens[organization_of(number)];
            for (id, etag) in client.own.iter_mut().rev().take(4) {
                let answer = served(&mut connection, &get(id), token);
                assert_eq!(answer.status, 200, "{id}, acknowledged with {etag}: {}", answer.text());
                let found = answer.header("ETag").unwrap();
                assert!(counter(found) >= counter(etag), "{id} is at {found}, but {etag} was acknowledged");
                *etag = found.to_owned();
            }
        }
    }

    /// Holds what was called since the last time against the database.
    pub fn judge(&mut self, address: &str) {
        let attempt = |call: &Call| call.attempt().unwrap_or_else(|fault| panic!("a wrong answer: {fault}"));
        let attempts: Vec<Attempt> = self.calls.iter().map(attempt).collect();
        self.calls.clear();
        let (lines, states) = read(address, &self.ledger);
        let wrong = self.ledger.judge(&attempts, &lines, &states);
        assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong.join("\n"));
        let refused =
            |attempt: &&Attempt| matches!(attempt.outcome, Outcome::Refused(status) if status != 412);
        assert_eq!(attempts.iter().find(refused), None);
    }

    /// The whole log from its first entry on, once more: nothing that was there is gone.
    pub fn judge_all(&self, address: &str) {
        let mut afresh = self.ledger.emptied();
        let (lines, states) = read(address, &afresh);
        let wrong = afresh.judge(&[], &lines, &states);
        assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong.join("\n"));
        assert_eq!(afresh, self.ledger, "the log tells another story than while it was written");
    }
}

/// A client's way to the nodes.
struct Way<'a> {
    nodes: &'a Addresses,
    number: usize,
    gauge: &'a Gauge,
    is_over: &'a AtomicBool,
}

impl Way<'_> {
    fn write(mut self, client: &mut Client, token: &str) -> (Vec<Call>, Duration) {
        let (mut calls, mut slowest) = (Vec::new(), Duration::ZERO);
        let mut connection = None;
        while !self.is_over.load(Ordering::SeqCst) {
            let Some(mut open) = connection.take().or_else(|| self.connect()) else {
                std::thread::sleep(PAUSE);
                continue;
            };
            let (mark, request) = client.choose();
            let begun = Instant::now();
            let answer = request.send(&mut open, token).ok();
            slowest = slowest.max(begun.elapsed());
            match &answer {
                None => self.number += 1,
                Some(answer) if answer.status == 503 => {
                    self.gauge.refused.fetch_add(1, Ordering::SeqCst);
                    self.number += 1;
                    std::thread::sleep(PAUSE);
                }
                Some(answer) => {
                    client.learn(&request, answer);
                    connection = Some(open);
                }
            }
            let call = Call { mark, request, answer };
            self.gauge.acknowledged.fetch_add(u64::from(call.is_acknowledged()), Ordering::SeqCst);
            calls.push(call);
        }
        (calls, slowest)
    }

    fn connect(&mut self) -> Option<Connection> {
        let address = {
            let nodes = self.nodes.lock().unwrap();
            nodes.get(self.number % nodes.len().max(1)).copied()
        };
        let open = Connection::try_open(address?).ok();
        self.number += usize::from(open.is_none());
        open
    }
}

/// Comes again for as long as it is told to: one node may find the database later than the others.
fn served(connection: &mut Connection, request: &Request, token: &str) -> Answer {
    let begun = Instant::now();
    loop {
        let answer = request.send(connection, token).unwrap();
        if answer.status != 503 {
            return answer;
        }
        assert!(begun.elapsed() < PATIENCE, "{}", answer.text());
        std::thread::sleep(PAUSE);
    }
}

fn counter(tag: &str) -> u32 {
    tag.parse::<referral::ETag>().unwrap().counter()
}

/// The log beyond what the ledger knows, and every referral that it speaks of: of a moment in which nobody writes, for a
/// commit that nobody waits for any more may still be under way.
fn read(address: &str, known: &Ledger) -> (Vec<Line>, BTreeMap<String, State>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = PostgresStore::open(address, PostgresOptions::default()).await.unwrap();
        let begun = Instant::now();
        loop {
            let before = ends(&store, known).await;
            let found = read_once(&store, known).await;
            if before == ends(&store, known).await {
                store.close().await;
                return found;
            }
            assert!(begun.elapsed() < PATIENCE, "the log does not come to rest");
        }
    })
}

async fn ends(store: &PostgresStore, known: &Ledger) -> Vec<usize> {
    let mut ends = Vec::new();
    for (organization, ..) in ORGANIZATIONS {
        let owner: OrganizationId = organization.parse().unwrap();
        ends.push(store.log(&owner, known.position(organization), usize::MAX >> 1).await.unwrap().len());
    }
    ends
}

async fn read_once(store: &PostgresStore, known: &Ledger) -> (Vec<Line>, BTreeMap<String, State>) {
    let (mut lines, mut states) = (Vec::new(), BTreeMap::new());
    for (organization, ..) in ORGANIZATIONS {
        let owner: OrganizationId = organization.parse().unwrap();
        let mut documents = BTreeMap::new();
        for entry in store.log(&owner, known.position(organization), usize::MAX >> 1).await.unwrap() {
            let id = entry.referral_id;
            if let Entry::Vacant(unread) = documents.entry(id.to_string()) {
                let stored = store.referral(&owner, id).await.unwrap();
                let stored = stored.unwrap_or_else(|| panic!("the log speaks of {id}, which is not there"));
                let document: Value = serde_json::from_slice(&stored.document).unwrap();
                assert_eq!(document["eTag"], stored.etag.to_string());
                let mark = document["externalReferenceId"].as_str().map(str::to_owned);
                let state = State { version: stored.version, etag: stored.etag.to_string(), mark };
                states.insert(id.to_string(), state);
                unread.insert(document);
            }
            lines.push(Line::of(organization, &entry, &documents[&id.to_string()]));
        }
    }
    (lines, states)
}
