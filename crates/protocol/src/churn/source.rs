//! What is wrong with a text of the user's, and where.

use std::fmt;

/// Something wrong at a place of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceError {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// How many characters are meant, at least 1.
    pub length: u32,
    /// What is wrong.
    pub message: String,
    /// The line itself.
    pub text: String,
}

impl SourceError {
    /// At the bytes `from..to` of a line.
    pub(super) fn at(line: u32, text: &str, from: usize, to: usize, message: impl Into<String>) -> Self {
        let before = text.get(..from).unwrap_or(text);
        let meant = text.get(from..to).unwrap_or("");
        SourceError {
            line,
            column: before.chars().count() as u32 + 1,
            length: (meant.chars().count() as u32).max(1),
            message: message.into(),
            text: text.to_owned(),
        }
    }

    /// The line with a mark under what is meant:
    ///
    /// ```text
    ///   |
    /// 3 | at 5m jion 10
    ///   |       ^^^^
    /// ```
    pub fn excerpt(&self) -> String {
        let number = self.line.to_string();
        let margin = " ".repeat(number.len());
        // A tab is as wide as the terminal likes: one space keeps the mark in its place.
        let shown: String = self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let indent = " ".repeat(self.column as usize - 1);
        let mark = "^".repeat(self.length as usize);
        format!("{margin} |\n{number} | {}\n{margin} | {indent}{mark}", shown.trim_end())
    }
}

impl fmt::Display for SourceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for SourceError {}

/// The lines of a text, comments replaced by as many spaces, so that places stay what they are.
/// `#` and `//` go to the end of the line, `/* */` may span several.
pub(super) fn without_comments(text: &str) -> Result<Vec<String>, SourceError> {
    let mut lines = Vec::new();
    // Where the comment that is open began.
    let mut open: Option<(usize, usize)> = None;
    let originals: Vec<&str> = text.lines().collect();
    for (index, line) in originals.iter().enumerate() {
        let mut kept = String::with_capacity(line.len());
        let mut rest = *line;
        loop {
            if open.is_some() {
                let end = rest.find("*/").map(|at| at + 2);
                kept.push_str(&" ".repeat(end.unwrap_or(rest.len())));
                let Some(end) = end else { break };
                open = None;
                rest = &rest[end..];
            }
            let begin = ["#", "//", "/*"].iter().filter_map(|mark| rest.find(mark)).min();
            let Some(begin) = begin else {
                kept.push_str(rest);
                break;
            };
            kept.push_str(&rest[..begin]);
            rest = &rest[begin..];
            if !rest.starts_with("/*") {
                kept.push_str(&" ".repeat(rest.len()));
                break;
            }
            open = Some((index, line.len() - rest.len()));
            kept.push_str("  ");
            rest = &rest[2..];
        }
        lines.push(kept);
    }
    match open {
        None => Ok(lines),
        Some((index, at)) => {
            let message = "this comment is never closed: `*/` is missing";
            Err(SourceError::at(index as u32 + 1, originals[index], at, at + 2, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_become_spaces() {
        let lines = without_comments("a # b\n/* x */ c // d\ne /* f\ng */ h\nä/*é*/ i").unwrap();
        // As many bytes as before: a letter of two becomes two spaces.
        assert_eq!(lines, ["a    ", "        c     ", "e     ", "     h", "ä       i"]);
        let error = without_comments("a\n  /* b").unwrap_err();
        assert_eq!((error.line, error.column), (2, 3));
    }

    #[test]
    fn excerpt_marks_the_place() {
        let error = SourceError::at(12, "\tat 5m jion 10", 7, 11, "what is `jion`?");
        assert_eq!(error.excerpt(), "   |\n12 |  at 5m jion 10\n   |        ^^^^");
        assert_eq!(error.to_string(), "12:8: what is `jion`?");
    }
}
