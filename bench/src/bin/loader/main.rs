//! Load over HTTP/1.1, kept alive, in a closed loop: each connection sends its next request when it has its answer. Or
//! at a fixed rate, whatever the answers take.
//!
//! ```text
//! loader --address 127.0.0.1:8080 --path '/v1.0/engagements/referrals/{id}' --ids ids.txt
//! loader … --method PUT --bodies open.jsonl          the n-th line is the body for the n-th id
//! loader … --method PATCH --body '{"statusReason":"r{n}"}'
//! ```
//!
//! - `--connections 64`, `--threads 1`, `--seconds 4`, `--warm-up 1` (seconds that are not counted)
//! - `--token TOKEN`: sent as `Authorization: Bearer`
//! - `--rate 2000`: so many requests a second, evenly spaced over all connections; a time counts from when a request was
//!   due. The timer works in steps of a millisecond, so that of times below it the server's own histogram tells more
//! - `--once yes`: each id once, and no longer than `--seconds`; to fill a cache
//! - `--change dealValue`: which member of a body of `--bodies` is new in each write; digits stay as many
//! - `--named yes`: a write has a `request-id` of its own, under which the server remembers its answer
//! - `{id}` in a path is a random id of the file, `{n}` in a body a number not used before
//! - a write names in `If-Match` the tag it saw last of this id; all are read before the load begins. Each connection has
//!   its own share of the ids, so a 412 is a fault of the server and no race
//! - `--wait yes`: prints `ready` when the load can begin, and begins it at a line of standard input
//!
//! Prints one JSON object: what was counted, and `completed` with the warm-up, for a division by processor time.

mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use cosell_bench::Outcome;
use cosell_bench::arguments::Arguments;
use serde_json::json;

use worker::{Job, Tally};

fn main() -> Outcome<()> {
    let mut arguments = Arguments::of_program()?;
    let threads: usize = arguments.number("threads", 1)?;
    let connections: usize = arguments.number("connections", 64)?;
    let seconds: f64 = arguments.number("seconds", 4.0)?;
    let warm_up: f64 = arguments.number("warm-up", 1.0)?;
    let wait = arguments.take("wait").is_some_and(|answer| answer == "yes");
    let mut job = Arc::new(Job {
        address: arguments.require("address")?,
        path: arguments.require("path")?,
        method: arguments.take("method").unwrap_or_else(|| "GET".to_owned()),
        token: arguments.take("token"),
        ids: lines(arguments.take("ids"))?,
        bodies: lines(arguments.take("bodies"))?,
        body: arguments.take("body"),
        change: arguments.take("change").unwrap_or_else(|| "dealValue".to_owned()),
        named: arguments.take("named").is_some_and(|answer| answer == "yes"),
        once: arguments.take("once").is_some_and(|answer| answer == "yes"),
        rate: arguments.number("rate", 0.0)?,
        connections,
        start: Instant::now(),
        warm_up: Duration::from_secs_f64(warm_up),
        end: Duration::from_secs_f64(warm_up + seconds),
        tags: Vec::new(),
    });
    arguments.finish()?;
    if job.method != "GET" && job.ids.len() < connections {
        return Err("writes need at least one id for each connection".into());
    }
    let tags = if job.method == "GET" { Vec::new() } else { worker::tags(&job)? };
    if wait {
        println!("ready");
        std::io::stdin().read_line(&mut String::new())?;
    }
    let own = Arc::get_mut(&mut job).ok_or("a connection is still at work")?;
    (own.tags, own.start) = (tags, Instant::now());
    let mut running = Vec::new();
    for thread in 0..threads {
        let job = job.clone();
        let numbers: Vec<usize> = (0..connections).filter(|number| number % threads == thread).collect();
        running.push(std::thread::spawn(move || worker::run_all(&job, &numbers)));
    }
    let mut tally = Tally::default();
    for thread in running {
        tally.add(thread.join().map_err(|_| "a thread panicked")??);
    }
    println!("{}", summary(&tally, seconds, job.start.elapsed()));
    Ok(())
}

fn lines(path: Option<String>) -> Outcome<Vec<String>> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn summary(tally: &Tally, seconds: f64, whole: Duration) -> serde_json::Value {
    let good: u64 = tally.statuses.iter().filter(|(status, _)| **status < 400).map(|(_, count)| count).sum();
    let mut line = tally.times.summary();
    line["per_second"] = json!(good as f64 / seconds);
    line["completed"] = json!(tally.completed);
    line["statuses"] = json!(tally.statuses);
    line["errors"] = json!(tally.errors);
    line["error"] = json!(tally.first_error);
    line["mean_body"] = json!(tally.bytes / tally.times.count().max(1));
    line["seconds"] = json!(whole.as_secs_f64());
    line
}
