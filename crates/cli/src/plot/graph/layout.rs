//! Where the nodes of a graph come to rest: linked nodes attract each other, all repel each other
//! (Fruchterman and Reingold, 1991). Begins the same way each time, and so ends the same way.

/// Pairs of nodes looked at in all rounds together, at most about this many: a second's work.
const EFFORT: usize = 16_000_000;

/// Places of nodes with these radii and links: none covers another, and the longer side is about
/// `side`.
pub fn settle(radii: &[f64], links: &[(usize, usize)], side: f64) -> Vec<(f64, f64)> {
    let n = radii.len();
    if n == 0 {
        return Vec::new();
    }
    let mut places = spiral(n, links);
    let rounds = (EFFORT / (n * n)).clamp(30, 500);
    let mut strength = vec![0.0f64; n];
    for &(a, b) in links {
        strength[a] += 1.0;
        strength[b] += 1.0;
    }
    for round in 0..rounds {
        // So far may a node move in this round.
        let heat = 2.0 * (1.0 - round as f64 / rounds as f64).powi(2) + 0.01;
        let mut pull = vec![(0.0, 0.0); n];
        for a in 0..n {
            for b in a + 1..n {
                let (dx, dy) = apart(&places, a, b);
                let push = 1.0 / (dx * dx + dy * dy);
                add(&mut pull, a, (dx * push, dy * push));
                add(&mut pull, b, (-dx * push, -dy * push));
            }
            // Separate parts stay together.
            let (x, y) = places[a];
            add(&mut pull, a, (-x * 0.02, -y * 0.02));
        }
        for &(a, b) in links {
            let (dx, dy) = apart(&places, a, b);
            let distance = (dx * dx + dy * dy).sqrt();
            // Who has many links is not torn into the middle by them.
            let weight = distance / (strength[a] * strength[b]).sqrt().max(1.0);
            add(&mut pull, a, (-dx * weight, -dy * weight));
            add(&mut pull, b, (dx * weight, dy * weight));
        }
        for (place, (dx, dy)) in places.iter_mut().zip(pull) {
            let length = (dx * dx + dy * dy).sqrt().max(1e-9);
            let step = length.min(heat);
            place.0 += dx / length * step;
            place.1 += dy / length * step;
        }
    }
    fit(&mut places, side);
    make_room(&mut places, radii);
    to_corner(&mut places, radii);
    places
}

/// From `b` to `a`, never nothing.
fn apart(places: &[(f64, f64)], a: usize, b: usize) -> (f64, f64) {
    let (dx, dy) = (places[a].0 - places[b].0, places[a].1 - places[b].1);
    if dx * dx + dy * dy < 1e-6 { (1e-3 * (1.0 + a as f64 / 7.0), 1e-3) } else { (dx, dy) }
}

fn add(pull: &mut [(f64, f64)], index: usize, (dx, dy): (f64, f64)) {
    pull[index].0 += dx;
    pull[index].1 += dy;
}

/// A sunflower's spiral, neighbours in the graph one after another.
fn spiral(n: usize, links: &[(usize, usize)]) -> Vec<(f64, f64)> {
    let mut beside = vec![Vec::new(); n];
    for &(a, b) in links {
        beside[a].push(b);
        beside[b].push(a);
    }
    let mut places = vec![(0.0, 0.0); n];
    let (mut order, mut seen) = (Vec::with_capacity(n), vec![false; n]);
    for start in 0..n {
        if seen[start] {
            continue;
        }
        seen[start] = true;
        let mut next = order.len();
        order.push(start);
        while next < order.len() {
            let at: usize = order[next];
            next += 1;
            for &other in &beside[at] {
                if !seen[other] {
                    seen[other] = true;
                    order.push(other);
                }
            }
        }
    }
    for (index, &node) in order.iter().enumerate() {
        let (angle, radius) = (index as f64 * 2.399_963, (index as f64 + 0.5).sqrt());
        places[node] = (radius * angle.cos(), radius * angle.sin());
    }
    places
}

/// Scales so that the longer side has that length, around the middle.
fn fit(places: &mut [(f64, f64)], side: f64) {
    let (left, top, right, bottom) = bounds(places);
    let extent = (right - left).max(bottom - top);
    let scale = if extent > 1e-9 { side / extent } else { 1.0 };
    for place in places {
        *place = ((place.0 - left) * scale, (place.1 - top) * scale);
    }
}

fn bounds(places: &[(f64, f64)]) -> (f64, f64, f64, f64) {
    let far = (f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY);
    places.iter().fold(far, |(l, t, r, b), &(x, y)| (l.min(x), t.min(y), r.max(x), b.max(y)))
}

/// Pushes nodes apart that cover each other.
fn make_room(places: &mut [(f64, f64)], radii: &[f64]) {
    for _ in 0..200 {
        let mut moved = false;
        for a in 0..places.len() {
            for b in a + 1..places.len() {
                let (dx, dy) = apart(places, a, b);
                let (distance, least) = ((dx * dx + dy * dy).sqrt(), radii[a] + radii[b] + 3.0);
                if distance < least {
                    let step = (least - distance) / 2.0 / distance + 1e-6;
                    places[a] = (places[a].0 + dx * step, places[a].1 + dy * step);
                    places[b] = (places[b].0 - dx * step, places[b].1 - dy * step);
                    moved = true;
                }
            }
        }
        if !moved {
            return;
        }
    }
}

/// Moves all so that nothing is left of or above (0, 0).
fn to_corner(places: &mut [(f64, f64)], radii: &[f64]) {
    let left = places.iter().zip(radii).map(|(place, r)| place.0 - r).fold(f64::INFINITY, f64::min);
    let top = places.iter().zip(radii).map(|(place, r)| place.1 - r).fold(f64::INFINITY, f64::min);
    for place in places {
        *place = (place.0 - left, place.1 - top);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn distance(a: (f64, f64), b: (f64, f64)) -> f64 {
        (a.0 - b.0).hypot(a.1 - b.1)
    }

    #[test]
    fn linked_nodes_are_near() {
        // Two full groups of ten, and one link between them.
        let mut links = vec![(0, 10)];
        for group in [0, 10] {
            for a in 0..10 {
                links.extend((a + 1..10).map(|b| (group + a, group + b)));
            }
        }
        let places = settle(&[5.0; 20], &links, 600.0);
        assert_eq!(places, settle(&[5.0; 20], &links, 600.0));
        let mean = |pairs: Vec<(usize, usize)>| {
            pairs.iter().map(|&(a, b)| distance(places[a], places[b])).sum::<f64>() / pairs.len() as f64
        };
        let within = mean(links[1..].to_vec());
        let between = mean((1..10).flat_map(|a| (11..20).map(move |b| (a, b))).collect());
        assert!(between > 2.0 * within, "{between} {within}");
    }

    #[test]
    fn no_node_covers_another() {
        for n in [1, 2, 40] {
            let radii: Vec<f64> = (0..n).map(|i| 4.0 + (i % 5) as f64 * 3.0).collect();
            let places = settle(&radii, &[], 100.0);
            for a in 0..n {
                assert!(places[a].0 >= radii[a] - 1e-6 && places[a].1 >= radii[a] - 1e-6);
                for b in a + 1..n {
                    assert!(distance(places[a], places[b]) >= radii[a] + radii[b], "{a} {b}");
                }
            }
        }
    }
}
