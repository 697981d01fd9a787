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
    let rounds = (EFFORT / (n * n)).clamp(30, 500);
    let mut strength = vec![0.0f64; n];
    for &(a, b) in links {
        strength[a] += 1.0;
        strength[b] += 1.0;
    }
    let mut places = beginning(n, links, &strength);
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

/// Where nodes begin: along the two slowest vibrations of the graph, which unfold rings and grids;
/// a sunflower's spiral keeps apart what they leave in one place.
fn beginning(n: usize, links: &[(usize, usize)], strength: &[f64]) -> Vec<(f64, f64)> {
    let spiral = |index: usize| {
        let (angle, radius) = (index as f64 * 2.399_963, (index as f64 + 0.5).sqrt());
        (radius * angle.cos(), radius * angle.sin())
    };
    let mut axes = [
        (0..n).map(|index| spiral(index).0).collect::<Vec<f64>>(),
        (0..n).map(|index| spiral(index).1).collect(),
    ];
    for _ in 0..SMOOTHINGS {
        for axis in &mut axes {
            let mut around = vec![0.0; n];
            for &(a, b) in links {
                around[a] += axis[b];
                around[b] += axis[a];
            }
            for node in 0..n {
                axis[node] = (axis[node] + around[node] / strength[node].max(1.0)) / 2.0;
            }
        }
        let [x, y] = &mut axes;
        orthogonal(x, &vec![1.0; n], strength);
        orthogonal(y, &vec![1.0; n], strength);
        orthogonal(y, x, strength);
        for axis in &mut axes {
            let length = product(axis, axis, strength).sqrt().max(1e-12);
            axis.iter_mut().for_each(|value| *value /= length);
        }
    }
    // Scaled to about one node in each unit of area, as the forces leave it.
    let scale = (n as f64 * strength.iter().sum::<f64>().max(1.0) / 4.0).sqrt();
    (0..n)
        .map(|node| {
            let (x, y) = spiral(node);
            (axes[0][node] * scale + x * 0.02, axes[1][node] * scale + y * 0.02)
        })
        .collect()
}

/// Rounds of smoothing: enough for a ring of a hundred.
const SMOOTHINGS: usize = 1000;

fn product(a: &[f64], b: &[f64], weight: &[f64]) -> f64 {
    a.iter().zip(b).zip(weight).map(|((a, b), w)| a * b * w.max(1.0)).sum()
}

/// Takes off `a` what it has in common with `b`.
fn orthogonal(a: &mut [f64], b: &[f64], weight: &[f64]) {
    let part = product(a, b, weight) / product(b, b, weight).max(1e-12);
    a.iter_mut().zip(b).for_each(|(a, b)| *a -= part * b);
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
    fn a_ring_is_unfolded() {
        // In an order that has nothing to do with the ring.
        let at = |i: usize| i * 17 % 60;
        let links: Vec<(usize, usize)> = (0..60).map(|i| (at(i), at((i + 1) % 60))).collect();
        let places = settle(&[5.0; 60], &links, 600.0);
        let middle = (0..60).fold((0.0, 0.0), |m, i| (m.0 + places[i].0 / 60.0, m.1 + places[i].1 / 60.0));
        let turns: f64 = links
            .iter()
            .map(|&(a, b)| {
                let angle = |n: usize| (places[n].1 - middle.1).atan2(places[n].0 - middle.0);
                let turn = (angle(b) - angle(a)).rem_euclid(std::f64::consts::TAU);
                if turn > std::f64::consts::PI { turn - std::f64::consts::TAU } else { turn }
            })
            .sum();
        assert!((turns.abs() - std::f64::consts::TAU).abs() < 1e-6, "{turns}");
        let radii: Vec<f64> = places.iter().map(|&place| distance(place, middle)).collect();
        let least = radii.iter().copied().fold(f64::INFINITY, f64::min);
        let most = radii.iter().copied().fold(0.0, f64::max);
        assert!(least > 0.6 * most, "{least} {most}");
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
