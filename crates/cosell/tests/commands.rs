//! The commands as a person meets them: what they print, and how they end.

mod support;

use std::net::TcpListener;
use std::path::Path;

use support::{Sandbox, cosell, run, run_command};
use tempfile::tempdir;

const LEAD: &str = "/v1.0/engagements/referrals/c5fbb3b6-be74-4795-9fb5-4324c73fed37";

fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

/// What is left of sandboxes' private folders below this one.
fn private_folders(temporary: &Path) -> usize {
    std::fs::read_dir(temporary).expect("the folder is there").count()
}

#[test]
fn the_ready_line_comes_first_and_requests_are_served_then() {
    let sandbox = Sandbox::start(&[]);
    assert!(sandbox.url().starts_with("http://127.0.0.1:"), "{}", sandbox.url());
    assert_eq!(sandbox.request("GET", "/livez", &[], b"").status, 200);
    let output = sandbox.output();
    assert!(output.starts_with("cosell: listening on http://127.0.0.1:"), "{output}");
}

#[test]
fn the_hints_name_everybody_and_a_curl_line_that_works() {
    let sandbox = Sandbox::start(&[]);
    sandbox.request("GET", "/livez", &[], b"");
    let token = sandbox.token("admin@contoso.example");
    let answer = sandbox.request("GET", LEAD, &[("Authorization", &bearer(&token))], b"");
    assert_eq!((answer.status, answer.json()["organizationName"].as_str()), (200, Some("Contoso Company")));
    let mut output = sandbox.output();
    while !output.contains("Ctrl-C") {
        std::thread::yield_now(); // written before the first answer, but perhaps not read yet
        output = sandbox.output();
    }
    for user in ["admin", "user", "global", "nobody"].map(|name| format!("{name}@contoso.example")) {
        assert!(output.contains(&user), "{output}");
    }
    assert!(output.contains("seller@msft.example") && output.contains("password cosell"), "{output}");
    assert!(output.contains(&format!("{}{LEAD}", sandbox.url())), "{output}");
    assert!(
        output.contains(&format!("token --user admin@contoso.example --server {}", sandbox.url())),
        "{output}"
    );
}

#[test]
fn a_signal_ends_a_sandbox_well_and_leaves_nothing_behind() {
    for signal in ["TERM", "INT"] {
        let temporary = tempdir().unwrap();
        let mut command = cosell(&["sandbox", "--listen", "127.0.0.1:0"]);
        command.env("TMPDIR", temporary.path());
        let mut sandbox = Sandbox::start_command(command);
        assert_eq!(private_folders(temporary.path()), 1);
        #[cfg(unix)]
        for folder in std::fs::read_dir(temporary.path()).unwrap() {
            use std::os::unix::fs::PermissionsExt;
            let mode = folder.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "the data are nobody else's business");
        }
        sandbox.signal(signal);
        assert_eq!(sandbox.wait(), 0, "{}", sandbox.log());
        assert_eq!(private_folders(temporary.path()), 0);
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let temporary = tempdir().unwrap();
    let mut command = cosell(&["sandbox", "--listen", "127.0.0.1:0"]);
    command.env("TMPDIR", temporary.path());
    let mut sandbox = Sandbox::start_command(command);
    // A request that stays open holds the end up, for as long as the grace lasts.
    let mut open = std::net::TcpStream::connect(sandbox.address()).unwrap();
    let head = "POST /common/oauth2/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n";
    std::io::Write::write_all(&mut open, head.as_bytes()).unwrap();
    let mut asked_on = [0; 12];
    std::io::Read::read_exact(&mut open, &mut asked_on).unwrap();
    assert_eq!(&asked_on, b"HTTP/1.1 100", "the request is running");
    sandbox.signal("TERM");
    while !sandbox.log().contains("SIGTERM") {
        std::thread::yield_now();
    }
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(), 1, "{}", sandbox.log());
    assert_eq!(private_folders(temporary.path()), 0);
}

#[test]
fn a_kept_directory_is_found_again_with_its_changes_and_its_issuer() {
    let data = tempdir().unwrap();
    let directory = data.path().join("made/by/the/sandbox");
    let first = Sandbox::start_with_data(&directory, &[]);
    let token = first.token("admin@contoso.example");
    let headers = [("Authorization", &*bearer(&token)), ("Content-Type", "application/json")];
    let patch = br#"[{"op":"replace","path":"/details/notes","value":"seen"}]"#;
    assert_eq!(first.request("PATCH", LEAD, &headers, patch).status, 204);
    let list = first.request("GET", "/v1.0/engagements/referrals", &headers[..1], b"").json();
    assert_eq!(first.stop(), 0);

    let second = Sandbox::start_with_data(&directory, &[]);
    let answer = second.request(
        "GET",
        LEAD,
        &[("Authorization", &bearer(&second.token("admin@contoso.example")))],
        b"",
    );
    assert_eq!(answer.json()["details"]["notes"], "seen");
    let again = second.request("GET", "/v1.0/engagements/referrals", &headers[..1], b"");
    assert_eq!(again.status, 401, "the first server's token names another address: {}", again.text());
    let token = second.token("admin@contoso.example");
    let again =
        second.request("GET", "/v1.0/engagements/referrals", &[("Authorization", &bearer(&token))], b"");
    assert_eq!(again.json()["@odata.count"], list["@odata.count"], "seeded once");
    assert_eq!(second.stop(), 0);
}

#[test]
fn the_issuers_key_is_kept_with_the_data() {
    let data = tempdir().unwrap();
    let keys = |sandbox: &Sandbox| {
        sandbox.token("admin@contoso.example"); // waits for the key
        sandbox.request("GET", "/common/discovery/v2.0/keys", &[], b"").json()
    };
    let first = Sandbox::start_with_data(data.path(), &[]);
    let before = keys(&first);
    assert_eq!(first.stop(), 0);
    let second = Sandbox::start_with_data(data.path(), &[]);
    assert_eq!(keys(&second), before);
    let other = Sandbox::start(&[]);
    assert_ne!(keys(&other), before);
}

#[test]
fn a_directory_in_use_and_an_address_in_use_are_one_clear_line() {
    let data = tempdir().unwrap();
    let sandbox = Sandbox::start_with_data(data.path(), &[]);
    let directory = data.path().display().to_string();
    let taken = sandbox.address().to_string();
    for (arguments, words) in [
        (vec!["sandbox", "--listen", "127.0.0.1:0", "--data", &directory], &["in use", &*directory][..]),
        (vec!["sandbox", "--listen", &taken], &["in use", &*taken, "--listen"]),
        (vec!["load", "--generate", "1", "--data", &directory], &["in use", &*directory]),
    ] {
        let ran = run(&arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
        for word in words {
            assert!(ran.stderr.contains(word), "{word} in {}", ran.stderr);
        }
    }
}

#[test]
fn wrong_usage_is_exit_code_2() {
    for arguments in [
        &["sandbox", "--strict", "--extended"][..],
        &["sandbox", "--listen", "here"],
        &["sandbox", "--clock", "noon"],
        &["sandbox", "--public-url", "ftp://a"],
        &["sandbox", "--profile", "loose"],
        &["serve", "--database", "postgres://127.0.0.1/cosell", "--data", "x"],
        &["serve", "--database", "postgres://127.0.0.1:port/cosell"],
        &["serve"],
        &["serve", "--config", "/nowhere/cosell.toml"],
        &["token"],
        &["load", "--data", "x"],
        &["init", "--data", "x"],
        &["load", "--generate", "1", "--data", "postgres://cosell@db.contoso.example/cosell"],
        &["copy", "--from", "x", "--to", "mysql://db.contoso.example/cosell"],
        &["backup", "--data", "x"],
        &["backup", "--to", "x"],
        &["restore", "--from", "x"],
        &["copy"],
        &["copy", "--from", "x"],
        &["migrate"],
        &["migrate", "--data", "x", "--database", "postgres://127.0.0.1/cosell"],
        &["dance"],
    ] {
        let ran = run(arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {}", ran.stderr);
        assert!(!ran.stderr.is_empty());
    }
}

#[test]
fn version_and_help_are_good_ends() {
    let version = run(&["--version"]);
    assert_eq!((version.code, version.stdout), (0, format!("cosell {}\n", env!("CARGO_PKG_VERSION"))));
    for command in [
        "sandbox", "serve", "init", "token", "load", "explain", "backup", "restore", "copy", "migrate",
        "health",
    ] {
        let help = run(&[command, "--help"]);
        assert_eq!(help.code, 0);
        assert!(help.stdout.contains("Examples:") && help.stdout.contains(&format!("cosell {command}")));
    }
}

#[test]
fn a_token_is_printed_and_nothing_else() {
    let sandbox = Sandbox::start(&[]);
    let ran = run(&["token", "--user", "admin@contoso.example", "--server", sandbox.url()]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    let token = ran.stdout.strip_suffix('\n').unwrap();
    assert!(token.split('.').count() == 3 && !token.contains(char::is_whitespace), "{token}");
    assert_eq!(sandbox.request("GET", LEAD, &[("Authorization", &bearer(token))], b"").status, 200);
}

#[test]
fn a_ready_server_is_healthy_and_one_that_is_not_there_is_not() {
    let sandbox = Sandbox::start(&[]);
    let ready = run(&["health", "--server", sandbox.url()]);
    assert_eq!((ready.code, ready.stdout.as_str(), ready.stderr.as_str()), (0, "ready\n", ""));
    // As in a container, where the server listens on all addresses by a variable.
    let everywhere = format!("0.0.0.0:{}", sandbox.address().port());
    let mut command = cosell(&["health"]);
    command.env("COSELL_LISTENER_ADDRESS", &everywhere);
    let ready = run_command(command);
    assert_eq!((ready.code, ready.stdout.as_str(), ready.stderr.as_str()), (0, "ready\n", ""));
    let url = sandbox.url().to_owned();
    assert_eq!(sandbox.stop(), 0);
    let gone = run(&["health", "--server", &url]);
    assert_eq!((gone.code, gone.stdout.as_str()), (1, ""), "{gone:?}");
    assert_eq!(gone.stderr.lines().count(), 1, "{gone:?}");
    assert!(gone.stderr.starts_with(&format!("cosell: no answer from {url}: ")), "{gone:?}");
    let wrong = run(&["health", "--server", "127.0.0.1:8080"]);
    assert_eq!((wrong.code, wrong.stderr.lines().count()), (2, 1), "{wrong:?}");
}

#[test]
fn without_a_sandbox_or_a_password_there_is_no_token() {
    let sandbox = Sandbox::start(&[]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let nobody = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    for (arguments, words) in [
        (vec!["token", "--user", "admin@contoso.example", "--server", &nobody], &*nobody),
        (
            vec!["token", "--user", "admin@contoso.example", "--server", sandbox.url(), "--password", "x"],
            "refuses",
        ),
        (vec!["token", "--user", "who@contoso.example", "--server", sandbox.url()], "refuses"),
    ] {
        let ran = run(&arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
        assert!(ran.stderr.contains(words) && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    }
}

#[test]
fn the_clock_begins_where_it_is_told() {
    let sandbox = Sandbox::start(&["--clock", "2020-11-01T12:00:00Z"]);
    let token = sandbox.token("admin@contoso.example");
    let body = br#"{"type":"Independent","customerProfile":{"name":"A"},"consent":{},"details":{}}"#;
    let headers = [("Authorization", &*bearer(&token)), ("Content-Type", "application/json")];
    let answer = sandbox.request("POST", "/v1.0/engagements/referrals", &headers, body);
    let created = answer.json()["createdDateTime"].as_str().unwrap().to_owned();
    assert!(created.starts_with("2020-11-01T12:0"), "{created}");
}

#[test]
fn the_public_url_is_the_base_of_links() {
    let sandbox = Sandbox::start(&["--public-url", "https://referrals.contoso.example/"]);
    let token = sandbox.token("admin@contoso.example");
    let lead = sandbox.request("GET", LEAD, &[("Authorization", &bearer(&token))], b"").json();
    let link = lead["links"]["self"]["uri"].as_str().unwrap().to_owned();
    assert_eq!(link, format!("https://referrals.contoso.example{LEAD}"));
}

#[test]
fn without_seed_there_are_people_and_no_referrals() {
    let sandbox = Sandbox::start(&["--no-seed"]);
    let token = sandbox.token("admin@contoso.example");
    let list =
        sandbox.request("GET", "/v1.0/engagements/referrals", &[("Authorization", &bearer(&token))], b"");
    assert_eq!((list.status, list.json()["@odata.count"].as_u64()), (200, Some(0)));
}

#[test]
fn logs_go_to_standard_error_as_text_or_json() {
    let sandbox = Sandbox::start(&["--log-requests", "--log-format", "json", "--log-level", "info"]);
    let token = sandbox.token("admin@contoso.example");
    sandbox.request("GET", LEAD, &[("Authorization", &bearer(&token))], b"");
    let output = sandbox.output();
    let mut sandbox = sandbox;
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(), 0);
    let log = sandbox.log();
    let lines: Vec<serde_json::Value> =
        log.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    assert!(
        lines.iter().any(|line| line["message"].as_str().is_some_and(|text| text.contains("SIGTERM"))),
        "{log}"
    );
    assert!(!log.contains(&token) && !log.contains("@contoso.example"), "{log}");
    assert!(!output.contains("SIGTERM"));
}

#[test]
fn init_makes_one_organization_and_adds_only_when_asked() {
    let data = tempdir().unwrap();
    let directory = data.path().display().to_string();
    let init = |arguments: &[&str]| {
        let mut command = cosell(&["init", "--data", &directory, "--issuer", "entra"]);
        command.args(arguments);
        run_command(command)
    };
    let contoso = ["--organization", "Contoso Company", "--tenant", "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d"];
    let ann = ["--admin", "Ann@contoso.example"];
    let made = init(&[&contoso[..], &ann, &["--partner-id", "1234567"]].concat());
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert!(
        made.stdout.contains("Contoso Company (7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d)"),
        "{}",
        made.stdout
    );

    let fabrikam = ["--organization", "Fabrikam", "--tenant", "f0000000-0000-4000-8000-0000000000fa"];
    for (arguments, code, words) in [
        ([&contoso[..], &ann].concat(), 1, "is there already"),
        ([&fabrikam[..], &ann].concat(), 1, "--add"),
        ([&fabrikam[..], &["--admin", " "]].concat(), 2, "user name"),
        ([&fabrikam[..], &ann, &["--partner-id", "x"]].concat(), 2, "digits"),
        ([&fabrikam[..], &ann, &["--id", "x"]].concat(), 2, "--id"),
        (
            [&contoso[..], &ann, &["--add", "--id", "11111111-2222-4333-8444-555555555555"]].concat(),
            1,
            "belong to Contoso Company",
        ),
    ] {
        let refused = init(&arguments);
        assert_eq!((refused.code, refused.stdout.as_str()), (code, ""), "{arguments:?}: {}", refused.stderr);
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    let added = init(&[&fabrikam[..], &ann, &["--add"]].concat());
    assert_eq!(added.code, 0, "{}", added.stderr);
    assert!(added.stdout.contains(&format!("next: cosell serve --data {directory} --config FILE, ")));

    let settings = data.path().join("cosell.toml").display().to_string();
    std::fs::write(&settings, format!("[store]\ndirectory = '{directory}'\n")).unwrap();
    let northwind = ["--organization", "Northwind", "--issuer", "entra", "--tenant", "northwind"];
    let added = run(&[&["init", "--add", "--config", &settings][..], &northwind, &ann].concat());
    let next = format!("next: cosell serve --config {settings}, with the [[issuer]] entra in {settings}\n");
    assert!(added.code == 0 && added.stdout.ends_with(&next), "the settings name the place: {added:?}");
}
