//! How a log line of a job is written. Pure.

use anstyle::{AnsiColor, Style};
use splay_protocol::api::LogLine;

use super::times::clock_of_line;

/// Colours of instances, in turn.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Green,
    AnsiColor::Yellow,
    AnsiColor::Blue,
    AnsiColor::Magenta,
    AnsiColor::BrightBlack,
];

/// How lines are written.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Digits of the highest position.
    pub width: usize,
    /// When the job started, where it has; times count from there.
    pub started_at: Option<f64>,
    /// Whether times are those of the clock.
    pub clock: bool,
    /// Whether colours are shown.
    pub coloured: bool,
    /// As JSON.
    pub json: bool,
}

impl Layout {
    /// `[ 7]    1.234 text`, as `splay run` writes it, with its newline.
    pub fn line(&self, line: &LogLine) -> String {
        if self.json {
            return serde_json::to_string(line).expect("a line is JSON") + "\n";
        }
        let who = match line.position {
            0 => format!("[{:>width$}]", "-", width = self.width),
            position => format!("[{position:>width$}]", width = self.width),
        };
        let when = match self.started_at {
            Some(start) if !self.clock => format!("{:8.3}", line.at_us as f64 / 1e6 - start),
            _ => clock_of_line(line.at_us),
        };
        // Control characters but tabs could do anything to a terminal.
        let shown = |c: char| if c.is_control() && c != '\t' && self.coloured { ' ' } else { c };
        let text: String = line.text.chars().map(shown).collect();
        if !self.coloured {
            return format!("{who} {when} {text}\n");
        }
        let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
        let instance = colour(COLOURS[line.position as usize % COLOURS.len()]);
        let dimmed = Style::new().dimmed();
        let tone = match line.kind.as_str() {
            "err" | "error" => colour(AnsiColor::Red),
            "warning" => colour(AnsiColor::Yellow),
            "debug" | "system" => dimmed,
            _ => Style::new(),
        };
        format!("{instance}{who}{instance:#} {dimmed}{when}{dimmed:#} {tone}{text}{tone:#}\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_look_as_those_of_a_run() {
        let line =
            LogLine { at_us: 12_500_000, position: 7, number: 1, kind: "out".into(), text: "hi".into() };
        let mut layout =
            Layout { width: 2, started_at: Some(11.0), clock: false, coloured: false, json: false };
        assert_eq!(layout.line(&line), "[ 7]    1.500 hi\n");
        assert_eq!(layout.line(&LogLine { position: 0, ..line.clone() }), "[ -]    1.500 hi\n");
        layout.coloured = true;
        assert!(!layout.line(&LogLine { text: "a\x1b[2Jb".into(), ..line.clone() }).contains("\x1b[2J"));
        layout.json = true;
        assert!(layout.line(&line).starts_with("{\"at_us\":12500000,"));
    }
}
