//! One attempt at a webhook: the request, its redirects, and the outcome.

use std::collections::HashMap;
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LOCATION, RETRY_AFTER, USER_AGENT,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, Url};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use url::Host;
use uuid::Uuid;

use super::resolver::{LookUp, Resolver};
use super::retry::StatusMeaning;
use super::signature::signature;
use crate::webhook_destinations::{DestinationRefused, WebhookDestinations};
use twinhub_domain::Timestamp;
use twinhub_rules::engine::Delivery;

/// Redirects that are followed at most.
const MOST_REDIRECTS: u32 = 5;
/// The part of an answer that is read; it is not needed, but the receiver shall get rid of it.
const MOST_READ: usize = 64 * 1024;
/// Characters of the answer that are kept, for people who look for the error.
const MOST_KEPT: usize = 200;
/// The longest attempt, whatever the rule's timeout.
const LONGEST: Duration = Duration::from_secs(300);
/// An idle connection is kept for later requests.
const IDLE: Duration = Duration::from_secs(20);
const WHO: &str = concat!("twinhub/", env!("CARGO_PKG_VERSION"));
/// Headers that a rule cannot set: they follow from the request.
const OURS: [&str; 4] = ["host", "content-length", "transfer-encoding", "connection"];
const OUR_PREFIX: &str = "x-twinhub-";

/// Sends requests.
pub(super) struct Sender {
    look_up: LookUp,
    destinations: Arc<WebhookDestinations>,
    /// Clients by what their resolvers must know: whether another sent us there, and the port, where it makes a
    /// difference. Each is made when it is needed first: reading the system's certificates takes a while, and most hubs
    /// never send.
    clients: Mutex<HashMap<(bool, Option<u16>), Client>>,
}

/// The request to send.
pub(super) struct WebhookRequest {
    pub id: Uuid,
    pub delivery: Delivery,
    /// The key to sign with.
    pub key: Option<String>,
    pub now: Timestamp,
}

/// The outcome of an attempt, with a few words on it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum AttemptOutcome {
    Delivered(String),
    /// It may be accepted later; after this time, where the receiver named one.
    NotNow(String, Option<Duration>),
    Never(String),
}

/// The reason why there was no answer.
enum AttemptFailure {
    NotNow(String),
    Never(String),
}

impl Sender {
    pub(super) fn new(look_up: LookUp, destinations: WebhookDestinations) -> Self {
        Self { look_up, destinations: Arc::new(destinations), clients: Mutex::default() }
    }

    /// Tries once, within the delivery's timeout.
    pub(super) async fn attempt(&self, webhook: &WebhookRequest) -> AttemptOutcome {
        // Not on the receiver's time: reading certificates.
        if let Ok(url) = address(&webhook.delivery.url)
            && let Err(why) = self.client(&url, false).await
        {
            return AttemptOutcome::NotNow(why, None);
        }
        let millis = u64::try_from(webhook.delivery.timeout_ms).unwrap_or(0).max(1);
        let patience = Duration::from_millis(millis).min(LONGEST);
        let until = Instant::now() + patience;
        let mut response = match timeout_at(until, self.follow_redirects(webhook)).await {
            Ok(Ok(response)) => response,
            Ok(Err(AttemptFailure::NotNow(why))) => return AttemptOutcome::NotNow(why, None),
            Ok(Err(AttemptFailure::Never(why))) => return AttemptOutcome::Never(why),
            Err(_) => return AttemptOutcome::NotNow(format!("no answer within {patience:?}"), None),
        };
        let (status, retry_after) = (response.status(), header(&response, &RETRY_AFTER).map(str::to_owned));
        let mut kept = Vec::new();
        // The status says all; an answer that breaks off or does not end is no less one.
        let _ = timeout_at(until, read(&mut response, &mut kept)).await;
        let text = shortened(&String::from_utf8_lossy(&kept));
        let detail = if text.is_empty() { status.to_string() } else { format!("{status}: {text}") };
        match StatusMeaning::of(status.as_u16(), retry_after.as_deref(), webhook.now) {
            StatusMeaning::Delivered => AttemptOutcome::Delivered(detail),
            StatusMeaning::NotNow(after) => AttemptOutcome::NotNow(detail, after),
            StatusMeaning::Never => AttemptOutcome::Never(detail),
        }
    }

    /// Sends the request, and follows redirects. The method and the body stay as they are: a webhook that became a GET
    /// on its way would be accepted and do nothing. Only 303 means that it was accepted, and asks for a GET.
    async fn follow_redirects(&self, webhook: &WebhookRequest) -> Result<Response, AttemptFailure> {
        let delivery = &webhook.delivery;
        let mut url = address(&delivery.url)?;
        let mut method = Method::from_bytes(delivery.method.as_bytes()).map_err(|error| never(&error))?;
        let mut body = (method != Method::GET).then(|| delivery.body.to_string());
        let mut headers = headers(webhook, body.as_deref())?;
        for redirects in 0..=MOST_REDIRECTS {
            let redirected = redirects > 0;
            self.check_destination(&url, redirected)?;
            let client = self.client(&url, redirected).await.map_err(AttemptFailure::NotNow)?;
            let mut request = client.request(method.clone(), url.clone()).headers(headers.clone());
            if let Some(body) = &body {
                request = request.body(body.clone());
            }
            let response = request.send().await.map_err(no_answer)?;
            let Some(next) = self.redirected(&url, &response)? else { return Ok(response) };
            if response.status().as_u16() == 303 {
                (method, body) = (Method::GET, None);
                headers.remove(CONTENT_TYPE);
            }
            if !is_same_origin(&url, &next) {
                remove_secrets(&mut headers, webhook);
            }
            url = next;
        }
        Err(AttemptFailure::Never(format!("redirected more than {MOST_REDIRECTS} times")))
    }

    /// The target of a redirect, where the answer is one.
    fn redirected(&self, from: &Url, response: &Response) -> Result<Option<Url>, AttemptFailure> {
        if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
            return Ok(None);
        }
        let Some(location) = header(response, &LOCATION) else { return Ok(None) };
        let next =
            from.join(location).map_err(|error| AttemptFailure::Never(format!("redirected: {error}")))?;
        address(next.as_str())?;
        if from.scheme() == "https" && next.scheme() == "http" && !self.destinations.private_redirects {
            return Err(AttemptFailure::Never("redirected from https to http, which is not followed".into()));
        }
        Ok(Some(next))
    }

    /// May it go there, as far as the URL shows? Names are checked as they are resolved; addresses are not resolved.
    fn check_destination(&self, url: &Url, redirected: bool) -> Result<(), AttemptFailure> {
        let ip = match url.host() {
            Some(Host::Ipv4(ip)) => ip.into(),
            Some(Host::Ipv6(ip)) => ip.into(),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        let (host, port) =
            (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        self.destinations.check(host, ip, port, redirected).map_err(|refused| never(&refused))
    }

    /// The client for this URL, or why there is none just now.
    async fn client(&self, url: &Url, redirected: bool) -> Result<Client, String> {
        let port = url.port_or_known_default().unwrap_or_default();
        let key = (redirected, Some(port).filter(|port| self.destinations.depends_on_port(*port)));
        let mut clients = self.clients.lock().await;
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let (look_up, destinations) = (LookUp::clone(&self.look_up), Arc::clone(&self.destinations));
        let builder = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(2)
            .dns_resolver(Resolver { look_up, destinations, port, redirected });
        let made = tokio::task::spawn_blocking(move || builder.build()).await;
        let client = made.map_err(|error| error.to_string())?.map_err(|error| error_text(&error))?;
        clients.insert(key, client.clone());
        Ok(client)
    }
}

/// A URL that can be sent to.
fn address(text: &str) -> Result<Url, AttemptFailure> {
    let url =
        Url::parse(text).map_err(|error| AttemptFailure::Never(format!("the address is no URL: {error}")))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(AttemptFailure::Never(format!("`{}:` is neither http nor https", url.scheme())));
    }
    Ok(url)
}

/// All headers: the rule's, and ours.
fn headers(webhook: &WebhookRequest, body: Option<&str>) -> Result<HeaderMap, AttemptFailure> {
    let mut headers = HeaderMap::new();
    headers.insert(USER_AGENT, HeaderValue::from_static(WHO));
    if body.is_some() {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in &webhook.delivery.headers {
        let bad = |error: &dyn Error| AttemptFailure::Never(format!("header `{name}`: {error}"));
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|error| bad(&error))?;
        if !OURS.contains(&name.as_str()) && !name.as_str().starts_with(OUR_PREFIX) {
            headers.insert(name, HeaderValue::from_str(value.trim()).map_err(|error| bad(&error))?);
        }
    }
    let timestamp = webhook.now.millis().div_euclid(1_000);
    let mut ours =
        vec![("x-twinhub-delivery", webhook.id.to_string()), ("x-twinhub-timestamp", timestamp.to_string())];
    if let Some(key) = &webhook.key {
        let body = body.unwrap_or_default().as_bytes();
        let signed = signature(key, timestamp, body);
        ours.push(("x-twinhub-signature", signed.ok_or_else(|| never(&"it cannot be signed"))?));
    }
    for (name, value) in ours {
        headers.insert(name, HeaderValue::from_str(&value).map_err(|error| never(&error))?);
    }
    Ok(headers)
}

/// A rule's headers are for the receiver that it names: keys, more often than not.
fn remove_secrets(headers: &mut HeaderMap, webhook: &WebhookRequest) {
    headers.remove(AUTHORIZATION);
    for (name, _) in &webhook.delivery.headers {
        let name = name.to_ascii_lowercase();
        if !["content-type", "user-agent"].contains(&&*name) && !name.starts_with(OUR_PREFIX) {
            headers.remove(&*name);
        }
    }
}

/// The same receiver: the same host and port, or the same host, now by https.
fn is_same_origin(from: &Url, to: &Url) -> bool {
    let same_port =
        from.scheme() == to.scheme() && from.port_or_known_default() == to.port_or_known_default();
    let upgraded =
        (from.scheme(), to.scheme()) == ("http", "https") && from.port().is_none() && to.port().is_none();
    from.host() == to.host() && (same_port || upgraded)
}

/// Reads on to the end, or as far as we care, and keeps the beginning.
async fn read(response: &mut Response, kept: &mut Vec<u8>) {
    let mut read = 0;
    while read < MOST_READ
        && let Ok(Some(chunk)) = response.chunk().await
    {
        read += chunk.len();
        let room = (MOST_KEPT * 4).saturating_sub(kept.len()); // a character has four bytes at most
        kept.extend_from_slice(&chunk[..chunk.len().min(room)]);
    }
}

fn shortened(text: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    text.trim().chars().take(MOST_KEPT).map(plain).collect()
}

fn header<'a>(response: &'a Response, name: &HeaderName) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn no_answer(error: reqwest::Error) -> AttemptFailure {
    if let Some(refused) = sources(&error).find_map(|cause| cause.downcast_ref::<DestinationRefused>()) {
        return never(refused);
    }
    if error.is_builder() {
        AttemptFailure::Never(error_text(&error))
    } else {
        AttemptFailure::NotNow(error_text(&error))
    }
}

/// The innermost causes, which name the error; the outer ones only name layers, and the URL with its secrets.
fn error_text(error: &reqwest::Error) -> String {
    let causes: Vec<String> = sources(error).map(ToString::to_string).collect();
    match &causes[..] {
        [] => "the request could not be sent".into(),
        [.., outer, inner] if !outer.contains(inner.as_str()) => format!("{outer}: {inner}"),
        [.., last] => last.clone(),
    }
}

fn sources<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(error.source(), |cause| (*cause).source())
}

fn never(why: &dyn std::fmt::Display) -> AttemptFailure {
    AttemptFailure::Never(why.to_string())
}
