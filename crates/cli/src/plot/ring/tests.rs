use roxmltree::Document;
use splay_runtime::view::View;

use super::*;
use crate::plot::samples::{link, numbers, of_class, overlay, peer, ring, shown, value};

#[test]
fn nodes_are_on_the_circle_at_their_identifiers() {
    let data = ring(50);
    let text = draw(&data).unwrap();
    let picture = Document::parse(&text).unwrap();
    let nodes = of_class(&picture, "node");
    assert_eq!(nodes.len(), 50);
    let radius = value(nodes[0], "cx").hypot(value(nodes[0], "cy"));
    for node in nodes {
        let (x, y) = (value(node, "cx"), value(node, "cy"));
        assert!((x.hypot(y) - radius).abs() < 0.05, "{x} {y}");
        let hint = node.descendants().find_map(|child| child.text()).unwrap();
        let id: f64 = hint.split("id ").nth(1).unwrap().split(':').next().unwrap().parse().unwrap();
        let angle = x.atan2(-y).rem_euclid(std::f64::consts::TAU) / std::f64::consts::TAU;
        assert!((angle - id / 65_536.0).abs() < 1e-4, "{angle} {id}");
    }
    assert_eq!(of_class(&picture, "next").len(), 50);
    assert!(of_class(&picture, "missing").is_empty());
}

#[test]
fn labels_do_not_cover_each_other() {
    for n in [2, 5, 40, 41, 120, 300, 500] {
        let text = draw(&ring(n)).unwrap();
        let picture = Document::parse(&text).unwrap();
        let labels = of_class(&picture, "labels")[0];
        let words: Vec<_> = labels.children().filter(|node| node.has_tag_name("text")).collect();
        assert!(words.len() as u32 >= n.min(150), "{n}: {}", words.len());
        let font = value(words[0], "font-size");
        let places: Vec<(f64, f64, Option<&str>)> = words
            .iter()
            .map(|node| match node.attribute("transform") {
                Some(transform) => (numbers(transform)[0], numbers(transform)[1], None),
                None => (value(*node, "x"), value(*node, "y"), node.attribute("text-anchor")),
            })
            .collect();
        for (i, a) in places.iter().enumerate() {
            for b in &places[..i] {
                // Level words of one column differ in height; spokes are apart where they begin.
                let clear = match (a.2, b.2) {
                    (Some(one), Some(other)) => one != other || (a.1 - b.1).abs() >= font,
                    _ => (a.0 - b.0).hypot(a.1 - b.1) >= font,
                };
                assert!(clear, "{n}: {a:?} {b:?}");
            }
        }
    }
}

#[test]
fn broken_and_dead_neighbours_are_marked() {
    let mut data = ring(10);
    // 3 forgets its successor, 4 is gone, and 5 takes a wrong node for its successor.
    data.nodes[2].view.links = Some(Vec::new());
    data.nodes[3].gone = true;
    data.nodes[4].view.links = Some(vec![link(9, Some("successor")), link(8, Some("successor"))]);
    let model = Ring::new(&data).unwrap();
    let dead: Vec<&str> =
        model.spots.iter().filter(|spot| spot.dead).map(|spot| spot.address.as_str()).collect();
    assert_eq!(dead, ["10.0.0.1:1004"]);
    // 3, and whoever had 4 as its successor; 5 if neither of its two is the right one.
    assert!((2..=3).contains(&model.broken()), "{}", model.broken());
    assert!(model.chords.iter().any(|chord| chord.wrong));
    let text = draw(&data).unwrap();
    let picture = Document::parse(&text).unwrap();
    assert_eq!(of_class(&picture, "missing").len(), model.broken());
    assert!(!of_class(&picture, "dead").is_empty());
    assert!(text.contains("1 ended early") && text.contains("dead node, still known"), "{text}");
}

#[test]
fn places_follow_from_addresses_where_none_is_declared() {
    let view = |to| View { links: Some(vec![link(to, None)]), ..View::default() };
    let data = overlay(vec![shown(1, view(2)), shown(2, view(1)), shown(3, view(9))]);
    let model = Ring::new(&data).unwrap();
    assert_eq!((model.living, model.spots.len()), (3, 4), "9 has a place of its own");
    // 16 bits of dht.id("10.0.0.1:1001").
    let at = model.spots.iter().find(|spot| spot.address.ends_with(":1001")).unwrap().at;
    assert_eq!((at * 65_536.0).floor(), f64::from(0xc6ba), "{at}");
}

#[test]
fn identifiers_may_be_digits() {
    let place = |text: &str| Some(splay_runtime::view::Place::Digits(text.into()));
    let view = |text| View { id: place(text), links: Some(Vec::new()), ..View::default() };
    let ats = |views: [View; 2]| -> Vec<f64> {
        let data = overlay((1..).zip(views).map(|(n, view)| shown(n, view)).collect());
        Ring::new(&data).unwrap().spots.iter().map(|spot| spot.at).collect()
    };
    assert_eq!(ats([view("40"), view("c0")]), [0.25, 0.75]);
    assert_eq!(ats([view("0x4000"), view("8000")]), [0.25, 0.5]);
    let sized = |text| View { size: Some(256.0), ..view(text) };
    assert_eq!(ats([sized("64"), sized("192")]), [0.25, 0.75]);
    // As long as 8 bits in hexadecimal digits.
    let bits = |text| View { bits: Some(8), ..view(text) };
    assert_eq!(ats([bits("40"), bits("80")]), [0.25, 0.5]);
}

#[test]
fn what_cannot_be_placed_is_told() {
    let view = View { id: Some(splay_runtime::view::Place::Number(7.0)), ..View::default() };
    let data = overlay(vec![shown(1, view.clone())]);
    assert_eq!(draw(&data), Err(PlotError::NoSize));
    let data = overlay(vec![shown(1, View { size: Some(7.0), ..view })]);
    assert_eq!(draw(&data), Err(PlotError::Beyond { instance: 1 }));
    let data = overlay(vec![shown(1, View { parent: Some(Some(peer(2))), ..View::default() })]);
    assert!(matches!(draw(&data), Err(PlotError::Undeclared { .. })));
}
