//! `cosell sandbox`: a server with a seeded world and an issuer of its own.

use std::path::PathBuf;
use std::sync::Arc;

use exchange::Clock;
use identity::TokenVerifier;
use identity::sandbox::{IssuerOptions, SandboxIssuer, SigningKey, accepted_audiences};
use referral::ApiMode;
use server::ServerOptions;
use store::Store;
use store::sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

use crate::clock::{SetClock, SystemClock};
use crate::config::{Log, Switches, list_limits, public_url};
use crate::failure::Failure;
use crate::jobs::Jobs;
use crate::logging::{self, Format, Level};
use crate::options::SandboxOptions;
use crate::random;
use crate::resources::{self, MemoryPlan};
use crate::seed::{self, PASSWORD, USERS};
use crate::serving::{self, ServerParts};
use crate::signals::Signals;
use crate::terminal;

/// Where the issuer's key is kept, PKCS#8.
const KEY_SETTING: &str = "sandbox-issuer-key";
const TOKEN_LIFETIME_SECONDS: i64 = 3600;

/// Runs the sandbox until a signal comes.
///
/// # Errors
/// When the address or the data directory cannot be had.
pub fn run(options: SandboxOptions) -> Result<(), Failure> {
    let mut log = Log { level: Level::Info, format: Format::Text, requests: terminal::is_interactive() };
    log.merge_from(&options.log);
    logging::begin(log.level, log.format);
    random::prepare();
    serving::run(async {
        let signals = Signals::listen().map_err(Failure::failed)?;
        let base = options.public_url.as_deref().map(public_url).transpose()?;
        let listener = serving::bind(options.listen).await?;
        let home = DataDirectory::from_options(&options)?;
        if let Some(folder) = home.private() {
            signals.remove_on_exit(folder);
        }
        let outcome = serve(&options, base, &log, signals, listener, &home).await;
        home.remove_if_temporary();
        outcome
    })
}

async fn serve(
    options: &SandboxOptions,
    base: Option<String>,
    log: &Log,
    signals: Signals,
    listener: net::Listener,
    home: &DataDirectory,
) -> Result<(), Failure> {
    let local = serving::url_of(&listener, false)?;
    let base = base.unwrap_or_else(|| local.clone());
    let clock: Arc<dyn Clock> = match options.clock {
        Some(time) => Arc::new(SetClock::starting_at(time)),
        None => Arc::new(SystemClock),
    };
    let storage = SqliteOptions { limits: list_limits(), ..SqliteOptions::default() };
    let store = super::open_store(&home.path(), storage).await?;
    seed::insert(store.as_ref(), !options.no_seed).await?;

    let issuer = Arc::new(issuer(&base));
    load_or_create_key(Arc::clone(&issuer), Arc::clone(&store)).await?;
    let issuers = issuer.verifier_issuers(&accepted_audiences(&base));
    let mut switches = Switches::defaults(ApiMode::Strict);
    switches.merge_from(&options.switches);
    let mut server = ServerOptions::new(base);
    switches.apply(&mut server);
    server.issuer_names = vec![seed::ISSUER.to_owned(); issuers.len()];
    server.log_requests = log.requests;
    server.rate = None;
    let plan = MemoryPlan::for_memory(resources::memory());
    (server.request_memory, server.answer_memory) = (plan.requests, plan.answers);
    server.list_cache_bytes = plan.list_cache;
    let listening = net::ServeOptions::default();
    let max_connections = resources::connections(listening.max_connections, 0)?;
    let parts = ServerParts {
        listener,
        store,
        clock,
        policy: switches.policy(),
        verifier: TokenVerifier::new(issuers, 0),
        issuer: Some(issuer),
        server,
        listening: net::ServeOptions { max_connections, ..listening },
        jobs: Jobs::new(),
        signals,
    };
    serving::serve(parts, &greeting(&local, home, switches.temperament, !options.no_seed)).await
}

fn issuer(base: &str) -> SandboxIssuer {
    let users = USERS.iter().map(seed::SeededUser::to_sandbox_user).collect();
    SandboxIssuer::new(IssuerOptions {
        base_url: base.to_owned(),
        lifetime_seconds: TOKEN_LIFETIME_SECONDS,
        users,
    })
}

/// Gives the issuer its kept key, so that tokens of before are good from the first request on. Where none is kept, one
/// is made in the background: it takes longer than everything else at the start, and no token waits for it yet.
async fn load_or_create_key(issuer: Arc<SandboxIssuer>, store: Arc<SqliteStore>) -> Result<(), Failure> {
    if let Some(der) = store.setting(KEY_SETTING).await? {
        match SigningKey::from_pkcs8(&der) {
            Ok(key) => issuer.set_key(key),
            Err(error) => report_missing_key(&error),
        }
        return Ok(());
    }
    tokio::spawn(async move {
        match tokio::task::spawn_blocking(SigningKey::generate).await {
            Ok(Ok(key)) => {
                if let Err(error) = store.save_setting(KEY_SETTING, &key.to_pkcs8()).await {
                    tracing::warn!(%error, "The issuer's key could not be kept: {error}");
                }
                issuer.set_key(key);
            }
            Ok(Err(error)) => report_missing_key(&error),
            Err(error) => report_missing_key(&error),
        }
    });
    Ok(())
}

fn report_missing_key(error: &dyn std::fmt::Display) {
    tracing::error!(%error, "The issuer has no key, so it can give no tokens: {error}");
}

/// Where the data live.
enum DataDirectory {
    Kept(PathBuf),
    Private(TempDir),
}

impl DataDirectory {
    fn from_options(options: &SandboxOptions) -> Result<DataDirectory, Failure> {
        if let Some(directory) = &options.data {
            return Ok(DataDirectory::Kept(directory.clone()));
        }
        let mut builder = tempfile::Builder::new();
        builder.prefix("cosell-sandbox-");
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o700));
        let folder = builder.tempdir();
        folder
            .map(DataDirectory::Private)
            .map_err(|error| Failure::failed(format!("cannot make a private folder: {error}")))
    }

    fn path(&self) -> PathBuf {
        match self {
            DataDirectory::Kept(directory) => directory.clone(),
            DataDirectory::Private(folder) => folder.path().to_owned(),
        }
    }

    fn private(&self) -> Option<PathBuf> {
        match self {
            DataDirectory::Kept(_) => None,
            DataDirectory::Private(folder) => Some(folder.path().to_owned()),
        }
    }

    /// Removes what is private, and says when that fails.
    fn remove_if_temporary(self) {
        if let DataDirectory::Private(folder) = self {
            let path = folder.path().display().to_string();
            if let Err(error) = folder.close() {
                tracing::warn!("The private folder {path} could not be removed: {error}");
            }
        }
    }
}

/// What a person may want to know next; begins where the ready line ends.
fn greeting(url: &str, home: &DataDirectory, mode: ApiMode, seeded: bool) -> String {
    let program =
        std::env::args_os().next().map_or("cosell".into(), |name| name.to_string_lossy().into_owned());
    let server = if url == "http://127.0.0.1:8080" { String::new() } else { format!(" --server {url}") };
    // The line must not be broken by a terminal of a hundred columns.
    let turn = if program.len() + server.len() > 30 { "\\\n      " } else { "" };
    let admin = USERS[0].user_name;
    let mut people = String::new();
    for person in USERS {
        people.push_str(&format!("    {:<24} {}\n", person.user_name, person.described));
    }
    let data = match home {
        DataDirectory::Kept(directory) => format!("kept in {}", directory.display()),
        DataDirectory::Private(_) => "gone at the end; --data DIR keeps them".to_owned(),
    };
    let (read, lead, then) = match seeded {
        true => (
            "Read a lead",
            format!("/{}", seed::LEAD),
            "leave out the id to get a list; as user@contoso.example it is shorter",
        ),
        false => ("List the referrals", String::new(), "POST a first one"),
    };
    let mode = match mode {
        ApiMode::Strict => "strict, as the real service is known; --extended offers more",
        ApiMode::Extended => "extended; --strict offers what the real service is known to offer",
    };
    format!(
        "

  People, all with the password {PASSWORD}:
{people}
  {read}, in a second terminal:

    curl -H \"Authorization: Bearer $({program} {turn}token --user {admin}{server})\" \\
      {url}/v1.0/engagements/referrals{lead}

  Then:      {then}
  A client:  base URL and token authority are {url}, client id and secret are any
  Server:    {mode}
  Data:      {data}
  Stop:      Ctrl-C
"
    )
}
