//! A running hub, asked over HTTP.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Args;
use futures_util::{Stream, StreamExt as _};
pub use reqwest::Method;
use reqwest::{RequestBuilder, Response};
use serde_json::Value;

use crate::config::{Config, Options};
use crate::startup::local_key::KeyOfHub;

/// Where a running hub is asked.
pub const HUB: &str = "http://127.0.0.1:8080";
/// Where answers that are a list or a file have warnings.
const WARNINGS: &str = "X-Warnings";

/// The hub that is asked, and the credential for it.
#[derive(Args, Clone, Debug)]
pub struct HubArgs {
    /// The hub that is asked
    #[arg(long, value_name = "URL", env = "TWINHUB_URL", default_value = HUB, global = true)]
    url: String,
    /// A key for it, as `twinhub key add` makes them [default: the one that a hub on this machine leaves in its data folder]
    #[arg(long, value_name = "KEY", env = "TWINHUB_TOKEN", hide_env_values = true, global = true)]
    token: Option<RemoteToken>,
    /// The certificate of the authority that vouches for it, as a hub with `--tls auto` serves it at /ca.pem
    #[arg(long, value_name = "FILE", env = "TWINHUB_CA", global = true)]
    ca: Option<PathBuf>,
}

/// A token that no log shows.
#[derive(Clone)]
pub struct RemoteToken(String);

/// A hub that is asked over HTTP.
pub struct Remote {
    client: reqwest::Client,
    url: String,
    token: Option<RemoteToken>,
}

/// A server-sent event.
#[derive(Debug, PartialEq)]
pub struct Frame {
    pub event: String,
    pub data: String,
}

impl HubArgs {
    /// The address of the hub. Where none was given, and this machine's hub is at the usual one, it says itself whether it
    /// is served over TLS.
    fn address(&self) -> String {
        self.address_by(local_key)
    }

    fn address_by(&self, local_key: impl FnOnce() -> Option<KeyOfHub>) -> String {
        let here = (self.url == HUB).then(local_key).flatten().filter(|key| key.is_for(HUB));
        here.map_or_else(|| self.url.clone(), |key| key.url())
    }

    /// A client that trusts the authority of the arguments, too.
    ///
    /// # Errors
    /// The file cannot be read, or there is no way to speak HTTP.
    pub fn client(&self) -> Result<reqwest::Client> {
        let builder = reqwest::Client::builder();
        let builder = match &self.ca {
            None => builder,
            Some(path) => {
                let cannot = || format!("cannot use --ca {}", path.display());
                let pem = std::fs::read(path).with_context(cannot)?;
                let trusted = reqwest::Certificate::from_pem_bundle(&pem).with_context(cannot)?;
                builder.tls_certs_merge(trusted)
            }
        };
        builder.build().context("cannot speak HTTP")
    }

    /// The credential for requests to `url`: the given one goes to the hub that is asked alone.
    #[must_use]
    pub fn token_for(&self, url: &str) -> Option<RemoteToken> {
        self.token_by(url, local_key)
    }

    fn token_by(&self, url: &str, local_key: impl FnOnce() -> Option<KeyOfHub>) -> Option<RemoteToken> {
        let origin = |url: &str| url::Url::parse(url).ok().map(|url| url.origin());
        match &self.token {
            Some(token) => (origin(url) == origin(&self.address_by(local_key))).then(|| token.clone()),
            None => local_key().filter(|key| key.is_for(url)).map(|key| RemoteToken(key.token)),
        }
    }
}

impl RemoteToken {
    /// The text of it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for RemoteToken {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        if is_token { Ok(Self(text.to_owned())) } else { Err("a key is letters, digits and underscores") }
    }
}

impl fmt::Debug for RemoteToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// The key of the hub that runs on the data folder which a hub started here would use.
fn local_key() -> Option<KeyOfHub> {
    let data_dir = std::env::var_os("TWINHUB_DATA_DIR").map(PathBuf::from);
    let options = Options { data_dir, ..Options::default() };
    // A file that cannot be understood is told by whoever serves.
    let data_dir = Config::resolve(options).map_or_else(|_| "data".into(), |config| config.data_dir);
    KeyOfHub::read(&data_dir)
}

/// A client for the key of this machine's hub. It goes past any proxy of the environment, which would see the key, and
/// whose loopback may be another machine's. What it says does not leave this machine, so it asks for no certificate: one for
/// other names than this machine's addresses would be in the way.
fn direct() -> Result<reqwest::Client> {
    let builder = reqwest::Client::builder().no_proxy().tls_danger_accept_invalid_certs(true);
    builder.build().context("cannot speak HTTP")
}

impl Remote {
    /// The hub of the arguments.
    ///
    /// # Errors
    /// It is no address, or there is no way to speak HTTP.
    pub fn new(args: &HubArgs) -> Result<Self> {
        let url = args.address();
        let remote = Self { client: args.client()?, ..Self::at(&url, args.token_for(&url))? };
        // No token was given, so this one is the key of this machine's hub.
        let is_of_hub = args.token.is_none() && remote.token.is_some();
        if is_of_hub { Ok(Self { client: direct()?, ..remote }) } else { Ok(remote) }
    }

    /// The hub at `url`, `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// It is no address, or there is no way to speak HTTP.
    pub fn at(url: &str, token: Option<RemoteToken>) -> Result<Self> {
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            bail!("--url {url}: expected an address such as http://127.0.0.1:8080");
        }
        let client = reqwest::Client::builder().build().context("cannot speak HTTP")?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned(), token })
    }

    /// The hub by the key that it left for this machine.
    ///
    /// # Errors
    /// There is no way to speak HTTP.
    pub fn of_key(key: KeyOfHub) -> Result<Self> {
        Ok(Self { client: direct()?, url: key.url(), token: Some(RemoteToken(key.token)) })
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        match &self.token {
            Some(token) => request.bearer_auth(token.reveal()),
            None => request,
        }
    }

    /// A request with a body of JSON; the answer, or null where it has none.
    ///
    /// # Errors
    /// The hub is not there, or says no.
    pub async fn send_json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let request = self.request(method, path);
        let request = if let Some(body) = body { request.json(body) } else { request };
        let text = self.send(request).await?.text().await.context("the hub broke off")?;
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).context("the hub's answer makes no sense")
    }

    /// A GET, and how many items there are in all.
    ///
    /// # Errors
    /// The hub is not there, or says no.
    pub async fn get(&self, path: &str) -> Result<(Value, usize)> {
        let response = self.send(self.request(Method::GET, path)).await?;
        let total = response.headers().get("X-Total-Count").and_then(|total| total.to_str().ok());
        let total = total.and_then(|total| total.parse().ok()).unwrap_or_default();
        Ok((response.json().await.context("the hub's answer makes no sense")?, total))
    }

    /// A POST without a body.
    ///
    /// # Errors
    /// The hub is not there, or says no.
    pub async fn post(&self, path: &str) -> Result<Value> {
        let response = self.send(self.request(Method::POST, path)).await?;
        response.json().await.context("the hub's answer makes no sense")
    }

    /// A POST whose answer is a stream of events.
    ///
    /// # Errors
    /// The hub is not there, or says no.
    pub async fn stream(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<impl Stream<Item = Result<Frame>> + use<>> {
        self.events(self.request(Method::POST, path).json(body)).await
    }

    /// A GET whose answer is a stream of events.
    ///
    /// # Errors
    /// The hub is not there, or says no.
    pub async fn follow(&self, path: &str) -> Result<impl Stream<Item = Result<Frame>> + use<>> {
        self.events(self.request(Method::GET, path)).await
    }

    async fn events(&self, request: RequestBuilder) -> Result<impl Stream<Item = Result<Frame>> + use<>> {
        let response = self.send(request.header("Accept", "text/event-stream")).await?;
        let mut chunks = response.bytes_stream();
        let mut text = Vec::new();
        Ok(futures_util::stream::poll_fn(move |context| {
            use std::task::Poll;
            loop {
                if let Some(frame) = take_frame(&mut text) {
                    return Poll::Ready(Some(Ok(frame)));
                }
                match chunks.poll_next_unpin(context) {
                    Poll::Ready(Some(Ok(chunk))) => text.extend_from_slice(&chunk),
                    Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                    Poll::Ready(None) => return Poll::Ready(None),
                    Poll::Pending => return Poll::Pending,
                }
            }
        }))
    }

    /// A POST of a file.
    ///
    /// # Errors
    /// The hub is not there, or says no.
    pub async fn send_file(&self, path: &str, media_type: &str, body: Vec<u8>) -> Result<Value> {
        let request = self.request(Method::POST, path).header("Content-Type", media_type);
        let response = self.send(request.body(body)).await?;
        response.json().await.context("the hub's answer makes no sense")
    }

    /// A request with a body of this type: the status and the answer, null where it is no JSON, also where the hub says
    /// no.
    ///
    /// # Errors
    /// The hub is not there, or does not know who asks.
    pub async fn answer(
        &self,
        method: Method,
        path: &str,
        media_type: &str,
        body: Vec<u8>,
    ) -> Result<(u16, Value)> {
        let request = self.request(method, path).header("Content-Type", media_type).body(body);
        let response = request.send().await.with_context(|| self.no_answer())?;
        let status = response.status().as_u16();
        if status == 401 && self.token.is_none() {
            return Err(self.asks_who());
        }
        let text = response.text().await.context("the hub broke off")?;
        Ok((status, serde_json::from_str(&text).unwrap_or_default()))
    }

    /// A GET of a file, piece by piece; and what the hub warns of.
    ///
    /// # Errors
    /// The hub is not there, or says no.
    pub async fn download(
        &self,
        path: &str,
    ) -> Result<(Vec<String>, impl Stream<Item = Result<bytes::Bytes>> + use<>)> {
        let response = self.send(self.request(Method::GET, path)).await?;
        let warnings = response.headers().get(WARNINGS).and_then(|header| header.to_str().ok());
        let warnings = warned(warnings.unwrap_or_default());
        Ok((warnings, response.bytes_stream().map(|piece| piece.context("the hub broke off"))))
    }

    fn no_answer(&self) -> String {
        let trust = "one with a certificate of its own is trusted by --ca FILE, which is its /ca.pem";
        let more = if self.url.starts_with("https://") { format!(" ({trust})") } else { String::new() };
        format!("no hub answers at {}{more}", self.url)
    }

    fn asks_who(&self) -> anyhow::Error {
        anyhow!("the hub at {} asks who you are: give a key with --token or TWINHUB_TOKEN", self.url)
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.with_context(|| self.no_answer())?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        if status.as_u16() == 401 && self.token.is_none() {
            return Err(self.asks_who());
        }
        let text = response.text().await.unwrap_or_default();
        let problem = serde_json::from_str::<Value>(&text).unwrap_or_default();
        Err(refused(&problem).unwrap_or_else(|| anyhow!("the hub at {} says {status}", self.url)))
    }
}

/// Did the hub not answer at all, as while it starts again?
#[must_use]
pub fn is_away(error: &anyhow::Error) -> bool {
    error.downcast_ref::<reqwest::Error>().is_some()
}

/// The warnings of a header; none where it makes no sense.
fn warned(header: &str) -> Vec<String> {
    let warnings: Vec<Value> = serde_json::from_str(header).unwrap_or_default();
    warnings.iter().filter_map(|warning| Some(warning["detail"].as_str()?.to_owned())).collect()
}

/// The error of a problem document.
#[must_use]
pub fn refused(problem: &Value) -> Option<anyhow::Error> {
    let errors = problem["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let lines = errors.iter().map(|error| {
        let text = |name: &str| error[name].as_str().unwrap_or_default();
        format!("{}: {}", text("pointer"), text("message"))
    });
    let lines = lines.collect::<Vec<_>>();
    if lines.is_empty() {
        Some(anyhow!("{}", problem["error"].as_str()?))
    } else {
        Some(anyhow!("{}", lines.join("; ")))
    }
}

/// The first whole event in `text`, taken out of it. Comments are passed over.
fn take_frame(text: &mut Vec<u8>) -> Option<Frame> {
    loop {
        let end = text.windows(2).position(|two| two == b"\n\n")?;
        let block: Vec<u8> = text.drain(..end + 2).collect();
        let block = String::from_utf8_lossy(&block);
        let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
        if let (Some(event), Some(data)) = (field("event:"), field("data:")) {
            return Some(Frame { event: event.to_owned(), data: data.to_owned() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_events_out_of_a_stream() {
        let mut text = b": ping\n\nevent: progress\ndata: {}\n\nevent: res".to_vec();
        let frame = Frame { event: "progress".into(), data: "{}".into() };
        assert_eq!(take_frame(&mut text), Some(frame));
        assert_eq!(take_frame(&mut text), None);
        assert_eq!(text, b"event: res");
    }

    #[test]
    fn a_given_token_goes_to_the_hub_that_is_asked_alone() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("local.key"), "twh_local_x\nhttps://127.0.0.1:8080\n").unwrap();
        let over_tls = || KeyOfHub::read(dir.path());
        let args = |url: &str| HubArgs { url: url.into(), token: "twh_a".parse().ok(), ca: None };
        let is_sent = |args: &HubArgs, url: &str| args.token_by(url, over_tls).is_some();
        assert_eq!(args(HUB).address_by(over_tls), "https://127.0.0.1:8080");
        assert!(is_sent(&args(HUB), "https://127.0.0.1:8080"), "the usual address leads to TLS");
        assert!(!is_sent(&args(HUB), "http://127.0.0.1:8080"), "and not in clear");
        assert!(args(HUB).token_by(HUB, || None).is_some());
        let other = args("https://hub.example.com");
        assert!(is_sent(&other, "https://hub.example.com/api/devices"));
        assert!(!is_sent(&other, "https://127.0.0.1:8080") && !is_sent(&other, "https://evil.example"));
    }

    #[test]
    fn tells_what_the_hub_warned_of() {
        let header =
            r#"[{"code": "unknown_name", "field": "filter", "detail": "no device has `k\u00fchl`"}]"#;
        assert_eq!(warned(header), ["no device has `kühl`"]);
        assert_eq!([warned(""), warned("[1]"), warned("{}")], [[""; 0]; 3]);
    }

    #[test]
    fn shows_the_answer_of_the_hub() {
        let message =
            |text: &str| refused(&serde_json::from_str(text).unwrap()).map(|error| error.to_string());
        assert_eq!(message(r#"{"error": "no"}"#).as_deref(), Some("no"));
        let problem = r#"{"error": "no", "errors": [{"pointer": "/a", "message": "bad"}]}"#;
        assert_eq!(message(problem).as_deref(), Some("/a: bad"));
        assert_eq!(message("{}"), None);
    }
}
