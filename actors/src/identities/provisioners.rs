//! Clients with a provisioning key: devices that register themselves.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use twinhub_access::SecretId;
use twinhub_domain::DeviceId;
use twinhub_mqtt::identity::{Allowance, ClientIdentity};

use super::ClientIdentitiesShared;
use crate::accounts::directory;
use crate::pairing::Provisioner;

/// The user name of a client that names its device in the request alone.
const NO_DEVICE: &str = "provision";

/// A client with a provisioning key. It may ask for a token, and nothing else.
pub struct ProvisioningClient {
    name: Box<str>,
    principal: Box<str>,
    /// The id that it came with as its user name.
    device: Option<DeviceId>,
    identity: directory::Identity,
    shared: Arc<ClientIdentitiesShared>,
}

impl ProvisioningClient {
    /// A client with the key of this id, and its user name.
    pub fn new(
        key: &SecretId,
        username: Option<&str>,
        identity: directory::Identity,
        shared: Arc<ClientIdentitiesShared>,
    ) -> Self {
        let (name, principal) = (identity.caller.name().into(), format!("key:{key}").into());
        let device = username.filter(|name| *name != NO_DEVICE).and_then(|name| DeviceId::parse(name).ok());
        Self { name, principal, device, identity, shared }
    }
}

#[async_trait]
impl ClientIdentity for ProvisioningClient {
    fn name(&self) -> &str {
        &self.name
    }

    fn principal(&self) -> &str {
        &self.principal
    }

    fn allowance(&self) -> Allowance {
        Allowance::SpeakForDevices
    }

    fn lasts(&self) -> bool {
        self.shared.deps.directory.is_valid(&self.identity)
    }

    fn may_provision(&self) -> bool {
        true
    }

    async fn provision(&self, request: Bytes) -> Option<Bytes> {
        let by = Provisioner::Key(Box::new(self.identity.clone()));
        self.shared.deps.pairing.requests.ask(by, self.device.clone(), request).await
    }
}
