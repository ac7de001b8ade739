//! Access as data: people, service accounts and devices, their roles and scopes, and the secrets by which they are
//! known. In reading order.
//!
//! No code in here does input or output, reads the clock or makes random numbers: times and random bytes are arguments.
//! Nothing is locked, and no `static` changes. Secrets are kept as hashes, and no type shows one in its `Debug`.

pub mod rights;
pub mod role;
pub mod scope;

pub mod gateway;
pub mod reach;
pub mod scope_wish;

pub mod name;
pub mod user;

pub mod password;
pub mod totp;

pub mod bound_key;
pub mod bridge;
pub mod jwt;
pub mod key;
pub mod secret;
pub mod session;

pub mod audit;
pub mod code_limits;
pub mod limits;

mod digest;

pub use audit::{Action, AuditEntry, AuditOutcome, AuditRecord};
pub use bound_key::{BoundKey, BoundKeyWish, KeyPurpose, Provisioning};
pub use bridge::{BadBridge, Bridge};
pub use gateway::DeviceReach;
pub use key::{Key, KeyWish};
pub use name::{DisplayName, Email, UserName};
pub use reach::{Reach, ReachPart};
pub use rights::Rights;
pub use role::{Permission, Permissions, Role};
pub use scope::{Place, Scope, Scopes};
pub use scope_wish::ScopeWish;
pub use secret::{KeptSecret, Secret, SecretId, SecretKind};
pub use session::{Session, SessionId, SessionKind, SessionToken};
pub use user::{User, UserChange, UserId};
