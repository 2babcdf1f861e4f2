//! The nearest known name, for "did you mean".

/// How many edits a suggestion may be away.
const FARTHEST: usize = 2;

/// The candidate nearest to `value` by edit distance (case ignored), if one is near enough to be a likely typing error.
///
/// `None` when a candidate equals `value`: then the name is not what is wrong. Of several equally near candidates the
/// first wins, so the result depends only on the order given.
///
/// ```
/// assert_eq!(dockerfile_parser::suggest::nearest("chwon", ["chmod", "chown"]), Some("chown"));
/// assert_eq!(dockerfile_parser::suggest::nearest("platform", ["from"]), None);
/// ```
pub fn nearest<'a>(value: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted: Vec<char> = value.chars().flat_map(char::to_lowercase).collect();
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        if candidate == value {
            return None;
        }
        let other: Vec<char> = candidate.chars().flat_map(char::to_lowercase).collect();
        if wanted.len().abs_diff(other.len()) > FARTHEST {
            continue;
        }
        let distance = distance(&wanted, &other);
        // Two edits turn any two-letter word into any other: that is no resemblance.
        if distance <= FARTHEST && distance < wanted.len() && best.is_none_or(|(d, _)| distance < d) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, name)| name)
}

/// Whether one letter too many, too few or another, or two swapped ones, are all that is between two names (case ignored).
pub(crate) fn is_one_edit_away(a: &str, b: &str) -> bool {
    let letters = |text: &str| text.chars().flat_map(char::to_lowercase).collect::<Vec<char>>();
    let (a, b) = (letters(a), letters(b));
    a.len().abs_diff(b.len()) <= 1 && distance(&a, &b) == 1
}

/// Damerau-Levenshtein distance (adjacent letters swapped count once), one row at a time.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_previous: Vec<usize> = Vec::new();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let substitution = previous[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut cost = substitution.min(previous[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                cost = cost.min(before_previous[j - 2] + 1);
            }
            row.push(cost);
        }
        before_previous = std::mem::replace(&mut previous, row);
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{is_one_edit_away, nearest};

    #[test]
    fn one_edit() {
        assert!(is_one_edit_away("buidl", "build") && is_one_edit_away("Biuld", "build"));
        assert!(is_one_edit_away("builds", "build") && is_one_edit_away("bild", "build"));
        assert!(!is_one_edit_away("Build", "build") && !is_one_edit_away("bulids", "build"));
    }

    #[test]
    fn distances() {
        let names = ["from", "chown", "chmod", "link", "parents", "exclude"];
        assert_eq!(nearest("form", names), Some("from"));
        assert_eq!(nearest("CHMOD", names), Some("chmod"));
        assert_eq!(nearest("exlude", names), Some("exclude"));
        assert_eq!(nearest("link", names), None);
        assert_eq!(nearest("xy", names), None);
        assert_eq!(nearest("", names), None);
        assert_eq!(nearest("checksum", names), None);
    }
}
