//! The search index: words of `words.rs` in FTS5, each with its owner before it, so that a search walks no other
//! owner's entries. A word that all of an owner's referrals have is the owner alone.

use odata::{Search, SearchKind};
use referral::OrganizationId;
use rusqlite::{Connection, params};

use odata::tokenizer::{TEXT_SEPARATOR, tokenize};

/// What stands before the words of an owner; on its own it is a word of all its referrals. Ten digits tell owners apart
/// well enough: should two have the same, each walks the other's entries, and is shown its own rows all the same.
fn prefix(owner: &OrganizationId) -> String {
    let mut digits = [0; 5];
    for (place, byte) in owner.as_bytes().iter().enumerate() {
        digits[place % 5] ^= byte;
    }
    digits.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Adds the words of a referral.
pub(super) fn add(
    connection: &Connection,
    owner: &OrganizationId,
    row: i64,
    index_text: &str,
) -> rusqlite::Result<()> {
    let prefix = prefix(owner);
    let words = index_text.split(' ').filter(|word| !word.is_empty());
    let mut text = String::with_capacity(index_text.len() * 3);
    text.push_str(&prefix);
    for word in words {
        text.push(' ');
        if word != TEXT_SEPARATOR {
            text.push_str(&prefix);
        }
        text.push_str(word);
    }
    connection
        .prepare_cached("INSERT INTO search (rowid, words) VALUES (?1, ?2)")?
        .execute(params![row, text])?;
    Ok(())
}

/// Removes the words of a referral.
pub(super) fn remove(connection: &Connection, row: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM search WHERE rowid = ?1")?.execute([row])?;
    Ok(())
}

/// Whether some referral's words are not in the index.
pub(super) fn is_incomplete(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (
               SELECT 1
               FROM referral INDEXED BY referral_not_searchable
               WHERE search_digest IS NULL
             )",
        )?
        .query_row([], |row| row.get(0))
}

/// What is searched for among an owner's referrals, as FTS5 reads it. Every word in it is quoted, and of letters and
/// digits alone.
pub(super) fn expression(owner: &OrganizationId, search: &Search) -> String {
    let prefix = prefix(owner);
    let mut text = String::new();
    write(search, &prefix, &mut text);
    text
}

fn write(search: &Search, prefix: &str, text: &mut String) {
    match &search.kind {
        SearchKind::Word(phrase) | SearchKind::Phrase(phrase) | SearchKind::Incomplete(phrase) => {
            let words: Vec<String> = tokenize(phrase).map(|word| format!("{prefix}{word}")).collect();
            if words.is_empty() {
                // Nothing has no words; no index text begins with a word of another's.
                text.push_str(&format!("(\"{prefix}\" NOT \"{prefix}\")"));
            } else {
                text.push_str(&format!("\"{}\"", words.join(" ")));
            }
        }
        SearchKind::Not(inner) => {
            text.push_str(&format!("(\"{prefix}\" NOT "));
            write(inner, prefix, text);
            text.push(')');
        }
        SearchKind::And(terms) => join(terms, " AND ", prefix, text),
        SearchKind::Or(terms) => join(terms, " OR ", prefix, text),
    }
}

fn join(terms: &[Search], between: &str, prefix: &str, text: &mut String) {
    text.push('(');
    for (place, term) in terms.iter().enumerate() {
        if place > 0 {
            text.push_str(between);
        }
        write(term, prefix, text);
    }
    text.push(')');
}
