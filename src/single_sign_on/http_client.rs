//! Requests to the provider: bounded in time and size, and never sent on to another place.

use std::time::Duration;

use openidconnect::http::{Error as HttpError, Response};
use openidconnect::{HttpRequest, HttpResponse};

/// The time that one answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes of an answer at most.
const LARGEST: usize = 1 << 20;

/// The reason why a request brought no answer.
#[derive(Debug, thiserror::Error)]
pub enum ProviderFault {
    #[error("{}", innermost(.0))]
    Request(#[from] reqwest::Error),
    #[error("its answer has more than {LARGEST} bytes")]
    TooLarge,
    #[error("its answer is no HTTP: {0}")]
    Form(#[from] HttpError),
}

/// A client that follows no redirect: the addresses are those that the provider's own document names.
///
/// # Errors
/// The system has no certificates to trust.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).timeout(PATIENCE).build()
}

/// Sends a request, and reads the whole answer.
///
/// # Errors
/// None comes, or it is too large.
pub async fn send(client: reqwest::Client, request: HttpRequest) -> Result<HttpResponse, ProviderFault> {
    let (parts, body) = request.into_parts();
    let asked = client.request(parts.method, parts.uri.to_string()).headers(parts.headers).body(body);
    let mut answer = asked.send().await?;
    let mut whole = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        whole = whole.header(name, value);
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if bytes.len() + chunk.len() > LARGEST {
            return Err(ProviderFault::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(whole.body(bytes)?)
}

/// The cause behind all others: "connection refused" rather than "error sending request".
fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
