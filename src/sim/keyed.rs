//! Keyed randomness: every choice is a function of the seed and of what the choice is about.
//!
//! **Invariant:** no draw depends on how many draws came before it. A controller that crashes and asks again,
//! or two runs that differ elsewhere, meet the same fate in the same place.

use purser_engine::model::{Span, Time};

/// A rate or a chance, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Rate(pub u32);

impl Rate {
    /// Never.
    pub const NEVER: Self = Self(0);
    /// Always.
    pub const ALWAYS: Self = Self(1_000_000);

    /// So many in a hundred.
    pub const fn percent(percent: u32) -> Self {
        Self(percent * 10_000)
    }
}

/// The seed of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seed(pub u64);

impl Seed {
    /// Starts a draw about something; [`Draw::with`] says about what exactly.
    pub fn draw(self, about: &str) -> Draw {
        Draw(mix(self.0)).with(about)
    }
}

/// A small generator for one choice. Cheap to make, never kept.
#[derive(Debug, Clone, Copy)]
pub struct Draw(u64);

impl Draw {
    /// Narrows down what the choice is about.
    #[must_use]
    pub fn with(self, part: &str) -> Self {
        // FNV-1a over the bytes; the length keeps ("ab", "c") apart from ("a", "bc").
        let hash =
            part.bytes().fold(self.0, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Self(mix(hash ^ (part.len() as u64).rotate_left(48)))
    }

    /// Narrows down what the choice is about, by a number.
    #[must_use]
    pub fn with_number(self, part: u64) -> Self {
        Self(mix(self.0 ^ mix(part.wrapping_add(0x9e37_79b9_7f4a_7c15))))
    }

    /// Narrows down what the choice is about, by a moment.
    #[must_use]
    pub fn at(self, time: Time) -> Self {
        self.with_number(time.0.cast_unsigned())
    }

    /// The next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`, which must not be zero.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of a 128 bit product: no modulo bias worth the name.
        ((u128::from(self.bits()) * u128::from(bound)) >> 64) as u64
    }

    /// A number within inclusive bounds.
    pub fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low).max(0).cast_unsigned() + 1).cast_signed()
    }

    /// A span within inclusive bounds, in whole milliseconds.
    pub fn span(&mut self, low: Span, high: Span) -> Span {
        Span::millis(self.between(low.0 / 1_000, high.0 / 1_000))
    }

    /// Whether something of this chance happens.
    pub fn chance(&mut self, rate: Rate) -> bool {
        rate.0 > 0 && self.below(1_000_000) < u64::from(rate.0)
    }

    /// So many letters and digits, as Kubernetes makes suffixes of names.
    pub fn suffix(&mut self, length: usize) -> String {
        const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
        (0..length).map(|_| char::from(ALPHABET[self.below(27) as usize])).collect()
    }
}

/// The finaliser of SplitMix64.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// How long something takes: a distribution by its quantiles, linear between them, so that no float is
/// needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delay {
    /// Never less.
    pub min: Span,
    /// Half take no longer.
    pub median: Span,
    /// Nine in ten take no longer.
    pub p90: Span,
    /// Ninety-nine in a hundred take no longer.
    pub p99: Span,
    /// Never more.
    pub max: Span,
}

impl Delay {
    /// Always the same.
    pub const fn fixed(span: Span) -> Self {
        Self { min: span, median: span, p90: span, p99: span, max: span }
    }

    /// From quantiles in milliseconds, which must not fall.
    pub const fn millis(quantiles: [i64; 5]) -> Self {
        let [min, median, p90, p99, max] = quantiles;
        Self {
            min: Span::millis(min),
            median: Span::millis(median),
            p90: Span::millis(p90),
            p99: Span::millis(p99),
            max: Span::millis(max),
        }
    }

    /// One value, in whole milliseconds.
    pub fn sample(&self, draw: &mut Draw) -> Span {
        let at = draw.below(1_000_000).cast_signed();
        let points = [
            (0, self.min),
            (500_000, self.median),
            (900_000, self.p90),
            (990_000, self.p99),
            (1_000_000, self.max),
        ];
        let upper = points.iter().position(|(share, _)| at < *share).unwrap_or(points.len() - 1).max(1);
        let ((x0, y0), (x1, y1)) = (points[upper - 1], points[upper]);
        let rise = i128::from(y1.0 - y0.0) * i128::from(at - x0) / i128::from(x1 - x0);
        Span((y0.0 + rise as i64) / 1_000 * 1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_what_it_is_about_and_on_nothing_else() {
        let seed = Seed(7);
        let of = |claim: &str| seed.draw("launch").with(claim).bits();
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
        assert_ne!(seed.draw("x").with("ab").with("c").bits(), seed.draw("x").with("a").with("bc").bits());
        assert_ne!(Seed(8).draw("launch").with("a").bits(), of("a"));
    }

    #[test]
    fn chances_come_out_about_as_often_as_they_should() {
        let hits =
            (0..100_000).filter(|n| Seed(1).draw("hit").with_number(*n).chance(Rate::percent(5))).count();
        assert!((4_700..5_300).contains(&hits), "{hits}");
        assert!(!Seed(1).draw("hit").chance(Rate::NEVER));
        assert!(Seed(1).draw("hit").chance(Rate::ALWAYS));
    }

    #[test]
    fn delays_stay_within_their_quantiles() {
        let delay = Delay::millis([100, 200, 1_000, 5_000, 60_000]);
        let mut all: Vec<Span> =
            (0..10_000).map(|n| delay.sample(&mut Seed(3).draw("delay").with_number(n))).collect();
        all.sort_unstable();
        assert!(all[0] >= delay.min && all[9_999] <= delay.max);
        assert!((190_000..210_000).contains(&all[5_000].0), "{}", all[5_000]);
        assert!((900_000..1_100_000).contains(&all[9_000].0), "{}", all[9_000]);
        assert_eq!(Delay::fixed(Span::secs(3)).sample(&mut Seed(3).draw("delay")), Span::secs(3));
    }
}
