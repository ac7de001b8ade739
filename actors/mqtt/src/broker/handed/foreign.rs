//! Commands in other dialects than the native one: their payloads name no command, so one is known by its topic and
//! payload, and withheld where a command that said just that is over and none is that still holds.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;

use twinhub_domain::CommandId;

/// The commands that the broker has and that are not native.
#[derive(Debug, Default)]
pub(super) struct ForeignCommands {
    by_topic: Mutex<HashMap<Box<str>, Vec<Foreign>>>,
    /// There are some: most hubs have none, and every packet to a client asks.
    some: AtomicBool,
}

#[derive(Debug)]
struct Foreign {
    command: CommandId,
    payload: Bytes,
    /// After this it is over, and the broker drops it by itself.
    until: Option<Instant>,
    is_over: bool,
}

impl ForeignCommands {
    /// Notes a command before the broker gets it. Its earlier attempt is over.
    pub(super) fn note(&self, command: CommandId, topic: &str, payload: &Bytes, until: Option<Instant>) {
        self.end(command);
        let foreign = Foreign { command, payload: payload.clone(), until, is_over: false };
        let mut by_topic = self.lock();
        by_topic.entry(topic.into()).or_default().push(foreign);
        self.some.store(true, Ordering::Relaxed);
    }

    /// The command is over.
    pub(super) fn end(&self, command: CommandId) {
        if self.some.load(Ordering::Relaxed) {
            let mut by_topic = self.lock();
            let all = by_topic.values_mut().flatten();
            all.filter(|foreign| foreign.command == command).for_each(|foreign| foreign.is_over = true);
        }
    }

    /// Lets go of those that the broker drops by itself, and of those that are over and have no end.
    pub(super) fn sweep(&self, now: Instant) {
        let mut by_topic = self.lock();
        by_topic.retain(|_, all| {
            all.retain(|foreign| foreign.until.map_or(!foreign.is_over, |until| until > now));
            !all.is_empty()
        });
        self.some.store(!by_topic.is_empty(), Ordering::Relaxed);
    }

    /// Is a message on this topic a command that is over? Its payload is looked for only where there is one.
    pub(super) fn is_over<'a>(&self, topic: &str, payload: impl FnOnce() -> Option<&'a [u8]>) -> bool {
        if !self.some.load(Ordering::Relaxed) {
            return false;
        }
        let by_topic = self.lock();
        let Some(all) = by_topic.get(topic) else { return false };
        let Some(payload) = payload() else { return false };
        let now = Instant::now();
        let mut is_over = false;
        for foreign in all.iter().filter(|foreign| *foreign.payload == *payload) {
            if !foreign.is_over && foreign.until.is_none_or(|until| now < until) {
                return false;
            }
            is_over = true;
        }
        is_over
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Box<str>, Vec<Foreign>>> {
        // Nothing in here panics while holding the lock.
        self.by_topic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
