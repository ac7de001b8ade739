//! The end of sessions whose principals have lost their rights. The broker crate asks for no right when it delivers a
//! message, so nothing of such a session may be left: its connection, its subscriptions, its queued messages, its will.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream;
use mqtt5::broker::storage::StorageBackend as _;
use tracing::{debug, info, warn};

use super::accept::Connections;
use super::connection::BrokerShared;
use super::owners::SessionOwners;
use super::wills::Wills;
use super::wire;
use crate::identity::{Authenticator, ClientIdentity};
use crate::topics;

/// Sessions are also looked through this often, for rights that end by themselves.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The least time between two looks: many changes that come together take one.
const PAUSE: Duration = Duration::from_millis(20);
/// A connection that is told to end has this time.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);
/// Sessions that are ended at once.
const AT_ONCE: usize = 64;

/// Ends sessions.
pub(super) struct Revocation {
    common: Arc<BrokerShared>,
    connections: Arc<Connections>,
    wills: Arc<Wills>,
}

impl Revocation {
    pub(super) fn new(common: Arc<BrokerShared>, connections: Arc<Connections>, wills: Arc<Wills>) -> Self {
        Self { common, connections, wills }
    }

    pub(super) fn owners(&self) -> &SessionOwners {
        &self.common.owners
    }

    /// Ends sessions as the rights of their principals end.
    pub(super) async fn run(self: Arc<Self>, authenticator: Arc<dyn Authenticator>) {
        let mut changes = authenticator.changes();
        loop {
            let ended = self.owners().ended();
            for (client, _) in &ended {
                self.connections.tell_to_leave(client, None, wire::NOT_AUTHORIZED);
            }
            let count = ended.len();
            stream::iter(ended)
                .for_each_concurrent(AT_ONCE, |(client, identity)| self.revoke(client, identity))
                .await;
            if count > 0 {
                info!(sessions = count, "MQTT sessions ended: their clients have lost their rights");
            }
            tokio::time::sleep(PAUSE).await;
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    return; // the hub is gone
                },
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
        }
    }

    async fn revoke(&self, client: Arc<str>, identity: Arc<dyn ClientIdentity>) {
        if self.end_session(&client, None).await {
            self.clear_status(&*identity);
            self.owners().release(&client, &identity);
            debug!(%client, principal = identity.name(), "session ended");
        } else {
            warn!(%client, "a client that lost its rights has not left in time, trying again");
        }
    }

    /// Clears the status that a device had retained, where no other session of it goes on: nobody else is to read what
    /// it said by rights that have ended. What the hub retains for it stays.
    fn clear_status(&self, identity: &dyn ClientIdentity) {
        let Some(device) = identity.name().strip_prefix("device:") else { return };
        let is_other =
            |owner: &Arc<dyn ClientIdentity>| owner.principal() == identity.principal() && owner.lasts();
        if self.owners().filter(|_, owner| is_other(owner)).is_empty() {
            self.common.retained.clear(&topics::status(device));
        }
    }

    /// Ends the session of `client` and all its connections, but for the connection `but`, which has none yet. False
    /// where a connection did not end in time.
    pub(super) async fn end_session(&self, client: &str, but: Option<u64>) -> bool {
        self.connections.tell_to_leave(client, but, wire::NOT_AUTHORIZED);
        let left = tokio::time::timeout(LEAVE_WITHIN, self.connections.until_left(client, but)).await;
        self.wills.cancel(client);
        let BrokerShared { router, storage, .. } = &*self.common;
        // Under the lock that a client takes that goes on with a session.
        let slot = router.lock_session(client).await;
        if left.is_err() || router.is_connected(client).await {
            return false;
        }
        let removed = storage.remove_session(client).await;
        let removed = removed.and(storage.remove_all_inflight_messages(client).await);
        if let Err(error) = removed {
            warn!(%client, %error, "a session could not be removed");
            return false;
        }
        router.unregister_client(client).await;
        router.queue_handle(client).clear(None);
        drop(slot);
        self.common.forget(client);
        true
    }
}
