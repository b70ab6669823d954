//! Text that compresses like prose, unlike a few sentences that repeat: words with the frequencies of a language, in
//! sentences without meaning. The comparison with real prose is in docs/performance.md, "Disk".

use std::sync::LazyLock;

use super::random::SeededRandom;

/// English words, approximately ordered by their frequency in notes.
static VOCABULARY: LazyLock<Vec<&str>> =
    LazyLock::new(|| include_str!("vocabulary.txt").split_whitespace().collect());

/// The cumulative weights of the words. The frequency of a word falls with its rank (Zipf's law, with Mandelbrot's
/// shift).
static WEIGHTS: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let weight = |place: usize| 10_000_000_000 / (27 + 10 * place as u64);
    (0..VOCABULARY.len())
        .scan(0, |sum, place| {
            *sum += weight(place);
            Some(*sum)
        })
        .collect()
});

fn word(random: &mut SeededRandom) -> &'static str {
    let all = WEIGHTS.last().copied().unwrap_or(1);
    let drawn = random.below(all as usize) as u64;
    VOCABULARY.get(WEIGHTS.partition_point(|sum| *sum <= drawn)).copied().unwrap_or_default()
}

/// Returns a text with the given number of words, in sentences.
pub fn text(words: i64, random: &mut SeededRandom) -> String {
    let mut text = String::with_capacity(words as usize * 7);
    let mut left = 0;
    for place in 0..words {
        if left == 0 {
            text.push_str(if place == 0 { "" } else { ". " });
            left = random.between(5, 18);
            let word = word(random);
            let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
            text.push_str(&first.to_uppercase());
            text.push_str(rest);
        } else {
            text.push_str(if random.one_in(16) { ", " } else { " " });
            text.push_str(word(random));
        }
        left -= 1;
    }
    text.push('.');
    text
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn words_are_of_many_and_the_frequent_ones_come_often() {
        let text = text(20_000, &mut SeededRandom::new(1, 3)).to_lowercase();
        let words: Vec<&str> = text.split(' ').map(|word| word.trim_end_matches([',', '.'])).collect();
        assert_eq!(words.len(), 20_000);
        let different: HashSet<&str> = words.iter().copied().collect();
        assert!(different.len() > 1000, "{}", different.len());
        let articles = words.iter().filter(|word| **word == "the").count();
        assert!((600..1500).contains(&articles), "{articles}");
    }
}
