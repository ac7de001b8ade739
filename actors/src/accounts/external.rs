//! Sign-ins of people whom an identity provider knows. Their rights are the provider's word, each time anew; their user
//! here is bound to the subject there, and never to a name or an e-mail address, which others may have had.

use std::sync::Arc;

use actix::Context;
use twinhub_access::user::UserSource;
use twinhub_access::{Action, AuditEntry, Role, Scope, User, UserId};
use twinhub_domain::Json;

use super::people::check_first;
use super::signing_in::{Entering, Reply};
use super::trail::{Reason, own_entry};
use super::{Accounts, answer, durable};
use crate::clock::new_id;
use crate::messages::accounts::{AccountRefusal, ExternalProfile, Peer, SignInExternally};

/// Signs the person in, as the user that they are or become.
pub(super) fn sign_in(accounts: &mut Accounts, message: SignInExternally, ctx: &mut Context<Accounts>) {
    let SignInExternally { profile, rights, peer, reply } = message;
    let known = accounts.people.known_as(&profile.subject).cloned();
    let Some(rights) = rights else {
        accounts.refused.note(accounts.clock.now(), peer.address, known.as_ref(), Reason::NoRights);
        return match known {
            Some(user) => end_sessions(accounts, user.id, reply, ctx),
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
    let now = accounts.clock.now();
    let mut audit = Vec::new();
    if (before.role, &before.scope) != (role, &scope) {
        let detail = [("from", Json::from(before.role.as_str())), ("to", Json::from(role.as_str()))];
        let entry = own_entry(&before, now, Action::RoleChanged, peer.address);
        audit.push(entry.with_detail(detail.into_iter().collect()));
    }
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

/// Ends the sessions of a user who has no rights any more, and refuses the sign-in.
fn end_sessions(accounts: &mut Accounts, user: UserId, reply: Reply, ctx: &mut Context<Accounts>) {
    let store = Arc::clone(&accounts.store);
    let write = async move { durable(|| store.remove_sessions_of(user, None, &[])).await };
    let apply = move |accounts: &mut Accounts, _ended| {
        accounts.directory.end_sessions_of(user, None);
        Err(AccountRefusal::NoRights)
    };
    accounts.commit(ctx, write, apply, reply);
}
