//! The command line. Texts here are what `--help` prints.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use referral::{OrganizationId, Timestamp};
use serde::Deserialize;

use crate::logging;

/// The address of both servers, when none is given.
pub const DEFAULT_LISTEN: &str = "127.0.0.1:8080";

/// A self-hosted server that speaks the wire protocol of the Referrals API of Microsoft Partner Center.
#[derive(Debug, Parser)]
#[command(name = "cosell", version, subcommand_required = true, arg_required_else_help = true)]
#[command(
    after_help = "Begin with:  cosell sandbox\nExit codes:  0 good, 1 failed, 2 wrong usage or configuration"
)]
pub struct Options {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a server with a seeded world: no set-up, no network, no account
    #[command(after_help = SANDBOX_EXAMPLES)]
    Sandbox(SandboxOptions),
    /// Start a server for real, with tokens of your own OpenID issuer
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(Box<ServeOptions>),
    /// Make the first organization and its administrator in an empty store
    #[command(after_help = INIT_EXAMPLES, mut_arg("data", |data| data.help("The data directory")))]
    #[command(mut_arg("config", |config| config.display_order(0)))]
    Init(InitOptions),
    /// Print a bearer token of a running sandbox
    #[command(after_help = TOKEN_EXAMPLES)]
    Token(TokenOptions),
    /// Load many referrals at once, from a file or invented
    #[command(after_help = LOAD_EXAMPLES)]
    Load(LoadOptions),
    /// Show how a list would be carried out, and whether an index carries it
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainOptions),
    /// Write everything of a data directory into one file, beside a running server
    #[command(after_help = BACKUP_EXAMPLES)]
    Backup(BackupOptions),
    /// Make a data directory of a backup
    #[command(after_help = RESTORE_EXAMPLES)]
    Restore(RestoreOptions),
    /// Copy everything into another data directory or database, and verify it
    #[command(after_help = COPY_EXAMPLES)]
    Copy(CopyOptions),
    /// Bring the schema of the data up to date, as the first start of a server does
    #[command(after_help = MIGRATE_EXAMPLES)]
    #[command(mut_arg("database", |database| database.help(DATABASE_IN_USE)))]
    Migrate(MigrateOptions),
    /// Ask a running server whether it is ready
    #[command(after_help = HEALTH_EXAMPLES)]
    Health(HealthOptions),
}

const HEALTH_EXAMPLES: &str = "Examples:
  cosell health                                         at the address that the settings name
  cosell health --config /etc/cosell/cosell.toml
  cosell health --server https://referrals.contoso.example --authorities authorities.pem

Exit code 0: it is ready, and takes writes; 1: it is not, or gives no answer within five seconds, and
one line says why. With https the certificate must be good for the name in --server.";

const BACKUP_EXAMPLES: &str = "Examples:
  cosell backup --data /var/lib/cosell --to /backup/monday.backup
  cosell backup --data /var/lib/cosell --to /backup     in a folder: named by the time, in UTC

The file has its name only when it is whole, verified and on the disk. Run it as the server's user.";

const RESTORE_EXAMPLES: &str = "Examples:
  cosell restore --from /backup/monday.backup --data /var/lib/cosell

The directory must be empty or missing. A damaged file is refused, and nothing is put in place then.";

const COPY_EXAMPLES: &str = "Examples:
  cosell copy --from /var/lib/cosell --to postgres://cosell@db.contoso.example/cosell
  cosell copy --from postgres://cosell@db.contoso.example/cosell --to /var/lib/cosell
  COSELL_STORE_DATABASE=postgres://cosell:PASSWORD@db.contoso.example/cosell \\
      cosell copy --from sqlite:/var/lib/cosell         the place that is not given: of the settings

No server may be running on either. The target must be empty, or begun by the same copy before: then it
goes on where that was broken off. Exit code 0 says that both hold the same; the digests are printed.";

const DATABASE_IN_USE: &str = "A PostgreSQL database instead; servers may be running on it";

const MIGRATE_EXAMPLES: &str = "Examples:
  cosell migrate --database postgres://owner@db.contoso.example/cosell
  cosell migrate --check --data /var/lib/cosell

With --check the exit code is 0 when there is nothing to do, and 1 when there is.";

const SANDBOX_EXAMPLES: &str = "Examples:
  cosell sandbox                                        everything at its default
  cosell sandbox --data ./world --extended              keep the data; offer more
  cosell sandbox --listen 127.0.0.1:0                   on a free port; the ready line names it
  cosell sandbox --clock 2020-11-01T00:00:00Z           begin in another time
  cosell sandbox --reject-unknown --tolerant-json off   be picky about bodies";

const SERVE_EXAMPLES: &str = "Examples:
  cosell serve --print-config > cosell.toml             the commented defaults; add an [[issuer]]
  cosell init --data /var/lib/cosell --organization 'Contoso Company' --issuer entra \\
      --tenant TENANT-ID --admin ann@contoso.example
  cosell serve --config cosell.toml --data /var/lib/cosell
  COSELL_LOG_FORMAT=json cosell serve --config cosell.toml --data /var/lib/cosell

Every setting can be given in the environment as COSELL_SECTION_KEY; the command line wins over the
environment, and the environment over the file.";

const INIT_EXAMPLES: &str = "Examples:
  cosell init --data /var/lib/cosell --organization 'Contoso Company' --issuer entra \\
      --tenant 7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d --partner-id 1234567 --admin ann@contoso.example
  cosell init --add --data /var/lib/cosell --organization Fabrikam --issuer entra \\
      --tenant TENANT-ID --admin bob@fabrikam.example

Everybody else has the role that `roles` in their token names: ReferralAdmin or ReferralUser.";

const TOKEN_EXAMPLES: &str = "Examples:
  TOKEN=$(cosell token --user admin@contoso.example)
  cosell token --user user@fabrikam.example --server http://127.0.0.1:9090";

const EXPLAIN_EXAMPLES: &str = "Examples:
  cosell explain \"\\$filter=direction eq 'Incoming' and substatus eq 'Pending'\"
  cosell explain '$orderby=updatedDateTime desc&$top=50' --statements
  cosell explain 'http://127.0.0.1:8080/v1.0/engagements/referrals?$filter=favorite'
  cosell explain '$filter=favorite' --database postgres://cosell@db.contoso.example/cosell

It asks no server and reads no data: the plan follows from the query alone. With --database it also shows
what PostgreSQL's planner makes of the page with the data of an organization.";

const LOAD_EXAMPLES: &str = "Examples:
  cosell load referrals.jsonl --data ./world            one referral a line, as GET prints them
  cosell load export.jsonl --data ./world --skip-bad \\
      --organization 7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d
  cosell load --generate 100000 --data ./world          invented ones, the same at every call
  cosell load referrals.jsonl --database postgres://cosell@db.contoso.example/cosell";

/// `cosell sandbox`
#[derive(Debug, Args)]
pub struct SandboxOptions {
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "IP:PORT", default_value = DEFAULT_LISTEN)]
    pub listen: SocketAddr,
    /// The base of every link and of the issuer [default: that of the ready line]
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Keep the data here [default: a private folder, removed at the end]
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The time at which the clock begins
    #[arg(long, value_name = "RFC3339")]
    pub clock: Option<Timestamp>,
    /// Seed the organizations and people alone, without referrals
    #[arg(long)]
    pub no_seed: bool,
    #[command(flatten)]
    pub switches: SwitchOptions,
    #[command(flatten)]
    pub log: LogOptions,
}

/// `cosell serve`
#[derive(Debug, Args)]
pub struct ServeOptions {
    /// The settings in TOML; see --print-config
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data directory (SQLite)
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A PostgreSQL database instead, which several servers may share
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    pub database: Option<String>,
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<SocketAddr>,
    /// The base of every link, and the default audience of tokens
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Print the commented default settings and end
    #[arg(long)]
    pub print_config: bool,
    #[command(flatten)]
    pub switches: SwitchOptions,
    #[command(flatten)]
    pub log: LogOptions,
}

/// The temperament, the profile, and the switches of the contract (section 15), for both servers.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What the server accepts and offers")]
pub struct SwitchOptions {
    /// Offer what the real service does [default of sandbox]
    #[arg(long, conflicts_with = "extended")]
    pub strict: bool,
    /// Offer more: all JSON Patch, merge patch [default of serve]
    #[arg(long)]
    pub extended: bool,
    /// Rules for values: wire, or stricter: program [default: wire]
    #[arg(long, value_enum, value_name = "PROFILE", hide_possible_values = true)]
    pub profile: Option<Profile>,
    /// Pass over a comma before } or ] in bodies [default: on]
    #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on", hide_possible_values = true)]
    pub tolerant_json: Option<OnOff>,
    /// Pass over links in PUT, not refuse them [default: off]
    #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on", hide_possible_values = true)]
    pub ignore_links: Option<OnOff>,
    /// Take a plain JSON object as PATCH body [default: off]
    #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on", hide_possible_values = true)]
    pub object_patch: Option<OnOff>,
    /// Refuse members the contract does not know [default: off]
    #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on", hide_possible_values = true)]
    pub reject_unknown: Option<OnOff>,
    /// Take tokens of applications without a person [default: off]
    #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on", hide_possible_values = true)]
    pub app_only: Option<OnOff>,
    /// Count a Global Admin as Referral Admin [default: on]
    #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on", hide_possible_values = true)]
    pub global_admin_counts: Option<OnOff>,
    /// Show leads from marketplace offers [default: off]
    #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on", hide_possible_values = true)]
    pub marketplace_leads: Option<OnOff>,
    /// Misspell @odata.context as the pages do [default: off]
    #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on", hide_possible_values = true)]
    pub misspelt_context: Option<OnOff>,
}

/// Logs, for both servers.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Logs, on standard error")]
pub struct LogOptions {
    /// off, error, warn, info, debug or trace [default: info]
    #[arg(long, value_enum, value_name = "LEVEL", hide_possible_values = true)]
    pub log_level: Option<logging::Level>,
    /// text or json [default: text]
    #[arg(long, value_enum, value_name = "FORMAT", hide_possible_values = true)]
    pub log_format: Option<logging::Format>,
    /// A line for every request [default: on; of sandbox: on a terminal]
    #[arg(long, value_name = "on|off", num_args = 0..=1, default_missing_value = "on", hide_possible_values = true)]
    pub log_requests: Option<OnOff>,
}

/// Where the data are, for the commands that work on data at rest or on a database.
#[derive(Debug, Clone, Default, Args)]
pub struct DatabaseOptions {
    /// The data directory; no server may be using it
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A PostgreSQL database instead
    #[arg(long, value_name = "URL", conflicts_with = "data")]
    pub database: Option<String>,
    /// The settings in TOML, for where the data are
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `cosell init`
#[derive(Debug, Args)]
pub struct InitOptions {
    #[command(flatten)]
    pub place: DatabaseOptions,
    /// The organization's name, as referrals show it
    #[arg(long, value_name = "NAME")]
    pub organization: String,
    /// Its id in referrals [default: the tenant if a GUID, else a fresh one]
    #[arg(long, value_name = "GUID")]
    pub id: Option<OrganizationId>,
    /// Who issues its people's tokens: the issuer's name or url in the settings
    #[arg(long, value_name = "NAME|URL")]
    pub issuer: String,
    /// Their tokens' tenant (`tid`); without it the issuer is theirs alone
    #[arg(long, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Its partner id (`mpnId`)
    #[arg(long, value_name = "DIGITS")]
    pub partner_id: Option<String>,
    /// One of its location ids; may be repeated
    #[arg(long, value_name = "ID", action = ArgAction::Append)]
    pub location: Vec<String>,
    /// An administrator (Referral Admin), as tokens name them; may be repeated
    #[arg(long, value_name = "USER", required = true, action = ArgAction::Append)]
    pub admin: Vec<String>,
    /// Add to a store that has organizations already
    #[arg(long)]
    pub add: bool,
}

/// `cosell explain`
#[derive(Debug, Args)]
pub struct ExplainOptions {
    /// The query string, or a whole address with one
    #[arg(value_name = "QUERY")]
    pub query: String,
    /// Refuse what the strict temperament refuses
    #[arg(long)]
    pub strict: bool,
    /// Print the SQL too
    #[arg(long)]
    pub statements: bool,
    /// Ask this PostgreSQL database's planner too
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// Whose list it is there [default: who has the longest log]
    #[arg(long, value_name = "ID", requires = "database")]
    pub organization: Option<OrganizationId>,
    /// The settings in TOML, for how the database is reached
    #[arg(long, value_name = "FILE", requires = "database")]
    pub config: Option<PathBuf>,
}

/// `cosell backup`
#[derive(Debug, Args)]
pub struct BackupOptions {
    /// The data directory; a server may be running on it
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The file to make, or the folder to make one in
    #[arg(long, value_name = "FILE|FOLDER")]
    pub to: PathBuf,
    /// The settings in TOML, for where the data are
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `cosell restore`
#[derive(Debug, Args)]
pub struct RestoreOptions {
    /// The backup
    #[arg(long, value_name = "FILE")]
    pub from: PathBuf,
    /// The data directory to make
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
}

/// `cosell copy`
#[derive(Debug, Args)]
pub struct CopyOptions {
    /// A directory, sqlite:DIR or postgres://… [default: as the settings say]
    #[arg(long, value_name = "PLACE")]
    pub from: Option<String>,
    /// The same; it must be empty [default: as the settings say]
    #[arg(long, value_name = "PLACE")]
    pub to: Option<String>,
    /// The settings in TOML, for where data are and how a database is reached
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

/// `cosell migrate`
#[derive(Debug, Args)]
pub struct MigrateOptions {
    #[command(flatten)]
    pub place: DatabaseOptions,
    /// Change nothing; exit code 1 if there is something to do
    #[arg(long)]
    pub check: bool,
}

/// `cosell health`
#[derive(Debug, Args)]
pub struct HealthOptions {
    /// The server [default: http and listener.address of the settings]
    #[arg(long, value_name = "URL")]
    pub server: Option<String>,
    /// A PEM file of certificate authorities to trust besides the machine's own
    #[arg(long, value_name = "FILE", requires = "server")]
    pub authorities: Option<PathBuf>,
    /// The settings in TOML, for where the server listens
    #[arg(long, value_name = "FILE", conflicts_with = "server")]
    pub config: Option<PathBuf>,
}

/// `cosell token`
#[derive(Debug, Args)]
pub struct TokenOptions {
    /// Whose token, such as admin@contoso.example; the sandbox prints all
    #[arg(long, value_name = "NAME")]
    pub user: String,
    /// The running sandbox
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8080")]
    pub server: String,
    /// The person's password
    #[arg(long, value_name = "PASSWORD", default_value = "cosell")]
    pub password: String,
    /// What the token is for
    #[arg(long, value_name = "URL", default_value = "https://api.partner.microsoft.com")]
    pub audience: String,
}

/// More referrals than this are a slip, not a test: they would take terabytes.
const MAX_GENERATED: u64 = 1_000_000_000;

/// `cosell load`
#[derive(Debug, Args)]
pub struct LoadOptions {
    /// JSON lines, one referral each; `-` is standard input
    #[arg(value_name = "FILE", required_unless_present = "generate", conflicts_with = "generate")]
    pub file: Option<PathBuf>,
    /// Invent so many instead
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=MAX_GENERATED))]
    pub generate: Option<u64>,
    #[command(flatten)]
    pub place: DatabaseOptions,
    /// Who owns them [default: as each line says; of invented ones, all in turn]
    #[arg(long, value_name = "ID")]
    pub organization: Option<OrganizationId>,
    /// Leave bad lines out instead of stopping at the first
    #[arg(long)]
    pub skip_bad: bool,
}

/// A switch on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    /// Yes.
    On,
    /// No.
    Off,
}

impl OnOff {
    /// As a truth value.
    pub fn is_on(self) -> bool {
        self == OnOff::On
    }
}

/// Which rules values are held against.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// The rules of the pages of the API.
    Wire,
    /// Those of the user pages as well.
    Program,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_switch_is_on_when_named_and_what_it_is_told_otherwise() {
        let read =
            |arguments: &[&str]| match Options::try_parse_from(arguments).map(|options| options.command) {
                Ok(Command::Sandbox(options)) => Ok(options.switches),
                Ok(_) => panic!("this is a sandbox"),
                Err(error) => Err(error.exit_code()),
            };
        let switches =
            read(&["cosell", "sandbox", "--object-patch", "--strict", "--tolerant-json", "off"]).unwrap();
        assert_eq!(switches.object_patch, Some(OnOff::On));
        assert_eq!(switches.tolerant_json, Some(OnOff::Off));
        assert_eq!(switches.app_only, None);
        assert_eq!(read(&["cosell", "sandbox", "--strict", "--extended"]).unwrap_err(), 2);
        assert_eq!(read(&["cosell", "sandbox", "--object-patch", "maybe"]).unwrap_err(), 2);
    }
}
