//! The tidy layout of Reingold and Tilford: parents in the middle of their children, subtrees as
//! close as their outlines allow.

use std::collections::VecDeque;

/// Between children of one parent.
const SIBLING_GAP: f64 = 1.0;
/// Between nodes of neighbouring subtrees.
const COUSIN_GAP: f64 = 1.35;
/// Between trees.
const TREE_GAP: f64 = 2.0;

/// Where a node is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Place {
    /// Steps from its root.
    pub depth: usize,
    /// In rows from the top.
    pub row: f64,
}

/// First and last row of a subtree, by depth from its root.
type Outline = VecDeque<(f64, f64)>;

/// Places of all nodes, given everyone's children and the roots, and how many rows they take.
pub fn tidy(children: &[&[usize]], roots: &[usize]) -> (Vec<Place>, f64) {
    let mut places = vec![Place::default(); children.len()];
    // Breadth first, so that backwards all children come before their parents.
    let mut order: Vec<usize> = roots.to_vec();
    let mut next = 0;
    while next < order.len() {
        for &child in children[order[next]] {
            places[child].depth = places[order[next]].depth + 1;
            order.push(child);
        }
        next += 1;
    }
    let mut outlines: Vec<Outline> = vec![Outline::new(); children.len()];
    // Rows relative to the parent, until all are known.
    let mut offsets = vec![0.0; children.len()];
    for &node in order.iter().rev() {
        let mut outline = beside(children[node], &mut outlines, &mut offsets, SIBLING_GAP);
        if let [first, .., last] = children[node] {
            let middle = (offsets[*first] + offsets[*last]) / 2.0;
            children[node].iter().for_each(|&child| offsets[child] -= middle);
            outline.iter_mut().for_each(|(top, bottom)| {
                *top -= middle;
                *bottom -= middle;
            });
        }
        outline.push_front((0.0, 0.0));
        outlines[node] = outline;
    }
    let whole = beside(roots, &mut outlines, &mut offsets, TREE_GAP);
    let top = whole.iter().map(|(top, _)| *top).fold(f64::INFINITY, f64::min);
    let bottom = whole.iter().map(|(_, bottom)| *bottom).fold(f64::NEG_INFINITY, f64::max);
    for &root in roots {
        places[root].row = offsets[root] - top;
    }
    for &node in &order {
        for &child in children[node] {
            places[child].row = places[node].row + offsets[child];
        }
    }
    (places, if roots.is_empty() { 0.0 } else { bottom - top + 1.0 })
}

/// Puts subtrees below each other, the first at 0; gives the outline of all.
fn beside(trees: &[usize], outlines: &mut [Outline], offsets: &mut [f64], gap: f64) -> Outline {
    let mut all = Outline::new();
    for &tree in trees {
        let own = std::mem::take(&mut outlines[tree]);
        if all.is_empty() {
            offsets[tree] = 0.0;
            all = own;
            continue;
        }
        let apart = all.iter().zip(&own).enumerate().map(|(depth, ((_, bottom), (top, _)))| {
            bottom + if depth == 0 { gap } else { gap.max(COUSIN_GAP) } - top
        });
        let offset = apart.fold(f64::NEG_INFINITY, f64::max);
        let offset = if offset.is_finite() { offset } else { 0.0 };
        offsets[tree] = offset;
        for (depth, (top, bottom)) in own.into_iter().enumerate() {
            let (top, bottom) = (top + offset, bottom + offset);
            match all.get_mut(depth) {
                Some(outline) => outline.1 = bottom,
                None => all.push_back((top, bottom)),
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows(children: &[&[usize]]) -> Vec<(usize, f64)> {
        tidy(children, &[0]).0.iter().map(|place| (place.depth, place.row)).collect()
    }

    #[test]
    fn parents_are_in_the_middle() {
        assert_eq!(rows(&[&[]]), [(0, 0.0)]);
        assert_eq!(rows(&[&[1, 2, 3], &[], &[], &[]]), [(0, 1.0), (1, 0.0), (1, 1.0), (1, 2.0)]);
        assert_eq!(tidy(&[&[1], &[2], &[]], &[0]).1, 1.0);
        assert_eq!(tidy(&[], &[]).1, 0.0);
    }

    #[test]
    fn a_long_chain_needs_no_deep_stack() {
        let links: Vec<Vec<usize>> =
            (0..20_000).map(|n| if n < 19_999 { vec![n + 1] } else { vec![] }).collect();
        let children: Vec<&[usize]> = links.iter().map(Vec::as_slice).collect();
        assert_eq!(tidy(&children, &[0]).0[19_999], Place { depth: 19_999, row: 0.0 });
    }

    proptest! {
        /// In each column nodes keep their order and their distance, so that no edges cross.
        #[test]
        fn columns_are_in_order(parents in prop::collection::vec(0usize..1000, 1..80)) {
            let mut children = vec![Vec::new(); parents.len() + 1];
            for (index, parent) in parents.iter().enumerate() {
                children[parent % (index + 1)].push(index + 1);
            }
            let children: Vec<&[usize]> = children.iter().map(Vec::as_slice).collect();
            let (places, height) = tidy(&children, &[0]);
            let mut level = vec![0];
            while !level.is_empty() {
                for pair in level.windows(2) {
                    prop_assert!(places[pair[1]].row - places[pair[0]].row > SIBLING_GAP - 1e-6);
                }
                for &node in &level {
                    prop_assert!((-1e-6..height).contains(&places[node].row));
                    if let [first, .., last] = children[node] {
                        let middle = (places[*first].row + places[*last].row) / 2.0;
                        prop_assert!((places[node].row - middle).abs() < 1e-6);
                    }
                }
                level = level.iter().flat_map(|&node| children[node].to_vec()).collect();
            }
        }
    }
}
