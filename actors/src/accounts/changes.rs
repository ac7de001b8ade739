//! Changes of users, sessions, keys and second factors.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use actix::{ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use twinhub_access::limits::Try;
use twinhub_access::password::{About, Password, PasswordPolicy};
use twinhub_access::user::UserChange;
use twinhub_access::{Action, AuditEntry, Key, KeyWish, Secret, SecretKind, User, UserId};
use twinhub_domain::{Json, Timestamp};

use super::hashing::random;
use super::people::check_first;
use super::trail::{entry, target_of};
use super::{Accounts, durable, factors, free, links};
use crate::messages::accounts::{
    AccountRefusal, AddUser, Asker, BeginTotp, ChangeUser, ConfirmTotp, EndOtherSessions, EndSession,
    EndTotp, KeyMade, KeyView, MakeInvitation, MakeKey, MakeServiceKey, MakeShare, NewKey, RemoveUser,
    RevokeKey, SetPassword, UserEdit, UserView,
};

impl Accounts {
    /// The present password of a user who is signed in is asked for; of another's, an admin asks for none.
    pub(super) fn own_password(
        &mut self,
        user: &User,
        typed: Option<Password>,
        by: &Asker,
        now: Timestamp,
    ) -> Result<Option<(Password, Try)>, AccountRefusal> {
        if !by.check_account(user.id)? {
            return Ok(None);
        }
        if user.password.is_none() {
            return Err(AccountRefusal::NoPassword);
        }
        let typed = typed.ok_or(AccountRefusal::OldPassword)?;
        let address = by.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let tried = self.try_own_password(user, address, now)?;
        Ok(Some((typed, tried)))
    }

    fn set_password(&mut self, set: SetPassword, ctx: &mut Context<Self>) {
        let SetPassword { user, old, new, by, reply } = set;
        let now = self.clock.now();
        let prepared = self.people.find(user).cloned().and_then(|user| {
            let policy = PasswordPolicy::new(self.settings.only_loopback, user.totp.is_some());
            policy.check(&new, About { name: &user.name, email: user.email.as_ref() })?;
            let old = self.own_password(&user, old, &by, now)?;
            Ok((user, old))
        });
        let (before, old) = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => return drop(reply.send(Err(refusal))),
        };
        let (old, tried) = old.unzip();
        let hashed = self.hashing.new_hash(new, old.map(|old| (old, before.password.clone())));
        ctx.spawn(hashed.into_actor(self).map(move |hashed, this, ctx| {
            let after = hashed.and_then(|hash| {
                // As they are now; what else was changed meanwhile stays.
                let now = this.people.find(user)?;
                match now.password == before.password {
                    true => Ok(User { password: Some(hash), ..now.clone() }),
                    false => Err(AccountRefusal::OldPassword),
                }
            });
            let after = match after {
                Ok(after) => after,
                Err(refusal) => {
                    this.not_judged(tried, &refusal);
                    return drop(reply.send(Err(refusal))); // whoever asked may have gone
                }
            };
            match tried {
                Some(tried) => this.limits.succeeded(tried, now),
                None => this.limits.reset(&after.name.key()),
            }
            let stays = by.session.filter(|_| by.user == Some(user));
            let audit = entry(&by, now, Action::PasswordChanged, &target_of(&after));
            let (store, kept) = (Arc::clone(&this.store), after.clone());
            let write = async move {
                // Sessions first: where it ends in the midst, none is left that knew the old password alone.
                durable(|| store.remove_sessions_of(user, stays, &[])).await?;
                Ok(durable(|| store.put_user(&kept, std::slice::from_ref(&audit))).await)
            };
            this.commit(
                ctx,
                write,
                move |this, written| {
                    this.directory.end_sessions_of(user, stays);
                    free(written?, &after.name)?;
                    this.put_user(after);
                    Ok(())
                },
                reply,
            );
        }));
    }

    fn add_user(&mut self, add: AddUser, ctx: &mut Context<Self>) {
        let AddUser { user, role, by, reply } = add;
        if let Err(refusal) = check_first(&self.people, role).and_then(|()| self.check_new(&user, by.source))
        {
            return drop(reply.send(Err(refusal))); // whoever asked may have gone
        }
        let hashed = self.hashing.new_hash(user.password.clone(), None);
        ctx.spawn(hashed.into_actor(self).map(move |hashed, this, ctx| {
            let made = check_first(&this.people, role).and(hashed);
            let made = made.and_then(|hash| this.new_user(user, role, by.source, hash));
            match made {
                Ok(user) => {
                    let audit = entry(&by, this.clock.now(), Action::UserCreated, &target_of(&user));
                    let role = [("role", Json::from(role.as_str()))].into_iter().collect();
                    this.write_user(user, vec![audit.with_detail(role)], UserView::of, reply, ctx);
                }
                Err(refusal) => drop(reply.send(Err(refusal))), // whoever asked may have gone
            }
        }));
    }

    /// Has a user more rights as `after` than now?
    pub(super) fn gains(&self, after: &User) -> bool {
        let before = self.people.get(after.id).and_then(User::rights);
        before.zip(after.rights()).is_some_and(|(before, after)| !after.are_within(&before))
    }

    /// Writes a user, and answers with what `view` makes of them. Whoever has more rights by it signs in again: a session
    /// that somebody else has come by gains nothing.
    pub(super) fn write_user<R: 'static>(
        &self,
        user: User,
        audit: Vec<AuditEntry>,
        view: impl FnOnce(&User) -> R + 'static,
        reply: tokio::sync::oneshot::Sender<Result<R, AccountRefusal>>,
        ctx: &mut Context<Self>,
    ) {
        let (store, kept) = (Arc::clone(&self.store), user.clone());
        let gains = self.gains(&user);
        let ends_sessions = user.disabled || gains;
        let write = async move {
            if ends_sessions {
                durable(|| store.remove_sessions_of(kept.id, None, &[])).await?;
            }
            free(durable(|| store.put_user(&kept, &audit)).await?, &kept.name)
        };
        let apply = move |this: &mut Self, ()| {
            let seen = view(&user);
            if gains {
                this.directory.end_sessions_of(user.id, None);
            }
            this.put_user(user);
            Ok(seen)
        };
        self.commit(ctx, write, apply, reply);
    }

    /// The user after an edit, and the entries that say so.
    fn edited(
        &self,
        id: UserId,
        edit: UserEdit,
        by: &Asker,
    ) -> Result<(User, Vec<AuditEntry>), AccountRefusal> {
        let (before, now) = (self.people.find(id)?, self.clock.now());
        let is_own = by.check_account(id)?;
        let UserEdit { email, display_name, role, scope, quota, disabled } = edit;
        if is_own && (role.is_some() || scope.is_some() || quota.is_some() || disabled.is_some()) {
            by.check_admin()?;
        }
        let scope = scope.map(|scope| scope.of(Some(id)));
        let change = UserChange { email, display_name, role, scope, quota, disabled };
        let after = before.changed(change, self.people.others(id))?;
        self.people.check_free(id, &after.name, after.email.as_ref())?;
        let target = target_of(before);
        let mut audit = Vec::new();
        if after.role != before.role {
            let detail =
                [("from", Json::from(before.role.as_str())), ("to", Json::from(after.role.as_str()))];
            let entry = entry(by, now, Action::RoleChanged, &target);
            audit.push(entry.with_detail(detail.into_iter().collect()));
        }
        let changed = [
            ("email", after.email != before.email),
            ("display_name", after.display_name != before.display_name),
            ("scope", after.scope != before.scope),
            ("quota", after.quota != before.quota),
            ("disabled", after.disabled != before.disabled),
        ];
        let changed = changed.into_iter().filter(|(_, is_changed)| *is_changed);
        let changed: Vec<_> = changed.map(|(name, _)| (name, Json::from(true))).collect();
        if !changed.is_empty() {
            let entry = entry(by, now, Action::UserChanged, &target);
            audit.push(entry.with_detail(changed.into_iter().collect()));
        }
        Ok((after, audit))
    }

    pub(super) fn make_key(
        &self,
        made: Result<(Key, Secret), AccountRefusal>,
        by: &Asker,
        action: Action,
        reply: tokio::sync::oneshot::Sender<Result<KeyMade, AccountRefusal>>,
        ctx: &mut Context<Self>,
    ) {
        let (key, secret) = match made {
            Ok(made) => made,
            Err(refusal) => return drop(reply.send(Err(refusal))), // whoever asked may have gone
        };
        let audit = self.key_entry(&key, by, action);
        let (store, kept) = (Arc::clone(&self.store), key.clone());
        let write = async move { durable(|| store.put_key(&kept, std::slice::from_ref(&audit))).await };
        let apply = move |this: &mut Self, has_owner: bool| {
            if !has_owner {
                return Err(AccountRefusal::UnknownUser);
            }
            let owner = key.owner.and_then(|owner| this.people.get(owner)).cloned();
            let view = KeyView::of(&key);
            this.directory.put_key(key, owner.as_ref());
            Ok(KeyMade { secret, key: view })
        };
        self.commit(ctx, write, apply, reply);
    }

    fn key_entry(&self, key: &Key, by: &Asker, action: Action) -> AuditEntry {
        let (name, role) = (Json::from(key.name.as_str()), Json::from(key.role.as_str()));
        let detail = [("id", Json::from(key.secret.id.as_str())), ("role", role), ("name", name)];
        let target = format!("key:{}", key.name);
        entry(by, self.clock.now(), action, &target).with_detail(detail.into_iter().collect())
    }

    fn personal_key(&self, key: NewKey, by: &Asker) -> Result<(Key, Secret), AccountRefusal> {
        let owner = self.people.find(by.user.ok_or(AccountRefusal::NotSignedIn)?)?;
        let is_own = |key: &Key| key.owner == Some(owner.id) && key.secret.kind == SecretKind::Personal;
        let keys = self.directory.keys(is_own).len();
        Ok(Key::personal(wish(key, Some(owner.id)), owner, keys, &random()?, self.clock.now())?)
    }

    fn service_key(&self, key: NewKey) -> Result<(Key, Secret), AccountRefusal> {
        Ok(Key::service(wish(key, None), &random()?, self.clock.now())?)
    }
}

pub(super) fn wish(NewKey { name, role, scope, life_ms }: NewKey, owner: Option<UserId>) -> KeyWish {
    KeyWish { name, role, scope: scope.of(owner), life_ms }
}

impl Handler<SetPassword> for Accounts {
    type Result = ();

    fn handle(&mut self, set: SetPassword, ctx: &mut Context<Self>) {
        self.set_password(set, ctx);
    }
}

impl Handler<AddUser> for Accounts {
    type Result = ();

    fn handle(&mut self, add: AddUser, ctx: &mut Context<Self>) {
        self.add_user(add, ctx);
    }
}

impl Handler<ChangeUser> for Accounts {
    type Result = ();

    fn handle(&mut self, ChangeUser { user, change, by, reply }: ChangeUser, ctx: &mut Context<Self>) {
        match self.edited(user, change, &by) {
            Ok((user, audit)) if audit.is_empty() => drop(reply.send(Ok(UserView::of(&user)))),
            Ok((user, audit)) => self.write_user(user, audit, UserView::of, reply, ctx),
            Err(refusal) => drop(reply.send(Err(refusal))), // whoever asked may have gone
        }
    }
}

impl Handler<RemoveUser> for Accounts {
    type Result = ();

    fn handle(&mut self, RemoveUser { user, by, reply }: RemoveUser, ctx: &mut Context<Self>) {
        let removable = self.people.find(user).and_then(|user| {
            user.check_removable(self.people.others(user.id))?;
            Ok((UserView::of(user), entry(&by, self.clock.now(), Action::UserRemoved, &target_of(user))))
        });
        let (view, audit) = match removable {
            Ok(removable) => removable,
            Err(refusal) => return drop(reply.send(Err(refusal))), // whoever asked may have gone
        };
        let store = Arc::clone(&self.store);
        let write = async move { durable(|| store.remove_user(user, std::slice::from_ref(&audit))).await };
        let apply = move |this: &mut Self, _was_there: bool| {
            this.people.remove(user);
            this.totp_begun.remove(&user);
            this.directory.remove_user(user);
            Ok(view)
        };
        self.commit(ctx, write, apply, reply);
    }
}

impl Handler<EndSession> for Accounts {
    type Result = ();

    fn handle(&mut self, EndSession { user, session, by, reply }: EndSession, ctx: &mut Context<Self>) {
        let found = by.check_account(user).and_then(|_| {
            let user = self.people.find(user)?;
            let sessions = self.directory.sessions_of(user.id);
            match sessions.iter().any(|(known, _)| known.id == session) {
                true => Ok(entry(&by, self.clock.now(), Action::SessionRevoked, &target_of(user))),
                false => Err(AccountRefusal::UnknownSession),
            }
        });
        let audit = match found {
            Ok(audit) => audit,
            Err(refusal) => return drop(reply.send(Err(refusal))), // whoever asked may have gone
        };
        let store = Arc::clone(&self.store);
        let write =
            async move { durable(|| store.remove_session(session, std::slice::from_ref(&audit))).await };
        let apply = move |this: &mut Self, _was_there: bool| {
            this.directory.end_session(session);
            Ok(())
        };
        self.commit(ctx, write, apply, reply);
    }
}

impl Handler<EndOtherSessions> for Accounts {
    type Result = ();

    fn handle(&mut self, EndOtherSessions { user, by, reply }: EndOtherSessions, ctx: &mut Context<Self>) {
        let found = by.check_account(user).and_then(|_| self.people.find(user));
        let audit = match found {
            Ok(user) => entry(&by, self.clock.now(), Action::SessionRevoked, &target_of(user)),
            Err(refusal) => return drop(reply.send(Err(refusal))), // whoever asked may have gone
        };
        let audit = audit.with_detail([("all_others", Json::from(true))].into_iter().collect());
        let (store, stays) = (Arc::clone(&self.store), by.session);
        let write = async move {
            durable(|| store.remove_sessions_of(user, stays, std::slice::from_ref(&audit))).await
        };
        let apply = move |this: &mut Self, _ended| Ok(this.directory.end_sessions_of(user, stays));
        self.commit(ctx, write, apply, reply);
    }
}

impl Handler<MakeKey> for Accounts {
    type Result = ();

    fn handle(&mut self, MakeKey { key, by, reply }: MakeKey, ctx: &mut Context<Self>) {
        let made = self.personal_key(key, &by);
        self.make_key(made, &by, Action::KeyCreated, reply, ctx);
    }
}

impl Handler<MakeServiceKey> for Accounts {
    type Result = ();

    fn handle(&mut self, MakeServiceKey { key, by, reply }: MakeServiceKey, ctx: &mut Context<Self>) {
        let made = self.service_key(key);
        self.make_key(made, &by, Action::KeyCreated, reply, ctx);
    }
}

impl Handler<MakeInvitation> for Accounts {
    type Result = ();

    fn handle(&mut self, invitation: MakeInvitation, ctx: &mut Context<Self>) {
        links::invite(self, invitation, ctx);
    }
}

impl Handler<MakeShare> for Accounts {
    type Result = ();

    fn handle(&mut self, share: MakeShare, ctx: &mut Context<Self>) {
        links::share(self, share, ctx);
    }
}

impl Handler<RevokeKey> for Accounts {
    type Result = ();

    fn handle(&mut self, RevokeKey { key: id, kinds, by, reply }: RevokeKey, ctx: &mut Context<Self>) {
        let found = self.directory.find_key(&id).filter(|key| kinds.contains(&key.secret.kind));
        let found = found.ok_or(AccountRefusal::UnknownKey);
        let found = found.and_then(|key| match key.owner {
            Some(owner) => by.check_account(owner).map(|_| key),
            None => by.check_admin().map(|()| key),
        });
        let key = match found {
            Ok(key) => key,
            Err(refusal) => return drop(reply.send(Err(refusal))), // whoever asked may have gone
        };
        let action = match key.secret.kind {
            SecretKind::Invitation => Action::InvitationRevoked,
            SecretKind::Share => Action::ShareRevoked,
            _ => Action::KeyRevoked,
        };
        let audit = self.key_entry(&key, &by, action);
        let (store, gone) = (Arc::clone(&self.store), id.clone());
        let write = async move { durable(|| store.remove_key(&gone, std::slice::from_ref(&audit))).await };
        let apply = move |this: &mut Self, _was_there: bool| {
            this.directory.end_key(&id);
            Ok(KeyView::of(&key))
        };
        self.commit(ctx, write, apply, reply);
    }
}

impl Handler<BeginTotp> for Accounts {
    type Result = ();

    fn handle(&mut self, begin: BeginTotp, ctx: &mut Context<Self>) {
        factors::begin(self, begin, ctx);
    }
}

impl Handler<ConfirmTotp> for Accounts {
    type Result = ();

    fn handle(&mut self, confirm: ConfirmTotp, ctx: &mut Context<Self>) {
        factors::confirm(self, confirm, ctx);
    }
}

impl Handler<EndTotp> for Accounts {
    type Result = ();

    fn handle(&mut self, end: EndTotp, ctx: &mut Context<Self>) {
        factors::end(self, end, ctx);
    }
}
