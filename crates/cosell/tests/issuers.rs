//! `cosell serve` with issuers of our own: a key-set file, a provider that is discovered, TLS, and what it never
//! believes.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use support::issuer::{Algorithm, Keys, Provider, now};
use support::{Answer, Sandbox, cosell, run};
use tempfile::TempDir;

const PATH: &str = "/v1.0/engagements/referrals";
const TENANT: &str = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d";
const ISSUER: &str = "https://login.example/{tenantid}/v2.0";
const ADMIN: &str = "ann@contoso.example";

/// A folder for settings and data, with Contoso and its administrator in the store.
struct Place(TempDir);

impl Place {
    fn with_contoso() -> Place {
        let place = Place(TempDir::new().unwrap());
        let made = run(&[
            "init",
            "--data",
            &place.path("data"),
            "--organization",
            "Contoso Company",
            "--issuer",
            "ours",
            "--tenant",
            TENANT,
            "--partner-id",
            "1234567",
            "--admin",
            ADMIN,
        ]);
        assert_eq!(made.code, 0, "{made:?}");
        place
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn write(&self, name: &str, text: &str) -> String {
        std::fs::write(self.0.path().join(name), text).unwrap();
        self.path(name)
    }

    /// `cosell serve` over the data, with this `[[issuer]]` and more settings.
    fn serve(&self, issuer: &str, more: &str) -> Sandbox {
        self.serve_over(&self.path("data"), issuer, more)
    }

    fn serve_over(&self, data: &str, issuer: &str, more: &str) -> Sandbox {
        let settings = format!("[[issuer]]\n{issuer}\n{more}");
        let file = self.write("cosell.toml", &settings);
        Sandbox::start_command(cosell(&[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--config",
            &file,
            "--data",
            data,
        ]))
    }

    /// The settings of an issuer whose keys are in a file.
    fn issuer(&self, keys: &Keys) -> String {
        let file = self.write("keys.json", &keys.set().to_string());
        format!("name = 'ours'\nurl = '{ISSUER}'\nkey_set_file = '{file}'\naudiences = ['api://cosell']")
    }
}

fn claims() -> Value {
    json!({
        "iss": ISSUER.replace("{tenantid}", TENANT), "aud": "api://cosell", "tid": TENANT, "oid": "o-1", "sub": "s-1",
        "preferred_username": ADMIN, "scp": "access", "exp": now() + 600, "nbf": now() - 5,
    })
}

fn claims_with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn list(server: &Sandbox, token: &str) -> Answer {
    server.request("GET", PATH, &[("Authorization", &format!("Bearer {token}"))], b"")
}

fn inner_code(answer: &Answer) -> String {
    answer.json()["error"]["innerError"]["code"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn tokens_of_both_algorithms_are_taken_by_a_key_set_file() {
    // REF-016 REF-017 REF-018
    let (place, keys) = (Place::with_contoso(), Keys::new());
    let server = place.serve(&place.issuer(&keys), "");
    for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
        let good = list(&server, &keys.token(algorithm, &claims()));
        assert_eq!(good.status, 200, "{algorithm:?}: {}", good.text());
        assert_eq!(good.json()["@odata.count"], 0);
        for (changes, status, inner) in [
            (json!({ "aud": "https://api.partner.microsoft.com" }), 401, "invalidAudience"),
            (json!({ "aud": server.url() }), 401, "invalidAudience"),
            (json!({ "exp": now() - 120 }), 401, "tokenExpired"),
            (json!({ "nbf": now() + 600 }), 401, "tokenNotYetValid"),
            (json!({ "iss": "https://login.example/other/v2.0" }), 401, "tokenInvalid"),
        ] {
            let refused = list(&server, &keys.token(algorithm, &claims_with(changes.clone())));
            assert_eq!((refused.status, inner_code(&refused).as_str()), (status, inner), "{changes}");
            assert!(refused.header("WWW-Authenticate").is_some_and(|header| header.starts_with("Bearer")));
        }
        let stranger = json!({ "preferred_username": "bob@contoso.example" });
        assert_eq!(list(&server, &keys.token(algorithm, &claims_with(stranger))).status, 403, "no role");
        // The same name of another tenant of the same issuer is somebody else.
        let other = "f0000000-0000-4000-8000-0000000000fa";
        let elsewhere = json!({ "tid": other, "iss": ISSUER.replace("{tenantid}", other) });
        assert_eq!(
            list(&server, &keys.token(algorithm, &claims_with(elsewhere))).status,
            403,
            "no organization"
        );
        let forged = list(&server, &Keys::new().token(algorithm, &claims()));
        assert_eq!((forged.status, inner_code(&forged).as_str()), (401, "tokenInvalid"));
    }
    assert_eq!(server.stop(), 0);
}

#[test]
fn the_first_administrator_can_work_at_once() {
    let (place, keys) = (Place::with_contoso(), Keys::new());
    let server = place.serve(&place.issuer(&keys), "");
    let bearer = format!("Bearer {}", keys.token(Algorithm::Es256, &claims()));
    let headers = [("Authorization", bearer.as_str()), ("Content-Type", "application/json")];
    let body =
        json!({ "type": "Independent", "customerProfile": { "name": "A" }, "consent": {}, "details": {} });
    let created = server.request("POST", PATH, &headers, body.to_string().as_bytes());
    assert_eq!(created.status, 201, "{}", created.text());
    assert_eq!(created.json()["organizationName"], "Contoso Company");
    let link = created.json()["links"]["self"]["uri"].as_str().unwrap().to_owned();
    assert_eq!(server.request("GET", link.strip_prefix(server.url()).unwrap(), &headers, b"").status, 200);
    assert_eq!(server.stop(), 0);
}

#[test]
fn the_default_audience_is_the_public_address_and_nothing_else() {
    // REF-019 REF-020: the production side.
    let (place, keys) = (Place::with_contoso(), Keys::new());
    let issuer = place.issuer(&keys);
    let (issuer, _) = issuer.split_once("\naudiences").unwrap();
    let server = place.serve(issuer, "[listener]\npublic_url = 'https://referrals.contoso.example'\n");
    for (audience, status) in [
        ("https://referrals.contoso.example", 200),
        ("https://api.partner.microsoft.com", 401),
        ("api://cosell", 401),
    ] {
        let token = keys.token(Algorithm::Rs256, &claims_with(json!({ "aud": audience })));
        assert_eq!(list(&server, &token).status, status, "{audience}");
    }
}

#[test]
fn the_keys_of_a_provider_are_discovered() {
    let (place, keys) = (Place::with_contoso(), Keys::new());
    let provider = Provider::start(keys.set(), None);
    let issuer = format!(
        "name = 'ours'\nurl = '{}'\naudiences = ['api://cosell']\nallow_private_address = true\nallow_plain_http = true",
        provider.url()
    );
    let server = place.serve(&issuer, "");
    for algorithm in [Algorithm::Rs256, Algorithm::Es256] {
        let token = keys.token(algorithm, &claims_with(json!({ "iss": provider.url() })));
        let answer = list(&server, &token);
        assert_eq!(answer.status, 200, "{algorithm:?}: {}\n{}", answer.text(), server.log());
    }
    let other_issuer = keys.token(Algorithm::Rs256, &claims());
    assert_eq!(list(&server, &other_issuer).status, 401);
    // The keys are kept: the provider may go.
    let url = provider.url();
    drop(provider);
    let token = keys.token(Algorithm::Es256, &claims_with(json!({ "iss": url, "jti": "another" })));
    assert_eq!(list(&server, &token).status, 200);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_provider_that_speaks_for_another_issuer_is_not_believed() {
    let (place, keys) = (Place::with_contoso(), Keys::new());
    let provider = Provider::start(keys.set(), Some("https://login.example/elsewhere"));
    let issuer = format!(
        "name = 'ours'\nurl = '{}'\naudiences = ['api://cosell']\nallow_private_address = true\nallow_plain_http = true",
        provider.url()
    );
    let server = place.serve(&issuer, "");
    let token = keys.token(Algorithm::Rs256, &claims_with(json!({ "iss": provider.url() })));
    let answer = list(&server, &token);
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (503, &json!("serviceNotAvailable")));
    server.wait_for_log("https://login.example/elsewhere");
    assert_eq!(server.request("GET", "/livez", &[], b"").status, 200);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_provider_at_a_private_address_is_asked_only_when_that_is_allowed() {
    let (place, keys) = (Place::with_contoso(), Keys::new());
    let provider = Provider::start(keys.set(), None);
    let issuer = format!(
        "name = 'ours'\nurl = '{}'\naudiences = ['api://cosell']\nallow_plain_http = true",
        provider.url()
    );
    let server = place.serve(&issuer, "");
    let token = keys.token(Algorithm::Rs256, &claims_with(json!({ "iss": provider.url() })));
    assert_eq!(list(&server, &token).status, 503);
    server.wait_for_log("must not connect");
}

#[test]
fn the_sandboxes_tokens_are_refused_even_over_its_own_directory() {
    let place = Place(TempDir::new().unwrap());
    let world = place.path("world");
    let public = ["--public-url", "https://login.example"];
    let sandbox = Sandbox::start_with_data(Path::new(&world), &public);
    let token = sandbox.token("admin@contoso.example");
    assert_eq!(list(&sandbox, &token).status, 200);
    assert_eq!(sandbox.stop(), 0);

    // The settings name the sandbox's issuer, letter by letter, but with keys of ours. The directory still holds the
    // key that signed the token.
    let keys = Keys::new();
    let file = place.write("keys.json", &keys.set().to_string());
    let issuer = format!(
        "name = 'sandbox'\nurl = 'https://login.example/{{tenantid}}/'\nkey_set_file = '{file}'\naudiences = ['https://api.partner.microsoft.com']"
    );
    let server = place.serve_over(&world, &issuer, "");
    let refused = list(&server, &token);
    assert_eq!((refused.status, inner_code(&refused).as_str()), (401, "tokenInvalid"), "{}", refused.text());
    let ours = claims_with(json!({
        "iss": format!("https://login.example/{TENANT}/"),
        "aud": "https://api.partner.microsoft.com",
        "preferred_username": "admin@contoso.example",
        "roles": ["ReferralAdmin"],
    }));
    let answer = list(&server, &keys.token(Algorithm::Rs256, &ours));
    assert_eq!(answer.status, 200, "only the key was missing: {}", answer.text());
    assert!(answer.json()["@odata.count"].as_u64().unwrap() > 100);
    for path in
        ["/common/oauth2/token", "/common/discovery/v2.0/keys", "/common/.well-known/openid-configuration"]
    {
        assert_eq!(server.request("GET", path, &[], b"").status, 404, "{path}: serve issues nothing");
    }
    assert_eq!(server.stop(), 0);
}

#[test]
fn tls_is_spoken_with_the_certificate_of_the_files() {
    let (place, keys) = (Place::with_contoso(), Keys::new());
    let made =
        rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let certificate = place.write("certificate.pem", &made.cert.pem());
    let key = place.write("key.pem", &made.signing_key.serialize_pem());
    let tls = format!("[tls]\ncertificate_file = '{certificate}'\nkey_file = '{key}'\n");
    let server = place.serve(&place.issuer(&keys), &tls);
    assert!(server.url().starts_with("https://127.0.0.1:"), "{}", server.url());
    let bearer = format!("Authorization: Bearer {}", keys.token(Algorithm::Es256, &claims()));
    let url = format!("{}{PATH}", server.url());
    let curl = |options: &[&str]| {
        Command::new("curl")
            .args(["-sS", "--noproxy", "*", "-H", &bearer])
            .args(options)
            .arg(&url)
            .output()
            .unwrap()
    };
    for version in ["--tlsv1.2", "--tlsv1.3"] {
        let answer = curl(&["--cacert", &certificate, version]);
        let body: Value = serde_json::from_slice(&answer.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&answer.stderr)));
        assert_eq!(body["@odata.context"], format!("{}/v1.0/$metadata#Referrals", server.url()), "{version}");
    }
    // Whoever does not know the certificate is not served by accident, and old versions are not spoken.
    assert_eq!(curl(&[]).status.code(), Some(60), "an unknown authority");
    assert!(!curl(&["--cacert", &certificate, "--tls-max", "1.1"]).status.success());
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_server_in_trouble_at_its_start_says_why_in_one_line() {
    let (place, keys) = (Place::with_contoso(), Keys::new());
    let issuer = place.issuer(&keys);
    let taken = Sandbox::start(&[]);
    let settings = place.write("cosell.toml", &format!("[[issuer]]\n{issuer}\n"));
    let address = taken.address().to_string();
    let in_use = run(&["serve", "--config", &settings, "--data", &place.path("data"), "--listen", &address]);
    assert_eq!((in_use.code, in_use.stdout.as_str()), (1, ""), "{in_use:?}");
    assert!(in_use.stderr.contains("in use") && in_use.stderr.lines().count() == 1, "{in_use:?}");

    let certificate = place.write("certificate.pem", "no certificate");
    // A key that others can read is a line of its own.
    std::fs::set_permissions(&certificate, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let tls = format!(
        "[[issuer]]\n{issuer}\n[tls]\ncertificate_file = '{certificate}'\nkey_file = '{certificate}'\n"
    );
    let settings = place.write("tls.toml", &tls);
    let broken =
        run(&["serve", "--config", &settings, "--data", &place.path("data"), "--listen", "127.0.0.1:0"]);
    assert_eq!((broken.code, broken.stdout.as_str()), (2, ""), "{broken:?}");
    assert!(broken.stderr.contains("certificate.pem") && broken.stderr.lines().count() == 1, "{broken:?}");
}

#[test]
fn an_organization_without_a_tenant_has_no_issuer_of_many_tenants() {
    let (place, keys) = (Place(TempDir::new().unwrap()), Keys::new());
    let data = place.path("data");
    let made = run(&[
        "init",
        "--data",
        &data,
        "--organization",
        "Contoso Company",
        "--issuer",
        "ours",
        "--admin",
        ADMIN,
    ]);
    assert_eq!(made.code, 0, "{made:?}");
    let issuer = place.issuer(&keys);
    let settings = place.write("cosell.toml", &format!("[[issuer]]\n{issuer}\n"));
    let refused = run(&["serve", "--config", &settings, "--data", &data, "--listen", "127.0.0.1:0"]);
    assert_eq!((refused.code, refused.stdout.as_str()), (2, ""), "{refused:?}");
    assert!(refused.stderr.contains("names no tenant") && refused.stderr.lines().count() == 1, "{refused:?}");
    // An issuer of one organization may put any tenant into its tokens.
    let server = place.serve(&issuer.replace(ISSUER, "https://login.example/ours"), "");
    let own = claims_with(json!({ "iss": "https://login.example/ours" }));
    assert_eq!(list(&server, &keys.token(Algorithm::Es256, &own)).status, 200);
}
