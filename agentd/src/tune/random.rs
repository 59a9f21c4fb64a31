//! Numbers that follow from a seed: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom
//! number generators", 2014). It is written out here because a seed that is printed today must give the
//! same case after the next update of a crate.

/// The generator.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// The numbers of one stream of a seed. Streams of one seed have nothing to do with one another.
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut seeds = Self(seed);
        let base = seeds.next_u64();
        Self(base ^ Self(stream).next_u64())
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number from `from` to `to`, both included.
    pub fn between(&mut self, from: u64, to: u64) -> u64 {
        // The high half of the product is spread as evenly as 64 bits allow for spans as small as ours.
        let span = u128::from(to - from) + 1;
        from + ((u128::from(self.next_u64()) * span) >> 64) as u64
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.between(1, times) == 1
    }

    /// Whether something happens that happens so many times in a hundred.
    pub fn percent(&mut self, times: u64) -> bool {
        self.between(1, 100) <= times
    }

    /// One of them, of which there must be some.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.between(0, of.len() as u64 - 1) as usize]
    }

    /// Puts them into another order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, of: &mut [T]) {
        for last in (1..of.len()).rev() {
            of.swap(last, self.between(0, last as u64) as usize);
        }
    }

    /// One of them, each as often as its weight says.
    pub fn weighted<T: Copy>(&mut self, choices: &[(u64, T)]) -> T {
        let total: u64 = choices.iter().map(|(weight, _)| weight).sum();
        let mut at = self.between(1, total);
        for (weight, choice) in choices {
            if at <= *weight {
                return *choice;
            }
            at -= weight;
        }
        choices[choices.len() - 1].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_gives_the_numbers_of_the_reference_implementation() {
        let mut random = Random(1_234_567);
        for known in
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        {
            assert_eq!(random.next_u64(), known);
        }
    }

    #[test]
    fn both_ends_of_a_span_and_every_weight_come_up_and_nothing_else() {
        let mut random = Random::new(1, 2);
        let (mut seen, mut chosen) = ([0; 8], [0; 3]);
        for _ in 0..2000 {
            seen[random.between(3, 5) as usize] += 1;
            chosen[random.weighted(&[(1, 0), (0, 1), (3, 2)])] += 1;
        }
        assert!(seen[3] > 0 && seen[4] > 0 && seen[5] > 0);
        assert_eq!(seen.iter().sum::<i32>(), seen[3] + seen[4] + seen[5]);
        assert!(chosen[1] == 0 && chosen[2] > 2 * chosen[0], "{chosen:?}");
    }

    #[test]
    fn streams_of_one_seed_differ() {
        assert_ne!(Random::new(7, 0).next_u64(), Random::new(7, 1).next_u64());
        assert_ne!(Random::new(7, 0).next_u64(), Random::new(8, 0).next_u64());
    }
}
