//! The layouts of dashboards, each a document that pages read and replace whole. The hub does not look into them.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, WrapFuture};
use tokio::sync::oneshot;
use tracing::warn;

use super::{FleetDeps, RecordEntry, RecordRepository};
use crate::mailbox::{send_reply, try_send_unbounded};
use crate::messages::layouts::{LayoutLost, PutLayout, ReadLayout};
use twinhub_domain::fleet::{RecordChange, RecordKind};
use twinhub_domain::receipt::Receipt;
use twinhub_domain::{Json, Object};

/// The member of a record with the text: as an object it would lose the order of its members.
const TEXT: &str = "text";

/// A layout is durable, or was lost.
#[derive(Message)]
#[rtype(result = "()")]
struct LayoutSettled {
    name: Box<str>,
    text: Box<str>,
    done: bool,
    reply: oneshot::Sender<Result<(), LayoutLost>>,
}

/// The actor of the layouts.
pub struct Layouts {
    repository: RecordRepository,
    /// The text of each as it was last committed, by name.
    texts: BTreeMap<Box<str>, Box<str>>,
}

impl Layouts {
    /// The actor, which reads its records from the store as it starts.
    #[must_use]
    pub fn new(deps: Arc<FleetDeps>) -> Self {
        Self { repository: RecordRepository::new(RecordKind::Layout, deps), texts: BTreeMap::new() }
    }
}

impl Actor for Layouts {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Whatever comes waits until it is known what there is.
        ctx.wait(self.repository.clone().load().into_actor(self).map(|records, this, _| {
            for record in records {
                let text = record.body.as_ref().and_then(|body| body.get(TEXT)).and_then(Json::as_str);
                match text {
                    Some(text) => drop(this.texts.insert(record.id, text.into())),
                    None => warn!(layout = %record.id, "a layout makes no sense"),
                }
            }
        }));
    }
}

impl Handler<PutLayout> for Layouts {
    type Result = ();

    fn handle(&mut self, PutLayout { name, text, cause, reply }: PutLayout, ctx: &mut Context<Self>) {
        let stored: Object = [(TEXT, Json::String(text.clone()))].into_iter().collect();
        // The event says which: whoever wants to see it reads it.
        let in_event: Object = [("id", Json::String(name.clone()))].into_iter().collect();
        let is_known = self.texts.contains_key(&name);
        let change = if is_known { RecordChange::Changed } else { RecordChange::Made };
        let (id, this) = (name.clone(), ctx.address());
        let receipt = Receipt::new(move |settled| {
            // Without the actor the hub is shutting down, and the caller's reply is dropped.
            let _ = try_send_unbounded(&this, LayoutSettled { name, text, done: settled.is_ok(), reply });
        });
        let entry = RecordEntry { id: &id, change, stored, in_event };
        self.repository.put_entry(entry, Vec::new(), cause, receipt);
    }
}

impl Handler<LayoutSettled> for Layouts {
    type Result = ();

    fn handle(&mut self, settled: LayoutSettled, _: &mut Context<Self>) {
        let LayoutSettled { name, text, done, reply } = settled;
        if done {
            self.texts.insert(name, text);
        }
        send_reply(reply, if done { Ok(()) } else { Err(LayoutLost) });
    }
}

impl Handler<ReadLayout> for Layouts {
    type Result = Option<Box<str>>;

    fn handle(&mut self, ReadLayout(name): ReadLayout, _: &mut Context<Self>) -> Self::Result {
        self.texts.get(&name).cloned()
    }
}
