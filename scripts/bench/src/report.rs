//! Markdown tables, with a target beside each figure where there is one.

use std::fmt::Write as _;

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub enum Target {
    /// No more than this.
    AtMost(f64),
    /// No less than this.
    AtLeast(f64),
    /// Given for comparison.
    None,
}

impl Target {
    /// `✓`, `✗` or nothing.
    pub fn mark(self, value: f64) -> &'static str {
        let met = match self {
            Target::AtMost(limit) => value <= limit,
            Target::AtLeast(limit) => value >= limit,
            Target::None => return "",
        };
        if met { " ✓" } else { " ✗" }
    }

    /// As it stands in a table.
    pub fn text(self, unit: &str) -> String {
        match self {
            Target::AtMost(limit) => format!("≤ {}", figure(limit, unit)),
            Target::AtLeast(limit) => format!("≥ {}", figure(limit, unit)),
            Target::None => String::new(),
        }
    }
}

/// Three significant digits and the unit.
pub fn figure(value: f64, unit: &str) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    let unit = if unit == "us" { "µs" } else { unit };
    format!("{value:.decimals$} {unit}").trim_end().to_owned()
}

/// A table; every row has as many cells as the head.
#[derive(Debug)]
pub struct Table {
    text: String,
    columns: usize,
}

impl Table {
    /// Starts with the titles of the columns.
    pub fn new(head: &[&str]) -> Table {
        let mut table = Table { text: String::new(), columns: head.len() };
        table.row(head.iter().map(|title| (*title).to_owned()));
        table.row(head.iter().map(|_| "---".to_owned()));
        table
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let cells: Vec<String> = cells.into_iter().collect();
        assert_eq!(cells.len(), self.columns, "a row as wide as the head");
        writeln!(self.text, "| {} |", cells.join(" | ")).expect("a string takes everything");
    }

    /// The Markdown.
    pub fn text(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        assert_eq!(figure(1234.5, "us"), "1234 µs");
        assert_eq!(figure(12.345, "ms"), "12.3 ms");
        assert_eq!(figure(0.456, ""), "0.46");
    }

    #[test]
    fn targets_are_judged() {
        assert_eq!(Target::AtMost(2.0).mark(2.0), " ✓");
        assert_eq!(Target::AtMost(2.0).mark(2.1), " ✗");
        assert_eq!(Target::AtLeast(2.0).mark(2.1), " ✓");
        assert_eq!(Target::None.mark(2.1), "");
    }
}
