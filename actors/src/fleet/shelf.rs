//! The repository of an actor's records: each change becomes durable with an event.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Around;
use crate::backoff::until_answered;
use crate::messages::journal::{Append, Barrier};
use crate::post::post;
use twinhub_domain::fleet::{FleetChange, RecordChange, RecordKind};
use twinhub_domain::receipt::Receipt;
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Event, EventBody, Object};
use twinhub_rules::redaction::hide_in_rules;
use twinhub_store::{FleetChanges, FleetRecord, JobOp};

/// A change of a record, in its stored form and in its event's form: the stored one also has the hub's own fields.
pub struct Entry<'a> {
    pub id: &'a str,
    pub change: RecordChange,
    pub kept: Object,
    pub told: Object,
}

/// The repository of records of one kind.
#[derive(Clone)]
pub struct Shelf {
    kind: RecordKind,
    around: Arc<Around>,
}

impl Shelf {
    /// The shelf for records of this kind.
    #[must_use]
    pub fn new(kind: RecordKind, around: Arc<Around>) -> Self {
        Self { kind, around }
    }

    /// All that is on it, however often the store has to be asked.
    pub async fn load(self) -> Vec<FleetRecord> {
        let what = format!("what is kept of each {}", self.kind.as_str());
        until_answered(&what, || self.around.store.records(self.kind)).await
    }

    /// Puts a record as `body`, or removes it where `change` is a removal, with an event, and commits `jobs` with it.
    /// `receipt` is settled after the commit.
    pub fn put(
        &self,
        id: &str,
        change: RecordChange,
        body: Object,
        jobs: Vec<JobOp>,
        cause: Cause,
        receipt: Receipt,
    ) {
        let entry = Entry { id, change, told: hide_in_rules(&body), kept: body };
        self.put_entry(entry, jobs, cause, receipt);
    }

    /// The same for a record whose event leaves fields out.
    pub fn put_entry(&self, entry: Entry<'_>, jobs: Vec<JobOp>, cause: Cause, receipt: Receipt) {
        let Entry { id, change, kept, told } = entry;
        let now = self.around.clock.now();
        let kept = (change != RecordChange::Removed).then_some(kept);
        let record = FleetRecord { kind: self.kind, id: id.into(), body: kept, updated_at: now };
        let change = FleetChange { what: self.kind, id: id.into(), change, body: told };
        let event = Event {
            device: DeviceId::none(),
            number: DeviceNumber::default(),
            at: now,
            received_at: now,
            body: EventBody::Fleet(Box::new(change)),
            cause,
        };
        self.append(vec![event], FleetChanges { records: vec![record], jobs }, receipt);
    }

    /// Keeps a record as `body` without a word of it.
    pub fn keep(&self, id: &str, body: Object, receipt: Receipt) {
        let updated_at = self.around.clock.now();
        let record = FleetRecord { kind: self.kind, id: id.into(), body: Some(body), updated_at };
        self.append(Vec::new(), FleetChanges { records: vec![record], jobs: Vec::new() }, receipt);
    }

    /// Waits until everything is durable that was sent to the journal before.
    pub async fn settled(&self) {
        let (reply, done) = oneshot::channel();
        if post(&self.around.journal, Barrier { reply }).is_ok() {
            let _ = done.await; // an error means the hub goes down
        }
    }

    /// Commits changes of a job's devices, without an event.
    pub fn note(&self, jobs: Vec<JobOp>, receipt: Receipt) {
        self.append(Vec::new(), FleetChanges { records: Vec::new(), jobs }, receipt);
    }

    fn append(&self, events: Vec<Event>, fleet: FleetChanges, receipt: Receipt) {
        let append = Append { fleet: Some(Box::new(fleet)), ..Append::beside_twins(events, receipt) };
        let _ = post(&self.around.journal, append); // without a journal the hub goes down, and the receipt tells
    }
}
