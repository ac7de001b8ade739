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
    held: Mutex<ForeignIndex>,
    /// There are some: most hubs have none, and every packet to a client asks.
    some: AtomicBool,
}

#[derive(Debug, Default)]
struct ForeignIndex {
    by_topic: HashMap<Box<str>, Vec<ForeignCommand>>,
    /// The topics of those that still hold: every command that ends is looked for, and there may be very many.
    topics: HashMap<CommandId, Box<str>>,
}

#[derive(Debug)]
struct ForeignCommand {
    command: CommandId,
    payload: Bytes,
    /// After this it is over, and the broker drops it by itself.
    until: Option<Instant>,
    is_over: bool,
}

impl ForeignCommands {
    /// Notes a command before the broker gets it. Its earlier attempt is over.
    pub(super) fn add(&self, command: CommandId, topic: &str, payload: &Bytes, until: Option<Instant>) {
        let foreign = ForeignCommand { command, payload: payload.clone(), until, is_over: false };
        let mut held = self.lock();
        held.end(command);
        held.topics.insert(command, topic.into());
        held.by_topic.entry(topic.into()).or_default().push(foreign);
        self.some.store(true, Ordering::Relaxed);
    }

    /// The command is over.
    pub(super) fn end(&self, command: CommandId) {
        if self.some.load(Ordering::Relaxed) {
            self.lock().end(command);
        }
    }

    /// Lets go of those that the broker drops by itself, and of those that are over and have no end.
    pub(super) fn sweep(&self, now: Instant) {
        let mut held = self.lock();
        let ForeignIndex { by_topic, topics } = &mut *held;
        by_topic.retain(|_, all| {
            all.retain(|foreign| {
                let stays = foreign.until.map_or(!foreign.is_over, |until| until > now);
                if !stays && !foreign.is_over {
                    topics.remove(&foreign.command);
                }
                stays
            });
            !all.is_empty()
        });
        self.some.store(!by_topic.is_empty(), Ordering::Relaxed);
    }

    /// Is a message on this topic a command that is over? Its payload is looked for only where there is one.
    pub(super) fn is_over<'a>(&self, topic: &str, payload: impl FnOnce() -> Option<&'a [u8]>) -> bool {
        if !self.some.load(Ordering::Relaxed) {
            return false;
        }
        let held = self.lock();
        let Some(all) = held.by_topic.get(topic) else { return false };
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

    fn lock(&self) -> MutexGuard<'_, ForeignIndex> {
        // Nothing in here panics while holding the lock.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ForeignIndex {
    fn end(&mut self, command: CommandId) {
        let Some(topic) = self.topics.remove(&command) else { return };
        let all = self.by_topic.get_mut(&topic).into_iter().flatten();
        all.filter(|foreign| foreign.command == command).for_each(|foreign| foreign.is_over = true);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn nothing_is_held_beyond_its_end() {
        let commands = ForeignCommands::default();
        let now = Instant::now();
        let id = |number| CommandId(uuid::Uuid::from_u128(number));
        for (number, seconds) in [(1, Some(10)), (2, Some(20)), (3, None)] {
            let until = seconds.map(|seconds| now + Duration::from_secs(seconds));
            commands.add(id(number), "cmnd/lamp/POWER", &Bytes::from_static(b"ON"), until);
        }
        commands.add(
            id(2),
            "cmnd/lamp/POWER2",
            &Bytes::from_static(b"ON"),
            Some(now + Duration::from_secs(30)),
        );
        let counts = || {
            let held = commands.lock();
            (held.by_topic.values().map(Vec::len).sum::<usize>(), held.topics.len())
        };
        assert_eq!(counts(), (4, 3), "an earlier attempt is kept from devices until it ends");
        commands.sweep(now + Duration::from_secs(10));
        assert_eq!(counts(), (3, 2));
        commands.end(id(3));
        commands.sweep(now + Duration::from_secs(20));
        assert_eq!(counts(), (1, 1));
        commands.sweep(now + Duration::from_secs(30));
        assert_eq!(counts(), (0, 0));
        assert!(!commands.is_over("cmnd/lamp/POWER", || Some(b"ON")));
    }
}
