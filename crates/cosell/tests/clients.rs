//! OData clients that others wrote, against the real binary in both temperaments: they build the queries, send them,
//! follow the next links, and compare the rows. The sessions are in tests/clients; ADR 0017.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::Sandbox;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// The clients of other people are no part of a build: the script puts them there, with a copy of the list.
fn assert_installed(list: &str, installed: &str) {
    let wanted = std::fs::read(root().join(list)).unwrap();
    let found = std::fs::read(root().join(installed)).unwrap_or_default();
    assert!(wanted == found, "{list} is not what is installed. Run ./check --clients once, with a network");
}

/// Runs a session to its end against a server of its own; panics with what it said when it fails.
fn session(program: &Path, arguments: &[&str], mode: &str) {
    let sandbox = Sandbox::start(&[&format!("--{mode}")]);
    let output = Command::new(program)
        .current_dir(root().join("tests/clients"))
        .args(arguments)
        .env("SERVER_URL", sandbox.url())
        .env("SERVER_TOKEN", sandbox.token("admin@contoso.example"))
        .env("SERVER_MODE", mode)
        .output()
        .unwrap_or_else(|error| panic!("{} cannot be started: {error}", program.display()));
    let (said, complained) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{mode}, {arguments:?}:\n{said}{complained}");
    assert_eq!(sandbox.stop(), 0);
}

fn node(file: &str, mode: &str) {
    assert_installed(
        "tests/clients/node/package-lock.json",
        "tests/clients/node/node_modules/installed-from",
    );
    session(Path::new("node"), &[file], mode);
}

fn python(file: &str, mode: &str) {
    assert_installed("tests/clients/python/requirements.txt", "target/clients/python/installed-from");
    session(&root().join("target/clients/python/bin/python"), &["-B", file], mode);
}

#[test]
fn odata_query_gets_its_rows_from_a_strict_server() {
    node("node/odata-query.mjs", "strict");
}

#[test]
fn odata_query_gets_its_rows_from_an_extended_server() {
    node("node/odata-query.mjs", "extended");
}

#[test]
fn ts_odata_client_gets_its_rows_from_a_strict_server() {
    node("node/ts-odata-client.mjs", "strict");
}

#[test]
fn ts_odata_client_gets_its_rows_from_an_extended_server() {
    node("node/ts-odata-client.mjs", "extended");
}

#[test]
fn python_odata_gets_its_rows_from_a_strict_server() {
    python("python/python_odata.py", "strict");
}

#[test]
fn python_odata_gets_its_rows_from_an_extended_server() {
    python("python/python_odata.py", "extended");
}
