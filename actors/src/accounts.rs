//! The accounts: people who sign in, their sessions and keys, and the audit of all that. The actor holds the users and
//! makes the changes, one after another; each is durable before it is answered. Who a caller is, everybody asks the
//! [`Directory`] that it keeps.
//!
//! Scopes other than all devices are not taken in yet, as search, feed and lists do not keep to one.

pub mod alone;
mod bound_keys;
mod bridges;
mod changes;
pub mod directory;
mod external;
mod factors;
mod hashing;
mod links;
mod people;
mod registering;
mod signing_in;
mod trail;
mod views;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, ActorContext, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, WrapFuture};
use tokio::sync::oneshot;
use tracing::warn;
use twinhub_access::limits::LoginLimits;
use twinhub_access::totp::TotpSecret;
use twinhub_access::{Key, SecretKind, SessionId, UserId};
use twinhub_domain::{Clock, Timestamp};
use twinhub_store::{AccessStore, AuditQuery, KeyUse, Store, StoreError, UserWrite};

use crate::backoff::STORE;
use crate::clock::new_id;
use crate::messages::accounts::{
    AccountRefusal, FindUser, KeyView, KeysOf, ListAudit, ListKeys, ListSessions, ListUsers, ReadOwnUser,
    SessionView, SetUpToken, UserPage, UserView,
};
use crate::messages::bound_keys::{
    FindProvisioningKey, GiveBackProvisioningUse, ListBoundKeys, MakeBoundKey, PutBridge, RevokeBoundKey,
    UseProvisioningKey,
};
use directory::{Directory, Overdue};
use hashing::Hashing;
use people::People;
use registering::Registrations;
use trail::RefusedSignIns;

/// Settings of the accounts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AccountSettings {
    pub registration: RegistrationPolicy,
    /// Other machines cannot reach the hub: shorter passwords do.
    pub only_loopback: bool,
    /// The hub is served over TLS, so it is meant for a network: the sessions of admins are shorter.
    pub over_tls: bool,
}

/// The people who may make an account of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegistrationPolicy {
    /// Nobody: admins make accounts.
    Closed,
    /// People with an invitation of an admin's.
    Invite,
    /// Everybody who reaches the hub; they become operators.
    Open,
}

/// The time for which the link of the first start works.
const SET_UP_MS: i64 = 60 * 60 * 1_000;
/// The interval in which rights are looked for whose time is over, and refused sign-ins are written down.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// The interval in which uses of sessions and keys are written down.
const NOTE_EVERY: Duration = Duration::from_secs(60);
/// The most entries of the audit in one answer.
const MOST_ENTRIES: u64 = 1_000;

/// Ends rights whose time is over, and writes refused sign-ins down.
#[derive(Message)]
#[rtype(result = "()")]
struct Look;

/// Writes uses of sessions and keys down.
#[derive(Message)]
#[rtype(result = "()")]
struct NoteUses;

/// Stops: the hub is shutting down.
#[derive(Message)]
#[rtype(result = "()")]
struct Stop;

/// The actor of the accounts.
pub struct Accounts {
    store: Arc<dyn AccessStore>,
    clock: Arc<dyn Clock>,
    settings: AccountSettings,
    directory: Arc<Directory>,
    people: People,
    /// The link of the first start, while it can be used.
    set_up: Option<SetUpLink>,
    limits: LoginLimits,
    registrations: Registrations,
    refused: RefusedSignIns,
    hashing: Hashing,
    /// Second factors that no code has confirmed yet.
    totp_begun: HashMap<UserId, (TotpSecret, Timestamp)>,
}

struct SetUpLink {
    hash: [u8; 32],
    until: Timestamp,
}

/// The accounts as the store has them, not started yet, and the token of the first start while there is no user.
pub struct LoadedAccounts {
    pub accounts: Accounts,
    pub directory: Arc<Directory>,
    pub set_up_token: Option<SetUpToken>,
}

impl Default for AccountSettings {
    fn default() -> Self {
        Self { registration: RegistrationPolicy::Closed, only_loopback: true, over_tls: false }
    }
}

impl Accounts {
    /// Reads users, sessions and keys.
    ///
    /// # Errors
    /// The store does not give them, or the system no random numbers.
    pub async fn load(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        settings: AccountSettings,
    ) -> Result<LoadedAccounts, StoreError> {
        let (store, now) = (store.access(), clock.now());
        let directory = Arc::new(Directory::new(settings.over_tls));
        let mut people = People::default();
        for user in store.users().await? {
            let (sessions, keys) = (store.sessions(user.id).await?, store.keys(Some(user.id)).await?);
            directory.put_user(&user);
            for session in sessions {
                directory.begin(session, &user, None);
            }
            for key in keys {
                directory.put_key(key, Some(&user));
            }
            people.put(user);
        }
        for key in store.keys(None).await? {
            directory.put_key(key, None);
        }
        for key in store.bound_keys().await? {
            directory.put_bound_key(key);
        }
        let no_chance = |refusal: AccountRefusal| StoreError::Failed {
            operation: "make the set-up link",
            detail: refusal.to_string(),
        };
        let set_up_token = match people.is_empty() {
            true => Some(SetUpToken::new(hashing::random().map_err(no_chance)?)),
            false => None,
        };
        let accounts = Self {
            store,
            clock,
            settings,
            directory: Arc::clone(&directory),
            people,
            set_up: set_up_token
                .as_ref()
                .map(|token| SetUpLink { hash: token.hash(), until: now.plus_millis(SET_UP_MS) }),
            limits: LoginLimits::default(),
            registrations: Registrations::default(),
            refused: RefusedSignIns::default(),
            hashing: Hashing::default(),
            totp_begun: HashMap::new(),
        };
        Ok(LoadedAccounts { accounts, directory, set_up_token })
    }

    /// Has `write` done, and its result applied. Whatever comes meanwhile waits: so each change finds what the one before
    /// it has left, and no two are made at once.
    fn commit<T: 'static, R: 'static>(
        &self,
        ctx: &mut Context<Self>,
        write: impl Future<Output = Result<T, AccountRefusal>> + 'static,
        apply: impl FnOnce(&mut Self, T) -> Result<R, AccountRefusal> + 'static,
        reply: oneshot::Sender<Result<R, AccountRefusal>>,
    ) {
        ctx.wait(write.into_actor(self).map(move |written, this, _| {
            let _ = reply.send(written.and_then(|written| apply(this, written))); // whoever asked may have gone
        }));
    }

    /// Ends what is over, in the directory at once and in the store after that.
    fn look(&mut self, ctx: &mut Context<Self>) {
        // A hub to which nobody has signed in does not ask for the time twice a second.
        let Overdue { sessions, set_right } = match self.directory.is_empty() {
            true => Overdue::default(),
            false => self.directory.expire(self.clock.now()),
        };
        let refused = self.refused.take();
        if sessions.is_empty() && set_right.is_empty() && refused.is_empty() {
            return;
        }
        let store = Arc::clone(&self.store);
        let write = async move {
            if !sessions.is_empty()
                && let Err(error) = store.remove_sessions(&sessions, &[]).await
            {
                warn!(%error, "could not remove sessions that are over"); // they are over at the next start too
            }
            for session in set_right {
                if let Err(error) = store.put_session(&session, &[]).await {
                    warn!(%error, "could not set a session right"); // the next start does, where it is still ahead
                }
            }
            let written = match refused.is_empty() {
                true => Ok(()),
                false => store.append_audit(&refused).await,
            };
            (written, refused)
        };
        ctx.wait(write.into_actor(self).map(|(written, refused), this, _| {
            if let Err(error) = written {
                warn!(%error, "could not write down refused sign-ins, trying again");
                this.refused.put_back(refused);
            }
        }));
    }

    fn note_uses(&mut self, ctx: &mut Context<Self>) {
        let uses = self.directory.take_uses();
        if uses.sessions.is_empty() && uses.keys.is_empty() {
            return;
        }
        let store = Arc::clone(&self.store);
        let keys: Vec<KeyUse> =
            uses.keys.into_iter().map(|(id, (at, address))| KeyUse { id, at, address }).collect();
        let write = async move {
            let noted = match store.note_sessions_seen(&uses.sessions).await {
                Ok(()) => store.note_key_uses(&keys).await,
                failed => failed,
            };
            if let Err(error) = noted {
                warn!(%error, "could not write down when sessions and keys were used"); // the next use is
            }
        };
        ctx.wait(write.into_actor(self));
    }
}

/// Has the accounts write down what they have not yet, and stop. The store must not be asked any more after that: its
/// connections have to be given back before the runtime ends.
pub(crate) async fn close(accounts: &Addr<Accounts>) {
    // One after another: the next message waits for what the one before it writes. Gone is as good.
    let _ = accounts.send(Look).await;
    let _ = accounts.send(NoteUses).await;
    let _ = accounts.send(Stop).await;
}

/// The result of a write. Where nobody knows whether it was done it is done again, which does no harm.
async fn durable<T, F>(mut write: impl FnMut() -> F) -> Result<T, AccountRefusal>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut tries = 0;
    loop {
        match write().await {
            Ok(written) => return Ok(written),
            Err(error @ StoreError::Unknown { .. }) => {
                tries += 1;
                warn!(%error, "a change of accounts may be stored or not, trying again");
                tokio::time::sleep(STORE.wait(tries).unwrap_or(STORE.longest)).await;
            }
            Err(error) => {
                warn!(%error, "a change of accounts could not be stored");
                return Err(AccountRefusal::Store);
            }
        }
    }
}

/// The result of writing a user.
fn free(written: UserWrite, name: &twinhub_access::UserName) -> Result<(), AccountRefusal> {
    match written {
        UserWrite::Done => Ok(()),
        UserWrite::NameTaken => Err(AccountRefusal::NameTaken(name.clone())),
        UserWrite::EmailTaken => Err(AccountRefusal::EmailTaken),
    }
}

fn answer<T>(reply: oneshot::Sender<Result<T, AccountRefusal>>, answer: Result<T, AccountRefusal>) {
    let _ = reply.send(answer); // whoever asked may have gone
}

fn new_session_id() -> SessionId {
    SessionId(new_id())
}

impl Actor for Accounts {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(LOOK_EVERY, |_, ctx| ctx.notify(Look));
        ctx.run_interval(NOTE_EVERY, |_, ctx| ctx.notify(NoteUses));
    }
}

impl Handler<Look> for Accounts {
    type Result = ();

    fn handle(&mut self, _: Look, ctx: &mut Context<Self>) {
        self.look(ctx);
    }
}

impl Handler<NoteUses> for Accounts {
    type Result = ();

    fn handle(&mut self, _: NoteUses, ctx: &mut Context<Self>) {
        self.note_uses(ctx);
    }
}

impl Handler<Stop> for Accounts {
    type Result = ();

    fn handle(&mut self, _: Stop, ctx: &mut Context<Self>) {
        ctx.stop();
    }
}

impl Handler<ReadOwnUser> for Accounts {
    type Result = Result<UserView, AccountRefusal>;

    fn handle(&mut self, ReadOwnUser { by }: ReadOwnUser, _: &mut Context<Self>) -> Self::Result {
        let own = by.user.ok_or(AccountRefusal::NotSignedIn)?;
        self.people.find(own).map(UserView::of)
    }
}

impl Handler<ListUsers> for Accounts {
    type Result = UserPage;

    fn handle(&mut self, ListUsers { offset, limit }: ListUsers, _: &mut Context<Self>) -> UserPage {
        self.people.page(offset, limit)
    }
}

impl Handler<FindUser> for Accounts {
    type Result = Option<UserView>;

    fn handle(&mut self, FindUser { login }: FindUser, _: &mut Context<Self>) -> Option<UserView> {
        self.people.sign_in_as(&login).map(UserView::of)
    }
}

impl Handler<ListSessions> for Accounts {
    type Result = Result<Vec<SessionView>, AccountRefusal>;

    fn handle(&mut self, ListSessions { user, by }: ListSessions, _: &mut Context<Self>) -> Self::Result {
        by.check_account(user)?;
        self.people.find(user)?;
        let sessions = self.directory.sessions_of(user);
        Ok(sessions.iter().map(|(session, ends_at)| SessionView::of(session, *ends_at, by.session)).collect())
    }
}

impl Handler<ListKeys> for Accounts {
    type Result = Result<Vec<KeyView>, AccountRefusal>;

    fn handle(&mut self, ListKeys { of, by }: ListKeys, _: &mut Context<Self>) -> Self::Result {
        match of {
            KeysOf::User(user) => {
                by.check_account(user)?;
                self.people.find(user)?;
            }
            KeysOf::Shares(user) => {
                by.check_account(user)?;
            }
            KeysOf::Services | KeysOf::Anybody | KeysOf::Invitations => by.check_admin()?,
        }
        let keys = self.directory.keys(|key: &Key| match (of, key.secret.kind) {
            (KeysOf::User(user), SecretKind::Personal) => key.owner == Some(user),
            (KeysOf::Services, SecretKind::Service) | (KeysOf::Invitations, SecretKind::Invitation) => true,
            (KeysOf::Anybody, SecretKind::Personal | SecretKind::Service) => true,
            (KeysOf::Shares(user), SecretKind::Share) => key.owner == Some(user),
            _ => false,
        });
        Ok(keys.iter().map(KeyView::of).collect())
    }
}

impl Handler<ListAudit> for Accounts {
    type Result = ();

    fn handle(&mut self, ListAudit { query, reply }: ListAudit, ctx: &mut Context<Self>) {
        self.look(ctx); // so that what was refused just now is in it
        let store = Arc::clone(&self.store);
        let query = AuditQuery {
            who: query.who.map(String::from),
            action: query.action,
            target: query.target.map(String::from),
            from: query.from,
            to: query.to,
            since: query.since,
            before: query.before,
            newest_first: !query.oldest_first,
            limit: query.limit.min(MOST_ENTRIES),
        };
        // Behind what `look` writes: no future runs while that waits.
        let found = async move { durable(|| store.audit(&query)).await.map(|page| page.records) };
        ctx.spawn(found.into_actor(self).map(|found, _, _| {
            let _ = reply.send(found); // whoever asked may have gone
        }));
    }
}
#[cfg(test)]
mod tests;

/// Handlers that are functions of other files: the actor is written in a few.
macro_rules! handled_by {
    ($($message:ty => $function:path;)+) => {$(
        impl Handler<$message> for Accounts {
            type Result = <$message as Message>::Result;

            fn handle(&mut self, message: $message, ctx: &mut Context<Self>) -> Self::Result {
                $function(self, message, ctx)
            }
        }
    )+};
}

handled_by! {
    MakeBoundKey => bound_keys::make;
    ListBoundKeys => bound_keys::list;
    RevokeBoundKey => bound_keys::revoke;
    FindProvisioningKey => bound_keys::find_provisioning_key;
    UseProvisioningKey => bound_keys::use_provisioning_key;
    GiveBackProvisioningUse => bound_keys::give_back_use;
    PutBridge => bridges::put;
}
