//! The feed: sends live subscribers the events that have just become durable. A subscriber reads at its own pace from a
//! bounded ring; one that falls out of it costs the others nothing, and reads on from the archive. Clients that wait
//! for the answer to one command get that command's events alone.

use std::collections::HashMap;
use std::sync::Arc;

use actix::{Actor, Context, Handler};
use tokio::sync::broadcast;

use crate::messages::feed::{Committed, EventBatch, LiveFeed, SubscribeFeed, WatchCommands};
use twinhub_domain::{CommandId, DeviceId, EventBody, Recorded};

/// The actor of the live feed.
pub struct Feed {
    seq: u64,
    ring: broadcast::Sender<EventBatch>,
    watching: HashMap<DeviceId, Vec<WatchCommands>>,
    /// The number of watched devices at which those without a watcher are swept out.
    sweep_at: usize,
}

/// Fewer watched devices than this are not worth a look.
const FEW: usize = 64;

impl Feed {
    /// A feed after `seq`, that keeps `depth` commits for subscribers that are behind.
    #[must_use]
    pub fn new(seq: u64, depth: usize) -> Self {
        Self { seq, ring: broadcast::Sender::new(depth.max(1)), watching: HashMap::new(), sweep_at: FEW }
    }

    /// Forgets watchers that gave up. A device whose commands never change would be kept for ever otherwise.
    fn sweep(&mut self) {
        self.watching.retain(|_, watching| {
            watching.retain(|watch| !watch.tell.is_closed());
            !watching.is_empty()
        });
        self.sweep_at = FEW.max(self.watching.len() * 2); // so that a look costs each who comes the same
    }

    fn notify_watchers(&mut self, events: &[Arc<Recorded>]) {
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
            self.notify_watchers(&events);
        }
        let _ = self.ring.send(events); // an error says that nobody listens
    }
}

impl Handler<SubscribeFeed> for Feed {
    type Result = LiveFeed;

    fn handle(&mut self, _: SubscribeFeed, _: &mut Context<Self>) -> LiveFeed {
        LiveFeed { seq: self.seq, events: self.ring.subscribe() }
    }
}

impl Handler<WatchCommands> for Feed {
    type Result = ();

    fn handle(&mut self, watch: WatchCommands, _: &mut Context<Self>) {
        if self.watching.len() >= self.sweep_at {
            self.sweep();
        }
        let watching = self.watching.entry(watch.device.clone()).or_default();
        watching.retain(|watch| !watch.tell.is_closed()); // who gave up makes room
        watching.push(watch);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn closed_watches_are_forgotten() {
        let mut feed = Feed::new(0, 1);
        let mut ctx = Context::new();
        let mut watch = |n: usize| {
            let (tell, heard) = mpsc::unbounded_channel();
            let device = DeviceId::parse(&format!("pump-{n}")).unwrap();
            feed.handle(WatchCommands { device, command: None, tell }, &mut ctx);
            (heard, feed.watching.len())
        };
        let _stays = watch(0);
        for n in 1..10 * FEW {
            let (_gives_up, watched) = watch(n);
            assert!(watched <= FEW, "{watched} at {n}");
        }
        let stay: Vec<_> = (0..10 * FEW).map(watch).collect();
        assert_eq!(stay.last().unwrap().1, 10 * FEW, "who waits is not forgotten");
    }
}
