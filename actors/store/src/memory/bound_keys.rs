//! Keys that are bound to one purpose, in memory.

use async_trait::async_trait;
use twinhub_access::{AuditEntry, BoundKey, SecretId};

use super::MemoryStore;
use crate::{BoundKeyStore, KeyUse, StoreError};

#[async_trait]
impl BoundKeyStore for MemoryStore {
    async fn bound_keys(&self) -> Result<Vec<BoundKey>, StoreError> {
        let mut keys: Vec<BoundKey> = self.inner().access.bound_keys.values().cloned().collect();
        keys.sort_by(|one, other| {
            (one.created_at, &one.secret.id).cmp(&(other.created_at, &other.secret.id))
        });
        Ok(keys)
    }

    async fn add_bound_key(&self, key: &BoundKey, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        let access = &mut self.inner().access;
        if key.owner.is_some_and(|owner| !access.has_user(owner)) {
            return Ok(false);
        }
        access.bound_keys.insert(key.secret.id.clone(), key.clone());
        access.append(audit);
        Ok(true)
    }

    async fn remove_bound_key(&self, id: &SecretId, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        let access = &mut self.inner().access;
        let was_there = access.bound_keys.remove(id).is_some();
        if was_there {
            access.append(audit);
        }
        Ok(was_there)
    }

    async fn use_bound_key(&self, used: &KeyUse, audit: &[AuditEntry]) -> Result<bool, StoreError> {
        let access = &mut self.inner().access;
        let Some(key) = access.bound_keys.get_mut(&used.id) else { return Ok(false) };
        if key.most_uses.is_some_and(|most| key.uses >= most) {
            return Ok(false);
        }
        key.uses += 1;
        key.last_used = Some((used.at, used.address));
        access.append(audit);
        Ok(true)
    }

    async fn give_back_bound_key(&self, id: &SecretId) -> Result<(), StoreError> {
        if let Some(key) = self.inner().access.bound_keys.get_mut(id) {
            key.uses = key.uses.saturating_sub(1);
        }
        Ok(())
    }
}
