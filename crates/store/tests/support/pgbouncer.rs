//! PgBouncer for tests, Debian's, on a Unix socket: it lends its few connections for a transaction each.

use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::database::is_root;

const PORT: u16 = 6432;

/// A pooler before every database of a server. Dropping it stops it.
pub struct Pooler {
    folder: TempDir,
    running: Option<Child>,
}

impl Pooler {
    /// Before the server whose socket is in this folder; so many connections there for each database.
    pub fn before(server: &Path, connections: usize) -> Pooler {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let path = folder.path().display();
        let settings = format!(
            "[databases]\n* = host={} user=cosell\n\
             [pgbouncer]\nlisten_addr =\nlisten_port = {PORT}\nunix_socket_dir = {path}\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = {connections}\nmax_client_conn = 200\n\
             server_login_retry = 1\nlogfile = {path}/log\n",
            server.display()
        );
        std::fs::write(folder.path().join("settings"), settings).expect("a file can be written");
        if is_root() {
            let owned = Command::new("chown").args(["-R", "postgres"]).arg(folder.path()).status();
            assert!(owned.is_ok_and(|status| status.success()), "the user postgres is there");
        }
        let mut pooler = Pooler { folder, running: None };
        pooler.start();
        pooler
    }

    /// What to connect to for a database of the server.
    pub fn address(&self, database: &str) -> String {
        format!("host={} port={PORT} user=cosell dbname={database}", self.folder.path().display())
    }

    /// Starts it, and waits until it takes connections.
    pub fn start(&mut self) {
        let mut command = Command::new("setpriv");
        if is_root() {
            command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
        }
        command
            .args(["--pdeathsig", "KILL", "--", "pgbouncer", "-q"])
            .arg(self.folder.path().join("settings"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).current_dir("/");
        self.running = Some(command.spawn().expect("PgBouncer is installed: apt-get install pgbouncer"));
        let socket = self.folder.path().join(format!(".s.PGSQL.{PORT}"));
        let begun = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            let log = || std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            assert!(begun.elapsed() < Duration::from_secs(30), "PgBouncer does not start: {}", log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            let _ = running.kill();
            let _ = running.wait();
        }
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        self.kill();
    }
}
