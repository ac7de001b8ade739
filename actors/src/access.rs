//! Access control of callers. A [`Grant`] is the only way from a caller to the hub's actors: their addresses are
//! private to this crate, and each message that a grant hands on names the permission that it takes.

mod grant;
mod messages;
mod tokens;

pub use crate::caller::{Caller, Permission, Permissions};
pub use grant::{Grant, InputRequest};
pub use messages::HubRequest;
pub use tokens::{Tokens, plain_hash, token_hashes};
