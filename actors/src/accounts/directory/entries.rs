//! The entries of the directory: live sessions and keys with the rights that each gives.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use twinhub_access::key::DeadKey;
use twinhub_access::name::login_key;
use twinhub_access::role::Permission;
use twinhub_access::session::Lives;
use twinhub_access::{Key, Rights, Secret, SecretId, SecretKind, Session, SessionId, User, UserId};
use twinhub_domain::Timestamp;

use super::{Identity, Overdue, Unidentified, Uses};
use crate::caller::Caller;

/// The validity of the rights that an identity was given.
#[derive(Debug, Default)]
pub struct Validity {
    has_ended: AtomicBool,
}

impl Validity {
    pub fn lasts(&self) -> bool {
        !self.has_ended.load(Ordering::Acquire)
    }

    pub fn end(&self) {
        self.has_ended.store(true, Ordering::Release);
    }
}

/// Sessions by the hashes of their tokens, keys by their ids.
pub struct Entries {
    over_tls: bool,
    has_users: bool,
    /// The rights of each user now; none: they are disabled.
    users: HashMap<UserId, Option<Rights>>,
    sessions: HashMap<[u8; 32], SessionEntry>,
    /// The hashes of sessions' tokens by their ids.
    session_ids: HashMap<SessionId, [u8; 32]>,
    /// The users who may act, by their names as these are compared.
    people: HashMap<String, PersonEntry>,
    keys: HashMap<SecretId, KeyEntry>,
}

struct SessionEntry {
    id: SessionId,
    user: UserId,
    session: Mutex<Used<Session>>,
    caller: Caller,
    rights: Rights,
    quota: Option<u32>,
    lives: Lives,
    validity: Arc<Validity>,
}

/// A user, for tokens of other programs, which name one and no session.
struct PersonEntry {
    user: UserId,
    caller: Caller,
    rights: Rights,
    quota: Option<u32>,
    validity: Arc<Validity>,
}

struct KeyEntry {
    key: Mutex<Used<Key>>,
    caller: Caller,
    /// The rights that it gives while it has not expired.
    rights: Result<Rights, DeadKey>,
    quota: Option<u32>,
    validity: Arc<Validity>,
}

/// A record, and whether a use of it is to be written down.
struct Used<T> {
    record: T,
    is_due: bool,
}

impl SessionEntry {
    fn is_over(&self, now: Timestamp) -> bool {
        !lock(&self.session).record.is_alive(self.lives, now)
    }
}

impl KeyEntry {
    fn is_over(&self, now: Timestamp) -> bool {
        now >= lock(&self.key).record.expires_at
    }
}

impl Entries {
    /// No entries.
    pub fn new(over_tls: bool) -> Self {
        Self {
            over_tls,
            has_users: false,
            users: HashMap::new(),
            sessions: HashMap::new(),
            session_ids: HashMap::new(),
            people: HashMap::new(),
            keys: HashMap::new(),
        }
    }

    pub fn has_users(&self) -> bool {
        self.has_users
    }

    /// There are users from now on: the last admin cannot be removed.
    pub fn set_has_users(&mut self) {
        self.has_users = true;
    }

    /// The caller in the session with this id.
    pub fn session_by_id(&self, id: SessionId, now: Timestamp, address: IpAddr) -> Option<Identity> {
        self.session(self.session_ids.get(&id)?, now, address)
    }

    /// The moment at which a session ends if nothing is heard in it any more.
    pub fn end_of_session(&self, id: SessionId) -> Option<Timestamp> {
        let entry = self.sessions.get(self.session_ids.get(&id)?)?;
        Some(lock(&entry.session).record.ends_at(entry.lives))
    }

    /// The user of this name.
    pub fn person(&self, name: &str, address: IpAddr) -> Option<Identity> {
        let entry = self.people.get(&login_key(name))?;
        Some(Identity {
            caller: entry.caller.clone(),
            rights: entry.rights.clone(),
            quota: entry.quota,
            user: Some(entry.user),
            key: None,
            session: None,
            bound: None,
            address,
            validity: Arc::clone(&entry.validity),
        })
    }

    /// The caller who has the token with this hash.
    pub fn session(&self, hash: &[u8; 32], now: Timestamp, address: IpAddr) -> Option<Identity> {
        let entry = self.sessions.get(hash)?;
        let mut used = lock(&entry.session);
        if !used.record.is_alive(entry.lives, now) {
            return None;
        }
        if used.record.is_seen_due(now) {
            (used.record.last_seen, used.is_due) = (now, true);
        }
        Some(Identity {
            caller: entry.caller.clone(),
            rights: entry.rights.clone(),
            quota: entry.quota,
            user: Some(entry.user),
            key: None,
            session: Some(entry.id),
            address,
            bound: None,
            validity: Arc::clone(&entry.validity),
        })
    }

    /// The caller who has this secret.
    ///
    /// # Errors
    /// It gives no rights.
    pub fn key(&self, secret: &Secret, now: Timestamp, address: IpAddr) -> Result<Identity, Unidentified> {
        let entry = self.keys.get(&secret.id()).ok_or(Unidentified::Key)?;
        let mut used = lock(&entry.key);
        if !used.record.is_of(secret) {
            return Err(Unidentified::Key);
        }
        let rights = entry.rights.clone()?;
        if now >= used.record.expires_at {
            return Err(DeadKey::Expired.into());
        }
        if used.record.is_use_due(now, address) {
            (used.record.last_used, used.is_due) = (Some((now, address)), true);
        }
        Ok(Identity {
            caller: entry.caller.clone(),
            rights,
            quota: entry.quota,
            user: used.record.owner,
            key: Some(used.record.secret.id.clone()),
            session: None,
            address,
            bound: None,
            validity: Arc::clone(&entry.validity),
        })
    }

    /// Takes a session in, and gives the moment at which it ends. A user who may not act gets none.
    pub fn begin(&mut self, session: Session, user: &User) -> Option<Timestamp> {
        let rights = user.rights()?;
        let (id, lives) = (session.id, Lives::of(user.role, self.over_tls, session.kind));
        let (caller, quota) = (Caller::Person(user.name.as_str().into()), user.quota());
        let (hash, user) = (session.hash, user.id);
        let ends_at = session.ends_at(lives);
        let (session, validity) = (Mutex::new(Used { record: session, is_due: false }), Arc::default());
        self.session_ids.insert(id, hash);
        self.sessions
            .insert(hash, SessionEntry { id, user, session, caller, rights, quota, lives, validity });
        Some(ends_at)
    }

    /// Takes a key in. `owner` is the user in [`Key::owner`].
    pub fn put_key(&mut self, key: Key, owner: Option<&User>) {
        let rights = rights_of_key(&key, owner);
        let caller = Caller::Key(match owner {
            // Names of keys are their owners' to choose.
            Some(owner) => format!("{}/{}", owner.name.as_str(), key.name.as_str()).into(),
            None => key.name.as_str().into(),
        });
        let id = key.secret.id.clone();
        let (key, validity) = (Mutex::new(Used { record: key, is_due: false }), Arc::default());
        let quota = owner.and_then(User::quota);
        self.keys.insert(id, KeyEntry { key, caller, rights, quota, validity });
    }

    /// Ends the sessions that `is_over`, and gives their number.
    pub fn end_sessions(&mut self, is_over: impl Fn(UserId, SessionId) -> bool) -> usize {
        let over = self.sessions.extract_if(|_, entry| is_over(entry.user, entry.id));
        let ended = over.map(|(_, entry)| {
            self.session_ids.remove(&entry.id);
            entry.validity.end();
        });
        ended.count()
    }

    /// Ends the keys that `is_over`, and gives their number.
    pub fn end_keys(&mut self, is_over: impl Fn(&Key) -> bool) -> usize {
        let over = self.keys.extract_if(|_, entry| is_over(&lock(&entry.key).record));
        over.map(|(_, entry)| entry.validity.end()).count()
    }

    /// Gives the sessions and keys of a user the rights that the user has now. True where some were taken away.
    pub fn change_user(&mut self, user: &User) -> bool {
        let before = self.users.insert(user.id, user.rights()).flatten();
        let mut is_narrowed =
            before.is_some_and(|before| user.rights().is_none_or(|after| !before.are_within(&after)));
        if user.disabled {
            is_narrowed |= self.end_sessions(|of, _| of == user.id) > 0;
        }
        is_narrowed |= self.put_person(user);
        let rights = user.rights();
        for entry in self.sessions.values_mut().filter(|entry| entry.user == user.id) {
            let Some(rights) = &rights else { continue };
            let kind = lock(&entry.session).record.kind;
            entry.lives = Lives::of(user.role, self.over_tls, kind);
            if !entry.rights.are_within(rights) {
                std::mem::take(&mut entry.validity).end();
                is_narrowed = true;
            }
            (entry.rights, entry.quota) = (rights.clone(), user.quota());
        }
        for entry in self.keys.values_mut() {
            let rights = {
                let used = lock(&entry.key);
                if used.record.owner != Some(user.id) {
                    continue;
                }
                rights_of_key(&used.record, Some(user))
            };
            let is_kept = match (&entry.rights, &rights) {
                (Ok(before), Ok(after)) => before.are_within(after),
                (Ok(_), Err(_)) => false,
                (Err(_), _) => true,
            };
            if !is_kept {
                std::mem::take(&mut entry.validity).end();
                is_narrowed = true;
            }
            (entry.rights, entry.quota) = (rights, user.quota());
        }
        is_narrowed
    }

    /// Takes a user in by name. True where they have less rights by it.
    fn put_person(&mut self, user: &User) -> bool {
        let before = self.people.remove(&user.name.key());
        let rights = user.rights();
        let keeps = match (&before, &rights) {
            (Some(before), Some(rights)) => before.rights.are_within(rights),
            (before, _) => before.is_none(),
        };
        let validity = match before {
            Some(before) if keeps => before.validity,
            Some(before) => {
                before.validity.end();
                Arc::default()
            }
            None => Arc::default(),
        };
        if let Some(rights) = rights {
            let caller = Caller::Person(user.name.as_str().into());
            let (user_id, quota) = (user.id, user.quota());
            self.people
                .insert(user.name.key(), PersonEntry { user: user_id, caller, rights, quota, validity });
        }
        !keeps
    }

    /// Takes a user out who is gone.
    fn remove_person(&mut self, user: UserId) {
        for (_, entry) in self.people.extract_if(|_, entry| entry.user == user) {
            entry.validity.end();
        }
    }

    /// A user goes. True where there was one.
    pub fn remove_user(&mut self, user: UserId) -> bool {
        self.remove_person(user);
        let ended = self.end_sessions(|of, _| of == user) + self.end_keys(|key| key.owner == Some(user));
        self.users.remove(&user).is_some() || ended > 0
    }

    /// The rights of a user now, where they may act.
    pub fn user_rights(&self, user: UserId) -> Option<Rights> {
        self.users.get(&user)?.clone()
    }

    /// The rights that a key gives at `now`, where it gives any.
    pub fn key_rights(&self, key: &SecretId, now: Timestamp) -> Option<Rights> {
        let entry = self.keys.get(key)?;
        if entry.is_over(now) { None } else { entry.rights.clone().ok() }
    }

    /// There is neither a session nor a key.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.keys.is_empty()
    }

    /// Would [`Self::expire`] change anything?
    pub fn has_overdue(&self, now: Timestamp) -> bool {
        self.sessions.values().any(|entry| entry.is_over(now) || lock(&entry.session).record.is_ahead(now))
            || self.keys.values().any(|entry| entry.is_over(now) == entry.validity.lasts())
    }

    /// Takes out the sessions whose time is over, and ends the rights of keys that have expired. Those stay: their owners
    /// see them in lists, and a clock that was wrong costs none. Sessions that a clock ahead has begun are set right. The
    /// result also says whether a right ended.
    pub fn expire(&mut self, now: Timestamp) -> (Overdue, bool) {
        let sessions = self.sessions.values_mut().map(|entry| lock(&entry.session));
        let set_right =
            sessions.filter_map(|mut used| used.record.set_right(now).then(|| used.record.clone()));
        let set_right: Vec<Session> = set_right.collect();
        let over = self.sessions.extract_if(|_, entry| entry.is_over(now));
        let sessions: Vec<SessionId> = over
            .map(|(_, entry)| {
                self.session_ids.remove(&entry.id);
                entry.validity.end();
                entry.id
            })
            .collect();
        let mut has_ended = !sessions.is_empty();
        for entry in self.keys.values_mut() {
            let is_over = entry.is_over(now);
            if is_over && entry.validity.lasts() {
                entry.validity.end();
                has_ended = true;
            } else if !is_over && !entry.validity.lasts() {
                entry.validity = Arc::default(); // the clock was set back
            }
        }
        (Overdue { sessions, set_right }, has_ended)
    }

    /// Takes out the uses that are to be written down.
    pub fn take_uses(&self) -> Uses {
        let mut uses = Uses::default();
        for entry in self.sessions.values() {
            let mut used = lock(&entry.session);
            if std::mem::take(&mut used.is_due) {
                uses.sessions.push((used.record.id, used.record.last_seen));
            }
        }
        for (id, entry) in &self.keys {
            let mut used = lock(&entry.key);
            if std::mem::take(&mut used.is_due) {
                uses.keys.extend(used.record.last_used.map(|last| (id.clone(), last)));
            }
        }
        uses
    }

    /// The sessions of a user and their ends, the newest first.
    pub fn sessions_of(&self, user: UserId) -> Vec<(Session, Timestamp)> {
        let own = self.sessions.values().filter(|entry| entry.user == user);
        let own = own.map(|entry| {
            let session = lock(&entry.session).record.clone();
            let ends_at = session.ends_at(entry.lives);
            (session, ends_at)
        });
        let mut own: Vec<_> = own.collect();
        own.sort_by_key(|(session, _)| std::cmp::Reverse((session.created_at, session.id)));
        own
    }

    /// The keys that are asked for, the newest first.
    pub fn keys(&self, is_wanted: impl Fn(&Key) -> bool) -> Vec<Key> {
        let wanted = self.keys.values().filter_map(|entry| {
            let used = lock(&entry.key);
            is_wanted(&used.record).then(|| used.record.clone())
        });
        let mut wanted: Vec<Key> = wanted.collect();
        wanted.sort_by(|one, other| {
            (other.created_at, &other.secret.id).cmp(&(one.created_at, &one.secret.id))
        });
        wanted
    }

    /// The key with this id.
    pub fn find_key(&self, id: &SecretId) -> Option<Key> {
        self.keys.get(id).map(|entry| lock(&entry.key).record.clone())
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entries({} sessions, {} keys)", self.sessions.len(), self.keys.len())
    }
}

/// The rights of a key but for its time. Whoever has found one cannot make another in its owner's name, nor change the
/// owner's account: that takes a user who has signed in. By a personal key that holds for the accounts of others, too:
/// another admin could give the owner a new password. A service account's manages accounts where it is an admin's.
fn rights_of_key(key: &Key, owner: Option<&User>) -> Result<Rights, DeadKey> {
    let rights = key.rights(owner, key.created_at)?;
    if key.secret.kind == SecretKind::Share {
        // To look on, and nothing else: what is exported can be taken away.
        let looks_on = [Permission::Public, Permission::Read].into_iter().collect();
        return Ok(Rights { permissions: rights.permissions.narrowed_by(looks_on), ..rights });
    }
    let permissions = rights.permissions.without(Permission::Account);
    let permissions = if owner.is_some() { permissions.without(Permission::Users) } else { permissions };
    Ok(Rights { permissions, ..rights })
}

fn lock<T>(used: &Mutex<Used<T>>) -> MutexGuard<'_, Used<T>> {
    used.lock().unwrap_or_else(PoisonError::into_inner)
}
