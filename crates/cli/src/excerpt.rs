//! A line of a source as messages show it: with its number, in a margin.

/// Longest line shown whole: a longer one (generated code) would bury the message.
const WIDTH: usize = 160;

/// A source line for one line of a terminal: no line end, tabs as two blanks, not too long.
pub fn on_one_line(line: &str) -> String {
    line.trim_end().replace('\t', "  ").chars().take(WIDTH).collect()
}

/// ```text
///    |
///  7 |   local = 2
///    |         ^
/// ```
/// with a caret where a column (from 1, in characters) is given.
pub fn excerpt(number: usize, line: &str, column: Option<usize>) -> String {
    let text = on_one_line(line);
    let number = number.to_string();
    let margin = " ".repeat(number.len());
    let below = match column {
        Some(column) => {
            let before = line.chars().take(column.saturating_sub(1));
            let width: usize = before.map(|c| if c == '\t' { 2 } else { 1 }).sum();
            match width <= WIDTH {
                true => format!(" {}^", " ".repeat(width)),
                false => String::new(),
            }
        }
        None => String::new(),
    };
    format!(" {margin} |\n {number} | {text}\n {margin} |{below}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_below_its_column() {
        assert_eq!(excerpt(7, "\tx = é + y\r", Some(8)), "   |\n 7 |   x = é + y\n   |         ^\n");
        assert_eq!(excerpt(12, "  x", None), "    |\n 12 |   x\n    |\n");
    }

    #[test]
    fn long_lines_are_cut() {
        let line = "x".repeat(1000);
        assert_eq!(excerpt(1, &line, Some(900)).lines().map(str::len).max(), Some(WIDTH + 5));
    }
}
