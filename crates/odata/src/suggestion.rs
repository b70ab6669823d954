//! Suggestions ("did you mean"): the nearest of some names, by edit distance.

/// Returns the candidate nearest to `name` if it is near enough to be a typing error: a third of its length, at least
/// one edit. Case is ignored. The work is bounded: names longer than 64 bytes have no suggestion.
pub fn nearest_name<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.is_empty() || name.len() > 64 {
        return None;
    }
    let wanted: Vec<char> = name.to_lowercase().chars().collect();
    let allowed = (wanted.len() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 128)
        .map(|candidate| {
            (distance(&wanted, &candidate.to_lowercase().chars().collect::<Vec<_>>()), candidate)
        })
        .filter(|(far, candidate)| *far <= allowed && *far < candidate.len())
        .min_by_key(|(far, _)| *far)
        .map(|(_, candidate)| candidate)
}

/// Returns `; did you mean '…'?`, or an empty text.
pub(crate) fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest_name(name, candidates).map_or_else(String::new, |near| format!("; did you mean '{near}'?"))
}

/// Returns the edit distance (insert, delete, replace, swap of neighbours).
fn distance(left: &[char], right: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for (i, &l) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, &r) in right.iter().enumerate() {
            let mut best = (above[j] + usize::from(l != r)).min(above[j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && l == right[j - 1] && left[i - 1] == r {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[right.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest_name;

    #[test]
    fn a_slip_finds_its_neighbour_and_a_stranger_none() {
        let names = ["contains", "startswith", "endswith", "concat", "tolower"];
        for (name, expected) in [
            ("contians", Some("contains")),
            ("startWith", Some("startswith")),
            ("endwith", Some("endswith")),
            ("lower", None),
            ("frobnicate", None),
            ("", None),
        ] {
            assert_eq!(nearest_name(name, names), expected, "{name}");
        }
    }
}
