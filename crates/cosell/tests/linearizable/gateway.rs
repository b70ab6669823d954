//! What may stand between clients and servers: nothing, or one of the faults that a checker must find.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::support::{Answer, Connection};

/// A way to the servers.
#[derive(Default)]
pub enum Gateway {
    /// Everything is passed on as it is.
    #[default]
    Plain,
    /// It keeps the first answer to each path that is read, and gives every tenth reader that one.
    Caching(Mutex<Kept>),
    /// It takes `If-Match` for a thing that nobody needs: what was changed meanwhile is written over.
    Unconditional,
}

/// First answers, and how often they were asked for.
pub type Kept = BTreeMap<String, (Answer, u64)>;

impl Gateway {
    /// A request and its answer.
    pub fn pass(
        &self,
        connection: &mut Connection,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> std::io::Result<Answer> {
        let forward = |connection: &mut Connection, headers: &[(&str, &str)]| {
            connection.try_request(method, path, headers, body.as_bytes())
        };
        match self {
            Gateway::Caching(kept) if method == "GET" => {
                let fresh = forward(connection, headers)?;
                let mut kept = kept.lock().unwrap();
                let (first, times) = kept.entry(path.to_owned()).or_insert_with(|| (fresh.clone(), 0));
                *times += 1;
                Ok(if times.is_multiple_of(10) { first.clone() } else { fresh })
            }
            Gateway::Unconditional => {
                let any = |(name, value)| if name == "If-Match" { (name, "*") } else { (name, value) };
                forward(connection, &headers.iter().copied().map(any).collect::<Vec<_>>())
            }
            _ => forward(connection, headers),
        }
    }
}
