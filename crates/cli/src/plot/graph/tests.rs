use roxmltree::Document;
use splay_runtime::view::View;

use super::*;
use crate::plot::samples::{link, of_class, overlay, shown, value};

fn graph(links: &[&[u32]]) -> Overlay {
    let view =
        |to: &[u32]| View { links: Some(to.iter().map(|&n| link(n, None)).collect()), ..View::default() };
    overlay((1..).zip(links).map(|(n, to)| shown(n, view(to))).collect())
}

#[test]
fn links_of_both_sides_are_one() {
    let data = graph(&[&[2, 2, 1], &[1, 3], &[]]);
    let model = Graph::new(&data);
    let edges: Vec<_> = model.edges.iter().map(|edge| (edge.from, edge.to, edge.mutual)).collect();
    assert_eq!(edges, [(0, 1, true), (1, 2, false)]);
    let known: Vec<usize> = model.vertices.iter().map(|vertex| vertex.known_by).collect();
    assert_eq!(known, [1, 1, 1]);
    let text = draw(&data).unwrap();
    assert!(text.contains("3 links · known by 1 to 1 · connected"), "{text}");
}

#[test]
fn who_is_known_by_more_is_larger() {
    let data = graph(&[&[4], &[4], &[4, 1], &[1]]);
    let text = draw(&data).unwrap();
    let picture = Document::parse(&text).unwrap();
    let radii: Vec<f64> = of_class(&picture, "node").iter().map(|node| value(*node, "r")).collect();
    assert!(radii[3] > radii[0] && radii[0] > radii[1] && radii[1] == radii[2], "{radii:?}");
}

#[test]
fn parts_and_dead_nodes_are_shown() {
    let mut data = graph(&[&[2], &[1], &[4], &[3, 5], &[], &[1, 99]]);
    data.nodes[4].gone = true;
    let model = Graph::new(&data);
    let dead: Vec<&str> =
        model.vertices.iter().filter(|vertex| vertex.dead).map(|vertex| vertex.address.as_str()).collect();
    assert_eq!(dead, ["10.0.0.1:1005", "10.0.0.1:1099"]);
    let text = draw(&data).unwrap();
    let picture = Document::parse(&text).unwrap();
    assert_eq!((of_class(&picture, "bad").len(), of_class(&picture, "dead").len()), (2, 3));
    assert!(text.contains("2 separate parts") && text.contains("without links to the rest"), "{text}");
}

#[test]
fn kinds_have_colours_of_their_own() {
    let mut data = graph(&[&[], &[]]);
    data.nodes[0].view.links = Some(vec![link(2, Some("near")), link(2, Some("far")), link(2, None)]);
    let model = Graph::new(&data);
    assert_eq!((model.kinds.as_slice(), model.edges.len()), (&["far".to_owned(), "near".to_owned()][..], 3));
    let text = draw(&data).unwrap();
    assert!(text.contains("far, one way (1)") && text.contains("link, one way (1)"), "{text}");
}
