//! The OpenAPI document against the real binary, in both modes: a strict validator reads it, and Schemathesis makes
//! requests from it and holds each response against it. The tools are in tests/clients/openapi.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use support::Sandbox;

/// The longest run of one mode.
const LONGEST: Duration = Duration::from_secs(180);
/// A run can be repeated: the same seed makes the same requests.
const SEED: &str = "1";
/// Requests that the fuzzing phase makes for each operation, beside those of the coverage phase.
const EXAMPLES: &str = "10";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// A program of the tools. They are not part of the build: the script installs them, with a copy of the list.
fn tool(name: &str) -> PathBuf {
    let list = "tests/clients/openapi/requirements.txt";
    let wanted = std::fs::read(root().join(list)).unwrap();
    let installed = root().join("target/clients/openapi");
    let found = std::fs::read(installed.join("installed-from")).unwrap_or_default();
    assert!(wanted == found, "{list} is not what is installed. Run ./check --clients once, with a network");
    installed.join("bin").join(name)
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a command to its end; one that takes too long is killed.
fn within(time: Duration, command: &mut Command) -> Output {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = child.id().to_string();
    let (sender, ended) = mpsc::channel();
    let waiting = std::thread::spawn(move || {
        let output = child.wait_with_output();
        let _ = sender.send(());
        output
    });
    let in_time = ended.recv_timeout(time).is_ok();
    if !in_time {
        Command::new("kill").arg(&id).status().unwrap();
    }
    let output = waiting.join().unwrap().unwrap();
    assert!(in_time, "not done in {time:?}:\n{}", said(&output));
    output
}

fn schemathesis(mode: &str) {
    let sandbox = Sandbox::start(&[&format!("--{mode}")]);
    let token = sandbox.token("admin@contoso.example");
    let folder = root().join("tests/clients/openapi");
    let workspace = tempfile::tempdir().unwrap();
    let mut command = Command::new(tool("schemathesis"));
    command.current_dir(workspace.path()).arg("--config-file").arg(folder.join("schemathesis.toml"));
    command.arg("run").arg(format!("{}/openapi.json", sandbox.url()));
    command.args(["--header", &format!("Authorization: Bearer {token}"), "--seed", SEED]);
    command.args(["--phases", "examples,coverage,fuzzing", "--max-examples", EXAMPLES]);
    command.args(["--continue-on-failure", "--warnings", "off", "--no-color"]);
    command.env("PYTHONPATH", &folder).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("SCHEMATHESIS_HOOKS", "hooks");
    command.env("SERVER_URL", sandbox.url()).env("SERVER_TOKEN", &token);
    let output = within(LONGEST, &mut command);
    let said = said(&output);
    assert!(output.status.success(), "{mode}:\n{said}");
    assert!(said.contains("No issues found"), "{mode}: it made no requests:\n{said}");
    assert_eq!(sandbox.stop(), 0);
}

#[test]
fn schemathesis_finds_no_fault_in_strict_mode() {
    schemathesis("strict");
}

#[test]
fn schemathesis_finds_no_fault_in_extended_mode() {
    schemathesis("extended");
}

#[test]
fn strict_readers_take_the_document_of_both_modes() {
    for mode in ["--strict", "--extended"] {
        let sandbox = Sandbox::start(&[mode]);
        let answer = sandbox.request("GET", "/openapi.json", &[], b"");
        assert_eq!(answer.status, 200);
        let workspace = tempfile::tempdir().unwrap();
        let file = workspace.path().join("openapi.json");
        std::fs::write(&file, &answer.body).unwrap();
        let output = within(LONGEST, Command::new(tool("openapi-spec-validator")).arg(&file));
        assert!(output.status.success(), "{mode}: {}", said(&output));
        assert_eq!(sandbox.stop(), 0);
    }
}
