//! Errors of the hub's answers.

use crate::caller::Permission;
use twinhub_domain::Refusal;
use twinhub_store::StoreError;

/// The reason why the hub did not do what a person or program asked.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The caller lacks this permission.
    #[error("this takes the permission `{0}`")]
    Forbidden(Permission),
    /// Its actors have gone.
    #[error("the hub is shutting down")]
    ShuttingDown,
    /// The store does not take anything in just now, or too much is in flight: try again later.
    #[error("{0}")]
    Unavailable(&'static str),
}
