//! The one writer: takes every write that waits, compares tags, commits once, answers all.

use std::sync::mpsc::Receiver;

use bytes::Bytes;
use cosell_bench::Outcome;
use cosell_bench::dataset::Random;
use rusqlite::{Connection, params};
use tokio::sync::oneshot;

/// A PUT that waits.
pub struct Write {
    pub id: String,
    pub expected: String,
    pub body: Bytes,
    /// Gets the new tag; `None`: the tag it expected is not the stored one.
    pub done: oneshot::Sender<Option<String>>,
}

pub fn run(connection: &Connection, waiting: &Receiver<Write>, most: usize) {
    let mut random = Random::seeded(u64::from(std::process::id()));
    while let Ok(first) = waiting.recv() {
        let mut group = vec![first];
        while group.len() < most {
            let Ok(next) = waiting.try_recv() else { break };
            group.push(next);
        }
        match commit(connection, &group, &mut random) {
            Ok(tags) => {
                for (write, tag) in group.into_iter().zip(tags) {
                    // The client may be gone; the write stays.
                    let _ = write.done.send(tag);
                }
            }
            Err(error) => {
                eprintln!("limits: {error}");
                std::process::exit(1);
            }
        }
    }
}

fn commit(connection: &Connection, group: &[Write], random: &mut Random) -> Outcome<Vec<Option<String>>> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let mut statement = connection.prepare_cached(
        "UPDATE referral
         SET etag = ?3, status = ?4, direction = ?5, created = ?6, engagement = ?7, document = ?8
         WHERE id = ?1 AND etag = ?2",
    )?;
    let mut tags = Vec::with_capacity(group.len());
    for write in group {
        let document: serde_json::Value = serde_json::from_slice(&write.body)?;
        let member = |name: &str| document[name].as_str().unwrap_or_default();
        let tag = format!("\"{}\"", random.uuid());
        let changed = statement.execute(params![
            write.id,
            write.expected,
            tag,
            member("status"),
            member("direction"),
            member("createdDateTime"),
            member("engagementId"),
            std::str::from_utf8(&write.body)?,
        ])?;
        tags.push((changed == 1).then_some(tag));
    }
    connection.execute_batch("COMMIT")?;
    Ok(tags)
}
