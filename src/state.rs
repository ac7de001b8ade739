//! The state of the web server that all handlers share.

use std::sync::{Arc, PoisonError, RwLock};

use actix_web::web::Data;
use tokio::sync::watch;
use twinhub_access::jwt::JwtKeys;
use twinhub_actors::Hub;
use twinhub_actors::access::Tokens;
use twinhub_actors::accounts::directory::Directory;
use twinhub_domain::{DeviceId, Timestamp};
use twinhub_mqtt::Link;
use twinhub_store::seal::Seal;
use twinhub_tls::ServerTls;

use crate::api::devices::claim_tries::ClaimTries;
use crate::api::devices::token::PendingCredentials;
use crate::api::firmware::Folder;
use crate::dialects::{CloudBackendState, RecentReadings, WeatherSettings};
use crate::disk::DiskWatch;
use crate::http::rate_limit::CallerRateLimiter;
use crate::http::turns::CallerTurns;
use crate::http::{AnonymousAccess, HttpConnections, Policy};
use crate::live::socketio::SocketIoSessions;
use crate::single_sign_on::SingleSignOn;
use crate::startup::local_key::LocalKey;

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
    pub anonymous: AnonymousAccess,
    /// HTTP is served to this machine alone.
    pub is_local_only: bool,
    /// While there is no user, no more is served than the way to the first one.
    pub serves_set_up: bool,
    /// The key for the command line on this machine.
    pub local_key: Option<LocalKey>,
    /// The keys of JSON web tokens.
    pub jwt: JwtKeys,
    /// Single sign-on, where there is a provider.
    pub sign_on: Option<Arc<SingleSignOn>>,
    /// The address that the hub was told it has: `https://hub.example.com`.
    pub public_url: Option<String>,
    /// None: HTTP is served in the clear.
    pub tls: Option<Arc<ServerTls>>,
    /// The weather beside readings.
    pub weather: WeatherSettings,
    /// The device of readings that name none.
    pub sensor_data_device: DeviceId,
    /// The hub's own key.
    pub seal: Arc<Seal>,
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
    pub(crate) cloud_backend: CloudBackendState,
    /// The last readings of devices that name none, by type.
    pub(crate) recent_readings: RecentReadings,
    /// The sessions of Socket.IO.
    pub socketio: Arc<SocketIoSessions>,
    pub disk: Arc<DiskWatch>,
    pub firmware: Folder,
    /// The turns of expensive requests, by caller.
    pub turns: CallerTurns,
    /// The requests that callers have sent.
    pub rates: CallerRateLimiter,
    /// Tokens and certificates that devices are being given.
    pub giving: PendingCredentials,
    /// Wrong claim codes.
    pub claims: ClaimTries,
    pub tokens: Tokens,
    pub(crate) anonymous: AnonymousAccess,
    /// The name of the cookie with a session. Browsers send cookies to all ports of a host: so the port is in it.
    pub cookie: String,
    pub(crate) local_key: Option<LocalKey>,
    /// HTTP is served to this machine alone.
    pub is_local_only: bool,
    pub(crate) serves_set_up: bool,
    pub(crate) jwt: JwtKeys,
    pub(crate) sign_on: Option<Arc<SingleSignOn>>,
    pub(crate) public_url: Option<String>,
    /// None: HTTP is served in the clear.
    pub tls: Option<Arc<ServerTls>>,
    /// The device of readings that name none.
    pub sensor_data_device: DeviceId,
    /// The hub's own key.
    pub(crate) seal: Arc<Seal>,
    policy: RwLock<Arc<Policy>>,
    closing: watch::Sender<bool>,
}

impl WebState {
    /// The state over a started hub.
    #[must_use]
    pub fn new(hub: Arc<Hub>, link: Arc<dyn Link>, info: ServerInfo, settings: &WebSettings) -> Data<Self> {
        let connections = HttpConnections::new(settings.most_connections);
        Data::new(Self {
            hub,
            link,
            socketio: SocketIoSessions::new(Arc::clone(&connections)),
            disk: Arc::default(),
            connections,
            cookie: cookie(&info.http, settings.tls.is_some()),
            info,
            firmware: settings.firmware.clone(),
            turns: CallerTurns::default(),
            rates: CallerRateLimiter::default(),
            giving: PendingCredentials::default(),
            claims: ClaimTries::default(),
            tokens: settings.tokens.clone(),
            anonymous: settings.anonymous,
            local_key: settings.local_key.clone(),
            is_local_only: settings.is_local_only,
            serves_set_up: settings.serves_set_up,
            jwt: settings.jwt.clone(),
            sign_on: settings.sign_on.clone(),
            public_url: settings.public_url.clone(),
            tls: settings.tls.clone(),
            cloud_backend: CloudBackendState::new(settings.weather.clone()),
            recent_readings: RecentReadings::default(),
            sensor_data_device: settings.sensor_data_device.clone(),
            seal: Arc::clone(&settings.seal),
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

    /// The hub, for the admission of callers: handlers have a grant.
    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Sessions and keys as they are now.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.hub.directory
    }
}

/// The name of the session's cookie of a server that listens there. Over TLS browsers take one of that name from this very
/// host alone, and send it over TLS alone.
fn cookie(http: &str, over_tls: bool) -> String {
    let port = http.rsplit_once(':').map_or("", |(_, port)| port);
    let prefix = if over_tls { "__Host-" } else { "" };
    format!("{prefix}twinhub_{port}")
}
