//! Pairing: for some minutes that an admin says, devices that the hub does not know may come without a password. Each is
//! registered, unclaimed, as it comes, and marked: from the end of the window on it needs a token, as any other device. So
//! afterwards nobody else can come in its place.

mod requests;
mod window;

use std::sync::Arc;
use std::time::Duration;

use actix::Recipient;
use tokio::sync::oneshot;
use tracing::{info, warn};
use twinhub_access::{Action, AuditEntry};
use twinhub_domain::cause::Source;
use twinhub_domain::receipt::{NotAccepted, Receipt};
use twinhub_domain::twin::Registration;
use twinhub_domain::twin::fields::UNPAIRED_SINCE;
use twinhub_domain::{Cause, Clock, DeviceId, Input, Json};

pub use self::requests::{Provisioner, ProvisioningRequest, ProvisioningRequests};
pub use self::window::{NewcomerClaim, NewcomerView, PairingView, PairingWindow, WindowPass};
pub use crate::known_devices::KnownDevice;
use crate::known_devices::KnownDevices;
use crate::mailbox::try_send_unbounded;
use crate::messages::audit::AppendAudit;
use crate::messages::supervisor::{Deliver, IfUnknown};

/// The registration of a newcomer is made durable by then, or its first message is refused.
const BEGUN_WITHIN: Duration = Duration::from_secs(5);

/// Lets newcomers in through the window.
pub struct Pairing {
    pub window: PairingWindow,
    /// Requests of devices for tokens, over MQTT.
    pub requests: ProvisioningRequests,
    devices: Arc<KnownDevices>,
    supervisor: Recipient<Deliver>,
    audit: Recipient<AppendAudit>,
    clock: Arc<dyn Clock>,
}

impl Pairing {
    /// Pairing of a hub; its window is not open.
    #[must_use]
    pub fn new(
        devices: Arc<KnownDevices>,
        supervisor: Recipient<Deliver>,
        audit: Recipient<AppendAudit>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (window, requests) = (PairingWindow::new(Arc::clone(&clock)), ProvisioningRequests::default());
        Self { window, requests, devices, supervisor, audit, clock }
    }

    /// Lets a client with this pass speak for `device`, which is registered where it is new; none: it may not. A device
    /// that is known comes by its token, but for one that came through a window and has none yet.
    pub async fn admit(&self, pass: &WindowPass, device: &DeviceId) -> Option<Arc<KnownDevice>> {
        let may_come = |known: &KnownDevice| {
            let access = &known.access;
            !known.has_credentials() && !access.is_out_of_service && (access.is_unpaired || !access.exists)
        };
        let known = self.devices.get(device).await.filter(|known| may_come(known))?;
        match self.window.claim(pass, device) {
            NewcomerClaim::First | NewcomerClaim::Again => {}
            NewcomerClaim::Others | NewcomerClaim::Full | NewcomerClaim::Closed => return None,
        }
        let known = match known.access.exists {
            true => known,
            false => {
                if !self.begin(device).await? {
                    self.window.take_back(pass, device);
                    return None;
                }
                let begun = self.devices.get(device).await;
                begun.filter(|known| known.access.exists && may_come(known))?
            }
        };
        if self.window.joins(pass, device) {
            self.note(pass, device);
        }
        Some(known)
    }

    /// Lets a client with this pass have a token made for `device`. One that was given such a token may ask for another, as
    /// the answer may have been lost; nobody may for a device that got its token elsewhere.
    pub async fn admit_to_token(&self, pass: &WindowPass, device: &DeviceId) -> bool {
        if self.admit(pass, device).await.is_some() {
            return true;
        }
        let Some(known) = self.devices.get(device).await else { return false };
        // The last that it was given need not be the one that counts: that request may have failed.
        let given = self.window.given_tokens(pass, device);
        known.access.is_unpaired
            && !known.access.is_out_of_service
            && !given.is_empty()
            && known.own_credentials().all(|own| given.iter().any(|hash| *own == **hash))
    }

    /// Has `device` a token or a certificate? None where that cannot be found out now.
    pub async fn has_credentials(&self, device: &DeviceId) -> Option<bool> {
        Some(self.devices.get(device).await?.has_credentials())
    }

    /// Registers a newcomer, for somebody to claim; false: it was refused. None: nobody knows now, and it may be registered yet.
    async fn begin(&self, device: &DeviceId) -> Option<bool> {
        let patch = [("claimed", Json::Bool(false)), (UNPAIRED_SINCE, self.clock.now().to_string().into())];
        let registration = Registration { patch: patch.into_iter().collect() };
        let (reply, settled) = oneshot::channel();
        let deliver = Deliver {
            device: device.clone(),
            input: Input::Register(Box::new(registration)),
            cause: Cause::new(Source::Hub, "pairing"),
            receipt: Receipt::new(move |outcome| drop(reply.send(outcome))), // whoever waited may have gone
            if_unknown: IfUnknown::Begin,
            if_version: None,
            want_twin: false,
        };
        try_send_unbounded(&self.supervisor, deliver).ok()?; // gone, the hub shuts down
        match tokio::time::timeout(BEGUN_WITHIN, settled).await {
            Ok(Ok(Ok(_))) => Some(true),
            Ok(Ok(Err(refusal))) => {
                warn!(%device, ?refusal, "a device that came for pairing could not be registered");
                matches!(refusal, NotAccepted::Refused(_)).then_some(false)
            }
            Ok(Err(_)) | Err(_) => None,
        }
    }

    fn note(&self, pass: &WindowPass, device: &DeviceId) {
        info!(%device, address = %pass.address, "device came through the pairing window");
        let entry = AuditEntry::new(self.clock.now(), "", Action::PairingJoined)
            .with_target(&format!("device:{device}"))
            .with_address(pass.address);
        let entries = vec![entry];
        let _ = try_send_unbounded(&self.audit, AppendAudit { entries, reply: None }); // gone, the hub shuts down
    }
}
