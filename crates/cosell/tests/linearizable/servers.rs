//! The servers of a history: one on a data directory, or some nodes on one database.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::json;
use tempfile::TempDir;

use super::database::Database;
use super::support::issuer::{Algorithm, Keys, now};
use super::support::{Sandbox, cosell, run};

/// Servers that keep their data when they are killed.
pub trait Servers {
    /// How many.
    fn count(&self) -> usize;
    /// Starts one; where it is.
    fn start(&mut self, number: usize) -> SocketAddr;
    /// Kills one with SIGKILL.
    fn kill(&mut self, number: usize);
    /// One that runs.
    fn server(&self, number: usize) -> &Sandbox;
    /// A bearer token that all take, before and after kills.
    fn token(&self) -> String;
}

/// One server on a data directory.
pub struct OnSqlite {
    directory: TempDir,
    running: Option<Sandbox>,
    kills: u64,
    /// Between the first kill and the second, what the directory held at the first.
    before: Option<TempDir>,
    forgets: bool,
}

impl OnSqlite {
    /// On an empty directory.
    pub fn new() -> OnSqlite {
        let directory = TempDir::new().unwrap();
        OnSqlite { directory, running: None, kills: 0, before: None, forgets: false }
    }

    /// Plants a fault: the second kill takes everything with it that was written since the first.
    pub fn forget_writes_at_second_kill(&mut self) {
        self.forgets = true;
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        if entry.file_type().unwrap().is_file() {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

impl Servers for OnSqlite {
    fn count(&self) -> usize {
        1
    }

    fn start(&mut self, _: usize) -> SocketAddr {
        // The public address stays the same, so that tokens stay good.
        let options = ["--no-seed", "--extended", "--public-url", "http://referrals.example"];
        let sandbox = Sandbox::start_with_data(self.directory.path(), &options);
        self.running.insert(sandbox).address()
    }

    fn kill(&mut self, _: usize) {
        self.running = None;
        self.kills += 1;
        if !self.forgets {
            return;
        }
        match (self.kills, self.before.take()) {
            (1, _) => {
                let kept = self.before.insert(TempDir::new().unwrap());
                copy(self.directory.path(), kept.path());
            }
            (2, Some(kept)) => self.directory = kept,
            _ => {}
        }
    }

    fn server(&self, _: usize) -> &Sandbox {
        self.running.as_ref().unwrap()
    }

    fn token(&self) -> String {
        self.server(0).token("admin@contoso.example")
    }
}

const TENANT: &str = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d";
const ISSUER: &str = "https://login.example/{tenantid}/v2.0";
const ADMIN: &str = "ann@contoso.example";

/// Nodes on one database of PostgreSQL.
pub struct OnPostgres {
    folder: TempDir,
    database: Database,
    keys: Keys,
    nodes: Vec<Option<Sandbox>>,
}

impl OnPostgres {
    /// On a database with Contoso in it.
    pub fn new(nodes: usize) -> OnPostgres {
        let (folder, database, keys) = (TempDir::new().unwrap(), Database::new(), Keys::new());
        let address = database.address();
        let organization = ["--organization", "Contoso Company", "--issuer", "ours", "--tenant", TENANT];
        let made = run(&[&["init", "--database", &address][..], &organization, &["--admin", ADMIN]].concat());
        assert_eq!(made.code, 0, "{made:?}");
        let path = |name: &str| folder.path().join(name).display().to_string();
        std::fs::write(path("keys.json"), keys.set().to_string()).unwrap();
        let settings = format!(
            "[listener]\npublic_url = 'https://referrals.contoso.example'\n[store]\nconnections = 4\n\
             [limits]\nrequests_per_second = 0\n[[issuer]]\nname = 'ours'\nurl = '{ISSUER}'\n\
             key_set_file = '{}'\naudiences = ['api://cosell']\n",
            path("keys.json")
        );
        std::fs::write(path("cosell.toml"), settings).unwrap();
        OnPostgres { folder, database, keys, nodes: (0..nodes).map(|_| None).collect() }
    }
}

impl Servers for OnPostgres {
    fn count(&self) -> usize {
        self.nodes.len()
    }

    fn start(&mut self, number: usize) -> SocketAddr {
        let mut command =
            cosell(&["serve", "--listen", "127.0.0.1:0", "--database", &self.database.address()]);
        command.arg("--config").arg(self.folder.path().join("cosell.toml"));
        self.nodes[number].insert(Sandbox::start_command(command)).address()
    }

    fn kill(&mut self, number: usize) {
        self.nodes[number] = None;
    }

    fn server(&self, number: usize) -> &Sandbox {
        self.nodes[number].as_ref().unwrap()
    }

    fn token(&self) -> String {
        let claims = json!({
            "iss": ISSUER.replace("{tenantid}", TENANT), "aud": "api://cosell", "tid": TENANT, "oid": "o-1",
            "preferred_username": ADMIN, "scp": "access", "exp": now() + 3600, "nbf": now() - 5,
        });
        self.keys.token(Algorithm::Es256, &claims)
    }
}
