//! A tree, or several: the root at the left, children in the order of their numbers, each node in
//! the column of its depth. No two edges cross.

mod layout;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::PlotError;
use super::overlay::{Overlay, Shown, address, count, places_of};
use super::svg::{
    BLUE, Entry, Frame, INK, RED, Symbol, circle, cross, label_with_note, number, shape, shortened,
    text_width,
};

/// From one column to the next, besides the words.
const COLUMN_GAP: f64 = 58.0;
/// From a node to its words.
const REACH: f64 = 5.0;
const EDGE: &str = "#94a3b8";

/// A node of the trees.
#[derive(Debug)]
struct Member<'a> {
    /// `None`: known as a parent alone.
    node: Option<&'a Shown>,
    address: String,
    dead: bool,
    parent: Option<usize>,
    children: Vec<usize>,
    /// Its parent is below it: this edge is left out of the tree.
    cycle_to: Option<usize>,
}

/// All trees.
#[derive(Debug)]
struct Forest<'a> {
    members: Vec<Member<'a>>,
    roots: Vec<usize>,
    /// Living instances that declare no parent and are nobody's.
    silent: usize,
}

/// Draws the trees.
pub fn draw(overlay: &Overlay) -> Result<String, PlotError> {
    if !overlay.nodes.iter().any(|node| node.view.parent.is_some()) {
        return Err(PlotError::Undeclared { needed: "`parent`" });
    }
    Ok(Picture::new(&Forest::new(overlay), overlay).draw())
}

impl<'a> Forest<'a> {
    fn new(overlay: &'a Overlay) -> Forest<'a> {
        let mut living = overlay.living();
        let parent_of = |node: &Shown| node.view.parent.clone().flatten().map(|peer| address(&peer));
        let named: BTreeSet<String> = living.iter().filter_map(|node| parent_of(node)).collect();
        let before = living.len();
        living.retain(|node| node.view.parent.is_some() || named.contains(&node.address()));
        let silent = before - living.len();
        living.sort_by_key(|node| node.instance);
        let mut place = places_of(&living);
        let member = |node, address, dead| Member {
            node,
            address,
            dead,
            parent: None,
            children: Vec::new(),
            cycle_to: None,
        };
        let mut members: Vec<Member> =
            living.iter().map(|node| member(Some(*node), node.address(), false)).collect();
        let gone: BTreeMap<String, &Shown> =
            overlay.nodes.iter().filter(|node| node.gone).map(|node| (node.address(), node)).collect();
        for name in named {
            if !place.contains_key(&name) {
                place.insert(name.clone(), members.len());
                members.push(member(gone.get(&name).copied(), name, true));
            }
        }
        for (index, node) in living.iter().enumerate() {
            members[index].parent = parent_of(node).map(|name| place[&name]);
        }
        cut_cycles(&mut members);
        for index in 0..members.len() {
            if let Some(parent) = members[index].parent {
                members[parent].children.push(index);
            }
        }
        let roots = (0..members.len()).filter(|&index| members[index].parent.is_none()).collect();
        Forest { members, roots, silent }
    }

    fn name(&self, index: usize) -> String {
        let member = &self.members[index];
        match member.node {
            Some(node) => format!("instance {}, {}", node.instance, member.address),
            None => member.address.clone(),
        }
    }
}

/// Where parents lead around in a circle, the first node of it becomes a root.
fn cut_cycles(members: &mut [Member]) {
    // 0: not looked at, else the number of the walk that came by.
    let mut walked = vec![0; members.len()];
    for start in 0..members.len() {
        let mut at = start;
        while walked[at] == 0 {
            walked[at] = start + 1;
            match members[at].parent {
                Some(parent) => at = parent,
                None => break,
            }
        }
        if walked[at] == start + 1 && members[at].parent.is_some() {
            let mut first = at;
            let mut next = members[at].parent;
            while let Some(other) = next.filter(|&other| other != at) {
                first = first.min(other);
                next = members[other].parent;
            }
            members[first].cycle_to = members[first].parent.take();
        }
    }
}

struct Picture<'a> {
    forest: &'a Forest<'a>,
    overlay: &'a Overlay,
    places: Vec<layout::Place>,
    /// Left to right, by depth.
    columns: Vec<f64>,
    row: f64,
    font: f64,
    radius: f64,
    width: f64,
    height: f64,
}

impl<'a> Picture<'a> {
    fn new(forest: &'a Forest<'a>, overlay: &'a Overlay) -> Picture<'a> {
        let children: Vec<&[usize]> =
            forest.members.iter().map(|member| member.children.as_slice()).collect();
        let (places, rows) = layout::tidy(&children, &forest.roots);
        let row = match rows {
            few if few <= 45.0 => 20.0,
            some if some <= 120.0 => 15.0,
            many if many <= 260.0 => 11.0,
            _ => 8.0,
        };
        let font = f64::clamp(row * 0.72, 8.5, 12.5);
        let radius = f64::clamp(row * 0.28, 2.4, 5.0);
        let mut picture = Picture {
            forest,
            overlay,
            places,
            columns: Vec::new(),
            row,
            font,
            radius,
            width: 0.0,
            height: rows * row + 2.0 * font,
        };
        picture.place_columns();
        picture
    }

    /// Columns are as far apart as the words between them need.
    fn place_columns(&mut self) {
        let depths = self.places.iter().map(|place| place.depth + 1).max().unwrap_or(0);
        let mut left = vec![0.0f64; depths];
        let mut right = vec![0.0f64; depths];
        for (index, place) in self.places.iter().enumerate() {
            let side = if self.is_leaf(index) { &mut right } else { &mut left };
            side[place.depth] = side[place.depth].max(self.label_width(index) + REACH + self.radius);
        }
        let mut x = left.first().copied().unwrap_or(0.0);
        for depth in 0..depths {
            if depth > 0 {
                x += right[depth - 1] + COLUMN_GAP + left[depth];
            }
            self.columns.push(x);
        }
        self.width = x + right.last().copied().unwrap_or(0.0) + self.radius;
    }

    fn is_leaf(&self, index: usize) -> bool {
        self.forest.members[index].children.is_empty()
    }

    fn at(&self, index: usize) -> (f64, f64) {
        let place = &self.places[index];
        (self.columns[place.depth], place.row * self.row + self.font)
    }

    fn words(&self, index: usize) -> (String, String) {
        let member = &self.forest.members[index];
        match member.node {
            None => (member.address.clone(), String::new()),
            Some(node) => {
                (node.instance.to_string(), node.label().map_or(String::new(), |label| shortened(label, 24)))
            }
        }
    }

    fn label_width(&self, index: usize) -> f64 {
        let (words, note) = self.words(index);
        let note = if note.is_empty() { 0.0 } else { 4.0 + text_width(&note, self.font) };
        text_width(&words, self.font) * 1.08 + note
    }

    fn draw(&self) -> String {
        let mut body = String::new();
        self.draw_edges(&mut body);
        self.draw_members(&mut body);
        self.draw_labels(&mut body);
        let living = self.forest.members.iter().filter(|member| !member.dead).count();
        let what = if self.forest.roots.len() == 1 { "tree" } else { "trees" };
        let frame = Frame {
            title: format!("{}: {what} of {}", self.overlay.app, count(living, "instance", "instances")),
            subtitle: self.figures(),
            legend: self.legend(),
            width: self.width,
            height: self.height,
            body,
        };
        frame.finish()
    }

    fn draw_edges(&self, out: &mut String) {
        out.push_str("<g class=\"edges\">\n");
        for (child, member) in self.forest.members.iter().enumerate() {
            let Some(parent) = member.parent.or(member.cycle_to) else { continue };
            let ((x, y), (u, v)) = (self.at(parent), self.at(child));
            let (x, y, u, v) = (number(x), number(y), number(u), number(v));
            let hint = format!("{} is the parent of {}", self.forest.name(parent), self.forest.name(child));
            if member.cycle_to.is_some() {
                let look =
                    format!("class=\"cycle\" stroke=\"{RED}\" stroke-width=\"1.5\" stroke-dasharray=\"5 3\"");
                let (over, lift) = (
                    number((self.at(parent).0 + self.at(child).0) / 2.0),
                    number(self.at(parent).1 - 3.0 * self.row),
                );
                shape(out, &format!("M{x} {y}Q{over} {lift} {u} {v}"), &look, Some(&hint));
                continue;
            }
            let middle = number(self.at(parent).0 * 0.5 + self.at(child).0 * 0.5);
            let look = match self.forest.members[parent].dead {
                true => {
                    format!("class=\"orphan\" stroke=\"{RED}\" stroke-width=\"1.2\" stroke-dasharray=\"5 3\"")
                }
                false => format!("class=\"edge\" stroke=\"{EDGE}\" stroke-width=\"1.2\""),
            };
            shape(out, &format!("M{x} {y}C{middle} {y} {middle} {v} {u} {v}"), &look, Some(&hint));
        }
        out.push_str("</g>\n");
    }

    fn draw_members(&self, out: &mut String) {
        out.push_str("<g class=\"nodes\">\n");
        for (index, member) in self.forest.members.iter().enumerate() {
            let (x, y) = self.at(index);
            let mut hint = self.forest.name(index);
            if let Some(words) = member.node.and_then(Shown::label) {
                let _ = write!(hint, ": {words}");
            }
            if member.dead {
                cross(out, x, y, self.radius.max(4.5), Some(&format!("{hint} (dead)")));
                continue;
            }
            let (fill, edge) = self.colours(index);
            let look = format!("class=\"node\" fill=\"{fill}\" stroke=\"{edge}\" stroke-width=\"1.4\"");
            let r = if member.parent.is_none() { self.radius * 1.3 } else { self.radius };
            circle(out, x, y, r, &look, Some(&hint));
        }
        out.push_str("</g>\n");
    }

    /// Filling and outline of a living node.
    fn colours(&self, index: usize) -> (&'static str, &'static str) {
        let member = &self.forest.members[index];
        match (member.cycle_to, member.parent) {
            (Some(_), _) => (RED, RED),
            (None, None) => (INK, INK),
            _ if member.children.is_empty() => ("#fff", BLUE),
            _ => (BLUE, BLUE),
        }
    }

    /// Words right of leaves and left of the others; none where they would cover each other.
    fn draw_labels(&self, out: &mut String) {
        out.push_str("<g class=\"labels\">\n");
        let mut order: Vec<usize> = (0..self.places.len()).collect();
        order.sort_by(|&a, &b| {
            let key = |index: usize| (self.places[index].depth, self.is_leaf(index));
            key(a).cmp(&key(b)).then(self.places[a].row.total_cmp(&self.places[b].row))
        });
        let mut last: Option<(usize, bool, f64)> = None;
        for index in order {
            let ((x, y), leaf, depth) = (self.at(index), self.is_leaf(index), self.places[index].depth);
            if last.is_some_and(|(d, l, above)| (d, l) == (depth, leaf) && y - above < self.font * 0.98) {
                continue;
            }
            last = Some((depth, leaf, y));
            let away = REACH + self.radius * 1.3;
            let (x, anchor) = if leaf { (x + away, "start") } else { (x - away, "end") };
            let place = format!(
                "x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\"",
                number(x),
                number(y + self.font * 0.35)
            );
            let bad = self.forest.members[index].dead || self.forest.members[index].cycle_to.is_some();
            let look = format!("class=\"halo\" font-weight=\"600\" fill=\"{}\"", if bad { RED } else { INK });
            let (words, note) = self.words(index);
            if !leaf {
                // Edges do not run through the words.
                let (width, height) = (self.label_width(index), self.font * 1.1);
                let (left, top) = (number(x - width - 2.0), number(y - height / 2.0));
                let (width, height) = (number(width + 3.0), number(height));
                let _ = writeln!(
                    out,
                    "<rect x=\"{left}\" y=\"{top}\" width=\"{width}\" height=\"{height}\" fill=\"#fff\" \
                     fill-opacity=\"0.9\"/>"
                );
            }
            label_with_note(out, &place, &words, &note, self.font, &look);
        }
        out.push_str("</g>\n");
    }

    fn cycles(&self) -> usize {
        self.forest.members.iter().filter(|member| member.cycle_to.is_some()).count()
    }

    fn orphans(&self) -> usize {
        let dead = self.forest.members.iter().filter(|member| member.dead);
        dead.map(|member| member.children.len()).sum()
    }

    fn figures(&self) -> String {
        let mut parts = Vec::new();
        if self.forest.roots.len() > 1 {
            parts.push(count(self.forest.roots.len(), "tree", "trees"));
        }
        let deepest = self.places.iter().map(|place| place.depth).max().unwrap_or(0);
        parts.push(format!("depth {deepest}"));
        let most = self.forest.members.iter().map(|member| member.children.len()).max().unwrap_or(0);
        parts.push(format!("at most {}", count(most, "child", "children")));
        let leaves = (0..self.places.len()).filter(|&index| self.is_leaf(index)).count();
        parts.push(count(leaves, "leaf", "leaves"));
        parts.extend(self.overlay.absent());
        if self.forest.silent > 0 {
            parts.push(format!("{} in no tree", self.forest.silent));
        }
        parts.join(" · ")
    }

    fn legend(&self) -> Vec<Entry> {
        let mut entries = vec![
            (Symbol::Dot(INK, INK), "root".to_owned()),
            (Symbol::Dot(BLUE, BLUE), "has children".to_owned()),
            (Symbol::Dot("#fff", BLUE), "leaf".to_owned()),
        ];
        let (orphans, cycles) = (self.orphans(), self.cycles());
        if orphans > 0 {
            entries.push((Symbol::Cross, format!("dead parent (of {orphans})")));
        }
        if cycles > 0 {
            entries.push((Symbol::Line(RED, 1.5, true), format!("parent is below: a cycle ({cycles})")));
        }
        entries
    }
}

#[cfg(test)]
mod tests;
