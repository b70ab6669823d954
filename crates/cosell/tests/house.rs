//! The rooms and doors of ARCHITECTURE.md, read from the manifests: fails when the drawing stops being true.
//!
//! A new arrow is a decision: it needs an ADR, a change of the table in ARCHITECTURE.md, and a change here.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which room may use which, in what is shipped. (Tests of a room may use more, but never the binary.)
const DOORS: [(&str, &[&str]); 10] = [
    ("odata", &[]),
    ("referral", &[]),
    ("store", &["referral", "odata"]),
    ("exchange", &["store", "referral", "odata"]),
    ("identity", &["net"]),
    ("webhooks", &["store", "referral", "net"]),
    ("server", &["exchange", "identity", "webhooks", "odata", "referral", "net"]),
    ("net", &[]),
    ("client", &["referral", "net"]),
    (
        "cosell",
        &["odata", "referral", "store", "exchange", "identity", "webhooks", "server", "net", "client"],
    ),
];

/// Rooms without a clock, without I/O and without waiting.
const PURE: [&str; 2] = ["odata", "referral"];

/// What a pure room may not even reach through others.
const WAITING: [&str; 14] = [
    "tokio",
    "hyper",
    "hyper-util",
    "axum",
    "mio",
    "socket2",
    "tower",
    "async-trait",
    "async-io",
    "smol",
    "flume",
    "futures-core",
    "rusqlite",
    "rustls",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The crates of the house that exist, by name.
fn manifests() -> BTreeMap<String, toml::Table> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("crates")).unwrap() {
        let folder = entry.unwrap().path();
        if folder.join("Cargo.toml").is_file() {
            let name = folder.file_name().unwrap().to_string_lossy().into_owned();
            let manifest: toml::Table = read(&folder.join("Cargo.toml")).parse().unwrap();
            assert_eq!(
                manifest["package"]["name"].as_str(),
                Some(name.as_str()),
                "a crate is named as its folder"
            );
            found.insert(name, manifest);
        }
    }
    assert!(found.contains_key("cosell") && found.contains_key("referral"));
    found
}

/// The names a manifest depends on in these sections, also those for one platform.
fn dependencies(manifest: &toml::Table, sections: &[&str]) -> BTreeSet<String> {
    let platforms =
        manifest.get("target").and_then(toml::Value::as_table).into_iter().flat_map(|t| t.values());
    let tables = platforms.filter_map(toml::Value::as_table).chain([manifest]);
    let mut names = BTreeSet::new();
    for table in tables {
        for section in sections {
            if let Some(listed) = table.get(*section).and_then(toml::Value::as_table) {
                names.extend(listed.keys().cloned());
            }
        }
    }
    names
}

const SHIPPED: [&str; 2] = ["dependencies", "build-dependencies"];
const ANY: [&str; 3] = ["dependencies", "build-dependencies", "dev-dependencies"];

#[test]
fn each_room_uses_only_the_doors_it_has() {
    let doors: BTreeMap<&str, &[&str]> = DOORS.into_iter().collect();
    for (room, manifest) in manifests() {
        let allowed =
            doors.get(room.as_str()).unwrap_or_else(|| panic!("{room}: a room that the table does not know"));
        for used in dependencies(&manifest, &SHIPPED) {
            let permitted = !doors.contains_key(used.as_str()) || allowed.contains(&used.as_str());
            assert!(permitted, "{room} uses {used}: it has no such door");
        }
    }
}

#[test]
fn nothing_depends_on_the_binary() {
    for (room, manifest) in manifests() {
        assert!(!dependencies(&manifest, &ANY).contains("cosell"), "{room} depends on the binary");
    }
}

#[test]
fn the_architecture_page_shows_these_rooms_and_doors() {
    let built = manifests();
    let page = read(&root().join("ARCHITECTURE.md"));
    let mut shown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, room, _, uses, _] = cells[..] else { continue };
        let name = backticked(room).pop().unwrap();
        let to_come = room.contains("to come");
        assert_eq!(to_come, !built.contains_key(&name), "{name}: \"to come\" is wrong or missing");
        shown.insert(name, backticked(uses).into_iter().collect());
    }
    for (room, uses) in DOORS {
        let expected: BTreeSet<String> = uses.iter().map(|&used| used.to_owned()).collect();
        assert_eq!(shown.remove(room), Some(expected), "the row of {room} in ARCHITECTURE.md");
    }
    assert!(shown.is_empty(), "ARCHITECTURE.md shows rooms nobody has decided on: {shown:?}");
}

/// The texts between backticks.
fn backticked(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn pure_rooms_reach_no_crate_that_waits() {
    let built = manifests();
    for room in PURE.into_iter().filter(|room| built.contains_key(*room)) {
        let output = Command::new(env!("CARGO"))
            .current_dir(root())
            .args(["tree", "--package", room, "--edges", "normal", "--prefix", "none", "--format", "{p}"])
            .args(["--locked", "--offline", "--color", "never"])
            .output()
            .expect("cargo runs: it started this test");
        assert!(output.status.success(), "cargo tree: {}", String::from_utf8_lossy(&output.stderr));
        let tree = String::from_utf8(output.stdout).unwrap();
        let reached: BTreeSet<&str> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
        assert!(reached.contains(room));
        for waiting in WAITING {
            assert!(!reached.contains(waiting), "{room} reaches {waiting}");
        }
    }
}

#[test]
fn pure_rooms_neither_wait_nor_look_around() {
    let built = manifests();
    let forbidden = [
        "async fn",
        ".await",
        "std::fs",
        "std::net",
        "std::env",
        "std::thread",
        "SystemTime",
        "Instant::now",
        "now_utc",
    ];
    for room in PURE.into_iter().filter(|room| built.contains_key(*room)) {
        for (path, text) in sources(&root().join("crates").join(room).join("src")) {
            let shipped = text.split("#[cfg(test)]").next().unwrap();
            for line in code_lines(shipped) {
                for word in forbidden {
                    assert!(!line.contains(word), "{}: `{word}` in a pure room: {line}", path.display());
                }
            }
        }
    }
}

#[test]
fn one_room_knows_sqlite_and_two_know_hyper() {
    for (room, manifest) in manifests() {
        let any = dependencies(&manifest, &ANY);
        assert!(room == "store" || !any.contains("rusqlite"), "{room} depends on rusqlite");
        let shipped = dependencies(&manifest, &SHIPPED);
        for http in ["hyper", "hyper-util", "axum"] {
            let permitted = ["net", "server"].contains(&room.as_str());
            assert!(permitted || !shipped.contains(http), "{room} depends on {http}");
        }
    }
}

#[test]
fn sockets_are_opened_in_net_alone() {
    for room in manifests().keys().filter(|room| *room != "net") {
        for (path, text) in sources(&root().join("crates").join(room).join("src")) {
            if path.components().any(|part| part.as_os_str() == "tests") {
                continue; // test modules stand in for the other end of a wire
            }
            for line in code_lines(text.split("#[cfg(test)]").next().unwrap()) {
                for socket in ["TcpListener", "TcpStream", "TcpSocket", "UdpSocket"] {
                    assert!(!line.contains(socket), "{}: a socket outside net: {line}", path.display());
                }
            }
        }
    }
}

#[test]
fn sql_is_written_under_store_alone() {
    for room in manifests().keys().filter(|room| *room != "store") {
        for (path, text) in sources(&root().join("crates").join(room).join("src")) {
            for line in code_lines(&text) {
                assert!(!looks_like_sql(line), "{}: SQL outside store: {line}", path.display());
            }
        }
    }
}

/// Statements as this house writes them: key words in capitals, one clause a line.
fn looks_like_sql(line: &str) -> bool {
    let anywhere =
        ["INSERT INTO ", "DELETE FROM ", "CREATE TABLE ", "CREATE INDEX ", "ALTER TABLE ", "PRAGMA "];
    let opens = |word: &str| line.trim_start().starts_with(word) || line.contains(&format!("\"{word}"));
    anywhere.iter().any(|start| line.contains(start)) || opens("SELECT ") || opens("UPDATE ")
}

#[test]
fn sql_is_recognised_and_prose_is_not() {
    for (line, expected) in [
        (r#"let sql = "SELECT document FROM referrals WHERE id = ?1";"#, true),
        (r#"connection.execute("INSERT INTO log VALUES (?1)", [])"#, true),
        (r#""UPDATE referrals SET version = ?2""#, true),
        ("             SELECT document,", true),
        (r#""PRAGMA journal_mode = WAL""#, true),
        ("Query::Select(fields)", false),
        (r#"error("the SELECT option is not offered")"#, false),
        (r#"Method::UPDATE"#, false),
    ] {
        assert_eq!(looks_like_sql(line), expected, "{line}");
    }
}

/// Lines that are not comments.
fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Every Rust file under a folder, with its text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push((path.clone(), read(&path)));
            }
        }
    }
    assert!(!found.is_empty());
    found
}
