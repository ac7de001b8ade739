//! The end of the hub.

use std::time::Duration;

use tokio::sync::oneshot;

use super::Hub;
use crate::mailbox::try_send_unbounded;
use crate::messages::archive::StopCompaction;
use crate::messages::automation::Flush;
use crate::messages::jobs::StopJobs;
use crate::messages::journal::CloseJournal;
use crate::messages::webhooks::DrainWebhooks;
use crate::{accounts, audit};

/// The time that closing waits for a store that fails. Messages that are not committed then were never acknowledged.
const LONGEST_CLOSE: Duration = Duration::from_secs(3);
/// The time that it waits before that for the answers to webhooks. Requests that are not answered then are sent again.
const LAST_WEBHOOKS: Duration = Duration::from_millis(500);

/// Commits pending outcomes and takes nothing more in. True when all of it became durable.
pub async fn close(hub: &Hub) -> bool {
    let _ = try_send_unbounded(&hub.jobs, StopJobs); // gone is as good
    let _ = tokio::time::timeout(LONGEST_CLOSE, accounts::close(&hub.accounts)).await; // a store that fails
    let _ = tokio::time::timeout(LONGEST_CLOSE, audit::close(&hub.audit)).await; // the same
    let (reply, flushed) = oneshot::channel();
    let _ = try_send_unbounded(&hub.automation, Flush { reply }); // gone, the wait ends
    let _ = tokio::time::timeout(LONGEST_CLOSE, flushed).await; // what is not kept is made again
    let (reply, rested) = oneshot::channel();
    if try_send_unbounded(&hub.webhooks, DrainWebhooks { reply }).is_ok() {
        let _ = tokio::time::timeout(LAST_WEBHOOKS, rested).await; // what is under way still comes again
    }
    let (reply, closed) = oneshot::channel();
    let all = try_send_unbounded(&hub.journal, CloseJournal { reply }).is_ok()
        && tokio::time::timeout(LONGEST_CLOSE, closed).await.is_ok_and(|reply| reply.is_ok());
    let _ = hub.archive.send(StopCompaction).await; // gone is as good
    all
}
