//! Draws a topology as SVG. Pure: a graph goes in, the text of a picture comes out.

use std::collections::BTreeSet;
use std::f64::consts::TAU;
use std::fmt::Write;

use splay_protocol::topology::quantity::{rate_text, share_text, time_text};
use splay_protocol::topology::{Graph, Role};

/// Width and height of the picture, and the margin inside.
const SIDE: f64 = 800.0;
const MARGIN: f64 = 40.0;

/// More vertices than that are not moved about: it would take too long, and show too little.
const MOST_MOVED: usize = 600;

/// Vertices whose names fit in.
const MOST_NAMED: usize = 80;

/// The graph as SVG, these links marked.
pub fn draw(graph: &Graph, marked: &[u32]) -> String {
    let points = fitted(&points(graph));
    let marked: BTreeSet<(u32, u32)> = marked
        .iter()
        .map(|&number| &graph.links()[number as usize])
        .map(|link| (link.from.min(link.to), link.from.max(link.to)))
        .collect();
    // Writing to a string cannot fail.
    let mut svg = String::new();
    let _ = writeln!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {SIDE} {SIDE}\" font-family=\"sans-serif\" font-size=\"10\">"
    );
    let _ = writeln!(svg, "<rect width=\"{SIDE}\" height=\"{SIDE}\" fill=\"white\"/>");
    let mut drawn = BTreeSet::new();
    for link in graph.links() {
        let ends = (link.from.min(link.to), link.from.max(link.to));
        if !drawn.insert(ends) {
            continue;
        }
        let [(x1, y1), (x2, y2)] = [link.from, link.to].map(|end| points[end as usize]);
        let (colour, width) = if marked.contains(&ends) { ("#d62728", 3.0) } else { ("#b0b0b0", 1.0) };
        let mut told = time_text(link.latency);
        if let Some(bits) = link.bandwidth_bps {
            let _ = write!(told, ", {}", rate_text(bits));
        }
        if link.loss > 0.0 {
            let _ = write!(told, ", loss {}", share_text(link.loss));
        }
        let _ = writeln!(
            svg,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{colour}\" \
             stroke-width=\"{width}\"><title>{told}</title></line>"
        );
    }
    for (index, vertex) in graph.vertices().iter().enumerate() {
        let (x, y) = points[index];
        let name = escaped(&vertex.name);
        let (radius, fill) = match vertex.role {
            Role::Place => (4, "#1f77b4"),
            Role::Router => (6, "#ff7f0e"),
        };
        let _ = writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{radius}\" fill=\"{fill}\"><title>{name}</title></circle>"
        );
        if graph.vertices().len() <= MOST_NAMED {
            let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\">{name}</text>", x + 7.0, y + 3.0);
        }
    }
    svg.push_str("</svg>\n");
    svg
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Where the file says, or else where vertices that repel each other and links that pull come to
/// rest (Fruchterman and Reingold).
fn points(graph: &Graph) -> Vec<(f64, f64)> {
    let told: Option<Vec<(f64, f64)>> = graph.vertices().iter().map(|vertex| vertex.at).collect();
    if let Some(told) = told {
        // Upwards is up.
        return told.into_iter().map(|(x, y)| (x, -y)).collect();
    }
    let count = graph.vertices().len();
    let start = |index: usize| {
        let angle = TAU * index as f64 / count as f64;
        (angle.cos(), angle.sin())
    };
    let mut points: Vec<(f64, f64)> = (0..count).map(start).collect();
    if count > MOST_MOVED {
        return points;
    }
    let ideal = (4.0 / count as f64).sqrt();
    for step in 0..150 {
        let furthest = 0.2 * (1.0 - f64::from(step) / 150.0);
        let mut forces = vec![(0.0, 0.0); count];
        for a in 0..count {
            for b in 0..a {
                let (x, y) = (points[a].0 - points[b].0, points[a].1 - points[b].1);
                let push = ideal * ideal / (x * x + y * y).max(1e-6);
                forces[a] = (forces[a].0 + x * push, forces[a].1 + y * push);
                forces[b] = (forces[b].0 - x * push, forces[b].1 - y * push);
            }
        }
        for link in graph.links() {
            let (from, to) = (link.from as usize, link.to as usize);
            let (x, y) = (points[to].0 - points[from].0, points[to].1 - points[from].1);
            // Each link is there twice, once for each direction.
            let pull = x.hypot(y) / ideal / 2.0;
            forces[from] = (forces[from].0 + x * pull, forces[from].1 + y * pull);
            forces[to] = (forces[to].0 - x * pull, forces[to].1 - y * pull);
        }
        for (point, (x, y)) in points.iter_mut().zip(forces) {
            let length = x.hypot(y).max(1e-9);
            let moved = length.min(furthest) / length;
            *point = (point.0 + x * moved, point.1 + y * moved);
        }
    }
    points
}

/// The same points, filling the picture.
fn fitted(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let range = |of: fn(&(f64, f64)) -> f64| {
        let values = points.iter().map(of);
        let (least, most) = values.fold((f64::MAX, f64::MIN), |(least, most), v| (least.min(v), most.max(v)));
        (least, (most - least).max(1e-9))
    };
    let ((left, width), (top, height)) = (range(|point| point.0), range(|point| point.1));
    let scale = (SIDE - 2.0 * MARGIN) / width.max(height);
    let place = |&(x, y): &(f64, f64)| {
        (SIDE / 2.0 + (x - left - width / 2.0) * scale, SIDE / 2.0 + (y - top - height / 2.0) * scale)
    };
    points.iter().map(place).collect()
}

#[cfg(test)]
mod tests {
    use splay_protocol::topology::{Generator, Routes, Topology};

    use super::draw;

    #[test]
    fn every_vertex_and_link_is_drawn_once() {
        let graph = "dumbbell:n=6".parse::<Generator>().unwrap().generate(6, 1).unwrap();
        let mut routes = Routes::new(graph);
        let places = routes.graph().places().to_vec();
        let path = routes.path(places[0], places[5]).unwrap();
        let svg = draw(routes.graph(), &path.links);
        assert_eq!(svg.matches("<circle").count(), 8);
        assert_eq!(svg.matches("<line").count(), 7);
        assert_eq!(svg.matches("#d62728").count(), 3, "access, middle, access");
        assert!(svg.contains("<title>20ms, 10Mbps</title>"));
    }

    #[test]
    fn vertices_without_places_are_spread_out() {
        let text = r#"<graphml><graph edgedefault="undirected"><node id="a&lt;"/><node id="b"/><node id="c"/>
            <edge source="b" target="c"><data key="l">1</data></edge>
            <edge source="a&lt;" target="b"><data key="l">1</data></edge></graph><key id="l" attr.name="latency_ms"/></graphml>"#;
        let Topology::Graph(graph) = Topology::parse(text).unwrap() else { panic!("a graph") };
        let svg = draw(&graph, &[]);
        assert!(!svg.contains("NaN") && svg.contains("a&lt;"), "{svg}");
    }
}
