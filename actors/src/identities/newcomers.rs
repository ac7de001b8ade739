//! Clients without a password while the pairing window is open.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use twinhub_domain::DeviceId;
use twinhub_mqtt::identity::{Act, Allowance, ClientIdentity};

use super::ClientIdentitiesShared;
use super::principals::AnonymousClient;
use crate::known_devices::KnownDevice;
use crate::pairing::WindowPass;
use crate::provisioning::Provisioner;

/// A client that came without a password through the pairing window. It speaks for devices that the hub did not know, until
/// the window ends or they have a token.
pub struct NewcomerClient {
    pass: WindowPass,
    /// Its address, so that within the window nobody takes its session from elsewhere.
    principal: Box<str>,
    /// The same client without a window, where the policy lets it in.
    usual: Option<AnonymousClient>,
    /// Devices for which it has spoken, or to which it listens, by the window.
    devices: Mutex<Vec<Arc<KnownDevice>>>,
    shared: Arc<ClientIdentitiesShared>,
}

impl NewcomerClient {
    pub fn new(
        pass: WindowPass,
        usual: Option<AnonymousClient>,
        shared: Arc<ClientIdentitiesShared>,
    ) -> Self {
        let principal = principal(pass.address).into();
        Self { pass, principal, usual, devices: Mutex::default(), shared }
    }

    /// Is the message of this serial number another device's, which the hub knows by it?
    async fn is_of_another(&self, device: &DeviceId, serial: &str) -> bool {
        match self.shared.store.find_serial(serial).await {
            Ok(found) => found.is_some_and(|twin| twin.id != *device),
            Err(_) => true, // nobody is let in whom the hub cannot look up
        }
    }
}

fn principal(address: IpAddr) -> String {
    format!("newcomer:{address}")
}

#[async_trait]
impl ClientIdentity for NewcomerClient {
    fn name(&self) -> &str {
        ""
    }

    fn principal(&self) -> &str {
        &self.principal
    }

    fn allowance(&self) -> Allowance {
        Allowance::SpeakForDevices
    }

    fn lasts(&self) -> bool {
        let window = &self.shared.pairing.window;
        let devices = lock(&self.devices);
        let usual_lasts = self.usual.as_ref().map(ClientIdentity::lasts);
        if usual_lasts == Some(false) {
            return false;
        }
        if devices.is_empty() && usual_lasts.is_some() {
            return true; // it needs no window
        }
        let stays = |device: &Arc<KnownDevice>| {
            device.has_same_access() || window.has_just_given_token(&self.pass, &device.id)
        };
        window.counts(&self.pass) && devices.iter().all(stays)
    }

    async fn reaches(&self, device: &DeviceId, serial: Option<&str>, act: Act) -> bool {
        if let Some(usual) = &self.usual
            && usual.reaches(device, serial, act).await
        {
            return true;
        }
        if let Some(serial) = serial
            && self.is_of_another(device, serial).await
        {
            return false;
        }
        let Some(known) = self.shared.pairing.admit(&self.pass, device).await else { return false };
        let mut devices = lock(&self.devices);
        if !devices.iter().any(|other| Arc::ptr_eq(other, &known)) {
            devices.push(known);
        }
        true
    }

    fn reaches_all(&self) -> bool {
        false
    }

    fn may_provision(&self) -> bool {
        self.shared.pairing.window.counts(&self.pass)
    }

    async fn provision(&self, request: Bytes) -> Option<Bytes> {
        self.shared.pairing.requests.ask(Provisioner::Window(self.pass), None, request).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
