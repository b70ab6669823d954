//! `cosell serve`: a server for real.

use std::collections::BTreeSet;
use std::sync::Arc;

use exchange::Clock;
use identity::{IssuerSettings, TokenVerifier};
use server::ServerOptions;
use store::Organization;

use crate::clock::SystemClock;
use crate::config::{self, Config, IssuerConfig, public_url};
use crate::failure::Failure;
use crate::jobs::Jobs;
use crate::logging;
use crate::options::ServeOptions;
use crate::random;
use crate::resources::{self, MemoryPlan};
use crate::serving::{self, ServerParts};
use crate::signals::Signals;
use crate::terminal;

/// Runs the server until a signal comes.
///
/// # Errors
/// `Usage` for settings that cannot be; `Failed` when the address or the data directory cannot be had.
pub fn run(options: Box<ServeOptions>) -> Result<(), Failure> {
    if options.print_config {
        terminal::print_line(config::DEFAULT.trim_end());
        return Ok(());
    }
    let config = settings(&options)?;
    logging::begin(config.log.level, config.log.format);
    config.warn_of_open_files(options.config.as_deref());
    random::prepare();
    serving::run(serve(config))
}

/// File, environment, command line: the last one wins.
fn settings(options: &ServeOptions) -> Result<Config, Failure> {
    let mut config = Config::load(options.config.as_deref(), super::environment())?;
    config.listener.address = options.listen.unwrap_or(config.listener.address);
    if options.public_url.is_some() {
        config.listener.public_url.clone_from(&options.public_url);
    }
    // One place on the command line is instead of any in the file.
    if options.data.is_some() || options.database.is_some() {
        config.store.directory.clone_from(&options.data);
        config.store.database.clone_from(&options.database);
    }
    config.switches.merge_from(&options.switches);
    config.log.merge_from(&options.log);
    Ok(config)
}

async fn serve(config: Config) -> Result<(), Failure> {
    let signals = Signals::listen().map_err(Failure::failed)?;
    let location = config.store.location()?;
    if config.issuer.is_empty() {
        return Err(Failure::usage(
            "no issuer is configured, so nobody could sign in: add an [[issuer]] (see cosell serve --print-config)",
        ));
    }
    let memory = resources::memory();
    let plan = MemoryPlan::for_memory(memory);
    let (request_memory, answer_memory) = config.limits.memory(plan)?;
    let mut listening = config.listener.serve_options(config.tls.as_ref())?;
    listening.max_connections = resources::connections(listening.max_connections, config.store.files())?;
    let base = config.listener.public_url.as_deref().map(public_url).transpose()?;
    let listener = serving::bind(config.listener.address).await?;
    let local = serving::url_of(&listener, listening.tls.is_some())?;
    if base.is_none() && config.listener.address.ip().is_unspecified() {
        tracing::warn!("Links will begin with {local}, which no client can follow: set listener.public_url");
    }
    let base = base.unwrap_or(local);
    let issuers = issuers(&config, &base)?;

    let store = super::open(location).await?;
    check_organizations(&config, &store.organizations().await?)?;

    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mut jobs = Jobs::new();
    for (issuer, settings) in config.issuer.iter().zip(&issuers) {
        let clock = Arc::clone(&clock);
        jobs.start_key_refresh(issuer.name().to_owned(), Arc::clone(&settings.keys), move || {
            clock.now().unix_seconds()
        });
    }
    let mut server = ServerOptions::new(base);
    config.switches.apply(&mut server);
    config.limits.apply(&mut server);
    server.issuer_names = config.issuer.iter().map(|issuer| issuer.name().to_owned()).collect();
    server.log_requests = config.log.requests;
    server.list_cache_bytes = config.store.list_cache_bytes.unwrap_or(plan.list_cache);
    (server.request_memory, server.answer_memory) = (request_memory, answer_memory);
    log_limits(memory, &server, listening.max_connections);
    let parts = ServerParts {
        listener,
        store,
        clock,
        policy: config.switches.policy(),
        verifier: TokenVerifier::new(issuers, config.limits.token_leeway_seconds),
        issuer: None,
        server,
        listening,
        jobs,
        signals,
    };
    serving::serve(parts, "").await
}

/// What the server takes at most, in one line.
fn log_limits(memory: Option<u64>, server: &ServerOptions, connections: usize) {
    let mib = |bytes: u64| bytes.div_ceil(1024 * 1024);
    let memory_mib = memory.map_or("unknown".to_owned(), |memory| mib(memory).to_string());
    let (requests, answers) = (mib(server.request_memory), mib(server.answer_memory));
    tracing::info!(
        memory_mib,
        "Limits by {memory_mib} MiB of memory: {requests} MiB for requests, {answers} MiB for responses, {} requests at once, \
         {connections} connections",
        server.concurrency
    );
}

/// The issuers' settings, each name once.
fn issuers(config: &Config, base: &str) -> Result<Vec<IssuerSettings>, Failure> {
    let mut names = BTreeSet::new();
    if let Some(twice) = config.issuer.iter().find(|issuer| !names.insert(issuer.name())) {
        return Err(Failure::usage(format!("two issuers have the name {}", twice.name())));
    }
    config.issuer.iter().map(|issuer| issuer.settings(base)).collect()
}

/// Somebody must be able to sign in, and nobody whom the operator did not name: an issuer of many tenants, whose url has
/// a place for them, would else bring people of every tenant into the one organization that names none.
fn check_organizations(config: &Config, organizations: &[Organization]) -> Result<(), Failure> {
    if organizations.is_empty() {
        return Err(Failure::usage(
            "the store has no organization yet: run cosell init (see cosell init --help)",
        ));
    }
    let is_known = |organization: &&Organization| {
        config.issuer.iter().any(|issuer| issuer.name() == organization.issuer)
    };
    if !organizations.iter().any(|organization| is_known(&organization)) {
        let wanted: BTreeSet<&str> = organizations.iter().map(|organization| &*organization.issuer).collect();
        let wanted: Vec<&str> = wanted.into_iter().collect();
        return Err(Failure::usage(format!(
            "nobody could sign in: the organizations' issuers ({}) are not among the configured ones",
            wanted.join(", ")
        )));
    }
    let of_every_tenant = |organization: &&Organization| {
        let mut named = config.issuer.iter().filter(|issuer| issuer.name() == organization.issuer);
        organization.tenant.is_none() && named.any(IssuerConfig::serves_many_tenants)
    };
    if let Some(open) = organizations.iter().find(of_every_tenant) {
        return Err(Failure::usage(format!(
            "organization {} ({}) names no tenant, and its issuer {} serves many: everybody of every tenant would \
             belong to it. Give the issuer a url without {{tenantid}}, or the organization its tenant (cosell init --tenant)",
            open.name, open.id, open.issuer
        )));
    }
    for organization in organizations.iter().filter(|organization| !is_known(organization)) {
        tracing::warn!(
            organization = %organization.id,
            "Nobody of organization {} can sign in: its issuer is not configured",
            organization.id
        );
    }
    Ok(())
}
