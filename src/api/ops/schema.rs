//! Diagnostics as the description tells of them.
#![expect(dead_code, reason = "described, never made")]

use utoipa::ToSchema;

/// A message that could not be read.
#[derive(ToSchema)]
pub struct RejectedItem {
    #[schema(format = DateTime)]
    at: String,
    topic: String,
    #[schema(example = "not_json")]
    reason: String,
    detail: String,
    /// Its first 256 bytes.
    payload: String,
    bytes: usize,
}

/// Messages on topics that nobody reads, by the first level of their topics.
#[derive(ToSchema)]
pub struct UnreadItem {
    /// `(others)` for what comes beyond the first 100.
    #[schema(example = "iot")]
    first_level: String,
    count: u64,
    #[schema(example = "iot/devices/esp/temperature")]
    last_topic: String,
    #[schema(format = DateTime)]
    last_at: String,
    /// The last of them that was close to a topic that is read.
    close_topic: Option<String>,
    /// A guess at what is meant by it.
    hint: Option<String>,
}
