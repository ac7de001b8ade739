//! Why the hub did not do what was asked of it.

use twinhub_domain::Refusal;

use twinhub_store::StoreError;

/// Why the hub did not do what a person or program asked.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store does not take anything in just now, or too much is in flight: try again later.
    #[error("{0}")]
    Unavailable(&'static str),
}
