//! The whole server on a socket: the listener, the edge, the routes.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]
#![allow(dead_code, reason = "each test program uses a part of it")]

use std::net::SocketAddr;
use std::time::Duration;

use net::{ServeOptions, ServeOutcome, serve};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::{REFERRALS, World};

/// How long a test waits for something that must happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running listener.
pub struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    running: JoinHandle<ServeOutcome>,
}

impl Server {
    /// Serves a world on a free port.
    pub async fn start(world: &World, options: ServeOptions) -> Server {
        let listener = net::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let app = world.app.clone();
        let running = tokio::spawn(async move {
            let stopped = async {
                let _ = stopped.await;
            };
            serve(listener, move |_| app.service(), options, stopped).await
        });
        Server { address, stop, running }
    }

    pub async fn connect(&self) -> Connection {
        Connection { stream: TcpStream::connect(self.address).await.unwrap(), read: Vec::new() }
    }

    /// Sends bytes on a connection of their own; the first final answer.
    pub async fn ask(&self, request: impl AsRef<[u8]>) -> Option<Reply> {
        let mut connection = self.connect().await;
        connection.send(request).await;
        connection.reply("GET").await
    }

    /// Ends the listener; nobody may have to be cut off.
    pub async fn stop(self) {
        let _ = self.stop.send(());
        assert_eq!(tokio::time::timeout(PATIENCE, self.running).await.unwrap().unwrap().cut, 0);
    }
}

/// One connection.
pub struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

/// An answer as it came.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// A refusal of ours: its body and headers, and the connection's end.
    pub fn is_ours_and_last(&self) -> bool {
        self.header("request-id").is_some()
            && self.header("content-type") == Some("application/json")
            && self.json()["error"]["code"] == "invalidRequest"
            && self.header("connection") == Some("close")
    }
}

impl Connection {
    /// Sends; what the server does not take any more is not an error here.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref()).await;
    }

    /// Says that nothing more will be sent.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// The next answer, interim ones (1xx) included, to a request of this method; `None` when the server closed.
    pub async fn next(&mut self, method: &str) -> Option<Reply> {
        tokio::time::timeout(PATIENCE, self.read_reply(method)).await.expect("an answer or an end in time")
    }

    /// The next final answer.
    pub async fn reply(&mut self, method: &str) -> Option<Reply> {
        loop {
            match self.next(method).await {
                Some(interim) if interim.status < 200 => {}
                last => return last,
            }
        }
    }

    async fn read_reply(&mut self, method: &str) -> Option<Reply> {
        let end = loop {
            if let Some(at) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let head = String::from_utf8(self.read.drain(..end).collect()).unwrap();
        let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut reply = Reply { status, head, body: Vec::new() };
        let bare = method == "HEAD" || status < 200 || matches!(status, 204 | 304);
        let length =
            if bare { 0 } else { reply.header("content-length").map_or(0, |text| text.parse().unwrap()) };
        while self.read.len() < length {
            self.more().await?;
        }
        reply.body = self.read.drain(..length).collect();
        Some(reply)
    }

    async fn more(&mut self) -> Option<()> {
        let mut buffer = [0; 4096];
        match self.stream.read(&mut buffer).await {
            Ok(0) | Err(_) => None,
            Ok(count) => {
                self.read.extend_from_slice(&buffer[..count]);
                Some(())
            }
        }
    }

    /// Whether the server stays silent, and the connection open, for as long as the public suite waits.
    pub async fn is_silent(&mut self) -> bool {
        let mut byte = [0; 1];
        tokio::time::timeout(Duration::from_millis(500), self.stream.read(&mut byte)).await.is_err()
    }

    /// Whether the server closes without another byte.
    pub async fn is_closed(&mut self) -> bool {
        self.read.is_empty()
            && tokio::time::timeout(PATIENCE, self.more()).await.expect("closed in time").is_none()
    }
}

/// A POST on the collection, as bytes.
pub fn request(token: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {REFERRALS} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\n{headers}\r\n\r\n{body}"
    )
}
