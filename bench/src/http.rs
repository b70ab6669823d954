//! One kept-alive connection: sends a request, reads its answer. Only as much HTTP as a load generator needs.

use std::io::{Error, ErrorKind, Result};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const ROOM: usize = 64 * 1024;

/// A connection to one server.
pub struct Connection {
    stream: TcpStream,
    /// The last answer.
    buffer: Vec<u8>,
    /// Where its body begins.
    body: usize,
}

/// What the loader wants to know of an answer.
pub struct Answer {
    /// Of three digits; 0 if there is none.
    pub status: u16,
    /// As the header has it, with its quotes.
    pub etag: Option<String>,
    /// Bytes of the body.
    pub length: usize,
    /// The server will close.
    pub last: bool,
}

/// How the end of the body is found.
enum Framing {
    Length(usize),
    Chunked,
}

impl Connection {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn open(address: &str) -> Result<Connection> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, buffer: Vec::with_capacity(ROOM), body: 0 })
    }

    /// The lines of the last answer's head, the status line first.
    pub fn head(&self) -> impl Iterator<Item = &str> {
        std::str::from_utf8(&self.buffer[..self.body]).unwrap_or_default().trim_end().split("\r\n")
    }

    /// The body of the last answer, which must not have been chunked.
    pub fn body(&self) -> &[u8] {
        &self.buffer[self.body..]
    }

    /// Sends the whole request and reads the whole answer.
    ///
    /// # Errors
    /// The operating system's; an answer that breaks off or is no HTTP.
    pub async fn call(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let body = self.read_head().await?;
        self.body = body;
        let (mut answer, framing) = parse_head(&self.buffer[..body])?;
        answer.length = match framing {
            Framing::Length(length) => {
                self.fill(body + length).await?;
                length
            }
            Framing::Chunked => self.chunks(body).await?,
        };
        Ok(answer)
    }

    async fn more(&mut self) -> Result<()> {
        self.buffer.reserve(ROOM);
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(Error::new(ErrorKind::UnexpectedEof, "closed inside an answer")),
            _ => Ok(()),
        }
    }

    async fn fill(&mut self, end: usize) -> Result<()> {
        while self.buffer.len() < end {
            self.more().await?;
        }
        Ok(())
    }

    /// Reads the head. Answers where the body begins.
    async fn read_head(&mut self) -> Result<usize> {
        let mut from = 0;
        loop {
            self.more().await?;
            if let Some(end) = find(&self.buffer[from..], b"\r\n\r\n") {
                return Ok(from + end + 4);
            }
            from = self.buffer.len().saturating_sub(3);
        }
    }

    /// Reads a chunked body that begins at `place`. Answers its length.
    async fn chunks(&mut self, mut place: usize) -> Result<usize> {
        let mut length = 0;
        loop {
            let end = loop {
                match find(&self.buffer[place..], b"\r\n") {
                    Some(end) => break place + end,
                    None => self.more().await?,
                }
            };
            let size = std::str::from_utf8(&self.buffer[place..end])
                .ok()
                .and_then(|line| usize::from_str_radix(line.split(';').next()?.trim(), 16).ok())
                .ok_or_else(|| Error::new(ErrorKind::InvalidData, "no chunk size"))?;
            place = end + 2 + size + 2;
            self.fill(place).await?;
            length += size;
            if size == 0 {
                return Ok(length);
            }
        }
    }
}

fn parse_head(head: &[u8]) -> Result<(Answer, Framing)> {
    let text =
        std::str::from_utf8(head).map_err(|_| Error::new(ErrorKind::InvalidData, "the head is no text"))?;
    let status = text.get(9..12).and_then(|digits| digits.parse().ok()).unwrap_or(0);
    let mut answer = Answer { status, etag: None, length: 0, last: false };
    let mut framing = Framing::Length(0);
    for line in text.split("\r\n").skip(1) {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            framing = Framing::Length(value.parse().unwrap_or(0));
        } else if name.eq_ignore_ascii_case("transfer-encoding") && value.eq_ignore_ascii_case("chunked") {
            framing = Framing::Chunked;
        } else if name.eq_ignore_ascii_case("etag") {
            answer.etag = Some(value.to_owned());
        } else if name.eq_ignore_ascii_case("connection") {
            answer.last = value.eq_ignore_ascii_case("close");
        }
    }
    if matches!(status, 204 | 304) {
        framing = Framing::Length(0);
    }
    Ok((answer, framing))
}

fn find(text: &[u8], pattern: &[u8]) -> Option<usize> {
    text.windows(pattern.len()).position(|window| window == pattern)
}
