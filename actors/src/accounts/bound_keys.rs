//! Keys that are bound to one purpose: made, listed, revoked and used.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use tracing::warn;
use twinhub_access::bound_key::{BadBoundKey, UnusableKey};
use twinhub_access::{
    Action, AuditEntry, BoundKey, BoundKeyWish, KeyPurpose, Permission, Rights, Role, Scope, Secret, User,
};
use twinhub_domain::Json;
use twinhub_store::KeyUse;

use super::hashing::random;
use super::trail::entry;
use super::{Accounts, durable};
use crate::messages::accounts::{AccountRefusal, Asker};
use crate::messages::bound_keys::{
    BoundKeyMade, BoundKeyView, BoundKeysOf, GiveBackProvisioningUse, ListBoundKeys, MakeBoundKey,
    NewBoundKey, ProvisioningUse, RevokeBoundKey, UseProvisioningKey,
};

impl Accounts {
    /// Admins alone make keys of webhooks, which are the rules'. A provisioning key goes on by the rights of the user
    /// who made it; where that is no user, it takes an admin.
    fn bound_key(&self, key: NewBoundKey, by: &Asker) -> Result<(BoundKey, Secret), AccountRefusal> {
        let NewBoundKey { name, purpose, expires_at, most_uses } = key;
        let owner = match &purpose {
            KeyPurpose::Webhook(_) => None,
            KeyPurpose::Provisioning(_) => by.user,
        };
        if owner.is_none() {
            by.check_admin()?;
        }
        let kind = purpose.kind();
        if self.directory.bound_keys(|key| key.secret.kind == kind).len() >= BoundKey::MOST {
            return Err(BadBoundKey::TooMany.into());
        }
        let wish = BoundKeyWish { name, owner, purpose, expires_at, most_uses };
        Ok(BoundKey::new(wish, &random()?, self.clock.now())?)
    }

    fn bound_entry(&self, key: &BoundKey, by: &Asker, action: [Action; 2]) -> AuditEntry {
        let (action, target) = match &key.purpose {
            KeyPurpose::Provisioning(_) => (action[0], format!("key:{}", key.name)),
            KeyPurpose::Webhook(webhook) => (action[1], format!("webhook:{webhook}")),
        };
        let detail = [("id", Json::from(key.secret.id.as_str())), ("name", Json::from(key.name.as_str()))];
        entry(by, self.clock.now(), action, &target).with_detail(detail.into_iter().collect())
    }

    /// The rights by which a device registers itself with this key.
    fn rights_of_maker(&self, key: &BoundKey) -> Result<Rights, AccountRefusal> {
        let Some(owner) = key.owner else { return Ok(Rights::new(Role::Operator, &Scope::All)) };
        let rights = self.people.find(owner)?.rights().ok_or(AccountRefusal::UnknownKey)?;
        match rights.permissions.contain(Permission::Manage) {
            true => Ok(rights),
            false => Err(AccountRefusal::Forbidden(Permission::Manage)),
        }
    }

    fn use_of(&self, used: &UseProvisioningKey) -> Result<(ProvisioningUse, AuditEntry), AccountRefusal> {
        let now = self.clock.now();
        let key = self.directory.find_bound_key(&used.key).ok_or(AccountRefusal::UnknownKey)?;
        key.check_use(&used.device, now)?;
        let rights = self.rights_of_maker(&key)?;
        let who = format!("key:provisioning/{}", key.name);
        let entry = AuditEntry::new(now, &who, Action::DevicesProvisioned)
            .with_target(&format!("device:{}", used.device))
            .with_address(used.address);
        match key.purpose {
            KeyPurpose::Provisioning(provisioning) => {
                let owner = key.owner.and_then(|owner| self.people.get(owner));
                let quota = owner.and_then(User::quota);
                Ok((ProvisioningUse { provisioning, rights, owner: key.owner, quota }, entry))
            }
            KeyPurpose::Webhook(_) => Err(AccountRefusal::UnknownKey),
        }
    }
}

/// May they see and revoke this key?
fn is_theirs(key: &BoundKey, by: &Asker) -> bool {
    by.check_admin().is_ok() || key.owner.is_some() && key.owner == by.user
}

impl Handler<MakeBoundKey> for Accounts {
    type Result = ();

    fn handle(&mut self, MakeBoundKey { key, by, reply }: MakeBoundKey, ctx: &mut Context<Self>) {
        let (key, secret) = match self.bound_key(key, &by) {
            Ok(made) => made,
            Err(refusal) => return drop(reply.send(Err(refusal))), // whoever asked may have gone
        };
        let audit = self.bound_entry(&key, &by, [Action::ProvisioningKeyCreated, Action::KeyCreated]);
        let (store, kept) = (Arc::clone(&self.store), key.clone());
        let write = async move { durable(|| store.add_bound_key(&kept, std::slice::from_ref(&audit))).await };
        let apply = move |this: &mut Self, has_owner: bool| {
            if !has_owner {
                return Err(AccountRefusal::UnknownUser);
            }
            let view = BoundKeyView::of(&key);
            this.directory.put_bound_key(key);
            Ok(BoundKeyMade { secret, key: view })
        };
        self.commit(ctx, write, apply, reply);
    }
}

impl Handler<ListBoundKeys> for Accounts {
    type Result = Result<Vec<BoundKeyView>, AccountRefusal>;

    fn handle(&mut self, ListBoundKeys { of, by }: ListBoundKeys, _: &mut Context<Self>) -> Self::Result {
        if matches!(of, BoundKeysOf::Webhook(_)) {
            by.check_admin()?;
        }
        let keys = self.directory.bound_keys(|key| of.has(&key.purpose) && is_theirs(key, &by));
        Ok(keys.iter().map(BoundKeyView::of).collect())
    }
}

impl Handler<RevokeBoundKey> for Accounts {
    type Result = ();

    fn handle(&mut self, RevokeBoundKey { of, key: id, by, reply }: RevokeBoundKey, ctx: &mut Context<Self>) {
        let found = self.directory.find_bound_key(&id);
        let found = found.filter(|key| of.has(&key.purpose) && is_theirs(key, &by));
        let Some(key) = found else {
            return drop(reply.send(Err(AccountRefusal::UnknownKey))); // whoever asked may have gone
        };
        let audit = self.bound_entry(&key, &by, [Action::ProvisioningKeyRevoked, Action::KeyRevoked]);
        let (store, gone) = (Arc::clone(&self.store), id.clone());
        let write =
            async move { durable(|| store.remove_bound_key(&gone, std::slice::from_ref(&audit))).await };
        let apply = move |this: &mut Self, _was_there: bool| {
            this.directory.end_bound_key(&id);
            Ok(BoundKeyView::of(&key))
        };
        self.commit(ctx, write, apply, reply);
    }
}

impl Handler<UseProvisioningKey> for Accounts {
    type Result = ();

    fn handle(&mut self, used: UseProvisioningKey, ctx: &mut Context<Self>) {
        let (granted, audit) = match self.use_of(&used) {
            Ok(granted) => granted,
            Err(refusal) => return drop(used.reply.send(Err(refusal))), // whoever asked may have gone
        };
        let use_of = KeyUse { id: used.key.clone(), at: self.clock.now(), address: used.address };
        let (store, counted) = (Arc::clone(&self.store), use_of.clone());
        // A use of which nobody knows whether it was counted is counted again: never is one use two devices'.
        let write =
            async move { durable(|| store.use_bound_key(&counted, std::slice::from_ref(&audit))).await };
        let apply = move |this: &mut Self, was_counted: bool| {
            if !was_counted {
                return Err(UnusableKey::UsedUp.into());
            }
            this.directory.count_bound_key(&use_of.id, |key| {
                key.uses += 1;
                key.last_used = Some((use_of.at, use_of.address));
            });
            Ok(granted)
        };
        self.commit(ctx, write, apply, used.reply);
    }
}

impl Handler<GiveBackProvisioningUse> for Accounts {
    type Result = ();

    fn handle(&mut self, GiveBackProvisioningUse { key }: GiveBackProvisioningUse, ctx: &mut Context<Self>) {
        let (store, id) = (Arc::clone(&self.store), key.clone());
        let write = async move { store.give_back_bound_key(&id).await };
        ctx.wait(write.into_actor(self).map(move |given_back, this, _| match given_back {
            Ok(()) => this.directory.count_bound_key(&key, |key| key.uses = key.uses.saturating_sub(1)),
            Err(error) => warn!(%error, "a use of a provisioning key that came to nothing stays counted"),
        }));
    }
}
