//! The rights of a live session for as long as it is open: a socket, a stream, a request that waits.

use std::time::Duration;

use actix_web::web::Data;
use actix_web::{HttpMessage as _, HttpRequest};
use tokio::sync::watch;
use twinhub_access::DeviceReach;
use twinhub_actors::access::{CertificateInUse, Permission};
use twinhub_actors::accounts::directory;

use super::Holder;
use super::credential::RequestCredential;
use crate::state::WebState;

/// The rights of a live session, and the credential by which they were given.
#[derive(Clone)]
pub struct LiveRights {
    state: Data<WebState>,
    holder: Holder,
    credential: OwnCredential,
}

/// A credential that is kept for as long as a live session. It has no `Debug`: it is secret.
#[derive(Clone)]
pub enum OwnCredential {
    Nothing,
    Bearer(Box<str>),
    Session(Box<str>),
    Certificate(CertificateInUse),
}

/// The way in which a live session lost its rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RightsLost {
    /// The credential counts no more: signed out, revoked, expired; or callers without a name are not let in any more.
    SignedOut,
    /// The credential counts, for less than before.
    Narrowed,
}

impl LiveRights {
    /// The rights of `holder`, who came with the credential of `request`.
    #[must_use]
    pub fn of(state: Data<WebState>, holder: Holder, request: &HttpRequest) -> Self {
        let credential = match RequestCredential::of(request.headers(), request.query_string(), &state.cookie)
        {
            Ok(RequestCredential::Bearer(token)) => OwnCredential::Bearer(token.into()),
            Ok(RequestCredential::Session(token)) => OwnCredential::Session(token.into()),
            Ok(RequestCredential::Nothing) | Err(_) => {
                let certificate = request.extensions().get::<CertificateInUse>().cloned();
                certificate.map_or(OwnCredential::Nothing, OwnCredential::Certificate)
            }
        };
        Self { state, holder, credential }
    }

    /// The rights of `holder`, who came with a bearer token.
    #[must_use]
    pub fn of_bearer(state: Data<WebState>, holder: Holder, token: Box<str>) -> Self {
        Self { state, holder, credential: OwnCredential::Bearer(token) }
    }

    /// Waits until they are less than they were.
    pub async fn lost(self) -> RightsLost {
        if let Holder::Device(reach) = &self.holder {
            return self.device_lost(reach).await;
        }
        let mut changes: watch::Receiver<u64> = self.state.directory().changes();
        let mut over = std::pin::pin!(self.web_token_over());
        loop {
            changes.mark_unchanged();
            if let Some(lost) = self.are_lost() {
                return lost;
            }
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    return std::future::pending().await; // the hub ends, and with it every session
                },
                () = &mut over => return RightsLost::SignedOut,
            }
        }
    }

    /// Waits for the end that a web token says. One of another program has no session here that would end with it.
    async fn web_token_over(&self) {
        let token = match &self.credential {
            // Keys of this hub have no dots in them.
            OwnCredential::Bearer(token) if token.contains('.') => token,
            _ => return std::future::pending().await,
        };
        loop {
            let now = self.state.hub().clock.now();
            let Ok(claims) = self.state.jwt.verify(token, now) else { return };
            let left = claims.expires_at.millis().saturating_sub(now.millis());
            tokio::time::sleep(Duration::from_millis(u64::try_from(left).unwrap_or_default().max(1))).await;
        }
    }

    /// Waits until the device's token or certificate counts no more, or for other devices.
    async fn device_lost(&self, reach: &DeviceReach) -> RightsLost {
        let token = match &self.credential {
            OwnCredential::Bearer(token) => token,
            OwnCredential::Certificate(certificate) => {
                while certificate.lasts(self.state.hub().clock.now()) {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                return RightsLost::SignedOut;
            }
            OwnCredential::Nothing | OwnCredential::Session(_) => return RightsLost::SignedOut,
        };
        let (hub, tokens) = (self.state.hub(), &self.state.tokens);
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            let holder = match hub.token_holders.present(tokens, token) {
                Some(holder) => Ok(Some(holder)),
                None => hub.token_holders.find(hub, tokens, token).await,
            };
            match holder {
                Ok(Some(holder)) if holder.reach == *reach && holder.out_of_service.is_none() => {}
                Ok(_) => return RightsLost::SignedOut,
                Err(_) => {} // the store does not answer: nobody knows, and the wait has an end
            }
        }
    }

    fn are_lost(&self) -> Option<RightsLost> {
        let directory = self.state.directory();
        let identity = match &self.holder {
            // An account of a dialect stays as it is until the hub ends.
            Holder::Program | Holder::Dialect(_) => return None,
            Holder::Anonymous => {
                let may_read = self.state.of_anonymous().contain(Permission::Read);
                return (!may_read).then_some(RightsLost::SignedOut);
            }
            Holder::Known(identity) => identity,
            Holder::Device(_) => return None, // it is looked at by itself
        };
        if directory.is_valid(identity) {
            return None;
        }
        let credential = match &self.credential {
            OwnCredential::Nothing | OwnCredential::Certificate(_) => return Some(RightsLost::SignedOut),
            OwnCredential::Bearer(token) => directory::Credential::Bearer(token),
            OwnCredential::Session(token) => directory::Credential::Session(token),
        };
        let again = directory.identify(credential, self.state.hub().clock.now(), identity.address);
        Some(if again.is_ok() { RightsLost::Narrowed } else { RightsLost::SignedOut })
    }
}

/// The interval in which a device that waits is looked at: a poll lasts a minute at most, and each look takes a hash.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
