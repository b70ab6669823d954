//! A plain HTTP/1.1 client over one socket: what a test sends is what goes out.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::Value;

use super::PATIENCE;

/// A connection that is kept open between requests.
pub struct Connection {
    stream: BufReader<TcpStream>,
    host: String,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names as sent, in order.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of this name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(sent, _)| sent.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; panics when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: no JSON ({error}): {}", self.status, self.text()))
    }
}

impl Connection {
    /// Opens a connection.
    pub fn open(address: SocketAddr) -> Connection {
        Connection::try_open(address).expect("the server takes connections")
    }

    /// The same, for tests in which the server may be away.
    pub fn try_open(address: SocketAddr) -> std::io::Result<Connection> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
        stream.set_nodelay(true).expect("delays can be switched off");
        Ok(Connection { stream: BufReader::new(stream), host: address.to_string() })
    }

    /// One request and its answer; panics when the server does not answer. `Host` and `Content-Length` are added
    /// where they are missing.
    pub fn request(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_request(method, path, headers, body)
            .unwrap_or_else(|error| panic!("no answer to {method} {path}: {error}"))
    }

    /// The same, for tests in which the server may go away.
    pub fn try_request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let has = |name: &str| headers.iter().any(|(sent, _)| sent.eq_ignore_ascii_case(name));
        let mut message = format!("{method} {path} HTTP/1.1\r\n");
        if !has("host") {
            message.push_str(&format!("Host: {}\r\n", self.host));
        }
        for (name, value) in headers {
            message.push_str(&format!("{name}: {value}\r\n"));
        }
        let unframed = !has("content-length") && !has("transfer-encoding");
        if unframed && (!body.is_empty() || matches!(method, "POST" | "PUT" | "PATCH")) {
            message.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        message.push_str("\r\n");
        let mut message = message.into_bytes();
        message.extend_from_slice(body);
        self.stream.get_mut().write_all(&message).map_err(no_answer)?;
        self.await_answer()?;
        loop {
            let answer = self.read_answer(method)?;
            if answer.status >= 200 {
                return Ok(answer);
            }
        }
    }

    /// Waits for the first byte.
    fn await_answer(&mut self) -> std::io::Result<()> {
        match self.stream.fill_buf() {
            Ok([]) => Err(no_answer(broken("the connection ended"))),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => Err(no_answer(error)),
            Err(error) => Err(error),
        }
    }

    fn read_answer(&mut self, method: &str) -> std::io::Result<Answer> {
        let status = self.read_line()?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| broken("no status line"))?;
        let mut headers = Vec::new();
        loop {
            let line = self.read_line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line.split_once(':').ok_or_else(|| broken("a header without a colon"))?;
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut answer = Answer { status, headers, body: Vec::new() };
        let bodiless = method == "HEAD" || status < 200 || matches!(status, 204 | 304);
        if !bodiless {
            answer.body = self.read_body(&answer)?;
        }
        Ok(answer)
    }

    fn read_body(&mut self, answer: &Answer) -> std::io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if answer.header("transfer-encoding").is_some() {
            loop {
                let size = self.read_line()?;
                let size = size.split(';').next().unwrap_or_default().trim();
                let size = u64::from_str_radix(size, 16).map_err(|_| broken("a chunk without a size"))?;
                self.take(size, &mut body)?;
                self.read_line()?;
                if size == 0 {
                    return Ok(body);
                }
            }
        }
        match answer.header("content-length") {
            Some(length) => {
                let length = length.parse().map_err(|_| broken("a length that is no number"))?;
                self.take(length, &mut body)?;
            }
            None => {
                self.stream.read_to_end(&mut body)?;
            }
        }
        Ok(body)
    }

    fn take(&mut self, length: u64, into: &mut Vec<u8>) -> std::io::Result<()> {
        let before = into.len();
        (&mut self.stream).take(length).read_to_end(into)?;
        if (into.len() - before) as u64 == length { Ok(()) } else { Err(broken("the body ends early")) }
    }

    fn read_line(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        if self.stream.read_line(&mut line)? == 0 {
            return Err(broken("the connection ended"));
        }
        Ok(line.trim_end_matches(['\r', '\n']).to_owned())
    }
}

fn broken(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::UnexpectedEof, what.to_owned())
}

fn no_answer(error: std::io::Error) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::ConnectionAborted, error)
}

/// Whether the connection ended before the first byte of an answer, not within one.
pub fn is_no_answer(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::ConnectionAborted
}
