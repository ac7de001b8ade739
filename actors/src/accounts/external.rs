//! Sign-ins of people whom an identity provider knows. Their rights are the provider's word, each time anew; their user
//! here is bound to the subject there, and never to a name or an e-mail address, which others may have had.

use std::sync::Arc;

use actix::Context;
use twinhub_access::user::UserSource;
use twinhub_access::{Action, AuditEntry, Role, Scope, SecretId, User, UserId};
use twinhub_domain::Json;

use super::bound_keys::detail_of;
use super::people::check_first;
use super::signing_in::{Entering, Reply};
use super::trail::{Reason, own_entry};
use super::{Accounts, answer, durable, free};
use crate::clock::new_id;
use crate::messages::accounts::{AccountRefusal, ExternalProfile, Peer, SignInExternally};

/// Signs the person in, as the user that they are or become.
pub(super) fn sign_in(accounts: &mut Accounts, message: SignInExternally, ctx: &mut Context<Accounts>) {
    let SignInExternally { profile, rights, peer, reply } = message;
    let known = accounts.people.known_as(&profile.subject).cloned();
    let Some(rights) = rights else {
        accounts.refused.note(accounts.clock.now(), peer.address, known.as_ref(), Reason::NoRights);
        return match known {
            Some(user) => take_rights(accounts, user, &peer, reply, ctx),
            None => answer(reply, Err(AccountRefusal::NoRights)),
        };
    };
    let entering = match known {
        Some(user) => returning(accounts, user, profile, rights, &peer),
        None => newcomer(accounts, profile, rights, &peer),
    };
    match entering {
        Ok((user, written, is_new)) => {
            let written = Some(written);
            accounts.enter(
                Entering { user, written, is_new, uses: None, recovery_codes_left: None, peer },
                reply,
                ctx,
            );
        }
        Err(refusal) => answer(reply, Err(refusal)),
    }
}

/// A user who was here before, as the provider has them now.
fn returning(
    accounts: &Accounts,
    before: User,
    profile: ExternalProfile,
    (role, scope): (Role, Scope),
    peer: &Peer,
) -> Result<(User, Vec<AuditEntry>, bool), AccountRefusal> {
    if before.disabled {
        return Err(AccountRefusal::Disabled);
    }
    let audit = rights_entry(accounts, &before, (role, &scope), peer).into_iter().collect();
    // The last admin, too: the provider says that they are none any more, and the hub's machine can make another.
    let (display_name, email) = (profile.display_name, profile.email);
    let is_free = accounts.people.check_free(before.id, &before.name, email.as_ref()).is_ok();
    let email = if is_free { email } else { before.email.clone() };
    Ok((User { role, scope, display_name, email, ..before }, audit, false))
}

/// A user for somebody who was never here.
fn newcomer(
    accounts: &Accounts,
    profile: ExternalProfile,
    (role, scope): (Role, Scope),
    peer: &Peer,
) -> Result<(User, Vec<AuditEntry>, bool), AccountRefusal> {
    check_first(&accounts.people, role)?;
    let ExternalProfile { subject, name, email, display_name } = profile;
    let (id, now) = (UserId(new_id()), accounts.clock.now());
    accounts.people.check_free(id, &name, None)?;
    // The user who has the address here signs in by it; the newcomer goes without.
    let email = email.filter(|email| accounts.people.check_free(id, &name, Some(email)).is_ok());
    let user = User::new(id, name, (role, scope), UserSource::SingleSignOn, now)?;
    let user = User { email, display_name, external: Some(subject), ..user };
    let role = [("role", Json::from(role.as_str()))].into_iter().collect();
    let entry = own_entry(&user, now, Action::UserCreated, peer.address).with_detail(role);
    Ok((user, vec![entry], true))
}

/// The entry that says which rights a user is given in the place of others.
fn rights_entry(
    accounts: &Accounts,
    before: &User,
    (role, scope): (Role, &Scope),
    peer: &Peer,
) -> Option<AuditEntry> {
    if (before.role, &before.scope) == (role, scope) {
        return None;
    }
    let detail = [("from", Json::from(before.role.as_str())), ("to", Json::from(role.as_str()))];
    let entry = own_entry(before, accounts.clock.now(), Action::RoleChanged, peer.address);
    Some(entry.with_detail(detail.into_iter().collect()))
}

/// Takes all rights from a user to whom the provider gives none any more, and refuses the sign-in. Their sessions end, and
/// so do the keys by which devices register; personal keys and share links reach nothing, until the provider gives the
/// rights back.
fn take_rights(accounts: &Accounts, before: User, peer: &Peer, reply: Reply, ctx: &mut Context<Accounts>) {
    let (role, scope) = (Role::Viewer, Scope::Nothing);
    let change = rights_entry(accounts, &before, (role, &scope), peer);
    let keys = accounts.directory.bound_keys(|key| key.owner == Some(before.id));
    let now = accounts.clock.now();
    let ended = keys.into_iter().map(|key| {
        let entry = own_entry(&before, now, Action::ProvisioningKeyRevoked, peer.address);
        let entry = entry.with_target(&format!("key:{}", key.name)).with_detail(detail_of(&key));
        (key.secret.id, entry)
    });
    let ended: Vec<(SecretId, AuditEntry)> = ended.collect();
    let after = User { role, scope, ..before };
    let (store, kept) = (Arc::clone(&accounts.store), after.clone());
    let write = async move {
        durable(|| store.remove_sessions_of(kept.id, None, &[])).await?;
        for (key, entry) in &ended {
            durable(|| store.remove_bound_key(key, std::slice::from_ref(entry))).await?;
        }
        // Somebody who tries again and again has nothing written.
        if let Some(entry) = &change {
            free(durable(|| store.put_user(&kept, std::slice::from_ref(entry))).await?, &kept.name)?;
        }
        Ok(ended)
    };
    let apply = move |accounts: &mut Accounts, ended: Vec<(SecretId, AuditEntry)>| {
        accounts.directory.end_sessions_of(after.id, None);
        for (key, _) in &ended {
            accounts.directory.end_bound_key(key);
        }
        accounts.put_user(after);
        Err(AccountRefusal::NoRights)
    };
    accounts.commit(ctx, write, apply, reply);
}
