use roxmltree::Document;
use splay_runtime::view::View;

use super::*;
use crate::plot::samples::{numbers, of_class, overlay, peer, shown, value};

fn tree(parents: &[Option<u32>]) -> Overlay {
    let view = |parent: &Option<u32>| View { parent: Some(parent.map(peer)), ..View::default() };
    overlay((1..).zip(parents).map(|(n, parent)| shown(n, view(parent))).collect())
}

#[test]
fn columns_are_depths_and_children_are_in_order() {
    let data = tree(&[None, Some(1), Some(1), Some(2), Some(2), Some(3)]);
    let text = draw(&data).unwrap();
    let picture = Document::parse(&text).unwrap();
    let places: Vec<(f64, f64)> =
        of_class(&picture, "node").iter().map(|node| (value(*node, "cx"), value(*node, "cy"))).collect();
    let x = |n: usize| places[n - 1].0;
    let y = |n: usize| places[n - 1].1;
    assert!(x(1) < x(2) && x(2) == x(3) && x(2) < x(4) && x(4) == x(6));
    assert!(y(2) < y(3) && y(4) < y(5) && y(5) < y(6));
    assert!((y(2) - (y(4) + y(5)) / 2.0).abs() < 0.02);
    assert!(text.contains("depth 2 · at most 2 children · 3 leaves"), "{text}");
    assert_eq!(of_class(&picture, "edge").len(), 5);
}

#[test]
fn edges_do_not_cross() {
    let parents: Vec<Option<u32>> =
        (1..=120u32).map(|n| (n > 1).then(|| n.wrapping_mul(2_654_435_761) % (n - 1) + 1)).collect();
    let text = draw(&tree(&parents)).unwrap();
    let picture = Document::parse(&text).unwrap();
    // Between two columns both ends are in the same order.
    let mut edges: Vec<Vec<f64>> =
        of_class(&picture, "edge").iter().map(|edge| numbers(edge.attribute("d").unwrap())).collect();
    assert_eq!(edges.len(), 119);
    edges.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])).then(a[7].total_cmp(&b[7])));
    for pair in edges.windows(2).filter(|pair| pair[0][0] == pair[1][0]) {
        assert!(pair[0][7] < pair[1][7], "{pair:?}");
    }
}

#[test]
fn cycles_are_cut_and_marked() {
    let forest_of = |parents: &[Option<u32>]| {
        let data = tree(parents);
        let forest = Forest::new(&data);
        let cut: Vec<usize> = (0..parents.len()).filter(|&n| forest.members[n].cycle_to.is_some()).collect();
        (forest.roots.clone(), cut)
    };
    // 2, 3 and 4 in a circle, 5 below it; 1 its own parent; 6 a true root.
    let parents = [Some(1), Some(4), Some(2), Some(3), Some(4), None];
    assert_eq!(forest_of(&parents), (vec![0, 1, 5], vec![0, 1]));
    let text = draw(&tree(&parents)).unwrap();
    let picture = Document::parse(&text).unwrap();
    assert_eq!(of_class(&picture, "cycle").len(), 2);
    assert!(text.contains("3 trees") && text.contains("a cycle (2)"), "{text}");
}

#[test]
fn children_of_the_dead_hang_on_them() {
    let mut data = tree(&[None, Some(1), Some(2), Some(2), Some(77)]);
    data.nodes[1].gone = true;
    let forest = Forest::new(&data);
    let roots: Vec<&str> = forest.roots.iter().map(|&root| forest.members[root].address.as_str()).collect();
    assert_eq!(roots, ["10.0.0.1:1001", "10.0.0.1:1002", "10.0.0.1:1077"]);
    let text = draw(&data).unwrap();
    let picture = Document::parse(&text).unwrap();
    assert_eq!((of_class(&picture, "orphan").len(), of_class(&picture, "dead").len()), (3, 3));
    assert!(text.contains("dead parent (of 3)"), "{text}");
}

#[test]
fn words_do_not_cover_each_other() {
    for n in [5u32, 50, 500] {
        let parents: Vec<Option<u32>> = (1..=n).map(|i| (i > 1).then(|| (i + 2) / 4)).collect();
        let text = draw(&tree(&parents)).unwrap();
        let picture = Document::parse(&text).unwrap();
        let labels = of_class(&picture, "labels")[0];
        let words: Vec<_> = labels.children().filter(|node| node.has_tag_name("text")).collect();
        assert!(words.len() as u32 >= n.min(150), "{n}: {}", words.len());
        let font = value(words[0], "font-size");
        for (i, a) in words.iter().enumerate() {
            for b in &words[..i] {
                let same = value(*a, "x") == value(*b, "x");
                assert!(!same || (value(*a, "y") - value(*b, "y")).abs() >= font * 0.9);
            }
        }
    }
}
