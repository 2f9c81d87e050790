//! How many different visitors: exact while they are few, and from some number on a sketch of a fixed size.
//!
//! A set of visitors is the text of one cell, made so that a fold need not take it apart. While it is exact it is a `=` with the
//! marks of its visitors in their order, ten letters each: whether one is in it is a binary search in the text, and only a new one
//! costs a copy. A sketch is a `~` with 2,048 registers of one letter each (HyperLogLog): a visitor is one look at one letter, and
//! only a register that rises costs a copy. The letters sort as their values do, so that the union of two sketches is the greater
//! letter in each place.
//!
//! A visitor's mark is 60 bits of the SHA-256 of its id, the same in every row and in every log. No id can be read from one. But whoever may read
//! rows, and knows an id or can guess it (it is short, or of a list), can tell whether it is in a set that is exact, and in which of them; who
//! only sees two rows can tell that the same somebody is in both. Of a sketch no more is told than that an id is likely not in it.
//!
//! Of a set that is exact, two visitors are taken for one with a chance of less than
//! one in 10¹¹ at 1,000 visitors. A sketch has a standard error of 2.3 %: of a hundred sketches, some 95 are off by less than 4.6 %,
//! and practically none by more than [`ERROR_PERCENT_MAX`]. The estimate is Ertl's ("New cardinality estimation algorithms for
//! HyperLogLog sketches", 2017), which needs no tables and has no bias for small or large sets.

use flightdeck_store::chain::sha256;

/// By how many hundredths an estimate is off at the most, but for one in some 10,000: four standard errors.
pub const ERROR_PERCENT_MAX: u32 = 10;

/// Six bits a letter, in the order of their values.
const LETTERS: &[u8; 64] = b"-0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz";
/// Letters of a mark.
const MARK: usize = 10;
/// Bits of a mark that choose a register; all others say how high.
const PLACE_BITS: u32 = 11;
const REGISTERS: usize = 1 << PLACE_BITS;
const HEIGHT_BITS: u32 = 60 - PLACE_BITS;
/// The highest a register can be.
const HEIGHT_MAX: usize = HEIGHT_BITS as usize + 1;

const EXACT: u8 = b'=';
const SKETCH: u8 = b'~';

/// Nobody.
pub(crate) const NOBODY: &str = "=";

/// What a visitor is known by in a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark([u8; MARK]);

impl Mark {
    pub(crate) fn of(visitor: &str) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = sha256(visitor.as_bytes());
        let bits = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 4;
        let letter = |at: usize| LETTERS[(bits >> (6 * (MARK - 1 - at)) & 63) as usize];
        Self(std::array::from_fn(letter))
    }

    /// Which register, and how high it must be.
    fn register(self) -> (usize, u8) {
        let bits = self.0.iter().fold(0_u64, |bits, letter| bits << 6 | u64::from(value(*letter)));
        let place = (bits >> HEIGHT_BITS) as usize;
        let rest = bits << (64 - HEIGHT_BITS);
        let height = rest.leading_zeros().min(HEIGHT_BITS) as usize + 1;
        (place, LETTERS[height])
    }
}

/// What a letter stands for.
const fn value(letter: u8) -> u8 {
    match letter {
        b'0'..=b'9' => letter - b'0' + 1,
        b'A'..=b'Z' => letter - b'A' + 11,
        b'_' => 37,
        b'a'..=b'z' => letter - b'a' + 38,
        _ => 0,
    }
}

/// The set with a visitor more; `None` when that changes nothing. Beyond `exact_max` visitors it is a sketch.
pub(crate) fn with(set: &str, mark: Mark, exact_max: usize) -> Option<String> {
    let mut text = match set.as_bytes().split_first() {
        Some((&SKETCH, registers)) => {
            let (place, height) = mark.register();
            if registers.get(place).is_none_or(|now| *now >= height) {
                return None;
            }
            let mut text = set.as_bytes().to_vec();
            text[1 + place] = height;
            text
        }
        Some((&EXACT, marks)) => {
            let (marks, _) = marks.as_chunks::<MARK>();
            let Err(place) = marks.binary_search(&mark.0) else { return None };
            if marks.len() < exact_max {
                let at = 1 + place * MARK;
                let mut text = Vec::with_capacity(set.len() + MARK);
                text.extend_from_slice(&set.as_bytes()[..at]);
                text.extend_from_slice(&mark.0);
                text.extend_from_slice(&set.as_bytes()[at..]);
                text
            } else {
                let mut union = Union::default();
                union.add(set);
                union.marks.push(mark);
                let mut text = vec![SKETCH];
                text.extend_from_slice(union.sketched());
                text
            }
        }
        _ => return with(NOBODY, mark, exact_max),
    };
    text.shrink_to_fit();
    String::from_utf8(text).ok()
}

/// How many visitors are in a set, and whether that is exact.
pub(crate) fn count(set: &str) -> (i64, bool) {
    match set.as_bytes().split_first() {
        Some((&SKETCH, registers)) => (estimate(registers), false),
        Some((_, marks)) => (i64::try_from(marks.len() / MARK).unwrap_or(i64::MAX), true),
        None => (0, true),
    }
}

/// Marks that are held before it is looked which of them are there twice.
const MARKS_BEFORE: usize = 4_096;

/// Sets, brought together. It is exact where all of them are, however many visitors that makes. What it holds comes to twice as many
/// marks as there are visitors at the most, or the registers of a sketch.
#[derive(Debug, Default)]
pub(crate) struct Union {
    marks: Vec<Mark>,
    /// How many marks there were when those that were there twice were last thrown out.
    distinct: usize,
    registers: Option<Box<[u8; REGISTERS]>>,
}

impl Union {
    pub(crate) fn add(&mut self, set: &str) {
        match set.as_bytes().split_first() {
            Some((&SKETCH, others)) => {
                for (ours, other) in self.sketched().iter_mut().zip(others) {
                    *ours = (*ours).max(*other);
                }
            }
            Some((_, marks)) => {
                self.marks.extend(marks.as_chunks::<MARK>().0.iter().map(|mark| Mark(*mark)));
                if self.registers.is_some() {
                    self.sketched();
                } else if self.marks.len() >= MARKS_BEFORE.max(2 * self.distinct) {
                    self.settle();
                }
            }
            None => {}
        }
    }

    /// Throws out marks that are there twice.
    fn settle(&mut self) {
        self.marks.sort_unstable();
        self.marks.dedup();
        self.distinct = self.marks.len();
    }

    /// How many visitors, and whether that is exact.
    pub(crate) fn count(mut self) -> (i64, bool) {
        if self.registers.is_some() {
            return (estimate(self.sketched()), false);
        }
        self.settle();
        (i64::try_from(self.marks.len()).unwrap_or(i64::MAX), true)
    }

    fn registers(&mut self) -> &mut [u8; REGISTERS] {
        self.registers.get_or_insert_with(|| Box::new([LETTERS[0]; REGISTERS]))
    }

    /// The registers, with everybody in them.
    fn sketched(&mut self) -> &mut [u8; REGISTERS] {
        let marks = std::mem::take(&mut self.marks);
        let registers = self.registers();
        for mark in marks {
            let (place, height) = mark.register();
            registers[place] = registers[place].max(height);
        }
        registers
    }
}

/// Ertl's improved estimate.
fn estimate(registers: &[u8]) -> i64 {
    let mut by_letter = [0_u32; 256];
    for letter in registers {
        by_letter[usize::from(*letter)] += 1;
    }
    let many = |height: usize| f64::from(by_letter[usize::from(LETTERS[height])]);
    let all = REGISTERS as f64;
    let mut sum = all * tau(1.0 - many(HEIGHT_MAX) / all);
    for height in (1..HEIGHT_MAX).rev() {
        sum = 0.5 * (sum + many(height));
    }
    sum += all * sigma(many(0) / all);
    let estimate = all * all / (2.0 * std::f64::consts::LN_2 * sum);
    // No estimate is larger than what fits: 60 bits tell visitors apart.
    estimate.round() as i64
}

fn sigma(mut x: f64) -> f64 {
    if x >= 1.0 {
        return f64::INFINITY;
    }
    let (mut y, mut z) = (1.0, x);
    loop {
        x *= x;
        let before = z;
        z += x * y;
        y += y;
        if z == before {
            return z;
        }
    }
}

fn tau(mut x: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return 0.0;
    }
    let (mut y, mut z) = (1.0, 1.0 - x);
    loop {
        x = x.sqrt();
        let before = z;
        y *= 0.5;
        z -= (1.0 - x) * (1.0 - x) * y;
        if z == before {
            return z / 3.0;
        }
    }
}

#[cfg(test)]
mod tests;
