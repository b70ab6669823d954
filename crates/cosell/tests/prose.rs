//! Keeps phrases that were replaced by plain English out of comments, messages and documents.
//!
//! A phrase belongs into [`GONE`] once it occurs nowhere any more, and a crate into [`REVISED`] once its comments and
//! messages were revised. Phrases match whole words in any case, within one line.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::path::{Path, PathBuf};

/// Phrases that occur nowhere, with the better words.
const GONE: &[(&str, &str)] = &[
    ("and its fellows", "\"and similar ones\""),
    ("and its kin", "\"and similar ones\""),
    ("binds tight", "\"has a higher precedence\""),
    ("brought along", "\"contained\" or \"sent with it\""),
    ("business here", "\"is not allowed here\""),
    ("comes over", "\"is merged into\""),
    ("comes to on", "\"results in\""),
    ("could not be had", "\"is not available\" or \"could not be fetched\""),
    ("counts for nothing", "\"is ignored\""),
    ("dawdle", "\"be slow\""),
    ("has a say", "\"affects\""),
    ("have no say", "\"are ignored\""),
    ("how tight", "\"the precedence\""),
    ("is no date", "\"is not a date\""),
    ("is paid for", "\"is charged to the budget\""),
    ("lay over", "\"merge into\""),
    ("of its own making", "say who made it"),
    ("paid for", "\"charged\""),
    ("says yes or no", "\"is boolean\""),
    ("so many at least", "the number, or \"at least this many\""),
    ("so many at most", "\"up to\" and the number"),
    ("spoken of", "\"mentioned\""),
    ("the affair", "\"the responsibility\""),
    ("the caller's deed", "\"done by the caller\""),
    ("thereof", "\"of it\""),
    ("this room", "\"this crate\""),
    ("those alike", "\"equal ones\""),
    ("to hurt", "\"to cause harm\", or say what happens"),
    ("whereby", "\"by which\""),
    ("wherein", "\"in which\""),
];

/// Crates whose comments and messages are plain English.
const REVISED: &[&str] = &["identity", "net", "odata", "referral"];

/// Phrases that do not occur in these crates, with the better words.
const GONE_FROM_REVISED: &[(&str, &str)] = &[
    ("anew", "\"again\""),
    ("are no members", "\"are not members\""),
    ("as ever", "\"as usual\""),
    ("by who", "\"by the caller that\""),
    ("cannot be had", "\"is not available\""),
    ("composition root", "\"the binary\""),
    ("for who", "\"for the caller that\""),
    ("held against", "\"compared with\" or \"validated against\""),
    ("hence", "\"so\" or \"therefore\""),
    ("in vain", "\"without success\""),
    ("is no number", "\"is not a number\""),
    ("is no object", "\"is not an object\""),
    ("is no string", "\"is not a string\""),
    ("is no text", "\"is not a text\""),
    ("judged", "\"checked\" or \"validated\""),
    ("laid over", "\"merged into\""),
    ("likewise", "\"in the same way\""),
    ("of null, null", "\"null if an operand is null\""),
    ("of who", "\"of the caller that\""),
    ("pass over", "\"ignore\""),
    ("passed over", "\"ignored\""),
    ("said of", "\"said about\", or name the fact"),
    ("so many", "the number"),
    ("speaks of", "\"refers to\""),
    ("taken apart", "\"parsed\""),
    ("temperament", "\"mode\""),
    ("the house", "\"the workspace\" or \"the program\""),
    ("the news", "\"the changes\""),
    ("to who", "\"to the caller that\""),
    ("told apart", "\"distinguished\""),
    ("waited for", "\"awaited\""),
    ("where it stands", "\"its position\" or \"its state\""),
    ("who asked", "\"the caller that asked\""),
    ("who asks", "\"the caller that asks\""),
    ("whoever", "\"anyone who\", or name who"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Every source file and document below a folder, except generated ones and this file.
fn texts(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() {
            if name != "target" && !name.starts_with('.') {
                texts(&path, found);
            }
        } else if (name.ends_with(".rs") || name.ends_with(".md")) && name != "prose.rs" {
            found.push(path);
        }
    }
}

/// Returns whether a line has a phrase as whole words, in any case.
fn has(line: &str, phrase: &str) -> bool {
    let line = line.to_lowercase();
    let bounded = |at: usize| {
        let before = line[..at].chars().next_back();
        let after = line[at + phrase.len()..].chars().next();
        let joins = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !joins(before) && !joins(after)
    };
    line.match_indices(phrase).any(|(at, _)| bounded(at))
}

fn hits(folder: &Path, phrases: &[(&str, &str)]) -> Vec<String> {
    let mut paths = Vec::new();
    texts(folder, &mut paths);
    assert!(!paths.is_empty());
    paths.sort();
    let mut hits = Vec::new();
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        for (number, line) in text.lines().enumerate() {
            for (phrase, better) in phrases.iter().filter(|(phrase, _)| has(line, phrase)) {
                hits.push(format!("{}:{}: \"{phrase}\": better {better}", path.display(), number + 1));
            }
        }
    }
    hits
}

#[test]
fn replaced_phrases_do_not_come_back() {
    for folder in ["crates", "fuzz", "bench", "docs"] {
        let hits = hits(&root().join(folder), GONE);
        assert!(hits.is_empty(), "\n{}", hits.join("\n"));
    }
}

#[test]
fn revised_crates_stay_plain() {
    for name in REVISED {
        let hits = hits(&root().join("crates").join(name), GONE_FROM_REVISED);
        assert!(hits.is_empty(), "\n{}", hits.join("\n"));
    }
}

#[test]
fn phrases_match_whole_words_in_any_case() {
    assert!(has("/// Likewise, in ticks.", "likewise"));
    assert!(has("it comes to on the way", "comes to on"));
    assert!(!has("fn hence_forth()", "hence"));
    assert!(!has("for whole numbers", "for who"));
}
