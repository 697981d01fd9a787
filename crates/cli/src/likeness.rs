//! How alike two names are, for "did you mean".

/// Letters to add, leave out, replace or swap with their neighbour to get from one to the other.
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// The candidate most like a name, if one is like it: a letter in three may differ. Of equals the
/// first in the alphabet.
pub fn likest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let most = (name.chars().count() / 3).max(1);
    candidates
        // A name of one letter is like every other.
        .filter(|candidate| *candidate != name && candidate.chars().count() > 1 && name.chars().count() > 1)
        .map(|candidate| (distance(&name.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("wait", "wait", 0), ("wiat", "wait", 1), ("", "abc", 3), ("slep", "sleep", 1), ("ab", "xy", 2)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn likest_is_near_or_none() {
        let names = ["sleep", "wait", "fire", "x"];
        assert_eq!(likest("slepe", names.into_iter()), Some("sleep"));
        assert_eq!(likest("y", names.into_iter()), None);
        assert_eq!(likest("periodic", names.into_iter()), None);
    }
}
