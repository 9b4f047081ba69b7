//! How many different visitors there are, from a few kilobytes whatever their number: HyperLogLog with 4,096 registers.
//!
//! What a sketch is made of is written by `sketch_code()` of `migrations/V5__rollups.sql`: three bytes for a register in
//! use, two of its number and one of its value, which is the place of the first one among the 52 bits of a visitor's hash
//! that do not choose the register. A register that comes twice has the greater value, so sketches are merged by reading
//! one after the other, in any order. The estimate is that of Otmar Ertl, "New cardinality estimation algorithms for
//! HyperLogLog sketches" (2017), algorithm 6: it needs no tables, and is right for few visitors as for many.

/// Registers: 2^12.
const REGISTERS: usize = 4096;
/// The greatest value: none of the 52 bits is a one.
const GREATEST: usize = 53;

/// Standard error of an estimate in percent: 1.04 / √4096.
pub(crate) const ERROR_PERCENT: f64 = 1.6;

/// How many registers have each value.
type Counts = [u32; GREATEST + 1];

/// The visitors seen so far.
#[derive(Debug, Clone)]
pub(crate) struct Sketch {
    registers: Vec<u8>,
}

impl Default for Sketch {
    fn default() -> Self {
        Sketch { registers: vec![0; REGISTERS] }
    }
}

impl Sketch {
    /// Adds the visitors of a sketch as the database has it. What no version of this program wrote is passed over.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        for entry in bytes.chunks_exact(3) {
            self.set(usize::from(entry[0]) << 8 | usize::from(entry[1]), entry[2]);
        }
    }

    /// Adds a visitor by its `sketch_code()`.
    pub(crate) fn add_code(&mut self, code: u32) {
        let (register, value) = parts(code);
        self.set(register, value);
    }

    /// Adds the visitors of another sketch.
    pub(crate) fn merge(&mut self, other: &Sketch) {
        for (known, value) in self.registers.iter_mut().zip(&other.registers) {
            *known = (*known).max(*value);
        }
    }

    fn set(&mut self, register: usize, value: u8) {
        let Some(known) = self.registers.get_mut(register) else { return };
        if usize::from(value) <= GREATEST {
            *known = (*known).max(value);
        }
    }

    /// How many visitors it has seen, about.
    pub(crate) fn estimate(&self) -> i64 {
        let mut counts = [0; GREATEST + 1];
        self.registers.iter().for_each(|value| counts[usize::from(*value)] += 1);
        estimate(&counts)
    }
}

/// What [`Sketch::estimate`] says of a sketch with these `sketch_code()`s: of a few it is soon said without one.
pub(crate) fn estimate_few(mut codes: Vec<u32>) -> i64 {
    codes.retain(|code| (0..REGISTERS).contains(&parts(*code).0) && usize::from(parts(*code).1) <= GREATEST);
    codes.sort_unstable();
    let mut counts = [0; GREATEST + 1];
    counts[0] = 4096;
    // The last one of a register has its greatest value.
    for of_register in codes.chunk_by(|one, other| parts(*one).0 == parts(*other).0) {
        let value = of_register.last().map_or(0, |code| parts(*code).1);
        counts[0] -= 1;
        counts[usize::from(value)] += 1;
    }
    estimate(&counts)
}

/// The register of a code, and the value.
fn parts(code: u32) -> (usize, u8) {
    let [.., value] = code.to_be_bytes();
    ((code >> 8) as usize, value)
}

#[allow(clippy::cast_possible_truncation, reason = "a number of visitors fits")]
fn estimate(counts: &Counts) -> i64 {
    let registers = f64::from(4096_u32);
    let share = |value: usize| f64::from(counts[value]) / registers;
    let mut sum = registers * tau(1.0 - share(GREATEST));
    for count in counts[1..GREATEST].iter().rev() {
        sum = 0.5 * (sum + f64::from(*count));
    }
    sum += registers * sigma(share(0));
    (registers * registers / (2.0 * std::f64::consts::LN_2) / sum).round() as i64
}

fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut power, mut sum) = (1.0, x);
    loop {
        x *= x;
        let before = sum;
        sum += x * power;
        power += power;
        if sum <= before {
            return sum;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut power, mut sum) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = sum;
        power *= 0.5;
        sum -= (1.0 - x) * (1.0 - x) * power;
        if sum >= before {
            return sum / 3.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};
    use uuid::Uuid;

    /// As `sketch_code()` does it.
    fn entry(visitor: u128) -> [u8; 3] {
        let digest = Sha256::digest(Uuid::from_u128(visitor).as_bytes());
        let hash = digest.iter().take(8).fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
        let value = ((hash << 12).leading_zeros() + 1).min(53);
        let register = (hash >> 52).to_be_bytes();
        [register[6], register[7], u8::try_from(value).unwrap()]
    }

    fn bytes(visitors: impl IntoIterator<Item = u128>) -> Vec<u8> {
        visitors.into_iter().flat_map(entry).collect()
    }

    fn codes(bytes: &[u8]) -> Vec<u32> {
        let code = |entry: &[u8]| u32::from_be_bytes([0, entry[0], entry[1], entry[2]]);
        bytes.chunks_exact(3).map(code).collect()
    }

    fn of(visitors: impl IntoIterator<Item = u128>) -> Sketch {
        let mut sketch = Sketch::default();
        sketch.add(&bytes(visitors));
        sketch
    }

    #[test]
    fn an_entry_is_what_it_always_was() {
        // SHA-256 of 00000000-0000-0000-0000-000000000001 begins with 7c3ccd10bb7ec37b.
        assert_eq!(entry(1), [0x07, 0xc3, 1]);
    }

    #[test]
    fn estimates_are_within_their_error() {
        assert_eq!(Sketch::default().estimate(), 0);
        let mut errors = Vec::new();
        for visitors in [1_u32, 10, 100, 1_000, 10_000, 100_000, 1_000_000] {
            let estimate = of((0..visitors).map(|visitor| u128::from(visitor) + 77)).estimate();
            #[allow(clippy::cast_precision_loss, reason = "a number of a test")]
            let error = 100.0 * (estimate as f64 / f64::from(visitors) - 1.0);
            assert!(error.abs() < 3.0 * ERROR_PERCENT, "{visitors}: {estimate}");
            errors.push(error * error);
        }
        let sum: f64 = errors.iter().sum();
        assert!((sum / 7.0).sqrt() < 1.5 * ERROR_PERCENT, "{errors:?}");
    }

    #[test]
    fn a_few_are_counted_nearly_exactly() {
        for visitors in 0..50_u32 {
            assert!((of((0..visitors).map(u128::from)).estimate() - i64::from(visitors)).abs() <= 1);
        }
    }

    proptest! {
        #[test]
        fn merging_is_adding_whatever_the_order_and_the_portions(
            visitors in proptest::collection::vec(any::<u128>(), 0..300),
            cuts in proptest::collection::vec(0usize..300, 3),
        ) {
            let whole = of(visitors.iter().copied());
            let portions: Vec<Vec<u8>> = cuts
                .iter()
                .map(|cut| bytes(visitors.iter().copied().skip(*cut)))
                .chain([bytes(visitors.iter().copied())])
                .collect();
            let mut forth = Sketch::default();
            portions.iter().for_each(|portion| forth.add(portion));
            let mut back = Sketch::default();
            back.add(&portions.iter().rev().flatten().copied().collect::<Vec<_>>());
            prop_assert_eq!(&forth.registers, &whole.registers);
            prop_assert_eq!(&back.registers, &whole.registers);
            prop_assert_eq!(back.estimate(), whole.estimate());
            let mut merged = Sketch::default();
            for portion in &portions {
                let mut sketch = Sketch::default();
                codes(portion).into_iter().for_each(|code| sketch.add_code(code));
                merged.merge(&sketch);
            }
            prop_assert_eq!(merged.registers, whole.registers);
        }

        #[test]
        fn few_are_estimated_as_by_a_sketch(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut sketch = Sketch::default();
            let few: Vec<u32> = codes(&bytes).into_iter().map(|code| code & 0x001f_ff3f).collect();
            few.iter().for_each(|code| sketch.add_code(*code));
            prop_assert_eq!(estimate_few(few), sketch.estimate());
        }

        #[test]
        fn any_bytes_are_read(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut sketch = Sketch::default();
            sketch.add(&bytes);
            prop_assert!(sketch.estimate() >= 0);
            prop_assert!(estimate_few(codes(&bytes)) >= 0);
        }
    }
}
