//! Tokenization of texts for `$search`: the words that are stored, and whether they match. Engines return what
//! [`matches()`] returns.
//!
//! A word is a sequence of letters and digits, without case and without the diacritics of Latin letters. Only whole
//! words match. A phrase is a sequence of words within one text.

use serde_json::Value as Json;

use crate::ast::{Search, SearchKind};
use crate::eval::{EvalError, Work};
use crate::value::fold;

/// Separates the words of two texts, so that a phrase does not match across them. Not a word: neither letter nor digit.
pub const TEXT_SEPARATOR: &str = "§";

/// Maximum length of a word, in characters. The rest is cut, in texts and in search expressions.
const WORD: usize = 64;

/// Maximum number of words of one referral. Words after that cannot be found. A page of text has about five hundred.
const WORDS: usize = 10_000;

/// Returns the words of texts, separated by spaces, with [`TEXT_SEPARATOR`] between two texts.
pub fn index_text(texts: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    let mut index = String::new();
    let mut left = WORDS;
    for text in texts {
        let mut words = tokenize(text.as_ref()).take(left).peekable();
        if words.peek().is_some() && !index.is_empty() {
            index.push(' ');
            index.push_str(TEXT_SEPARATOR);
        }
        for word in words {
            if !index.is_empty() {
                index.push(' ');
            }
            index.push_str(&word);
            left -= 1;
        }
    }
    index
}

/// Returns whether a search expression matches the words of some texts.
pub fn matches(search: &Search, index_text: &str) -> bool {
    match &search.kind {
        SearchKind::Word(text) | SearchKind::Phrase(text) | SearchKind::Incomplete(text) => {
            let wanted: Vec<String> = tokenize(text).collect();
            let there: Vec<&str> = index_text.split(' ').collect();
            !wanted.is_empty() && there.windows(wanted.len()).any(|words| words == wanted)
        }
        SearchKind::Not(inner) => !matches(inner, index_text),
        SearchKind::And(terms) => terms.iter().all(|term| matches(term, index_text)),
        SearchKind::Or(terms) => terms.iter().any(|term| matches(term, index_text)),
    }
}

/// Returns whether a search expression matches the texts of a document, at any depth, member names excluded.
///
/// # Errors
/// When the budget is exhausted.
pub fn matches_document(search: &Search, document: &Json, work: Option<&Work>) -> Result<bool, EvalError> {
    fn collect<'j>(json: &'j Json, texts: &mut Vec<&'j str>) {
        match json {
            Json::String(text) => texts.push(text),
            Json::Array(items) => items.iter().for_each(|item| collect(item, texts)),
            Json::Object(members) => members.values().for_each(|member| collect(member, texts)),
            Json::Null | Json::Bool(_) | Json::Number(_) => {}
        }
    }
    let mut texts = Vec::new();
    collect(document, &mut texts);
    let Some(work) = work else { return Ok(matches(search, &index_text(texts))) };
    let bytes: usize = texts.iter().map(|text| text.len()).sum();
    // Each letter is examined, and each word becomes a string.
    work.take((bytes + 4 * texts.len()) as u64)?;
    work.hold(2 * bytes)?;
    let index = index_text(texts);
    let found = matches_within_budget(search, &index, work);
    work.release(2 * bytes);
    found
}

/// As [`matches()`], charged to a budget.
///
/// # Errors
/// When the budget is exhausted.
pub fn matches_within_budget(search: &Search, index_text: &str, work: &Work) -> Result<bool, EvalError> {
    work.take(terms(search).saturating_mul(1 + index_text.len() as u64 / 8))?;
    Ok(matches(search, index_text))
}

/// Returns the number of words and phrases of a search expression.
fn terms(search: &Search) -> u64 {
    match &search.kind {
        SearchKind::Word(_) | SearchKind::Phrase(_) | SearchKind::Incomplete(_) => 1,
        SearchKind::Not(inner) => terms(inner),
        SearchKind::And(all) | SearchKind::Or(all) => all.iter().map(terms).sum(),
    }
}

/// Splits a text into words.
pub fn tokenize(text: &str) -> impl Iterator<Item = String> {
    let plain: String = fold(text).chars().flat_map(plain).collect();
    let words: Vec<String> = plain
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(|word| word.chars().take(WORD).collect())
        .collect();
    words.into_iter()
}

/// Removes the diacritics of a lower-case letter: Latin-1, Latin Extended-A and Vietnamese. Combining marks are
/// removed.
fn plain(letter: char) -> impl Iterator<Item = char> {
    let (first, second) = match letter {
        '\u{300}'..='\u{36f}' => (None, None),
        'à'..='å' | 'ā' | 'ă' | 'ą' | 'ǎ' | 'ạ'..='ặ' => (Some('a'), None),
        'æ' => (Some('a'), Some('e')),
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => (Some('c'), None),
        'ď' | 'đ' | 'ð' => (Some('d'), None),
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' | 'ẹ'..='ệ' => (Some('e'), None),
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => (Some('g'), None),
        'ĥ' | 'ħ' => (Some('h'), None),
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' | 'ỉ' | 'ị' => (Some('i'), None),
        'ĵ' => (Some('j'), None),
        'ķ' => (Some('k'), None),
        'ĺ' | 'ļ' | 'ľ' | 'ł' => (Some('l'), None),
        'ñ' | 'ń' | 'ņ' | 'ň' => (Some('n'), None),
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' | 'ơ' | 'ọ'..='ợ' => (Some('o'), None),
        'œ' => (Some('o'), Some('e')),
        'ŕ' | 'ŗ' | 'ř' => (Some('r'), None),
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => (Some('s'), None),
        'ß' => (Some('s'), Some('s')),
        'ţ' | 'ť' | 'ŧ' | 'ț' => (Some('t'), None),
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' | 'ư' | 'ụ'..='ự' => (Some('u'), None),
        'ŵ' => (Some('w'), None),
        'ý' | 'ÿ' | 'ŷ' | 'ỳ'..='ỹ' => (Some('y'), None),
        'ź' | 'ż' | 'ž' => (Some('z'), None),
        letter => (Some(letter), None),
    };
    first.into_iter().chain(second)
}

/// Returns a hash of an index text: FNV-1a, 64 bits. With a probability of 2^-64 a changed text is not indexed again.
pub fn digest(index_text: &str) -> i64 {
    let hash = index_text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash.cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn words_are_without_case_and_marks() {
        for (text, words) in [
            ("Contoso Deal-2", "contoso deal 2"),
            ("Ärger, STRASSE straße Œuvre", "arger strasse strasse oeuvre"),
            ("e\u{301}te\u{301} été ÉTÉ İstanbul Łódź", "ete ete ete istanbul lodz"),
            ("ann@contoso.example", "ann contoso example"),
            ("日本語 §§ --", "日本語"),
            ("", ""),
        ] {
            assert_eq!(index_text([text]), words, "{text}");
        }
        assert_eq!(index_text(["a b", "", "-", "c"]), "a b § c");
        assert_eq!(index_text(["x".repeat(100).as_str()]).len(), WORD);
        assert_eq!(index_text(["a ".repeat(WORDS + 5).as_str(), "z"]).split(' ').count(), WORDS);
    }

    #[test]
    fn a_search_is_a_question_about_words() {
        let there = index_text(["Contoso needs Azure", "Ann Müller", "ann@contoso.example"]);
        for (search, found) in [
            ("contoso", true),
            ("cont", false),
            ("muller AND azure", true),
            ("muller zebra", false),
            ("zebra OR \"needs azure\"", true),
            ("\"azure ann\"", false),
            ("\"ann contoso\"", true),
            ("NOT zebra", true),
            ("azure NOT ann", false),
            ("\"-\"", false),
            ("NOT \"-\"", true),
        ] {
            let parsed = Search::parse(search, &Limits::default()).unwrap();
            assert_eq!(matches(&parsed, &there), found, "{search}");
        }
    }
}
