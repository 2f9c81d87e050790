//! How a store's writer commits: how many appends go together, and how long that takes. For whoever watches a store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Up to where the sizes of groups are told apart, in appends.
const SIZES: &[u64] = &[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024];

/// Up to where durations are told apart, in microseconds.
pub const DURATIONS: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000, 5_000_000,
    30_000_000,
];

/// How often something was how large.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [u64],
    /// One a bound, and the last for what is beyond all.
    counts: Vec<AtomicU64>,
    sum: AtomicU64,
}

impl Histogram {
    /// One that tells sizes apart up to these bounds, which rise.
    #[must_use]
    pub fn of(bounds: &'static [u64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// Something was so large.
    pub fn note(&self, size: u64) {
        let place = self.bounds.partition_point(|most| *most < size);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(size, Ordering::Relaxed);
    }

    /// Something took so long, in microseconds.
    pub fn took(&self, time: Duration) {
        self.note(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// How often something was that large or less, bound by bound; beyond all bounds last.
    pub fn up_to(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(&self.counts).scan(0, |all, (bound, count)| {
            *all += count.load(Ordering::Relaxed);
            Some((bound, *all))
        })
    }

    /// All of it together.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }
}

/// The groups that a writer has committed.
#[derive(Debug)]
pub struct Groups {
    /// Their appends.
    pub appends: Histogram,
    /// How long a commit took until it was on the disk, in microseconds.
    pub commits: Histogram,
}

impl Default for Groups {
    fn default() -> Self {
        Self { appends: Histogram::of(SIZES), commits: Histogram::of(DURATIONS) }
    }
}

impl Groups {
    /// A group of so many appends was committed.
    pub fn committed(&self, appends: usize, took: Duration) {
        self.appends.note(u64::try_from(appends).unwrap_or(u64::MAX));
        self.commits.took(took);
    }
}

#[cfg(test)]
mod tests {
    use super::Histogram;

    #[test]
    fn sizes_are_counted_up_to_their_bounds() {
        let sizes = Histogram::of(&[1, 10]);
        [0, 1, 2, 10, 11, 1_000].into_iter().for_each(|size| sizes.note(size));
        assert_eq!(sizes.up_to().collect::<Vec<_>>(), [(Some(1), 2), (Some(10), 4), (None, 6)]);
        assert_eq!(sizes.sum(), 1_024);
    }
}
