//! The real binary for black-box tests: started on a free port, spoken to over plain sockets, stopped when dropped.
//!
//! ```ignore
//! let sandbox = Sandbox::start(&["--extended"]);
//! let token = sandbox.token("admin@contoso.example");
//! let answer = sandbox.request("GET", "/v1.0/engagements/referrals", &[("Authorization", &format!("Bearer {token}"))], b"");
//! assert_eq!(answer.status, 200);
//! assert_eq!(sandbox.stop(), 0);
//! ```
#![allow(dead_code, unused_imports, reason = "each test file uses another part of it")]

#[cfg(unix)]
pub mod bad_disk;
pub mod chance;
mod http;
pub mod issuer;
#[cfg(unix)]
pub mod journal;
pub mod kept;

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

pub use http::{Answer, Connection, is_no_answer};

/// Longer than anything may take; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

const READY: &str = "cosell: listening on ";

/// A running `cosell sandbox` or `cosell serve`. Dropping it kills it.
pub struct Sandbox {
    child: Child,
    url: String,
    stdout: Arc<Collected>,
    stderr: Arc<Collected>,
    /// Hears from the two threads that read the outputs when those end, which is when the process does.
    ended: Mutex<Receiver<()>>,
    /// Its folder for temporary files: a killed sandbox cannot remove its private one.
    _temporary: tempfile::TempDir,
}

/// What a process has said so far, and a bell for those who wait for more.
#[derive(Default)]
struct Collected {
    text: Mutex<String>,
    more: Condvar,
}

impl Collected {
    fn text(&self) -> String {
        self.text.lock().expect("no reader panics").clone()
    }

    fn wait_for(&self, words: &str) {
        let text = self.text.lock().expect("no reader panics");
        let is_missing = |text: &mut String| !text.contains(words);
        let waited = self.more.wait_timeout_while(text, PATIENCE, is_missing);
        let (text, timeout) = waited.expect("no reader panics");
        assert!(!timeout.timed_out(), "{words:?} was never said:\n{text}");
    }
}

/// What a command left behind that came to its end.
#[derive(Debug, Clone)]
pub struct Ran {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// Everything on standard output.
    pub stdout: String,
    /// Everything on standard error.
    pub stderr: String,
}

/// The binary with these arguments, and nothing of the tester's own settings in its environment.
pub fn cosell<S: AsRef<OsStr>>(arguments: &[S]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cosell"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("COSELL_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// Runs a command to its end.
pub fn run<S: AsRef<OsStr>>(arguments: &[S]) -> Ran {
    run_command(cosell(arguments))
}

/// Runs a prepared command to its end.
pub fn run_command(mut command: Command) -> Ran {
    let output = command.output().expect("the binary can be started");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
    }
}

/// A call with a token, of JSON unless `more` says otherwise.
pub fn call(
    server: &Sandbox,
    token: &str,
    method: &str,
    path: &str,
    more: &[(&str, &str)],
    body: &str,
) -> Answer {
    let bearer = format!("Bearer {token}");
    let mut headers = vec![("Authorization", bearer.as_str())];
    if !more.iter().any(|(name, _)| *name == "Content-Type") {
        headers.push(("Content-Type", "application/json"));
    }
    headers.extend(more);
    server.request(method, path, &headers, body.as_bytes())
}

impl Sandbox {
    /// `cosell sandbox` on a free port, with these options, its data in a private folder of its own.
    pub fn start(options: &[&str]) -> Sandbox {
        let mut arguments = vec!["sandbox", "--listen", "127.0.0.1:0"];
        arguments.extend(options);
        Sandbox::start_command(cosell(&arguments))
    }

    /// The same over a data directory that stays.
    pub fn start_with_data(directory: &Path, options: &[&str]) -> Sandbox {
        let mut command = cosell(&["sandbox", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(directory).args(options);
        Sandbox::start_command(command)
    }

    /// Any command of the binary that serves; it must print the ready line. Panics with the log otherwise.
    pub fn start_command(command: Command) -> Sandbox {
        Sandbox::start_or_end(command).unwrap_or_else(|log| panic!("no ready line; the log:\n{log}"))
    }

    /// The same; the log if it ended before it was ready.
    pub fn start_or_end(mut command: Command) -> Result<Sandbox, String> {
        let temporary = tempfile::tempdir().expect("a folder can be made");
        if !command.get_envs().any(|(name, _)| name == "TMPDIR") {
            command.env("TMPDIR", temporary.path());
        }
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary can be started");
        let (tell_end, ended) = mpsc::channel();
        let (tell_ready, ready) = mpsc::channel();
        let (stdout, stderr) = (Arc::<Collected>::default(), Arc::<Collected>::default());
        let out = child.stdout.take().expect("standard output is piped");
        let err = child.stderr.take().expect("standard error is piped");
        collect(out, Arc::clone(&stdout), tell_end.clone(), move |line| {
            let _ = tell_ready.send(line.to_owned());
        });
        collect(err, Arc::clone(&stderr), tell_end, |_| {});
        let (url, ended) = (String::new(), Mutex::new(ended));
        let mut sandbox = Sandbox { child, url, stdout, stderr, ended, _temporary: temporary };
        match ready.recv_timeout(PATIENCE) {
            Ok(line) if line.starts_with(READY) => {
                sandbox.url = line[READY.len()..].trim_end().to_owned();
                Ok(sandbox)
            }
            other => {
                sandbox.kill();
                Err(format!("{other:?} on standard output\n{}", sandbox.log()))
            }
        }
    }

    /// The base address, as the ready line has it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The address to connect to.
    pub fn address(&self) -> SocketAddr {
        let (_, address) = self.url.split_once("://").expect("the ready line has an address");
        address.parse().expect("the address of the ready line is one of a socket")
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What came on standard output so far, the ready line first.
    pub fn output(&self) -> String {
        self.stdout.text()
    }

    /// What came on standard error so far.
    pub fn log(&self) -> String {
        self.stderr.text()
    }

    /// Waits until standard error has these words; panics when they do not come.
    pub fn wait_for_log(&self, words: &str) {
        self.stderr.wait_for(words);
    }

    /// Waits until standard output has these words; panics when they do not come.
    pub fn wait_for_output(&self, words: &str) {
        self.stdout.wait_for(words);
    }

    /// A bearer token of the sandbox's issuer.
    pub fn token(&self, user: &str) -> String {
        let form = format!(
            "grant_type=password&resource=https%3A%2F%2Fapi.partner.microsoft.com&client_id=any&username={}&password=cosell",
            user.replace('@', "%40")
        );
        let form_type = [("Content-Type", "application/x-www-form-urlencoded")];
        let answer = self.request("POST", "/common/oauth2/token", &form_type, form.as_bytes());
        assert_eq!(answer.status, 200, "no token for {user}: {}", answer.text());
        answer.json()["access_token"].as_str().expect("a token answer has a token").to_owned()
    }

    /// One request on a connection of its own. `Host` and `Content-Length` are added where they are missing.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.connect().request(method, path, headers, body)
    }

    /// A connection for many requests.
    pub fn connect(&self) -> Connection {
        Connection::open(self.address())
    }

    /// Sends these bytes, ends the sending side, and returns everything the server says.
    pub fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(self.address()).expect("the server takes connections");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out can be set");
        // The server may answer and close before it has read all: then writing fails, and the answer counts.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        said
    }

    /// SIGKILL: nothing is finished, nothing flushed.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// SIGTERM; the exit code, -1 when a signal ended it.
    pub fn stop(mut self) -> i32 {
        self.signal("TERM");
        self.wait()
    }

    /// Sends a signal by its name, such as `INT`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(sent.expect("kill is there").success(), "the process is gone already");
    }

    /// Whether the process ends by itself within that time.
    pub fn ends_within(&mut self, time: Duration) -> bool {
        let begun = Instant::now();
        loop {
            if self.child.try_wait().expect("the process can be waited for").is_some() {
                return true;
            }
            if begun.elapsed() >= time {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for the process to end by itself; its exit code, -1 when a signal ended it.
    pub fn wait(&mut self) -> i32 {
        for _ in 0..2 {
            if self.ended.get_mut().expect("no waiter panics").recv_timeout(PATIENCE).is_err() {
                self.kill();
                panic!("the server does not end; the log:\n{}", self.log());
            }
        }
        self.child.wait().expect("the process can be waited for").code().unwrap_or(-1)
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Keeps every line, hands it on, and tells when there are no more.
fn collect(
    from: impl Read + Send + 'static,
    into: Arc<Collected>,
    end: mpsc::Sender<()>,
    each: impl Fn(&str) + Send + 'static,
) {
    std::thread::spawn(move || {
        let mut lines = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(lines.read_until(b'\n', &mut line), Ok(1..)) {
            let text = String::from_utf8_lossy(&line).into_owned();
            into.text.lock().expect("no reader panics").push_str(&text);
            into.more.notify_all();
            each(&text);
            line.clear();
        }
        let _ = end.send(());
    });
}
