//! Messages to the accounts: people, their sessions and keys, and the audit.

mod links;
mod refusal;
mod secrets;

use std::net::IpAddr;

use actix::Message;
use tokio::sync::oneshot;
use twinhub_access::audit::AuditRecord;
use twinhub_access::password::Password;
use twinhub_access::role::{Permission, Permissions, Role};
use twinhub_access::totp::RecoveryCode;
use twinhub_access::user::{ExternalSubject, UserSource};
use twinhub_access::{
    Action, DisplayName, Email, Scope, ScopeWish, Secret, SecretId, SecretKind, SessionId, SessionKind,
    SessionToken, UserId, UserName,
};
use twinhub_domain::Timestamp;

pub use links::{GivenInvitation, MakeInvitation, MakeShare};
pub use refusal::AccountRefusal;
pub use secrets::{SET_UP_BYTES, SetUpToken, TotpBegun, TypedCode};

/// Makes the first user, an admin, by the link that the hub has shown at its start. Answered after the commit, as every
/// change is.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetUp {
    pub token: SetUpToken,
    pub user: NewUser,
    pub peer: Peer,
    pub reply: oneshot::Sender<Result<SignedIn, AccountRefusal>>,
}

/// Signs a user in.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SignIn {
    /// The user name, or the e-mail address.
    pub login: Box<str>,
    pub password: Password,
    /// The second factor, where the user has one: without it the refusal is [`AccountRefusal::CodeNeeded`].
    pub code: Option<TypedCode>,
    pub peer: Peer,
    pub reply: oneshot::Sender<Result<SignedIn, AccountRefusal>>,
}

/// Ends the session that the caller came by.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SignOut {
    pub by: Asker,
    pub reply: oneshot::Sender<Result<(), AccountRefusal>>,
}

/// Makes a user of a caller without one, and signs them in: an operator where registration is open, or whatever their
/// invitation says. While there is no
/// user the first one becomes admin; the layer in front lets callers of this machine alone ask for that, and says so by
/// `may_be_first`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Register {
    pub user: NewUser,
    pub invitation: Option<GivenInvitation>,
    pub may_be_first: bool,
    pub peer: Peer,
    pub reply: oneshot::Sender<Result<SignedIn, AccountRefusal>>,
}

/// Signs in a person whom an identity provider knows, with the rights that it gives them now. Their user is made where
/// there is none; one of the same name or e-mail address that was made here is another person's.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SignInExternally {
    pub profile: ExternalProfile,
    /// None: nobody of their groups may sign in.
    pub rights: Option<(Role, Scope)>,
    pub peer: Peer,
    pub reply: oneshot::Sender<Result<SignedIn, AccountRefusal>>,
}

/// Asks for the user that the caller is; an error where they are none.
#[derive(Debug, Message)]
#[rtype(result = "Result<UserView, AccountRefusal>")]
pub struct ReadOwnUser {
    pub by: Asker,
}

/// Asks for a page of users, by name.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "UserPage")]
pub struct ListUsers {
    pub offset: usize,
    pub limit: usize,
}

/// Asks for a user by name or by e-mail address.
#[derive(Debug, Message)]
#[rtype(result = "Option<UserView>")]
pub struct FindUser {
    pub login: Box<str>,
}

/// Makes a user.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct AddUser {
    pub user: NewUser,
    pub role: Role,
    pub by: Asker,
    pub reply: oneshot::Sender<Result<UserView, AccountRefusal>>,
}

/// Changes a user. Users change their own e-mail address and display name, and nothing else of theirs.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ChangeUser {
    pub user: UserId,
    pub change: UserEdit,
    pub by: Asker,
    pub reply: oneshot::Sender<Result<UserView, AccountRefusal>>,
}

/// Removes a user with their sessions and keys.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RemoveUser {
    pub user: UserId,
    pub by: Asker,
    pub reply: oneshot::Sender<Result<UserView, AccountRefusal>>,
}

/// Sets a password, and ends the user's sessions but the one that the caller came by.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SetPassword {
    pub user: UserId,
    /// The present one, which users must give for their own.
    pub old: Option<Password>,
    pub new: Password,
    pub by: Asker,
    pub reply: oneshot::Sender<Result<(), AccountRefusal>>,
}

/// Asks for a user's sessions, the newest first.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<SessionView>, AccountRefusal>")]
pub struct ListSessions {
    pub user: UserId,
    pub by: Asker,
}

/// Ends a session of a user.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct EndSession {
    pub user: UserId,
    pub session: SessionId,
    pub by: Asker,
    pub reply: oneshot::Sender<Result<(), AccountRefusal>>,
}

/// Ends all sessions of a user but the one that the caller came by. The answer is their number.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct EndOtherSessions {
    pub user: UserId,
    pub by: Asker,
    pub reply: oneshot::Sender<Result<usize, AccountRefusal>>,
}

/// Makes a personal key of the caller's.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct MakeKey {
    pub key: NewKey,
    pub by: Asker,
    pub reply: oneshot::Sender<Result<KeyMade, AccountRefusal>>,
}

/// Makes a key of a service account, which belongs to no user.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct MakeServiceKey {
    pub key: NewKey,
    pub by: Asker,
    pub reply: oneshot::Sender<Result<KeyMade, AccountRefusal>>,
}

/// Asks for keys, the newest first.
#[derive(Debug, Message)]
#[rtype(result = "Result<Vec<KeyView>, AccountRefusal>")]
pub struct ListKeys {
    pub of: KeysOf,
    pub by: Asker,
}

/// The kinds of keys that programs have.
pub const PROGRAM_KEYS: &[SecretKind] = &[SecretKind::Personal, SecretKind::Service];

/// Revokes a key: one's own; an admin, any.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RevokeKey {
    pub key: SecretId,
    /// The kinds that are meant: of another kind there is no key of this id.
    pub kinds: &'static [SecretKind],
    pub by: Asker,
    pub reply: oneshot::Sender<Result<KeyView, AccountRefusal>>,
}

/// Makes the secret of a second factor for the caller. It counts once a code of it has confirmed it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct BeginTotp {
    /// The present one.
    pub password: Password,
    pub by: Asker,
    pub reply: oneshot::Sender<Result<TotpBegun, AccountRefusal>>,
}

/// Turns the caller's second factor on. The answer is the recovery codes, which are shown once.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ConfirmTotp {
    pub code: TypedCode,
    pub by: Asker,
    pub reply: oneshot::Sender<Result<Vec<RecoveryCode>, AccountRefusal>>,
}

/// Turns a user's second factor off.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct EndTotp {
    pub user: UserId,
    /// The present password, which users must give for their own.
    pub password: Option<Password>,
    pub by: Asker,
    pub reply: oneshot::Sender<Result<(), AccountRefusal>>,
}

/// Asks for entries of the audit, true to all that the accounts answered or refused before.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ListAudit {
    pub query: AuditFilter,
    pub reply: oneshot::Sender<Result<Vec<AuditRecord>, AccountRefusal>>,
}

/// Entries of the audit that are asked for.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Only entries before this place: the last one of the page before.
    pub before: Option<u64>,
    /// Only entries by this caller, `user:ann`.
    pub who: Option<Box<str>>,
    pub action: Option<Action>,
    /// Only entries about this user, key, device or other thing: `group:hall-2`.
    pub target: Option<Box<str>>,
    /// Only entries from this moment on, and from before that one.
    pub from: Option<Timestamp>,
    pub to: Option<Timestamp>,
    /// Only entries after this place: the last one of the page before, where the oldest come first.
    pub since: Option<u64>,
    /// The oldest come first.
    pub oldest_first: bool,
    pub limit: u64,
}

/// The far end of the connection by which somebody signs in.
#[derive(Clone, Debug)]
pub struct Peer {
    pub address: IpAddr,
    /// The browser, as it calls itself.
    pub agent: Box<str>,
    /// The way in which the session will be shown.
    pub shows: SessionKind,
}

/// The caller of a message. A [`Grant`](crate::access::Grant) alone makes one.
#[derive(Clone, Debug)]
pub struct Asker {
    /// The name in the audit: `user:ann`.
    pub(crate) name: Box<str>,
    pub(crate) user: Option<UserId>,
    pub(crate) session: Option<SessionId>,
    pub(crate) address: Option<IpAddr>,
    pub(crate) permissions: Permissions,
    /// They reach all devices.
    pub(crate) is_everywhere: bool,
    pub(crate) source: UserSource,
}

/// A user who is to be made.
#[derive(Clone, Debug)]
pub struct NewUser {
    pub name: UserName,
    pub email: Option<Email>,
    pub display_name: DisplayName,
    /// The devices for which the role counts. Who registers has a scope of their own.
    pub scope: ScopeWish,
    pub password: Password,
}

/// A person as an identity provider describes them.
#[derive(Clone, Debug)]
pub struct ExternalProfile {
    pub subject: ExternalSubject,
    pub name: UserName,
    pub email: Option<Email>,
    pub display_name: DisplayName,
}

/// A change of a user. Members that are none stay.
#[derive(Clone, Debug, Default)]
pub struct UserEdit {
    /// None in it: without one.
    pub email: Option<Option<Email>>,
    pub display_name: Option<DisplayName>,
    pub role: Option<Role>,
    pub scope: Option<ScopeWish>,
    pub quota: Option<u32>,
    pub disabled: Option<bool>,
}

/// A key that is to be made.
#[derive(Clone, Debug)]
pub struct NewKey {
    pub name: DisplayName,
    pub role: Role,
    /// The devices for which it counts, of those of its owner's scope.
    pub scope: ScopeWish,
    /// Its life in ms; none: 90 days.
    pub life_ms: Option<i64>,
}

/// The owner of the keys that are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeysOf {
    User(UserId),
    /// Service accounts, which belong to no user.
    Services,
    Anybody,
    /// Invitations that nobody has taken yet.
    Invitations,
    /// The share links of a user.
    Shares(UserId),
}

/// A user who has signed in: a session has begun.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The text for the cookie, which nobody sees again.
    pub token: SessionToken,
    pub session: SessionView,
    pub user: UserView,
    /// They gave a recovery code in the place of a code of their app: so many are left.
    pub recovery_codes_left: Option<usize>,
}

/// A user as others may see them.
#[derive(Clone, Debug, PartialEq)]
pub struct UserView {
    pub id: UserId,
    pub name: UserName,
    pub email: Option<Email>,
    pub display_name: DisplayName,
    pub role: Role,
    pub scope: Scope,
    pub quota: u32,
    pub has_password: bool,
    pub has_totp: bool,
    pub disabled: bool,
    pub created_at: Timestamp,
    pub source: UserSource,
}

/// A page of users.
#[derive(Clone, Debug, Default, actix::MessageResponse)]
pub struct UserPage {
    pub users: Vec<UserView>,
    /// The number on all pages.
    pub total: usize,
}

/// A session as its user may see it.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionView {
    pub id: SessionId,
    pub user: UserId,
    pub created_at: Timestamp,
    pub last_seen: Timestamp,
    /// The end of it if nothing is heard in it any more.
    pub ends_at: Timestamp,
    pub address: IpAddr,
    pub agent: Box<str>,
    /// The caller came by it.
    pub is_current: bool,
}

/// A key as its owner may see it.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyView {
    pub id: SecretId,
    pub kind: SecretKind,
    /// None: a service account's.
    pub owner: Option<UserId>,
    pub name: DisplayName,
    pub role: Role,
    pub scope: Scope,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    pub last_used: Option<(Timestamp, IpAddr)>,
    pub last_4: Box<str>,
}

/// A key that was made, and its secret, which is shown once.
#[derive(Clone, Debug)]
pub struct KeyMade {
    pub secret: Secret,
    pub key: KeyView,
}

impl Asker {
    /// The same for a user whom the environment of the program names.
    #[must_use]
    pub fn of_environment(self) -> Self {
        Self { source: UserSource::Environment, ..self }
    }

    /// Looks whether they may see and change this user's account. True: it is their own.
    ///
    /// # Errors
    /// They may not.
    pub(crate) fn check_account(&self, user: UserId) -> Result<bool, AccountRefusal> {
        let is_own = self.user == Some(user);
        let permission = if is_own { Permission::Account } else { Permission::Users };
        self.check(permission).map(|()| is_own)
    }

    /// Looks whether they may see and change the accounts of others.
    ///
    /// # Errors
    /// They may not.
    pub(crate) fn check_admin(&self) -> Result<(), AccountRefusal> {
        self.check(Permission::Users)
    }

    /// The same, and that they reach all devices.
    pub(crate) fn check_admin_everywhere(&self) -> Result<(), AccountRefusal> {
        self.check_admin()?;
        if self.is_everywhere { Ok(()) } else { Err(AccountRefusal::Scoped) }
    }

    fn check(&self, permission: Permission) -> Result<(), AccountRefusal> {
        match self.permissions.contain(permission) {
            true => Ok(()),
            false => Err(AccountRefusal::Forbidden(permission)),
        }
    }
}
