//! Presence: connected, last heard and why it went are three facts, kept apart.

use serde::{Deserialize, Serialize};

use super::{Audience, Downlink, Listeners};
use crate::Status;
use crate::cause::{Cause, Source};
use crate::clock::{CLOCK_JUMP_MS, Timestamp};
use crate::event::EventBody;
use crate::id::DeviceId;
use crate::reading::FIRST_SET_MS;
use crate::settings::Heartbeat;

/// A device's presence: whether it is there, when it was last heard, and by which rhythm it speaks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Presence {
    pub status: Status,
    /// When the device was last heard.
    pub last_seen: Option<Timestamp>,
    /// The device takes its commands over HTTP: nothing is published to it.
    pub(super) polls: bool,
    pub(super) rhythm: Rhythm,
    pub(super) line: Option<Box<ConnectionRecord>>,
}

/// Whether a command may go out now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CommandDelivery {
    Now,
    /// The device is not there.
    NotNow,
    /// The device is there, and listens to no commands.
    NobodyListens,
}

/// The record of a device's comings and goings, once it has gone for the first time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConnectionRecord {
    /// When it last came or went.
    pub changed_at: Timestamp,
    /// The reason of its last disconnect: `reported` (its own word or its last will), `silent`, `suspended` or
    /// `retired`.
    pub disconnect_reason: Box<str>,
    /// The number of its disconnects.
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
/// A device that polls is heard so often at least while it does.
const POLL_HEARD_MS: u64 = 15_000;

/// The hub's hearing: the measure of a silence beside the device's own rhythm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SilenceRule {
    /// Since when devices could make themselves heard: nobody is silent who could not speak.
    pub since: Timestamp,
    /// The silence allowed, in ms, while fewer than two of a device's intervals are known.
    pub first_silence_ms: i64,
}

/// The reasons of presence events.
pub mod reason {
    /// A message of the device, or its last will, said so.
    pub const REPORTED: &str = "reported";
    /// It was online, and says so once more.
    pub const AGAIN: &str = "again";
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

    /// The silence after which a device of this rhythm is gone, in ms; none while fewer than two intervals are known.
    fn silence_ms(&self) -> Option<i64> {
        self.median_ms().map(|median| median.saturating_mul(INTERVALS).max(SHORTEST_SILENCE_MS))
    }

    /// The longest silence that can be followed by another beat, in ms; none while it knows none.
    fn longest_ms(&self) -> Option<i64> {
        match (self.silence_ms(), self.0[self.0.len() - 1]) {
            (None, NONE) => None,
            (None, only) => Some((i64::from(only) * 1_000 * INTERVALS).max(FIRST_SILENCE_MS)),
            (silence, _) => silence,
        }
    }

    fn beat(&mut self, interval_ms: i64) {
        let seconds = u16::try_from(interval_ms.max(0) / 1_000).unwrap_or(NONE).min(NONE - 1);
        self.0.rotate_left(1);
        self.0[4] = seconds;
    }
}

impl ConnectionRecord {
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

impl Presence {
    /// The record of its comings and goings; none before it has gone for the first time.
    #[must_use]
    pub fn line(&self) -> Option<&ConnectionRecord> {
        self.line.as_deref()
    }

    /// The device is there, and takes what is published to it.
    #[must_use]
    pub fn is_reachable(&self) -> bool {
        self.status == Status::Online && !self.polls
    }

    /// The device takes its commands over HTTP: nothing is published to it.
    #[must_use]
    pub fn polls(&self) -> bool {
        self.polls
    }

    /// True once the device was heard.
    #[must_use]
    pub fn was_heard(&self) -> bool {
        self.last_seen.is_some()
    }

    /// After how long a silence it counts as offline, in ms; none: never. `heartbeat` is the one that is set for it, and
    /// `first_silence_ms` is for a device of which fewer than two intervals are known.
    #[must_use]
    pub fn silence_ms(&self, heartbeat: Option<&Heartbeat>, first_silence_ms: i64) -> Option<i64> {
        match heartbeat {
            Some(heartbeat) => heartbeat.ms(),
            None => Some(self.rhythm.silence_ms().unwrap_or(first_silence_ms)),
        }
    }

    /// When it counts as offline if nothing more is heard; none while it is not online. What was heard in the
    /// future of `now`, by a clock that was set back since, tells nothing: then the silence counts from when the
    /// hub hears by the new time.
    #[must_use]
    pub fn silent_at(
        &self,
        heartbeat: Option<&Heartbeat>,
        hearing: SilenceRule,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if self.status != Status::Online {
            return None;
        }
        let SilenceRule { since, first_silence_ms } = hearing;
        let latest = now.plus_millis(CLOCK_JUMP_MS);
        let heard = self.last_seen.filter(|seen| *seen <= latest).map_or(since, |seen| seen.max(since));
        self.silence_ms(heartbeat, first_silence_ms).map(|silence| heard.plus_millis(silence))
    }

    /// Did the device itself bring it about, by whichever way it speaks?
    pub(super) fn is_of_device(&self, cause: &Cause) -> bool {
        cause.source == Source::Mqtt || self.polls
    }

    /// The device was not there before, or not on MQTT: there it was sent nothing while it polled.
    pub(super) fn comes_with(&self, cause: &Cause) -> bool {
        self.status != Status::Online || self.polls && cause.source == Source::Mqtt
    }

    /// True for a device that asked for its commands a moment ago.
    pub(super) fn polled_lately(&self, now: Timestamp) -> bool {
        let was_heard = |seen: Timestamp| now.millis().abs_diff(seen.millis()) < POLL_HEARD_MS;
        self.status == Status::Online && self.polls && self.last_seen.is_some_and(was_heard)
    }

    /// May a command go out now to the device, which is called `id` and is in service?
    pub(super) fn delivery(&self, id: &DeviceId, listeners: &dyn Listeners) -> CommandDelivery {
        if self.polls {
            return CommandDelivery::NotNow;
        }
        let reachable = self.is_reachable();
        let wanted = if reachable { Audience::Somebody } else { Audience::Itself };
        match listeners.audience(id, Downlink::Commands, wanted) {
            Audience::Nobody if reachable => CommandDelivery::NobodyListens,
            Audience::Unknown | Audience::Somebody if reachable => CommandDelivery::Now,
            Audience::Itself if reachable || !self.has_said_goodbye() => CommandDelivery::Now,
            _ => CommandDelivery::NotNow,
        }
    }

    /// It said itself, or by its last will, that it goes: it may still be connected, and is not there.
    fn has_said_goodbye(&self) -> bool {
        self.status == Status::Offline
            && self.line().is_some_and(|line| &*line.disconnect_reason == reason::REPORTED)
    }

    /// Applies a presence event. True when the status is another.
    pub(super) fn apply(&mut self, status: Status, why: &str, now: Timestamp, cause: &Cause) -> bool {
        self.polls = match cause.source {
            Source::Mqtt => false,
            _ => self.polls || why == reason::POLLED,
        };
        let was = std::mem::replace(&mut self.status, status);
        if status == Status::Online {
            self.see(now);
            if was != Status::Online
                && let Some(line) = &mut self.line
            {
                line.changed_at = now;
            }
        } else {
            self.line.get_or_insert_default().went(now, why);
        }
        was != status
    }

    /// A message of the device came.
    pub(super) fn hear(&mut self, heartbeat: Option<&Heartbeat>, now: Timestamp, cause: &Cause) {
        self.polls &= cause.source != Source::Mqtt;
        if let Some(seen) = self.last_seen
            && now > seen
            && self.can_be_interval(heartbeat.is_some(), seen, now)
        {
            self.rhythm.beat(now.millis() - seen.millis());
        }
        self.see(now);
    }

    /// The device was heard, outside of its rhythm.
    pub(super) fn see(&mut self, now: Timestamp) {
        self.last_seen = self.last_seen.max(Some(now));
    }

    /// Nothing is dated after `now`.
    pub(super) fn no_later_than(&mut self, now: Timestamp) {
        self.last_seen = self.last_seen.map(|seen| seen.min(now));
        if let Some(line) = &mut self.line {
            line.no_later_than(now);
        }
    }

    /// Can the device itself have been silent for so long? If it is online all the while, and by its rhythm would have
    /// been called silent before, nobody listened (the hub was down) or the hub's clock was set.
    fn can_be_interval(&self, is_set: bool, seen: Timestamp, now: Timestamp) -> bool {
        if seen.millis() < FIRST_SET_MS && now.millis() >= FIRST_SET_MS {
            return false; // the first fix of a clock that began in 1970
        }
        let longest = if is_set { None } else { self.rhythm.longest_ms() };
        longest.is_none_or(|longest| now.millis() - seen.millis() <= longest)
    }
}

/// The event of a coming or going.
pub(super) fn event(status: Status, reason: &str) -> EventBody {
    EventBody::Presence { status, reason: reason.into() }
}
