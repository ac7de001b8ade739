//! The users and keys in a data folder on which no hub runs.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use twinhub_access::SecretId;
use twinhub_actors::accounts::alone::AccountsAlone;
use twinhub_actors::clock::HubClock;
use twinhub_actors::messages::accounts::{
    AccountRefusal, AddUser, ChangeUser, FindUser, KeysOf, ListKeys, ListUsers, MakeServiceKey, PROGRAM_KEYS,
    RemoveUser, RevokeKey, SetPassword, UserView,
};
use twinhub_domain::Json;
use twinhub_store::sql::SqlStore;

use crate::api::auth::request::{AccountChange, NewAccount, NewKeyRequest, NewPassword};
use crate::api::auth::view::{KeyItem, NewKeyItem, UserItem};
use crate::config::Config;
use crate::http::extract::read;
use crate::startup;
use crate::startup::lock::Locks;

/// The accounts of a data folder.
pub(super) struct Alone {
    accounts: AccountsAlone,
    store: Arc<SqlStore>,
    /// Held to the end: no hub may begin on it meanwhile.
    _locks: Locks,
}

impl Alone {
    /// Opens them.
    pub async fn open(config: &Config, locks: Locks) -> Result<Self> {
        let store = startup::open_alone(config).await?;
        let settings = startup::accounts(config);
        let accounts = AccountsAlone::open(Arc::clone(&store) as _, Arc::new(HubClock::new()), settings)
            .await
            .with_context(|| format!("cannot use the database {}", config.database))?;
        Ok(Self { accounts, store, _locks: locks })
    }

    pub async fn close(&self) {
        self.store.close().await;
    }

    pub async fn users(&self) -> Result<Vec<Value>> {
        let page = self.accounts.ask(ListUsers { offset: 0, limit: usize::MAX }).await?;
        page.users.iter().map(|user| value(&UserItem::of(user))).collect()
    }

    pub async fn add_user(&self, user: &Value) -> Result<Value> {
        let (user, role) = body::<NewAccount>(user)?.read()?;
        let by = self.accounts.asker();
        value(&UserItem::of(&self.accounts.change(|reply| AddUser { user, role, by, reply }).await??))
    }

    pub async fn change_user(&self, name: &str, change: &Value) -> Result<Value> {
        let (change, user, by) =
            (body::<AccountChange>(change)?.edit()?, self.find(name).await?.id, self.accounts.asker());
        let changed = self.accounts.change(|reply| ChangeUser { user, change, by, reply }).await??;
        value(&UserItem::of(&changed))
    }

    pub async fn set_password(&self, name: &str, password: &Value) -> Result<()> {
        let (new, user, by) =
            (body::<NewPassword>(password)?.read()?, self.find(name).await?.id, self.accounts.asker());
        Ok(self.accounts.change(|reply| SetPassword { user, old: None, new, by, reply }).await??)
    }

    pub async fn remove_user(&self, name: &str) -> Result<Value> {
        let (user, by) = (self.find(name).await?.id, self.accounts.asker());
        value(&UserItem::of(&self.accounts.change(|reply| RemoveUser { user, by, reply }).await??))
    }

    pub async fn keys(&self) -> Result<Vec<Value>> {
        let (of, by) = (KeysOf::Anybody, self.accounts.asker());
        self.accounts.ask(ListKeys { of, by }).await??.iter().map(|key| value(&KeyItem::of(key))).collect()
    }

    pub async fn add_key(&self, key: &Value) -> Result<Value> {
        let (key, by) = (body::<NewKeyRequest>(key)?.key()?, self.accounts.asker());
        value(&NewKeyItem::of(&self.accounts.change(|reply| MakeServiceKey { key, by, reply }).await??))
    }

    pub async fn revoke_key(&self, id: &str) -> Result<Value> {
        let (key, by) = (SecretId::parse(id).ok_or(AccountRefusal::UnknownKey)?, self.accounts.asker());
        let revoke = |reply| RevokeKey { key, kinds: PROGRAM_KEYS, by, reply };
        value(&KeyItem::of(&self.accounts.change(revoke).await??))
    }

    async fn find(&self, name: &str) -> Result<UserView> {
        let found = self.accounts.ask(FindUser { login: name.into() }).await?;
        Ok(found.ok_or(AccountRefusal::UnknownUser)?)
    }
}

/// Reads a body as the API does.
fn body<T: DeserializeOwned>(value: &Value) -> Result<T> {
    Ok(read::read(value.to_string().parse::<Json>()?)?)
}

fn value(item: &impl Serialize) -> Result<Value> {
    Ok(serde_json::to_value(item)?)
}
