//! `cosell serve` and its settings, over real files.

mod support;

use std::path::Path;

use support::{Ran, Sandbox, cosell, run, run_command};
use tempfile::{TempDir, tempdir};

const CONTOSO: &str = "7d23e5ca-19dc-4eaa-aac8-5e6b559f0d1d";
const LIST: &str = "/v1.0/engagements/referrals";

/// A data directory with one organization, whose administrator comes from the issuer "sandboxed".
fn with_contoso() -> TempDir {
    let data = tempdir().expect("a temporary folder takes files");
    let directory = data.path().join("data").display().to_string();
    let contoso = ["--organization", "Contoso Company", "--tenant", CONTOSO];
    let ran = run(&[
        &["init", "--data", &directory, "--issuer", "sandboxed", "--admin", "nobody@contoso.example"][..],
        &contoso,
    ]
    .concat());
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    data
}

fn write(data: &TempDir, name: &str, text: &str) -> String {
    let path = data.path().join(name);
    std::fs::write(&path, text).expect("a temporary folder takes files");
    path.display().to_string()
}

/// Settings that take the tokens of a sandbox, by its key set in a file.
fn settings(data: &TempDir, sandbox: &Sandbox) -> String {
    sandbox.token("nobody@contoso.example"); // waits for the key
    let keys = sandbox.request("GET", "/common/discovery/v2.0/keys", &[], b"").text();
    let keys = write(data, "keys.json", &keys);
    let directory = data.path().join("data").display().to_string();
    let issuer = sandbox.url();
    write(
        data,
        "cosell.toml",
        &format!(
            "[listener]\naddress = '127.0.0.1:0'\n[store]\ndirectory = '{directory}'\n\
             [[issuer]]\nname = 'sandboxed'\nurl = '{issuer}/{{tenantid}}/'\nkey_set_file = '{keys}'\n\
             audiences = ['https://api.partner.microsoft.com']\n"
        ),
    )
}

fn get(server: &Sandbox, token: &str) -> u16 {
    server.request("GET", LIST, &[("Authorization", &format!("Bearer {token}"))], b"").status
}

#[test]
fn a_server_takes_the_tokens_of_its_issuer_and_no_others() {
    let data = with_contoso();
    let sandbox = Sandbox::start(&[]);
    let server = Sandbox::start_command(cosell(&["serve", "--config", &settings(&data, &sandbox)]));
    assert_eq!(server.output().lines().count(), 1, "hints are for the sandbox");
    // The role was given by `cosell init`; the token has none.
    assert_eq!(get(&server, &sandbox.token("nobody@contoso.example")), 200);
    assert_eq!(get(&server, &sandbox.token("admin@fabrikam.example")), 403, "an unknown tenant");
    assert_eq!(get(&server, &Sandbox::start(&[]).token("nobody@contoso.example")), 401, "another issuer");
    assert_eq!(
        server.request("POST", "/common/oauth2/token", &[], b"").status,
        404,
        "it gives no tokens itself"
    );
    assert_eq!(server.stop(), 0);
}

#[test]
fn an_issuer_that_does_not_answer_holds_no_start_up() {
    let data = with_contoso();
    let sandbox = Sandbox::start(&[]);
    let token = sandbox.token("nobody@contoso.example");
    let config = settings(&data, &sandbox);
    // Nobody listens at port 9 of this machine.
    let text = std::fs::read_to_string(&config).unwrap();
    let keys = text.lines().find(|line| line.starts_with("key_set_file")).unwrap();
    let discovery =
        "allow_private_address = true\nallow_plain_http = true\ndiscovery_url = 'http://127.0.0.1:9/keys'";
    let config = write(&data, "unreachable.toml", &text.replace(keys, discovery));
    let server = Sandbox::start_command(cosell(&["serve", "--config", &config]));
    assert_eq!(server.request("GET", "/livez", &[], b"").status, 200);
    let answer = server.request("GET", LIST, &[("Authorization", &format!("Bearer {token}"))], b"");
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(server.stop(), 0);
}

#[test]
fn the_keys_of_a_reachable_issuer_are_found() {
    let data = with_contoso();
    let sandbox = Sandbox::start(&[]);
    let token = sandbox.token("nobody@contoso.example");
    let text = std::fs::read_to_string(settings(&data, &sandbox)).unwrap();
    let keys = text.lines().find(|line| line.starts_with("key_set_file")).unwrap();
    let issuer = format!("{}/{CONTOSO}", sandbox.url());
    let discovery = format!(
        "allow_private_address = true\nallow_plain_http = true\ndiscovery_url = '{issuer}/.well-known/openid-configuration'"
    );
    let exact = text.replace(keys, &discovery).replace("{tenantid}", CONTOSO);
    let server = Sandbox::start_command(cosell(&["serve", "--config", &write(&data, "exact.toml", &exact)]));
    assert_eq!(get(&server, &token), 200, "{}", server.log());
}

fn serve(arguments: &[&str]) -> Ran {
    run(&[&["serve", "--listen", "127.0.0.1:0"], arguments].concat())
}

#[test]
fn it_does_not_start_where_nobody_could_sign_in() {
    let data = with_contoso();
    let sandbox = Sandbox::start(&[]);
    let config = settings(&data, &sandbox);
    let text = std::fs::read_to_string(&config).unwrap();
    let directory = data.path().join("data").display().to_string();
    let empty = data.path().join("empty").display().to_string();
    let other = write(&data, "other.toml", &text.replace("'sandboxed'", "'another'"));
    let twice = write(
        &data,
        "twice.toml",
        &format!("{text}[[issuer]]\nname = 'sandboxed'\nurl = 'https://b.example'\n"),
    );
    for (arguments, words) in [
        (vec!["--data", &*directory], "[[issuer]]"),
        (vec!["--config", &config, "--data", &empty], "cosell init"),
        (vec!["--config", &other], "sandboxed"),
        (vec!["--config", &twice], "two issuers"),
    ] {
        let ran = serve(&arguments);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(words) && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    }
}

#[test]
fn unknown_and_wrong_settings_are_named() {
    let data = tempdir().unwrap();
    for (text, words) in [
        ("[listener]\nadress = '127.0.0.1:0'", "adress"),
        (
            "[store]\ndatabase = 'postgres://127.0.0.1/cosell'\ndirectory = 'x'\n[[issuer]]\nurl = 'https://a.example'",
            "one of the two",
        ),
        (
            "[[issuer]]\nurl = 'https://a.example'\nkey_set_file = '/nowhere/keys.json'\n[store]\ndirectory = 'x'",
            "/nowhere/keys.json",
        ),
        (
            "[tls]\ncertificate_file = '/nowhere/a.pem'\nkey_file = '/nowhere/b.pem'\n[[issuer]]\nurl = 'https://a.example'\n[store]\ndirectory = 'x'",
            "/nowhere/a.pem",
        ),
        ("[listener", "line 1"),
    ] {
        let ran = serve(&["--config", &write(&data, "cosell.toml", text)]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{text}: {}", ran.stderr);
        assert!(ran.stderr.contains(words) && ran.stderr.lines().count() == 1, "{}", ran.stderr);
    }
    let mut command = cosell(&["serve", "--data", "x"]);
    command.env("COSELL_LOG_LOUDNESS", "11");
    let ran = run_command(command);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("COSELL_LOG_LOUDNESS"), "{}", ran.stderr);
    assert!(!Path::new("x").exists(), "nothing was made");
}

#[test]
fn a_limit_that_is_none_is_refused() {
    let data = tempdir().unwrap();
    let issuer = "[[issuer]]\nurl = 'https://a.example'\n[store]\ndirectory = 'x'\n";
    for (section, setting) in [
        ("limits", "body_bytes = 0"),
        ("limits", "concurrent_requests = 0"),
        ("limits", "concurrent_requests = 9223372036854775807"),
        ("limits", "request_deadline_seconds = 0"),
        ("limits", "request_deadline_seconds = 9223372036854775807"),
        ("store", "reader_threads = 257"),
        ("limits", "requests_per_second = -1"),
        ("limits", "requests_per_second = nan"),
        ("limits", "requests_per_second = inf"),
        ("limits", "burst_requests = 0"),
        ("limits", "burst_requests = nan"),
        ("limits", "token_leeway_seconds = -1"),
        ("limits", "token_leeway_seconds = 9223372036854775807"),
        ("listener", "max_connections = 0"),
        ("listener", "header_timeout_seconds = 0"),
        ("listener", "idle_timeout_seconds = 9223372036854775807"),
        ("listener", "write_timeout_seconds = 0"),
        ("listener", "shutdown_grace_seconds = 9"),
        ("limits", "body_bytes = 9000000000000000000"),
        ("store", "cache_bytes = 9000000000000000000"),
        ("store", "group_limit = 0"),
        ("store", "connections = 0"),
        ("limits", "request_memory_bytes = 2000000"),
    ] {
        let header = if section == "store" { String::new() } else { format!("[{section}]\n") };
        let text = format!("{issuer}{header}{setting}\n");
        let ran = serve(&["--config", &write(&data, "cosell.toml", &text)]);
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{setting}: {}", ran.stderr);
        let name = setting.split(' ').next().unwrap();
        assert!(ran.stderr.contains(&format!("{section}.{name}")), "{setting}: {}", ran.stderr);
        assert_eq!(ran.stderr.lines().count(), 1, "{}", ran.stderr);
    }
}

#[test]
fn keys_from_plain_http_are_refused_unless_that_is_allowed() {
    let data = with_contoso();
    let directory = data.path().join("data").display().to_string();
    for (issuer, refused) in [
        ("url = 'http://login.contoso.example'", Some("without TLS")),
        ("url = 'HTTP://login.contoso.example'", Some("without TLS")),
        ("url = 'https://a.example'\ndiscovery_url = 'http://a.example/x'", Some("without TLS")),
        ("url = 'sandboxed'", Some("discovery_url or key_set_file")),
        (
            "url = 'https://a.example'\ndiscovery_url = 'ftp://a.example/x'",
            Some("discovery_url or key_set_file"),
        ),
        ("url = 'http://127.0.0.1:9'\nallow_plain_http = true", None),
        ("url = 'http://a.example'\ndiscovery_url = 'https://127.0.0.1:9/x'", None),
    ] {
        let text = format!(
            "[listener]\naddress = '127.0.0.1:0'\n[store]\ndirectory = '{directory}'\n\
             [[issuer]]\nname = 'sandboxed'\n{issuer}\n"
        );
        let config = write(&data, "issuer.toml", &text);
        match refused {
            Some(words) => {
                let ran = serve(&["--config", &config]);
                assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{issuer}: {}", ran.stderr);
                assert!(ran.stderr.contains(words) && ran.stderr.lines().count() == 1, "{}", ran.stderr);
            }
            None => {
                let server = Sandbox::start_command(cosell(&["serve", "--config", &config]));
                assert_eq!(server.stop(), 0, "{issuer}");
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn secrets_that_everybody_can_read_are_warned_about() {
    use std::os::unix::fs::PermissionsExt;
    let data = with_contoso();
    let sandbox = Sandbox::start(&[]);
    let text = std::fs::read_to_string(settings(&data, &sandbox)).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = write(&data, "certificate.pem", &made.cert.pem());
    let key = write(&data, "key.pem", &made.signing_key.serialize_pem());
    let text = format!("{text}[tls]\ncertificate_file = '{certificate}'\nkey_file = '{key}'\n");
    let config = write(&data, "tls.toml", &text);
    for (mode, warned) in [(0o644, true), (0o640, false), (0o600, false)] {
        std::fs::set_permissions(&key, PermissionsExt::from_mode(mode)).unwrap();
        let server = Sandbox::start_command(cosell(&["serve", "--config", &config]));
        let log = server.log();
        assert_eq!(log.contains("key.pem can be read by every user"), warned, "{mode:o}: {log}");
        assert!(!log.contains("tls.toml can be"), "it holds no password: {log}");
        assert_eq!(server.stop(), 0);
    }
}

#[test]
fn the_limits_are_told_at_the_start_in_one_line() {
    let data = with_contoso();
    let sandbox = Sandbox::start(&[]);
    let mut command = cosell(&["serve", "--config", &settings(&data, &sandbox)]);
    command.env("COSELL_LIMITS_REQUEST_MEMORY_BYTES", "33554432");
    command.env("COSELL_LISTENER_MAX_CONNECTIONS", "100");
    let server = Sandbox::start_command(command);
    let lines: Vec<String> =
        server.log().lines().filter(|line| line.contains("Limits by")).map(str::to_owned).collect();
    assert_eq!(lines.len(), 1, "{}", server.log());
    for words in ["32 MiB for requests", "1024 requests at once", "100 connections"] {
        assert!(lines[0].contains(words), "{words} in {}", lines[0]);
    }
    assert_eq!(server.stop(), 0);
}

#[test]
fn the_environment_wins_over_the_file_and_the_command_line_over_both() {
    let data = with_contoso();
    let sandbox = Sandbox::start(&[]);
    let config = settings(&data, &sandbox);
    let taken = sandbox.address().to_string();
    let mut command = cosell(&["serve", "--config", &config]);
    command.env("COSELL_LISTENER_ADDRESS", &taken);
    let ran = run_command(command);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains(&taken), "{}", ran.stderr);
    let mut command = cosell(&["serve", "--config", &config, "--listen", "127.0.0.1:0"]);
    command.env("COSELL_LISTENER_ADDRESS", &taken);
    assert_eq!(Sandbox::start_command(command).stop(), 0);
}

#[test]
fn the_printed_settings_are_settings() {
    let data = with_contoso();
    let printed = run(&["serve", "--print-config"]);
    assert_eq!((printed.code, printed.stderr.as_str()), (0, ""));
    assert!(printed.stdout.contains("# ") && printed.stdout.contains("[listener]"));
    let config = write(&data, "printed.toml", &printed.stdout);
    let ran = serve(&["--config", &config, "--data", &data.path().join("data").display().to_string()]);
    assert!(
        ran.code == 2 && ran.stderr.contains("[[issuer]]"),
        "read whole, and an issuer is missing: {}",
        ran.stderr
    );
}

#[test]
fn tls_by_certificate_files() {
    let data = with_contoso();
    let sandbox = Sandbox::start(&[]);
    let text = std::fs::read_to_string(settings(&data, &sandbox)).unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let certificate = write(&data, "certificate.pem", &made.cert.pem());
    let key = write(&data, "key.pem", &made.signing_key.serialize_pem());
    let text = format!("{text}[tls]\ncertificate_file = '{certificate}'\nkey_file = '{key}'\n");
    let server = Sandbox::start_command(cosell(&["serve", "--config", &write(&data, "tls.toml", &text)]));
    assert!(server.url().starts_with("https://127.0.0.1:"), "{}", server.url());
    let plain = server.raw(b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(!plain.starts_with(b"HTTP/1.1 200"), "plain HTTP finds no server there");
    // The certificate is good for the name alone, and only for who trusts its authority.
    let (named, by_address) = (server.url().replace("127.0.0.1", "localhost"), server.url());
    for (arguments, code) in [
        (vec!["health", "--server", &named, "--authorities", &certificate], 0),
        (vec!["health", "--server", &named], 1),
        (vec!["health", "--server", by_address, "--authorities", &certificate], 1),
    ] {
        let health = run(&arguments);
        assert_eq!(health.code, code, "{health:?}");
    }
    assert_eq!(server.stop(), 0);
}
