//! The identities of MQTT clients: devices with a token or a certificate, people and programs with a key, and clients without a
//! password.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use twinhub_access::SecretId;
use twinhub_access::scope::InTree;
use twinhub_domain::DeviceId;
use twinhub_mqtt::identity::{Act, Allowance, ClientIdentity};

use super::{ClientIdentitiesShared, DevicesPolicy};
use crate::accounts::directory;
use crate::device_certificates::CertificateInUse;
use crate::known_devices::{HeldCredential, KnownDevice};

/// The credential by which a device came: one that is made beside it changes nothing for this client.
pub enum DeviceCredential {
    Token(HeldCredential),
    Certificate(CertificateInUse),
}

/// A client with a credential of a device.
pub struct DeviceClient {
    name: Box<str>,
    device: Arc<KnownDevice>,
    credential: DeviceCredential,
    shared: Arc<ClientIdentitiesShared>,
    /// The serial number by which it was found to be meant, and the device that would have that as its id.
    serial: Mutex<Option<(Box<str>, Arc<KnownDevice>)>>,
}

/// A client with the key of a person or a service account.
pub struct KeyClient {
    name: Box<str>,
    principal: Box<str>,
    allowance: Allowance,
    identity: directory::Identity,
    shared: Arc<ClientIdentitiesShared>,
    /// Devices that it watches, and the version of the tree of groups by which it may.
    watched: Mutex<(Vec<Arc<KnownDevice>>, Option<u64>)>,
}

/// A client without a password, let in under a policy.
pub struct AnonymousClient {
    policy: DevicesPolicy,
    shared: Arc<ClientIdentitiesShared>,
    /// Devices to which it listens: none of them has a credential.
    heard: Mutex<Vec<Arc<KnownDevice>>>,
}

impl DeviceClient {
    pub fn new(
        device: Arc<KnownDevice>,
        credential: DeviceCredential,
        shared: Arc<ClientIdentitiesShared>,
    ) -> Self {
        let name = format!("device:{}", device.id).into();
        Self { name, device, credential, shared, serial: Mutex::default() }
    }

    /// Is the device with this serial number, of which the id `made` was made, this one? A device says its own serial
    /// number, and may say another's: so the store is asked, once.
    async fn is_meant_by(&self, serial: &str, made: &DeviceId) -> bool {
        if let Some((known, _)) = &*lock(&self.serial)
            && **known == *serial
        {
            return true;
        }
        let Some(namesake) = self.shared.deps.devices.get(made).await else { return false };
        if namesake.access.exists {
            return false;
        }
        let found = self.shared.deps.store.find_serial(serial).await;
        let is_own = matches!(found, Ok(Some(twin)) if twin.id == self.device.id);
        if is_own {
            *lock(&self.serial) = Some((serial.into(), namesake));
        }
        is_own
    }
}

#[async_trait]
impl ClientIdentity for DeviceClient {
    fn name(&self) -> &str {
        &self.name
    }

    fn principal(&self) -> &str {
        &self.name // a device is called by its id
    }

    fn allowance(&self) -> Allowance {
        Allowance::SpeakForDevices
    }

    fn lasts(&self) -> bool {
        let has_same_serial = lock(&self.serial).as_ref().is_none_or(|(_, device)| device.has_same_access());
        let credential_lasts = match &self.credential {
            DeviceCredential::Token(held) => held.lasts(),
            DeviceCredential::Certificate(certificate) => certificate.lasts(self.shared.deps.clock.now()),
        };
        credential_lasts && has_same_serial
    }

    async fn reaches(&self, device: &DeviceId, serial: Option<&str>, _: Act) -> bool {
        if self.device.access.reach.contains(device) {
            return true;
        }
        match serial {
            Some(serial) => self.is_meant_by(serial, device).await,
            None => false,
        }
    }
}

impl KeyClient {
    /// A client with the key of this id.
    pub fn new(
        key: &SecretId,
        allowance: Allowance,
        identity: directory::Identity,
        shared: Arc<ClientIdentitiesShared>,
    ) -> Self {
        let name = identity.caller.name().into();
        let principal = format!("key:{key}").into(); // keys of one owner may have the same name
        Self { name, principal, allowance, identity, shared, watched: Mutex::default() }
    }
}

#[async_trait]
impl ClientIdentity for KeyClient {
    fn name(&self) -> &str {
        &self.name
    }

    fn principal(&self) -> &str {
        &self.principal
    }

    fn allowance(&self) -> Allowance {
        self.allowance
    }

    fn lasts(&self) -> bool {
        let Self { shared, watched, .. } = self;
        let (devices, version) = &*lock(watched);
        shared.deps.directory.is_valid(&self.identity)
            && devices.iter().all(|device| device.has_same_place())
            && version.is_none_or(|version| version == shared.deps.tree.version())
    }

    async fn reaches(&self, device: &DeviceId, _: Option<&str>, act: Act) -> bool {
        if self.reaches_all() {
            return true;
        }
        let version = self.shared.deps.tree.version(); // before the look
        let Some(device) = self.shared.deps.devices.get(device).await else { return false };
        let tree = self.shared.deps.tree.now();
        let place = InTree {
            device: &device.id,
            owner: &device.place.owner,
            group: &device.place.group,
            tree: &tree,
        };
        let is_within = device.access.exists && self.identity.rights.reach(&place);
        if is_within && act == Act::Subscribe {
            let (devices, seen) = &mut *lock(&self.watched);
            seen.get_or_insert(version);
            if !devices.iter().any(|watched| Arc::ptr_eq(watched, &device)) {
                devices.push(device);
            }
        }
        is_within
    }

    fn reaches_all(&self) -> bool {
        self.identity.rights.scopes.are_all()
    }
}

impl AnonymousClient {
    pub fn new(policy: DevicesPolicy, shared: Arc<ClientIdentitiesShared>) -> Self {
        Self { policy, shared, heard: Mutex::default() }
    }
}

#[async_trait]
impl ClientIdentity for AnonymousClient {
    fn name(&self) -> &str {
        ""
    }

    fn principal(&self) -> &str {
        ""
    }

    fn allowance(&self) -> Allowance {
        match self.policy {
            DevicesPolicy::Open => Allowance::Everything,
            DevicesPolicy::Known | DevicesPolicy::Strict => Allowance::SpeakForDevices,
        }
    }

    fn lasts(&self) -> bool {
        let policy = DevicesPolicy::of_number(self.shared.policy.load(Ordering::Acquire));
        policy <= self.policy && lock(&self.heard).iter().all(|device| device.has_same_access())
    }

    async fn reaches(&self, device: &DeviceId, _: Option<&str>, act: Act) -> bool {
        let Some(device) = self.shared.deps.devices.get(device).await else { return false };
        let is_free = device.access.exists && !device.has_credentials() && !device.access.is_unpaired;
        if is_free && act == Act::Subscribe {
            let mut heard = lock(&self.heard);
            if !heard.iter().any(|known| Arc::ptr_eq(known, &device)) {
                heard.push(device);
            }
        }
        is_free
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
