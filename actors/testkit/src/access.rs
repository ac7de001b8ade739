//! The part of a failing store that keeps users, keys, sessions and the audit. Its writes fail while all commits do, and
//! once the store is dead.

use std::sync::Arc;

use async_trait::async_trait;
use twinhub_access::{AuditEntry, Key, SecretId, Session, SessionId, User, UserId};
use twinhub_domain::Timestamp;
use twinhub_store::{
    AccessStore, AuditPage, AuditQuery, AuditStore, KeyStore, KeyUse, SessionStore, StoreError, UserStore,
    UserWrite,
};

use crate::{CommitFault, FailingStore, failed, unknown};

/// Users, keys, sessions and the audit in a [`FailingStore`].
pub(crate) struct FailingAccess {
    inner: Arc<dyn AccessStore>,
    store: Arc<FailingStore>,
}

impl FailingAccess {
    pub(crate) fn of(store: Arc<FailingStore>) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(&store.inner).access(), store })
    }

    async fn write<T>(
        &self,
        operation: &'static str,
        write: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let _alive = self.store.may_write(operation).await?;
        let fault = self.store.plan().broken;
        match fault {
            None => write.await,
            Some(CommitFault::Failed) => Err(failed(operation)),
            Some(CommitFault::UnknownNotDone) => Err(unknown(operation)),
            Some(CommitFault::UnknownDone) => {
                write.await?;
                Err(unknown(operation))
            }
        }
    }
}

#[async_trait]
impl UserStore for FailingAccess {
    async fn users(&self) -> Result<Vec<User>, StoreError> {
        self.inner.users().await
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.inner.user(id).await
    }

    async fn find_user(&self, login_key: &str) -> Result<Option<User>, StoreError> {
        self.inner.find_user(login_key).await
    }

    async fn put_user(&self, user: &User, audit: &[AuditEntry]) -> Result<UserWrite, StoreError> {
        self.write("put user", self.inner.put_user(user, audit)).await
    }

    async fn remove_user(&self, id: UserId, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        self.write("remove user", self.inner.remove_user(id, audit)).await
    }
}

#[async_trait]
impl KeyStore for FailingAccess {
    async fn key(&self, id: &SecretId) -> Result<Option<Key>, StoreError> {
        self.inner.key(id).await
    }

    async fn keys(&self, owner: Option<UserId>) -> Result<Vec<Key>, StoreError> {
        self.inner.keys(owner).await
    }

    async fn put_key(&self, key: &Key, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        self.write("put key", self.inner.put_key(key, audit)).await
    }

    async fn remove_key(&self, id: &SecretId, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        self.write("remove key", self.inner.remove_key(id, audit)).await
    }

    async fn note_key_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        self.write("note key uses", self.inner.note_key_uses(uses)).await
    }
}

#[async_trait]
impl SessionStore for FailingAccess {
    async fn find_session(&self, hash: &[u8; 32]) -> Result<Option<Session>, StoreError> {
        self.inner.find_session(hash).await
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        self.inner.session(id).await
    }

    async fn sessions(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        self.inner.sessions(user).await
    }

    async fn put_session(&self, session: &Session, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        self.write("put session", self.inner.put_session(session, audit)).await
    }

    async fn note_sessions_seen(&self, seen: &[(SessionId, Timestamp)]) -> Result<(), StoreError> {
        self.write("note sessions seen", self.inner.note_sessions_seen(seen)).await
    }

    async fn remove_session(&self, id: SessionId, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        self.write("remove session", self.inner.remove_session(id, audit)).await
    }

    async fn remove_sessions(&self, ids: &[SessionId], audit: &[AuditEntry]) -> Result<u64, StoreError> {
        self.write("remove several sessions", self.inner.remove_sessions(ids, audit)).await
    }

    async fn remove_sessions_of(
        &self,
        user: UserId,
        stays: Option<SessionId>,
        audit: &[AuditEntry],
    ) -> Result<Vec<SessionId>, StoreError> {
        self.write("remove sessions", self.inner.remove_sessions_of(user, stays, audit)).await
    }

    async fn expire_sessions(
        &self,
        not_seen_since: Timestamp,
        made_before: Timestamp,
    ) -> Result<u64, StoreError> {
        self.write("expire sessions", self.inner.expire_sessions(not_seen_since, made_before)).await
    }
}

#[async_trait]
impl AuditStore for FailingAccess {
    async fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        self.write("append audit", self.inner.append_audit(entries)).await
    }

    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        self.inner.audit(query).await
    }

    async fn expire_audit(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.write("expire audit", self.inner.expire_audit(before)).await
    }
}
