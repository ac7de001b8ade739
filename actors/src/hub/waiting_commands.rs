//! Messages that wait for devices at the hub's start.

use std::sync::Arc;

use actix::Addr;
use tracing::warn;

use crate::backoff::STORE;
use crate::ingress::listens;
use crate::mailbox::try_send_unbounded;
use crate::supervisor::Supervisor;
use twinhub_domain::twin::Downlink;
use twinhub_domain::{CommandStatus, DeviceId};
use twinhub_mqtt::dialects::Dialects;
use twinhub_mqtt::subscribers::Subscribers;
use twinhub_store::{CommandPage, CommandQuery, Store, StoreError};

/// The number of waiting commands that are read at a time after the start.
const COMMANDS_AT_ONCE: u64 = 1_000;

/// Registers the devices of waiting commands, so that their twins are notified of a listener: after a start no other
/// part knows that they wait.
pub(super) async fn waiting_commands(
    store: Arc<dyn Store>,
    supervisor: Addr<Supervisor>,
    subscribers: Arc<Subscribers>,
    dialects: Arc<Dialects>,
) {
    let tell = |device: DeviceId| {
        // The listeners to topics of other dialects are unknown.
        if !dialects.is_told_natively(&device) || subscribers.wait(&device, Downlink::Commands) {
            let _ = try_send_unbounded(&supervisor, listens(device, Downlink::Commands)); // or the hub is shutting down
        }
    };
    each_waiting(COMMANDS_AT_ONCE, async |query| store.commands(&query).await, tell).await;
}

/// Tells of the device of each command that waits, however often the store has to be asked. What waits becomes less
/// meanwhile, so the next page begins where the last one ended in time, and passes over nothing.
async fn each_waiting(
    at_once: u64,
    mut ask: impl AsyncFnMut(CommandQuery) -> Result<CommandPage, StoreError>,
    mut tell: impl FnMut(DeviceId),
) {
    let status = vec![CommandStatus::Pending];
    let mut query = CommandQuery { status, limit: at_once, ..CommandQuery::default() };
    let mut tries = 0;
    loop {
        let CommandPage { commands, total } = match ask(query.clone()).await {
            Ok(page) => page,
            Err(error) => {
                tries += 1;
                warn!(%error, "could not look which commands wait, trying again");
                tokio::time::sleep(STORE.wait(tries).unwrap_or(STORE.longest)).await;
                continue;
            }
        };
        tries = 0;
        let last = commands.last().map(|record| record.command.created_at);
        commands.into_iter().for_each(|record| tell(record.device));
        if total <= query.limit {
            return;
        }
        if last > query.from {
            query.from = last;
        } else {
            query.limit = query.limit.saturating_mul(2); // more of them are of one moment than fit on a page
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use uuid::Uuid;

    use super::*;
    use twinhub_domain::{Cause, Command, CommandId, CommandRequest, DeviceNumber, Json, Timestamp};
    use twinhub_store::{CommandRecord, select};

    /// A command that waits.
    fn pending(n: u8, created_at: Timestamp) -> CommandRecord {
        let Ok(Json::Object(request)) = r#"{"command_type": "go"}"#.parse() else { unreachable!() };
        let command = Command {
            id: CommandId(Uuid::from_u128(u128::from(n))),
            request: CommandRequest::parse(request).unwrap(),
            status: CommandStatus::Pending,
            reason: None,
            response: None,
            attempts: 0,
            created_at,
            expires_at: created_at.plus_millis(60_000),
            updated_at: created_at,
            due: None,
            cause: Cause::hub(),
            history: Vec::new(),
        };
        let device = DeviceId::parse(&format!("d-{n:02}")).unwrap();
        CommandRecord { device, number: DeviceNumber(i64::from(n) + 1), command }
    }

    /// Half of a page's commands have gone out before the next is read; more are of one moment than fit on a page.
    #[tokio::test]
    async fn no_command_is_passed_over_while_others_go() {
        let all: Vec<_> = (0..40).map(|n| pending(n, Timestamp::from_millis(i64::from(n / 8)))).collect();
        let mut waiting: BTreeMap<_, _> = all
            .iter()
            .map(|record| ((record.command.created_at, record.command.id), record.clone()))
            .collect();
        let (mut gone, mut notified) = (HashSet::new(), HashSet::new());
        let ask = async |query: CommandQuery| {
            let found: Vec<_> =
                waiting.values().filter(|record| select::is_asked_for(&query, record)).cloned().collect();
            let total = found.len() as u64;
            let [offset, limit] = [query.offset, query.limit].map(|n| usize::try_from(n).unwrap());
            let commands: Vec<_> = found.into_iter().skip(offset).take(limit).collect();
            for record in commands.iter().step_by(2) {
                waiting.remove(&(record.command.created_at, record.command.id));
                gone.insert(record.device.clone());
            }
            Ok(CommandPage { commands, total })
        };
        each_waiting(3, ask, |device| {
            notified.insert(device);
        })
        .await;
        assert!(all.iter().all(|record| notified.contains(&record.device)), "{notified:?}");
        assert!(!gone.is_empty());
    }
}
