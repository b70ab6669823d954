//! PostgreSQL servers of a test's own, which it kills, starts again and promotes. Unless a test says otherwise they keep
//! what they commit as they do in earnest: `fsync` is on.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::database::{is_root, programs};

/// Longer than a server needs to start, crash recovery included.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// A server on a socket in a folder of its own. Dropping it stops it and removes everything.
pub struct Server {
    folder: TempDir,
    settings: Vec<String>,
    postmaster: Option<Child>,
}

/// What is killed of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Killed {
    /// Every process at the same moment, as if the machine were gone.
    Everything,
    /// The process that watches the others; those end as they notice.
    Postmaster,
    /// One that serves a connection: the postmaster ends all others, and recovers by itself.
    Backend,
}

impl Server {
    /// A server with a fresh cluster.
    pub fn new(settings: &[&str]) -> Server {
        let server = Server::in_folder(settings);
        let data = server.data().display().to_string();
        let arguments = ["-U", "cosell", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync", "-D", &data];
        server.run("initdb", &arguments);
        server.started()
    }

    /// A standby of a running server, by its name among the synchronous ones.
    pub fn standby_of(primary: &Server, name: &str) -> Server {
        let server = Server::in_folder(&[]);
        let data = server.data().display().to_string();
        let from = format!("host={} user=cosell application_name={name}", primary.path().display());
        let arguments = ["-D", &data, "-d", &from, "-R", "-X", "stream", "-c", "fast", "--no-sync"];
        server.run("pg_basebackup", &arguments);
        server.started()
    }

    fn in_folder(settings: &[&str]) -> Server {
        let folder = TempDir::new().unwrap();
        if is_root() {
            let chowned = Command::new("chown").arg("postgres").arg(folder.path()).status();
            assert!(chowned.unwrap().success());
        }
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        Server { folder, settings, postmaster: None }
    }

    fn started(mut self) -> Server {
        self.start();
        self
    }

    /// The folder of its socket.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.path().join(".s.PGSQL.5432")
    }

    /// The address of a database there.
    pub fn address(&self, database: &str) -> String {
        format!("host={} user=cosell dbname={database}", self.path().display())
    }

    fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Starts it, and waits until it answers. What an earlier life left may have to end first: then it is tried again.
    pub fn start(&mut self) {
        let begun = Instant::now();
        loop {
            let mut child = self.spawn();
            while child.try_wait().unwrap().is_none() {
                if self.answers() {
                    self.postmaster = Some(child);
                    return;
                }
                assert!(begun.elapsed() < PATIENCE, "the server does not start: {}", self.log());
                std::thread::sleep(LOOK);
            }
            assert!(begun.elapsed() < PATIENCE, "the server does not start: {}", self.log());
            std::thread::sleep(LOOK);
        }
    }

    fn spawn(&self) -> Child {
        let log =
            std::fs::OpenOptions::new().append(true).create(true).open(self.path().join("log")).unwrap();
        let mut command = as_server(&programs().join("postgres"));
        command.arg("-D").arg(self.data()).arg("-k").arg(self.path());
        for setting in ["listen_addresses=", "shared_buffers=32MB", "max_connections=100"] {
            command.args(["-c", setting]);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
    }

    /// What it has said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path().join("log")).unwrap_or_default()
    }

    fn answers(&self) -> bool {
        let mut command = Command::new(programs().join("pg_isready"));
        let status = command.args(["-q", "-U", "cosell", "-h"]).arg(self.path()).status();
        status.unwrap().success()
    }

    /// SIGKILL. A server whose postmaster was killed has to be started again.
    pub fn kill(&mut self, what: Killed) {
        let postmaster = self.postmaster.as_ref().unwrap().id();
        let mut children = children(postmaster);
        match what {
            Killed::Everything => {
                kill(std::iter::once(postmaster).chain(children.iter().copied()));
                self.postmaster.take().unwrap().wait().unwrap();
                wait_for_end(&children);
            }
            Killed::Postmaster => {
                kill([postmaster]);
                self.postmaster.take().unwrap().wait().unwrap();
            }
            Killed::Backend => {
                children.retain(|child| is_backend(*child));
                if let Some(backend) = children.first() {
                    kill([*backend]);
                }
            }
        }
    }

    /// Makes a standby the primary, and waits until it is.
    pub fn promote(&self) {
        assert_eq!(self.sql("postgres", "SELECT pg_promote(true, 60)"), "t", "{}", self.log());
    }

    /// The rows of a statement, as psql prints them.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// The same; what psql complains of otherwise.
    pub fn try_sql(&self, database: &str, sql: &str) -> Result<String, String> {
        let mut command = Command::new(programs().join("psql"));
        command.args([
            "-X",
            "-A",
            "-t",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "cosell",
            "-d",
            database,
            "-c",
            sql,
        ]);
        let output = command.arg("-h").arg(self.path()).stdin(Stdio::null()).output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Waits until a statement prints this.
    pub fn wait_for(&self, database: &str, sql: &str, expected: &str) {
        let begun = Instant::now();
        loop {
            let found = self.try_sql(database, sql);
            if found.as_deref() == Ok(expected) {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{sql} gives {found:?}, not {expected}");
            std::thread::sleep(LOOK);
        }
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let output = as_server(&programs().join(program)).args(arguments).output().unwrap();
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut postmaster) = self.postmaster.take() {
            signal("-QUIT", [postmaster.id()]);
            let _ = postmaster.wait();
        }
        // One that was killed has left the piece of System V memory that shows who has the folder: the key and the id of
        // it are the seventh line of this file.
        let held = std::fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        if let Some(id) = held.lines().nth(6).and_then(|line| line.split_whitespace().nth(1)) {
            let _ = Command::new("ipcrm").args(["-m", id]).stderr(Stdio::null()).status();
        }
    }
}

/// A command by a user that a server may run as, which root is not; it ends when this process does, however that ends.
fn as_server(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if is_root() {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
    }
    command.args(["--pdeathsig", "QUIT", "--"]).arg(program).stdin(Stdio::null()).current_dir("/");
    command
}

fn children(parent: u32) -> Vec<u32> {
    let listed =
        std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
    listed.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Whether a process serves a connection of Cosell's: its title says for whom.
fn is_backend(process: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/cmdline")).is_ok_and(|title| title.contains(": cosell "))
}

fn kill(processes: impl IntoIterator<Item = u32>) {
    signal("-KILL", processes);
}

fn signal(name: &str, processes: impl IntoIterator<Item = u32>) {
    // One that is gone already is as good.
    let mut command = Command::new("kill");
    command.arg(name).args(processes.into_iter().map(|process| process.to_string()));
    let _ = command.stderr(Stdio::null()).status();
}

/// Until none of these runs any more; one that nobody has waited for yet counts as gone.
fn wait_for_end(processes: &[u32]) {
    let begun = Instant::now();
    let runs = |process: &u32| {
        let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        state.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
    };
    while processes.iter().any(runs) {
        assert!(begun.elapsed() < PATIENCE, "a killed process goes on");
        std::thread::sleep(Duration::from_millis(1));
    }
}
