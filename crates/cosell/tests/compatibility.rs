//! Keeps COMPATIBILITY.md current: every line of the contract's checklist (docs/referrals-api.md, section 18)
//! with the tests that name it.
//!
//! A test names a line by its number in a comment (three digits after the prefix, or a range of two numbers with
//! `..` between). This file names none itself, or it would count.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Line numbers this release promises, less those that need a later capability.
const THIS_RELEASE: [(u16, u16); 3] = [(1, 260), (291, 295), (297, 297)];
const NOT_YET: [u16; 2] = [52, 203];

const PREFIX: &str = "REF-";
const PAGE: &str = "COMPATIBILITY.md";
const BEGIN: &str = "<!-- checklist: begin, generated -->";
const END: &str = "<!-- checklist: end -->";
const UPDATE: &str = "COSELL_UPDATE=1 cargo test -p cosell --test compatibility";

/// The longest statement the table prints.
const STATEMENT_LENGTH: usize = 120;
/// The most tests the table names per line; the others are counted.
const TESTS_SHOWN: usize = 3;

/// One numbered statement of the checklist.
struct Line {
    number: u16,
    area: String,
    statement: String,
}

type Tests = BTreeMap<u16, BTreeSet<String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_page_names_every_checklist_line_and_its_tests() {
    let page = read(PAGE);
    let (before, rest) = page.split_once(BEGIN).expect("COMPATIBILITY.md has the begin marker");
    let (_, after) = rest.split_once(END).expect("COMPATIBILITY.md has the end marker");
    let table =
        table(&checklist(), &tests_of_the_house(), &notes(&page, "## Different"), &notes(&page, "## Later"));
    let current = format!("{before}{BEGIN}\n{table}{END}{after}");
    if page == current {
        return;
    }
    assert!(std::env::var_os("COSELL_UPDATE").is_some(), "{PAGE} is not current; run: {UPDATE}");
    std::fs::write(root().join(PAGE), current).unwrap();
}

#[test]
fn every_line_of_this_release_has_a_test() {
    let tests = tests_of_the_house();
    let missing: Vec<String> = checklist()
        .iter()
        .map(|line| line.number)
        .filter(|number| THIS_RELEASE.iter().any(|(first, last)| (first..=last).contains(&number)))
        .filter(|number| !NOT_YET.contains(number) && !tests.contains_key(number))
        .map(|number| format!("{PREFIX}{number:03}"))
        .collect();
    assert!(missing.is_empty(), "{} checklist lines have no test: {}", missing.len(), missing.join(" "));
}

#[test]
fn every_line_without_a_test_has_a_reason_or_belongs_to_this_release() {
    let later = notes(&read(PAGE), "## Later");
    for line in checklist() {
        let promised = THIS_RELEASE.iter().any(|(first, last)| (*first..=*last).contains(&line.number));
        assert!(
            (promised && !NOT_YET.contains(&line.number)) || later.contains_key(&line.number),
            "line {:03} is neither of this release nor in the table of what comes later",
            line.number
        );
    }
}

/// The statements of section 18, in order.
fn checklist() -> Vec<Line> {
    let contract = read("docs/referrals-api.md");
    let section = contract.split("\n## ").find(|section| section.starts_with("18.")).unwrap();
    let mut area = String::new();
    let mut lines = Vec::new();
    for text in section.lines() {
        if let Some(title) = text.strip_prefix("### ") {
            title.clone_into(&mut area);
        } else if let Some(rest) = text.strip_prefix("- **").and_then(|rest| rest.strip_prefix(PREFIX)) {
            let (number, statement) = rest.split_once("** ").unwrap();
            let statement = statement.rsplit_once(" (").map_or(statement, |(text, _mark)| text).to_owned();
            lines.push(Line { number: number.parse().unwrap(), area: area.clone(), statement });
        }
    }
    let numbers: Vec<u16> = lines.iter().map(|line| line.number).collect();
    assert_eq!(numbers, (1..=297).collect::<Vec<u16>>(), "the checklist has 297 lines, in order");
    lines
}

/// Notes on checklist lines, from the table under a heading of the page: `| 001..005, 007 | note |`.
fn notes(page: &str, heading: &str) -> BTreeMap<u16, String> {
    let section = page.split("\n## ").find(|section| heading[3..] == *section.lines().next().unwrap_or(""));
    let rows = section.unwrap_or_else(|| panic!("{PAGE} has a section \"{heading}\"")).lines();
    let mut notes = BTreeMap::new();
    for row in
        rows.filter(|row| row.starts_with("| ") && row.as_bytes().get(2).is_some_and(u8::is_ascii_digit))
    {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for range in cells[1].split(", ") {
            let (first, last) = range.split_once("..").unwrap_or((range, range));
            for number in first.parse().unwrap()..=last.parse().unwrap() {
                notes.insert(number, cells[2].to_owned());
            }
        }
    }
    notes
}

fn table(
    lines: &[Line],
    tests: &Tests,
    different: &BTreeMap<u16, String>,
    later: &BTreeMap<u16, String>,
) -> String {
    let kept =
        lines.iter().filter(|l| tests.contains_key(&l.number) && !different.contains_key(&l.number)).count();
    let apart = lines.iter().filter(|line| different.contains_key(&line.number)).count();
    let rest = lines.len() - kept - apart;
    let mut text = format!("\n{kept} of {} lines kept, {apart} different, {rest} later.\n", lines.len());
    let mut area = "";
    for line in lines {
        if area != line.area {
            area = &line.area;
            text += &format!("\n### {area}\n\n| line | statement | answer | shown by |\n|---|---|---|---|\n");
        }
        let shown_by = tests.get(&line.number).map(shown).unwrap_or_default();
        let answer = match (different.get(&line.number), later.get(&line.number)) {
            (Some(how), _) => format!("different: {how}"),
            _ if !shown_by.is_empty() => "kept".to_owned(),
            (_, Some(theme)) => format!("later: {theme}"),
            _ => "later: no test yet".to_owned(),
        };
        text += &format!("| {:03} | {} | {answer} | {shown_by} |\n", line.number, shortened(&line.statement));
    }
    text
}

fn shown(tests: &BTreeSet<String>) -> String {
    let mut names: Vec<String> = tests.iter().take(TESTS_SHOWN).map(|name| format!("`{name}`")).collect();
    if tests.len() > TESTS_SHOWN {
        names.push(format!("{} more", tests.len() - TESTS_SHOWN));
    }
    names.join(", ")
}

/// The statement as a table cell: cut at a word, its code spans closed.
fn shortened(statement: &str) -> String {
    let mut text = String::new();
    for word in statement.split(' ') {
        if text.chars().count() + word.chars().count() > STATEMENT_LENGTH {
            if text.matches('`').count() % 2 == 1 {
                text.push('`');
            }
            text.push_str(" …");
            break;
        }
        if !text.is_empty() {
            text.push(' ');
        }
        text += word;
    }
    text.replace('|', "\\|")
}

/// Every checklist number that test code names, with where.
fn tests_of_the_house() -> Tests {
    let mut tests = Tests::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let relative = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
            if path.is_dir() {
                if !is_skipped(&relative) {
                    folders.push(path);
                }
            } else if let Some(text) = test_code(&path, &relative) {
                collect(&relative, &text, &mut tests);
            }
        }
    }
    tests
}

/// Build output, other people's files, and hidden folders.
fn is_skipped(relative: &str) -> bool {
    let name = relative.rsplit('/').next().unwrap();
    name.starts_with('.')
        || ["target", "node_modules", "__pycache__"].contains(&name)
        || ["docs", "tests/vectors", "tests/seeds"].contains(&relative)
}

/// The part of a file that is test code: all of a file under `tests/` or `e2e/` or named so, else what follows
/// the first `#[cfg(test)]`.
fn test_code(path: &Path, relative: &str) -> Option<String> {
    let extension = path.extension()?.to_str()?;
    if !["rs", "ts", "tsx", "js", "mjs", "py", "json", "toml", "yaml", "yml"].contains(&extension) {
        return None;
    }
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let folders = relative.split('/').rev().skip(1);
    let named =
        relative.ends_with("_test.rs") || relative.ends_with("_tests.rs") || relative.ends_with("/tests.rs");
    if named || folders.into_iter().any(|folder| ["test", "tests", "e2e"].contains(&folder)) {
        return Some(text);
    }
    // Lines before the marker are emptied, not cut, so that the enclosing function is still found.
    let at = text.find("#[cfg(test)]").filter(|_| extension == "rs")?;
    Some("\n".repeat(text[..at].matches('\n').count()) + &text[at..])
}

fn collect(relative: &str, text: &str, tests: &mut Tests) {
    let lines: Vec<&str> = text.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        for number in numbers(line) {
            let name = match function_around(&lines, at) {
                Some(function) => format!("{}::{function}", module(relative)),
                None => module(relative),
            };
            tests.entry(number).or_default().insert(name);
        }
    }
}

/// The checklist numbers in a line; a range counts each of its numbers, at most 61.
fn numbers(line: &str) -> Vec<u16> {
    let three_digits =
        |text: &str| text.get(..3).filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?.parse().ok();
    let mut found = Vec::new();
    let mut rest = line;
    while let Some(at) = rest.find(PREFIX) {
        rest = &rest[at + PREFIX.len()..];
        let Some(first): Option<u16> = three_digits(rest) else { continue };
        rest = &rest[3..];
        let after = rest.trim_start();
        let joined =
            ["..", "–", "-", "to"].iter().find_map(|joint| after.strip_prefix(joint)).map(str::trim_start);
        let end = joined.map(|text| text.strip_prefix(PREFIX).unwrap_or(text));
        let last = match end.and_then(|text| Some((three_digits(text)?, &text[3..]))) {
            Some((last, after)) => {
                rest = after;
                last
            }
            None => first,
        };
        found.extend(first..=last.min(first + 60));
    }
    found
}

/// The function whose body holds this line, or the one that the comment stands above. Relies on rustfmt's
/// indentation.
fn function_around(lines: &[&str], at: usize) -> Option<String> {
    let own = indent(lines[at]);
    for (above, line) in lines[..at].iter().enumerate().rev() {
        if let Some(name) = function_name(line)
            && indent(line) < own
            && !line.trim_end().ends_with(['}', ';'])
            && !lines[above..at]
                .iter()
                .any(|between| between.trim_end() == format!("{}}}", " ".repeat(indent(line))))
        {
            return Some(name);
        }
    }
    if let Some(name) = function_name(lines[at]) {
        return Some(name);
    }
    let below = lines[at + 1..].iter().find(|line| {
        let line = line.trim_start();
        !(line.starts_with("//") || line.starts_with("#["))
    });
    below.and_then(|line| function_name(line))
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// `async fn name(…)` → `name`; `def name(` in Python.
fn function_name(line: &str) -> Option<String> {
    let mut words = line.trim_start().split([' ', '(', '<']);
    words
        .by_ref()
        .take_while(|word| ["pub", "async", "const", "pub(crate)", "pub(super)", "fn", "def"].contains(word))
        .find(|word| *word == "fn" || *word == "def")?;
    words.next().filter(|name| !name.is_empty()).map(str::to_owned)
}

/// `crates/referral/src/lifecycle.rs` → `referral::lifecycle`; `crates/cosell/tests/seeds.rs` → `cosell::seeds`.
fn module(relative: &str) -> String {
    let stem = relative.rsplit_once('.').map_or(relative, |(stem, _)| stem);
    let parts =
        stem.split('/').filter(|part| !["crates", "src", "tests", "mod", "lib", "main"].contains(part));
    parts.collect::<Vec<_>>().join("::")
}

#[test]
fn numbers_are_read_one_by_one_and_as_ranges() {
    for (line, expected) in [
        ("// @172", vec![172]),
        ("// @001, @003: both", vec![1, 3]),
        ("// @001..003", vec![1, 2, 3]),
        ("// @001 to @003", vec![1, 2, 3]),
        ("// @001-002 and @009", vec![1, 2, 9]),
        ("// @001, 003", vec![1]),
        ("// @12", vec![]),
        ("// @001..100", (1..=61).collect()),
    ] {
        assert_eq!(numbers(&line.replace('@', PREFIX)), expected, "{line}");
    }
}

#[test]
fn a_number_belongs_to_the_function_around_or_below_it() {
    let text = "// @001\n#[test]\nfn first() {\n    // @002\n    check();\n}\n\n// @003\nconst ROWS: u8 = 1;\n\nmod inner {\n    // @004\n    async fn second() {\n        let rows = [\n            1, // @005\n        ];\n    }\n}\n";
    let mut tests = Tests::new();
    collect("crates/referral/tests/rules.rs", &text.replace('@', PREFIX), &mut tests);
    let expected =
        ["referral::rules::first", "referral::rules::first", "referral::rules", "referral::rules::second"];
    let found: Vec<&String> = tests.values().flatten().collect();
    assert_eq!(found[..4], expected);
    assert_eq!(found[4], "referral::rules::second");
}
