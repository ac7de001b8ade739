//! The progress of a job, its speed, and the expected time of its end.

use std::collections::{BTreeMap, VecDeque};

use super::StepState;
use crate::clock::Timestamp;
use crate::json::{Json, Number, Object};

/// The number of a job's devices in each state; states without a device are left out.
pub type JobCounts = BTreeMap<StepState, u64>;

/// The progress of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JobProgress {
    pub counts: JobCounts,
    /// The number of its devices.
    pub total: u64,
    /// Devices a second that were finished lately; none while that is not known.
    pub per_second: Option<f64>,
    /// The time of its end at this speed; none while that is not known.
    pub eta: Option<Timestamp>,
}

/// The speed over the last moments. Times are milliseconds by a clock that is never set.
#[derive(Clone, Debug, Default)]
pub struct JobSpeed(VecDeque<(u64, u64)>);

/// The time over which the speed is measured, in ms.
const WINDOW_MS: u64 = 10_000;
/// Points closer together than this are not worth their cost.
const APART_MS: u64 = 100;

impl JobProgress {
    /// With how many devices it has come to an end, well or not.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.counts.iter().filter(|(state, _)| state.is_final()).map(|(_, count)| count).sum()
    }

    /// The number of devices in this state.
    #[must_use]
    pub fn count(&self, state: StepState) -> u64 {
        self.counts.get(&state).copied().unwrap_or_default()
    }

    /// With how many it has begun and not come to an end.
    #[must_use]
    pub fn under_way(&self) -> u64 {
        let open = |state: &StepState| !state.is_final() && *state != StepState::Queued;
        self.counts.iter().filter(|(state, _)| open(state)).map(|(_, count)| count).sum()
    }

    /// The percentage of finished devices, a whole number, never 100 before all of them.
    #[must_use]
    pub fn percent(&self) -> u8 {
        let percent = u128::from(self.ended()) * 100 / u128::from(self.total.max(1));
        u8::try_from(percent).unwrap_or(100).min(100)
    }

    /// The form in events and answers. Unknown values are null.
    #[must_use]
    pub fn to_object(&self) -> Object {
        #[expect(clippy::cast_possible_wrap, reason = "nobody has 2^63 devices")]
        let counts: Object =
            self.counts.iter().map(|(state, count)| (state.as_str(), Json::from(*count as i64))).collect();
        let per_second = self.per_second.map(|speed| (speed * 10.0).round() / 10.0);
        let number = |value: f64| Number::from_f64(value).map_or(Json::Null, Json::Number);
        [
            ("counts", Json::Object(counts)),
            ("percent", i64::from(self.percent()).into()),
            ("devices_per_second", per_second.map_or(Json::Null, number)),
            ("eta", self.eta.map_or(Json::Null, |eta| eta.to_string().into())),
        ]
        .into_iter()
        .collect()
    }
}

impl JobSpeed {
    /// Records the number of finished devices at `now_ms`.
    pub fn note(&mut self, now_ms: u64, ended: u64) {
        if self.0.back().is_some_and(|(_, last)| ended < *last) {
            self.0.clear(); // those that failed come again
        }
        if self.0.len() > 1 && self.0.iter().rev().nth(1).is_some_and(|(at, _)| now_ms < at + APART_MS) {
            self.0.pop_back();
        }
        self.0.push_back((now_ms, ended));
        // One point from before the window stays, or a slow job would have no speed.
        while self.0.get(1).is_some_and(|(at, _)| at + WINDOW_MS <= now_ms) {
            self.0.pop_front();
        }
    }

    /// Devices a second; none while it has not been seen to move.
    #[must_use]
    pub fn per_second(&self) -> Option<f64> {
        let (first, last) = (self.0.front()?, self.0.back()?);
        let (millis, devices) = (last.0.saturating_sub(first.0), last.1.saturating_sub(first.1));
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let speed = devices as f64 * 1_000.0 / millis as f64;
        (millis > 0 && devices > 0).then_some(speed)
    }

    /// The time at which `left` further devices will be finished.
    #[must_use]
    pub fn eta(&self, left: u64, now: Timestamp) -> Option<Timestamp> {
        let speed = self.per_second()?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let millis = left as f64 / speed * 1_000.0;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "as large as an i64 goes where it takes for ever"
        )]
        Some(now.plus_millis(millis as i64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(counts: &[(StepState, u64)], total: u64, expected: (u64, u64, u8)) {
        let progress =
            JobProgress { counts: counts.iter().copied().collect(), total, ..JobProgress::default() };
        assert_eq!((progress.ended(), progress.under_way(), progress.percent()), expected, "{counts:?}");
    }

    #[test]
    fn percent_are_of_all_devices_and_never_100_too_early() {
        use StepState::{Asked, Canceled, Done, Failed, Queued, Skipped};
        check(&[], 0, (0, 0, 0));
        check(&[], 3, (0, 0, 0));
        check(&[(Queued, 2), (Done, 1)], 3, (1, 0, 33));
        check(&[(Asked, 1), (Done, 998), (Failed, 1)], 1_000, (999, 1, 99));
        check(&[(Skipped, 1), (Canceled, 1), (Failed, 1)], 3, (3, 0, 100));
    }

    /// After these points the speed is `expected`, and the rest takes `eta_ms`.
    fn speed(points: &[(u64, u64)], expected: Option<f64>, eta_ms: Option<i64>) {
        let mut speed = JobSpeed::default();
        for (at, ended) in points {
            speed.note(*at, *ended);
        }
        assert_eq!(speed.per_second(), expected, "{points:?}");
        let eta = speed.eta(100, Timestamp::from_millis(0)).map(Timestamp::millis);
        assert_eq!(eta, eta_ms, "{points:?}");
    }

    #[test]
    fn the_speed_is_that_of_the_last_moments() {
        speed(&[], None, None);
        speed(&[(0, 0)], None, None);
        speed(&[(0, 5), (1_000, 5)], None, None);
        speed(&[(0, 0), (1_000, 50)], Some(50.0), Some(2_000));
        speed(&[(0, 0), (1, 1), (2, 2), (500, 50)], Some(100.0), Some(1_000));
        // The first seconds were slow, and it is fast now.
        speed(&[(0, 0), (20_000, 10), (25_000, 510), (30_000, 1_010)], Some(100.0), Some(1_000));
        // A device a minute has a speed too.
        speed(&[(0, 0), (60_000, 1), (120_000, 2)], Some(1.0 / 60.0), Some(6_000_000));
        // Devices that failed come again: it begins anew.
        speed(&[(0, 0), (1_000, 100), (2_000, 40), (3_000, 60)], Some(20.0), Some(5_000));
    }
}
