//! The ring in lines and colours.

use std::f64::consts::TAU;
use std::fmt::Write;

use super::places::short;
use super::{Chord, Ring};
use crate::plot::labels::{spread, spread_around};
use crate::plot::overlay::{Overlay, count};
use crate::plot::svg::{
    BLUE, Entry, FAINT, Frame, INK, MUTED, PALETTE, RED, Symbol, circle, cross, label, label_with_note,
    number, shape, shortened, text_width,
};

/// Up to so many nodes, words are level, in two columns that follow the circle; beyond, they stand
/// like spokes.
const LEVEL_LABELS: usize = 40;
/// The circle's radius grows with the number of nodes, within these bounds.
const RADIUS: (f64, f64) = (190.0, 520.0);
/// From the circle to the words.
const REACH: f64 = 24.0;

/// Sizes that follow from the number of nodes.
pub struct Picture<'a> {
    ring: &'a Ring<'a>,
    overlay: &'a Overlay,
    radius: f64,
    node_radius: f64,
    font: f64,
    /// From one label to the next.
    gap: f64,
    /// Room for words around the circle.
    margin: f64,
}

impl<'a> Picture<'a> {
    pub fn new(ring: &'a Ring<'a>, overlay: &'a Overlay) -> Picture<'a> {
        let n = ring.spots.len().max(1) as f64;
        let font = if n <= 40.0 { 13.0 } else { f64::clamp(12.5 - n / 50.0, 8.5, 12.0) };
        let gap = font * 1.25;
        let radius = f64::clamp((n * gap * 1.1 / TAU - REACH).max(150.0 + n * 2.6), RADIUS.0, RADIUS.1);
        let node_radius = f64::clamp(radius * TAU / n * 0.22, 2.4, 8.0);
        let mut picture = Picture { ring, overlay, radius, node_radius, font, gap, margin: 0.0 };
        let widest = (0..ring.spots.len()).map(|spot| picture.label_width(spot)).fold(0.0, f64::max);
        picture.margin = REACH + widest + 10.0;
        picture
    }

    pub fn draw(&self) -> String {
        let side = 2.0 * (self.radius + self.margin);
        let mut body = String::new();
        let _ = writeln!(body, "<g transform=\"translate({c} {c})\">", c = number(side / 2.0));
        circle(
            &mut body,
            0.0,
            0.0,
            self.radius,
            &format!("fill=\"none\" stroke=\"{FAINT}\" stroke-width=\"3\""),
            None,
        );
        self.top_mark(&mut body);
        self.draw_chords(&mut body);
        self.draw_arcs(&mut body);
        self.draw_spots(&mut body);
        self.draw_labels(&mut body);
        body.push_str("</g>\n");
        let frame = Frame {
            title: format!(
                "{}: ring of {}",
                self.overlay.app,
                count(self.ring.living, "instance", "instances")
            ),
            subtitle: self.figures(),
            legend: self.legend(),
            width: side,
            height: side,
            body,
        };
        frame.finish()
    }

    /// Place of a part of the way around, clockwise from the top.
    fn point(&self, at: f64, radius: f64) -> (f64, f64) {
        let angle = at * TAU;
        (radius * angle.sin(), -radius * angle.cos())
    }

    /// Where identifiers begin.
    fn top_mark(&self, out: &mut String) {
        let r = self.radius;
        let look = format!("stroke=\"{MUTED}\" stroke-width=\"1.5\"");
        shape(out, &format!("M0 {}v10", number(-r + 8.0)), &look, None);
        let anchor = format!("text-anchor=\"middle\" fill=\"{MUTED}\"");
        label(out, 0.0, -r + 31.0, "0", 11.0, &anchor);
    }

    fn draw_arcs(&self, out: &mut String) {
        let n = self.ring.living;
        if n < 2 {
            return;
        }
        let width = f64::clamp(self.node_radius * 0.55, 2.0, 3.5);
        out.push_str("<g class=\"arcs\" stroke-linecap=\"round\">\n");
        for from in 0..n {
            let to = (from + 1) % n;
            let (a, b) = (self.ring.spots[from].at, self.ring.spots[to].at);
            let kept = self.ring.forward[from];
            let look = match kept {
                true => format!("class=\"next\" stroke=\"{BLUE}\" stroke-width=\"{width}\""),
                false => format!(
                    "class=\"missing\" stroke=\"{RED}\" stroke-width=\"{width}\" stroke-dasharray=\"2 5\""
                ),
            };
            let verb = if kept { "knows" } else { "does not know" };
            let hint = format!("{} {verb} the next, {}", self.ring.name(from), self.ring.name(to));
            shape(out, &self.arc(a, b, self.radius), &look, Some(&hint));
            if self.ring.backward[to] {
                let look = format!(
                    "class=\"previous\" stroke=\"{BLUE}\" stroke-opacity=\"0.4\" stroke-width=\"{}\"",
                    number(width * 0.5)
                );
                let inner = self.radius - self.node_radius - width * 0.5 - 1.0;
                shape(out, &self.arc(a, b, inner), &look, None);
            }
        }
        out.push_str("</g>\n");
    }

    /// Clockwise from one part of the way around to another.
    fn arc(&self, from: f64, to: f64, radius: f64) -> String {
        let ((x, y), (u, v)) = (self.point(from, radius), self.point(to, radius));
        let long = u8::from((to - from).rem_euclid(1.0) > 0.5);
        let r = number(radius);
        format!("M{} {}A{r} {r} 0 {long} 1 {} {}", number(x), number(y), number(u), number(v))
    }

    fn draw_chords(&self, out: &mut String) {
        let count = self.ring.chords.len().max(1) as f64;
        let faint = f64::clamp(70.0 / count, 0.13, 0.6);
        out.push_str("<g class=\"chords\">\n");
        // What is wrong lies on top.
        for bad in [false, true] {
            for chord in self.ring.chords.iter().filter(|chord| self.is_bad(chord) == bad) {
                let (a, b) = (&self.ring.spots[chord.from], &self.ring.spots[chord.to]);
                let look = match bad {
                    true => format!(
                        "class=\"bad\" stroke=\"{RED}\" stroke-width=\"1.3\" stroke-dasharray=\"5 3\" stroke-opacity=\"0.85\""
                    ),
                    false => format!(
                        "stroke=\"{}\" stroke-width=\"1.2\" stroke-opacity=\"{}\"",
                        self.colour(chord.kind),
                        number(faint)
                    ),
                };
                let kind = chord.kind.map_or(String::new(), |kind| format!("{} ", self.ring.kinds[kind]));
                let words = chord.label.as_ref().map_or(String::new(), |words| format!(": {words}"));
                let hint =
                    format!("{kind}{} to {}{words}", self.ring.name(chord.from), self.ring.name(chord.to));
                shape(out, &self.chord(a.at, b.at), &look, Some(&hint));
            }
        }
        for (from, to) in &self.ring.lost {
            let at = self.ring.spots[*from].at;
            let ((x, y), (u, v)) = (self.point(at, self.radius), self.point(at, self.radius - 26.0));
            let path = format!("M{} {}L{} {}", number(x), number(y), number(u), number(v));
            let look =
                format!("class=\"bad\" stroke=\"{RED}\" stroke-width=\"1.3\" stroke-dasharray=\"5 3\"");
            shape(out, &path, &look, None);
            cross(out, u, v, 4.0, Some(&format!("{} knows {to}, which is dead", self.ring.name(*from))));
        }
        out.push_str("</g>\n");
    }

    fn colour(&self, kind: Option<usize>) -> &'static str {
        let unnamed = if self.ring.kinds.is_empty() { 0 } else { PALETTE.len() - 1 };
        PALETTE[kind.map_or(unnamed, |kind| kind % (PALETTE.len() - 1))]
    }

    fn is_bad(&self, chord: &Chord) -> bool {
        chord.wrong || self.ring.spots[chord.to].dead
    }

    /// A curve through the circle: near nodes' curves stay near the rim.
    fn chord(&self, from: f64, to: f64) -> String {
        let ((x, y), (u, v)) = (self.point(from, self.radius), self.point(to, self.radius));
        let apart = (to - from).rem_euclid(1.0);
        let apart = apart.min(1.0 - apart) * 2.0;
        let pull = 0.75 - 0.6 * apart;
        let (cx, cy) = ((x + u) / 2.0 * pull, (y + v) / 2.0 * pull);
        format!("M{} {}Q{} {} {} {}", number(x), number(y), number(cx), number(cy), number(u), number(v))
    }

    fn draw_spots(&self, out: &mut String) {
        out.push_str("<g class=\"nodes\">\n");
        for (index, spot) in self.ring.spots.iter().enumerate() {
            let (x, y) = self.point(spot.at, self.radius);
            let mut hint = self.ring.name(index);
            if let Some(node) = spot.node {
                if let Some(id) = &node.view.id {
                    let _ = write!(hint, ", id {}", full(id));
                }
                if let Some(words) = node.label() {
                    let _ = write!(hint, ": {words}");
                }
            }
            if spot.dead {
                cross(out, x, y, self.node_radius.max(4.5), Some(&format!("{hint} (dead)")));
                continue;
            }
            let fill = if self.in_trouble(index) { RED } else { BLUE };
            let edge = f64::clamp(self.node_radius * 0.25, 0.6, 1.5);
            let look =
                format!("class=\"node\" fill=\"{fill}\" stroke=\"#fff\" stroke-width=\"{}\"", number(edge));
            circle(out, x, y, self.node_radius, &look, Some(&hint));
        }
        out.push_str("</g>\n");
    }

    fn in_trouble(&self, spot: usize) -> bool {
        spot < self.ring.living && self.ring.living > 1 && !self.ring.forward[spot]
    }

    /// The words beside a node, and those of less weight.
    fn words(&self, spot: usize) -> (String, String) {
        let spot = &self.ring.spots[spot];
        let (few, room) =
            (self.ring.spots.len() <= LEVEL_LABELS, if self.ring.spots.len() <= 120 { 26 } else { 14 });
        match spot.node {
            None => (spot.address.clone(), String::new()),
            Some(node) => {
                let note = match (node.label(), &node.view.id) {
                    (Some(label), _) => shortened(label, room),
                    (None, Some(id)) if few => short(id),
                    _ => String::new(),
                };
                (node.instance.to_string(), note)
            }
        }
    }

    fn label_width(&self, spot: usize) -> f64 {
        let (words, note) = self.words(spot);
        let note = if note.is_empty() { 0.0 } else { 4.0 + text_width(&note, self.font) };
        text_width(&words, self.font) * 1.08 + note
    }

    fn draw_labels(&self, out: &mut String) {
        out.push_str("<g class=\"labels\">\n");
        if self.ring.spots.len() <= LEVEL_LABELS {
            self.level_labels(out)
        } else {
            self.spokes(out)
        }
        out.push_str("</g>\n");
    }

    fn level_labels(&self, out: &mut String) {
        let reach = self.radius + REACH;
        for side in [1.0, -1.0] {
            let mut column: Vec<usize> = (0..self.ring.spots.len())
                .filter(|&spot| (self.ring.spots[spot].at < 0.5) == (side > 0.0))
                .collect();
            let y_of = |spot: usize| self.point(self.ring.spots[spot].at, reach).1;
            column.sort_by(|&a, &b| y_of(a).total_cmp(&y_of(b)));
            let wanted: Vec<f64> = column.iter().map(|&spot| y_of(spot)).collect();
            for (&spot, y) in column.iter().zip(spread(&wanted, self.gap)) {
                let x = side * f64::max(8.0, (reach * reach - y * y).max(0.0).sqrt());
                let at = self.ring.spots[spot].at;
                let (from, to) = (self.point(at, self.radius + self.node_radius), (x - side * 4.0, y));
                self.leader(out, from, to);
                let anchor = if side > 0.0 { "start" } else { "end" };
                let place = format!(
                    "x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\"",
                    number(x),
                    number(y + self.font * 0.35)
                );
                self.write(out, spot, &place);
            }
        }
    }

    fn spokes(&self, out: &mut String) {
        let reach = self.radius + REACH;
        let around = reach * TAU;
        let room = (around / self.gap) as usize;
        let mut all: Vec<usize> = (0..self.ring.spots.len()).collect();
        all.sort_by(|&a, &b| self.ring.spots[a].at.total_cmp(&self.ring.spots[b].at));
        // Thinned out evenly, but whoever is in trouble or dead is named as long as there is room.
        let special = |spot: usize| self.ring.spots[spot].dead || self.in_trouble(spot);
        let important = all.iter().filter(|&&spot| special(spot)).count();
        let others = (all.len() - important).max(1);
        let left = room.saturating_sub(important);
        let every = if left == 0 { usize::MAX } else { others.div_ceil(left) };
        let (mut ordinary, mut named) = (0, 0);
        all.retain(|&spot| {
            if special(spot) {
                named += 1;
                return named <= room;
            }
            ordinary += 1;
            (ordinary - 1) % every == 0 && left > 0
        });
        let wanted: Vec<f64> = all.iter().map(|&spot| self.ring.spots[spot].at * around).collect();
        for (&spot, place) in all.iter().zip(spread_around(&wanted, self.gap, around)) {
            let at = (place / around).rem_euclid(1.0);
            let from = self.point(self.ring.spots[spot].at, self.radius + self.node_radius);
            self.leader(out, from, self.point(at, reach - 4.0));
            let (x, y) = self.point(at, reach);
            let degrees = at * 360.0 - 90.0;
            let (anchor, turn) = if at < 0.5 { ("start", degrees) } else { ("end", degrees + 180.0) };
            let place = format!(
                "transform=\"translate({} {}) rotate({})\" dy=\"0.35em\" text-anchor=\"{anchor}\"",
                number(x),
                number(y),
                number(turn)
            );
            self.write(out, spot, &place);
        }
    }

    fn leader(&self, out: &mut String, (x, y): (f64, f64), (u, v): (f64, f64)) {
        let path = format!("M{} {}L{} {}", number(x), number(y), number(u), number(v));
        shape(out, &path, "stroke=\"#cbd5e1\" stroke-width=\"0.8\"", None);
    }

    fn write(&self, out: &mut String, spot: usize, place: &str) {
        let (words, note) = self.words(spot);
        let fill = if self.ring.spots[spot].dead || self.in_trouble(spot) { RED } else { INK };
        let look = format!("font-weight=\"600\" fill=\"{fill}\"");
        label_with_note(out, place, &words, &note, self.font, &look);
    }

    fn figures(&self) -> String {
        let ring = self.ring;
        let mut parts = Vec::new();
        if ring.living > 1 {
            let right = ring.living - ring.broken();
            parts.push(format!("{right} of {} know the next on the ring", ring.living));
        }
        let good = ring.chords.iter().filter(|chord| !self.is_bad(chord)).count();
        if good > 0 {
            parts.push(count(good, "other link", "other links"));
        }
        parts.extend(self.overlay.absent());
        if ring.unplaced > 0 {
            parts.push(format!("{} without an identifier", ring.unplaced));
        }
        parts.join(" · ")
    }

    fn legend(&self) -> Vec<Entry> {
        let ring = self.ring;
        let mut entries =
            vec![(Symbol::Dot(BLUE, "#fff"), "instance, at its identifier (clockwise from 0)".to_owned())];
        if ring.forward.contains(&true) {
            entries.push((Symbol::Line(BLUE, 3.0, false), "knows the next".to_owned()));
        }
        if ring.broken() > 0 {
            let text = format!("does not know the next ({})", ring.broken());
            entries.push((Symbol::Line(RED, 3.0, true), text));
        }
        if ring.backward.contains(&true) {
            entries.push((Symbol::Line("#a8c1f7", 1.5, false), "knows the previous".to_owned()));
        }
        let kinds: Vec<Option<usize>> =
            std::iter::once(None).chain((0..ring.kinds.len()).map(Some)).collect();
        for kind in kinds {
            let all = ring.chords.iter().filter(|chord| chord.kind == kind && !self.is_bad(chord)).count();
            if all > 0 {
                let name = kind.map_or("other link", |kind| ring.kinds[kind].as_str());
                entries.push((Symbol::Line(self.colour(kind), 1.6, false), format!("{name} ({all})")));
            }
        }
        let wrong = ring.chords.iter().filter(|chord| chord.wrong && !ring.spots[chord.to].dead).count();
        if wrong > 0 {
            entries.push((Symbol::Line(RED, 1.3, true), format!("wrong neighbour ({wrong})")));
        }
        let dead = ring.chords.iter().filter(|chord| ring.spots[chord.to].dead).count() + ring.lost.len();
        if dead > 0 {
            entries
                .push((Symbol::Cross, format!("dead node, still known ({})", count(dead, "link", "links"))));
        }
        entries
    }
}

/// An identifier as the program has it.
fn full(id: &splay_runtime::view::Place) -> String {
    match id {
        splay_runtime::view::Place::Number(value) => format!("{value}"),
        splay_runtime::view::Place::Digits(text) => text.clone(),
    }
}
