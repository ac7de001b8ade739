//! Reach: scopes with the tree of groups as it is at one moment, to be asked of many devices, and by stores.

use std::collections::BTreeSet;
use std::sync::Arc;

use twinhub_domain::fleet::{Group, GroupTree};
use twinhub_domain::{DeviceId, IdPattern};

use crate::scope::{Scope, Scopes};

/// The devices that a caller reaches. By default all there are: who confines a caller makes another of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach(
    /// A device must be in each of these parts; none: no device is left out.
    Option<Arc<[ReachPart]>>,
);

/// One of the sets of devices that a device must be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReachPart {
    /// The devices that stand in these groups, all of which are named.
    Groups(BTreeSet<Box<str>>),
    /// The devices of this owner.
    Owner(Box<str>),
    /// These devices.
    Devices(BTreeSet<DeviceId>),
    /// The devices whose ids fit one of these patterns.
    Ids(Arc<[IdPattern]>),
    /// No device.
    Nothing,
}

impl Reach {
    /// All devices, and whatever belongs to no device.
    #[must_use]
    pub fn everywhere() -> Self {
        Self::default()
    }

    /// The reach of these scopes in `tree`.
    #[must_use]
    pub fn of(scopes: &Scopes, tree: &GroupTree) -> Self {
        if scopes.are_all() {
            return Self::everywhere();
        }
        let part = |scope: &Scope| match scope {
            Scope::All => None,
            Scope::Groups(groups) => {
                let below = groups.iter().flat_map(|group| tree.subtree(group.as_str()));
                Some(ReachPart::Groups(below.map(|group| group.as_str().into()).collect()))
            }
            Scope::Own(user) => Some(ReachPart::Owner(user.to_string().into())),
            Scope::Devices(devices) => Some(ReachPart::Devices(devices.clone())),
            Scope::Ids(patterns) => Some(ReachPart::Ids(Arc::clone(patterns))),
            Scope::Nothing => Some(ReachPart::Nothing),
        };
        Self(Some(scopes.iter().filter_map(part).collect()))
    }

    /// Does it leave no device out?
    #[must_use]
    pub fn is_everywhere(&self) -> bool {
        self.0.is_none()
    }

    /// The sets that a device must be in.
    #[must_use]
    pub fn parts(&self) -> &[ReachPart] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Is a device of this owner in this group within it? Both are empty where there is none.
    #[must_use]
    pub fn contains(&self, device: &DeviceId, owner: &str, group: &str) -> bool {
        self.parts().iter().all(|part| match part {
            ReachPart::Groups(groups) => groups.contains(group),
            ReachPart::Owner(user) => **user == *owner,
            ReachPart::Devices(devices) => devices.contains(device),
            ReachPart::Ids(patterns) => patterns.iter().any(|pattern| pattern.fits(device)),
            ReachPart::Nothing => false,
        })
    }

    /// Is every device that stands in this group, or may come to stand in it, within it?
    #[must_use]
    pub fn contains_group(&self, group: &str) -> bool {
        self.parts().iter().all(|part| matches!(part, ReachPart::Groups(groups) if groups.contains(group)))
    }

    /// Is the group within it? It is, too, for the user whose group it is, who sees of the devices in it their own.
    #[must_use]
    pub fn has_group(&self, group: &Group) -> bool {
        self.parts().iter().all(|part| match part {
            ReachPart::Groups(groups) => groups.contains(group.id.as_str()),
            ReachPart::Owner(user) => **user == *group.owner,
            ReachPart::Devices(_) | ReachPart::Ids(_) | ReachPart::Nothing => false,
        })
    }

    /// The part of a tree of groups that is within it: groups right under those beyond are at the top.
    #[must_use]
    pub fn part_of(&self, tree: Arc<GroupTree>) -> Arc<GroupTree> {
        match self.is_everywhere() {
            true => tree,
            false => Arc::new(
                tree.part(|group| tree.get(group.as_str()).is_some_and(|group| self.has_group(group))),
            ),
        }
    }

    /// Is it all that one user owns, and not a part of that?
    #[must_use]
    pub fn is_owners(&self) -> bool {
        matches!(self.parts(), [ReachPart::Owner(_)])
    }

    /// The owner that a device must have to be within it.
    #[must_use]
    pub fn owner(&self) -> Option<&str> {
        self.parts()
            .iter()
            .find_map(|part| if let ReachPart::Owner(user) = part { Some(&**user) } else { None })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use twinhub_domain::Timestamp;
    use twinhub_domain::fleet::GroupId;
    use uuid::Uuid;

    use super::*;
    use crate::UserId;
    use crate::scope::InTree;

    const GROUPS: [&str; 6] = ["a", "b", "c", "d", "e", "gone"];

    /// A random tree of the groups `a` to `e`: each at the top, or under one before it.
    fn trees() -> impl Strategy<Value = GroupTree> {
        prop::collection::vec(0..6_usize, 5).prop_map(|parents| {
            let id = |place: usize| GroupId::parse(GROUPS[place]).unwrap();
            let made = |(place, parent): (usize, usize)| Group {
                parent_group: (parent < place).then(|| id(parent)),
                ..Group::new(id(place), GROUPS[place], Timestamp::default())
            };
            GroupTree::new(parents.into_iter().enumerate().map(made))
        })
    }

    fn scopes() -> impl Strategy<Value = Scope> {
        let groups = prop::sample::subsequence(GROUPS.to_vec(), 0..4);
        let devices = prop::sample::subsequence(vec!["pump", "fan"], 0..3);
        prop_oneof![
            Just(Scope::All),
            Just(Scope::Nothing),
            groups.prop_map(|ids| Scope::Groups(
                ids.into_iter().map(|id| GroupId::parse(id).unwrap()).collect()
            )),
            Just(Scope::Ids(Arc::new([IdPattern::parse("?a*").unwrap()]))),
            devices.prop_map(|ids| Scope::Devices(
                ids.into_iter().map(|id| DeviceId::parse(id).unwrap()).collect()
            )),
            (1..3_u128).prop_map(|number| Scope::Own(UserId(Uuid::from_u128(number)))),
        ]
    }

    #[test]
    fn a_group_is_within_reach_of_its_owner_alone() {
        let (ann, bob) = (UserId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        let hall = Group {
            owner: ann.to_string().into(),
            ..Group::new(GroupId::parse("hall").unwrap(), "hall", Timestamp::default())
        };
        let free = Group { owner: "".into(), ..hall.clone() };
        let has = |scopes: &[Scope], group: &Group| {
            let scopes = scopes.iter().fold(Scopes::all(), Scopes::narrowed_by);
            Reach::of(&scopes, &GroupTree::new([group.clone()])).has_group(group)
        };
        let in_hall = Scope::Groups([hall.id.clone()].into());
        assert!(
            has(&[], &hall) && has(&[Scope::Own(ann)], &hall) && has(std::slice::from_ref(&in_hall), &free)
        );
        assert!(!has(&[Scope::Own(bob)], &hall) && !has(&[Scope::Own(ann)], &free));
        assert!(has(&[Scope::Own(ann), in_hall.clone()], &hall) && !has(&[Scope::Own(bob), in_hall], &hall));
        assert!(!has(&[Scope::Own(ann), Scope::Nothing], &hall));
    }

    proptest! {
        /// It contains what the scopes contain, in every tree.
        #[test]
        fn says_what_the_scopes_say(
            tree in trees(),
            parts in prop::collection::vec(scopes(), 0..4),
            id in prop::sample::select(vec!["pump", "fan", "lamp"]),
            group in prop::sample::select([&GROUPS[..], &[""]].concat()),
            owner in 0..3_u128,
        ) {
            let scopes = parts.iter().fold(Scopes::all(), Scopes::narrowed_by);
            let (device, owner) = (DeviceId::parse(id).unwrap(), UserId(Uuid::from_u128(owner)).to_string());
            let reach = Reach::of(&scopes, &tree);
            let place = InTree { device: &device, owner: &owner, group, tree: &tree };
            prop_assert_eq!(reach.contains(&device, &owner, group), scopes.contain(&place));
            prop_assert_eq!(reach.is_everywhere(), scopes.are_all());
            if reach.contains_group(group) {
                prop_assert!(reach.contains(&device, &owner, group));
            }
        }
    }
}
