//! What waits for devices when the hub starts.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use tracing::warn;

use crate::domain::CommandStatus;
use crate::domain::twin::Ear;
use crate::door::listens;
use crate::mqtt::subscribers::Subscribers;
use crate::post::post;
use crate::store::{CommandQuery, Store};
use crate::supervisor::Supervisor;

/// Commands that wait are read so many at a time after the start.
const COMMANDS_AT_ONCE: u64 = 1_000;
/// The wait before that is tried again.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Has the devices that commands wait for told as soon as somebody listens to them: after a start nobody else knows
/// that they wait.
pub(super) async fn waiting_commands(
    store: Arc<dyn Store>,
    supervisor: Addr<Supervisor>,
    subscribers: Arc<Subscribers>,
) {
    let status = vec![CommandStatus::Pending];
    let mut query = CommandQuery { status, limit: COMMANDS_AT_ONCE, ..CommandQuery::default() };
    loop {
        let page = match store.commands(&query).await {
            Ok(page) => page,
            Err(error) => {
                warn!(%error, "could not look which commands wait, trying again");
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            }
        };
        if page.commands.is_empty() {
            return;
        }
        query.offset += page.commands.len() as u64;
        for record in page.commands {
            if subscribers.wait(&record.device, Ear::Commands) {
                let _ = post(&supervisor, listens(record.device, Ear::Commands)); // or the hub is going down
            }
        }
    }
}
