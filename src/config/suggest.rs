//! "Did you mean": the nearest of the words that would have been right.

/// The candidate that takes the fewest single-letter edits to become `word`, if it is near enough
/// to be what was meant.
pub fn nearest<'c>(word: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let edits_max = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (edits(word, candidate), candidate))
        .filter(|(edits, candidate)| *edits <= edits_max && *edits < candidate.chars().count())
        // Of two that are as near, always the same one.
        .min()
        .map(|(_, candidate)| candidate)
}

/// Whether one slip of the finger makes one word of the other.
pub(super) fn is_near(left: &str, right: &str) -> bool {
    edits(left, right) <= 1
}

/// Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment).
fn edits(left: &str, right: &str) -> usize {
    let left: Vec<char> = left.chars().flat_map(char::to_lowercase).take(LETTERS_MAX).collect();
    let right: Vec<char> = right.chars().flat_map(char::to_lowercase).take(LETTERS_MAX).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    for i in 1..=left.len() {
        let mut row = vec![i];
        for j in 1..=right.len() {
            let same = usize::from(left[i - 1] != right[j - 1]);
            let mut best = (above[j] + 1).min(row[j - 1] + 1).min(above[j - 1] + same);
            let swapped =
                i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1];
            if swapped {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above[right.len()]
}

/// Words longer than this are compared by their beginnings.
const LETTERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(word: &str, expected: Option<&str>) {
        let known = ["weight", "address", "port", "tls", "listeners", "pool"];
        assert_eq!(nearest(word, known), expected, "{word}");
    }

    #[test]
    fn near_enough() {
        check("weigth", Some("weight"));
        check("Weight", Some("weight"));
        check("listener", Some("listeners"));
        check("tsl", Some("tls"));
        check("pol", Some("pool"));
        check("x", None);
        check("banana", None);
        check("", None);
    }
}
