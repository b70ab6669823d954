//! A PostgreSQL server for tests: Debian's, in a temporary folder, on a Unix socket. All tests of the machine share it,
//! whatever process they run in; each has a database of its own. It is gone some seconds after the last of them.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Runs the server in a folder as long as somebody has a lock on the file `users` there. What is durable is shown
/// elsewhere; a power cut is not among these tests.
const RUN: &str = r#"
  cd "$1" || exit 1
  rm -rf data
  "$0/initdb" -D data -U cosell -A trust -E UTF8 --locale=C --no-sync --no-instructions >log 2>&1 || exit 1
  "$0/postgres" -D data -k "$1" -c listen_addresses= -c fsync=off -c max_connections=400 >>log 2>&1 &
  exec 9<users
  while sleep 3; do
    if flock -n -x 9; then
      kill -QUIT $!
      wait $!
      rm -rf data
      exit 0
    fi
  done
"#;

const SOCKET: &str = ".s.PGSQL.5432";

/// A database of a test's own. Dropping it removes it.
pub struct Database {
    folder: PathBuf,
    name: String,
    /// Locked, and so the server runs.
    _user: File,
}

impl Database {
    /// An empty database, on the server that runs or on a new one.
    pub fn new() -> Database {
        Database::made("")
    }

    /// The same in another encoding than UTF8.
    #[allow(dead_code, reason = "most tests want a database as it should be")]
    pub fn in_encoding(encoding: &str) -> Database {
        Database::made(&format!("TEMPLATE template0 ENCODING '{encoding}'"))
    }

    fn made(options: &str) -> Database {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let folder = std::env::temp_dir().join(format!("cosell-test-postgres-{}", user_id()));
        let make = r#"umask 022; mkdir -p "$0" && cd "$0" && touch users starting"#;
        assert!(as_server("sh", &["-c", make]).arg(&folder).status().is_ok_and(|status| status.success()));
        let user = File::open(folder.join("users")).expect("it was made");
        // While a server that nobody used is being stopped, this waits.
        user.lock_shared().expect("files can be locked");
        let starting = File::open(folder.join("starting")).expect("it was made");
        starting.lock().expect("files can be locked");
        if !answers(&folder) {
            start(&folder);
        }
        drop(starting);
        let name = format!("test_{}_{}", std::process::id(), NUMBER.fetch_add(1, Ordering::SeqCst));
        assert!(run(&folder, &format!("CREATE DATABASE {name} {options}")), "no database could be made");
        Database { folder, name, _user: user }
    }

    /// Its name.
    #[allow(dead_code, reason = "some tests make addresses of their own")]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server's socket.
    #[allow(dead_code, reason = "some tests make addresses of their own")]
    pub fn socket(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }

    /// The folder of the server's socket.
    #[allow(dead_code, reason = "some tests put something before the server")]
    pub fn server(&self) -> &Path {
        &self.folder
    }

    /// What to connect to.
    pub fn address(&self) -> String {
        format!("host={} user=cosell dbname={}", self.folder.display(), self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        run(&self.folder, &format!("DROP DATABASE {} WITH (FORCE)", self.name));
    }
}

fn start(folder: &Path) {
    let begun = as_server("setsid", &["--fork", "sh", "-c", RUN])
        .arg(programs())
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    assert!(begun.is_ok_and(|status| status.success()), "a shell can be started");
    let started = (0..600).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        answers(folder)
    });
    assert!(started, "{}", std::fs::read_to_string(folder.join("log")).unwrap_or_default());
}

fn answers(folder: &Path) -> bool {
    folder.join(SOCKET).exists() && run(folder, "SELECT")
}

fn run(folder: &Path, sql: &str) -> bool {
    let status = Command::new(programs().join("psql"))
        .args(["-q", "-X", "-U", "cosell", "-d", "postgres", "-c", sql, "-h"])
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn user_id() -> String {
    let said = Command::new("id").arg("-u").output().expect("every system has id");
    String::from_utf8_lossy(&said.stdout).trim().to_owned()
}

/// Whether servers must run as another user.
pub fn is_root() -> bool {
    user_id() == "0"
}

/// A command by a user that the server may run as, which root is not.
fn as_server(program: &str, arguments: &[&str]) -> Command {
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--", program]);
        command
    } else {
        Command::new(program)
    };
    command.args(arguments).current_dir("/");
    command
}

/// Those of the newest version that is installed.
pub fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.filter_map(|version| {
        let programs = version.path().join("bin");
        let number: u32 = version.file_name().to_string_lossy().parse().ok()?;
        programs.join("initdb").is_file().then_some((number, programs))
    });
    found.max().map(|(_, programs)| programs).expect("PostgreSQL is installed: apt-get install postgresql")
}
