//! Texts for the dataset that compress as short English texts do: deflate with a dictionary of other such texts leaves
//! 38 % of 250 bytes, as of the manual of Python, and 66 % without one (63 %); a few dozen words drawn evenly would
//! leave 23 %.
//!
//! Words are drawn by Zipf's law: the n-th is as frequent as 1 / (n + 3). The first are those of the trade, the others
//! are put together from parts of English words.

use std::fmt::Write;
use std::sync::LazyLock;

const COMMON: &[&str] = &[
    "the",
    "to",
    "of",
    "and",
    "is",
    "for",
    "in",
    "with",
    "their",
    "customer",
    "services",
    "cloud",
    "help",
    "needs",
    "project",
    "data",
    "looking",
    "security",
    "supply",
    "chain",
    "custom",
    "applications",
    "training",
    "employees",
    "deployment",
    "migration",
    "review",
    "existing",
    "estate",
    "three",
    "regions",
    "budget",
    "approved",
    "next",
    "quarter",
    "please",
    "contact",
    "office",
    "before",
    "renewal",
    "licences",
    "platform",
    "leverage",
];
const BEGINNINGS: &[&str] = &["", "re", "in", "con", "de", "ex", "over", "sub", "pro", "un"];
const MIDDLES: &[&str] = &[
    "port", "form", "tract", "struct", "miss", "cept", "duct", "gress", "tend", "vert", "press", "serv",
    "pos", "act", "mark", "sult", "count", "sign", "cover", "test", "view", "plan", "fer", "spect", "plic",
    "rupt", "cid", "lect", "mand", "nect", "par", "quest", "rang", "solv", "tain", "turn", "val", "vent",
    "vis", "vok", "ward", "week", "yield", "hold", "build", "lead", "train", "work", "place", "point",
    "stand", "order", "scal", "quot", "group", "part", "field",
];
const ENDINGS: &[&str] = &["", "s", "ed", "ing", "er", "ion", "al", "ment", "ly", "ity"];

struct Vocabulary {
    words: Vec<String>,
    /// The sum of the weights up to and with each word.
    sums: Vec<u64>,
}

static VOCABULARY: LazyLock<Vocabulary> = LazyLock::new(|| {
    let made = BEGINNINGS.len() * MIDDLES.len() * ENDINGS.len();
    // 1,733 is prime to their number (5,700): each comes once, and neighbours are unlike.
    let put_together = (0..made).map(|place| {
        let place = place * 1733 % made;
        let (beginning, rest) = (place % BEGINNINGS.len(), place / BEGINNINGS.len());
        let (middle, ending) = (rest % MIDDLES.len(), rest / MIDDLES.len());
        format!("{}{}{}", BEGINNINGS[beginning], MIDDLES[middle], ENDINGS[ending])
    });
    let words: Vec<String> = COMMON.iter().map(|word| (*word).to_owned()).chain(put_together).collect();
    let mut sum = 0;
    let sums = (4..).zip(&words).map(|(rank, _)| {
        sum += 1_000_000_000 / rank;
        sum
    });
    Vocabulary { sums: sums.collect(), words }
});

/// A text of a word for each draw; with some numbers, and the marks between words.
pub fn text(draws: impl Iterator<Item = u64>) -> String {
    let mut text = String::new();
    let mut begins = true;
    for draw in draws {
        if !text.is_empty() {
            text.push(' ');
        }
        // The upper half of a draw chooses the word, the lower the rest.
        if draw % 24 == 0 {
            // Writing to a string cannot fail.
            let _ = write!(text, "{}", (draw >> 8) % 5000);
        } else {
            push(&mut text, word(draw >> 32), begins);
        }
        let mark = (draw >> 24) % 48;
        begins = mark < 4;
        text.push_str(match mark {
            0..4 => ".",
            4..7 => ",",
            _ => "",
        });
    }
    text
}

fn word(upper: u64) -> &'static str {
    let Vocabulary { words, sums } = &*VOCABULARY;
    let total = u128::from(*sums.last().unwrap_or(&0));
    let drawn = ((u128::from(upper) * total) >> 32) as u64;
    &words[sums.partition_point(|sum| *sum <= drawn)]
}

fn push(text: &mut String, word: &str, capital: bool) {
    let from = text.len();
    text.push_str(word);
    if capital {
        text[from..from + 1].make_ascii_uppercase();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_word_is_there_once_and_frequent_by_its_rank() {
        let Vocabulary { words, sums } = &*VOCABULARY;
        let unlike: HashSet<&String> = words.iter().collect();
        assert!(unlike.len() > words.len() * 99 / 100, "{} of {}", unlike.len(), words.len());
        assert_eq!(words.len(), sums.len());
        assert_eq!(word(0), "the");
        assert_eq!(word(u64::from(u32::MAX)), words.last().unwrap());
    }

    #[test]
    fn the_same_draws_give_the_same_text() {
        assert_eq!(text([u64::from(u32::MAX), 25].into_iter()), text([u64::from(u32::MAX), 25].into_iter()));
        assert_eq!(text([25 << 24 | 1, 5 << 24 | 5].into_iter()), "The the,");
    }
}
