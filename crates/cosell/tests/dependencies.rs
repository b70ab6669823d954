//! What is compiled into Cosell: licences, banned crates, one crypto provider, one registry. Needs no network.
//!
//! The lists stand in `deny.toml`; the graph is what `cargo tree` says is really built for this machine
//! (`cargo metadata` also names crates that only a feature nobody enables would bring).

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// One crate of the build graph.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Crate {
    name: String,
    version: String,
    licence: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn toml(path: &str) -> toml::Table {
    read(path).parse().unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every crate that is built for this machine, tests included, ours excluded.
fn built_crates() -> BTreeSet<Crate> {
    let output = Command::new(env!("CARGO"))
        .current_dir(root())
        .args([
            "tree",
            "--workspace",
            "--edges",
            "normal,build,dev",
            "--prefix",
            "none",
            "--format",
            "{p}|{l}",
        ])
        .args(["--locked", "--offline", "--color", "never"])
        .output()
        .expect("cargo runs: it started this test");
    assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let crates: BTreeSet<Crate> = text.lines().filter_map(parse_line).collect();
    assert!(crates.len() > 50, "cargo tree named only {} crates", crates.len());
    crates
}

/// `name v1.2.3 (proc-macro)|MIT OR Apache-2.0 (*)`; `None` for our own crates, which have a path.
fn parse_line(line: &str) -> Option<Crate> {
    let (package, licence) = line.split_once('|')?;
    if package.contains(" (/") || package.contains(":\\") {
        return None;
    }
    let mut words = package.split(' ');
    Some(Crate {
        name: words.next()?.to_owned(),
        version: words.next()?.trim_start_matches('v').to_owned(),
        licence: licence.trim_end_matches(" (*)").to_owned(),
    })
}

/// Whether an SPDX expression can be satisfied with allowed licences alone. `/` is the old spelling of `OR`.
/// A licence `WITH` an exception must be allowed as that pair.
fn satisfied(expression: &str, allowed: &BTreeSet<String>) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let verdict = alternatives(&words, &mut at, allowed)?;
    if at == words.len() { Ok(verdict) } else { Err(format!("unexpected `{}`", words[at])) }
}

fn alternatives(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> Result<bool, String> {
    let mut verdict = conjunction(words, at, allowed)?;
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        verdict |= conjunction(words, at, allowed)?;
    }
    Ok(verdict)
}

fn conjunction(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> Result<bool, String> {
    let mut verdict = licence(words, at, allowed)?;
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        verdict &= licence(words, at, allowed)?;
    }
    Ok(verdict)
}

fn licence(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> Result<bool, String> {
    let word = *words.get(*at).ok_or("ends too early")?;
    *at += 1;
    match word {
        "(" => {
            let verdict = alternatives(words, at, allowed)?;
            if words.get(*at) != Some(&")") {
                return Err("a parenthesis is not closed".to_owned());
            }
            *at += 1;
            Ok(verdict)
        }
        ")" | "AND" | "OR" | "WITH" => Err(format!("unexpected `{word}`")),
        name if words.get(*at) == Some(&"WITH") => {
            let exception = words.get(*at + 1).ok_or("ends after WITH")?;
            *at += 2;
            Ok(allowed.contains(&format!("{name} WITH {exception}")))
        }
        name => Ok(allowed.contains(name)),
    }
}

/// `1.2.3` → `1`, `0.9.5` → `0.9`: versions that cargo takes for compatible share it.
fn compatible_series(version: &str) -> String {
    let mut parts = version.split('.');
    match (parts.next().unwrap_or(""), parts.next().unwrap_or("")) {
        ("0", minor) => format!("0.{minor}"),
        (major, _) => major.to_owned(),
    }
}

fn strings(table: &toml::Table, section: &str, key: &str) -> BTreeSet<String> {
    let list = table[section][key].as_array().unwrap();
    list.iter().map(|value| value.as_str().unwrap().to_owned()).collect()
}

#[test]
fn licence_expressions_are_read_as_spdx_says() {
    let allowed: BTreeSet<String> =
        ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].into_iter().map(str::to_owned).collect();
    for (expression, expected) in [
        ("MIT", Ok(true)),
        ("GPL-3.0-only", Ok(false)),
        ("MIT OR GPL-3.0-only", Ok(true)),
        ("GPL-3.0-only/MIT", Ok(true)),
        ("MIT AND GPL-3.0-only", Ok(false)),
        ("GPL-3.0-only AND MIT OR ISC", Ok(true)),
        ("GPL-3.0-only AND (MIT OR ISC)", Ok(false)),
        ("ISC AND (GPL-3.0-only OR (MIT))", Ok(true)),
        ("Apache-2.0", Ok(false)),
        ("Apache-2.0 WITH LLVM-exception", Ok(true)),
        ("MIT WITH LLVM-exception", Ok(false)),
        ("", Err(())),
        ("MIT OR", Err(())),
        ("(MIT", Err(())),
        ("MIT ISC", Err(())),
    ] {
        assert_eq!(satisfied(expression, &allowed).map_err(|_| ()), expected, "{expression}");
    }
}

#[test]
fn every_dependency_has_an_allowed_licence() {
    let deny = toml("deny.toml");
    let allowed = strings(&deny, "licenses", "allow");
    let mut exceptions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for exception in deny["licenses"]["exceptions"].as_array().unwrap() {
        let exception = exception.as_table().unwrap();
        let extra = exception["allow"].as_array().unwrap().iter().map(|v| v.as_str().unwrap().to_owned());
        exceptions.entry(exception["crate"].as_str().unwrap().to_owned()).or_default().extend(extra);
    }
    let mut refused = Vec::new();
    for each in built_crates() {
        let mut here = allowed.clone();
        here.extend(exceptions.get(&each.name).into_iter().flatten().cloned());
        match satisfied(&each.licence, &here) {
            Ok(true) => {}
            Ok(false) => refused.push(format!("{} {}: {}", each.name, each.version, each.licence)),
            Err(why) => refused.push(format!("{} {}: {:?} {why}", each.name, each.version, each.licence)),
        }
    }
    assert!(refused.is_empty(), "licences that deny.toml does not allow:\n{}", refused.join("\n"));
}

#[test]
fn no_banned_crate_is_built() {
    let deny = toml("deny.toml");
    let built: BTreeSet<String> = built_crates().into_iter().map(|each| each.name).collect();
    for ban in deny["bans"]["deny"].as_array().unwrap() {
        let (name, reason) = (ban["crate"].as_str().unwrap(), ban["reason"].as_str().unwrap());
        assert!(!built.contains(name), "{name} is in the build: {reason}");
    }
}

#[test]
fn aws_lc_is_the_only_crypto_provider() {
    let built: BTreeSet<String> = built_crates().into_iter().map(|each| each.name).collect();
    assert!(built.contains("aws-lc-rs") && built.contains("aws-lc-sys"));
    let others =
        ["ring", "openssl-sys", "boring-sys", "mbedtls", "rustls-graviola", "aws-lc-fips-sys", "p256", "rsa"];
    for other in others {
        assert!(!built.contains(other), "{other}: a second crypto provider");
    }
}

#[test]
fn the_large_crates_are_built_once() {
    let built = built_crates();
    for name in
        ["tokio", "hyper", "hyper-util", "http", "rustls", "serde", "serde_json", "rusqlite", "uuid", "time"]
    {
        let series: BTreeSet<String> = built
            .iter()
            .filter(|each| each.name == name)
            .map(|each| compatible_series(&each.version))
            .collect();
        assert!(series.len() <= 1, "{name} is built in several versions: {series:?}");
    }
}

#[test]
fn the_lock_file_knows_no_source_but_crates_io() {
    let lock = toml("Cargo.lock");
    let allowed: BTreeSet<String> = strings(&toml("deny.toml"), "sources", "allow-registry")
        .into_iter()
        .map(|registry| format!("registry+{registry}"))
        .collect();
    for package in lock["package"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        match package.get("source").map(|source| source.as_str().unwrap()) {
            Some(source) => assert!(allowed.contains(source), "{name} comes from {source}"),
            None => assert!(
                root().join("crates").join(name).is_dir(),
                "{name} is neither ours nor from a registry"
            ),
        }
    }
}

#[test]
fn every_direct_dependency_says_why_it_is_here() {
    let documented = documented_dependencies();
    let mut named = BTreeSet::new();
    let manifest = read("Cargo.toml");
    let section = manifest.split("[workspace.dependencies]").nth(1).unwrap();
    for line in section.lines().take_while(|line| !line.starts_with('[')) {
        let Some((name, declaration)) = line.split_once(" = ") else { continue };
        if line.starts_with('#') || declaration.contains("path = ") {
            continue;
        }
        named.insert(name.to_owned());
        let reason = declaration.rsplit_once("# ").is_some_and(|(_, reason)| reason.len() >= 5);
        assert!(
            reason || documented.contains(name),
            "{name}: say why it is here, in a comment on its line of Cargo.toml or in docs/dependencies.md"
        );
    }
    let stale: Vec<_> = documented.difference(&named).collect();
    assert!(stale.is_empty(), "docs/dependencies.md explains what is no longer a dependency: {stale:?}");
}

/// The crate names in the first column of the table of docs/dependencies.md.
fn documented_dependencies() -> BTreeSet<String> {
    let page = read("docs/dependencies.md");
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.filter_map(|row| row.split_once('`')).map(|(name, _)| name.to_owned()).collect()
}
