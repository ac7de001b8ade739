//! The directory: sessions and keys as they are now, for whoever asks who a caller is. The actor of the accounts
//! changes it after each commit; everybody else reads it, under a lock that is held for one look-up.
//!
//! Each entry has the rights of its user in it, so that an answer costs one hash and one look-up. A change of a user
//! makes their entries anew.

mod bound;
mod entries;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use tokio::sync::watch;
use twinhub_access::jwt::{BadJwt, Claims};
use twinhub_access::key::DeadKey;
use twinhub_access::secret::BadSecret;
use twinhub_access::{
    BoundKey, Bridge, Key, KeyPurpose, Rights, Secret, SecretId, SecretKind, Session, SessionId,
    SessionToken, User, UserId,
};
use twinhub_domain::Timestamp;
use twinhub_store::RuleAuthor;

use crate::caller::Caller;
pub use bound::BoundCaller;
use bound::BoundEntries;
use entries::{Entries, Validity};

/// A credential, as a request has it.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// The text of a session's cookie, or of a share link's.
    Session(&'a str),
    /// The text behind `Bearer`: a personal key, or a service account's.
    Bearer(&'a str),
    /// A JSON web token that was checked.
    Claims(&'a Claims),
}

/// A caller who is known by a credential.
#[derive(Clone, Debug)]
pub struct Identity {
    pub caller: Caller,
    pub rights: Rights,
    /// The most devices that the user may own; none: as many as they like.
    pub quota: Option<u32>,
    /// None: a service account.
    pub user: Option<UserId>,
    /// The key that they came by: a user's own, or a service account's.
    pub key: Option<SecretId>,
    /// None: they came by a key.
    pub session: Option<SessionId>,
    /// The address that the request came from.
    pub address: IpAddr,
    /// The key that they came by, where that is bound to one purpose.
    pub bound: Option<Arc<BoundCaller>>,
    validity: Arc<Validity>,
}

/// The reason why a credential identifies no caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unidentified {
    #[error("this session has ended: sign in again")]
    Session,
    #[error("this key is not known: it was revoked, or is another hub's")]
    Key,
    #[error(transparent)]
    Text(#[from] BadSecret),
    #[error(transparent)]
    Jwt(#[from] BadJwt),
    #[error("the user of this token is gone, or may not act")]
    User,
    #[error("this kind of key is not taken here")]
    Kind,
    #[error(transparent)]
    Dead(#[from] DeadKey),
}

/// Sessions and keys as they are now.
#[derive(Debug)]
pub struct Directory {
    entries: RwLock<Entries>,
    bound: RwLock<BoundEntries>,
    /// The number of times that a right ended or was narrowed.
    changes: watch::Sender<u64>,
}

/// Sessions that time has changed.
#[derive(Debug, Default)]
pub(super) struct Overdue {
    /// They are over.
    pub sessions: Vec<SessionId>,
    /// A clock that was ahead had begun them; they are written anew.
    pub set_right: Vec<Session>,
}

/// Uses that are to be written down.
#[derive(Debug, Default)]
pub(super) struct Uses {
    pub sessions: Vec<(SessionId, Timestamp)>,
    pub keys: Vec<(SecretId, (Timestamp, IpAddr))>,
}

impl Directory {
    /// A directory without entries. `over_tls`: admins' sessions are shorter.
    #[must_use]
    pub(super) fn new(over_tls: bool) -> Self {
        Self {
            entries: RwLock::new(Entries::new(over_tls)),
            bound: RwLock::default(),
            changes: watch::Sender::new(0),
        }
    }

    /// Says who has this credential at `now`, and notes its use from `address`.
    ///
    /// # Errors
    /// Nobody has.
    pub fn identify(
        &self,
        credential: Credential<'_>,
        now: Timestamp,
        address: IpAddr,
    ) -> Result<Identity, Unidentified> {
        match credential {
            // A share link stands in the same cookie, and what counts no more in that is in nobody's way who signs in.
            Credential::Session(text) if text.starts_with(SecretKind::Share.prefix()) => {
                let secret = Secret::parse(text).map_err(|_| Unidentified::Session)?;
                self.read().key(&secret, now, address).map_err(|_| Unidentified::Session)
            }
            Credential::Session(text) => {
                let token = SessionToken::parse(text).ok_or(Unidentified::Session)?;
                self.read().session(&token.hash(), now, address).ok_or(Unidentified::Session)
            }
            Credential::Claims(claims) => match claims.session {
                Some(session) => {
                    self.read().session_by_id(session, now, address).ok_or(Unidentified::Session)
                }
                None => self.read().person(&claims.subject, address).ok_or(Unidentified::User),
            },
            Credential::Bearer(text) => {
                let secret = Secret::parse(text)?;
                match secret.kind() {
                    SecretKind::Personal | SecretKind::Service => self.read().key(&secret, now, address),
                    SecretKind::Provisioning | SecretKind::Webhook | SecretKind::Bridge => {
                        self.read_bound().identify(&secret, now, address)
                    }
                    SecretKind::Device | SecretKind::Invitation | SecretKind::Share => {
                        Err(Unidentified::Kind)
                    }
                }
            }
        }
    }

    /// The rights of a rule's author at `now`; none where they may not act any more.
    #[must_use]
    pub fn rights_of(&self, author: &RuleAuthor, now: Timestamp) -> Option<Rights> {
        match author {
            RuleAuthor::User(user) => self.read().user_rights(*user),
            RuleAuthor::Key(key) => self.read().key_rights(key, now),
        }
    }

    /// The moment at which a key expires.
    #[must_use]
    pub fn end_of_key(&self, id: &SecretId) -> Option<Timestamp> {
        self.find_key(id).map(|key| key.expires_at)
    }

    /// The moment at which a session ends if nothing is heard in it any more.
    #[must_use]
    pub fn end_of_session(&self, id: SessionId) -> Option<Timestamp> {
        self.read().end_of_session(id)
    }

    /// Are there users? While there are none, the hub is not set up.
    #[must_use]
    pub fn has_users(&self) -> bool {
        self.read().has_users()
    }

    /// Has this identity the rights still that it was given?
    #[must_use]
    pub fn is_valid(&self, identity: &Identity) -> bool {
        identity.validity.lasts()
    }

    /// Counts up whenever a right ends or is narrowed: holders of an [`Identity`] look then whether theirs
    /// [is valid](Self::is_valid) still.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Takes a session of `user` in, which the session `over` has to end for, and gives the moment at which it ends.
    pub(super) fn begin(&self, session: Session, user: &User, over: Option<SessionId>) -> Timestamp {
        let now = session.created_at;
        self.change(|entries| {
            let has_ended = over.is_some_and(|over| entries.end_sessions(|_, id| id == over) > 0);
            (entries.begin(session, user).unwrap_or(now), has_ended)
        })
    }

    pub(super) fn end_session(&self, session: SessionId) {
        self.change(|entries| ((), entries.end_sessions(|_, id| id == session) > 0));
    }

    /// Ends the sessions of a user but one, and gives their number.
    pub(super) fn end_sessions_of(&self, user: UserId, stays: Option<SessionId>) -> usize {
        self.change(|entries| {
            let ended = entries.end_sessions(|of, id| of == user && Some(id) != stays);
            (ended, ended > 0)
        })
    }

    pub(super) fn put_key(&self, key: Key, owner: Option<&User>) {
        self.change(|entries| (entries.put_key(key, owner), false));
    }

    pub(super) fn end_key(&self, id: &SecretId) {
        self.change(|entries| ((), entries.end_keys(|key| key.secret.id == *id) > 0));
    }

    /// Takes a user in as they are now: their sessions and keys have the rights that they have.
    pub(super) fn put_user(&self, user: &User) {
        self.change(|entries| {
            // The first one ends the open mode, and what callers without a name have open.
            let is_first = !entries.has_users();
            entries.set_has_users();
            ((), entries.change_user(user) || is_first)
        });
    }

    /// Ends the sessions and keys of a user who is gone.
    pub(super) fn remove_user(&self, user: UserId) {
        self.end_bound(|bound| bound.end_of(user));
        self.change(|entries| ((), entries.remove_user(user)));
    }

    /// Ends what is over at `now`, and gives the sessions among it.
    pub(super) fn expire(&self, now: Timestamp) -> Overdue {
        // Nothing is over at nearly every look, and whoever is identified meanwhile does not wait for one.
        if !self.read().has_overdue(now) {
            return Overdue::default();
        }
        self.change(|entries| entries.expire(now))
    }

    /// There is neither a session nor a key.
    pub(super) fn is_empty(&self) -> bool {
        self.read().is_empty()
    }

    /// The uses since the last call.
    pub(super) fn take_uses(&self) -> Uses {
        self.read().take_uses()
    }

    /// The sessions of a user and their ends, the newest first.
    pub(super) fn sessions_of(&self, user: UserId) -> Vec<(Session, Timestamp)> {
        self.read().sessions_of(user)
    }

    /// The keys that are asked for, the newest first.
    pub(super) fn keys(&self, is_wanted: impl Fn(&Key) -> bool) -> Vec<Key> {
        self.read().keys(is_wanted)
    }

    pub(super) fn find_key(&self, id: &SecretId) -> Option<Key> {
        self.read().find_key(id)
    }

    pub(super) fn put_bound_key(&self, key: BoundKey) {
        self.write_bound().put(key);
        self.changes.send_modify(|changes| *changes += 1);
    }

    /// The bridges, by their names.
    #[must_use]
    pub fn bridges(&self) -> BTreeMap<Box<str>, Bridge> {
        let keys = self.read_bound().list(|key| matches!(key.purpose, KeyPurpose::Bridge(_)));
        let bridge = |key: BoundKey| match key.purpose {
            KeyPurpose::Bridge(bridge) => Some((key.name.as_str().into(), bridge)),
            _ => None,
        };
        keys.into_iter().filter_map(bridge).collect()
    }

    pub(super) fn count_bound_key(&self, id: &SecretId, change: impl FnOnce(&mut BoundKey)) {
        self.write_bound().count(id, change);
    }

    pub(super) fn end_bound_key(&self, id: &SecretId) {
        self.end_bound(|bound| bound.end(|key| key.secret.id == *id));
    }

    pub(super) fn find_bound_key(&self, id: &SecretId) -> Option<BoundKey> {
        self.read_bound().find(id)
    }

    /// The keys bound to one purpose that are asked for, the newest first.
    pub(super) fn bound_keys(&self, is_wanted: impl Fn(&BoundKey) -> bool) -> Vec<BoundKey> {
        self.read_bound().list(is_wanted)
    }

    /// The caller who registers a device with a provisioning key, by the rights of the user who made that.
    #[must_use]
    pub fn provisioner(
        &self,
        with: &Identity,
        rights: Rights,
        user: Option<UserId>,
        quota: Option<u32>,
    ) -> Identity {
        Identity { rights, user, quota, ..with.clone() }
    }

    /// Ends keys that are bound to one purpose, and counts that where there were any.
    fn end_bound(&self, end: impl FnOnce(&mut BoundEntries) -> bool) {
        let has_ended = end(&mut self.write_bound());
        if has_ended {
            self.changes.send_modify(|changes| *changes += 1);
        }
    }

    fn read_bound(&self) -> RwLockReadGuard<'_, BoundEntries> {
        self.bound.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_bound(&self) -> RwLockWriteGuard<'_, BoundEntries> {
        self.bound.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self) -> RwLockReadGuard<'_, Entries> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has `change` made, and counts the rights that ended by it.
    fn change<T>(&self, change: impl FnOnce(&mut Entries) -> (T, bool)) -> T {
        let mut entries: RwLockWriteGuard<'_, Entries> =
            self.entries.write().unwrap_or_else(PoisonError::into_inner);
        let (result, has_ended) = change(&mut entries);
        drop(entries);
        if has_ended {
            self.changes.send_modify(|changes| *changes += 1);
        }
        result
    }
}
