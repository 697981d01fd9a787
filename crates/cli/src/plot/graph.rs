//! A graph: instances where the forces between linked and unlinked nodes leave them, the larger
//! the more links they have.

mod layout;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::PlotError;
use super::overlay::{Overlay, Shown, address, count, places_of};
use super::svg::{
    BLUE, Entry, Frame, INK, PALETTE, RED, Symbol, circle, cross, label_with_note, number, shape, shortened,
    text_width,
};

/// Up to so many links that only one side has are drawn with an arrow.
const ARROWS: usize = 200;
const EDGE: &str = "#64748b";

struct Vertex<'a> {
    node: Option<&'a Shown>,
    address: String,
    dead: bool,
    /// Other nodes that link to it.
    known_by: usize,
}

/// A link, or two that lead back and forth.
#[derive(Debug, PartialEq)]
struct Edge {
    from: usize,
    to: usize,
    mutual: bool,
    kind: Option<usize>,
    label: Option<String>,
}

struct Graph<'a> {
    vertices: Vec<Vertex<'a>>,
    edges: Vec<Edge>,
    kinds: Vec<String>,
    /// For each vertex the number of its connected part, the largest being 0.
    parts: Vec<usize>,
}

/// Draws the graph.
pub fn draw(overlay: &Overlay) -> Result<String, PlotError> {
    if !overlay.nodes.iter().any(|node| node.view.links.is_some()) {
        return Err(PlotError::Undeclared { needed: "`links`" });
    }
    Ok(Picture::new(&Graph::new(overlay), overlay).draw())
}

impl<'a> Graph<'a> {
    fn new(overlay: &'a Overlay) -> Graph<'a> {
        let living = overlay.living();
        let mut place = places_of(&living);
        let vertex = |node, address, dead| Vertex { node, address, dead, known_by: 0 };
        let mut vertices: Vec<Vertex> =
            living.iter().map(|node| vertex(Some(*node), node.address(), false)).collect();
        let gone: BTreeMap<String, &Shown> =
            overlay.nodes.iter().filter(|node| node.gone).map(|node| (node.address(), node)).collect();
        let all: Vec<_> = living
            .iter()
            .enumerate()
            .flat_map(|(from, node)| node.view.links.iter().flatten().map(move |link| (from, link)))
            .collect();
        let kinds: BTreeSet<&str> = all.iter().filter_map(|(_, link)| link.kind.as_deref()).collect();
        let kinds: Vec<String> = kinds.into_iter().map(str::to_owned).collect();
        // By both ends and kind, the lower end first; the links one way and the other.
        let mut pairs: BTreeMap<(usize, usize, Option<usize>), (bool, bool, Option<String>)> =
            BTreeMap::new();
        let mut known: BTreeSet<(usize, usize)> = BTreeSet::new();
        for (from, link) in all {
            let name = address(&link.to);
            let to = *place.entry(name.clone()).or_insert_with(|| {
                vertices.push(vertex(gone.get(&name).copied(), name, true));
                vertices.len() - 1
            });
            if from == to {
                continue;
            }
            known.insert((from, to));
            let kind = link.kind.as_ref().and_then(|kind| kinds.iter().position(|have| have == kind));
            let pair = pairs.entry((from.min(to), from.max(to), kind)).or_default();
            *(if from < to { &mut pair.0 } else { &mut pair.1 }) = true;
            pair.2 = pair.2.take().or(link.label.clone());
        }
        for (_, to) in known {
            vertices[to].known_by += 1;
        }
        let edge = |((low, high, kind), (up, down, label))| {
            let (from, to) = if up { (low, high) } else { (high, low) };
            Edge { from, to, mutual: up && down, kind, label }
        };
        let edges: Vec<Edge> = pairs.into_iter().map(edge).collect();
        let parts = connected_parts(vertices.len(), &edges);
        Graph { vertices, edges, kinds, parts }
    }

    fn name(&self, index: usize) -> String {
        let vertex = &self.vertices[index];
        match vertex.node {
            Some(node) => format!("instance {}, {}", node.instance, vertex.address),
            None => vertex.address.clone(),
        }
    }
}

/// The connected part of each vertex, numbered from the largest.
fn connected_parts(vertices: usize, edges: &[Edge]) -> Vec<usize> {
    let mut beside = vec![Vec::new(); vertices];
    for edge in edges {
        beside[edge.from].push(edge.to);
        beside[edge.to].push(edge.from);
    }
    let mut part = vec![usize::MAX; vertices];
    let mut sizes: Vec<(usize, usize)> = Vec::new();
    for start in 0..vertices {
        if part[start] != usize::MAX {
            continue;
        }
        let number = sizes.len();
        let (mut ahead, mut size) = (vec![start], 0);
        part[start] = number;
        while let Some(at) = ahead.pop() {
            size += 1;
            for &next in &beside[at] {
                if part[next] == usize::MAX {
                    part[next] = number;
                    ahead.push(next);
                }
            }
        }
        sizes.push((number, size));
    }
    sizes.sort_by_key(|&(number, size)| (std::cmp::Reverse(size), number));
    let mut rank = vec![0; sizes.len()];
    for (index, (number, _)) in sizes.iter().enumerate() {
        rank[*number] = index;
    }
    part.into_iter().map(|number| rank[number]).collect()
}

struct Picture<'a> {
    graph: &'a Graph<'a>,
    overlay: &'a Overlay,
    places: Vec<(f64, f64)>,
    radii: Vec<f64>,
    font: f64,
    width: f64,
    height: f64,
}

impl<'a> Picture<'a> {
    fn new(graph: &'a Graph<'a>, overlay: &'a Overlay) -> Picture<'a> {
        let n = graph.vertices.len().max(1) as f64;
        let mean = graph.vertices.iter().map(|vertex| vertex.known_by).sum::<usize>() as f64 / n;
        let base = f64::clamp(13.0 - n.ln() * 1.3, 4.0, 11.0);
        let radius = |vertex: &Vertex| {
            base * f64::clamp(0.35 + 0.65 * (vertex.known_by as f64 / mean.max(0.5)).sqrt(), 0.45, 2.2)
        };
        let radii: Vec<f64> = graph.vertices.iter().map(radius).collect();
        let side = f64::clamp(n.sqrt() * 78.0, 420.0, 1500.0);
        let links: Vec<(usize, usize)> = graph.edges.iter().map(|edge| (edge.from, edge.to)).collect();
        let places = layout::settle(&radii, &links, side);
        let font = f64::clamp(base * 1.25, 9.0, 12.5);
        // Words may stand out at the sides.
        let (mut width, mut height) = (0.0f64, 0.0f64);
        let margin = 16.0;
        let places: Vec<(f64, f64)> =
            places.into_iter().map(|(x, y)| (x + margin + 30.0, y + margin)).collect();
        for ((x, y), r) in places.iter().zip(&radii) {
            width = width.max(x + r + margin + 30.0);
            height = height.max(y + r + margin);
        }
        Picture { graph, overlay, places, radii, font, width, height }
    }

    fn draw(&self) -> String {
        let mut body = String::new();
        let _ = writeln!(
            body,
            "<defs><marker id=\"arrow\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
             markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 1L8 4L0 7z\" fill=\"#64748b\"/></marker></defs>"
        );
        self.draw_edges(&mut body);
        self.draw_vertices(&mut body);
        self.draw_labels(&mut body);
        let living = self.graph.vertices.iter().filter(|vertex| !vertex.dead).count();
        let frame = Frame {
            title: format!("{}: graph of {}", self.overlay.app, count(living, "instance", "instances")),
            subtitle: self.figures(),
            legend: self.legend(),
            width: self.width,
            height: self.height,
            body,
        };
        frame.finish()
    }

    fn one_way(&self) -> usize {
        self.graph.edges.iter().filter(|edge| !edge.mutual && !self.graph.vertices[edge.to].dead).count()
    }

    fn draw_edges(&self, out: &mut String) {
        let arrows = self.one_way() <= ARROWS;
        let faint = f64::clamp(110.0 / self.graph.edges.len().max(1) as f64, 0.16, 0.55);
        out.push_str("<g class=\"edges\">\n");
        for edge in &self.graph.edges {
            let dead = self.graph.vertices[edge.to].dead;
            let kind = edge.kind.map_or(String::new(), |kind| format!("{} ", self.graph.kinds[kind]));
            let words = edge.label.as_ref().map_or(String::new(), |words| format!(": {words}"));
            let verb = if edge.mutual { "and" } else { "to" };
            let hint =
                format!("{kind}{} {verb} {}{words}", self.graph.name(edge.from), self.graph.name(edge.to));
            let mut look = match dead {
                true => {
                    format!("class=\"bad\" stroke=\"{RED}\" stroke-opacity=\"0.7\" stroke-dasharray=\"5 3\"")
                }
                false => format!(
                    "class=\"edge\" stroke=\"{}\" stroke-opacity=\"{}\" stroke-width=\"{}\"",
                    self.colour(edge.kind),
                    number(if edge.mutual { faint * 1.5 } else { faint }),
                    if edge.mutual { 1.6 } else { 1.0 },
                ),
            };
            if !edge.mutual && arrows {
                look.push_str(" marker-end=\"url(#arrow)\"");
            }
            shape(out, &self.line(edge), &look, Some(&hint));
        }
        out.push_str("</g>\n");
    }

    /// From rim to rim.
    fn line(&self, edge: &Edge) -> String {
        let ((x, y), (u, v)) = (self.places[edge.from], self.places[edge.to]);
        let distance = ((u - x).powi(2) + (v - y).powi(2)).sqrt().max(1e-9);
        let (dx, dy) = ((u - x) / distance, (v - y) / distance);
        let (a, b) = (self.radii[edge.from], self.radii[edge.to] + 1.0);
        format!(
            "M{} {}L{} {}",
            number(x + dx * a),
            number(y + dy * a),
            number(u - dx * b),
            number(v - dy * b)
        )
    }

    fn colour(&self, kind: Option<usize>) -> &'static str {
        kind.map_or(EDGE, |kind| PALETTE[kind % (PALETTE.len() - 1)])
    }

    /// Nodes of the largest part are blue; other parts have colours of their own.
    fn part_colour(&self, part: usize) -> &'static str {
        if part == 0 { BLUE } else { PALETTE[(part - 1) % PALETTE.len()] }
    }

    fn draw_vertices(&self, out: &mut String) {
        out.push_str("<g class=\"nodes\">\n");
        for (index, vertex) in self.graph.vertices.iter().enumerate() {
            let ((x, y), r) = (self.places[index], self.radii[index]);
            let mut hint = format!("{}, known by {}", self.graph.name(index), vertex.known_by);
            if let Some(words) = vertex.node.and_then(Shown::label) {
                let _ = write!(hint, ": {words}");
            }
            if vertex.dead {
                cross(out, x, y, r, Some(&format!("{hint} (dead)")));
                continue;
            }
            let fill = self.part_colour(self.graph.parts[index]);
            let look = format!("class=\"node\" fill=\"{fill}\" stroke=\"#fff\" stroke-width=\"1\"");
            circle(out, x, y, r, &look, Some(&hint));
        }
        out.push_str("</g>\n");
    }

    /// Numbers in nodes that have room, other words beside them where nothing is covered; who has
    /// more links is served first.
    fn draw_labels(&self, out: &mut String) {
        out.push_str("<g class=\"labels\" pointer-events=\"none\">\n");
        let mut order: Vec<usize> = (0..self.places.len()).collect();
        order.sort_by(|&a, &b| self.radii[b].total_cmp(&self.radii[a]).then(a.cmp(&b)));
        let mut taken: Vec<[f64; 4]> = Vec::new();
        for index in order {
            let vertex = &self.graph.vertices[index];
            let name = vertex.node.map_or(vertex.address.clone(), |node| node.instance.to_string());
            let note = vertex.node.and_then(Shown::label).map_or(String::new(), |label| shortened(label, 20));
            let ((x, y), r) = (self.places[index], self.radii[index]);
            let inner = f64::min(self.font, r * 1.15);
            let within = !vertex.dead && inner >= 7.0 && text_width(&name, inner) <= 2.0 * r - 2.0;
            if within {
                let place =
                    format!("x=\"{}\" y=\"{}\" text-anchor=\"middle\"", number(x), number(y + inner * 0.36));
                label_with_note(out, &place, &name, "", inner, "font-weight=\"600\" fill=\"#fff\"");
                if note.is_empty() {
                    continue;
                }
            }
            let (words, note) = match within {
                true => (note, String::new()),
                false => (name, note),
            };
            let more = if note.is_empty() { 0.0 } else { 4.0 + text_width(&note, self.font) };
            let width = text_width(&words, self.font) * 1.08 + more;
            let Some((place, space)) = self.free_place(index, width, &taken) else { continue };
            taken.push(space);
            let fill = if vertex.dead { RED } else { INK };
            let weight = if within { 400 } else { 600 };
            let look = format!("class=\"halo\" font-weight=\"{weight}\" fill=\"{fill}\"");
            label_with_note(out, &place, &words, &note, self.font, &look);
        }
        out.push_str("</g>\n");
    }

    /// A place beside a node where words of that width cover nothing, and the space they take.
    fn free_place(&self, index: usize, width: f64, taken: &[[f64; 4]]) -> Option<(String, [f64; 4])> {
        let ((x, y), r) = (self.places[index], self.radii[index] + 3.0);
        let height = self.font;
        let candidates = [
            (x + r, y - height / 2.0, "start", x + r),
            (x - r - width, y - height / 2.0, "end", x - r),
            (x - width / 2.0, y + r, "middle", x),
            (x - width / 2.0, y - r - height, "middle", x),
        ];
        candidates.into_iter().find_map(|(left, top, anchor, at)| {
            let space = [left, top, left + width, top + height];
            let inside = left >= 0.0 && top >= 0.0 && space[2] <= self.width && space[3] <= self.height;
            let apart = |other: &[f64; 4]| {
                space[2] <= other[0] || other[2] <= space[0] || space[3] <= other[1] || other[3] <= space[1]
            };
            let clear = taken.iter().all(apart)
                && self
                    .places
                    .iter()
                    .zip(&self.radii)
                    .enumerate()
                    .all(|(other, (&(u, v), &s))| other == index || apart(&[u - s, v - s, u + s, v + s]));
            let place = format!(
                "x=\"{}\" y=\"{}\" text-anchor=\"{anchor}\"",
                number(at),
                number(top + height * 0.85)
            );
            (inside && clear).then_some((place, space))
        })
    }

    fn figures(&self) -> String {
        let graph = self.graph;
        let mut parts = Vec::new();
        let links: usize = graph.vertices.iter().map(|vertex| vertex.known_by).sum();
        parts.push(count(links, "link", "links"));
        let living = graph.vertices.iter().filter(|vertex| !vertex.dead).map(|vertex| vertex.known_by);
        if let (Some(least), Some(most)) = (living.clone().min(), living.max()) {
            parts.push(format!("known by {least} to {most}"));
        }
        let pieces = graph.parts.iter().max().map_or(0, |most| most + 1);
        parts.push(if pieces <= 1 { "connected".to_owned() } else { format!("{pieces} separate parts") });
        parts.extend(self.overlay.absent());
        parts.join(" · ")
    }

    fn legend(&self) -> Vec<Entry> {
        let graph = self.graph;
        let mut entries = vec![(Symbol::Dot(BLUE, "#fff"), "instance, larger if more know it".to_owned())];
        if graph.parts.iter().any(|&part| part > 0) {
            entries.push((Symbol::Dot(PALETTE[0], "#fff"), "in a part without links to the rest".to_owned()));
        }
        let alive = |edge: &&Edge| !graph.vertices[edge.to].dead;
        for kind in std::iter::once(None).chain((0..graph.kinds.len()).map(Some)) {
            for mutual in [true, false] {
                let same = |edge: &&Edge| edge.kind == kind && edge.mutual == mutual;
                let all = graph.edges.iter().filter(alive).filter(same).count();
                if all > 0 {
                    let name = kind.map_or("link", |kind| graph.kinds[kind].as_str());
                    let ways = if mutual { "both ways" } else { "one way" };
                    let width = if mutual { 2.4 } else { 1.2 };
                    entries.push((
                        Symbol::Line(self.colour(kind), width, false),
                        format!("{name}, {ways} ({all})"),
                    ));
                }
            }
        }
        let dead = graph.edges.iter().filter(|edge| graph.vertices[edge.to].dead).count();
        if dead > 0 {
            entries
                .push((Symbol::Cross, format!("dead node, still known ({})", count(dead, "link", "links"))));
        }
        entries
    }
}

#[cfg(test)]
mod tests;
