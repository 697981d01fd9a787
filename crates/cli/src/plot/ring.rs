//! A ring: instances on a circle at their identifiers, clockwise from the top.

mod picture;
mod places;

use std::collections::{BTreeMap, BTreeSet};

use super::overlay::{Overlay, Shown, address, places_of};
use super::{PlotError, overlay};
use places::Scale;

/// Kinds of links that claim to be the neighbour on the ring.
const NEXT: &str = "successor";
const PREVIOUS: &str = "predecessor";

/// A place on the circle that is taken.
#[derive(Debug)]
struct Spot<'a> {
    /// What the instance showed; `None`: it is known by name alone.
    node: Option<&'a Shown>,
    address: String,
    /// Part of the way around, 0 to 1.
    at: f64,
    dead: bool,
}

/// A link that is not one to a neighbour.
#[derive(Debug, PartialEq)]
struct Chord {
    from: usize,
    to: usize,
    /// Which of the kinds.
    kind: Option<usize>,
    label: Option<String>,
    /// It claims to be the neighbour, and is not.
    wrong: bool,
}

/// What is drawn.
#[derive(Debug)]
struct Ring<'a> {
    /// The living in their order around the ring, then the dead that others know.
    spots: Vec<Spot<'a>>,
    living: usize,
    /// For each living one whether it links to the next.
    forward: Vec<bool>,
    /// And to the previous.
    backward: Vec<bool>,
    chords: Vec<Chord>,
    /// Links to dead nodes whose place nobody knows: from whom, to what address.
    lost: Vec<(usize, String)>,
    /// Kinds of chords, in the order of their names.
    kinds: Vec<String>,
    /// Living instances without a place.
    unplaced: usize,
}

/// Draws the ring.
pub fn draw(overlay: &Overlay) -> Result<String, PlotError> {
    let ring = Ring::new(overlay)?;
    Ok(picture::Picture::new(&ring, overlay).draw())
}

impl<'a> Ring<'a> {
    fn new(overlay: &'a Overlay) -> Result<Ring<'a>, PlotError> {
        let fields = |node: &Shown| node.view.id.is_some() || node.view.links.is_some();
        if !overlay.nodes.iter().any(fields) {
            return Err(PlotError::Undeclared { needed: "`id` or `links`" });
        }
        let scale = Scale::of(overlay)?;
        let mut spots = Vec::new();
        let mut unplaced = 0;
        for node in overlay.living() {
            match scale.at(node)? {
                Some(at) => spots.push(Spot { node: Some(node), address: node.address(), at, dead: false }),
                None => unplaced += 1,
            }
        }
        spots.sort_by(|a, b| a.at.total_cmp(&b.at).then_with(|| a.address.cmp(&b.address)));
        let living = spots.len();
        let mut ring = Ring {
            spots,
            living,
            forward: vec![false; living],
            backward: vec![false; living],
            chords: Vec::new(),
            lost: Vec::new(),
            kinds: Vec::new(),
            unplaced,
        };
        ring.add_dead(overlay, &scale)?;
        ring.add_links();
        Ok(ring)
    }

    /// Those that the living still know, where their place is known.
    fn add_dead(&mut self, overlay: &'a Overlay, scale: &Scale) -> Result<(), PlotError> {
        let living: BTreeSet<String> = overlay.living().iter().map(|node| node.address()).collect();
        let gone: Vec<&Shown> = overlay.nodes.iter().filter(|node| node.gone).collect();
        let gone_at = places_of(&gone);
        let mut dead: BTreeMap<String, Option<f64>> = BTreeMap::new();
        for link in self.spots.iter().filter_map(|spot| spot.node).flat_map(links) {
            let name = address(&link.to);
            if !living.contains(&name) {
                let known = scale.of_peer(&link.to);
                let at = dead.entry(name).or_default();
                *at = at.or(known);
            }
        }
        for (name, at) in dead {
            let node = gone_at.get(&name).map(|&index| gone[index]);
            let at = match node {
                Some(node) => scale.at(node)?.or(at),
                None => at,
            };
            if let Some(at) = at {
                self.spots.push(Spot { node, address: name, at, dead: true });
            }
        }
        Ok(())
    }

    fn add_links(&mut self) {
        let place: BTreeMap<String, usize> =
            self.spots.iter().enumerate().map(|(index, spot)| (spot.address.clone(), index)).collect();
        let all: Vec<_> = (0..self.living)
            .flat_map(|from| self.spots[from].node.into_iter().flat_map(links).map(move |link| (from, link)))
            .collect();
        let kinds = all.iter().filter_map(|(_, link)| link.kind.as_deref());
        let kinds: BTreeSet<&str> = kinds.filter(|&kind| kind != NEXT && kind != PREVIOUS).collect();
        let kinds: Vec<String> = kinds.into_iter().map(str::to_owned).collect();
        let mut seen = BTreeSet::new();
        for (from, link) in all {
            let Some(&to) = place.get(&address(&link.to)) else {
                self.lost.push((from, address(&link.to)));
                continue;
            };
            if to == from {
                continue;
            }
            let (next, previous) = ((from + 1) % self.living, (from + self.living - 1) % self.living);
            let claims = |name| link.kind.as_deref() == Some(name);
            // Of two nodes, each is before and after the other.
            match to {
                to if to == next && !claims(PREVIOUS) => self.forward[from] = true,
                to if to == previous => self.backward[from] = true,
                to if to == next => self.forward[from] = true,
                to => {
                    let kind = link.kind.as_ref().and_then(|kind| kinds.iter().position(|have| have == kind));
                    if seen.insert((from, to, kind)) {
                        let wrong = claims(NEXT) || claims(PREVIOUS);
                        self.chords.push(Chord { from, to, kind, label: link.label.clone(), wrong });
                    }
                }
            }
        }
        self.lost.sort();
        self.lost.dedup();
        self.kinds = kinds;
    }

    /// Those who do not know the node after them.
    fn broken(&self) -> usize {
        if self.living < 2 { 0 } else { self.forward.iter().filter(|&&kept| !kept).count() }
    }

    fn name(&self, spot: usize) -> String {
        match self.spots[spot].node {
            Some(node) => format!("instance {}, {}", node.instance, self.spots[spot].address),
            None => self.spots[spot].address.clone(),
        }
    }
}

fn links(node: &Shown) -> impl Iterator<Item = &splay_runtime::view::Link> {
    node.view.links.iter().flatten()
}

#[cfg(test)]
mod tests;
