//! What `packaging/` and the Dockerfile say of the program is so: paths, options, settings and figures.

mod support;

use std::path::{Path, PathBuf};

use support::issuer::Keys;
use support::{Sandbox, cosell, run};
use tempfile::TempDir;

/// Where the unit and the image have the program.
const PROGRAM: &str = "/usr/local/bin/cosell";
/// Where both have the settings.
const SETTINGS: &str = "/etc/cosell/cosell.toml";
/// Where both have the data.
const DATA: &str = "/var/lib/cosell";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What follows `name` at the beginning of a line.
fn lines_after<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(name)).collect()
}

fn only<'a>(text: &'a str, name: &str) -> &'a str {
    let [found] = lines_after(text, name)[..] else { panic!("{name} is not there once") };
    found
}

#[test]
fn the_unit_starts_the_program_with_options_that_it_has() {
    let unit = read("packaging/cosell.service");
    let words: Vec<&str> = only(&unit, "ExecStart=").split(' ').collect();
    assert_eq!(words, [PROGRAM, "serve", "--config", SETTINGS]);
    let help = run(&["serve", "--help"]).stdout;
    assert!(help.contains("--config <FILE>"), "{help}");
    let user = only(&unit, "User=");
    assert!(
        read("packaging/cosell.sysusers.conf").lines().any(|line| line.starts_with(&format!("u {user} ")))
    );
    assert_eq!(format!("/var/lib/{}", only(&unit, "StateDirectory=")), DATA);
    assert!(read("packaging/cosell.toml").contains(&format!("directory = \"{DATA}\"")));
}

#[test]
fn the_unit_gives_what_the_defaults_need() {
    let unit = read("packaging/cosell.service");
    let number = |text: &str| -> u64 { text.parse().unwrap() };
    let defaults: toml::Table = run(&["serve", "--print-config"]).stdout.parse().unwrap();
    let listener = &defaults["listener"];
    let connections = listener["max_connections"].as_integer().unwrap() as u64;
    assert!(number(only(&unit, "LimitNOFILE=")) >= connections + 1000);
    let grace = listener["shutdown_grace_seconds"].as_integer().unwrap() as u64;
    assert!(number(only(&unit, "TimeoutStopSec=")) > grace + 2);
    // Exit code 2 is a configuration that cannot be: starting again changes nothing.
    let folder = TempDir::new().unwrap();
    let missing = folder.path().join("missing.toml").display().to_string();
    let refused = run(&["serve", "--config", &missing]);
    assert_eq!(refused.code.to_string(), only(&unit, "RestartPreventExitStatus="), "{refused:?}");
}

#[test]
fn the_packaged_settings_start_a_server() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(path("keys.json"), Keys::new().set().to_string()).unwrap();
    let data = path("data");
    let organization = ["--organization", "Contoso Company", "--issuer", "login"];
    let made =
        run(&[&["init", "--data", &data][..], &organization, &["--admin", "ann@contoso.example"]].concat());
    assert_eq!(made.code, 0, "{made:?}");
    let settings = root().join("packaging/cosell.toml").display().to_string();
    let mut command = cosell(&["serve", "--config", &settings]);
    command.env("COSELL_STORE_DIRECTORY", &data).env("COSELL_LISTENER_ADDRESS", "127.0.0.1:0");
    command.env("COSELL_ISSUER_KEY_SET_FILE", path("keys.json"));
    let server = Sandbox::start_command(command);
    assert_eq!(server.request("GET", "/readyz", &[], b"").status, 200);
    assert_eq!(server.stop(), 0);
}

#[test]
fn the_image_holds_what_it_runs_and_is_built_from_what_is_there() {
    let image = read("Dockerfile");
    let version: toml::Table = read("Cargo.toml").parse().unwrap();
    let version = version["workspace"]["package"]["rust-version"].as_str().unwrap();
    assert!(only(&image, "FROM rust:").starts_with(&format!("{version}-")), "built by {version}");
    assert_eq!(only(&image, "ENTRYPOINT "), format!("[\"{PROGRAM}\"]"));
    assert_eq!(only(&image, "CMD "), format!("[\"serve\", \"--config\", \"{SETTINGS}\"]"));
    assert_eq!((only(&image, "WORKDIR /var"), only(&image, "VOLUME ")), ("/lib/cosell", DATA));
    let target = PROGRAM.trim_start_matches('/');
    assert!(image.contains(&format!("install -D -m 755 /build/target/release/cosell {target}")));
    let user = only(&image, "USER ");
    let (user, group) = user.split_once(':').unwrap();
    assert!(user != "0" && image.contains(&format!("-o {user} -g {group} {}", DATA.trim_start_matches('/'))));
    let asks = only(&image, "HEALTHCHECK ").split_once(" CMD ").unwrap().1;
    assert_eq!(asks, format!("[\"{PROGRAM}\", \"health\"]"), "without settings: by the variable alone");
    // The one setting that the image brings is a setting.
    assert_eq!(only(&image, "ENV "), "COSELL_LISTENER_ADDRESS=0.0.0.0:8080");
    let manual = read("docs/operations.md");
    assert!(manual.contains("`COSELL_LISTENER_ADDRESS`"));

    let ignored = read(".dockerignore");
    let sent = lines_after(&ignored, "!");
    for part in ["Cargo.toml", "Cargo.lock", "LICENSE", "NOTICE", "crates", "docs"] {
        assert!(sent.contains(&part) && root().join(part).exists(), "{part}");
    }
    // What the sources hold of other folders is sent too; tests are not built there.
    for place in ["docs/examples", "docs/patch.md"] {
        assert!(root().join(place).exists());
    }
}

#[test]
fn alerts_ask_for_figures_that_the_manual_explains() {
    let (alerts, manual) = (read("packaging/alerts.yml"), read("docs/operations.md"));
    let is_part = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let words = alerts.split(|letter| !is_part(letter));
    let asked: Vec<&str> =
        words.filter(|word| word.starts_with("cosell_") || word.starts_with("process_")).collect();
    assert!(asked.len() > 15, "{asked:?}");
    for name in asked {
        let name = name.trim_end_matches("_bucket");
        assert!(manual.contains(&format!("`{name}`")), "{name}");
    }
    let named = lines_after(&alerts, "      - alert: ").len();
    assert_eq!(alerts.matches("summary: ").count(), named, "each alert has words of its own");
}
