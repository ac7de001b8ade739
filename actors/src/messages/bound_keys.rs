//! Messages about keys that are bound to one purpose: the provisioning of devices, and rules' webhooks.

use std::net::IpAddr;

use actix::Message;
use tokio::sync::oneshot;
use twinhub_access::{
    BoundKey, Bridge, DisplayName, KeyPurpose, Provisioning, Rights, Secret, SecretId, SecretKind, UserId,
};
use twinhub_domain::{DeviceId, Timestamp};

use super::accounts::{AccountRefusal, Asker};

/// Makes a key. Answered after the commit, as every change is.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct MakeBoundKey {
    pub key: NewBoundKey,
    pub by: Asker,
    pub reply: oneshot::Sender<Result<BoundKeyMade, AccountRefusal>>,
}

/// Asks for the keys of a kind, the newest first: admins see all, others their own.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<BoundKeyView>, AccountRefusal>")]
pub struct ListBoundKeys {
    pub of: BoundKeysOf,
    pub by: Asker,
}

/// Revokes a key: one's own; an admin, any.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RevokeBoundKey {
    pub of: BoundKeysOf,
    pub key: SecretId,
    pub by: Asker,
    pub reply: oneshot::Sender<Result<BoundKeyView, AccountRefusal>>,
}

/// Makes a bridge, or changes the topics of the one with this name, whose secret stays.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct PutBridge {
    pub name: DisplayName,
    /// Its topics; the hash in it is not looked at.
    pub bridge: Bridge,
    pub by: Asker,
    pub reply: oneshot::Sender<Result<BridgePut, AccountRefusal>>,
}

/// Looks up what a provisioning key is good for, for a device that it may have registered already: no use is counted.
#[derive(Debug, Message)]
#[rtype(result = "Result<ProvisioningUse, AccountRefusal>")]
pub struct FindProvisioningKey {
    pub key: SecretId,
    pub device: DeviceId,
}

/// Counts a use of a provisioning key, before a device registers itself with it. A crash in between costs the use.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct UseProvisioningKey {
    pub key: SecretId,
    pub device: DeviceId,
    pub address: IpAddr,
    pub reply: oneshot::Sender<Result<ProvisioningUse, AccountRefusal>>,
}

/// Takes back a use that came to nothing.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct GiveBackProvisioningUse {
    pub key: SecretId,
}

/// A key that is to be made.
#[derive(Clone, Debug)]
pub struct NewBoundKey {
    pub name: DisplayName,
    pub purpose: KeyPurpose,
    pub expires_at: Option<Timestamp>,
    pub most_uses: Option<u64>,
}

/// The keys that are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundKeysOf {
    Provisioning,
    /// The webhook of this name.
    Webhook(Box<str>),
    Bridges,
}

/// A key as those who may see it see it.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundKeyView {
    pub id: SecretId,
    pub kind: SecretKind,
    pub name: DisplayName,
    pub owner: Option<UserId>,
    pub purpose: KeyPurpose,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub uses: u64,
    pub most_uses: Option<u64>,
    pub last_used: Option<(Timestamp, IpAddr)>,
    pub last_4: Box<str>,
}

/// A key that was made, and its secret, which is shown once.
#[derive(Clone, Debug)]
pub struct BoundKeyMade {
    pub secret: Secret,
    pub key: BoundKeyView,
}

/// A bridge that was made or changed.
#[derive(Clone, Debug)]
pub struct BridgePut {
    pub key: BoundKeyView,
    /// The secret of one that was made, which is shown once.
    pub secret: Option<Secret>,
}

/// A use of a provisioning key, or what one would be.
#[derive(Clone, Debug)]
pub struct ProvisioningUse {
    pub provisioning: Provisioning,
    /// The rights of the user who made the key, as they are now: the device is registered by these.
    pub rights: Rights,
    pub owner: Option<UserId>,
    /// The most devices that this user may own.
    pub quota: Option<u32>,
}

impl BoundKeysOf {
    /// Is a key of this purpose one of them?
    #[must_use]
    pub fn has(&self, purpose: &KeyPurpose) -> bool {
        match (self, purpose) {
            (Self::Provisioning, KeyPurpose::Provisioning(_)) => true,
            (Self::Webhook(name), KeyPurpose::Webhook(of)) => name == of,
            (Self::Bridges, KeyPurpose::Bridge(_)) => true,
            _ => false,
        }
    }
}

impl BoundKeyView {
    pub(crate) fn of(key: &BoundKey) -> Self {
        Self {
            id: key.secret.id.clone(),
            kind: key.secret.kind,
            name: key.name.clone(),
            owner: key.owner,
            purpose: key.purpose.clone(),
            created_at: key.created_at,
            expires_at: key.expires_at,
            uses: key.uses,
            most_uses: key.most_uses,
            last_used: key.last_used,
            last_4: key.secret.last_4.clone(),
        }
    }
}
