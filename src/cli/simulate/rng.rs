//! Random numbers from a seed: the same seed gives the same numbers, on every machine.

/// SplitMix64 (Steele, Lea and Flood, 2014): a counter, well stirred.
#[derive(Clone, Debug)]
pub(super) struct Rng(u64);

impl Rng {
    /// The random numbers of device `index` in the fleet `seed`.
    pub(super) fn new(seed: u64, index: u32) -> Self {
        let mut rng = Self(seed ^ (u64::from(index) << 32));
        rng.next(); // so that seeds that lie together part at once
        rng
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut stirred = self.0;
        stirred = (stirred ^ (stirred >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        stirred = (stirred ^ (stirred >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        stirred ^ (stirred >> 31)
    }

    /// Evenly between `low` and `high`.
    pub(super) fn between(&mut self, low: f64, high: f64) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit exactly")]
        let unit = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        low + unit * (high - low)
    }

    /// True with this chance.
    pub(super) fn chance(&mut self, chance: f64) -> bool {
        self.between(0.0, 1.0) < chance
    }

    /// About normal around 0 with deviation 1: the sum of twelve even numbers.
    pub(super) fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.between(-0.5, 0.5)).sum()
    }

    /// The seconds until something happens that happens `per_minute` times a minute, by chance; none where
    /// it never does.
    pub(super) fn wait(&mut self, per_minute: f64) -> Option<f64> {
        let evenly = self.between(0.0, 1.0);
        (per_minute > 0.0).then(|| -(1.0 - evenly).ln() * 60.0 / per_minute)
    }
}
