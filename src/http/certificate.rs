//! The certificate that a request's connection came with, as the credential of a device.

use std::sync::Arc;

use actix_web::HttpRequest;
use actix_web::http::header;
use twinhub_tls::PeerCertificate;

use super::client;

/// Headers that browsers send and devices do not. A browser shows its certificate for pages of any site, so it is no
/// credential there.
const OF_BROWSERS: [&str; 2] = ["sec-fetch-site", "sec-fetch-mode"];

/// The certificate that the device at the other end of the connection has shown. None of a browser, nor of a proxy that
/// hands on what came from anywhere.
pub(crate) fn of_device(request: &HttpRequest) -> Option<Arc<PeerCertificate>> {
    let headers = request.headers();
    let is_browser =
        headers.contains_key(header::ORIGIN) || OF_BROWSERS.iter().any(|name| headers.contains_key(*name));
    if is_browser || client::of(request).is_handed_on {
        return None;
    }
    request.conn_data::<Arc<PeerCertificate>>().cloned()
}
