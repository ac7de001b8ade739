//! Links that are given to people: invitations and share links. They are keys of their own kinds, of which only their
//! hash is kept.

use actix::Context;
use twinhub_access::{Action, Key, KeyWish, Role, Scope, Secret, SecretKind, User};
use twinhub_domain::Timestamp;

use super::changes::wish;
use super::hashing::random;
use super::{Accounts, RegistrationPolicy};
use crate::messages::accounts::{AccountRefusal, Asker, GivenInvitation, MakeInvitation, MakeShare, NewKey};

/// The life of an invitation for which nobody says another.
const INVITATION_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

/// Makes an invitation.
pub(super) fn invite(accounts: &mut Accounts, message: MakeInvitation, ctx: &mut Context<Accounts>) {
    let MakeInvitation { key, by, reply } = message;
    let made = invitation(accounts, key, &by);
    accounts.make_key(made, &by, Action::InvitationCreated, reply, ctx);
}

fn invitation(accounts: &Accounts, key: NewKey, by: &Asker) -> Result<(Key, Secret), AccountRefusal> {
    if accounts.settings.registration == RegistrationPolicy::Closed {
        return Err(AccountRefusal::InvitationsOff);
    }
    let owner = by.user.map(|user| accounts.people.find(user)).transpose()?;
    let life_ms = key.life_ms.or(Some(INVITATION_MS));
    let wish = KeyWish { life_ms, ..wish(key, None) };
    Ok(Key::invitation(wish, owner, &random()?, accounts.clock.now())?)
}

/// Makes a share link.
pub(super) fn share(accounts: &mut Accounts, message: MakeShare, ctx: &mut Context<Accounts>) {
    let MakeShare { key, by, reply } = message;
    let made = shared(accounts, key, &by);
    accounts.make_key(made, &by, Action::ShareCreated, reply, ctx);
}

fn shared(accounts: &Accounts, key: NewKey, by: &Asker) -> Result<(Key, Secret), AccountRefusal> {
    let owner = accounts.people.find(by.user.ok_or(AccountRefusal::NotSignedIn)?)?;
    let is_own = |key: &Key| key.owner == Some(owner.id) && key.secret.kind == SecretKind::Share;
    let shares = accounts.directory.keys(is_own).len();
    Ok(Key::share(wish(key, Some(owner.id)), owner, shares, &random()?, accounts.clock.now())?)
}

/// The key, the role and the scope of an invitation, where it counts now.
pub(super) fn invited(
    accounts: &Accounts,
    given: &GivenInvitation,
    now: Timestamp,
) -> Result<(Key, Role, Scope), AccountRefusal> {
    if accounts.settings.registration == RegistrationPolicy::Closed {
        return Err(AccountRefusal::RegistrationClosed);
    }
    let secret = given.0.as_ref().filter(|secret| secret.kind() == SecretKind::Invitation);
    let secret = secret.ok_or(AccountRefusal::Invitation)?;
    let key = accounts.directory.find_key(&secret.id()).filter(|key| key.is_of(secret));
    let key = key.ok_or(AccountRefusal::Invitation)?;
    let owner: Option<&User> = key.owner.and_then(|owner| accounts.people.get(owner));
    // An admin who could not invite any more has invited nobody.
    let rights = key.rights(owner, now).map_err(|_| AccountRefusal::Invitation)?;
    if rights.role != key.role {
        return Err(AccountRefusal::Invitation);
    }
    let (role, scope) = (key.role, key.scope.clone());
    Ok((key, role, scope))
}
