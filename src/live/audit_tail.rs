//! Entries of the audit as they come. They are read from the store behind the last one that was told, so a follower misses
//! none, whatever wrote it, and goes on at a place after it was away. What waits to be written is not hurried for it:
//! refusals gather for up to a second, so that many of a kind are one entry.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tracing::debug;
use twinhub_access::AuditRecord;
use twinhub_actors::access::Grant;
use twinhub_actors::messages::accounts::{AuditFilter, ListAudit};
use twinhub_actors::messages::audit::FlushAudit;

use crate::http::problem::ApiError;

/// The interval of looks for new entries.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Entries in one batch at most.
pub(crate) const BATCH: u64 = 100;
/// Batches that wait for a follower.
const ROOM: usize = 4;

/// The entries behind a place, batch by batch. Dropped, it ends.
#[derive(Debug)]
pub(crate) struct AuditTail {
    /// The place after which its entries come.
    pub since: u64,
    batches: mpsc::Receiver<Vec<AuditRecord>>,
}

impl AuditTail {
    /// Begins after `filter.since`, or with the next entry. `grant` must have the permission for the audit.
    ///
    /// # Errors
    /// It has not, or the store does not answer.
    pub async fn begin(grant: Grant, filter: AuditFilter) -> Result<Self, ApiError> {
        let since = match filter.since {
            Some(since) => since,
            None => {
                let newest = AuditFilter { limit: 1, ..AuditFilter::default() };
                entries(&grant, newest).await?.first().map_or(0, |record| record.seq)
            }
        };
        let (sender, batches) = mpsc::channel(ROOM);
        actix_rt::spawn(follow(grant, AuditFilter { since: Some(since), ..filter }, sender));
        Ok(Self { since, batches })
    }

    /// The next entries. Dropping it half-way loses none.
    pub async fn next(&mut self) -> Vec<AuditRecord> {
        match self.batches.recv().await {
            Some(batch) => batch,
            None => std::future::pending().await, // the hub is shutting down
        }
    }
}

/// Sends entries until nobody takes them any more.
async fn follow(grant: Grant, mut filter: AuditFilter, sender: mpsc::Sender<Vec<AuditRecord>>) {
    (filter.oldest_first, filter.limit, filter.before) = (true, BATCH, None);
    loop {
        match written(&grant, filter.clone()).await {
            Ok(batch) => {
                let is_last = (batch.len() as u64) < BATCH;
                if let Some(last) = batch.last() {
                    filter.since = Some(last.seq);
                    if sender.send(batch).await.is_err() {
                        return;
                    }
                }
                if !is_last {
                    continue;
                }
            }
            Err(error) => debug!(%error, "the audit cannot be read, trying again"),
        }
        tokio::select! {
            () = sender.closed() => return,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Entries of the audit, true to all that was done and refused before.
///
/// # Errors
/// The caller may not read them, or the store does not answer.
pub(crate) async fn entries(grant: &Grant, query: AuditFilter) -> Result<Vec<AuditRecord>, ApiError> {
    let (reply, flushed) = oneshot::channel();
    grant.ask(FlushAudit { reply }).await?;
    grant.answer(flushed).await?;
    written(grant, query).await
}

/// The entries that are written already.
async fn written(grant: &Grant, query: AuditFilter) -> Result<Vec<AuditRecord>, ApiError> {
    let (reply, found) = oneshot::channel();
    grant.ask(ListAudit { query, reply }).await?;
    Ok(grant.answer(found).await??)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use twinhub_access::Action;
    use twinhub_actors::access::Caller;
    use twinhub_actors::{Hub, Settings};
    use twinhub_domain::Timestamp;
    use twinhub_domain::cause::Source;
    use twinhub_store::MemoryStore;
    use twinhub_testkit::{CommitFault, FailingStore, ManualClock, within};

    use super::*;

    #[actix_web::test]
    async fn followers_do_not_wait_for_what_is_not_written() {
        let store = FailingStore::around(Arc::new(MemoryStore::default()));
        let clock = ManualClock::at(Timestamp::from_millis(0));
        let hub = Hub::start(store.clone(), clock, Settings::default()).await.unwrap();
        let grant = hub.of(Caller::Program, Source::Rest);
        grant.audit_done(Action::GroupRemoved, "group:written", []).await;
        store.break_commits(CommitFault::Failed);
        hub.append_audit(vec![grant.audit_entry(Action::GroupRemoved, "group:waiting")], None);
        let action = Some(Action::GroupRemoved);
        let filter = AuditFilter { since: Some(0), action, ..AuditFilter::default() };
        let mut tail = AuditTail::begin(grant, filter).await.unwrap();
        let told = within("the entry that is written", tail.next()).await;
        assert_eq!(told.iter().map(|record| &*record.entry.target).collect::<Vec<_>>(), ["group:written"]);
    }
}
