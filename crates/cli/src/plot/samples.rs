//! Overlays for tests, and a look into the pictures made of them.

use roxmltree::{Document, Node};
use splay_runtime::view::{Link, Peer, Place, View};

use super::{Overlay, Shown};

/// The node that a test calls `n`.
pub fn peer(n: u32) -> Peer {
    Peer { ip: "10.0.0.1".into(), port: 1000 + n as u16, id: None }
}

/// A link to it.
pub fn link(n: u32, kind: Option<&str>) -> Link {
    Link { to: peer(n), label: None, kind: kind.map(str::to_owned) }
}

/// Instance `n`.
pub fn shown(n: u32, view: View) -> Shown {
    let Peer { ip, port, .. } = peer(n);
    Shown { instance: n, ip, port, ending: "stopped".into(), gone: false, view }
}

/// A run of an app called `a<b`.
pub fn overlay(nodes: Vec<Shown>) -> Overlay {
    Overlay { app: "a<b".into(), instances: nodes.len() as u32, nodes }
}

/// A ring of 2^16 identifiers with `n` instances at irregular places that know their successors.
pub fn ring(n: u32) -> Overlay {
    let id = |i: u32| f64::from(i.wrapping_mul(40_503) % 65_536);
    let mut order: Vec<u32> = (1..=n).collect();
    order.sort_by(|&a, &b| id(a).total_cmp(&id(b)));
    let next = |i: u32| {
        let at = order.iter().position(|&other| other == i).unwrap_or(0);
        order[(at + 1) % order.len()]
    };
    let view = |i| View {
        id: Some(Place::Number(id(i))),
        size: Some(65_536.0),
        links: Some(vec![link(next(i), Some("successor")), link(i % n + 1, Some("finger"))]),
        label: Some(format!("state & {i}")),
        ..View::default()
    };
    overlay((1..=n).map(|i| shown(i, view(i))).collect())
}

/// The elements of a class, or of a kind within a group of that class.
pub fn of_class<'a>(picture: &'a Document<'a>, class: &'a str) -> Vec<Node<'a, 'a>> {
    picture.descendants().filter(|node| node.attribute("class") == Some(class)).collect()
}

/// A number of an element.
pub fn value(node: Node, name: &str) -> f64 {
    node.attribute(name).and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

/// The numbers of a text such as `translate(1 2) rotate(3)`.
pub fn numbers(text: &str) -> Vec<f64> {
    text.split(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-'))
        .filter_map(|word| word.parse().ok())
        .collect()
}
