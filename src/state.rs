//! The state of the web server that all handlers share.

use std::sync::{Arc, PoisonError, RwLock};

use actix_web::HttpRequest;
use actix_web::web::Data;
use tokio::sync::watch;
use twinhub_actors::Hub;
use twinhub_actors::access::{Caller, Grant, Permissions};
use twinhub_domain::Timestamp;
use twinhub_domain::cause::Source;
use twinhub_mqtt::Link;

use crate::api::devices::token::{PendingTokens, Tokens};
use crate::api::firmware::Folder;
use crate::http::search_limiter::SearchLimiter;
use crate::http::{HttpConnections, Policy};

/// The settings of the web server.
#[derive(Clone, Debug)]
pub struct WebSettings {
    /// The policy at the start.
    pub policy: Policy,
    /// The limit of connections at once.
    pub most_connections: usize,
    /// Where firmware images lie.
    pub firmware: Folder,
    /// The store of devices' token hashes.
    pub tokens: Tokens,
    /// The permissions of callers without a name.
    pub anonymous: Permissions,
    /// Threads that serve requests.
    pub workers: usize,
}

/// Facts about the server, for its own answers.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    pub version: &'static str,
    pub started_at: Timestamp,
    /// The host that devices connect to, as a registration answers it.
    pub mqtt_host: String,
    pub mqtt_port: u16,
    /// `mqtt://127.0.0.1:1883`
    pub mqtt_url: String,
    /// Where this server listens: `127.0.0.1:8080`.
    pub http: String,
    /// Where devices find it: `http://192.168.1.5:8080`.
    pub public_url: String,
}

/// The state that all handlers share.
pub struct WebState {
    hub: Arc<Hub>,
    pub link: Arc<dyn Link>,
    pub info: ServerInfo,
    pub connections: Arc<HttpConnections>,
    pub firmware: Folder,
    /// The turns of searches, by address.
    pub turns: SearchLimiter,
    /// Tokens that devices are being given.
    pub giving: PendingTokens,
    pub tokens: Tokens,
    anonymous: Permissions,
    policy: RwLock<Arc<Policy>>,
    closing: watch::Sender<bool>,
}

impl WebState {
    /// The state over a started hub.
    #[must_use]
    pub fn new(hub: Arc<Hub>, link: Arc<dyn Link>, info: ServerInfo, settings: &WebSettings) -> Data<Self> {
        Data::new(Self {
            hub,
            link,
            connections: HttpConnections::new(settings.most_connections),
            info,
            firmware: settings.firmware.clone(),
            turns: SearchLimiter::default(),
            giving: PendingTokens::default(),
            tokens: settings.tokens.clone(),
            anonymous: settings.anonymous,
            policy: RwLock::new(Arc::new(settings.policy.clone())),
            closing: watch::Sender::new(false),
        })
    }

    /// The present policy.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the policy. Requests and sessions that are in already stay.
    pub fn change(&self, policy: Policy) {
        *self.policy.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(policy);
    }

    /// Ends WebSocket sessions, with 1001 and a reason, and event streams. Requests are still served.
    pub fn close_sessions(&self) {
        self.closing.send_replace(true);
    }

    /// Becomes true when sessions are to end.
    #[must_use]
    pub fn closing(&self) -> watch::Receiver<bool> {
        self.closing.subscribe()
    }

    /// True when requests can be served, and changes stored.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !*self.closing.borrow() && self.hub.alive().feed && !self.hub.is_failing()
    }

    /// The grant of the caller that sent `request`. Callers have no name yet.
    #[must_use]
    pub fn grant(&self, _request: &HttpRequest) -> Grant {
        self.hub.of(Caller::Anonymous, Source::Rest).confined_to(self.anonymous)
    }
}
