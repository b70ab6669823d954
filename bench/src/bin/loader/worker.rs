//! What one connection does until the time is up.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cosell_bench::Outcome;
use cosell_bench::dataset::Random;
use cosell_bench::http::{Answer, Connection};
use cosell_bench::timing::Times;

/// How long an answer is waited for when the time is up. Some peers search a million rows for half a minute.
const PATIENCE: Duration = Duration::from_secs(120);

/// What all connections are to do.
pub struct Job {
    pub address: String,
    pub path: String,
    pub method: String,
    pub token: Option<String>,
    pub ids: Vec<String>,
    pub bodies: Vec<String>,
    pub body: Option<String>,
    /// The member of a body of `bodies` that is new in each write.
    pub change: String,
    /// Whether a write names itself.
    pub named: bool,
    /// Whether each id is asked for once, in their order.
    pub once: bool,
    /// Requests a second of all connections together; 0: as fast as the answers come.
    pub rate: f64,
    pub connections: usize,
    pub start: Instant,
    /// Of writes: what each id's tag was before.
    pub tags: Vec<String>,
    /// Since `start`: when counting begins.
    pub warm_up: Duration,
    /// Since `start`: when it ends.
    pub end: Duration,
}

/// What came of it.
#[derive(Default)]
pub struct Tally {
    pub times: Times,
    pub statuses: BTreeMap<u16, u64>,
    /// Bytes of the bodies counted.
    pub bytes: u64,
    /// Good answers of every kind, warm-up included.
    pub completed: u64,
    pub errors: u64,
    pub first_error: Option<String>,
}

impl Tally {
    pub fn add(&mut self, other: Tally) {
        self.times.add(&other.times);
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.bytes += other.bytes;
        self.completed += other.completed;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
    }

    fn failed(&mut self, error: &std::io::Error) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| error.to_string());
    }
}

/// The tags of all ids, by their places.
pub fn tags(job: &Arc<Job>) -> Outcome<Vec<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let running: Vec<_> = (0..job.connections)
            .map(|number| tokio::spawn(Worker::new(job.clone(), number).own_tags()))
            .collect();
        let mut tags = vec![String::new(); job.ids.len()];
        for worker in running {
            for (place, tag) in worker.await?? {
                tags[place] = tag;
            }
        }
        Ok(tags)
    })
}

/// Runs the connections of one thread.
pub fn run_all(job: &Arc<Job>, numbers: &[usize]) -> Outcome<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let running: Vec<_> =
            numbers.iter().map(|number| tokio::spawn(Worker::new(job.clone(), *number).run())).collect();
        let mut tally = Tally::default();
        for worker in running {
            // A server that hangs must not hang the measurement.
            let limit = job.end.saturating_sub(job.start.elapsed()) + PATIENCE;
            match tokio::time::timeout(limit, worker).await {
                Ok(done) => tally.add(done?),
                Err(_) => return Err(format!("the server did not answer for {PATIENCE:?}").into()),
            }
        }
        Ok(tally)
    })
}

struct Worker {
    job: Arc<Job>,
    number: usize,
    random: Random,
    /// Of requests; unlike those of other runs on the same data.
    names: Random,
    connection: Option<Connection>,
    /// The last tag seen, by the place of the id.
    tags: HashMap<usize, String>,
    sent: u64,
    /// Requests that were due.
    turns: u64,
    /// Where the id of the current one is, when each is asked for once.
    place: usize,
    tally: Tally,
}

impl Worker {
    fn new(job: Arc<Job>, number: usize) -> Worker {
        let random = Random::seeded(0xc0_ffee ^ ((number as u64) << 20));
        let own = job.tags.iter().cloned().enumerate().skip(number).step_by(job.connections);
        let tags = own.collect();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let names = Random::seeded(now.as_nanos() as u64 ^ ((number as u64) << 48));
        Worker {
            job,
            number,
            random,
            names,
            connection: None,
            tags,
            sent: 0,
            turns: 0,
            place: 0,
            tally: Tally::default(),
        }
    }

    /// The tags of its share of the ids.
    async fn own_tags(mut self) -> std::io::Result<Vec<(usize, String)>> {
        let mut tags = Vec::new();
        for place in (self.number..self.job.ids.len()).step_by(self.job.connections) {
            tags.push((place, self.tag(place).await?));
        }
        Ok(tags)
    }

    async fn tag(&mut self, place: usize) -> std::io::Result<String> {
        let path = self.job.path.replace("{id}", &self.job.ids[place]);
        let read = self.request("GET", &path, None, None);
        Ok(self.call(&read).await?.etag.unwrap_or_default())
    }

    fn writes(&self) -> bool {
        self.job.method != "GET"
    }

    async fn run(mut self) -> Tally {
        loop {
            let due = self.due();
            if due >= self.job.end || self.job.once && self.next() >= self.job.ids.len() {
                return self.tally;
            }
            if let Some(wait) = due.checked_sub(self.job.start.elapsed()) {
                tokio::time::sleep(wait).await;
            }
            self.place = self.next();
            self.turns += 1;
            if let Err(error) = self.step(due).await {
                self.tally.failed(&error);
                self.connection = None;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// When the next request is to be sent, since the start. In a closed loop: now.
    fn due(&self) -> Duration {
        if self.job.rate <= 0.0 {
            return self.job.start.elapsed();
        }
        let place = self.turns * self.job.connections as u64 + self.number as u64;
        Duration::from_secs_f64(place as f64 / self.job.rate)
    }

    async fn step(&mut self, due: Duration) -> std::io::Result<()> {
        let place = self.choose();
        let id = self.job.ids.get(place).map_or("", String::as_str);
        let path = self.job.path.replace("{id}", id);
        if self.writes() && !self.tags.contains_key(&place) {
            let seen = self.tag(place).await?;
            self.tags.insert(place, seen);
        }
        let request = if self.writes() {
            let tag = self.tags.get(&place).cloned();
            let body = self.body(place);
            let job = self.job.clone();
            self.request(&job.method, &path, tag.as_deref(), Some(&body))
        } else {
            self.request("GET", &path, None, None)
        };
        self.sent += 1;
        let began = if self.job.rate > 0.0 { due } else { self.job.start.elapsed() };
        let answer = self.call(&request).await?;
        let ended = self.job.start.elapsed();
        if ended >= self.job.warm_up && ended < self.job.end {
            *self.tally.statuses.entry(answer.status).or_default() += 1;
            self.tally.bytes += answer.length as u64;
            self.tally.times.record(ended - began);
        }
        if self.writes() {
            match answer.etag {
                Some(tag) if answer.status < 300 => self.tags.insert(place, tag),
                _ => self.tags.remove(&place),
            };
        }
        Ok(())
    }

    /// Where the next id is, when each is asked for once.
    fn next(&self) -> usize {
        self.number + self.turns as usize * self.job.connections
    }

    /// A place in the list of ids; for a write one of this connection's own.
    fn choose(&mut self) -> usize {
        let ids = self.job.ids.len().max(1);
        if self.job.once {
            return self.place;
        }
        if !self.writes() {
            return self.random.below(ids as u64) as usize;
        }
        let share = (ids - self.number).div_ceil(self.job.connections);
        self.number + self.job.connections * self.random.below(share as u64) as usize
    }

    async fn call(&mut self, request: &[u8]) -> std::io::Result<Answer> {
        if self.connection.is_none() {
            self.connection = Some(Connection::open(&self.job.address).await?);
        }
        let Some(connection) = &mut self.connection else { unreachable!("it was opened above") };
        let answer = connection.call(request).await?;
        if answer.last {
            self.connection = None;
        }
        self.tally.completed += u64::from(answer.status < 400);
        Ok(answer)
    }

    /// A body unlike the one before, so that every write changes something.
    fn body(&self, place: usize) -> String {
        let fresh = self.sent * 1000 + self.number as u64;
        if let Some(body) = &self.job.body {
            return body.replace("{n}", &fresh.to_string());
        }
        with_new_value(&self.job.bodies[place], &self.job.change, fresh)
    }

    fn request(&mut self, method: &str, path: &str, tag: Option<&str>, body: Option<&str>) -> Vec<u8> {
        let mut text = String::with_capacity(2048 + body.map_or(0, str::len));
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\naccept: application/json\r\n",
            self.job.address
        );
        if let Some(token) = &self.job.token {
            let _ = write!(text, "authorization: Bearer {token}\r\n");
        }
        if let Some(tag) = tag {
            let _ = write!(text, "if-match: {tag}\r\n");
        }
        if self.job.named && body.is_some() {
            let _ = write!(text, "request-id: {}\r\n", self.names.uuid());
        }
        match body {
            Some(body) => {
                let length = body.len();
                let _ =
                    write!(text, "content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}");
            }
            None => text.push_str("\r\n"),
        }
        text.into_bytes()
    }
}

/// The document with another value of a member, of the same length where it is a text that ends in ten digits (`EXT-…`)
/// or a number of six digits.
fn with_new_value(document: &str, member: &str, fresh: u64) -> String {
    let mark = format!("\"{member}\":");
    let Some(at) = document.find(&mark).map(|found| found + mark.len()) else { return document.to_owned() };
    let (before, value) = document.split_at(at);
    match value.strip_prefix('"') {
        Some(text) => {
            let end = text.find('"').unwrap_or(text.len());
            format!("{before}\"EXT-{:010}{}", fresh % 10_000_000_000, &text[end..])
        }
        None => {
            let end = value.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(value.len());
            format!("{before}{}{}", 100_000 + fresh % 900_000, &value[end..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_value_has_the_length_of_the_old_one() {
        let document =
            r#"{"externalReferenceId":"EXT-0000000001","details":{"dealValue":123456,"currency":"EUR"}}"#;
        for (member, value) in
            [("dealValue", "\"dealValue\":100077,"), ("externalReferenceId", "\"EXT-0000000077\",")]
        {
            let changed = with_new_value(document, member, 77);
            assert_eq!(changed.len(), document.len());
            assert!(changed.contains(value), "{changed}");
        }
        assert_eq!(with_new_value(document, "other", 77), document);
    }
}
