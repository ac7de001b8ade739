//! The state of the hub's actors.

use super::Hub;

/// The state of the actors on which the hub's health depends.
#[derive(Clone, Copy, Debug)]
pub struct ActorHealth {
    pub feed: bool,
    pub supervisor: bool,
    pub automation: bool,
    /// The watch of the clock, and the timers.
    pub clock: bool,
}

impl ActorHealth {
    /// The state of this hub's actors now.
    pub(super) fn of(hub: &Hub) -> Self {
        Self {
            feed: hub.feed.connected(),
            supervisor: hub.supervisor.connected(),
            automation: hub.automation.connected(),
            clock: hub.timers.connected() && hub.clock_watch.connected(),
        }
    }
}
