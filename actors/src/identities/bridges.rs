//! Clients with the key of a bridge.

use std::sync::Arc;

use async_trait::async_trait;
use twinhub_access::{Bridge, SecretId};
use twinhub_mqtt::identity::{Allowance, ClientIdentity, TopicAllowance};

use super::ClientIdentitiesShared;
use crate::accounts::directory;

/// A bridge. It reaches devices by its topics alone, which may be those of devices: then the hub hears it as these.
pub struct BridgeClient {
    name: Box<str>,
    principal: Box<str>,
    topics: BridgeTopics,
    identity: directory::Identity,
    shared: Arc<ClientIdentitiesShared>,
}

struct BridgeTopics(Bridge);

impl BridgeClient {
    /// A client with the key of this id.
    pub fn new(
        key: &SecretId,
        bridge: Bridge,
        identity: directory::Identity,
        shared: Arc<ClientIdentitiesShared>,
    ) -> Self {
        let (name, principal) = (identity.caller.name().into(), format!("key:{key}").into());
        Self { name, principal, topics: BridgeTopics(bridge), identity, shared }
    }
}

impl TopicAllowance for BridgeTopics {
    fn may_publish(&self, topic: &str) -> bool {
        self.0.may_publish(topic)
    }

    fn may_subscribe(&self, filter: &str) -> bool {
        self.0.may_subscribe(filter)
    }

    fn has_hub_topics(&self) -> bool {
        self.0.hub_topics
    }
}

#[async_trait]
impl ClientIdentity for BridgeClient {
    fn name(&self) -> &str {
        &self.name
    }

    fn principal(&self) -> &str {
        &self.principal
    }

    fn allowance(&self) -> Allowance {
        Allowance::OwnTopics
    }

    fn lasts(&self) -> bool {
        self.shared.deps.directory.is_valid(&self.identity)
    }

    fn topics(&self) -> Option<&dyn TopicAllowance> {
        Some(&self.topics)
    }
}
