//! Messages to the journal.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use actix::Message;
use tokio::sync::oneshot;

use twinhub_domain::Outgoing;
use twinhub_domain::receipt::{Accepted, Receipt};
use twinhub_domain::{DeviceNumber, Event, Twin};
use twinhub_store::{AutomationChanges, CommandRecord, FleetChanges};

/// A twin's outcome, to be committed; the receipt is settled with `taken` after that.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Append {
    pub events: Vec<Event>,
    /// The twin's state after the events, where more than its readings changed: its row is written with
    /// them. Left out, the row follows later; the events say all.
    pub state: Option<Box<Twin>>,
    /// The twin is to be removed with all it has.
    pub removed: Option<DeviceNumber>,
    /// Its commands that changed, as they are after the events.
    pub commands: Vec<CommandRecord>,
    pub outgoing: Vec<Outgoing>,
    /// Automation's part of the commit.
    pub automation: Option<Box<AutomationChanges>>,
    /// The fleet's part of the commit.
    pub fleet: Option<Box<FleetChanges>>,
    pub receipt: Receipt,
    /// The receipt's settlement; the journal adds the `seq`.
    pub taken: Accepted,
    /// The number of its twin's outcomes that are not committed yet: one less after this.
    pub pending: Arc<AtomicU32>,
}

impl Append {
    /// Events that no twin made, messages to devices, and automation's writes with them.
    #[must_use]
    pub fn with_kept(
        events: Vec<Event>,
        outgoing: Vec<Outgoing>,
        kept: AutomationChanges,
        receipt: Receipt,
    ) -> Self {
        let automation = (!kept.is_empty()).then(|| Box::new(kept));
        Self { outgoing, automation, ..Self::beside_twins(events, receipt) }
    }

    /// Events that no twin brought about.
    #[must_use]
    pub fn beside_twins(events: Vec<Event>, receipt: Receipt) -> Self {
        Self {
            events,
            state: None,
            removed: None,
            commands: Vec::new(),
            outgoing: Vec::new(),
            automation: None,
            fleet: None,
            receipt,
            taken: Accepted::default(),
            pending: Arc::new(AtomicU32::new(1)),
        }
    }
}

/// Answered as soon as everything sent to the journal before it is committed.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Barrier {
    pub reply: oneshot::Sender<()>,
}

/// Outgoing messages that were delivered: they leave the outbox with the next commit.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct OutgoingDelivered {
    pub ids: Vec<u64>,
}

/// Commits pending outcomes and takes nothing more in. Answered when that is done.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CloseJournal {
    pub reply: oneshot::Sender<()>,
}
