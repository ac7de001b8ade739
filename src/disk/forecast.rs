//! The time until a disk is full, by the free space of the last days.

use std::collections::VecDeque;

use twinhub_domain::Timestamp;

/// The interval of samples that are kept, in ms.
const SAMPLE_EVERY_MS: i64 = 10 * 60_000;
/// Samples that are kept: a week.
const MOST: usize = 7 * 24 * 6;
/// Less time than this tells no pace, in ms.
const LEAST_MS: i64 = 6 * 3_600_000;
/// Farther away it is not told: nobody knows, in ms.
const FAR_MS: f64 = 10.0 * 365.0 * 86_400_000.0;

/// The free space of the last week.
#[derive(Debug, Default)]
pub struct FreeSpaceHistory(VecDeque<(Timestamp, u64)>);

impl FreeSpaceHistory {
    /// Takes in the free space of a moment, in bytes.
    pub fn add(&mut self, at: Timestamp, free: u64) {
        if let Some((last, _)) = self.0.back() {
            let since = at.millis().saturating_sub(last.millis());
            if since < 0 {
                self.0.clear(); // the clock was set back
            } else if since < SAMPLE_EVERY_MS {
                return;
            }
        }
        if self.0.len() == MOST {
            self.0.pop_front();
        }
        self.0.push_back((at, free));
    }

    /// The time until `free` bytes are used up, in ms, by the line that fits the samples best (least squares). None while they
    /// are of less than six hours, where space does not shrink, and where it is ten years away.
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "an estimate")]
    pub fn full_in_ms(&self, free: u64) -> Option<i64> {
        let ((first, _), (last, _)) = (self.0.front()?, self.0.back()?);
        if last.millis().saturating_sub(first.millis()) < LEAST_MS {
            return None;
        }
        let points = || {
            let of = |(at, free): &(Timestamp, u64)| ((at.millis() - first.millis()) as f64, *free as f64);
            self.0.iter().map(of)
        };
        let count = self.0.len() as f64;
        let (time, space) = points().fold((0.0, 0.0), |(time, space), (x, y)| (time + x, space + y));
        let (time, space) = (time / count, space / count);
        let (shared, squares) = points().fold((0.0, 0.0), |(shared, squares), (x, y)| {
            (shared + (x - time) * (y - space), squares + (x - time) * (x - time))
        });
        let slope = shared / squares;
        let left = free as f64 / -slope;
        (slope < 0.0 && left < FAR_MS).then_some(left as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    /// The hours that are left after `hours` of `free(hour)`.
    fn left(hours: i64, free: impl Fn(i64) -> u64) -> Option<i64> {
        let mut history = FreeSpaceHistory::default();
        for sample in 0..=hours * 6 {
            history.add(Timestamp::from_millis(sample * SAMPLE_EVERY_MS), free(sample / 6));
        }
        history.full_in_ms(free(hours)).map(|ms| (ms + HOUR / 2) / HOUR)
    }

    #[test]
    fn a_steady_pace_is_followed_to_its_end() {
        let steady = |hour: i64| 1_000_000_000 - 1_000_000 * hour.unsigned_abs();
        assert_eq!(left(5, steady), None, "too early to say");
        assert!((970..=1_000).contains(&left(24, steady).unwrap()));
        assert_eq!(left(48, |_| 1_000), None, "it does not shrink");
        assert_eq!(left(48, |hour| 1_000 + hour.unsigned_abs()), None, "it grows");
        assert_eq!(left(48, |hour| (1 << 50) - hour.unsigned_abs()), None, "it is far away");
    }

    #[test]
    fn what_was_deleted_once_does_not_hide_the_pace() {
        // A day's backup that goes again each night.
        let waves = |hour: i64| {
            1_000_000_000 - 1_000_000 * hour.unsigned_abs() - 5_000_000 * (hour % 24).unsigned_abs()
        };
        assert!((500..=1_000).contains(&left(24 * 7, waves).unwrap()), "{:?}", left(24 * 7, waves));
    }

    #[test]
    fn a_week_is_kept_and_a_clock_that_was_set_begins_anew() {
        let mut history = FreeSpaceHistory::default();
        for sample in 0..2_000 {
            history.add(Timestamp::from_millis(sample * SAMPLE_EVERY_MS), 1);
        }
        assert_eq!(history.0.len(), MOST);
        history.add(Timestamp::from_millis(0), 1);
        assert_eq!(history.0.len(), 1);
        history.add(Timestamp::from_millis(1), 1);
        assert_eq!(history.0.len(), 1);
    }
}
