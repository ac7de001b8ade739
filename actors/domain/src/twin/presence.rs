//! Presence: connected, last heard and why it went are three facts, kept apart.

use serde::{Deserialize, Serialize};

use super::{Outcome, Twin};
use crate::Status;
use crate::cause::{Cause, Source};
use crate::clock::{CLOCK_JUMP_MS, Timestamp};
use crate::event::EventBody;
use crate::reading::FIRST_SET_MS;

/// The record of a device's comings and goings, once it has gone for the first time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// When it last came or went.
    pub changed_at: Timestamp,
    /// Why it last went: `reported` (its own word or its last will), `silent`, `suspended` or `retired`.
    pub disconnect_reason: Box<str>,
    /// The number of its departures.
    pub disconnects: u32,
    /// When it went the last few times, the latest last.
    recent: Vec<Timestamp>,
}

/// The last few intervals between messages, in whole seconds: what "too long a silence" is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Rhythm([u16; 5]);

/// No interval yet. A longer one is taken as just below it.
const NONE: u16 = u16::MAX;
/// A device that went this often within [`FLAPPING_WITHIN_MS`] is flapping.
const FLAPPING: usize = 3;
const FLAPPING_WITHIN_MS: i64 = 10 * 60_000;
/// A device is silent after this many of its median intervals, and not before a minute.
const INTERVALS: i64 = 3;
pub const SHORTEST_SILENCE_MS: i64 = 60_000;
/// The silence allowed, in ms, while too few messages have come to know a device's rhythm, unless it is set.
pub const FIRST_SILENCE_MS: i64 = 10 * 60_000;

/// The hub's hearing: the measure of a silence beside the device's own rhythm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hearing {
    /// Since when devices could make themselves heard: nobody is silent who could not speak.
    pub since: Timestamp,
    /// The silence allowed, in ms, while fewer than two of a device's intervals are known.
    pub first_silence_ms: i64,
}

/// The reasons of presence events.
pub mod reason {
    /// A message of the device, or its last will, said so.
    pub const REPORTED: &str = "reported";
    /// It was heard.
    pub const HEARD: &str = "heard";
    /// It asked for its commands over HTTP.
    pub const POLLED: &str = "polled";
    /// It was not heard for too long.
    pub const SILENT: &str = "silent";
    /// A person took it out of service, until further notice or for good.
    pub const SUSPENDED: &str = "suspended";
    pub const RETIRED: &str = "retired";
}

impl Default for Rhythm {
    fn default() -> Self {
        Self([NONE; 5])
    }
}

impl Rhythm {
    /// True before the first interval.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        self.0[self.0.len() - 1] == NONE
    }

    /// The median of the last intervals, in ms; none while fewer than two are known.
    #[must_use]
    pub fn median_ms(&self) -> Option<i64> {
        let mut intervals = self.0; // asked for with every message: nothing on the heap
        intervals.sort_unstable();
        let known = intervals.partition_point(|seconds| *seconds != NONE); // the largest stand last
        // Of an even number the longer of the two in the middle: patience costs less than a false alarm.
        (known >= 2).then(|| i64::from(intervals[known / 2]) * 1_000)
    }

    /// The longest silence that can be followed by another beat, in ms; none while it knows none.
    fn longest_ms(&self) -> Option<i64> {
        match (self.median_ms(), self.0[self.0.len() - 1]) {
            (None, NONE) => None,
            (None, only) => Some((i64::from(only) * 1_000 * INTERVALS).max(FIRST_SILENCE_MS)),
            (Some(median), _) => Some(median.saturating_mul(INTERVALS).max(SHORTEST_SILENCE_MS)),
        }
    }

    fn beat(&mut self, interval_ms: i64) {
        let seconds = u16::try_from(interval_ms.max(0) / 1_000).unwrap_or(NONE).min(NONE - 1);
        self.0.rotate_left(1);
        self.0[4] = seconds;
    }
}

impl Line {
    /// It went often within the last ten minutes.
    #[must_use]
    pub fn is_flapping(&self, now: Timestamp) -> bool {
        let from = now.plus_millis(-FLAPPING_WITHIN_MS);
        self.recent.iter().filter(|at| **at > from).count() >= FLAPPING
    }

    /// Nothing is dated after `now`.
    pub(super) fn no_later_than(&mut self, now: Timestamp) {
        self.changed_at = self.changed_at.min(now);
        self.recent.iter_mut().for_each(|at| *at = (*at).min(now));
    }

    fn went(&mut self, now: Timestamp, reason: &str) {
        self.changed_at = now;
        self.disconnect_reason = reason.into();
        self.disconnects = self.disconnects.saturating_add(1);
        if self.recent.len() >= FLAPPING {
            self.recent.remove(0);
        }
        self.recent.push(now);
    }
}

impl Twin {
    /// The record of its comings and goings; none before it has gone for the first time.
    #[must_use]
    pub fn line(&self) -> Option<&Line> {
        self.line.as_deref()
    }

    /// The device is there, and takes what is published to it.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.status == Status::Online && !self.polls
    }

    /// It takes its commands over HTTP: nothing is published to it.
    #[must_use]
    pub fn polls(&self) -> bool {
        self.polls
    }

    /// After how long a silence it counts as offline, in ms; none: never. `first_silence_ms` is for a device of
    /// which fewer than two intervals are known.
    #[must_use]
    pub fn silence_ms(&self, first_silence_ms: i64) -> Option<i64> {
        match self.settings.as_deref().and_then(|settings| settings.heartbeat.as_ref()) {
            Some(heartbeat) => heartbeat.ms(),
            None => Some(self.rhythm.median_ms().map_or(first_silence_ms, |median| {
                median.saturating_mul(INTERVALS).max(SHORTEST_SILENCE_MS)
            })),
        }
    }

    /// When it counts as offline if nothing more is heard; none while it is not online. What was heard in the
    /// future of `now`, by a clock that was set back since, tells nothing: then the silence counts from when the
    /// hub hears by the new time.
    #[must_use]
    pub fn silent_at(&self, hearing: Hearing, now: Timestamp) -> Option<Timestamp> {
        if self.status != Status::Online {
            return None;
        }
        let Hearing { since, first_silence_ms } = hearing;
        let latest = now.plus_millis(CLOCK_JUMP_MS);
        let heard = self.last_seen.filter(|seen| *seen <= latest).map_or(since, |seen| seen.max(since));
        self.silence_ms(first_silence_ms).map(|silence| heard.plus_millis(silence))
    }

    /// It was not there before, or not on MQTT: there it was told nothing while it polled.
    pub(super) fn comes_with(&self, cause: &Cause) -> bool {
        self.status != Status::Online || self.polls && cause.source == Source::Mqtt
    }

    /// Every message of a device says first of all that it is there.
    pub(super) fn come_online(&mut self, outcome: &mut Outcome, why: &str, now: Timestamp, cause: &Cause) {
        if self.comes_with(cause) {
            let body = EventBody::Presence { status: Status::Online, reason: why.into() };
            self.happen(outcome, body, now, cause);
            self.remind(outcome);
        }
    }

    /// The device has gone; what it was sent and has not acknowledged waits for its return.
    pub(super) fn go_offline(&mut self, outcome: &mut Outcome, why: &str, now: Timestamp, cause: &Cause) {
        if self.status != Status::Offline || self.is_new() {
            let body = EventBody::Presence { status: Status::Offline, reason: why.into() };
            self.happen(outcome, body, now, cause);
            self.take_commands_back(outcome, now, cause);
            self.take_update_back(outcome, now, cause);
        }
    }

    pub(super) fn redo_presence(&mut self, status: Status, why: &str, now: Timestamp) {
        let was = std::mem::replace(&mut self.status, status);
        if status == Status::Online {
            self.last_seen = self.last_seen.max(Some(now));
            if self.is_reachable() {
                self.mark_told(now);
            }
            if was != Status::Online
                && let Some(line) = &mut self.line
            {
                line.changed_at = now;
            }
        } else {
            self.line.get_or_insert_default().went(now, why);
        }
    }

    /// A message of the device came.
    pub(super) fn hear(&mut self, now: Timestamp) {
        if let Some(seen) = self.last_seen
            && now > seen
            && self.can_be_interval(seen, now)
        {
            self.rhythm.beat(now.millis() - seen.millis());
        }
        self.last_seen = self.last_seen.max(Some(now));
    }

    /// Can the device itself have been silent for so long? If it is online all the while, and by its rhythm would have
    /// been called silent before, nobody listened (the hub was down) or the hub's clock was set.
    fn can_be_interval(&self, seen: Timestamp, now: Timestamp) -> bool {
        if seen.millis() < FIRST_SET_MS && now.millis() >= FIRST_SET_MS {
            return false; // the first fix of a clock that began in 1970
        }
        let is_set = self.settings.as_deref().is_some_and(|settings| settings.heartbeat.is_some());
        let longest = if is_set { None } else { self.rhythm.longest_ms() };
        longest.is_none_or(|longest| now.millis() - seen.millis() <= longest)
    }
}
