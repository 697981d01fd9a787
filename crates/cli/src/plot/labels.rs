//! Where words go so that none covers another.

/// The values nearest to `wanted` (ascending) that lie at least `gap` apart: what is pushed
/// together moves as one block around its middle.
pub fn spread(wanted: &[f64], gap: f64) -> Vec<f64> {
    // With `gap` taken off each step it is the nearest ascending sequence: pool adjacent violators.
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for (index, value) in wanted.iter().enumerate() {
        let mut block = (value - index as f64 * gap, 1);
        while let Some(&(mean, size)) = blocks.last()
            && mean > block.0
        {
            let all = size + block.1;
            block = ((mean * size as f64 + block.0 * block.1 as f64) / all as f64, all);
            blocks.pop();
        }
        blocks.push(block);
    }
    let means = blocks.iter().flat_map(|&(mean, size)| std::iter::repeat_n(mean, size));
    means.enumerate().map(|(index, mean)| mean + index as f64 * gap).collect()
}

/// [`spread`] on a circle of that circumference. Evenly spread where there is no room otherwise.
pub fn spread_around(wanted: &[f64], gap: f64, around: f64) -> Vec<f64> {
    let n = wanted.len();
    if n < 2 {
        return wanted.to_vec();
    }
    // Cut where there is most room.
    let room = |i: usize| (wanted[(i + 1) % n] - wanted[i]).rem_euclid(around);
    let last = (0..n).max_by(|&a, &b| room(a).total_cmp(&room(b))).unwrap_or(n - 1);
    let first = (last + 1) % n;
    let line: Vec<f64> = (0..n)
        .map(|i| wanted[first] + (wanted[(first + i) % n] - wanted[first]).rem_euclid(around))
        .collect();
    let mut placed = spread(&line, gap);
    if placed[n - 1] - placed[0] > around - gap {
        let middle = line.iter().sum::<f64>() / n as f64;
        let step = around / n as f64;
        placed = (0..n).map(|i| middle + (i as f64 - (n - 1) as f64 / 2.0) * step).collect();
    }
    (0..n).map(|i| placed[(i + n - first) % n]).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_has_room_stays() {
        assert_eq!(spread(&[0.0, 5.0, 9.0], 2.0), [0.0, 5.0, 9.0]);
        assert_eq!(spread(&[4.0, 4.0, 9.0], 2.0), [3.0, 5.0, 9.0]);
        assert_eq!(spread_around(&[1.0, 99.0], 4.0, 100.0), [102.0, 98.0]);
    }

    proptest! {
        #[test]
        fn nothing_is_nearer_than_the_gap(mut wanted in prop::collection::vec(0.0..100.0f64, 2..40)) {
            wanted.sort_by(f64::total_cmp);
            let placed = spread(&wanted, 3.0);
            prop_assert!(placed.windows(2).all(|pair| pair[1] - pair[0] > 3.0 - 1e-6));
            let gap = (100.0 / wanted.len() as f64).min(3.0);
            let around = spread_around(&wanted, gap, 100.0);
            for i in 0..around.len() {
                let next = around[(i + 1) % around.len()];
                prop_assert!((next - around[i]).rem_euclid(100.0) > gap - 1e-6, "{around:?}");
            }
        }
    }
}
