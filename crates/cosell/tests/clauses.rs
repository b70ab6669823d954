//! Keeps the table of OData's conformance clauses in COMPATIBILITY.md true: every clause of docs/odata-conformance.md
//! stands in it, a clause that is met names tests that exist, and a MUST that is not met says what forbids it.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A clause of the standard: its name here (`B9a`), and whether it is a MUST.
#[derive(Debug, PartialEq)]
struct Clause {
    name: String,
    must: bool,
}

/// The clauses of docs/odata-conformance.md: `**A. …**` begins a level, `7. MUST …` a clause, ` a) MUST …` a part.
fn clauses() -> Vec<Clause> {
    let page = read("docs/odata-conformance.md");
    let page = page.split("\n## ").find(|section| section.starts_with("Clauses")).unwrap();
    let mut found: Vec<Clause> = Vec::new();
    let (mut level, mut last) = (' ', 0);
    for line in page.lines() {
        if let Some(title) = line.strip_prefix("**") {
            level = title.chars().next().unwrap();
            last = 0;
            continue;
        }
        // Several clauses may share a line.
        for (at, word) in line.split(' ').enumerate().collect::<Vec<_>>() {
            let text = line.split(' ').skip(at + 1).collect::<Vec<_>>().join(" ");
            let must = text.starts_with("MUST");
            if let Some(number) = word.strip_suffix('.').and_then(|number| number.parse::<u32>().ok())
                && number == last + 1
            {
                last = number;
                found.push(Clause { name: format!("{level}{number}"), must });
            }
            if let Some(part) = word.strip_suffix(')')
                && part.len() == 1
                && part.chars().all(|letter| letter.is_ascii_lowercase())
            {
                found.push(Clause { name: format!("{level}{last}{part}"), must });
            }
        }
    }
    found
}

/// The rows of the table: name, answer, how, shown by.
fn rows() -> Vec<[String; 4]> {
    let page = read("COMPATIBILITY.md");
    let section = page.split("\n## ").find(|section| section.starts_with("OData's conformance clauses"));
    let rows = section.expect("COMPATIBILITY.md has the section").lines();
    rows.filter_map(|row| {
        let cells: Vec<&str> =
            row.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").map(str::trim).collect();
        let [name, answer, how, tests] = cells.as_slice() else { panic!("four cells: {row}") };
        name.starts_with(|c: char| c.is_ascii_uppercase())
            .then(|| [name, answer, how, tests].map(|cell| cell.to_string()))
    })
    .collect()
}

#[test]
fn every_clause_stands_in_the_table_in_order() {
    let names: Vec<String> = clauses().into_iter().map(|clause| clause.name).collect();
    assert!(names.len() > 100, "{names:?}");
    let listed: Vec<String> = rows().into_iter().map(|[name, ..]| name).collect();
    assert_eq!(listed, names);
}

#[test]
fn what_is_met_is_shown_by_tests_that_exist() {
    let tests = tests_of_the_house();
    for [name, answer, _, shown] in rows() {
        let named: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        match answer.as_str() {
            "yes" | "partly" => assert!(!named.is_empty(), "{name} names no test"),
            "no" | "nothing to do" => {}
            other => panic!("{name}: {other} is no answer"),
        }
        for test in named {
            assert!(tests.contains(test), "{name} names {test}, which does not exist");
        }
    }
}

#[test]
fn a_must_that_is_not_met_says_which_line_of_the_contract_forbids_it() {
    for (clause, [name, answer, how, _]) in clauses().into_iter().zip(rows()) {
        if clause.must && matches!(answer.as_str(), "no" | "partly") {
            assert!(how.contains("REF-") || how.contains("spec "), "{name}: {how}");
        }
    }
}

/// `crate::file::function` of every test in a `tests` folder, or `crate::folder::file::function`; `main.rs` has no part
/// in the name.
fn tests_of_the_house() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for of in std::fs::read_dir(root().join("crates")).unwrap() {
        let of = of.unwrap();
        collect(&of.path().join("tests"), &of.file_name().to_string_lossy(), &mut found);
    }
    found
}

fn collect(folder: &Path, within: &str, found: &mut BTreeSet<String>) {
    let Ok(files) = std::fs::read_dir(folder) else { return };
    for file in files {
        let path = file.unwrap().path();
        let stem = path.file_stem().unwrap().to_string_lossy();
        let module = if stem == "main" { within.to_owned() } else { format!("{within}::{stem}") };
        if path.is_dir() {
            collect(&path, &module, found);
            continue;
        }
        let Ok(text) = std::fs::read_to_string(&path) else { continue };
        for line in text.lines() {
            if let Some((_, rest)) = line.split_once("fn ") {
                let function = rest.split('(').next().unwrap_or_default();
                found.insert(format!("{module}::{function}"));
            }
        }
    }
}
