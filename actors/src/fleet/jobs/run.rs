//! A job under way.

use std::collections::VecDeque;

use tokio::sync::oneshot;

use super::progress::JobCounting;
use crate::messages::jobs::{JobRefusal, JobView, Steer};
use twinhub_access::Reach;
use twinhub_domain::fleet::job::RateLimiter;
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Timestamp};
use twinhub_store::RuleAuthor;

/// The progress of a job that is under way: which of its devices have had their turns.
pub(super) struct JobRun {
    /// Another one may stand in its place when an answer comes.
    pub(super) serial: u64,
    pub(super) pace: RateLimiter,
    /// Read, and not handed out: by place.
    pub(super) next: VecDeque<(u64, DeviceId, DeviceNumber)>,
    /// Places below this one were read.
    pub(super) read_to: u64,
    pub(super) reading: bool,
    /// There is nothing further to read.
    pub(super) all_read: bool,
    pub(super) passes: u32,
    /// Devices whose turn it is.
    pub(super) in_flight: usize,
    pub(super) waiting_for_pace: bool,
    /// The requests of people that cannot be done at once, in order.
    pub(super) waiting_requests: VecDeque<SteerRequest>,
    /// Its devices are being written down, or many of them are changed at once: nobody gets a turn.
    pub(super) writing: bool,
    pub(super) counting: JobCounting,
    /// Of a roll-out: why it is to be broken off, once none of its devices has its turn.
    pub(super) aborting: Option<String>,
    /// Of a roll-out in whose stage nobody is there: until when it waits for one to come.
    pub(super) patient_until: Option<Timestamp>,
    /// The devices that it never came to have failed.
    pub(super) expired: bool,
}

/// A wish of a person, or of the hub, for a job.
pub(super) struct SteerRequest {
    pub(super) steer: Steer,
    /// The devices that the person reaches.
    pub(super) reach: Reach,
    /// The maker of the job from now on, where it is tried again.
    pub(super) author: Option<RuleAuthor>,
    /// The reason, where it is not a person's.
    pub(super) reason: Option<&'static str>,
    pub(super) cause: Cause,
    pub(super) reply: oneshot::Sender<Result<JobView, JobRefusal>>,
}

impl JobRun {
    pub(super) fn new(serial: u64, pace: RateLimiter, counting: JobCounting) -> Self {
        Self {
            serial,
            pace,
            next: VecDeque::new(),
            read_to: 0,
            reading: false,
            all_read: false,
            passes: 1,
            in_flight: 0,
            waiting_for_pace: false,
            waiting_requests: VecDeque::new(),
            writing: false,
            counting,
            aborting: None,
            patient_until: None,
            expired: false,
        }
    }

    /// There is more to read than there was.
    pub(super) fn read_further(&mut self) {
        self.all_read = false;
    }

    /// Nobody gets a turn any more of those that had none in this run: from which place on they are.
    pub(super) fn give_rest_up(&mut self) -> u64 {
        let from = self.next.front().map_or(self.read_to, |(place, ..)| *place);
        self.next.clear();
        from
    }

    /// Every device had its turn.
    pub(super) fn is_through(&self) -> bool {
        self.all_read && self.next.is_empty() && self.in_flight == 0
    }

    /// Nobody gets a turn just now.
    pub(super) fn is_held(&self) -> bool {
        self.writing || !self.waiting_requests.is_empty() || self.aborting.is_some()
    }
}
