//! The feed: tells live subscribers what has just become durable. A subscriber reads at its own pace
//! from a bounded ring; who falls out of it costs nobody else anything, and reads on from the archive.

use std::sync::Arc;

use actix::{Actor, Context, Handler};
use tokio::sync::broadcast;

use crate::domain::Recorded;
use crate::messages::feed::{Committed, Live, Subscribe};

/// See the module.
pub struct Feed {
    seq: u64,
    ring: broadcast::Sender<Arc<[Arc<Recorded>]>>,
}

impl Feed {
    /// A feed after `seq`, that keeps `depth` commits for those who are behind.
    #[must_use]
    pub fn new(seq: u64, depth: usize) -> Self {
        Self { seq, ring: broadcast::Sender::new(depth.max(1)) }
    }
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
        let _ = self.ring.send(events); // an error says that nobody listens
    }
}

impl Handler<Subscribe> for Feed {
    type Result = Live;

    fn handle(&mut self, _: Subscribe, _: &mut Context<Self>) -> Live {
        Live { seq: self.seq, events: self.ring.subscribe() }
    }
}
