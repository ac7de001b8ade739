//! A running hub, asked over HTTP.

use anyhow::{Context as _, Result, anyhow, bail};
use futures_util::{Stream, StreamExt as _};
use reqwest::{RequestBuilder, Response};
use serde_json::Value;

/// Where a running hub is asked.
pub const HUB: &str = "http://127.0.0.1:8080";
/// Where answers that are a list or a file have warnings.
const WARNINGS: &str = "X-Warnings";

/// A hub that is asked over HTTP.
pub struct Remote {
    client: reqwest::Client,
    url: String,
}

/// A server-sent event.
#[derive(Debug, PartialEq)]
pub struct Frame {
    pub event: String,
    pub data: String,
}

impl Remote {
    /// The hub at `url`, `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// It is no address, or there is no way to speak HTTP.
    pub fn new(url: &str) -> Result<Self> {
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            bail!("--url {url}: expected an address such as http://127.0.0.1:8080");
        }
        let client = reqwest::Client::builder().build().context("cannot speak HTTP")?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned() })
    }

    /// A GET, and how many items there are in all.
    ///
    /// # Errors
    /// The hub is not there, or says no.
    pub async fn get(&self, path: &str) -> Result<(Value, usize)> {
        let response = self.send(self.client.get(format!("{}{path}", self.url))).await?;
        let total = response.headers().get("X-Total-Count").and_then(|total| total.to_str().ok());
        let total = total.and_then(|total| total.parse().ok()).unwrap_or_default();
        Ok((response.json().await.context("the hub's answer makes no sense")?, total))
    }

    /// A POST without a body.
    ///
    /// # Errors
    /// The hub is not there, or says no.
    pub async fn post(&self, path: &str) -> Result<Value> {
        let response = self.send(self.client.post(format!("{}{path}", self.url))).await?;
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
        let request = self.client.post(format!("{}{path}", self.url)).header("Accept", "text/event-stream");
        let response = self.send(request.json(body)).await?;
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
        let request = self.client.post(format!("{}{path}", self.url)).header("Content-Type", media_type);
        let response = self.send(request.body(body)).await?;
        response.json().await.context("the hub's answer makes no sense")
    }

    /// A GET of a file, piece by piece; and what the hub warns of.
    ///
    /// # Errors
    /// The hub is not there, or says no.
    pub async fn download(
        &self,
        path: &str,
    ) -> Result<(Vec<String>, impl Stream<Item = Result<bytes::Bytes>> + use<>)> {
        let response = self.send(self.client.get(format!("{}{path}", self.url))).await?;
        let warnings = response.headers().get(WARNINGS).and_then(|header| header.to_str().ok());
        let warnings = warned(warnings.unwrap_or_default());
        Ok((warnings, response.bytes_stream().map(|piece| piece.context("the hub broke off"))))
    }

    async fn send(&self, request: RequestBuilder) -> Result<Response> {
        let response = request.send().await.with_context(|| format!("no hub answers at {}", self.url))?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
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
