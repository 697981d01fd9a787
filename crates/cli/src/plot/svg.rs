//! The frame of every picture: title, legend, background; and the SVG text of shapes and words.

use std::fmt::Write;

/// Space around everything.
const MARGIN: f64 = 28.0;
/// Height of title and subtitle.
const HEAD: f64 = 64.0;
/// Height of one line of the legend.
const LEGEND_LINE: f64 = 22.0;
/// No picture is narrower, so that titles and legends have room.
const MIN_WIDTH: f64 = 560.0;

/// Text.
pub const INK: &str = "#1f2937";
/// Text of less weight.
pub const MUTED: &str = "#6b7280";
/// Lines that are only there for the eye.
pub const FAINT: &str = "#e5e7eb";
/// What is broken, missing or dead.
pub const RED: &str = "#dc2626";
/// Nodes, and the links that hold the overlay together.
pub const BLUE: &str = "#2563eb";
/// Kinds of other links, in the order in which they appear.
pub const PALETTE: [&str; 6] = ["#7c3aed", "#d97706", "#059669", "#db2777", "#0891b2", "#64748b"];

const STYLE: &str = "text{font-family:ui-sans-serif,system-ui,'Segoe UI',Roboto,'Helvetica Neue',Arial,\
sans-serif}.halo{paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}";

/// What an entry of the legend shows before its words.
#[derive(Debug, Clone, PartialEq)]
pub enum Symbol {
    /// A node: fill and outline.
    Dot(&'static str, &'static str),
    /// A dead node.
    Cross,
    /// A link: colour, width, dashed or not.
    Line(&'static str, f64, bool),
}

/// An entry of the legend.
pub type Entry = (Symbol, String);

/// A picture in the making.
#[derive(Debug, Default)]
pub struct Frame {
    /// What it shows.
    pub title: String,
    /// The figures, below the title.
    pub subtitle: String,
    /// What its colours mean.
    pub legend: Vec<Entry>,
    /// Room for the shapes, from (0, 0).
    pub width: f64,
    /// See `width`.
    pub height: f64,
    /// The shapes.
    pub body: String,
}

impl Frame {
    /// The whole SVG file.
    pub fn finish(self) -> String {
        let inner = self.width.max(MIN_WIDTH).max(text_width(&self.title, 22.0));
        let subtitle = wrapped(&self.subtitle, inner, 13.0);
        let lines = self.legend_lines(inner);
        let body_top = MARGIN + HEAD + (subtitle.len().max(1) - 1) as f64 * 18.0;
        let legend_top = body_top + self.height + 18.0;
        let width = (inner + 2.0 * MARGIN).ceil();
        let height = (legend_top + lines.len() as f64 * LEGEND_LINE + MARGIN - 6.0).ceil();
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{}</title>\n<desc>{}</desc>\n\
             <style>{STYLE}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
            escape(&self.title),
            escape(&self.subtitle),
        );
        label(&mut text, MARGIN, MARGIN + 20.0, &self.title, 22.0, "font-weight=\"600\" fill=\"#111827\"");
        for (index, line) in subtitle.iter().enumerate() {
            let y = MARGIN + 42.0 + index as f64 * 18.0;
            label(&mut text, MARGIN, y, line, 13.0, &format!("fill=\"{MUTED}\""));
        }
        let left = MARGIN + (inner - self.width) / 2.0;
        let _ = writeln!(text, "<g transform=\"translate({} {})\">", number(left), number(body_top));
        text.push_str(&self.body);
        text.push_str("</g>\n<g class=\"legend\">\n");
        for (index, line) in lines.iter().enumerate() {
            let y = legend_top + (index as f64 + 0.5) * LEGEND_LINE;
            for (x, (symbol, words)) in line {
                symbol.draw(&mut text, MARGIN + x, y);
                let fill = format!("fill=\"{INK}\"");
                label(&mut text, MARGIN + x + 32.0, y + 4.0, words, 12.0, &fill);
            }
        }
        text.push_str("</g>\n</svg>\n");
        text
    }

    /// The entries in lines, each with its place from the left.
    fn legend_lines(&self, width: f64) -> Vec<Vec<(f64, &Entry)>> {
        let mut lines: Vec<Vec<(f64, &Entry)>> = Vec::new();
        let mut x = f64::INFINITY;
        for entry in &self.legend {
            let own = 32.0 + text_width(&entry.1, 12.0) + 24.0;
            if x + own > width + 24.0 {
                lines.push(Vec::new());
                x = 0.0;
            }
            if let Some(line) = lines.last_mut() {
                line.push((x, entry));
            }
            x += own;
        }
        lines
    }
}

impl Symbol {
    fn draw(&self, out: &mut String, x: f64, y: f64) {
        match self {
            Symbol::Dot(fill, outline) => {
                let look = format!("fill=\"{fill}\" stroke=\"{outline}\" stroke-width=\"1.5\"");
                circle(out, x + 13.0, y, 5.0, &look, None);
            }
            Symbol::Cross => cross(out, x + 13.0, y, 5.0, None),
            Symbol::Line(colour, width, dashed) => {
                let dash = if *dashed { " stroke-dasharray=\"5 3\"" } else { "" };
                let look = format!("stroke=\"{colour}\" stroke-width=\"{width}\"{dash}");
                let path = format!("M{} {}h26", number(x), number(y));
                shape(out, &path, &look, None);
            }
        }
    }
}

/// A path without filling; `hint` shows under the pointer.
pub fn shape(out: &mut String, path: &str, look: &str, hint: Option<&str>) {
    let _ = match hint {
        Some(hint) => {
            writeln!(out, "<path d=\"{path}\" fill=\"none\" {look}><title>{}</title></path>", escape(hint))
        }
        None => writeln!(out, "<path d=\"{path}\" fill=\"none\" {look}/>"),
    };
}

/// A circle.
pub fn circle(out: &mut String, x: f64, y: f64, r: f64, look: &str, hint: Option<&str>) {
    let (x, y, r) = (number(x), number(y), number(r));
    let _ = match hint {
        Some(hint) => writeln!(
            out,
            "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" {look}><title>{}</title></circle>",
            escape(hint)
        ),
        None => writeln!(out, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{r}\" {look}/>"),
    };
}

/// A dead node.
pub fn cross(out: &mut String, x: f64, y: f64, r: f64, hint: Option<&str>) {
    let look = format!("class=\"dead\" fill=\"#fff\" stroke=\"{RED}\" stroke-width=\"1.5\"");
    circle(out, x, y, r, &look, hint);
    let a = r * 0.45;
    let path = format!("M{} {}l{d} {d}m0 -{d}l-{d} {d}", number(x - a), number(y - a), d = number(2.0 * a));
    shape(out, &path, &format!("stroke=\"{RED}\" stroke-width=\"1.5\" pointer-events=\"none\""), None);
}

/// Words at a place; `look` has their attributes.
pub fn label(out: &mut String, x: f64, y: f64, words: &str, size: f64, look: &str) {
    let (x, y, size) = (number(x), number(y), number(size));
    let _ = writeln!(out, "<text x=\"{x}\" y=\"{y}\" font-size=\"{size}\" {look}>{}</text>", escape(words));
}

/// Words with less important ones after them.
pub fn label_with_note(out: &mut String, place: &str, words: &str, note: &str, size: f64, look: &str) {
    let size = number(size);
    let words = escape(words);
    let note = match note {
        "" => String::new(),
        note => format!("<tspan fill=\"{MUTED}\" font-weight=\"400\" dx=\"4\">{}</tspan>", escape(note)),
    };
    let _ = writeln!(out, "<text {place} font-size=\"{size}\" {look}>{words}{note}</text>");
}

/// A coordinate, short.
pub fn number(value: f64) -> String {
    let rounded = (value * 100.0).round() / 100.0;
    // Never `-0`.
    format!("{}", if rounded == 0.0 { 0.0 } else { rounded })
}

/// Text as XML has it: no markup, and none of the characters it cannot hold.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' | '\t' => out.push(' '),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// About how wide words are; the reader's font is not known.
pub fn text_width(text: &str, size: f64) -> f64 {
    let widths = text.chars().map(|c| match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | '!' => 0.29,
        'f' | 't' | 'r' | ' ' | '(' | ')' | '[' | ']' | '/' | '-' | '"' => 0.37,
        'm' | 'w' | 'M' | 'W' | '@' | '%' => 0.92,
        'A'..='Z' => 0.68,
        c if c.is_ascii() => 0.57,
        c if (c as u32) < 0x1100 => 0.65,
        _ => 1.05,
    });
    widths.sum::<f64>() * size
}

/// Words cut to so many characters.
pub fn shortened(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let kept: String = text.chars().take(characters.saturating_sub(1)).collect();
    format!("{}…", kept.trim_end())
}

/// Text in lines that fit.
fn wrapped(text: &str, width: f64, size: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if text_width(&format!("{line} {word}"), size) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_escaped() {
        assert_eq!(escape("a<b & \"c\"\u{1}\n"), "a&lt;b &amp; &quot;c&quot;\u{fffd} ");
        assert_eq!(number(-0.001), "0");
        assert_eq!(number(1.006), "1.01");
    }

    #[test]
    fn words_are_cut_and_wrapped() {
        assert_eq!(shortened("abcdef", 4), "abc…");
        assert_eq!(shortened("abcd", 4), "abcd");
        let lines = wrapped("one two three", text_width("one two", 13.0) + 1.0, 13.0);
        assert_eq!(lines, ["one two", "three"]);
    }

    #[test]
    fn the_legend_stays_within_the_picture() {
        let legend = (0..9).map(|n| (Symbol::Cross, format!("entry number {n}"))).collect();
        let frame = Frame { legend, ..Frame::default() };
        let lines = frame.legend_lines(MIN_WIDTH);
        assert!(lines.len() > 1);
        for (x, entry) in lines.iter().flatten() {
            assert!(x + 32.0 + text_width(&entry.1, 12.0) <= MIN_WIDTH);
        }
    }
}
