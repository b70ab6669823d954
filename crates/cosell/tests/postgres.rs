//! `cosell serve` on PostgreSQL: two servers share one database, and each shows at once what the other acknowledged.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

#[path = "../../store/tests/support/postgres.rs"]
mod database;
mod support;

use database::Database;
use serde_json::{Value, json};
use support::issuer::{Algorithm, Keys, now};
use support::{Sandbox, call, cosell, run};
use tempfile::TempDir;

const PATH: &str = "/v1.0/engagements/referrals";
const TENANT: &str = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d";
const ISSUER: &str = "https://login.example/{tenantid}/v2.0";
const ADMIN: &str = "ann@contoso.example";

/// A database with Contoso and its administrator, and settings of servers on it.
struct Place {
    folder: TempDir,
    database: Database,
    keys: Keys,
}

impl Place {
    fn with_contoso() -> Place {
        let place = Place { folder: TempDir::new().unwrap(), database: Database::new(), keys: Keys::new() };
        let made = place.init(&[]);
        assert_eq!(made.code, 0, "{made:?}");
        place
    }

    fn init(&self, more: &[&str]) -> support::Ran {
        let address = self.database.address();
        let arguments =
            ["init", "--database", &address, "--organization", "Contoso Company", "--issuer", "ours"];
        run(&[&arguments[..], &["--tenant", TENANT, "--admin", ADMIN], more].concat())
    }

    fn serve(&self) -> Sandbox {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        std::fs::write(path("keys.json"), self.keys.set().to_string()).unwrap();
        let issuer = format!("name = 'ours'\nurl = '{ISSUER}'\nkey_set_file = '{}'", path("keys.json"));
        // Links of one server are followed at the other: both are known by one address.
        let settings = format!(
            "[listener]\npublic_url = 'https://referrals.contoso.example'\n[store]\nconnections = 4\n\
             [limits]\nrequests_per_second = 0\n[[issuer]]\n{issuer}\naudiences = ['api://cosell']\n"
        );
        std::fs::write(path("cosell.toml"), settings).unwrap();
        let address = self.database.address();
        let arguments =
            ["serve", "--listen", "127.0.0.1:0", "--config", &path("cosell.toml"), "--database", &address];
        Sandbox::start_command(cosell(&arguments))
    }

    fn token(&self) -> String {
        self.token_of(TENANT, ADMIN)
    }

    fn token_of(&self, tenant: &str, admin: &str) -> String {
        let claims = json!({
            "iss": ISSUER.replace("{tenantid}", tenant), "aud": "api://cosell", "tid": tenant, "oid": "o-1",
            "preferred_username": admin, "scp": "access", "exp": now() + 600, "nbf": now() - 5,
        });
        self.keys.token(Algorithm::Es256, &claims)
    }
}

fn example(name: &str) -> String {
    let path = format!("{}/../../docs/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(path).unwrap()
}

fn count(server: &Sandbox, token: &str, query: &str) -> Value {
    let answer = call(server, token, "GET", &format!("{PATH}?$count=true&{query}"), &[], "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["@odata.count"].clone()
}

#[test]
fn create_read_change_close_list_and_be_refused_by_two_servers_in_turn() {
    let place = Place::with_contoso();
    let (one, other, token) = (place.serve(), place.serve(), place.token());

    let body = example("create.independent-private.request.json");
    let created = call(&one, &token, "POST", PATH, &[], &body);
    assert_eq!(created.status, 201, "{}", created.text());
    let id = created.json()["id"].as_str().unwrap().to_owned();
    let path = format!("{PATH}/{id}");

    let read = call(&other, &token, "GET", &path, &[], "");
    assert_eq!((read.status, read.json()), (200, created.json()));

    let patch = r#"[{"op":"replace","path":"/details/dealValue","value":"12500"}]"#;
    let first = read.json()["eTag"].as_str().unwrap().to_owned();
    let prefer = [("If-Match", first.as_str()), ("Prefer", "return=representation")];
    let patched = call(&other, &token, "PATCH", &path, &prefer, patch);
    assert_eq!(patched.status, 200, "{}", patched.text());
    assert_eq!(call(&one, &token, "GET", &path, &[], "").json(), patched.json());

    let stale = call(&one, &token, "PATCH", &path, &[("If-Match", &first)], patch);
    assert_eq!(stale.status, 412, "{}", stale.text());
    assert_eq!(count(&one, &token, "$filter=status%20eq%20'Closed'"), json!(0));
    assert_eq!(count(&other, &token, "$filter=details/dealValue%20eq%2012500"), json!(1));

    let mut closing = patched.json();
    closing.as_object_mut().unwrap().retain(|name, _| name != "links" && name != "@odata.context");
    (closing["status"], closing["substatus"]) = (json!("Closed"), json!("Lost"));
    closing["statusReason"] = json!("Budget cut");
    let newest = patched.json()["eTag"].as_str().unwrap().to_owned();
    let closed = call(&one, &token, "PUT", &path, &[("If-Match", &newest)], &closing.to_string());
    assert_eq!(closed.status, 200, "{}", closed.text());
    assert_eq!(count(&other, &token, "$filter=status%20eq%20'Closed'"), json!(1));
    assert_eq!(count(&other, &token, "$search=private%20deal"), json!(1));
    assert_eq!((one.stop(), other.stop()), (0, 0));

    let again = place.serve();
    assert_eq!(call(&again, &token, "GET", &path, &[], "").json()["status"], json!("Closed"));
    assert_eq!(place.init(&[]).code, 1, "the organization is there already");
}

#[test]
fn the_figures_of_a_database_are_those_of_the_manual() {
    let place = Place::with_contoso();
    let server = place.serve();
    let figures = server.request("GET", "/metrics", &[], b"").text();
    let manual = format!("{}/../../docs/operations.md", env!("CARGO_MANIFEST_DIR"));
    let manual = std::fs::read_to_string(manual).unwrap();
    let rows = manual.lines().filter_map(|line| line.strip_prefix("| `cosell_database_")?.split_once(" |"));
    let names = rows.flat_map(|(cell, _)| cell.split(", ").map(|name| name.trim_matches('`')));
    let mut names: Vec<String> = names
        .map(|name| format!("cosell_database_{}", name.trim_start_matches("cosell_database_")))
        .collect();
    names.sort();
    let mut shown: Vec<String> = figures
        .lines()
        .filter(|line| line.starts_with("cosell_database_"))
        .filter_map(|line| Some(line.split_once(' ')?.0.to_owned()))
        .collect();
    shown.sort();
    assert_eq!(shown, names);
    assert!(shown.len() >= 5, "{shown:?}");
    assert_eq!(server.stop(), 0);
}

#[test]
fn pages_go_on_at_another_server() {
    let place = Place::with_contoso();
    let (one, other, token) = (place.serve(), place.serve(), place.token());
    let body = example("create.independent-private.request.json");
    for _ in 0..7 {
        assert_eq!(call(&one, &token, "POST", PATH, &[], &body).status, 201);
    }
    let mut next = Some(format!("{PATH}?$top=6&$orderby=updatedDateTime"));
    let mut seen = std::collections::BTreeSet::new();
    for server in [&one, &other, &one, &other] {
        let Some(path) = next.take() else { break };
        let page = call(server, &token, "GET", &path, &[("Prefer", "odata.maxpagesize=2")], "");
        assert_eq!(page.status, 200, "{}", page.text());
        let page = page.json();
        seen.extend(page["value"].as_array().unwrap().iter().map(|shown| shown["id"].to_string()));
        next = page["@odata.nextLink"]
            .as_str()
            .map(|link| link.trim_start_matches("https://referrals.contoso.example").to_owned());
    }
    assert_eq!((seen.len(), next), (6, None));
}

#[test]
fn an_own_deal_beside_an_invitation_shows_no_contacts_and_accepting_does() {
    // REF-297
    const OTHERS: (&str, &str, &str) = (
        "f0000000-0000-4000-8000-0000000000fa",
        "bo@fabrikam.example",
        "02f3bcde-63c1-4bf4-b4bf-2fe2641c4674",
    );
    let place = Place::with_contoso();
    let address = place.database.address();
    let (tenant, admin, location) = OTHERS;
    let added = run(&[
        "init",
        "--add",
        "--database",
        &address,
        "--organization",
        "Fabrikam",
        "--issuer",
        "ours",
        "--tenant",
        tenant,
        "--admin",
        admin,
        "--location",
        location,
    ]);
    assert_eq!(added.code, 0, "{added:?}");
    let server = place.serve();
    let (ours, theirs) = (place.token(), place.token_of(tenant, admin));
    let post = |token: &str, body: &Value| {
        let made = call(&server, token, "POST", PATH, &[], &body.to_string());
        assert_eq!(made.status, 201, "{}", made.text());
        made.json()
    };
    let mut body: Value = serde_json::from_str(&example("create.independent-private.request.json")).unwrap();
    body["customerProfile"]["team"] = json!([{ "email": "sue@customer.example" }]);
    let own = post(&ours, &body);
    body["engagementId"] = own["engagementId"].clone();
    body["customerProfile"]["team"] = json!([]);
    let added = body.clone();
    body["target"] = json!([{ "type": "BusinessProfileLocation", "id": location }]);
    let invitation = post(&ours, &body);
    post(&theirs, &added);
    let path = format!("{PATH}/{}", own["id"].as_str().unwrap());
    let there = format!("{PATH}?$filter=engagementId%20eq%20{}", own["engagementId"].as_str().unwrap());
    let hidden =
        format!("{there}%20and%20customerProfile/team/any(c:c/email%20eq%20%27sue@customer.example%27)");
    let reads = || {
        let answers = [&path, &there, &hidden].map(|path| call(&server, &theirs, "GET", path, &[], ""));
        assert!(answers.iter().all(|answer| answer.status == 200));
        answers.map(|answer| answer.text().contains("sue@customer.example"))
    };
    assert_eq!(reads(), [false; 3]);
    let accept = example("patch.request.accept.json");
    let path = format!("{PATH}/{}", invitation["id"].as_str().unwrap());
    let accepted = call(&server, &theirs, "PATCH", &path, &[("Content-Type", "application/json")], &accept);
    assert_eq!(accepted.status, 204, "{}", accepted.text());
    assert_eq!(reads(), [true; 3]);
    assert_eq!(server.stop(), 0);
}

#[test]
fn a_database_that_is_not_there_is_one_clear_line() {
    let refused = run(&[
        "init",
        "--database",
        "postgres://cosell@127.0.0.1:9/cosell",
        "--organization",
        "A",
        "--issuer",
        "ours",
        "--admin",
        ADMIN,
    ]);
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{}", refused.stderr);
    assert!(refused.stderr.contains("the database is not available"), "{}", refused.stderr);
}
