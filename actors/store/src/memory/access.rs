//! Users, keys, sessions and the audit, in memory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use twinhub_access::{AuditEntry, AuditRecord, Email, Key, SecretId, Session, SessionId, User, UserId};
use twinhub_domain::Timestamp;

use super::MemoryStore;
use crate::{
    AuditPage, AuditQuery, AuditStore, KeyStore, KeyUse, SessionStore, StoreError, UserStore, UserWrite,
    select,
};

/// The users, keys, sessions and entries that there are.
#[derive(Debug, Default)]
pub struct AccessRecords {
    users: BTreeMap<UserId, User>,
    keys: BTreeMap<SecretId, Key>,
    sessions: BTreeMap<SessionId, Session>,
    audit: Vec<AuditRecord>,
    /// The place of the last entry that was ever added.
    last: u64,
}

impl AccessRecords {
    fn append(&mut self, entries: &[AuditEntry]) {
        for entry in entries {
            self.last += 1;
            let (who, target) = (select::key(&entry.who).into(), select::key(&entry.target).into());
            let entry = AuditEntry { who, target, ..entry.clone() };
            self.audit.push(AuditRecord { seq: self.last, entry });
        }
    }

    fn email_is_taken(&self, user: &User) -> bool {
        let key = user.email.as_ref().map(Email::key);
        let others = self.users.values().filter(|other| other.id != user.id);
        key.is_some() && others.map(|other| other.email.as_ref().map(Email::key)).any(|other| other == key)
    }
}

#[async_trait]
impl UserStore for MemoryStore {
    async fn users(&self) -> Result<Vec<User>, StoreError> {
        let mut users: Vec<User> = self.inner().access.users.values().cloned().collect();
        users.sort_by_key(|user| user.name.key());
        Ok(users)
    }

    async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        Ok(self.inner().access.users.get(&id).cloned())
    }

    async fn find_user(&self, login_key: &str) -> Result<Option<User>, StoreError> {
        let is_key = |user: &&User| {
            user.name.key() == login_key || user.email.as_ref().is_some_and(|email| email.key() == login_key)
        };
        Ok(self.inner().access.users.values().find(is_key).cloned())
    }

    async fn put_user(&self, user: &User, audit: &[AuditEntry]) -> Result<UserWrite, StoreError> {
        let access = &mut self.inner().access;
        let mut others = access.users.values().filter(|other| other.id != user.id);
        if others.any(|other| other.name.key() == user.name.key()) {
            return Ok(UserWrite::NameTaken);
        }
        if access.email_is_taken(user) {
            return Ok(UserWrite::EmailTaken);
        }
        access.users.insert(user.id, user.clone());
        access.append(audit);
        Ok(UserWrite::Done)
    }

    async fn remove_user(&self, id: UserId, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        let access = &mut self.inner().access;
        if access.users.remove(&id).is_none() {
            return Ok(false);
        }
        access.keys.retain(|_, key| key.owner != Some(id));
        access.sessions.retain(|_, session| session.user != id);
        access.append(audit);
        Ok(true)
    }
}

#[async_trait]
impl KeyStore for MemoryStore {
    async fn key(&self, id: &SecretId) -> Result<Option<Key>, StoreError> {
        Ok(self.inner().access.keys.get(id).cloned())
    }

    async fn keys(&self, owner: Option<UserId>) -> Result<Vec<Key>, StoreError> {
        let inner = self.inner();
        let mut keys: Vec<Key> =
            inner.access.keys.values().filter(|key| key.owner == owner).cloned().collect();
        keys.sort_by(|one, other| {
            (one.created_at, &one.secret.id).cmp(&(other.created_at, &other.secret.id))
        });
        Ok(keys)
    }

    async fn put_key(&self, key: &Key, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        let access = &mut self.inner().access;
        if key.owner.is_some_and(|owner| !access.users.contains_key(&owner)) {
            return Ok(false);
        }
        let kept = match access.keys.remove(&key.secret.id) {
            // As much of it as can change.
            Some(before) => Key {
                name: key.name.clone(),
                role: key.role,
                scope: key.scope.clone(),
                expires_at: key.expires_at,
                ..before
            },
            None => key.clone(),
        };
        access.keys.insert(key.secret.id.clone(), kept);
        access.append(audit);
        Ok(true)
    }

    async fn remove_key(&self, id: &SecretId, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        let access = &mut self.inner().access;
        let was_there = access.keys.remove(id).is_some();
        if was_there {
            access.append(audit);
        }
        Ok(was_there)
    }

    async fn note_key_uses(&self, uses: &[KeyUse]) -> Result<(), StoreError> {
        let keys = &mut self.inner().access.keys;
        for KeyUse { id, at, address } in uses {
            if let Some(key) = keys.get_mut(id) {
                key.last_used = Some((*at, *address));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl SessionStore for MemoryStore {
    async fn find_session(&self, hash: &[u8; 32]) -> Result<Option<Session>, StoreError> {
        Ok(self.inner().access.sessions.values().find(|session| session.hash == *hash).cloned())
    }

    async fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        Ok(self.inner().access.sessions.get(&id).cloned())
    }

    async fn sessions(&self, user: UserId) -> Result<Vec<Session>, StoreError> {
        let inner = self.inner();
        let own = inner.access.sessions.values().filter(|session| session.user == user);
        let mut sessions: Vec<Session> = own.cloned().collect();
        sessions.sort_by_key(|session| (session.created_at, session.id));
        Ok(sessions)
    }

    async fn put_session(&self, session: &Session, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        let access = &mut self.inner().access;
        if !access.users.contains_key(&session.user) {
            return Ok(false);
        }
        access.sessions.insert(session.id, session.clone());
        access.append(audit);
        Ok(true)
    }

    async fn note_sessions_seen(&self, seen: &[(SessionId, Timestamp)]) -> Result<(), StoreError> {
        let sessions = &mut self.inner().access.sessions;
        for (id, at) in seen {
            if let Some(session) = sessions.get_mut(id) {
                session.last_seen = *at;
            }
        }
        Ok(())
    }

    async fn remove_session(&self, id: SessionId, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        let access = &mut self.inner().access;
        let was_there = access.sessions.remove(&id).is_some();
        if was_there {
            access.append(audit);
        }
        Ok(was_there)
    }

    async fn remove_sessions(&self, ids: &[SessionId], audit: &[AuditEntry]) -> Result<u64, StoreError> {
        let access = &mut self.inner().access;
        let gone = ids.iter().filter(|id| access.sessions.remove(id).is_some()).count();
        access.append(audit);
        Ok(gone as u64)
    }

    async fn remove_sessions_of(
        &self,
        user: UserId,
        stays: Option<SessionId>,
        audit: &[AuditEntry],
    ) -> Result<Vec<SessionId>, StoreError> {
        let own = self.sessions(user).await?;
        let access = &mut self.inner().access;
        let gone: Vec<SessionId> =
            own.into_iter().map(|session| session.id).filter(|id| stays != Some(*id)).collect();
        for id in &gone {
            access.sessions.remove(id);
        }
        access.append(audit);
        Ok(gone)
    }

    async fn expire_sessions(
        &self,
        not_seen_since: Timestamp,
        made_before: Timestamp,
    ) -> Result<u64, StoreError> {
        let sessions = &mut self.inner().access.sessions;
        let before = sessions.len();
        sessions
            .retain(|_, session| session.last_seen >= not_seen_since && session.created_at >= made_before);
        Ok((before - sessions.len()) as u64)
    }
}

#[async_trait]
impl AuditStore for MemoryStore {
    async fn append_audit(&self, entries: &[AuditEntry]) -> Result<(), StoreError> {
        self.inner().access.append(entries);
        Ok(())
    }

    async fn audit(&self, query: &AuditQuery) -> Result<AuditPage, StoreError> {
        let is_wanted = |record: &&AuditRecord| {
            let AuditRecord { seq, entry } = record;
            query.who.as_ref().is_none_or(|who| *entry.who == *select::key(who))
                && query.action.is_none_or(|action| entry.action == action)
                && query.target.as_ref().is_none_or(|target| *entry.target == *select::key(target))
                && query.from.is_none_or(|from| entry.at >= from)
                && query.to.is_none_or(|to| entry.at < to)
                && query.since.is_none_or(|since| *seq > since)
                && query.before.is_none_or(|before| *seq < before)
        };
        let inner = self.inner();
        let mut records: Vec<AuditRecord> = inner.access.audit.iter().filter(is_wanted).cloned().collect();
        if query.newest_first {
            records.reverse();
        }
        let has_more = records.len() as u64 > query.limit;
        records.truncate(super::count(query.limit));
        Ok(AuditPage { records, has_more })
    }

    async fn expire_audit(&self, before: Timestamp) -> Result<u64, StoreError> {
        let audit = &mut self.inner().access.audit;
        let was = audit.len();
        audit.retain(|record| record.entry.at >= before);
        Ok((was - audit.len()) as u64)
    }
}
