//! The repository of an actor's records: each change is committed with an event.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::FleetDeps;
use crate::backoff::until_answered;
use crate::mailbox::try_send_unbounded;
use crate::messages::journal::{Append, Barrier};
use twinhub_domain::fleet::{FleetChange, RecordChange, RecordKind};
use twinhub_domain::receipt::Receipt;
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Event, EventBody, Object};
use twinhub_rules::redaction::hide_in_rules;
use twinhub_store::{FleetChanges, FleetRecord, JobOp};

/// A change of a record, in its stored form and in its event's form: the stored one also has the hub's own fields.
pub struct RecordEntry<'a> {
    pub id: &'a str,
    pub change: RecordChange,
    pub stored: Object,
    pub in_event: Object,
}

/// The repository of records of one kind.
#[derive(Clone)]
pub struct RecordRepository {
    kind: RecordKind,
    deps: Arc<FleetDeps>,
}

impl RecordRepository {
    /// The repository for records of this kind.
    #[must_use]
    pub fn new(kind: RecordKind, deps: Arc<FleetDeps>) -> Self {
        Self { kind, deps }
    }

    /// All records, however often the store has to be asked.
    pub async fn load(self) -> Vec<FleetRecord> {
        let what = format!("the records of each {}", self.kind.as_str());
        until_answered(&what, || self.deps.store.records(self.kind)).await
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
        let entry = RecordEntry { id, change, in_event: hide_in_rules(&body), stored: body };
        self.put_entry(entry, jobs, cause, receipt);
    }

    /// The same for a record whose event leaves fields out.
    pub fn put_entry(&self, entry: RecordEntry<'_>, jobs: Vec<JobOp>, cause: Cause, receipt: Receipt) {
        let RecordEntry { id, change, stored, in_event } = entry;
        let now = self.deps.clock.now();
        let stored = (change != RecordChange::Removed).then_some(stored);
        let record = FleetRecord { kind: self.kind, id: id.into(), body: stored, updated_at: now };
        let change = FleetChange { what: self.kind, id: id.into(), change, body: in_event };
        let event = Event {
            device: DeviceId::none(),
            number: DeviceNumber::default(),
            at: now.into(),
            received_at: now,
            body: EventBody::Fleet(Box::new(change)),
            cause,
        };
        self.append(vec![event], FleetChanges { records: vec![record], jobs }, receipt);
    }

    /// Stores a record as `body` without an event.
    pub fn put_silently(&self, id: &str, body: Object, receipt: Receipt) {
        let updated_at = self.deps.clock.now();
        let record = FleetRecord { kind: self.kind, id: id.into(), body: Some(body), updated_at };
        self.append(Vec::new(), FleetChanges { records: vec![record], jobs: Vec::new() }, receipt);
    }

    /// Waits until everything is durable that was sent to the journal before.
    pub async fn flush(&self) {
        let (reply, done) = oneshot::channel();
        if try_send_unbounded(&self.deps.journal, Barrier { reply }).is_ok() {
            let _ = done.await; // an error means that the hub shuts down
        }
    }

    /// Commits changes of a job's devices, without an event.
    pub fn commit_job_ops(&self, jobs: Vec<JobOp>, receipt: Receipt) {
        self.append(Vec::new(), FleetChanges { records: Vec::new(), jobs }, receipt);
    }

    fn append(&self, events: Vec<Event>, fleet: FleetChanges, receipt: Receipt) {
        let append = Append { fleet: Some(Box::new(fleet)), ..Append::beside_twins(events, receipt) };
        // Without a journal the hub is shutting down, and the receipt is lost.
        let _ = try_send_unbounded(&self.deps.journal, append);
    }
}
