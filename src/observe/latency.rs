//! How long things take: counts in buckets, four for each doubling of the time, with
//! one writer; put together and asked for quantiles when somebody looks.

use hdrhistogram::Histogram;

use super::counters::Counter;

/// Buckets of one doubling: a time is known to an eighth of itself.
const PARTS: usize = 4;

/// The first bound, as a power of two of [`TICKS`]: 2^-14 s, 61 µs.
const FIRST: u32 = 6;

/// The last: 2^11 s, past the longest poll of Lync.
const LAST: u32 = 31;

/// Times are counted in parts of a second of which there are a power of two, so that the bounds are
/// powers of two of a second.
const TICKS: u32 = 20;

/// One below the first bound, one from the last on.
const BUCKETS: usize = (LAST - FIRST) as usize * PARTS + 2;

/// Times past this, about 100 days, are counted as this; so the shift below loses nothing.
const MICROS_MAX: u64 = 1 << 43;

/// One worker's latencies of one thing: 816 bytes of counts.
#[derive(Debug)]
pub(super) struct Latency {
    micros: Counter,
    buckets: [Counter; BUCKETS],
}

impl Default for Latency {
    fn default() -> Self {
        Self { micros: Counter::default(), buckets: std::array::from_fn(|_| Counter::default()) }
    }
}

/// A shift, a multiplication by a constant, a count of leading zeros.
#[inline]
fn bucket_of(micros: u64) -> usize {
    let ticks = (micros.min(MICROS_MAX) << TICKS) / 1_000_000;
    if ticks < 1 << FIRST {
        return 0;
    }
    let doubling = ticks.ilog2();
    let part = (ticks >> (doubling - PARTS.ilog2())) as usize % PARTS;
    ((doubling - FIRST) as usize * PARTS + part + 1).min(BUCKETS - 1)
}

/// The lower bound of a bucket, in microseconds.
fn from_micros(bucket: usize) -> u64 {
    let Some(place) = bucket.checked_sub(1) else { return 0 };
    let (doubling, part) = (FIRST as usize + place / PARTS, place % PARTS);
    let ticks = ((PARTS + part) as u64) << (doubling - PARTS.ilog2() as usize);
    (ticks * 1_000_000) >> TICKS
}

impl Latency {
    /// Counts one; only the worker that owns it may.
    #[inline]
    pub(super) fn add(&self, micros: u64) {
        self.micros.add(micros);
        self.buckets[bucket_of(micros)].add(1);
    }

    pub(super) fn add_to(&self, sum: &mut Latencies) {
        sum.micros = sum.micros.wrapping_add(self.micros.read());
        for (sum, bucket) in sum.counts.iter_mut().zip(&self.buckets) {
            *sum += bucket.read();
        }
    }
}

/// The latencies of several workers together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Latencies {
    /// The sum of all times, in microseconds.
    pub micros: u64,
    counts: [u64; BUCKETS],
}

impl Default for Latencies {
    fn default() -> Self {
        Self { micros: 0, counts: [0; BUCKETS] }
    }
}

impl Latencies {
    /// Bounds for whoever counts in buckets, as powers of two of a second: from 1 ms to 2048 s, first
    /// each doubling, then what tells long polls apart.
    pub const BOUNDS: [i32; 18] =
        [-10, -9, -8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 11];

    /// How many there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// How many took less than `2^power` seconds; exact for every power from -14 to 11.
    #[must_use]
    pub fn below(&self, power: i32) -> u64 {
        let doublings = power + TICKS as i32 - FIRST as i32;
        let buckets = usize::try_from(doublings).map_or(0, |doublings| doublings * PARTS + 1);
        self.counts.iter().take(buckets).sum()
    }

    /// The time within which a share of them ended (0.5: half of them), in microseconds; `None` if
    /// there were none.
    #[must_use]
    pub fn within(&self, share: f64) -> Option<u64> {
        let most = from_micros(BUCKETS - 1) * 2;
        let mut histogram: Histogram<u64> = Histogram::new_with_bounds(1, most, 2).ok()?;
        for (bucket, &count) in self.counts.iter().enumerate() {
            let next = if bucket + 1 < BUCKETS { from_micros(bucket + 1) } else { most };
            let middle = u64::midpoint(from_micros(bucket), next);
            // The middle of a bucket lies within the bounds.
            let _ = histogram.record_n(middle, count);
        }
        (!histogram.is_empty()).then(|| histogram.value_at_quantile(share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_lies_between_the_bounds_of_its_bucket() {
        let mut micros = 1_u64;
        while micros < MICROS_MAX * 4 {
            for micros in [micros - 1, micros, micros + 1] {
                let bucket = bucket_of(micros);
                assert!(from_micros(bucket) <= micros, "{micros} in {bucket}");
                assert!(
                    bucket == BUCKETS - 1 || micros <= from_micros(bucket + 1),
                    "{micros} in {bucket}"
                );
            }
            micros += micros / 7 + 1;
        }
        assert_eq!((bucket_of(0), bucket_of(60), bucket_of(62)), (0, 0, 1));
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    fn latencies(times: &[u64]) -> Latencies {
        let latency = Latency::default();
        times.iter().for_each(|&micros| latency.add(micros));
        let mut sum = Latencies::default();
        latency.add_to(&mut sum);
        sum
    }

    #[test]
    fn bounds_in_seconds() {
        for (micros, power, below) in [
            (999_999, 0, 1),
            (1_000_000, 0, 0),
            (1_000_000, 1, 1),
            (249_999, -2, 1),
            (250_000, -2, 0),
            (50, -14, 1),
            (50, -20, 0),
            (1_800_000_000, 11, 1),
            (2_100_000_000, 11, 0),
        ] {
            assert_eq!(latencies(&[micros]).below(power), below, "{micros} µs below 2^{power} s");
        }
    }

    /// Against what sorting gives.
    #[test]
    fn quantiles_are_right_within_an_eighth() {
        let mut times: Vec<u64> = (0..10_000_u64).map(|n| 100 + n * n % 7_919 * 250).collect();
        let latencies = latencies(&times);
        times.sort_unstable();
        assert_eq!(latencies.count(), 10_000);
        assert_eq!(latencies.micros, times.iter().sum::<u64>());
        for (share, place) in [(0.5, 4_999), (0.9, 8_999), (0.99, 9_899)] {
            let (exact, told) = (times[place] as f64, latencies.within(share).unwrap() as f64);
            assert!((told / exact - 1.0).abs() < 0.135, "{share}: {told} for {exact}");
        }
        assert_eq!(Latencies::default().within(0.5), None);
    }
}
