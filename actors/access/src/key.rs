//! Keys of people and of service accounts: the record of one, and the rights that it gives.

use std::net::IpAddr;

use twinhub_domain::Timestamp;

use crate::name::DisplayName;
use crate::rights::Rights;
use crate::role::Role;
use crate::scope::Scope;
use crate::secret::{KeptSecret, RANDOM_BYTES, Secret, SecretKind};
use crate::user::{User, UserId};

/// A key.
#[derive(Clone, Debug, PartialEq)]
pub struct Key {
    pub secret: KeptSecret,
    /// Its user; none: it is a service account's.
    pub owner: Option<UserId>,
    pub name: DisplayName,
    pub role: Role,
    pub scope: Scope,
    pub created_at: Timestamp,
    pub expires_at: Timestamp,
    /// The last use, to the minute.
    pub last_used: Option<(Timestamp, IpAddr)>,
}

/// A request for a key.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyWish {
    pub name: DisplayName,
    pub role: Role,
    pub scope: Scope,
    /// Its life in ms; none: [`Key::LIFE_MS`].
    pub life_ms: Option<i64>,
}

/// Reasons not to make a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    #[error("a key has a name, by which it is told from others")]
    NoName,
    #[error("a key's role is at most that of its owner")]
    Role,
    #[error("a key lives for a minute at least and 365 days at most")]
    Life,
    #[error("a user has {} keys at most: revoke one first", Key::MOST)]
    TooMany,
}

/// Reasons for which a key gives no rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeadKey {
    #[error("this key has expired")]
    Expired,
    #[error("the owner of this key is disabled")]
    OwnerDisabled,
    #[error("the owner of this key is gone")]
    OwnerGone,
}

/// These secrets are long and random, so a plain hash does: the hub's key has no part in it.
const NO_HUB_KEY: &[u8; 32] = &[0; 32];
const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
const MINUTE_MS: i64 = 60 * 1_000;

impl Key {
    /// The life of a key for which nobody says another.
    pub const LIFE_MS: i64 = 90 * DAY_MS;
    /// The longest life.
    pub const MOST_LIFE_MS: i64 = 365 * DAY_MS;
    /// The most keys of a user.
    pub const MOST: usize = 50;

    /// A key of a user who has `keys` already, and its secret, which is shown once.
    ///
    /// # Errors
    /// They cannot have it.
    pub fn personal(
        wish: KeyWish,
        owner: &User,
        keys: usize,
        random: &[u8; RANDOM_BYTES],
        now: Timestamp,
    ) -> Result<(Self, Secret), BadKey> {
        if keys >= Self::MOST {
            return Err(BadKey::TooMany);
        }
        if !wish.role.is_within(owner.role) {
            return Err(BadKey::Role);
        }
        Self::new(wish, Some(owner.id), Secret::new(SecretKind::Personal, random), now)
    }

    /// A key of a service account, and its secret.
    ///
    /// # Errors
    /// There cannot be such a key.
    pub fn service(
        wish: KeyWish,
        random: &[u8; RANDOM_BYTES],
        now: Timestamp,
    ) -> Result<(Self, Secret), BadKey> {
        Self::new(wish, None, Secret::new(SecretKind::Service, random), now)
    }

    /// An invitation to make an account of the role and scope of the wish. `owner` is the user who invites; none: the hub
    /// itself.
    ///
    /// # Errors
    /// There cannot be such an invitation.
    pub fn invitation(
        wish: KeyWish,
        owner: Option<&User>,
        random: &[u8; RANDOM_BYTES],
        now: Timestamp,
    ) -> Result<(Self, Secret), BadKey> {
        if owner.is_some_and(|owner| !wish.role.is_within(owner.role)) {
            return Err(BadKey::Role);
        }
        Self::new(wish, owner.map(|owner| owner.id), Secret::new(SecretKind::Invitation, random), now)
    }

    /// A share link of a user who has `shares` already: a viewer's, whatever the wish says.
    ///
    /// # Errors
    /// They cannot have it.
    pub fn share(
        wish: KeyWish,
        owner: &User,
        shares: usize,
        random: &[u8; RANDOM_BYTES],
        now: Timestamp,
    ) -> Result<(Self, Secret), BadKey> {
        if shares >= Self::MOST {
            return Err(BadKey::TooMany);
        }
        let wish = KeyWish { role: Role::Viewer, ..wish };
        Self::new(wish, Some(owner.id), Secret::new(SecretKind::Share, random), now)
    }

    fn new(
        wish: KeyWish,
        owner: Option<UserId>,
        secret: Secret,
        now: Timestamp,
    ) -> Result<(Self, Secret), BadKey> {
        let KeyWish { name, role, scope, life_ms } = wish;
        let life_ms = life_ms.unwrap_or(Self::LIFE_MS);
        if name.as_str().is_empty() {
            return Err(BadKey::NoName);
        }
        if !Role::OF_PEOPLE.contains(&role) {
            return Err(BadKey::Role);
        }
        if !(MINUTE_MS..=Self::MOST_LIFE_MS).contains(&life_ms) {
            return Err(BadKey::Life);
        }
        let expires_at = now.plus_millis(life_ms);
        let kept = secret.kept(NO_HUB_KEY);
        let key =
            Self { secret: kept, owner, name, role, scope, created_at: now, expires_at, last_used: None };
        Ok((key, secret))
    }

    /// Is `secret` the one of this key?
    #[must_use]
    pub fn is_of(&self, secret: &Secret) -> bool {
        self.secret.is_of(secret, NO_HUB_KEY)
    }

    /// The rights of it at `now`: never more than its owner has at that moment. `owner` is the user with the id in
    /// [`Key::owner`], where there is one.
    ///
    /// # Errors
    /// It gives none.
    pub fn rights(&self, owner: Option<&User>, now: Timestamp) -> Result<Rights, DeadKey> {
        if now >= self.expires_at {
            return Err(DeadKey::Expired);
        }
        let Some(id) = self.owner else { return Ok(Rights::new(self.role, &self.scope)) };
        let owner = owner.filter(|owner| owner.id == id).ok_or(DeadKey::OwnerGone)?;
        let own = owner.rights().ok_or(DeadKey::OwnerDisabled)?;
        Ok(own.narrowed_by(self.role, &self.scope))
    }

    /// Is a use at `now` from `address` to be written down? Once a minute is enough, and at once from a new address.
    #[must_use]
    pub fn is_use_due(&self, now: Timestamp, address: IpAddr) -> bool {
        self.last_used
            .is_none_or(|(at, from)| from != address || now >= at.plus_millis(MINUTE_MS) || now < at)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::user::tests::user;

    const NOON: i64 = 1_767_268_800_000;

    fn now() -> Timestamp {
        Timestamp::from_millis(NOON)
    }

    fn wish(role: Role) -> KeyWish {
        KeyWish { name: DisplayName::parse("ci").unwrap(), role, scope: Scope::All, life_ms: None }
    }

    fn personal(wish: KeyWish, owner: &User, keys: usize) -> Result<Key, BadKey> {
        Key::personal(wish, owner, keys, &[1; RANDOM_BYTES], now()).map(|(key, _)| key)
    }

    #[test]
    fn keys_have_bounds() {
        let bob = user(2, "bob", Role::Operator);
        let key = personal(wish(Role::Operator), &bob, 49).unwrap();
        assert_eq!(key.expires_at, now().plus_millis(90 * DAY_MS));
        assert_eq!((key.secret.kind, key.owner), (SecretKind::Personal, Some(bob.id)));
        let long = |life_ms| KeyWish { life_ms: Some(life_ms), ..wish(Role::Viewer) };
        assert!(personal(long(365 * DAY_MS), &bob, 0).is_ok());
        let nameless = KeyWish { name: DisplayName::default(), ..wish(Role::Viewer) };
        for (wish, keys, expected) in [
            (wish(Role::Viewer), 50, BadKey::TooMany),
            (wish(Role::Admin), 0, BadKey::Role),
            (wish(Role::Device), 0, BadKey::Role),
            (long(365 * DAY_MS + 1), 0, BadKey::Life),
            (long(0), 0, BadKey::Life),
            (long(-1), 0, BadKey::Life),
            (nameless, 0, BadKey::NoName),
        ] {
            assert_eq!(personal(wish, &bob, keys).unwrap_err(), expected);
        }
        assert_eq!(BadKey::TooMany.to_string(), "a user has 50 keys at most: revoke one first");
    }

    #[test]
    fn a_key_never_gives_more_than_its_owner_has() {
        let bob = user(2, "bob", Role::Operator);
        let key = personal(wish(Role::Operator), &bob, 0).unwrap();
        assert_eq!(key.rights(Some(&bob), now()).unwrap(), Rights::new(Role::Operator, &Scope::All));
        let narrowed = User { role: Role::Viewer, scope: Scope::Own(bob.id), ..bob.clone() };
        assert_eq!(key.rights(Some(&narrowed), now()).unwrap(), Rights::new(Role::Viewer, &narrowed.scope));
        let raised = User { role: Role::Admin, ..bob.clone() };
        assert_eq!(key.rights(Some(&raised), now()).unwrap().role, Role::Operator);
        let last = key.expires_at.plus_millis(-1);
        assert!(key.rights(Some(&bob), last).is_ok());
        assert_eq!(key.rights(Some(&bob), key.expires_at), Err(DeadKey::Expired));
        let disabled = User { disabled: true, ..bob };
        assert_eq!(key.rights(Some(&disabled), now()), Err(DeadKey::OwnerDisabled));
        assert_eq!(key.rights(None, now()), Err(DeadKey::OwnerGone));
        let eve = user(3, "eve", Role::Admin);
        assert_eq!(key.rights(Some(&eve), now()), Err(DeadKey::OwnerGone));
    }

    #[test]
    fn links_are_keys_of_kinds_of_their_own() {
        let (ann, bob) = (user(1, "ann", Role::Admin), user(2, "bob", Role::Operator));
        let random = [1; RANDOM_BYTES];
        let (invited, secret) = Key::invitation(wish(Role::Admin), Some(&ann), &random, now()).unwrap();
        assert_eq!(
            (secret.kind(), invited.owner, invited.role),
            (SecretKind::Invitation, Some(ann.id), Role::Admin)
        );
        let more = Key::invitation(wish(Role::Admin), Some(&bob), &random, now()).unwrap_err();
        assert_eq!(more, BadKey::Role);
        assert!(Key::invitation(wish(Role::Admin), None, &random, now()).is_ok());
        let (shared, secret) = Key::share(wish(Role::Admin), &bob, 49, &random, now()).unwrap();
        assert_eq!((secret.kind(), shared.role), (SecretKind::Share, Role::Viewer));
        assert_eq!(Key::share(wish(Role::Viewer), &bob, 50, &random, now()).unwrap_err(), BadKey::TooMany);
    }

    #[test]
    fn a_service_account_stands_for_itself() {
        let (key, secret) = Key::service(wish(Role::Viewer), &[1; RANDOM_BYTES], now()).unwrap();
        assert_eq!((key.secret.kind, secret.kind()), (SecretKind::Service, SecretKind::Service));
        assert!(key.is_of(&secret) && !key.is_of(&Secret::new(SecretKind::Service, &[2; RANDOM_BYTES])));
        assert_eq!(key.rights(None, now()).unwrap(), Rights::new(Role::Viewer, &Scope::All));
    }

    #[test]
    fn uses_are_written_once_a_minute() {
        let (here, there) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
        let mut key = personal(wish(Role::Viewer), &user(2, "bob", Role::Viewer), 0).unwrap();
        assert!(key.is_use_due(now(), here));
        key.last_used = Some((now(), here));
        for (after, address, expected) in [
            (0, here, false),
            (59_999, here, false),
            (60_000, here, true),
            (1, there, true),
            (-1, here, true),
        ] {
            assert_eq!(key.is_use_due(now().plus_millis(after), address), expected, "{after} {address}");
        }
    }
}
