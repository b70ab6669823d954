//! Clients that read and write the same few referrals at once, and write down when they asked and were answered.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::checker::{Call, State, Timed};
use super::gateway::Gateway;
use super::support::chance::Chance;
use super::support::{Answer, Connection};

/// The collection.
pub const PATH: &str = "/v1.0/engagements/referrals";

/// Where a server is, while it is.
#[derive(Default)]
pub struct Node {
    address: Mutex<Option<SocketAddr>>,
    changed: Condvar,
}

impl Node {
    /// A server is there, or none any more.
    pub fn set(&self, address: Option<SocketAddr>) {
        *self.address.lock().unwrap() = address;
        self.changed.notify_all();
    }

    /// The server's address; waits a little for one.
    fn address(&self) -> Option<SocketAddr> {
        let wait = Duration::from_millis(5);
        let address = self.address.lock().unwrap();
        let (address, _) =
            self.changed.wait_timeout_while(address, wait, |address| address.is_none()).unwrap();
        *address
    }
}

/// What all clients share.
pub struct Stage<'a> {
    /// The servers.
    pub nodes: &'a [Node],
    /// What stands before them.
    pub gateway: &'a Gateway,
    /// The bearer token.
    pub token: &'a str,
    /// The ids of the referrals.
    pub referrals: &'a [String],
    /// Gives each moment once.
    pub moments: &'a AtomicU64,
    /// Gives each mark once.
    pub marks: &'a AtomicU64,
    /// Whether the clients should end.
    pub over: &'a AtomicBool,
}

/// What one client saw.
#[derive(Debug, Default)]
pub struct Seen {
    /// Its calls, by the referral's place.
    pub calls: Vec<(usize, Timed)>,
    /// The whole ETags that it was shown, by the referral's place.
    pub tags: Vec<(usize, String)>,
}

/// One client: a connection to each node, and what it knows of each referral.
pub struct Client<'a> {
    stage: &'a Stage<'a>,
    number: usize,
    chance: Chance,
    connections: BTreeMap<usize, (SocketAddr, Connection)>,
    /// The last tag and state that it saw.
    known: BTreeMap<usize, (String, State)>,
    seen: Seen,
}

/// A question that was sent, with its answer and moments.
struct Exchanged {
    asked: u64,
    answered: u64,
    answer: Option<Answer>,
}

/// The counter of a tag.
pub fn version_of(tag: &str) -> u64 {
    let tag: referral::ETag = tag.parse().expect("an ETag is well-formed");
    u64::from(tag.counter())
}

fn mark_of(referral: &Value) -> u64 {
    referral["externalReferenceId"].as_str().map_or(0, |mark| mark.parse().expect("marks are numbers"))
}

impl<'a> Client<'a> {
    /// A client that has seen nothing.
    pub fn new(stage: &'a Stage<'a>, number: usize, chance: Chance) -> Client<'a> {
        Client {
            stage,
            number,
            chance,
            connections: BTreeMap::new(),
            known: BTreeMap::new(),
            seen: Seen::default(),
        }
    }

    /// Reads and writes until it is over; what it saw.
    pub fn run(mut self) -> Seen {
        while !self.stage.over.load(Ordering::SeqCst) {
            let referral = self.chance.below(self.stage.referrals.len() as u64) as usize;
            let known = self.known.get(&referral).cloned();
            match (self.chance.below(100), known) {
                (0..10, _) => self.list(),
                (10..20, Some((_, state))) if state.mark != 0 => self.search(referral, state.mark),
                (20..55, Some((tag, _))) => self.write(referral, Some(tag)),
                (55..65, _) => self.write(referral, None),
                _ => self.read(referral),
            }
        }
        self.seen
    }

    fn read(&mut self, referral: usize) {
        let path = format!("{PATH}/{}", self.stage.referrals[referral]);
        let Some(exchanged) = self.exchange("GET", &path, &[], "") else { return };
        let Some(answer) = exchanged.success() else { return };
        match answer.status {
            404 => self.note(referral, Call::Absent, &exchanged),
            _ => self.note_shown(referral, &answer.json(), &exchanged),
        }
    }

    /// Each referral of a list is a read of it, and one that is missing is missed.
    fn list(&mut self) {
        let order = ["", "&$orderby=updatedDateTime%20desc"][self.chance.below(2) as usize];
        let Some(exchanged) = self.exchange("GET", &format!("{PATH}?$top=50{order}"), &[], "") else {
            return;
        };
        let Some(answer) = exchanged.success() else { return };
        let page = answer.json();
        let shown = page["value"].as_array().expect("a list has a value");
        for (place, id) in self.stage.referrals.iter().enumerate() {
            match shown.iter().find(|shown| shown["id"] == **id) {
                Some(shown) => self.note_shown(place, shown, &exchanged),
                None => self.note(place, Call::Absent, &exchanged),
            }
        }
    }

    /// A list of those with a mark that was seen.
    fn search(&mut self, referral: usize, mark: u64) {
        let path = format!("{PATH}?$filter=externalReferenceId%20eq%20'{mark}'");
        let Some(exchanged) = self.exchange("GET", &path, &[], "") else { return };
        let Some(answer) = exchanged.success() else { return };
        let page = answer.json();
        match page["value"].as_array().expect("a list has a value").as_slice() {
            [] => self.note(referral, Call::Without(mark), &exchanged),
            [shown] => {
                assert_eq!((mark_of(shown), &shown["id"]), (mark, &json!(self.stage.referrals[referral])));
                self.note_shown(referral, shown, &exchanged);
            }
            many => panic!("{mark} marks {} referrals", many.len()),
        }
    }

    /// Under this tag, or under none or any.
    fn write(&mut self, referral: usize, tag: Option<String>) {
        let id = &self.stage.referrals[referral];
        let path = format!("{PATH}/{id}");
        let mark = self.stage.marks.fetch_add(1, Ordering::SeqCst);
        let put = json!({ "id": id, "externalReferenceId": mark.to_string() });
        let patch = json!([{ "op": "replace", "path": "/externalReferenceId", "value": mark.to_string() }]);
        let if_match = tag.clone().unwrap_or_else(|| "*".to_owned());
        let headers = [("If-Match", if_match.as_str())];
        let exchanged = match self.chance.below(3) {
            0 => self.exchange("PUT", &path, &headers, &put.to_string()),
            1 if tag.is_none() => self.exchange("PATCH", &path, &[], &patch.to_string()),
            _ => self.exchange("PATCH", &path, &headers, &patch.to_string()),
        };
        let Some(exchanged) = exchanged else { return };
        let expected = tag.as_deref().map(version_of);
        let status = exchanged.answer.as_ref().map_or(503, |answer| answer.status);
        match (status, expected) {
            (200 | 204, _) => {
                let tag = exchanged.tag();
                let version = version_of(&tag);
                self.known.insert(referral, (tag.clone(), State { version, mark }));
                self.seen.tags.push((referral, tag));
                self.note(referral, Call::Written { mark, expected, version }, &exchanged);
            }
            (412, Some(expected)) => {
                self.known.remove(&referral);
                self.note(referral, Call::Refused { expected }, &exchanged);
            }
            (503, _) => self.note(referral, Call::Unanswered { mark, expected }, &exchanged),
            (status, _) => panic!("{status} to {mark}: {:?}", exchanged.answer.map(|answer| answer.text())),
        }
    }

    fn note_shown(&mut self, referral: usize, shown: &Value, exchanged: &Exchanged) {
        let tag = shown["eTag"].as_str().expect("a referral has a tag").to_owned();
        let state = State { version: version_of(&tag), mark: mark_of(shown) };
        self.known.insert(referral, (tag.clone(), state));
        self.seen.tags.push((referral, tag));
        self.note(referral, Call::Shown(state), exchanged);
    }

    fn note(&mut self, referral: usize, call: Call, exchanged: &Exchanged) {
        let (client, asked, answered) = (self.number, exchanged.asked, exchanged.answered);
        self.seen.calls.push((referral, Timed { client, call, asked, answered }));
    }

    /// Sends a request to some node; `None` when none was there to be asked.
    fn exchange(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Option<Exchanged> {
        let node = self.chance.below(self.stage.nodes.len() as u64) as usize;
        let address = self.stage.nodes[node].address()?;
        let connection = match self.connections.remove(&node) {
            Some((known, connection)) if known == address => Some(connection),
            _ => Connection::try_open(address).ok(),
        };
        let mut connection = connection?;
        let bearer = format!("Bearer {}", self.stage.token);
        let mut all = vec![("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
        all.extend(headers);
        let tick = || self.stage.moments.fetch_add(1, Ordering::SeqCst);
        let asked = tick();
        let answer = self.stage.gateway.pass(&mut connection, method, path, &all, body).ok();
        let answered = tick();
        if answer.is_some() {
            self.connections.insert(node, (address, connection));
        }
        Some(Exchanged { asked, answered, answer })
    }
}

impl Exchanged {
    /// The answer to a read, if it says anything of referrals.
    fn success(&self) -> Option<&Answer> {
        let answer = self.answer.as_ref()?;
        match answer.status {
            200 | 404 => Some(answer),
            503 => None,
            status => panic!("{status}: {}", answer.text()),
        }
    }

    fn tag(&self) -> String {
        let answer = self.answer.as_ref().expect("an acknowledged write was answered");
        answer.header("ETag").expect("an acknowledged write has a tag").to_owned()
    }
}
