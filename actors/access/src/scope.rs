//! Scopes: the devices for which a role counts.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use twinhub_domain::fleet::{GroupId, GroupTree};
use twinhub_domain::{DeviceId, IdPattern};

use crate::user::UserId;

/// A set of devices, by what they are or where they are. A device that is moved is in another scope at once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Every device, and whatever belongs to no device.
    All,
    /// The devices in these groups, and in the groups below them.
    Groups(BTreeSet<GroupId>),
    /// The devices that this user owns.
    Own(UserId),
    /// These devices.
    Devices(BTreeSet<DeviceId>),
    /// The devices whose ids fit one of these patterns, also those that there are not yet.
    Ids(Arc<[IdPattern]>),
    /// No device.
    #[default]
    Nothing,
}

/// The properties of a device that scopes ask for.
pub trait Place {
    fn device(&self) -> &DeviceId;

    /// The id of its owner; empty where it has none.
    fn owner(&self) -> &str;

    /// Its group and all groups above that.
    fn groups(&self) -> impl Iterator<Item = &str>;
}

/// The place of a device in the tree of groups.
#[derive(Clone, Copy, Debug)]
pub struct InTree<'a> {
    pub device: &'a DeviceId,
    /// Empty where it has none.
    pub owner: &'a str,
    /// Empty where it is in none.
    pub group: &'a str,
    pub tree: &'a GroupTree,
}

impl Place for InTree<'_> {
    fn device(&self) -> &DeviceId {
        self.device
    }

    fn owner(&self) -> &str {
        self.owner
    }

    fn groups(&self) -> impl Iterator<Item = &str> {
        (!self.group.is_empty()).then(|| self.tree.upward(self.group)).into_iter().flatten()
    }
}

impl Scope {
    /// Is the device in it?
    #[must_use]
    pub fn contains(&self, place: &impl Place) -> bool {
        match self {
            Self::All => true,
            Self::Groups(groups) => place.groups().any(|group| groups.contains(group)),
            Self::Own(user) => user.is_text(place.owner()),
            Self::Devices(devices) => devices.contains(place.device()),
            Self::Ids(patterns) => patterns.iter().any(|pattern| pattern.fits(place.device())),
            Self::Nothing => false,
        }
    }
}

/// Scopes that a device must be in, each of them: a key's beside its owner's. Which devices two subtrees have in common
/// changes with the tree, so the scopes stay side by side and are asked one by one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// The scopes of a caller who may do something everywhere.
    #[must_use]
    pub fn all() -> Self {
        Self::default()
    }

    /// The same, and in `scope` as well.
    #[must_use]
    pub fn narrowed_by(mut self, scope: &Scope) -> Self {
        if *scope == Scope::Nothing {
            return Self(vec![Scope::Nothing]);
        }
        let is_known = *scope == Scope::All || self.0.contains(scope) || self.0 == [Scope::Nothing];
        if !is_known {
            self.0.push(scope.clone());
        }
        self
    }

    /// Is the device in all of them?
    #[must_use]
    pub fn contain(&self, place: &impl Place) -> bool {
        self.0.iter().all(|scope| scope.contains(place))
    }

    /// Do they leave no device out?
    #[must_use]
    pub fn are_all(&self) -> bool {
        self.0.is_empty()
    }

    /// The scopes, none of them [`Scope::All`]: for a search, which turns each into a condition of its own.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }
}

impl From<&Scope> for Scopes {
    fn from(scope: &Scope) -> Self {
        Self::all().narrowed_by(scope)
    }
}

/// The most groups or devices of a scope.
pub const MOST_MEMBERS: usize = 1_000;
/// The most patterns of ids of a scope.
pub const MOST_PATTERNS: usize = 100;

/// The written form: `"all"`, `"nothing"`, or an object with one member.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Written {
    All,
    Nothing,
    Groups(Vec<String>),
    Own(UserId),
    Devices(BTreeSet<DeviceId>),
    Ids(Vec<IdPattern>),
}

impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match self {
            Self::All => Written::All,
            Self::Nothing => Written::Nothing,
            Self::Groups(groups) => Written::Groups(groups.iter().map(ToString::to_string).collect()),
            Self::Own(user) => Written::Own(*user),
            Self::Devices(devices) => Written::Devices(devices.clone()),
            Self::Ids(patterns) => Written::Ids(patterns.to_vec()),
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let too_many =
            || de::Error::custom(format!("a scope names {MOST_MEMBERS} groups or devices at most"));
        match Written::deserialize(deserializer)? {
            Written::All => Ok(Self::All),
            Written::Nothing => Ok(Self::Nothing),
            Written::Own(user) => Ok(Self::Own(user)),
            Written::Groups(groups) if groups.len() > MOST_MEMBERS => Err(too_many()),
            Written::Groups(groups) => {
                let kept = |text: &String| {
                    GroupId::as_stored(text)
                        .ok_or_else(|| de::Error::custom(format!("`{text}` is no group's id")))
                };
                Ok(Self::Groups(groups.iter().map(kept).collect::<Result<_, _>>()?))
            }
            Written::Devices(devices) if devices.len() > MOST_MEMBERS => Err(too_many()),
            Written::Devices(devices) => Ok(Self::Devices(devices)),
            Written::Ids(patterns) if patterns.len() > MOST_PATTERNS => {
                Err(de::Error::custom(format!("a scope names {MOST_PATTERNS} patterns of ids at most")))
            }
            Written::Ids(patterns) => Ok(Self::Ids(patterns.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use twinhub_domain::Timestamp;
    use twinhub_domain::fleet::Group;
    use uuid::Uuid;

    use super::*;

    fn group(id: &str) -> GroupId {
        GroupId::parse(id).unwrap()
    }

    fn device(id: &str) -> DeviceId {
        DeviceId::parse(id).unwrap()
    }

    fn user(number: u128) -> UserId {
        UserId(Uuid::from_u128(number))
    }

    /// `plant` with `hall` in it, `line` in that, and `office` beside.
    fn tree() -> GroupTree {
        let made = |id: &str, parent: Option<&str>| Group {
            parent_group: parent.map(group),
            ..Group::new(group(id), id, Timestamp::default())
        };
        GroupTree::new([
            made("plant", None),
            made("hall", Some("plant")),
            made("line", Some("hall")),
            made("office", None),
        ])
    }

    fn read(text: &str) -> Scope {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_device_is_in_scope_by_its_place() {
        let (tree, pump, ann) = (tree(), device("pump"), user(0xabc).to_string());
        let check = |scope: &str, group: &str, owner: &str, expected: bool| {
            let place = InTree { device: &pump, owner, group, tree: &tree };
            let scope = read(scope);
            assert_eq!(scope.contains(&place), expected, "{scope:?} {group} {owner}");
            assert_eq!(Scopes::from(&scope).contain(&place), expected);
        };
        check(r#""all""#, "", "", true);
        check(r#""nothing""#, "plant", "", false);
        check(r#"{"groups": ["plant"]}"#, "plant", "", true);
        check(r#"{"groups": ["plant"]}"#, "line", "", true);
        check(r#"{"groups": ["hall", "office"]}"#, "line", "", true);
        check(r#"{"groups": ["hall"]}"#, "plant", "", false);
        check(r#"{"groups": ["plant"]}"#, "office", "", false);
        check(r#"{"groups": ["plant"]}"#, "", "", false);
        check(r#"{"groups": ["gone"]}"#, "gone", "", true);
        check(r#"{"groups": []}"#, "plant", "", false);
        let own = format!(r#"{{"own": "{ann}"}}"#);
        check(&own, "plant", &ann, true);
        check(&own, "plant", &ann.to_uppercase(), false);
        check(&own, "plant", &user(2).to_string(), false);
        check(&own, "plant", "", false);
        check(r#"{"devices": ["fan", "pump"]}"#, "", "", true);
        check(r#"{"devices": ["fan"]}"#, "", "", false);
        check(r#"{"ids": ["fan", "pu*"]}"#, "", "", true);
        check(r#"{"ids": ["pum?", "x"]}"#, "", "", true);
        check(r#"{"ids": ["pump-*"]}"#, "", "", false);
        check(r#"{"ids": []}"#, "", "", false);
    }

    #[test]
    fn a_scope_that_makes_no_sense_is_refused() {
        let many: Vec<String> = (0..=MOST_MEMBERS).map(|n| format!("\"d{n}\"")).collect();
        for wrong in [
            r#""everything""#.to_owned(),
            r#"{"groups": [""]}"#.to_owned(),
            r#"{"groups": "plant"}"#.to_owned(),
            r#"{"devices": ["a b"]}"#.to_owned(),
            r#"{"own": "ann"}"#.to_owned(),
            r#"{"ids": ["a/*"]}"#.to_owned(),
            format!(r#"{{"ids": [{}]}}"#, many[..=MOST_PATTERNS].join(",")),
            r#"{"groups": ["a"], "devices": []}"#.to_owned(),
            "{}".to_owned(),
            "null".to_owned(),
            format!(r#"{{"groups": [{}]}}"#, many.join(",")),
            format!(r#"{{"devices": [{}]}}"#, many.join(",")),
        ] {
            assert!(serde_json::from_str::<Scope>(&wrong).is_err(), "{wrong}");
        }
    }

    fn scopes() -> impl Strategy<Value = Scope> {
        let groups = prop::sample::subsequence(vec!["plant", "hall", "line", "office"], 0..4);
        let devices = prop::sample::subsequence(vec!["pump", "fan", "lamp"], 0..3);
        prop_oneof![
            Just(Scope::All),
            Just(Scope::Nothing),
            groups.prop_map(|ids| Scope::Groups(ids.into_iter().map(group).collect())),
            devices.prop_map(|ids| Scope::Devices(ids.into_iter().map(device).collect())),
            prop::sample::subsequence(vec!["p*", "*", "fa?", "lamp"], 0..3).prop_map(|texts| {
                Scope::Ids(texts.into_iter().map(|text| IdPattern::parse(text).unwrap()).collect())
            }),
            (1..3_u128).prop_map(|number| Scope::Own(user(number))),
        ]
    }

    proptest! {
        /// A device is in narrowed scopes if, and only if, it is in each; so nobody gains by a scope that is added.
        #[test]
        fn narrowing_takes_away_alone(
            parts in prop::collection::vec(scopes(), 0..5),
            id in prop::sample::select(vec!["pump", "fan", "lamp"]),
            within in prop::sample::select(vec!["", "plant", "hall", "line", "office"]),
            owner in 0..3_u128,
        ) {
            let (tree, device, owner) = (tree(), device(id), user(owner).to_string());
            let place = InTree { device: &device, owner: &owner, group: within, tree: &tree };
            let all = parts.iter().fold(Scopes::all(), Scopes::narrowed_by);
            prop_assert_eq!(all.contain(&place), parts.iter().all(|scope| scope.contains(&place)));
            prop_assert_eq!(all.are_all(), parts.iter().all(|scope| *scope == Scope::All));
            prop_assert!(all.iter().all(|scope| *scope != Scope::All));
        }

        #[test]
        fn a_scope_is_read_as_it_was_written(scope in scopes()) {
            let text = serde_json::to_string(&scope).unwrap();
            prop_assert_eq!(read(&text), scope);
        }
    }
}
