//! The web server: routes and middleware put together, and the listener.

mod admission;
pub(crate) mod certificate;
pub mod client;
mod connections;
mod credential;
mod csrf;
pub mod cursor;
pub mod extract;
mod guard;
pub mod gzip;
mod handshake;
mod hosts;
mod live_rights;
mod origin;
mod policy;
pub mod problem;
pub mod rate_limit;
pub(crate) mod reply;
mod requests;
pub mod routes;
mod sending;
pub(crate) mod sign_in;
pub(crate) mod signature;
mod stream;
pub(crate) mod turns;
pub(crate) mod warnings;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_cors::Cors;
use actix_http::body::BoxBody;
use actix_http::error::DispatchError;
use actix_http::{HttpServiceBuilder, Protocol};
use actix_server::Server;
use actix_service::{IntoServiceFactory as _, ServiceFactoryExt as _, fn_service, map_config};
use actix_web::dev::{AppConfig, Extensions};
use actix_web::middleware::from_fn;
use actix_web::rt::net::TcpStream;
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App, ResponseError as _, web};
use tracing::debug;

pub use admission::{AnonymousAccess, CallerAdmission, DialectCaller, Holder};
pub use connections::{HttpConnections, LiveSession};
pub use extract::access::Access;
pub use hosts::Hosts;
pub use live_rights::{LiveRights, RightsLost};
pub use origin::{AllowedOrigins, check_poll};
pub use policy::Policy;
pub use requests::current_id;

use self::routes::Operation;
use self::stream::{CuttableStream, HttpStream};
use crate::state::{WebSettings, WebState};
use crate::{api, dashboard, dialects, live};

/// A client that takes longer than this to send a request's head is disconnected.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// An idle connection is kept for the next request for this long.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// The time that a client may take to close its side after the last response.
const GOODBYE_WITHIN: Duration = Duration::from_secs(1);
/// Connections beyond the limit that are still accepted, to be answered 503 or on the monitoring routes.
const ANSWERED_BEYOND: usize = 64;
/// The methods that pages of allowed origins may use.
const METHODS: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
/// The headers of answers that pages of allowed origins may read.
const EXPOSED: [&str; 9] = [
    "ETag",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-Id",
    "X-Total-Count",
    "X-Warnings",
];
/// The time that requests may still take when the server stops, in seconds: the whole shutdown has five.
const STOP_WITHIN_SECONDS: u64 = 2;

/// The routes of the hub itself: API, live events and page.
fn own_operations() -> Vec<Operation> {
    let all = [api::all_operations(), live::operations(), dashboard::operations()].into_iter().flatten();
    all.map(dialects::share).collect()
}

/// All routes.
#[must_use]
pub fn all_operations() -> Vec<Operation> {
    let own = own_operations().into_iter().chain(live::socketio::operations());
    own.chain(dialects::all_operations()).collect()
}

/// All routes, over `state`.
pub fn configure(config: &mut ServiceConfig, state: Data<WebState>) {
    config
        .app_data(state)
        .configure(|config| routes::configure(config, own_operations(), |error| error.error_response()))
        .configure(live::socketio::configure)
        .configure(dialects::configure)
        .default_service(web::to(problem::no_route));
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
    let workers = settings.workers.max(1);
    let builder = Server::build()
        .workers(workers)
        .max_concurrent_connections((settings.most_connections + ANSWERED_BEYOND).div_ceil(workers))
        .shutdown_timeout(STOP_WITHIN_SECONDS)
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    actix_web::rt::spawn(HttpConnections::watch(Arc::downgrade(&state.connections)));
    let state = state.clone();
    let tls = settings.tls.clone();
    // The work of `actix_web::HttpServer`, over our own stream type, which it does not take.
    let server = builder.listen("twinhub-http", listener, move || {
        let (state, stopping) = (state.clone(), stopping.clone());
        let (entered, ended) = (state.clone(), Arc::clone(&state.connections));
        let tls = tls.clone();
        let app = App::new()
            .wrap(from_fn(guard::inner))
            .wrap(cors(state.clone()))
            .wrap(from_fn(guard::outer))
            .wrap(from_fn(requests::trace))
            .configure(move |config| configure(config, state))
            .into_factory()
            .map_err(|error: actix_web::Error| error.error_response());
        let http = HttpServiceBuilder::default()
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(HEAD_WITHIN)
            .client_disconnect_timeout(GOODBYE_WITHIN)
            .local_addr(address)
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .on_connect_ext(|stream: &HttpStream, data: &mut Extensions| {
                data.insert(Arc::clone(stream.connection()));
                if let Some(certificate) = stream.certificate() {
                    data.insert(Arc::clone(certificate));
                }
            })
            .finish::<_, BoxBody>(map_config(app, |()| AppConfig::default()));
        fn_service(move |socket: TcpStream| {
            let peer = socket.peer_addr().ok();
            // A proxy stands for many, so it has no share of its own.
            let proxies = &entered.policy().proxies;
            let address = peer.map(|peer| peer.ip()).filter(|address| !proxies.contains(*address));
            let place = entered.connections.enter(address);
            let stream = CuttableStream::new(prepare(socket), place);
            let (tls, state) = (tls.clone(), entered.clone());
            async move {
                let stream = match tls {
                    Some(tls) => handshake::shake_hands(stream, &tls, || state.policy().hosts.clone())
                        .await
                        .map_err(DispatchError::Io)?,
                    None => HttpStream::Plain(stream),
                };
                Ok::<_, DispatchError>((stream, Protocol::Http1, peer))
            }
        })
        .and_then(http)
        .map_err(move |error| ended.ended(&error))
    })?;
    Ok((server.run(), address))
}

/// Responses are sent at once.
fn prepare(socket: TcpStream) -> TcpStream {
    if let Err(error) = socket.set_nodelay(true) {
        debug!(%error, "connection without TCP_NODELAY");
    }
    socket
}

/// Names the pages that may read answers, for browsers. Where no origin is listed those are our own alone.
fn cors(state: Data<WebState>) -> Cors {
    Cors::default()
        .block_on_origin_mismatch(false)
        .allowed_origin_fn(move |origin, _| {
            origin.to_str().is_ok_and(|origin| state.policy().origins.listed(origin))
        })
        .allowed_methods(METHODS)
        .allow_any_header()
        .expose_headers(EXPOSED)
        .max_age(3600)
}
