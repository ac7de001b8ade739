//! Fetching an image as a device does, piece by piece, with nothing kept of it but its hash.

use std::time::Duration;

use sha2::{Digest as _, Sha256};
use twinhub_domain::text::hex;

use super::firmware::{Download, Fetch};
use crate::cli::remote::RemoteToken;

/// A fleet that really fetched something larger would measure its own network.
const LARGEST: u64 = 4 << 20;
/// The whole download must come within this time.
const WITHIN: Duration = Duration::from_secs(120);

/// Is it to be fetched, and not only pretended?
pub(super) fn is_real(fetch: &Fetch) -> bool {
    let is_http = fetch.url.starts_with("http://") || fetch.url.starts_with("https://");
    is_http && fetch.size <= LARGEST
}

/// Fetches it.
pub(super) async fn fetch(client: &reqwest::Client, token: Option<&RemoteToken>, fetch: &Fetch) -> Download {
    match tokio::time::timeout(WITHIN, hash(client, token, fetch)).await {
        Ok(Ok(hash)) => Download::Came(hash),
        Ok(Err(why)) => Download::Broken(why),
        Err(_) => Download::Broken("it took too long".into()),
    }
}

async fn hash(
    client: &reqwest::Client,
    token: Option<&RemoteToken>,
    fetch: &Fetch,
) -> Result<String, String> {
    let request = client.get(&fetch.url);
    let request = if let Some(token) = token { request.bearer_auth(token.reveal()) } else { request };
    let answer = request.send().await.map_err(|error| error.to_string())?;
    let mut answer = answer.error_for_status().map_err(|error| error.to_string())?;
    let (mut hash, mut size) = (Sha256::new(), 0);
    while let Some(bytes) = answer.chunk().await.map_err(|error| error.to_string())? {
        size += bytes.len() as u64;
        if size > fetch.size {
            return Err(format!("more came than {} bytes", fetch.size));
        }
        hash.update(&bytes);
    }
    Ok(hex(&hash.finalize()))
}
