//! A clock that panics in its readers.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::ThreadId;

use super::Hub;
use crate::clock::SystemClock;
use crate::messages::timers::Tick;
use twinhub_domain::{Clock, Timestamp};
use twinhub_testkit::{ask, until_found};

/// The system's time, but the next readers may die of it: all but the timers, whose thread is spared.
#[derive(Default)]
pub(super) struct DeadlyClock {
    kills: AtomicU32,
    pub(super) spared: Mutex<Option<ThreadId>>,
    /// The threads that asked so far.
    pub(super) askers: Mutex<HashSet<ThreadId>>,
    /// Only this one may die, where one is given.
    doomed: Mutex<Option<ThreadId>>,
}

impl DeadlyClock {
    pub(super) fn kill_next(&self, askers: u32) {
        self.kills.store(askers, Ordering::SeqCst);
    }

    /// The same, but only those on this thread.
    pub(super) fn kill_next_on(&self, thread: ThreadId, askers: u32) {
        *self.doomed.lock().unwrap() = Some(thread);
        self.kill_next(askers);
    }

    /// Spares the thread of the timers: the one that asks at each of their ticks, whichever others ask meanwhile.
    pub(super) async fn spare_timers(&self, hub: &Hub) {
        let mut always: Option<HashSet<ThreadId>> = None;
        let timers = until_found("one thread that always asks for the time", async || {
            self.askers.lock().unwrap().clear();
            ask(&hub.timers, Tick).await;
            let mut askers = self.askers.lock().unwrap().clone();
            askers.retain(|thread| always.as_ref().is_none_or(|before| before.contains(thread)));
            let mut some = askers.iter().copied();
            if let (Some(only), None) = (some.next(), some.next()) {
                return Some(only);
            }
            always = Some(askers);
            None
        })
        .await;
        *self.spared.lock().unwrap() = Some(timers);
    }
}

impl Clock for DeadlyClock {
    fn now(&self) -> Timestamp {
        let asking = Some(std::thread::current().id());
        self.askers.lock().unwrap().extend(asking);
        let doomed = *self.doomed.lock().unwrap();
        if asking != *self.spared.lock().unwrap() && (doomed.is_none() || doomed == asking) {
            let armed =
                self.kills.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            assert!(armed.is_err(), "the test kills who asks for the time");
        }
        SystemClock.now()
    }

    fn uptime_ms(&self) -> u64 {
        SystemClock.uptime_ms()
    }
}
