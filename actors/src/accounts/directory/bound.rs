//! The entries of keys that are bound to one purpose.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use twinhub_access::key::DeadKey;
use twinhub_access::role::{Permission, Permissions};
use twinhub_access::{BoundKey, KeyPurpose, Rights, Role, Scope, Secret, SecretId, UserId};
use twinhub_domain::Timestamp;

use super::entries::Validity;
use super::{Identity, Unidentified};
use crate::caller::Caller;

/// The key by which a caller came, where that is bound to one purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundCaller {
    pub key: SecretId,
    pub purpose: KeyPurpose,
}

/// Keys by their ids.
#[derive(Default)]
pub struct BoundEntries(HashMap<SecretId, BoundEntry>);

struct BoundEntry {
    key: BoundKey,
    caller: Caller,
    bound: Arc<BoundCaller>,
    validity: Arc<Validity>,
}

impl BoundEntries {
    /// The caller who has this secret. They may do what the key is for and nothing else.
    ///
    /// # Errors
    /// It gives no rights.
    pub fn identify(
        &self,
        secret: &Secret,
        now: Timestamp,
        address: IpAddr,
    ) -> Result<Identity, Unidentified> {
        let entry = self.0.get(&secret.id()).filter(|entry| entry.key.is_of(secret));
        let entry = entry.ok_or(Unidentified::Key)?;
        if entry.key.is_over(now) {
            return Err(DeadKey::Expired.into());
        }
        let permission = match entry.key.purpose {
            KeyPurpose::Provisioning(_) => Permission::Provision,
            KeyPurpose::Webhook(_) => Permission::Trigger,
            KeyPurpose::Bridge(_) => Permission::Public, // the broker asks what it may, and the API gives it nothing
        };
        let permissions: Permissions = [Permission::Public, permission].into_iter().collect();
        Ok(Identity {
            caller: entry.caller.clone(),
            rights: Rights { permissions, ..Rights::new(Role::Operator, &Scope::All) },
            quota: None,
            user: None,
            key: None,
            session: None,
            address,
            bound: Some(Arc::clone(&entry.bound)),
            validity: Arc::clone(&entry.validity),
        })
    }

    /// Takes a key in.
    pub fn put(&mut self, key: BoundKey) {
        let (purpose, id) = (key.purpose.clone(), key.secret.id.clone());
        let word = match purpose {
            KeyPurpose::Provisioning(_) => "provisioning",
            KeyPurpose::Webhook(_) => "webhook",
            KeyPurpose::Bridge(_) => "bridge",
        };
        let caller = Caller::Key(format!("{word}/{}", key.name).into());
        let bound = Arc::new(BoundCaller { key: id.clone(), purpose });
        self.0.insert(id, BoundEntry { key, caller, bound, validity: Arc::default() });
    }

    /// Changes the count of a key's uses.
    pub fn count(&mut self, id: &SecretId, change: impl FnOnce(&mut BoundKey)) {
        if let Some(entry) = self.0.get_mut(id) {
            change(&mut entry.key);
        }
    }

    /// Ends the keys that `is_over`. True where there was one.
    pub fn end(&mut self, is_over: impl Fn(&BoundKey) -> bool) -> bool {
        let over = self.0.extract_if(|_, entry| is_over(&entry.key));
        over.map(|(_, entry)| entry.validity.end()).count() > 0
    }

    /// Ends the keys of a user.
    pub fn end_of(&mut self, user: UserId) -> bool {
        self.end(|key| key.owner == Some(user))
    }

    /// The key with this id.
    pub fn find(&self, id: &SecretId) -> Option<BoundKey> {
        self.0.get(id).map(|entry| entry.key.clone())
    }

    /// The keys that are asked for, the newest first.
    pub fn list(&self, is_wanted: impl Fn(&BoundKey) -> bool) -> Vec<BoundKey> {
        let keys = self.0.values().map(|entry| &entry.key).filter(|key| is_wanted(key));
        let mut keys: Vec<BoundKey> = keys.cloned().collect();
        keys.sort_by(|one, other| {
            (other.created_at, &other.secret.id).cmp(&(one.created_at, &one.secret.id))
        });
        keys
    }
}

impl fmt::Debug for BoundEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BoundEntries({} keys)", self.0.len())
    }
}
