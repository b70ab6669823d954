//! Sends attacks: prepared bytes from one thread, so that the load of the test itself stays light.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Between two requests of one connection. What is tried is the cost of requests, not a flood of them.
const PAUSE: Duration = Duration::from_millis(80);
/// Until a client that left comes again.
const AWAY: Duration = Duration::from_millis(250);
/// Between two bytes of a slow body.
const DRIP: Duration = Duration::from_millis(400);
/// Between two sips of a slow reader.
const SIP: Duration = Duration::from_millis(200);
/// Connections are opened by and by, so that the backlog takes them all.
const OPENING: Duration = Duration::from_micros(500);

/// How a client behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Reads each answer, then sends the next request.
    Read,
    /// Closes the connection as soon as the request is sent, and comes again.
    Leave,
    /// Sends, and never reads.
    Deaf,
    /// Reads the answer little by little.
    Sip,
    /// Sends so many requests at once, then reads all answers.
    Pipeline(usize),
    /// Sends all but so many bytes, then the rest byte by byte.
    Drip(usize),
}

/// One kind of expensive request, and who sends it how often.
#[derive(Debug, Clone)]
pub struct Attack {
    /// What kind it is.
    pub family: &'static str,
    /// The choices that made it, for people who read a failure.
    pub about: String,
    pub manner: Manner,
    pub connections: usize,
    /// The requests in turn, each whole: head and body.
    pub requests: Vec<Bytes>,
}

/// What the attackers were answered.
#[derive(Debug, Default)]
pub struct Answers {
    /// How often each status came; 0: the connection ended without an answer.
    pub statuses: BTreeMap<u16, usize>,
    /// What no caller may be answered, whatever it asks.
    pub wrong: Vec<String>,
    pub slowest: Duration,
    /// The first refusal of each status, cut.
    pub refusals: BTreeMap<u16, String>,
}

impl Answers {
    fn add(&mut self, family: &str, head: &Head, took: Duration) {
        *self.statuses.entry(head.status).or_default() += 1;
        self.slowest = self.slowest.max(took);
        let refusal = matches!(head.status, 429 | 503);
        let is_wrong = match head.status {
            200..=499 if !refusal => false,
            429 | 503 => !head.retry_after,
            501 => false,
            _ => true,
        };
        if is_wrong && self.wrong.len() < 5 {
            let retry = if head.retry_after { "with" } else { "without" };
            self.wrong.push(format!("{family}: answered {} {retry} Retry-After", head.status));
        }
    }

    /// Another's answers beside these.
    pub fn add_all(&mut self, other: Answers) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        self.wrong.extend(other.wrong);
        self.slowest = self.slowest.max(other.slowest);
    }
}

/// Attacks a server for a time. At the end all connections are closed at once, whatever runs.
pub fn run(address: SocketAddr, attacks: &[Attack], time: Duration) -> Answers {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let answers = Arc::<Mutex<Answers>>::default();
    runtime.block_on(async {
        let begun = Instant::now();
        for attack in attacks {
            for number in 0..attack.connections {
                let client = Client { address, attack: attack.clone(), answers: Arc::clone(&answers) };
                tokio::spawn(client.run(number));
                tokio::time::sleep(OPENING).await;
            }
        }
        // Opening thousands of connections takes a part of the time, and may take more.
        let left = time.saturating_sub(begun.elapsed()).max(time / 2);
        tokio::time::sleep(left).await;
    });
    drop(runtime);
    std::mem::take(&mut *answers.lock().unwrap())
}

struct Client {
    address: SocketAddr,
    attack: Attack,
    answers: Arc<Mutex<Answers>>,
}

/// What counts of the head of an answer.
struct Head {
    status: u16,
    retry_after: bool,
    body: Framing,
}

#[derive(Clone, Copy)]
enum Framing {
    Length(u64),
    Chunked,
}

impl Client {
    /// Attacks until the runtime ends.
    async fn run(self, number: usize) {
        let mut turn = number;
        loop {
            // A connection that the server ends is opened again.
            let _ = self.connection(&mut turn).await;
            tokio::time::sleep(AWAY).await;
        }
    }

    async fn connection(&self, turn: &mut usize) -> std::io::Result<()> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        loop {
            let request = &self.attack.requests[*turn % self.attack.requests.len()];
            *turn += 1;
            match self.attack.manner {
                Manner::Read => {
                    stream.write_all(request).await?;
                    self.read(&mut stream, None).await?;
                }
                Manner::Leave => return stream.write_all(request).await,
                Manner::Deaf => {
                    stream.write_all(request).await?;
                    std::future::pending::<()>().await;
                }
                Manner::Sip => {
                    stream.write_all(request).await?;
                    self.read(&mut stream, Some(SIP)).await?;
                }
                Manner::Pipeline(count) => {
                    // The server may answer before it has read all.
                    let (mut reading, mut writing) = stream.get_mut().split();
                    let sent = async {
                        for number in 0..count {
                            let request =
                                &self.attack.requests[(*turn + number) % self.attack.requests.len()];
                            writing.write_all(request).await?;
                        }
                        std::io::Result::Ok(())
                    };
                    let read = async {
                        let mut reading = BufReader::new(&mut reading);
                        for _ in 0..count {
                            self.read(&mut reading, None).await?;
                        }
                        Ok(())
                    };
                    tokio::try_join!(sent, read)?;
                }
                Manner::Drip(rest) => {
                    let at = request.len().saturating_sub(rest);
                    stream.write_all(&request[..at]).await?;
                    for byte in request[at..].chunks(1) {
                        tokio::time::sleep(DRIP).await;
                        stream.write_all(byte).await?;
                    }
                    self.read(&mut stream, None).await?;
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Reads an answer to its end, and counts it.
    async fn read<S>(&self, stream: &mut BufReader<S>, slowly: Option<Duration>) -> std::io::Result<()>
    where
        S: tokio::io::AsyncRead + Unpin,
    {
        let begun = Instant::now();
        let head = loop {
            let head = match read_head(stream).await {
                Ok(head) => head,
                Err(error) => {
                    *self.answers.lock().unwrap().statuses.entry(0).or_default() += 1;
                    return Err(error);
                }
            };
            if head.status >= 200 {
                break head;
            }
        };
        self.answers.lock().unwrap().add(self.attack.family, &head, begun.elapsed());
        if head.status >= 400 {
            let said = String::from_utf8_lossy(stream.fill_buf().await?).chars().take(200).collect();
            self.answers.lock().unwrap().refusals.entry(head.status).or_insert(said);
        }
        match head.body {
            _ if matches!(head.status, 204 | 304) => Ok(()),
            Framing::Length(length) => skip(stream, length, slowly).await,
            Framing::Chunked => loop {
                let mut line = String::new();
                stream.read_line(&mut line).await?;
                let length = line.split(';').next().unwrap_or_default().trim();
                let length = u64::from_str_radix(length, 16).map_err(|_| broken())?;
                skip(stream, length + 2, slowly).await?;
                if length == 0 {
                    return Ok(());
                }
            },
        }
    }
}

fn broken() -> std::io::Error {
    std::io::Error::other("no HTTP")
}

async fn read_head<S: tokio::io::AsyncRead + Unpin>(stream: &mut BufReader<S>) -> std::io::Result<Head> {
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let status = line.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or_else(broken)?;
    let mut head = Head { status, retry_after: false, body: Framing::Length(0) };
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.split_once(':') else { break };
        match name.to_ascii_lowercase().as_str() {
            "retry-after" => head.retry_after = true,
            "content-length" => head.body = Framing::Length(value.trim().parse().map_err(|_| broken())?),
            "transfer-encoding" => head.body = Framing::Chunked,
            _ => {}
        }
    }
    Ok(head)
}

/// Takes bytes and forgets them.
async fn skip<S: tokio::io::AsyncRead + Unpin>(
    stream: &mut BufReader<S>,
    mut length: u64,
    slowly: Option<Duration>,
) -> std::io::Result<()> {
    while length > 0 {
        if let Some(pause) = slowly {
            tokio::time::sleep(pause).await;
        }
        let there = stream.fill_buf().await?.len();
        if there == 0 {
            return Err(broken());
        }
        let taken = there.min(usize::try_from(length).unwrap_or(there));
        stream.consume(taken);
        length -= taken as u64;
    }
    Ok(())
}
