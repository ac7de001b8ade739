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
use crate::pairing::{Provisioner, WindowPass};

/// A client that came without a password. While the pairing window is open it speaks for devices that the hub did not
/// know, until the window ends or they have a token.
pub struct NewcomerClient {
    address: IpAddr,
    /// Its pass through the window, once it has needed one. Another takes its place where that window has ended.
    pass: Mutex<Option<WindowPass>>,
    /// Its address, where it came while the window was open, so that nobody takes its session from elsewhere.
    principal: Box<str>,
    /// The same client without a window, where the policy lets it in.
    usual: Option<AnonymousClient>,
    /// Devices for which it has spoken, or to which it listens, by the window.
    devices: Mutex<Vec<Arc<KnownDevice>>>,
    shared: Arc<ClientIdentitiesShared>,
}

impl NewcomerClient {
    /// A client at `address`, with its pass where the window is open.
    pub fn new(
        address: IpAddr,
        pass: Option<WindowPass>,
        usual: Option<AnonymousClient>,
        shared: Arc<ClientIdentitiesShared>,
    ) -> Self {
        let principal = pass.map(|_| format!("newcomer:{address}")).unwrap_or_default().into();
        Self { address, pass: Mutex::new(pass), principal, usual, devices: Mutex::default(), shared }
    }

    /// Its pass, where the window is open. A client that the policy lets in may have come before that.
    fn pass(&self) -> Option<WindowPass> {
        let window = &self.shared.deps.pairing.window;
        let mut pass = lock(&self.pass);
        let counts = pass.as_ref().is_some_and(|pass| window.counts(pass));
        if !counts && self.usual.is_some() && lock(&self.devices).is_empty() {
            *pass = window.pass(self.address);
        }
        pass.filter(|pass| window.counts(pass))
    }

    /// Is the message of this serial number another device's, which the hub knows by it?
    async fn is_of_another(&self, device: &DeviceId, serial: &str) -> bool {
        match self.shared.deps.store.find_serial(serial).await {
            Ok(found) => found.is_some_and(|twin| twin.id != *device),
            Err(_) => true, // nobody is let in whom the hub cannot look up
        }
    }
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
        let window = &self.shared.deps.pairing.window;
        let devices = lock(&self.devices);
        let usual_lasts = self.usual.as_ref().map(ClientIdentity::lasts);
        if usual_lasts == Some(false) {
            return false;
        }
        if devices.is_empty() && usual_lasts.is_some() {
            return true; // it needs no window
        }
        let pass = *lock(&self.pass);
        pass.is_some_and(|pass| {
            let stays = |device: &Arc<KnownDevice>| {
                device.has_same_access() || window.has_just_given_token(&pass, &device.id)
            };
            window.counts(&pass) && devices.iter().all(stays)
        })
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
        let Some(pass) = self.pass() else { return false };
        let Some(known) = self.shared.deps.pairing.admit(&pass, device).await else { return false };
        let mut devices = lock(&self.devices);
        if !devices.iter().any(|other| Arc::ptr_eq(other, &known)) {
            devices.push(known);
        }
        true
    }

    fn may_provision(&self) -> bool {
        self.pass().is_some()
    }

    async fn provision(&self, request: Bytes) -> Option<Bytes> {
        self.shared.deps.pairing.requests.ask(Provisioner::Window(self.pass()?), None, request).await
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while holding one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
