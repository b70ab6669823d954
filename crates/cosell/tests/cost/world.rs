//! The data that requests are expensive on, the people who send them, and the servers over that data.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::database::Database;
use crate::support::chance::Chance;
use crate::support::issuer::{Algorithm, Keys, now};
use crate::support::{Sandbox, cosell, run_command};

/// The collection.
pub const REFERRALS: &str = "/v1.0/engagements/referrals";

const CONTOSO: &str = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d";
const FABRIKAM: &str = "f0000000-0000-4000-8000-0000000000fa";
const ISSUER: &str = "https://login.example/{tenantid}/v2.0";
/// The name by which the organizations of a sandbox refer to their issuer.
const ISSUER_NAME: &str = "sandbox";

/// The weak callers: Referral Users of Contoso. The sandbox's issuer knows the first one.
const ATTACKERS: [&str; 6] = [
    "user@contoso.example",
    "uma2@contoso.example",
    "uma3@contoso.example",
    "uma4@contoso.example",
    "uma5@contoso.example",
    "uma6@contoso.example",
];
const COLLEAGUE: &str = "admin@contoso.example";
const NEIGHBOUR: &str = "admin@fabrikam.example";

/// The longest notes that the contract allows, in characters.
const LONGEST_NOTES: usize = 10_000;

/// How large the world is.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    /// Invented referrals, a third of them Contoso's and a third Fabrikam's.
    invented: usize,
    /// Referrals with the longest notes.
    noted: usize,
    /// Referrals of about 900 KB.
    large: usize,
    /// Referrals of each of the two organizations in the large engagement.
    related: usize,
}

impl Size {
    /// What the test command has time for.
    pub const SHORT: Size = Size { invented: 2_400, noted: 160, large: 16, related: 200 };
    /// For a run of hours.
    pub const LONG: Size = Size { invented: 9_000, noted: 1_000, large: 110, related: 5_000 };
}

/// Ids of referrals that are worth an attack.
#[derive(Debug, Clone)]
pub struct Targets {
    /// With the longest notes, on the attackers' teams.
    pub noted: Vec<String>,
    /// Of about 900 KB, on the attackers' teams. Each attack that writes uses them.
    pub large: Vec<String>,
    /// Contoso's part of the large engagement.
    pub related: Vec<String>,
    /// The large engagement.
    pub engagement: String,
    /// One small referral of Contoso, and one of Fabrikam, for healthy callers.
    pub healthy: [String; 2],
}

/// Tokens of the people.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// Of the weak callers.
    pub attackers: Vec<String>,
    /// Of another user of their organization, a Referral Admin.
    pub colleague: String,
    /// Of the Referral Admin of another organization.
    pub neighbour: String,
}

/// Where the data are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// How the server is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// `cosell serve` with its defaults.
    Serve,
    /// The same without the rate limiter.
    Unthrottled,
    /// `cosell sandbox --extended`, which has no rate limiter.
    Sandbox,
}

/// The data, and what a server over them is started with.
pub struct World {
    folder: TempDir,
    keys: Keys,
    database: Option<Database>,
    pub targets: Targets,
}

impl World {
    /// Makes the data.
    pub fn new(engine: Engine, size: Size) -> World {
        let database = (engine == Engine::Postgres).then(Database::new);
        let folder = TempDir::new().unwrap();
        let (lines, targets) = lines(size);
        let world = World { folder, keys: Keys::new(), database, targets };
        let file = world.path("referrals.jsonl");
        std::fs::write(&file, lines).unwrap();
        world.make_organizations();
        let loaded = world.over_the_data(&["load", &file.display().to_string()]);
        assert!(loaded.contains(&format!("loaded {} ", world.targets.count())), "{loaded}");
        world.over_the_data(&["load", "--generate", &size.invented.to_string()]);
        std::fs::remove_file(&file).unwrap();
        world
    }

    /// Where the data are.
    pub fn engine(&self) -> Engine {
        if self.database.is_some() { Engine::Postgres } else { Engine::Sqlite }
    }

    /// The database, if there is one.
    pub fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn place(&self) -> [String; 2] {
        match &self.database {
            Some(database) => ["--database".to_owned(), database.address()],
            None => ["--data".to_owned(), self.path("data").display().to_string()],
        }
    }

    /// Runs a command over the data to its end; what it printed.
    fn over_the_data(&self, arguments: &[&str]) -> String {
        let mut command = cosell(arguments);
        command.args(self.place());
        let ran = run_command(command);
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.stdout
    }

    /// A sandbox makes the organizations of a data directory: it takes over a directory only if they are its own.
    fn make_organizations(&self) {
        if self.database.is_none() {
            let sandbox = Sandbox::start_with_data(&self.path("data"), &["--no-seed"]);
            assert_eq!(sandbox.stop(), 0);
            return;
        }
        for (id, name, admin) in [(CONTOSO, "Contoso Company", COLLEAGUE), (FABRIKAM, "Fabrikam", NEIGHBOUR)]
        {
            let mut arguments = vec!["init", "--organization", name, "--issuer", ISSUER_NAME];
            arguments.extend(["--tenant", id, "--admin", admin]);
            arguments.extend((id == FABRIKAM).then_some("--add"));
            self.over_the_data(&arguments);
        }
    }

    /// Starts a server, and gives everybody a token of it.
    pub fn start(&self, mode: Mode) -> (Sandbox, Tokens) {
        if mode == Mode::Sandbox {
            let mut command = cosell(&["sandbox", "--listen", "127.0.0.1:0", "--no-seed", "--extended"]);
            // Tokens stay good over a restart: they name the public address.
            command.args(["--public-url", "http://referrals.example"]).args(self.place());
            let sandbox = Sandbox::start_command(ending_with_this(&command));
            let tokens = Tokens {
                attackers: vec![sandbox.token(ATTACKERS[0])],
                colleague: sandbox.token(COLLEAGUE),
                neighbour: sandbox.token(NEIGHBOUR),
            };
            return (sandbox, tokens);
        }
        let config = self.write_settings(mode).display().to_string();
        let mut command = cosell(&["serve", "--listen", "127.0.0.1:0", "--config", &config]);
        command.args(self.place());
        let tokens = Tokens {
            attackers: ATTACKERS.iter().map(|name| self.token(CONTOSO, name, "ReferralUser")).collect(),
            colleague: self.token(CONTOSO, COLLEAGUE, "ReferralAdmin"),
            neighbour: self.token(FABRIKAM, NEIGHBOUR, "ReferralAdmin"),
        };
        (Sandbox::start_command(ending_with_this(&command)), tokens)
    }

    fn write_settings(&self, mode: Mode) -> PathBuf {
        let keys = self.path("keys.json");
        std::fs::write(&keys, self.keys.set().to_string()).unwrap();
        let limits = match mode {
            Mode::Unthrottled => "[limits]\nrequests_per_second = 0\n",
            Mode::Serve | Mode::Sandbox => "",
        };
        let settings = format!(
            "{limits}[[issuer]]\nname = '{ISSUER_NAME}'\nurl = '{ISSUER}'\naudiences = ['api://cosell']\n\
             key_set_file = '{}'\n",
            keys.display()
        );
        let file = self.path("cosell.toml");
        std::fs::write(&file, settings).unwrap();
        file
    }

    /// A token of the local issuer that is good for a day.
    fn token(&self, tenant: &str, name: &str, role: &str) -> String {
        let claims = json!({
            "iss": ISSUER.replace("{tenantid}", tenant), "aud": "api://cosell", "tid": tenant,
            "oid": name, "preferred_username": name, "scp": "access", "roles": [role],
            "exp": now() + 86_400, "nbf": now() - 5,
        });
        self.keys.token(Algorithm::Es256, &claims)
    }
}

impl Targets {
    fn count(&self) -> usize {
        self.noted.len() + self.large.len() + 2 * self.related.len() + self.healthy.len()
    }
}

/// The same command, whose process is killed when this one ends, however that ends: a server that an attack has made busy
/// would go on without end.
fn ending_with_this(command: &Command) -> Command {
    let mut ending = Command::new("setpriv");
    ending.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
    for (name, _) in command.get_envs().filter(|(_, value)| value.is_none()) {
        ending.env_remove(name);
    }
    ending.stdin(Stdio::null());
    ending
}

/// The referrals of the attack, a line each as `cosell load` reads them.
fn lines(size: Size) -> (Vec<u8>, Targets) {
    // The same world at every run: a seed chooses the requests only.
    let mut chance = Chance::from_seed(11);
    let mut lines = Vec::new();
    let mut add = |referral: Value| {
        let id = referral["id"].as_str().unwrap().to_owned();
        writeln!(lines, "{referral}").unwrap();
        id
    };
    let attackers: Vec<Value> = ATTACKERS.iter().map(|email| json!({ "email": email })).collect();
    let mut targets = Targets {
        noted: Vec::new(),
        large: Vec::new(),
        related: Vec::new(),
        engagement: chance.guid(),
        healthy: [String::new(), String::new()],
    };
    for number in 0..size.noted {
        let mut referral = referral(&mut chance, CONTOSO, &format!("Noted {number}"));
        // Half are bait for a pattern, half are as many bytes as so many characters can be.
        let notes = match number % 2 {
            0 => "a".repeat(LONGEST_NOTES),
            _ => "\u{1f4bc}".repeat(LONGEST_NOTES),
        };
        referral["details"]["notes"] = notes.into();
        referral["team"] = attackers.iter().cloned().chain((0..60).map(member)).collect();
        targets.noted.push(add(referral));
    }
    for number in 0..size.large {
        let mut referral = referral(&mut chance, CONTOSO, &format!("Large {number}"));
        referral["team"] = attackers.iter().cloned().chain((0..760).map(long_member)).collect();
        targets.large.push(add(referral));
    }
    for number in 0..size.related {
        for organization in [CONTOSO, FABRIKAM] {
            let mut referral = referral(&mut chance, organization, &format!("Related {number}"));
            referral["engagementId"] = targets.engagement.clone().into();
            if organization == CONTOSO {
                referral["team"] = attackers.iter().cloned().collect();
            }
            let id = add(referral);
            targets.related.extend((organization == CONTOSO).then_some(id));
        }
    }
    targets.healthy = [CONTOSO, FABRIKAM].map(|organization| {
        let referral = referral(&mut chance, organization, "Healthy");
        add(referral)
    });
    (lines, targets)
}

fn referral(chance: &mut Chance, organization: &str, name: &str) -> Value {
    let (day, second) = (1 + chance.below(28), chance.below(60));
    json!({
        "id": chance.guid(), "engagementId": chance.guid(), "organizationId": organization, "name": name,
        "organizationName": if organization == CONTOSO { "Contoso Company" } else { "Fabrikam" },
        "createdDateTime": format!("2026-03-{day:02}T10:20:{second:02}Z"),
        "status": "Active", "substatus": "Accepted", "type": "Shared", "direction": "Outgoing",
        "customerProfile": { "name": format!("Customer of {name}"), "address": { "country": "US" } },
        "consent": { "consentToToShareInfoWithOthers": true },
        "details": { "dealValue": chance.below(1_000_000), "currency": "USD" },
    })
}

fn member(number: usize) -> Value {
    json!({ "firstName": format!("First {number}"), "lastName": "Tailspin", "email": format!("m{number}@contoso.example") })
}

fn long_member(number: usize) -> Value {
    let text = "b".repeat(1_000);
    json!({ "firstName": text, "lastName": format!("Long {number}"), "email": format!("l{number}@contoso.example") })
}
