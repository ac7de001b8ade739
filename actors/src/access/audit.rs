//! The audit of a caller's actions.

use std::time::Duration;

use tokio::sync::oneshot;
use tracing::error;
use twinhub_access::{Action, AuditEntry, AuditOutcome};
use twinhub_domain::{Input, Json, Object};

use super::Grant;
use crate::hub::Hub;
use crate::mailbox::try_send_unbounded;
use crate::messages::audit::{AppendAudit, NoteRefusal};

/// The longest that an answer waits for its entry. The entry is kept, and written when the store takes it.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

impl Grant {
    /// An entry of what this caller did just now to `target`: `group:hall-2`.
    #[must_use]
    pub fn audit_entry(&self, action: Action, target: &str) -> AuditEntry {
        let entry = AuditEntry::new(self.now(), &self.caller().name(), action).with_target(target);
        match self.address() {
            Some(address) => entry.with_address(address),
            None => entry,
        }
    }

    /// Appends an entry of what this caller did to `target`, as [`Grant::audit`] does.
    pub async fn audit_done<'a>(
        &self,
        action: Action,
        target: &str,
        detail: impl IntoIterator<Item = (&'a str, Json)>,
    ) {
        self.audit(self.audit_entry(action, target).with_detail(detail.into_iter().collect())).await;
    }

    /// Appends an entry of a change that is made, and waits until it is durable. Of a store that does not take it in it
    /// is written later.
    pub async fn audit(&self, entry: AuditEntry) {
        let (reply, durable) = oneshot::channel();
        self.hub().append_audit(vec![entry], Some(reply));
        let _ = tokio::time::timeout(LONGEST_WAIT, durable).await; // it is written later, or the hub ends
    }

    /// Notes that this caller was refused `target`. It is written within a second; many of a kind are one entry.
    pub fn audit_refusal(&self, action: Action, target: &str, detail: Object) {
        let entry = self.audit_entry(action, target).with_outcome(AuditOutcome::Refused);
        self.hub().note_refusal(entry.with_detail(detail));
    }
}

/// The action that the audit knows an input for a device by, where it does.
pub(super) fn audited(input: &Input) -> Option<(Action, Object)> {
    match input {
        Input::Delete => Some((Action::DeviceRemoved, Object::default())),
        Input::SetLifecycle { state, .. } => {
            let to = [("to", Json::from(state.as_str()))];
            Some((Action::LifecycleChanged, to.into_iter().collect()))
        }
        _ => None,
    }
}

impl Hub {
    /// Appends entries to the audit. `reply` is told when they are durable.
    pub fn append_audit(&self, entries: Vec<AuditEntry>, reply: Option<oneshot::Sender<()>>) {
        if try_send_unbounded(&self.audit, AppendAudit { entries, reply }).is_err() {
            error!("an entry of the audit is lost: the hub is shutting down");
        }
    }

    /// Notes a refusal in the audit. It is written within a second; many of a kind are one entry.
    pub fn note_refusal(&self, entry: AuditEntry) {
        let _ = try_send_unbounded(&self.audit, NoteRefusal(entry)); // gone, nobody is let in any more
    }
}
