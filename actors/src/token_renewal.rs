//! Tokens that are stored under an older key of the hub, or under none, are stored under the present one as soon as
//! their device shows them: only then is the token there in clear.

use std::sync::Arc;

use actix::Addr;
use tokio::sync::Semaphore;
use tracing::{debug, warn};
use twinhub_domain::cause::Source;
use twinhub_domain::receipt::NotAccepted;
use twinhub_domain::twin::TokenChange;
use twinhub_domain::{Cause, DeviceId, Input};

use crate::backoff::{Backoff, TWIN};
use crate::delivery::deliver;
use crate::messages::supervisor::{Deliver, IfUnknown};
use crate::supervisor::Supervisor;

/// Renewals under way at most. A device whose token has no turn comes again.
const MOST: usize = 256;
/// A twin that dies with the change is not asked again: the device comes again.
const ONCE: Backoff = TWIN.at_most(1);

/// Has twins store their tokens anew.
#[derive(Clone)]
pub struct TokenRenewal {
    supervisor: Addr<Supervisor>,
    places: Arc<Semaphore>,
}

impl TokenRenewal {
    /// By way of this supervisor.
    #[must_use]
    pub fn new(supervisor: Addr<Supervisor>) -> Self {
        Self { supervisor, places: Arc::new(Semaphore::new(MOST)) }
    }

    /// Has `device` store the token under `hash` that it has under `stored`. Nobody waits for it.
    pub fn renew(&self, device: &DeviceId, stored: &str, hash: &str) {
        let Ok(place) = Arc::clone(&self.places).try_acquire_owned() else { return };
        let change = TokenChange::Renew { stored: stored.into(), hash: hash.into() };
        let (device, supervisor) = (device.clone(), self.supervisor.clone());
        tokio::spawn(async move {
            let _place = place;
            let settled = deliver(&supervisor, ONCE, |receipt| Deliver {
                device: device.clone(),
                input: Input::SetToken(change.clone()),
                cause: Cause::new(Source::Hub, "key_rotation"),
                receipt,
                if_unknown: IfUnknown::Refuse,
                if_version: None,
                want_twin: false,
            });
            match settled.await {
                Ok(_) => debug!(%device, "token stored under the present key of the hub"),
                // It was deleted or retired meanwhile, and has no token any more.
                Err(NotAccepted::Refused(_)) => {}
                Err(NotAccepted::Lost) => {
                    warn!(%device, "a token is still stored under an older key of the hub");
                }
            }
        });
    }
}
