//! Users, keys, sessions and the audit, in the store.
//!
//! Each change of them takes entries for the audit along, which are durable with it: no right changes without a trace.
//! A change that may have been made ([`StoreError::Unknown`]) can be made again; its entries then may stand there twice.

use std::net::IpAddr;

use async_trait::async_trait;
use twinhub_access::{Action, AuditEntry, AuditRecord, Key, SecretId, Session, SessionId, User, UserId};
use twinhub_domain::Timestamp;

use crate::StoreError;

/// The result of writing a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserWrite {
    Done,
    /// Nothing was written: another user has the name, in whatever spelling.
    NameTaken,
    /// Nothing was written: another user has the e-mail address.
    EmailTaken,
}

/// Keeps users.
#[async_trait]
pub trait UserStore: Send + Sync + 'static {
    /// All of them, by their names as they are compared.
    async fn users(&self) -> Result<Vec<User>, StoreError>;

    /// The user with this id.
    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError>;

    /// The user with this name or e-mail address, as [`twinhub_access::name::login_key`] writes it.
    async fn find_user(&self, login_key: &str) -> Result<Option<User>, StoreError>;

    /// Writes a user, new or changed.
    async fn put_user(&self, user: &User, audit: &[AuditEntry]) -> Result<UserWrite, StoreError>;

    /// Removes a user with their keys and sessions. False: there is none, and nothing was written.
    async fn remove_user(&self, id: UserId, audit: &[AuditEntry]) -> Result<bool, StoreError>;
}

/// A use of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    pub id: SecretId,
    pub at: Timestamp,
    pub address: IpAddr,
}

/// Keeps the keys of users and of service accounts.
#[async_trait]
pub trait KeyStore: Send + Sync + 'static {
    /// The key with this id.
    async fn key(&self, id: &SecretId) -> Result<Option<Key>, StoreError>;

    /// The keys of a user, or of all service accounts, the oldest first.
    async fn keys(&self, owner: Option<UserId>) -> Result<Vec<Key>, StoreError>;

    /// Writes a key, new or changed. False: its owner is gone, and nothing was written.
    async fn put_key(&self, key: &Key, audit: &[AuditEntry]) -> Result<bool, StoreError>;

    /// Removes a key. False: there is none, and nothing was written.
    async fn remove_key(&self, id: &SecretId, audit: &[AuditEntry]) -> Result<bool, StoreError>;

    /// Writes down the last uses of keys; those of keys that are gone are left out.
    async fn note_key_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError>;
}

/// Keeps sessions. Whether one is alive is for the caller to judge.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// The session whose token has this hash.
    async fn find_session(&self, hash: &[u8; 32]) -> Result<Option<Session>, StoreError>;

    /// The session with this id.
    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError>;

    /// The sessions of a user, the oldest first.
    async fn sessions(&self, user: UserId) -> Result<Vec<Session>, StoreError>;

    /// Writes a session, new or changed. False: its user is gone, and nothing was written.
    async fn put_session(&self, session: &Session, audit: &[AuditEntry]) -> Result<bool, StoreError>;

    /// Writes down when sessions were last seen; those that are gone are left out.
    async fn note_sessions_seen(&self, seen: &[(SessionId, Timestamp)]) -> Result<(), StoreError>;

    /// Removes a session. False: there is none, and nothing was written.
    async fn remove_session(&self, id: SessionId, audit: &[AuditEntry]) -> Result<bool, StoreError>;

    /// Removes sessions, all of them or none. Gives the number of those that there were.
    async fn remove_sessions(&self, ids: &[SessionId], audit: &[AuditEntry]) -> Result<u64, StoreError>;

    /// Removes the sessions of a user, but for one that stays. Gives the ids of those that are gone.
    async fn remove_sessions_of(
        &self,
        user: UserId,
        stays: Option<SessionId>,
        audit: &[AuditEntry],
    ) -> Result<Vec<SessionId>, StoreError>;

    /// Removes sessions that were not seen since the one moment, or were made before the other. Gives their number.
    async fn expire_sessions(
        &self,
        not_seen_since: Timestamp,
        made_before: Timestamp,
    ) -> Result<u64, StoreError>;
}

/// A query for entries of the audit.
#[derive(Clone, Debug, Default)]
pub struct AuditQuery {
    pub who: Option<String>,
    pub action: Option<Action>,
    pub target: Option<String>,
    /// By the time of the entry: from here on, inclusive.
    pub from: Option<Timestamp>,
    /// Up to here, exclusive.
    pub to: Option<Timestamp>,
    /// Only entries after this place.
    pub since: Option<u64>,
    /// Only entries before this place.
    pub before: Option<u64>,
    pub newest_first: bool,
    pub limit: u64,
}

/// A page of the audit. The last entry's place is where the next page begins: as `since`, or as `before` where the newest
/// came first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuditPage {
    pub records: Vec<AuditRecord>,
    /// There are more.
    pub has_more: bool,
}

/// Keeps the audit: entries are added, and go when they are old. None is ever changed.
#[async_trait]
pub trait AuditStore: Send + Sync + 'static {
    /// Adds entries, in their order.
    async fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError>;

    /// A page of entries, in the order of their places or backwards.
    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError>;

    /// Removes entries from before a moment. Gives their number.
    async fn expire_audit(&self, before: Timestamp) -> Result<u64, StoreError>;
}

/// Keeps all of it.
pub trait AccessStore: UserStore + KeyStore + SessionStore + AuditStore {}

impl<S: UserStore + KeyStore + SessionStore + AuditStore> AccessStore for S {}
