//! Where slow messages of devices spend their time. Each message carries the moments at which it passed the stations of
//! its way ([`Passage`]); the commit compares them. Of every message the time to its commit is counted; of those that
//! were slow the time of each stage, and very slow ones are logged. To a message that is not slow this costs three looks
//! at a clock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tracing::warn;

use crate::log_throttle::LogThrottle;
use twinhub_domain::Recorded;
use twinhub_domain::receipt::{Passage, Receipt};

/// A message that takes so long from its coming to its commit is slow, in µs.
const SLOW_US: u64 = 1_000;
/// Slow messages are logged from here on unless it is set.
pub const SLOW_LOG: Duration = Duration::from_secs(1);
/// Upper bounds of a histogram's buckets, in µs: from an eighth of a millisecond to 8 s, doubled from each to the next.
const BOUNDS_US: [u64; 17] = [
    125, 250, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000, 1_024_000,
    2_048_000, 4_096_000, 8_192_000,
];
/// Commits of which the moment is remembered, by the last place in the sequence.
const REMEMBERED: usize = 1_024;

/// A stage of a message's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SlowStage {
    /// From the ingress to the twin.
    ToTwin,
    /// From the twin to the journal.
    ToJournal,
    /// Waiting for the commit of its group to begin.
    Group,
    Commit,
    /// From the commit to the acknowledgement.
    Acknowledge,
    /// From the commit to the connection of a live subscriber.
    Live,
}

impl SlowStage {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::ToTwin, Self::ToJournal, Self::Group, Self::Commit, Self::Acknowledge, Self::Live];

    /// The stable word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::ToTwin => "to_twin",
            Self::ToJournal => "to_journal",
            Self::Group => "group",
            Self::Commit => "commit",
            Self::Acknowledge => "acknowledge",
            Self::Live => "live",
        }
    }
}

/// The times of messages, and of the stages of slow ones.
#[derive(Debug)]
pub struct SlowMessages {
    began: Instant,
    /// In µs; [`u64::MAX`]: never.
    log_from_us: AtomicU64,
    to_commit: TimeHistogram,
    stages: [TimeHistogram; SlowStage::ALL.len()],
    commits: Box<[CommitMoment]>,
    throttle: Mutex<LogThrottle>,
}

/// The moment of a commit. A reader between its two writes takes the one for the other's at worst: a figure too many.
#[derive(Debug, Default)]
struct CommitMoment {
    last_seq: AtomicU64,
    at_us: AtomicU64,
}

/// The number of times of each length.
#[derive(Debug, Default)]
pub struct TimeHistogram {
    /// One for each bound, and one beyond.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl TimeHistogram {
    fn add(&self, us: u64) {
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// The sum of all times, in µs, and the number of times that are not above each bound in µs, which for the last is
    /// [`u64::MAX`]; each with those before it taken off.
    pub fn counts(&self) -> (u64, impl Iterator<Item = (u64, u64)>) {
        let bounds = BOUNDS_US.into_iter().chain([u64::MAX]);
        (read(&self.sum_us), bounds.zip(self.buckets.iter().map(read)))
    }
}

impl Default for SlowMessages {
    fn default() -> Self {
        Self {
            began: Instant::now(),
            log_from_us: AtomicU64::new(micros(SLOW_LOG)),
            to_commit: TimeHistogram::default(),
            stages: Default::default(),
            commits: (0..REMEMBERED).map(|_| CommitMoment::default()).collect(),
            throttle: Mutex::default(),
        }
    }
}

impl SlowMessages {
    /// Logs messages that take so long from now on; none: none of them.
    pub fn log_from(&self, time: Option<Duration>) {
        self.log_from_us.store(time.map_or(u64::MAX, micros), Ordering::Relaxed);
    }

    /// The present moment, in µs; never zero.
    #[must_use]
    pub fn now(&self) -> u64 {
        micros(self.began.elapsed()) + 1
    }

    /// The time from the coming to the commit, of all messages.
    #[must_use]
    pub fn to_commit(&self) -> &TimeHistogram {
        &self.to_commit
    }

    /// The time of each stage, of slow messages alone.
    pub fn stages(&self) -> impl Iterator<Item = (SlowStage, &TimeHistogram)> {
        SlowStage::ALL.into_iter().zip(&self.stages)
    }

    /// A device's message has come, and goes to its twin.
    pub fn came(&self, receipt: &mut Receipt) {
        if let Some(passage) = receipt.passage() {
            passage.came = self.now();
        }
    }

    /// A twin takes the message up.
    pub fn taken_up(&self, receipt: &mut Receipt) {
        if let Some(passage) = receipt.passage().filter(|passage| passage.came > 0) {
            passage.taken_up = self.now();
        }
    }

    /// The message's outcome has reached the journal.
    pub fn handed_over(&self, receipt: &mut Receipt) {
        if let Some(passage) = receipt.passage().filter(|passage| passage.came > 0) {
            passage.handed_over = self.now();
        }
    }

    /// A group of which the commit began at `begun` is committed, with these events.
    #[must_use]
    pub fn committed(&self, begun: u64, events: &Arc<[Arc<Recorded>]>) -> TimedGroup<'_> {
        let committed = self.now();
        if let Some(last) = events.last() {
            let moment = self.moment(last.seq);
            moment.at_us.store(committed, Ordering::Relaxed);
            moment.last_seq.store(last.seq, Ordering::Release);
        }
        let log_from = read(&self.log_from_us);
        TimedGroup { to: self, begun, committed, log_from, slow: Vec::new(), events: Arc::clone(events) }
    }

    /// A live subscriber's connection has all events up to `seq`.
    pub fn live(&self, seq: u64) {
        let moment = self.moment(seq);
        if moment.last_seq.load(Ordering::Acquire) == seq {
            let took = self.now().saturating_sub(moment.at_us.load(Ordering::Relaxed));
            if took >= SLOW_US {
                self.note(SlowStage::Live, took);
            }
        }
    }

    fn moment(&self, seq: u64) -> &CommitMoment {
        #[expect(clippy::cast_possible_truncation, reason = "less than their number")]
        let place = (seq % REMEMBERED as u64) as usize;
        &self.commits[place]
    }

    fn note(&self, stage: SlowStage, us: u64) {
        self.stages[stage as usize].add(us);
    }
}

/// The messages of a group that is committed.
#[derive(Debug)]
pub struct TimedGroup<'a> {
    to: &'a SlowMessages,
    begun: u64,
    committed: u64,
    /// In µs.
    log_from: u64,
    /// Slow messages, with the places of their events.
    slow: Vec<(Passage, Option<u64>)>,
    events: Arc<[Arc<Recorded>]>,
}

impl TimedGroup<'_> {
    /// Adds the message of the event at `seq`, which is about to be acknowledged.
    pub fn add(&mut self, receipt: &mut Receipt, seq: Option<u64>) {
        let Some(passage) = receipt.passage().filter(|passage| passage.came > 0).copied() else {
            return; // no message of a device
        };
        let took = self.committed.saturating_sub(passage.came);
        self.to.to_commit.add(took);
        if took >= SLOW_US.min(self.log_from) {
            self.slow.push((passage, seq));
        }
    }

    /// All of them are acknowledged.
    pub fn settled(self) {
        if self.slow.is_empty() {
            return;
        }
        let settled = self.to.now();
        for (passage, seq) in &self.slow {
            let moments =
                [passage.came, passage.taken_up, passage.handed_over, self.begun, self.committed, settled];
            let mut took = [0; 5];
            for (took, pair) in took.iter_mut().zip(moments.windows(2)) {
                *took = pair[1].saturating_sub(pair[0]);
            }
            if self.committed.saturating_sub(passage.came) >= SLOW_US {
                for (stage, took) in SlowStage::ALL.into_iter().zip(took) {
                    self.to.note(stage, took);
                }
            }
            if settled.saturating_sub(passage.came) >= self.log_from {
                self.log(took, *seq, settled);
            }
        }
    }

    fn log(&self, took: [u64; 5], seq: Option<u64>, now: u64) {
        let throttle = self.to.throttle.lock();
        let permitted = throttle.unwrap_or_else(PoisonError::into_inner).permit("slow", now / 1_000);
        let Some(left_out) = permitted else { return };
        let event = self.events.iter().find(|event| Some(event.seq) == seq);
        let device = event.map_or("", |event| event.event.device.as_str());
        let [to_twin, to_journal, group, commit, acknowledge] = took.map(|us| us / 1_000);
        warn!(
            device_id = device,
            took_ms = took.iter().sum::<u64>() / 1_000,
            to_twin_ms = to_twin,
            to_journal_ms = to_journal,
            group_ms = group,
            commit_ms = commit,
            acknowledge_ms = acknowledge,
            left_out,
            "a slow message"
        );
    }
}

fn read(number: &AtomicU64) -> u64 {
    number.load(Ordering::Relaxed)
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
