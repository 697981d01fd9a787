//! Tables for people. Pure.

use std::fmt;

/// Rows under a heading; every column as wide as it needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    heading: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Without rows. A heading that begins with `>` is of a column of figures.
    pub fn new(heading: &[&'static str]) -> Table {
        Table { heading: heading.to_vec(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row<const N: usize>(&mut self, cells: [String; N]) {
        debug_assert_eq!(N, self.heading.len());
        self.rows.push(cells.into());
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |heading: &&'static str| heading.trim_start_matches('>').to_owned();
        let heading: Vec<String> = self.heading.iter().map(name).collect();
        let width = |column: usize| {
            let cells = self.rows.iter().map(|row| &row[column]);
            cells.chain([&heading[column]]).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..heading.len()).map(width).collect();
        for row in std::iter::once(&heading).chain(&self.rows) {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                // A control character of somebody's name must not reach the terminal.
                let cell: String = cell.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                let width = widths[column];
                match self.heading[column].starts_with('>') {
                    true => line.push_str(&format!("{cell:>width$}  ")),
                    false => line.push_str(&format!("{cell:<width$}  ")),
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need() {
        let mut table = Table::new(&["NAME", ">SIZE"]);
        table.row(["a\x1b[1m".into(), "10".into()]);
        table.row(["longer name".into(), "3".into()]);
        assert_eq!(table.to_string(), "NAME         SIZE\na [1m          10\nlonger name     3\n");
    }
}
