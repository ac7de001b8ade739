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
    /// The caller has a scope, and this is for callers who reach all devices.
    #[error("this is for callers whose scope is all devices")]
    Scoped,
    /// A device would come to stand where the caller does not reach.
    #[error("{0}")]
    OutOfScope(String),
    /// The caller owns as many devices as they may.
    #[error("you have {quota} devices, which is as many as you may have")]
    QuotaReached { quota: u32 },
    /// Its actors have gone.
    #[error("the hub is shutting down")]
    ShuttingDown,
    /// The store does not take anything in just now, or too much is in flight: try again later.
    #[error("{0}")]
    Unavailable(&'static str),
}
