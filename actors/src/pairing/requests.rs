//! Devices that ask for a token over MQTT. The identities of their clients put the requests into a queue; the layer that
//! reads the same requests over HTTP answers them.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use twinhub_domain::DeviceId;

use super::WindowPass;
use crate::accounts::directory::Identity;

/// Requests that wait; further clients wait for a place.
const MOST_WAITING: usize = 64;
/// A request that has no answer by then is answered so.
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

/// The right by which a device asks for a token.
#[derive(Clone, Debug)]
pub enum Provisioner {
    /// A provisioning key.
    Key(Box<Identity>),
    /// The pairing window.
    Window(WindowPass),
}

/// A device's request for a token of its own.
#[derive(Debug)]
pub struct ProvisioningRequest {
    pub by: Provisioner,
    /// The id by which the client introduced itself: it counts where the body names none.
    pub device: Option<DeviceId>,
    /// As over HTTP: JSON.
    pub body: Bytes,
    pub reply: oneshot::Sender<Bytes>,
}

/// The queue of requests.
#[derive(Debug)]
pub struct ProvisioningRequests {
    requests: mpsc::Sender<ProvisioningRequest>,
    /// None once they are taken.
    waiting: Mutex<Option<mpsc::Receiver<ProvisioningRequest>>>,
}

impl Default for ProvisioningRequests {
    fn default() -> Self {
        let (requests, waiting) = mpsc::channel(MOST_WAITING);
        Self { requests, waiting: Mutex::new(Some(waiting)) }
    }
}

impl ProvisioningRequests {
    /// The answer to a request; none where none comes in time.
    pub async fn ask(&self, by: Provisioner, device: Option<DeviceId>, body: Bytes) -> Option<Bytes> {
        let (reply, answer) = oneshot::channel();
        let asked = async {
            self.requests.send(ProvisioningRequest { by, device, body, reply }).await.ok()?;
            answer.await.ok()
        };
        tokio::time::timeout(ANSWERED_WITHIN, asked).await.ok().flatten()
    }

    /// The requests, for the one who answers them.
    #[must_use]
    pub fn take(&self) -> Option<mpsc::Receiver<ProvisioningRequest>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
