//! docs/operations.md knows every setting and every figure there is.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

mod support;

use std::path::Path;

use support::{Sandbox, run};

fn manual() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    std::fs::read_to_string(root.join("docs/operations.md")).unwrap()
}

#[test]
fn every_setting_is_in_the_manual() {
    let (manual, printed) = (manual(), run(&["serve", "--print-config"]));
    // `key = value`, and `#key = value` for those without a default; other comments have a blank after the `#`.
    let keys: Vec<&str> = printed
        .stdout
        .lines()
        .filter_map(|line| line.strip_prefix('#').unwrap_or(line).split_once(" = "))
        .map(|(key, _)| key)
        .filter(|key| !key.contains(' '))
        .collect();
    assert!(keys.len() > 30, "{keys:?}");
    let missing: Vec<&&str> = keys.iter().filter(|key| !manual.contains(&format!("`{key}`"))).collect();
    assert!(missing.is_empty(), "docs/operations.md does not explain {missing:?}");
}

/// The figures in the first cell of a table's row.
fn named<'a>(manual: &'a str, prefix: &'a str) -> impl Iterator<Item = &'a str> {
    let rows = manual.lines().filter_map(|line| line.strip_prefix("| `")?.split_once(" |"));
    rows.flat_map(|(cell, _)| cell.split(", ").map(|name| name.trim_matches('`')))
        .filter(move |name| name.starts_with(prefix))
}

#[test]
fn every_figure_is_in_the_manual() {
    let (manual, sandbox) = (manual(), Sandbox::start(&[]));
    sandbox.request("GET", "/livez", &[], b""); // a figure with labels shows itself when it has counted once
    let figures = sandbox.request("GET", "/metrics", &[], b"").text();
    let names: Vec<String> = figures
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, kind)| match kind {
            "counter" => format!("`{name}_total`"),
            "info" => format!("`{name}_info`"),
            _ => format!("`{name}`"),
        })
        .collect();
    assert!(names.len() >= 20, "{figures}");
    assert!(figures.contains("process_resident_memory_bytes "), "{figures}");
    let missing: Vec<&String> = names.iter().filter(|name| !manual.contains(name.as_str())).collect();
    assert!(missing.is_empty(), "docs/operations.md does not explain {missing:?}");
    // Those of a database are looked for on one: crates/cosell/tests/postgres.rs.
    let explained = named(&manual, "cosell_").chain(named(&manual, "process_"));
    let explained = explained.filter(|name| !name.starts_with("cosell_database_"));
    let gone: Vec<&str> = explained.filter(|name| !names.contains(&format!("`{name}`"))).collect();
    assert!(gone.is_empty(), "docs/operations.md explains what is not there: {gone:?}");
    assert_eq!(sandbox.stop(), 0);
}
