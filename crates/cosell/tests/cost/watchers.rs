//! Healthy callers beside an attack: each asks the same thing again and again, on connections of its own.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::Connection;
use crate::world::{REFERRALS, Targets, Tokens};

/// One request in so many comes on a connection of its own.
const FRESH_CONNECTION: usize = 8;

/// How many answers may be later than the bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// None.
    Each(Duration),
    /// One in a hundred.
    Percentile99(Duration),
}

/// What a healthy caller asks for.
struct Watch {
    name: &'static str,
    method: &'static str,
    path: String,
    token: Option<String>,
    /// The right status.
    status: u16,
    bound: Bound,
    pause: Duration,
}

/// One answer.
#[derive(Debug, Clone, Copy)]
struct Sample {
    took: Duration,
    /// 0 if there was none.
    status: u16,
}

/// What a watcher has seen so far.
#[derive(Default)]
struct Record {
    samples: Vec<Sample>,
    /// When the request that has no answer yet was sent.
    waiting_since: Option<Instant>,
}

struct Watcher {
    watch: Arc<Watch>,
    record: Arc<Mutex<Record>>,
    thread: Option<JoinHandle<()>>,
}

/// All watchers of a server.
pub struct Watchers {
    watchers: Vec<Watcher>,
    signals: Arc<Signals>,
}

/// What the threads of the watchers are told.
#[derive(Default)]
struct Signals {
    ended: AtomicBool,
    paused: AtomicBool,
}

/// A place in the records: what comes after it belongs to one attack.
pub struct Mark(Vec<usize>);

impl Watchers {
    /// Begins to watch.
    pub fn start(address: SocketAddr, tokens: &Tokens, targets: &Targets) -> Watchers {
        let signals = Arc::<Signals>::default();
        let watchers = watches(tokens, targets).into_iter().map(|watch| {
            let (watch, record) = (Arc::new(watch), Arc::<Mutex<Record>>::default());
            let (thread_watch, thread_record) = (Arc::clone(&watch), Arc::clone(&record));
            let signals = Arc::clone(&signals);
            let thread = std::thread::spawn(move || thread_watch.run(address, &thread_record, &signals));
            Watcher { watch, record, thread: Some(thread) }
        });
        Watchers { watchers: watchers.collect(), signals }
    }

    /// The place that the records have reached.
    pub fn mark(&self) -> Mark {
        Mark(self.watchers.iter().map(|watcher| watcher.record.lock().unwrap().samples.len()).collect())
    }

    /// The bounds that were broken since a mark, in words. `allowance` is by how much they are wider than on a machine
    /// that does nothing else.
    pub fn broken_since(&self, mark: &Mark, allowance: f64) -> Vec<String> {
        let of_each = self.watchers.iter().zip(&mark.0);
        of_each.filter_map(|(watcher, from)| watcher.broken(*from, allowance)).collect()
    }

    /// A line for each watcher: how many answers since a mark, and how late the latest were.
    pub fn summary_since(&self, mark: &Mark) -> Vec<String> {
        let of_each = self.watchers.iter().zip(&mark.0);
        of_each.map(|(watcher, from)| watcher.summary(*from)).collect()
    }

    /// Lets the watchers send nothing, or go on. A request that has no answer yet is not taken back.
    pub fn pause(&self, paused: bool) {
        self.signals.paused.store(paused, Ordering::SeqCst);
    }

    /// Ends the watchers. A server that does not answer must have been killed before.
    pub fn stop(&mut self) {
        self.signals.ended.store(true, Ordering::SeqCst);
        for watcher in &mut self.watchers {
            if let Some(thread) = watcher.thread.take() {
                thread.join().unwrap();
            }
        }
    }
}

/// What is watched, and the bounds that hold for it.
fn watches(tokens: &Tokens, targets: &Targets) -> Vec<Watch> {
    let ms = Duration::from_millis;
    let get = |name, path: String, token: Option<&String>, bound, pause| Watch {
        name,
        method: "GET",
        path,
        token: token.cloned(),
        status: 200,
        bound,
        pause,
    };
    let [of_contoso, of_fabrikam] = targets.healthy.each_ref().map(|id| format!("{REFERRALS}/{id}"));
    let (colleague, neighbour) = (Some(&tokens.colleague), Some(&tokens.neighbour));
    vec![
        get("/livez", "/livez".to_owned(), None, Bound::Each(ms(250)), ms(20)),
        // Lists of other organizations come through all the time, so the server is ready all the time.
        get("/readyz", "/readyz".to_owned(), None, Bound::Each(ms(1000)), ms(100)),
        get("a colleague's GET by id", of_contoso, colleague, Bound::Percentile99(ms(250)), ms(30)),
        get(
            "another organization's GET by id",
            of_fabrikam.clone(),
            neighbour,
            Bound::Percentile99(ms(250)),
            ms(30),
        ),
        get(
            "another organization's list",
            format!("{REFERRALS}?$top=50"),
            neighbour,
            Bound::Percentile99(ms(1000)),
            ms(80),
        ),
        get(
            "another organization's filtered list",
            format!("{REFERRALS}?$filter=contains(name,'cloud')%20and%20status%20eq%20'Active'&$top=20"),
            neighbour,
            Bound::Percentile99(ms(1000)),
            ms(120),
        ),
        Watch {
            name: "another organization's PATCH",
            method: "PATCH",
            path: of_fabrikam,
            token: neighbour.cloned(),
            status: 204,
            bound: Bound::Percentile99(ms(1000)),
            pause: ms(150),
        },
    ]
}

impl Watch {
    fn run(&self, address: SocketAddr, record: &Mutex<Record>, signals: &Signals) {
        let mut kept: Option<Connection> = None;
        for number in 0.. {
            while signals.paused.load(Ordering::SeqCst) && !signals.ended.load(Ordering::SeqCst) {
                std::thread::sleep(self.pause);
            }
            if signals.ended.load(Ordering::SeqCst) {
                return;
            }
            let begun = Instant::now();
            record.lock().unwrap().waiting_since = Some(begun);
            let connection = match kept.take().filter(|_| number % FRESH_CONNECTION != 0) {
                Some(connection) => Ok(connection),
                None => Connection::try_open(address),
            };
            let status = connection.and_then(|mut connection| {
                let status = self.ask(&mut connection, number)?;
                kept = Some(connection);
                Ok(status)
            });
            let sample = Sample { took: begun.elapsed(), status: status.unwrap_or(0) };
            let mut record = record.lock().unwrap();
            record.waiting_since = None;
            record.samples.push(sample);
            drop(record);
            std::thread::sleep(self.pause);
        }
    }

    fn ask(&self, connection: &mut Connection, number: usize) -> std::io::Result<u16> {
        let bearer = self.token.as_ref().map(|token| format!("Bearer {token}"));
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(bearer.as_ref().map(|bearer| ("Authorization", bearer.as_str())));
        let body = match self.method {
            "PATCH" => {
                format!(r#"[{{"op":"replace","path":"/externalReferenceId","value":"{number}"}}]"#)
            }
            _ => String::new(),
        };
        let answer = connection.try_request(self.method, &self.path, &headers, body.as_bytes())?;
        Ok(answer.status)
    }
}

impl Watcher {
    /// The times since a place in increasing order, with that of the request that waits, and the wrong statuses.
    fn since(&self, from: usize) -> (Vec<Duration>, Vec<u16>) {
        let record = self.record.lock().unwrap();
        let samples = record.samples.get(from..).unwrap_or_default();
        let mut times: Vec<Duration> = samples.iter().map(|sample| sample.took).collect();
        times.extend(record.waiting_since.map(|since| since.elapsed()));
        times.sort_unstable();
        let right = self.watch.status;
        let wrong = samples.iter().map(|sample| sample.status).filter(|status| *status != right).collect();
        (times, wrong)
    }

    fn broken(&self, from: usize, allowance: f64) -> Option<String> {
        let (times, wrong) = self.since(from);
        let bound = match self.watch.bound {
            Bound::Each(bound) | Bound::Percentile99(bound) => bound.mul_f64(allowance),
        };
        let late = times.iter().filter(|time| **time >= bound).count();
        let allowed = match self.watch.bound {
            Bound::Each(_) => 0,
            // Of fewer than a hundred one may be late.
            Bound::Percentile99(_) => times.len().div_ceil(100),
        };
        if late <= allowed && wrong.is_empty() {
            return None;
        }
        let mut statuses = wrong.clone();
        statuses.dedup();
        statuses.truncate(5);
        let (name, slowest) = (self.watch.name, times.last().copied().unwrap_or_default());
        Some(format!(
            "{name}: {late} of {} answers late, the slowest {slowest:?}; {} wrong {statuses:?} (0: none came)",
            times.len(),
            wrong.len()
        ))
    }

    fn summary(&self, from: usize) -> String {
        let (times, wrong) = self.since(from);
        let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().max(1) - 1));
        let [half, most, all] = [50, 99, 100].map(|percent| at(percent).copied().unwrap_or_default());
        format!(
            "{:<38} {:>6} answers, {} wrong; p50 {half:.1?}, p99 {most:.1?}, slowest {all:.1?}",
            self.watch.name,
            times.len(),
            wrong.len()
        )
    }
}
