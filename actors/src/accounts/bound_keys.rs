//! Keys that are bound to one purpose: made, listed, revoked and used.

use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, WrapFuture};
use tracing::warn;
use twinhub_access::bound_key::{BadBoundKey, UnusableKey};
use twinhub_access::{
    Action, AuditEntry, BoundKey, BoundKeyWish, KeyPurpose, Permission, Rights, Role, Scope, Secret,
    SecretKind, User,
};
use twinhub_domain::{Json, Object};
use twinhub_store::KeyUse;

use super::hashing::random;
use super::trail::entry;
use super::{Accounts, durable};
use crate::messages::accounts::{AccountRefusal, Asker};
use crate::messages::bound_keys::{
    BoundKeyMade, BoundKeyView, BoundKeysOf, FindProvisioningKey, GiveBackProvisioningUse, ListBoundKeys,
    MakeBoundKey, NewBoundKey, ProvisioningUse, RevokeBoundKey, UseProvisioningKey,
};

const MADE: [Action; 3] = [Action::ProvisioningKeyCreated, Action::KeyCreated, Action::BridgeCreated];
const REVOKED: [Action; 3] = [Action::ProvisioningKeyRevoked, Action::KeyRevoked, Action::BridgeRevoked];

/// Admins alone make keys of webhooks, which are the rules'. A provisioning key goes on by the whole rights of the user
/// who made it: so it takes one who has signed in, as a key of theirs may have fewer. Where that is no user, it goes on
/// by the rights of an operator for all devices: so it takes an admin who reaches them.
fn bound_key(
    accounts: &Accounts,
    key: NewBoundKey,
    by: &Asker,
) -> Result<(BoundKey, Secret), AccountRefusal> {
    let NewBoundKey { name, purpose, expires_at, most_uses } = key;
    let owner = match &purpose {
        KeyPurpose::Webhook(_) => {
            by.check_admin()?;
            None
        }
        KeyPurpose::Bridge(_) => {
            by.check_admin_everywhere()?;
            None
        }
        KeyPurpose::Provisioning(_) => {
            match by.user {
                Some(_) if by.session.is_none() => return Err(AccountRefusal::NotSignedIn),
                Some(_) => {}
                None => by.check_admin_everywhere()?,
            }
            by.user
        }
    };
    check_count(accounts, purpose.kind())?;
    let wish = BoundKeyWish { name, owner, purpose, expires_at, most_uses };
    Ok(BoundKey::new(wish, &random()?, accounts.clock.now())?)
}

/// Goes on where there may be one more key of this kind.
pub(super) fn check_count(accounts: &Accounts, kind: SecretKind) -> Result<(), AccountRefusal> {
    match accounts.directory.bound_keys(|key| key.secret.kind == kind).len() < BoundKey::MOST {
        true => Ok(()),
        false => Err(BadBoundKey::TooMany.into()),
    }
}

/// An entry about a key, with the action of its kind: of provisioning keys, webhooks and bridges.
fn bound_entry(accounts: &Accounts, key: &BoundKey, by: &Asker, action: [Action; 3]) -> AuditEntry {
    let (action, target) = match &key.purpose {
        KeyPurpose::Provisioning(_) => (action[0], format!("key:{}", key.name)),
        KeyPurpose::Webhook(webhook) => (action[1], format!("webhook:{webhook}")),
        KeyPurpose::Bridge(_) => (action[2], format!("bridge:{}", key.name)),
    };
    entry(by, accounts.clock.now(), action, &target).with_detail(detail_of(key))
}

/// The detail of the audit's entries about a key.
pub(super) fn detail_of(key: &BoundKey) -> Object {
    let detail = [("id", Json::from(key.secret.id.as_str())), ("name", Json::from(key.name.as_str()))];
    detail.into_iter().collect()
}

/// The rights by which a device registers itself with this key.
fn rights_of_maker(accounts: &Accounts, key: &BoundKey) -> Result<Rights, AccountRefusal> {
    let Some(owner) = key.owner else { return Ok(Rights::new(Role::Operator, &Scope::All)) };
    let rights = accounts.people.find(owner)?.rights().ok_or(AccountRefusal::UnknownKey)?;
    match rights.permissions.contain(Permission::Manage) {
        true => Ok(rights),
        false => Err(AccountRefusal::Forbidden(Permission::Manage)),
    }
}

fn use_of(
    accounts: &Accounts,
    used: &UseProvisioningKey,
) -> Result<(ProvisioningUse, AuditEntry), AccountRefusal> {
    let now = accounts.clock.now();
    let key = accounts.directory.find_bound_key(&used.key).ok_or(AccountRefusal::UnknownKey)?;
    key.check_use(&used.device, now)?;
    let who = format!("key:provisioning/{}", key.name);
    let entry = AuditEntry::new(now, &who, Action::DevicesProvisioned)
        .with_target(&format!("device:{}", used.device))
        .with_address(used.address);
    Ok((granted_by(accounts, key)?, entry))
}

/// The grant of a provisioning key to a device that registers itself.
fn granted_by(accounts: &Accounts, key: BoundKey) -> Result<ProvisioningUse, AccountRefusal> {
    let rights = rights_of_maker(accounts, &key)?;
    match key.purpose {
        KeyPurpose::Provisioning(provisioning) => {
            let owner = key.owner.and_then(|owner| accounts.people.get(owner));
            let quota = owner.and_then(User::quota);
            Ok(ProvisioningUse { provisioning, rights, owner: key.owner, quota })
        }
        KeyPurpose::Webhook(_) | KeyPurpose::Bridge(_) => Err(AccountRefusal::UnknownKey),
    }
}

/// May they see and revoke this key?
fn is_theirs(key: &BoundKey, by: &Asker) -> bool {
    by.check_admin().is_ok() || key.owner.is_some() && key.owner == by.user
}

/// Makes a key.
pub(super) fn make(
    accounts: &mut Accounts,
    MakeBoundKey { key, by, reply }: MakeBoundKey,
    ctx: &mut Context<Accounts>,
) {
    let (key, secret) = match bound_key(accounts, key, &by) {
        Ok(made) => made,
        Err(refusal) => return drop(reply.send(Err(refusal))), // whoever asked may have gone
    };
    let audit = bound_entry(accounts, &key, &by, MADE);
    let (store, kept) = (Arc::clone(&accounts.store), key.clone());
    let write = async move { durable(|| store.add_bound_key(&kept, std::slice::from_ref(&audit))).await };
    let apply = move |this: &mut Accounts, has_owner: bool| {
        if !has_owner {
            return Err(AccountRefusal::UnknownUser);
        }
        let view = BoundKeyView::of(&key);
        this.directory.put_bound_key(key);
        Ok(BoundKeyMade { secret, key: view })
    };
    accounts.commit(ctx, write, apply, reply);
}

/// Lists the keys that they may see.
pub(super) fn list(
    accounts: &mut Accounts,
    ListBoundKeys { of, by }: ListBoundKeys,
    _: &mut Context<Accounts>,
) -> Result<Vec<BoundKeyView>, AccountRefusal> {
    match of {
        BoundKeysOf::Provisioning => {}
        BoundKeysOf::Webhook(_) => by.check_admin()?,
        BoundKeysOf::Bridges => by.check_admin_everywhere()?,
    }
    let keys = accounts.directory.bound_keys(|key| of.has(&key.purpose) && is_theirs(key, &by));
    Ok(keys.iter().map(BoundKeyView::of).collect())
}

/// Revokes a key.
pub(super) fn revoke(
    accounts: &mut Accounts,
    RevokeBoundKey { of, key: id, by, reply }: RevokeBoundKey,
    ctx: &mut Context<Accounts>,
) {
    let found = accounts.directory.find_bound_key(&id);
    let found = found.filter(|key| of.has(&key.purpose) && is_theirs(key, &by));
    let Some(key) = found else {
        return drop(reply.send(Err(AccountRefusal::UnknownKey))); // whoever asked may have gone
    };
    let audit = bound_entry(accounts, &key, &by, REVOKED);
    let (store, gone) = (Arc::clone(&accounts.store), id.clone());
    let write = async move { durable(|| store.remove_bound_key(&gone, std::slice::from_ref(&audit))).await };
    let apply = move |this: &mut Accounts, _was_there: bool| {
        this.directory.end_bound_key(&id);
        Ok(BoundKeyView::of(&key))
    };
    accounts.commit(ctx, write, apply, reply);
}

/// Looks up what a provisioning key is good for, and counts no use of it.
pub(super) fn find_provisioning_key(
    accounts: &mut Accounts,
    FindProvisioningKey { key, device }: FindProvisioningKey,
    _: &mut Context<Accounts>,
) -> Result<ProvisioningUse, AccountRefusal> {
    let key = accounts.directory.find_bound_key(&key).ok_or(AccountRefusal::UnknownKey)?;
    key.check_device(&device, accounts.clock.now())?;
    granted_by(accounts, key)
}

/// Counts a use of a provisioning key, and says by which rights the device registers itself.
pub(super) fn use_provisioning_key(
    accounts: &mut Accounts,
    used: UseProvisioningKey,
    ctx: &mut Context<Accounts>,
) {
    let (granted, audit) = match use_of(accounts, &used) {
        Ok(granted) => granted,
        Err(refusal) => return drop(used.reply.send(Err(refusal))), // whoever asked may have gone
    };
    let use_of = KeyUse { id: used.key.clone(), at: accounts.clock.now(), address: used.address };
    let (store, counted) = (Arc::clone(&accounts.store), use_of.clone());
    // A use of which nobody knows whether it was counted is counted again: never is one use two devices'.
    let write = async move { durable(|| store.use_bound_key(&counted, std::slice::from_ref(&audit))).await };
    let apply = move |this: &mut Accounts, was_counted: bool| {
        if !was_counted {
            return Err(UnusableKey::UsedUp.into());
        }
        this.directory.count_bound_key(&use_of.id, |key| {
            key.uses += 1;
            key.last_used = Some((use_of.at, use_of.address));
        });
        Ok(granted)
    };
    accounts.commit(ctx, write, apply, used.reply);
}

/// Takes a use back that came to nothing.
pub(super) fn give_back_use(
    accounts: &mut Accounts,
    GiveBackProvisioningUse { key }: GiveBackProvisioningUse,
    ctx: &mut Context<Accounts>,
) {
    let (store, id) = (Arc::clone(&accounts.store), key.clone());
    let write = async move { store.give_back_bound_key(&id).await };
    ctx.wait(write.into_actor(accounts).map(move |given_back, this, _| match given_back {
        Ok(()) => this.directory.count_bound_key(&key, |key| key.uses = key.uses.saturating_sub(1)),
        Err(error) => warn!(%error, "a use of a provisioning key that came to nothing stays counted"),
    }));
}
