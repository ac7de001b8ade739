//! Messages to the audit trail.

use actix::Message;
use tokio::sync::oneshot;
use twinhub_access::AuditEntry;

/// Appends entries to the audit. Answered when they are durable.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AppendAudit {
    pub entries: Vec<AuditEntry>,
    pub reply: Option<oneshot::Sender<()>>,
}

/// Appends an entry of a refusal. Refusals of one kind are gathered, so that a flood of them is a few entries.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct NoteRefusal(pub AuditEntry);

/// Asks for everything to be written that was appended or noted before. Answered when it is.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FlushAudit {
    pub reply: oneshot::Sender<()>,
}
