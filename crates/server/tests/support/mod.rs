//! A server in this process, over a real store in a temporary directory: everything but the sockets.
//!
//! [`World`] is the server with its clock, its issuer and its people. [`World::call`] sends a request through
//! `App::handle`; every answer is held to the headers of spec 4.2 and every refusal to the error body of spec 11.4.
#![allow(clippy::unwrap_used, reason = "a test may fail by panic")]
#![allow(dead_code, unused_imports, reason = "each test program uses a part of it")]

mod call;
mod lists;
mod parts;
mod people;
mod watched;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use exchange::{Exchange, Policy};
use identity::TokenVerifier;
use identity::sandbox::{IssuerOptions, IssuerRequest, SandboxIssuer, accepted_audiences};
use referral::{ETag, OrganizationId, Timestamp};
use serde_json::Value;
use server::{App, ServerOptions};
use store::sqlite::{SqliteOptions, SqliteStore};
use store::{Change, Entry, LogEntry, Store, StoredReferral, Write};
use tempfile::TempDir;

pub use call::{Answer, Call, DEADLINE};
pub use lists::*;
pub use parts::{Chance, FakeClock, SeededIds, signed};
pub use people::*;
pub use watched::{Trouble, Watched};

/// The public address of every world; nobody listens there.
pub const BASE: &str = "http://127.0.0.1:8080";
/// The canonical path of the collection.
pub const REFERRALS: &str = "/v1.0/engagements/referrals";
/// Where the clock begins.
pub const BEGINNING: &str = "2026-03-02T09:30:00.1234567Z";
/// How long a token of the issuer lives, in seconds.
pub const TOKEN_LIFETIME: i64 = 3600;

/// The server and everything around it.
pub struct World {
    /// The clock of the server and of the issuer.
    pub clock: Arc<FakeClock>,
    /// The store, which can be told to misbehave.
    pub store: Arc<Watched>,
    /// The exchange, for its jobs.
    pub exchange: Arc<Exchange>,
    /// The server.
    pub app: App,
    /// The sandbox's issuer.
    pub issuer: Arc<SandboxIssuer>,
    chance: Arc<Chance>,
    ids: Arc<SeededIds>,
    options: ServerOptions,
    policy: Policy,
    tokens: Mutex<HashMap<String, (String, std::ops::Range<i64>)>>,
    directory: TempDir,
}

/// What the store holds of one referral.
#[derive(Debug, Clone, PartialEq)]
pub struct Kept {
    /// The document as it lies on the disk.
    pub document: String,
    /// Its tag.
    pub etag: ETag,
    /// Its version.
    pub version: u64,
}

impl World {
    /// A strict server with the wire profile, nobody's referrals, and everybody of [`people`].
    pub async fn new() -> World {
        World::with(|_, _| {}).await
    }

    /// The extended temperament.
    pub async fn extended() -> World {
        World::with(|options, policy| {
            options.mode = referral::ApiMode::Extended;
            policy.request_options.mode = referral::ApiMode::Extended;
        })
        .await
    }

    /// The program profile.
    pub async fn program() -> World {
        World::with(|_, policy| policy.request_options.profile = referral::ValidationProfile::Program).await
    }

    /// A server with other settings.
    pub async fn with(choose: impl FnOnce(&mut ServerOptions, &mut Policy)) -> World {
        let mut options = ServerOptions::new(BASE);
        options.issuer_names = vec![ISSUER.to_owned(), ISSUER.to_owned()];
        let mut policy = Policy::default();
        choose(&mut options, &mut policy);

        let directory = tempfile::tempdir().unwrap();
        let clock = Arc::new(FakeClock::at(BEGINNING));
        let (chance, ids) = (Arc::new(Chance::default()), Arc::new(SeededIds::default()));
        let issuer = Arc::new(SandboxIssuer::new(IssuerOptions {
            base_url: BASE.to_owned(),
            lifetime_seconds: TOKEN_LIFETIME,
            users: people::users(),
        }));
        issuer.set_key(parts::signing_key());
        let store = open(&directory);
        for organization in people::organizations() {
            store.save_organization(&organization).await.unwrap();
        }
        let (exchange, app) = start(&store, &clock, &ids, &chance, &issuer, &options, &policy).await;
        let tokens = Mutex::default();
        World { clock, store, exchange, app, issuer, chance, ids, options, policy, tokens, directory }
    }

    /// Stops the server and starts another one over the same directory.
    pub async fn restart(&mut self) {
        self.store.close().await;
        self.store = open(&self.directory);
        (self.exchange, self.app) = start(
            &self.store,
            &self.clock,
            &self.ids,
            &self.chance,
            &self.issuer,
            &self.options,
            &self.policy,
        )
        .await;
    }

    /// Another server over the same store, as a second process would be: it shares nothing else.
    pub async fn another_node(&self) -> App {
        let (_, app) = start(
            &self.store,
            &self.clock,
            &self.ids,
            &self.chance,
            &self.issuer,
            &self.options,
            &self.policy,
        )
        .await;
        app
    }

    /// Restarts with other settings.
    pub async fn restart_with(&mut self, choose: impl FnOnce(&mut ServerOptions, &mut Policy)) {
        choose(&mut self.options, &mut self.policy);
        self.restart().await;
    }

    /// A token of a person, made by the issuer for the published audience; made anew when it has expired, or the clock was
    /// set back behind its making.
    pub async fn token(&self, user: &str) -> String {
        let now = self.clock.seconds();
        if let Some((token, good)) = self.tokens.lock().unwrap().get(user)
            && good.contains(&now)
        {
            return token.clone();
        }
        let token = self.token_for(user, "https://api.partner.microsoft.com").await;
        self.tokens.lock().unwrap().insert(user.to_owned(), (token.clone(), now..now + TOKEN_LIFETIME));
        token
    }

    /// A token of a person for another audience, made now.
    pub async fn token_for(&self, user: &str, audience: &str) -> String {
        self.granted(
            "/common/oauth2/token",
            &[("grant_type", "password"), ("username", user), ("password", PASSWORD), ("resource", audience)],
        )
        .await
    }

    /// A token of an application of a tenant.
    pub async fn application_token(&self, tenant: &str) -> String {
        self.granted(
            &format!("/{tenant}/oauth2/token"),
            &[
                ("grant_type", "client_credentials"),
                ("client_id", "0a0b0c0d-0000-4000-8000-000000000001"),
                ("client_secret", "any"),
                ("resource", "https://api.partner.microsoft.com"),
            ],
        )
        .await
    }

    /// The claims of a good token of Contoso's Referral Admin, to be bent.
    pub fn claims(&self) -> Value {
        let now = self.clock.seconds();
        serde_json::json!({
            "iss": format!("{BASE}/{CONTOSO}/"),
            "aud": "https://api.partner.microsoft.com",
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_LIFETIME,
            "tid": CONTOSO,
            "oid": "00000000-0000-4000-8000-0000000000aa",
            "sub": "someone",
            "upn": "someone@contoso.example",
            "scp": "user_impersonation",
            "roles": ["ReferralAdmin"],
        })
    }

    async fn granted(&self, path: &str, form: &[(&str, &str)]) -> String {
        let form: Vec<String> = form
            .iter()
            .map(|(name, value)| {
                format!("{name}={}", value.replace(':', "%3A").replace('/', "%2F").replace('@', "%40"))
            })
            .collect();
        let request = IssuerRequest::parse(path).expect("a path of the issuer");
        let random = server::Random::bytes(self.chance.as_ref());
        let answer =
            self.issuer.respond(&request, form.join("&").as_bytes(), self.clock.seconds(), random).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let body: Value = serde_json::from_str(&answer.body).unwrap();
        body["access_token"].as_str().expect("a token").to_owned()
    }

    /// A request to the server.
    pub fn call<'a>(&'a self, method: &str, path: &str) -> Call<'a> {
        Call::new(self, method, path)
    }

    /// What the store holds of a referral, read anew.
    pub async fn stored_bytes(&self, id: &str) -> Kept {
        self.kept(id).await.unwrap_or_else(|| panic!("{id} is not stored"))
    }

    /// What the store holds of a referral, if it does.
    pub async fn kept(&self, id: &str) -> Option<Kept> {
        let stored = self.store.inner().find_referral(id.parse().unwrap()).await.unwrap()?;
        Some(Kept {
            document: String::from_utf8(stored.document.to_vec()).unwrap(),
            etag: stored.etag,
            version: stored.version,
        })
    }

    /// The change log of an organization, from its beginning.
    pub async fn log(&self, organization: &str) -> Vec<LogEntry> {
        let organization: OrganizationId = organization.parse().unwrap();
        self.store.inner().log(&organization, 0, 100_000).await.unwrap()
    }

    /// How many referrals an organization owns, offer leads included.
    pub async fn count(&self, organization: &str) -> u64 {
        let owner = organization.parse().unwrap();
        let query = store::Query {
            scope: store::Scope { owner, team: None, offer_leads: true, now: self.clock.time() },
            filter: None,
            search: None,
            order: Vec::new(),
            after: None,
            skip: 0,
            limit: 0,
            count: store::CountMode::Exact,
        };
        self.store.inner().query(&query).await.unwrap().count.unwrap()
    }

    /// Puts a stored referral's next version into the store past all rules, for worlds that no call can make.
    pub async fn plant(&self, id: &str, change: impl FnOnce(&mut StoredReferral)) {
        let stored = self.store.inner().find_referral(id.parse().unwrap()).await.unwrap().unwrap();
        let mut next = (*stored).clone();
        next.version += 1;
        change(&mut next);
        let entry = Entry {
            action: store::Action::Imported,
            at: self.clock.time(),
            actor: None,
            changes: "{}".into(),
        };
        let told = referral::Referral::from_document(&next.document);
        let search = told.map(|referral| exchange::search_text(&referral)).unwrap_or_default();
        let write = Write { referral: next, decided_on: Some(stored.version), entry, search: Some(search) };
        let change = Change { write: Some(write), guards: Vec::new(), answer: None };
        let outcome = self.store.inner().commit(change).await.unwrap();
        assert!(matches!(outcome, store::CommitOutcome::Committed(_)), "{outcome:?}");
    }

    /// Puts a new referral, given as its JSON document, into the store past all rules.
    pub async fn plant_new(&self, document: Value, sender: Option<&str>) {
        let referral = referral::Referral::from_document(document.to_string().as_bytes()).unwrap();
        let stored = exchange::to_store(&referral, 1, sender.map(|sender| sender.parse().unwrap()));
        let entry = Entry {
            action: store::Action::Imported,
            at: self.clock.time(),
            actor: None,
            changes: "{}".into(),
        };
        let search = exchange::search_text(&referral);
        let write = Write { referral: stored, decided_on: None, entry, search: Some(search) };
        let change = Change { write: Some(write), guards: Vec::new(), answer: None };
        let outcome = self.store.inner().commit(change).await.unwrap();
        assert!(matches!(outcome, store::CommitOutcome::Committed(_)), "{outcome:?}");
    }
}

fn open(directory: &TempDir) -> Arc<Watched> {
    Arc::new(Watched::new(SqliteStore::open(directory.path(), SqliteOptions::default()).unwrap()))
}

async fn start(
    store: &Arc<Watched>,
    clock: &Arc<FakeClock>,
    ids: &Arc<SeededIds>,
    chance: &Arc<Chance>,
    issuer: &Arc<SandboxIssuer>,
    options: &ServerOptions,
    policy: &Policy,
) -> (Arc<Exchange>, App) {
    let exchange = Exchange::open(store.clone(), clock.clone(), ids.clone(), policy.clone()).await.unwrap();
    let exchange = Arc::new(exchange);
    let verifier = TokenVerifier::new(issuer.verifier_issuers(&accepted_audiences(BASE)), 0);
    let app = App::new(exchange.clone(), verifier, Some(issuer.clone()), chance.clone(), options.clone());
    (exchange, app)
}

/// An instant from its text.
pub fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}
