//! Bridges: made, and given other topics. They are listed and revoked as all keys that are bound to one purpose.

use std::sync::Arc;

use actix::Context;
use twinhub_access::{Action, AuditEntry, BoundKey, BoundKeyWish, KeyPurpose, Secret};
use twinhub_domain::{Json, Object};
use twinhub_mqtt::mosquitto::{self, SALT_BYTES};

use super::bound_keys::{check_count, detail_of};
use super::hashing::random;
use super::trail::entry;
use super::{Accounts, durable};
use crate::messages::accounts::AccountRefusal;
use crate::messages::bound_keys::{BoundKeyView, BridgePut, PutBridge};

/// A bridge to be stored, and the secret of a new one.
type BridgeToPut = (BoundKey, Option<Secret>, AuditEntry);

fn to_put(accounts: &Accounts, put: &PutBridge) -> Result<BridgeToPut, AccountRefusal> {
    let PutBridge { name, bridge, by, .. } = put;
    by.check_admin_everywhere()?;
    let is_it = |key: &BoundKey| matches!(key.purpose, KeyPurpose::Bridge(_)) && key.name == *name;
    let mut bridge = bridge.clone();
    let (action, key, secret) = match accounts.directory.bound_keys(is_it).pop() {
        Some(key) => {
            if let KeyPurpose::Bridge(before) = &key.purpose {
                bridge.broker_hash.clone_from(&before.broker_hash);
            }
            (Action::BridgeChanged, BoundKey { purpose: KeyPurpose::Bridge(bridge), ..key }, None)
        }
        None => {
            let purpose = KeyPurpose::Bridge(bridge);
            check_count(accounts, purpose.kind())?;
            let (name, owner, expires_at, most_uses) = (name.clone(), None, None, None);
            let wish = BoundKeyWish { name, owner, purpose, expires_at, most_uses };
            let (mut key, secret) = BoundKey::new(wish, &random()?, accounts.clock.now())?;
            // Only now is the secret there in clear.
            if let KeyPurpose::Bridge(bridge) = &mut key.purpose {
                let salt: [u8; SALT_BYTES] = random()?;
                bridge.broker_hash = mosquitto::password_hash(secret.reveal(), salt).into();
            }
            (Action::BridgeCreated, key, Some(secret))
        }
    };
    let audit =
        entry(by, accounts.clock.now(), action, &format!("bridge:{name}")).with_detail(topics_of(&key));
    Ok((key, secret, audit))
}

/// The detail of the audit's entries about a bridge: what it may do.
fn topics_of(key: &BoundKey) -> Object {
    let mut detail = detail_of(key);
    if let KeyPurpose::Bridge(bridge) = &key.purpose {
        let list =
            |filters: &[Box<str>]| Json::Array(filters.iter().map(|filter| (&**filter).into()).collect());
        detail.insert("publish", list(&bridge.publish));
        detail.insert("subscribe", list(&bridge.subscribe));
        detail.insert("hub_topics", bridge.hub_topics.into());
    }
    detail
}

/// Makes or changes a bridge. Clients of one that is changed are disconnected, and come again with their new rights.
pub(super) fn put(accounts: &mut Accounts, put: PutBridge, ctx: &mut Context<Accounts>) {
    let (key, secret, audit) = match to_put(accounts, &put) {
        Ok(put) => put,
        Err(refusal) => return drop(put.reply.send(Err(refusal))), // whoever asked may have gone
    };
    let (store, kept) = (Arc::clone(&accounts.store), key.clone());
    let write = async move { durable(|| store.add_bound_key(&kept, std::slice::from_ref(&audit))).await };
    let apply = move |this: &mut Accounts, _has_owner: bool| {
        let view = BoundKeyView::of(&key);
        this.directory.end_bound_key(&key.secret.id);
        this.directory.put_bound_key(key);
        Ok(BridgePut { key: view, secret })
    };
    accounts.commit(ctx, write, apply, put.reply);
}
