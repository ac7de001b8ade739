//! Keys that are bound to one purpose: those with which devices register themselves, those of rules' webhooks, and those of
//! bridges.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use twinhub_domain::fleet::GroupId;
use twinhub_domain::{DeviceId, IdPattern, Timestamp};

use crate::bridge::Bridge;
use crate::name::DisplayName;
use crate::secret::{KeptSecret, NO_HUB_KEY, RANDOM_BYTES, Secret, SecretKind};
use crate::user::UserId;

/// A key that is bound to one purpose.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundKey {
    pub secret: KeptSecret,
    pub name: DisplayName,
    /// The user who made it, with whom it goes; none: nobody who could be removed.
    pub owner: Option<UserId>,
    pub purpose: KeyPurpose,
    pub created_at: Timestamp,
    /// None: it does not expire.
    pub expires_at: Option<Timestamp>,
    /// The number of devices that have registered with it.
    pub uses: u64,
    /// The most devices that may; none: any number.
    pub most_uses: Option<u64>,
    pub last_used: Option<(Timestamp, IpAddr)>,
}

/// The purpose of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyPurpose {
    /// Devices register themselves.
    Provisioning(Provisioning),
    /// Something out there sets off the rules with the webhook of this name.
    Webhook(Box<str>),
    /// A program speaks MQTT on topics of its own.
    Bridge(Bridge),
}

/// The devices that may register themselves with a key, and their place.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Provisioning {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template_id: Option<Box<str>>,
    #[serde(skip_serializing_if = "Option::is_none", with = "stored_group")]
    pub group_id: Option<GroupId>,
    /// The ids that they may have; none: any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ids: Vec<IdPattern>,
}

/// A group by its id, as it was stored.
mod stored_group {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use twinhub_domain::fleet::GroupId;

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub fn serialize<S: Serializer>(group: &Option<GroupId>, serializer: S) -> Result<S::Ok, S::Error> {
        group.as_ref().map(ToString::to_string).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<GroupId>, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.and_then(|id| GroupId::as_stored(&id)))
    }
}

/// A request for such a key.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundKeyWish {
    pub name: DisplayName,
    pub owner: Option<UserId>,
    pub purpose: KeyPurpose,
    pub expires_at: Option<Timestamp>,
    pub most_uses: Option<u64>,
}

/// Reasons not to make such a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBoundKey {
    #[error("a key has a name, by which it is told from others")]
    NoName,
    #[error("the end lies in the past")]
    Past,
    #[error("the number of uses is 1 at least")]
    NoUses,
    #[error("a key has {} patterns of ids at most", BoundKey::MOST_PATTERNS)]
    TooManyPatterns,
    #[error("there are {} keys of this kind at most: revoke one first", BoundKey::MOST)]
    TooMany,
}

/// Reasons for which a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnusableKey {
    #[error("this key has expired")]
    Expired,
    #[error("this key was used as often as it may be")]
    UsedUp,
    #[error("this key is not for devices with such an id")]
    OtherId,
}

impl BoundKey {
    /// The most patterns of a key.
    pub const MOST_PATTERNS: usize = 100;
    /// The most keys of a kind.
    pub const MOST: usize = 1_000;

    /// A key, and its secret, which is shown once.
    ///
    /// # Errors
    /// It makes no sense.
    pub fn new(
        wish: BoundKeyWish,
        random: &[u8; RANDOM_BYTES],
        now: Timestamp,
    ) -> Result<(Self, Secret), BadBoundKey> {
        let BoundKeyWish { name, owner, purpose, expires_at, most_uses } = wish;
        if name.as_str().is_empty() {
            return Err(BadBoundKey::NoName);
        }
        if expires_at.is_some_and(|end| end <= now) {
            return Err(BadBoundKey::Past);
        }
        if most_uses == Some(0) {
            return Err(BadBoundKey::NoUses);
        }
        if let KeyPurpose::Provisioning(provisioning) = &purpose
            && provisioning.ids.len() > Self::MOST_PATTERNS
        {
            return Err(BadBoundKey::TooManyPatterns);
        }
        let secret = Secret::new(purpose.kind(), random);
        let kept = secret.kept(NO_HUB_KEY);
        let (created_at, uses, last_used) = (now, 0, None);
        let key =
            Self { secret: kept, name, owner, purpose, created_at, expires_at, uses, most_uses, last_used };
        Ok((key, secret))
    }

    /// Is `secret` the one of this key?
    #[must_use]
    pub fn is_of(&self, secret: &Secret) -> bool {
        self.secret.is_of(secret, NO_HUB_KEY)
    }

    /// Is its time over?
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Looks whether `device` may register itself with it at `now`.
    ///
    /// # Errors
    /// It may not.
    pub fn check_use(&self, device: &DeviceId, now: Timestamp) -> Result<(), UnusableKey> {
        self.check_device(device, now)?;
        match self.most_uses.is_some_and(|most| self.uses >= most) {
            true => Err(UnusableKey::UsedUp),
            false => Ok(()),
        }
    }

    /// Looks whether it is for `device` at `now`, however often it was used: one that has registered itself with it may
    /// ask again.
    ///
    /// # Errors
    /// It is not.
    pub fn check_device(&self, device: &DeviceId, now: Timestamp) -> Result<(), UnusableKey> {
        if self.is_over(now) {
            return Err(UnusableKey::Expired);
        }
        match &self.purpose {
            KeyPurpose::Provisioning(provisioning) if provisioning.allows(device) => Ok(()),
            _ => Err(UnusableKey::OtherId),
        }
    }
}

impl KeyPurpose {
    /// The kind of its secret.
    #[must_use]
    pub fn kind(&self) -> SecretKind {
        match self {
            Self::Provisioning(_) => SecretKind::Provisioning,
            Self::Webhook(_) => SecretKind::Webhook,
            Self::Bridge(_) => SecretKind::Bridge,
        }
    }
}

impl Provisioning {
    /// May a device have this id?
    #[must_use]
    pub fn allows(&self, device: &DeviceId) -> bool {
        self.ids.is_empty() || self.ids.iter().any(|pattern| pattern.fits(device))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_767_268_800_000 + ms)
    }

    fn wish(ids: &[&str]) -> BoundKeyWish {
        let ids = ids.iter().map(|text| IdPattern::parse(text).unwrap()).collect();
        BoundKeyWish {
            name: DisplayName::parse("line 3").unwrap(),
            owner: None,
            purpose: KeyPurpose::Provisioning(Provisioning { ids, ..Provisioning::default() }),
            expires_at: Some(at(1_000)),
            most_uses: Some(2),
        }
    }

    #[test]
    fn a_key_has_bounds() {
        let device = |id| DeviceId::parse(id).unwrap();
        let (mut key, secret) = BoundKey::new(wish(&["p-*"]), &[1; RANDOM_BYTES], at(0)).unwrap();
        assert_eq!(secret.kind(), SecretKind::Provisioning);
        assert!(key.is_of(&secret));
        assert_eq!(key.check_use(&device("p-1"), at(0)), Ok(()));
        assert_eq!(key.check_use(&device("q-1"), at(0)), Err(UnusableKey::OtherId));
        assert_eq!(key.check_use(&device("p-1"), at(1_000)), Err(UnusableKey::Expired));
        key.uses = 2;
        assert_eq!(key.check_use(&device("p-1"), at(0)), Err(UnusableKey::UsedUp));
        assert_eq!(key.check_device(&device("p-1"), at(0)), Ok(()), "one of the two may ask again");
        assert_eq!(key.check_device(&device("q-1"), at(0)), Err(UnusableKey::OtherId));
        assert_eq!(key.check_device(&device("p-1"), at(1_000)), Err(UnusableKey::Expired));
        let (free, _) = BoundKey::new(
            BoundKeyWish { expires_at: None, most_uses: None, ..wish(&[]) },
            &[1; RANDOM_BYTES],
            at(0),
        )
        .unwrap();
        assert_eq!(free.check_use(&device("q-1"), at(i64::from(u32::MAX))), Ok(()));
        let purpose = KeyPurpose::Webhook("door".into());
        let (webhook, secret) =
            BoundKey::new(BoundKeyWish { purpose, ..wish(&[]) }, &[1; RANDOM_BYTES], at(0)).unwrap();
        assert_eq!(secret.kind(), SecretKind::Webhook);
        assert_eq!(webhook.check_use(&device("p-1"), at(0)), Err(UnusableKey::OtherId));
    }

    #[test]
    fn wishes_that_make_no_sense_are_refused() {
        let nameless = BoundKeyWish { name: DisplayName::default(), ..wish(&[]) };
        let past = BoundKeyWish { expires_at: Some(at(0)), ..wish(&[]) };
        let useless = BoundKeyWish { most_uses: Some(0), ..wish(&[]) };
        let many = wish(&vec!["a*"; BoundKey::MOST_PATTERNS + 1]);
        for (wish, expected) in [
            (nameless, BadBoundKey::NoName),
            (past, BadBoundKey::Past),
            (useless, BadBoundKey::NoUses),
            (many, BadBoundKey::TooManyPatterns),
        ] {
            assert_eq!(BoundKey::new(wish, &[1; RANDOM_BYTES], at(0)).unwrap_err(), expected);
        }
    }

    #[test]
    fn a_purpose_is_read_as_it_was_written() {
        let whole = Provisioning {
            template_id: Some("pump".into()),
            group_id: GroupId::as_stored("hall"),
            ids: vec![IdPattern::parse("p-*").unwrap()],
        };
        for purpose in [
            KeyPurpose::Provisioning(whole),
            KeyPurpose::Provisioning(Provisioning::default()),
            KeyPurpose::Webhook("door".into()),
            KeyPurpose::Bridge(Bridge {
                publish: vec!["z/#".into()],
                subscribe: vec!["z/+/set".into()],
                hub_topics: true,
                broker_hash: "$7$101$a$b".into(),
            }),
        ] {
            let text = serde_json::to_string(&purpose).unwrap();
            assert_eq!(serde_json::from_str::<KeyPurpose>(&text).unwrap(), purpose, "{text}");
        }
    }
}
