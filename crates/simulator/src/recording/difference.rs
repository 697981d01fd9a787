//! Finds where two recordings of what should be one run first differ.

use std::io;

use super::Entry;
use crate::network::Time;

/// The first entry in which two runs differ.
#[derive(Debug)]
pub struct Difference {
    /// Its number, from 1.
    pub number: u64,
    /// What the earlier run did; `None`: it had ended.
    pub earlier: Option<Entry>,
    /// What the later run did; `None`: it ended.
    pub later: Option<Entry>,
    /// Why the earlier recording cannot be read any further.
    pub unreadable: Option<io::Error>,
}

/// Compares entries, as they are made, with those of an earlier run.
pub(super) struct Checker {
    earlier: Box<dyn Iterator<Item = io::Result<Entry>>>,
    number: u64,
    difference: Option<Difference>,
}

impl Checker {
    pub(super) fn new(earlier: impl Iterator<Item = io::Result<Entry>> + 'static) -> Checker {
        Checker { earlier: Box::new(earlier), number: 0, difference: None }
    }

    pub(super) fn compare(&mut self, at: Time, kind: u8, instance: u32, parts: &[&[u8]]) {
        if self.difference.is_some() {
            return;
        }
        self.number += 1;
        let (earlier, unreadable) = next(&mut *self.earlier);
        let same = earlier.as_ref().is_some_and(|earlier| {
            (earlier.at, earlier.kind, earlier.instance) == (at, kind, instance)
                && earlier.bytes.iter().eq(parts.iter().copied().flatten())
        });
        if !same {
            let later = Some(Entry { at, kind, instance, bytes: parts.concat() });
            self.difference = Some(Difference { number: self.number, earlier, later, unreadable });
        }
    }

    pub(super) fn difference(&self) -> Option<&Difference> {
        self.difference.as_ref()
    }

    pub(super) fn end(&mut self) -> Option<&Difference> {
        if self.difference.is_none() {
            let (earlier, unreadable) = next(&mut *self.earlier);
            if earlier.is_some() || unreadable.is_some() {
                let number = self.number + 1;
                self.difference = Some(Difference { number, earlier, later: None, unreadable });
            }
        }
        self.difference.as_ref()
    }
}

fn next(entries: &mut dyn Iterator<Item = io::Result<Entry>>) -> (Option<Entry>, Option<io::Error>) {
    match entries.next() {
        Some(Ok(entry)) => (Some(entry), None),
        Some(Err(error)) => (None, Some(error)),
        None => (None, None),
    }
}

/// Where two recordings first differ, and how many entries they have in common.
pub fn between(
    earlier: impl Iterator<Item = io::Result<Entry>> + 'static,
    later: impl Iterator<Item = io::Result<Entry>>,
) -> io::Result<(u64, Option<Difference>)> {
    let mut checker = Checker::new(earlier);
    for entry in later {
        let Entry { at, kind, instance, bytes } = entry?;
        checker.compare(at, kind, instance, &[&bytes]);
        if checker.difference.is_some() {
            break;
        }
    }
    checker.end();
    let common = checker.number - u64::from(checker.difference.as_ref().is_some_and(|d| d.later.is_some()));
    Ok((common, checker.difference))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(outputs: &[&str]) -> Vec<io::Result<Entry>> {
        let entry = |(n, text): (usize, &&str)| {
            Ok(Entry { at: n as u64 * 10, kind: 2, instance: 3, bytes: text.as_bytes().to_vec() })
        };
        outputs.iter().enumerate().map(entry).collect()
    }

    fn find(earlier: &[&str], later: &[&str]) -> (u64, Option<Difference>) {
        between(run(earlier).into_iter(), run(later).into_iter()).unwrap()
    }

    #[test]
    fn the_first_difference_is_found() {
        assert!(matches!(find(&["a", "b"], &["a", "b"]), (2, None)));
        let (common, difference) = find(&["a", "b", "c"], &["a", "x", "c"]);
        let difference = difference.unwrap();
        assert_eq!((common, difference.number), (1, 2));
        assert_eq!(difference.earlier.unwrap().bytes, b"b");
        assert_eq!(difference.later.unwrap(), Entry { at: 10, kind: 2, instance: 3, bytes: b"x".to_vec() });
    }

    #[test]
    fn one_that_ends_early_differs() {
        let (common, difference) = find(&["a", "b"], &["a"]);
        let difference = difference.unwrap();
        assert_eq!((common, difference.number), (1, 2));
        assert!(difference.later.is_none() && difference.earlier.is_some());
        let difference = find(&["a"], &["a", "b"]).1.unwrap();
        assert!(difference.earlier.is_none() && difference.later.is_some());
    }
}
