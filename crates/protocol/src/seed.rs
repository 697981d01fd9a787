//! Pseudo-random numbers that are the same on every machine and in every version, so that a
//! seed written down today replays the same choices later.

/// The SplitMix64 generator: one word of state, every seed is good.
#[derive(Debug, Clone)]
pub struct SplitMix64 {
    state: u64,
}

impl SplitMix64 {
    /// A generator whose whole sequence follows from `seed`.
    pub fn new(seed: u64) -> Self {
        SplitMix64 { state: seed }
    }

    /// A generator for one of many parties sharing a seed: those of different `stream`s are
    /// unrelated.
    pub fn stream(seed: u64, stream: u64) -> Self {
        let mut outer = SplitMix64::new(seed);
        SplitMix64::new(outer.next_u64() ^ mix(stream.wrapping_add(GAMMA)))
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(GAMMA);
        mix(self.state)
    }

    /// A number in `0..bound`, each equally likely. `bound` must not be 0.
    pub fn below(&mut self, bound: u32) -> u32 {
        assert!(bound > 0, "a number below 0 was asked for");
        // Lemire's method: the high half of a product, rejecting the few values that would
        // make some results more likely.
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = (self.next_u64() >> 32) * u64::from(bound);
            if product as u32 >= threshold {
                return (product >> 32) as u32;
            }
        }
    }

    /// A number in `0..bound`, for bounds beyond 32 bits. `bound` must not be 0.
    pub fn below_u64(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "a number below 0 was asked for");
        let threshold = bound.wrapping_neg() % bound;
        loop {
            let product = u128::from(self.next_u64()) * u128::from(bound);
            if product as u64 >= threshold {
                return (product >> 64) as u64;
            }
        }
    }

    /// A number in 0 to 1, 1 excluded: 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// The odd number nearest to 2^64 divided by the golden ratio.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

/// The seed of one instance's `math.random`, from the job's seed and the instance's position.
pub fn instance_seed(job_seed: u64, position: u32) -> u64 {
    SplitMix64::stream(job_seed, u64::from(position)).next_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_is_the_published_one() {
        let mut numbers = SplitMix64::new(1234567);
        assert_eq!(numbers.next_u64(), 6457827717110365317);
        assert_eq!(numbers.next_u64(), 3203168211198807973);
        assert_eq!(numbers.next_u64(), 9817491932198370423);
    }

    #[test]
    fn below_is_even() {
        let mut numbers = SplitMix64::new(7);
        let mut seen = [0u32; 10];
        for _ in 0..100_000 {
            seen[numbers.below(10) as usize] += 1;
        }
        assert!(seen.iter().all(|&count| (9_500..10_500).contains(&count)), "{seen:?}");
    }

    #[test]
    fn wide_numbers_and_fractions_stay_in_their_bounds() {
        let mut numbers = SplitMix64::new(7);
        let bound = 3 << 40;
        let above = (0..10_000).filter(|_| numbers.below_u64(bound) >= bound / 3).count();
        assert!((6_400..6_900).contains(&above), "{above}");
        let sum: f64 = (0..10_000).map(|_| numbers.unit()).sum();
        assert!((4_900.0..5_100.0).contains(&sum), "{sum}");
        assert!((0..10_000).all(|_| numbers.below_u64(3) < 3 && numbers.unit() < 1.0));
    }

    #[test]
    fn instances_have_seeds_of_their_own() {
        let mut seeds: Vec<u64> = (1..=1000).map(|position| instance_seed(1, position)).collect();
        assert_ne!(seeds[0], instance_seed(2, 1));
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 1000);
    }
}
