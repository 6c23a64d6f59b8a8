//! Numbers that are asked for as often as Zipf's law says: "Quickly generating billion-record synthetic databases" (Gray and
//! others, 1994), as YCSB's `ZipfianGenerator` has it.

/// YCSB's constant: the item of rank `n` is chosen in proportion to `1 / n^0.99`.
const THETA: f64 = 0.99;

/// Ranks below `items`, of which 0 comes most often.
pub(crate) struct Zipf {
    items: usize,
    zeta: f64,
    alpha: f64,
    eta: f64,
}

impl Zipf {
    pub(crate) fn new(items: usize) -> Self {
        let zeta = zeta(items);
        let eta = (1.0 - (2.0 / items as f64).powf(1.0 - THETA)) / (1.0 - zeta_of_two() / zeta);
        Self { items, zeta, alpha: 1.0 / (1.0 - THETA), eta }
    }

    /// A rank.
    pub(crate) fn rank(&self, random: &mut fastrand::Rng) -> usize {
        let uniform = random.f64();
        let scaled = uniform * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < zeta_of_two() {
            return 1;
        }
        let rank = self.items as f64 * (self.eta * uniform - self.eta + 1.0).powf(self.alpha);
        (rank as usize).min(self.items - 1)
    }

    /// A number below `items`, where the frequent ones are spread over all of them.
    pub(crate) fn scrambled(&self, random: &mut fastrand::Rng) -> usize {
        (fnv(self.rank(random) as u64) % self.items as u64) as usize
    }
}

fn zeta(items: usize) -> f64 {
    (1..=items).map(|rank| (rank as f64).powf(-THETA)).sum()
}

fn zeta_of_two() -> f64 {
    1.0 + 0.5_f64.powf(THETA)
}

/// FNV-1a of 64 bits over the number's bytes, with which YCSB scrambles.
pub(crate) fn fnv(number: u64) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    number.to_le_bytes().into_iter().fold(0xcbf2_9ce4_8422_2325, step)
}
