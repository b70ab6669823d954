//! A database with two organizations, and nodes on it.

use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use super::support::issuer::{Algorithm, Keys, now};
use super::support::{Ran, Sandbox, cosell, run_command};

const ISSUER: &str = "https://login.example/{tenantid}/v2.0";

/// Who takes part: the ids, which are the tenants too, and the administrators.
pub const ORGANIZATIONS: [(&str, &str, &str); 2] = [
    ("7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d", "Contoso", "ann@contoso.example"),
    ("f0000000-0000-4000-8000-0000000000fa", "Fabrikam", "bob@fabrikam.example"),
];

/// What nodes are started with.
pub struct Place {
    folder: TempDir,
    keys: Keys,
    /// What else stands in `[store]`.
    pub store: String,
    /// The program.
    pub program: Option<String>,
}

impl Place {
    /// Makes the organizations in a database that is empty.
    pub fn in_database(address: &str) -> Place {
        let place = Place {
            folder: TempDir::new().unwrap(),
            keys: Keys::new(),
            store: "connections = 6\nstatement_timeout_seconds = 5".to_owned(),
            program: None,
        };
        place.init_again(address);
        place
    }

    /// Makes the organizations, by the program that is set.
    pub fn init_again(&self, address: &str) {
        for (number, (tenant, name, admin)) in ORGANIZATIONS.into_iter().enumerate() {
            let mut arguments = vec!["init", "--database", address, "--organization", name];
            arguments.extend(["--issuer", "ours", "--tenant", tenant, "--admin", admin]);
            arguments.extend((number > 0).then_some("--add"));
            let made = run_command(self.program(&arguments));
            assert_eq!(made.code, 0, "{made:?}");
        }
    }

    fn program(&self, arguments: &[&str]) -> Command {
        let command = cosell(arguments);
        match &self.program {
            None => command,
            Some(program) => {
                let mut other = Command::new(program);
                other.args(arguments).stdin(Stdio::null());
                other
            }
        }
    }

    /// A node on this address of the database.
    pub fn serve(&self, address: &str) -> Sandbox {
        Sandbox::start_command(self.command(address))
    }

    /// A node that is expected to end before it is ready.
    pub fn is_refused(&self, address: &str) -> Ran {
        run_command(self.command(address))
    }

    fn command(&self, address: &str) -> Command {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        std::fs::write(path("keys.json"), self.keys.set().to_string()).unwrap();
        let settings = format!(
            "[listener]\npublic_url = 'https://referrals.contoso.example'\n[store]\n{}\n\
             [limits]\nrequests_per_second = 0\n[log]\nlevel = 'debug'\nrequests = false\n\
             [[issuer]]\nname = 'ours'\nurl = '{ISSUER}'\nkey_set_file = '{}'\naudiences = ['api://cosell']\n",
            self.store,
            path("keys.json")
        );
        std::fs::write(path("cosell.toml"), settings).unwrap();
        let config = path("cosell.toml");
        self.program(&["serve", "--listen", "127.0.0.1:0", "--database", address, "--config", &config])
    }

    /// A token of an organization's administrator, good for an hour.
    pub fn token(&self, organization: usize) -> String {
        let (tenant, _, admin) = ORGANIZATIONS[organization];
        let claims = json!({
            "iss": ISSUER.replace("{tenantid}", tenant), "aud": "api://cosell", "tid": tenant,
            "oid": format!("o-{organization}"), "preferred_username": admin, "scp": "access",
            "exp": now() + 3600, "nbf": now() - 5,
        });
        self.keys.token(Algorithm::Es256, &claims)
    }
}
