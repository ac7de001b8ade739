//! The web server: state, routes and middleware put together, and the listener.

mod origin;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_cors::Cors;
use actix_web::dev::{Extensions, Server};
use actix_web::middleware::{Condition, from_fn};
use actix_web::rt::net::TcpStream;
use actix_web::web::{Data, PayloadConfig, ServiceConfig};
use actix_web::{App, HttpServer, web};
use socket2::{SockRef, Socket};
use tokio::sync::watch;
use tracing::debug;
use twinhub_actors::Hub;
use twinhub_actors::counters::get;
use twinhub_actors::domain::Timestamp;
use twinhub_actors::mqtt::Link;

pub use origin::Origins;

use crate::api::firmware::Folder;
use crate::api::token::Tokens;
use crate::{api, dashboard, dialects, error, ws};

/// A client that takes longer than this to send a request's head is cut off.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// An idle connection is kept for the next request for this long.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long requests may still take when the server stops, in seconds: the whole shutdown has five.
const STOP_WITHIN_SECONDS: u64 = 2;

/// What of the web server can be set.
#[derive(Clone, Debug)]
pub struct WebSettings {
    /// Origins besides our own that may use the API from a browser: `http://localhost:5173`, or `*`.
    pub cors_origins: Vec<String>,
    /// Bytes that a request's body has at most.
    pub body_limit: usize,
    /// Where firmware images lie, and how large one may be.
    pub firmware: Folder,
    /// The same of an import's, which is read as it comes.
    pub import_limit: usize,
    /// What devices' tokens are known by.
    pub tokens: Tokens,
    /// Threads that serve requests.
    pub workers: usize,
}

/// What the server tells about itself.
#[derive(Clone, Debug)]
pub struct ServerInfo {
    pub version: &'static str,
    pub started_at: Timestamp,
    /// Where devices connect to, as they are told when they are registered.
    pub mqtt_host: String,
    pub mqtt_port: u16,
    /// `mqtt://127.0.0.1:1883`
    pub mqtt_url: String,
    /// Where this server listens: `127.0.0.1:8080`.
    pub http: String,
    /// Where devices find it: `http://192.168.1.5:8080`.
    pub public_url: String,
}

/// What handlers hold.
pub struct WebState {
    pub hub: Arc<Hub>,
    pub link: Arc<dyn Link>,
    pub info: ServerInfo,
    pub origins: Origins,
    pub body_limit: usize,
    pub firmware: Folder,
    pub import_limit: usize,
    pub tokens: Tokens,
    closing: watch::Sender<bool>,
}

impl Default for WebSettings {
    fn default() -> Self {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let firmware = Folder::new("data/firmware".into(), 512_000_000);
        let (body_limit, import_limit) = (1024 * 1024, 256 << 20);
        Self {
            cors_origins: Vec::new(),
            body_limit,
            firmware,
            import_limit,
            tokens: Tokens::default(),
            workers,
        }
    }
}

impl WebState {
    /// The state over a started hub.
    #[must_use]
    pub fn new(hub: Arc<Hub>, link: Arc<dyn Link>, info: ServerInfo, settings: &WebSettings) -> Data<Self> {
        Data::new(Self {
            hub,
            link,
            info,
            origins: Origins::new(&settings.cors_origins),
            body_limit: settings.body_limit,
            firmware: settings.firmware.clone(),
            import_limit: settings.import_limit,
            tokens: settings.tokens.clone(),
            closing: watch::Sender::new(false),
        })
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

    /// True when requests can be served, and what they say be stored.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !*self.closing.borrow() && self.hub.feed.connected() && get(&self.hub.counters.store_failing) == 0
    }
}

/// All routes, over `state`.
pub fn configure(config: &mut ServiceConfig, state: Data<WebState>) {
    config
        .app_data(PayloadConfig::new(state.body_limit))
        .app_data(state)
        .service(api::resource("/api/ws", "GET").route(web::get().to(ws::open)))
        .configure(api::configure)
        .configure(dialects::configure)
        .configure(dashboard::configure)
        .default_service(web::to(error::no_route));
}

/// Serves on `listener`. The server runs when it is awaited or spawned; signals are the caller's.
///
/// # Errors
/// The listener cannot be used.
pub fn serve(
    listener: TcpListener,
    state: &Data<WebState>,
    settings: &WebSettings,
) -> io::Result<(Server, SocketAddr)> {
    let address = listener.local_addr()?;
    let (state, origins) = (state.clone(), settings.cors_origins.clone());
    let server = HttpServer::new(move || {
        let state = state.clone();
        // Without a word about origins answers say nothing: a browser then lets our own pages in, alone.
        App::new()
            .wrap(from_fn(origin::guard))
            .wrap(Condition::new(!origins.is_empty(), cors(&origins)))
            .configure(move |config| configure(config, state))
    })
    .workers(settings.workers.max(1))
    .on_connect(prepare)
    .client_request_timeout(HEAD_WITHIN)
    .keep_alive(KEEP_ALIVE)
    .shutdown_timeout(STOP_WITHIN_SECONDS)
    .disable_signals()
    .listen(listener)?
    .run();
    Ok((server, address))
}

/// Answers leave at once, and long-lived sessions get a handle by which a dead connection can be closed
/// from outside of the task that serves it.
fn prepare(connection: &dyn std::any::Any, extensions: &mut Extensions) {
    let Some(stream) = connection.downcast_ref::<TcpStream>() else { return };
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%error, "connection without TCP_NODELAY");
    }
    match SockRef::from(stream).try_clone() {
        Ok(socket) => {
            extensions.insert::<Arc<Socket>>(Arc::new(socket));
        }
        Err(error) => debug!(%error, "connection without a watchdog"),
    }
}

fn cors(origins: &[String]) -> Cors {
    let mut cors = Cors::default().block_on_origin_mismatch(false);
    for origin in origins {
        cors = if origin == "*" { cors.allow_any_origin() } else { cors.allowed_origin(origin) };
    }
    cors.allow_any_method()
        .allow_any_header()
        .expose_headers(["ETag", "Link", "Location", "X-Total-Count"])
        .max_age(3600)
}
