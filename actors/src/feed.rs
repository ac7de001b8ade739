//! The feed: tells live subscribers what has just become durable. A subscriber reads at its own pace
//! from a bounded ring; who falls out of it costs nobody else anything, and reads on from the archive.
//! Beside it stand those who wait for the answer to one command: they are told of that alone.

use std::collections::HashMap;
use std::sync::Arc;

use actix::{Actor, Context, Handler};
use tokio::sync::broadcast;

use crate::domain::{CommandId, DeviceId, EventBody, Recorded};
use crate::messages::feed::{Committed, Live, Subscribe, WatchCommands};

/// See the module.
pub struct Feed {
    seq: u64,
    ring: broadcast::Sender<Arc<[Arc<Recorded>]>>,
    watching: HashMap<DeviceId, Vec<WatchCommands>>,
}

impl Feed {
    /// A feed after `seq`, that keeps `depth` commits for those who are behind.
    #[must_use]
    pub fn new(seq: u64, depth: usize) -> Self {
        Self { seq, ring: broadcast::Sender::new(depth.max(1)), watching: HashMap::new() }
    }

    fn tell_watching(&mut self, events: &[Arc<Recorded>]) {
        for recorded in events {
            let EventBody::Command(change) = &recorded.event.body else { continue };
            let Some(watching) = self.watching.get_mut(&recorded.event.device) else { continue };
            watching
                .retain(|watch| !wants(watch, change.id) || watch.tell.send(Arc::clone(recorded)).is_ok());
            if watching.is_empty() {
                self.watching.remove(&recorded.event.device);
            }
        }
    }
}

fn wants(watch: &WatchCommands, id: CommandId) -> bool {
    watch.command.is_none_or(|wanted| wanted == id)
}

impl Actor for Feed {
    type Context = Context<Self>;
}

impl Handler<Committed> for Feed {
    type Result = ();

    fn handle(&mut self, Committed { events }: Committed, _: &mut Context<Self>) {
        if let Some(last) = events.last() {
            self.seq = last.seq;
        }
        if !self.watching.is_empty() {
            self.tell_watching(&events);
        }
        let _ = self.ring.send(events); // an error says that nobody listens
    }
}

impl Handler<Subscribe> for Feed {
    type Result = Live;

    fn handle(&mut self, _: Subscribe, _: &mut Context<Self>) -> Live {
        Live { seq: self.seq, events: self.ring.subscribe() }
    }
}

impl Handler<WatchCommands> for Feed {
    type Result = ();

    fn handle(&mut self, watch: WatchCommands, _: &mut Context<Self>) {
        let watching = self.watching.entry(watch.device.clone()).or_default();
        watching.retain(|watch| !watch.tell.is_closed()); // who gave up makes room
        watching.push(watch);
    }
}
