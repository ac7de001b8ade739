//! The lifecycle of a device: from its registration to its retirement.

use serde::{Deserialize, Serialize};

/// A state in a device's lifecycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Lifecycle {
    /// Registered or claimed, and never heard.
    Provisioned,
    /// In service.
    Active,
    /// Out of service until a person ends it: neither heard nor driven.
    Suspended,
    /// Out of service for good: its history stays, its credentials are gone.
    Retired,
}

/// The transitions of the lifecycle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LifecycleTransition {
    /// The device was heard.
    Heard,
    /// A person activates it.
    Activate,
    Suspend,
    Retire,
}

impl Lifecycle {
    pub const ALL: [Self; 4] = [Self::Provisioned, Self::Active, Self::Suspended, Self::Retired];

    /// The state of a device that a person has set to `set`, if to any.
    #[must_use]
    pub fn of(set: Option<Self>, claimed: bool, heard: bool) -> Self {
        let begun = if claimed { Self::Provisioned } else { Self::Active }; // who registered itself has been heard
        let stands = set.unwrap_or(begun);
        if heard { stands.after(LifecycleTransition::Heard).unwrap_or(stands) } else { stands }
    }

    /// The state after a transition; none where that is not allowed.
    #[must_use]
    pub fn after(self, step: LifecycleTransition) -> Option<Self> {
        match (self, step) {
            (
                Self::Provisioned | Self::Active,
                LifecycleTransition::Heard | LifecycleTransition::Activate,
            )
            | (Self::Suspended, LifecycleTransition::Activate) => Some(Self::Active),
            (Self::Provisioned | Self::Active | Self::Suspended, LifecycleTransition::Suspend) => {
                Some(Self::Suspended)
            }
            (_, LifecycleTransition::Retire) => Some(Self::Retired),
            (Self::Suspended | Self::Retired, LifecycleTransition::Heard)
            | (Self::Retired, LifecycleTransition::Activate | LifecycleTransition::Suspend) => None,
        }
    }

    /// Is the device out of service: neither heard nor driven?
    #[must_use]
    pub fn is_out_of_service(self) -> bool {
        matches!(self, Self::Suspended | Self::Retired)
    }

    /// The word for it on the wire and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioned => "provisioned",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Retired => "retired",
        }
    }

    /// The state with this name.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

impl LifecycleTransition {
    /// The transition by which a person sets a device to this state; none where people cannot.
    #[must_use]
    pub fn to(state: Lifecycle) -> Option<Self> {
        match state {
            Lifecycle::Provisioned => None,
            Lifecycle::Active => Some(Self::Activate),
            Lifecycle::Suspended => Some(Self::Suspend),
            Lifecycle::Retired => Some(Self::Retire),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_move_from_every_state() {
        use Lifecycle::{Active, Provisioned, Retired, Suspended};
        let check = |from: Lifecycle, expected: [Option<Lifecycle>; 4]| {
            let moves = [
                LifecycleTransition::Heard,
                LifecycleTransition::Activate,
                LifecycleTransition::Suspend,
                LifecycleTransition::Retire,
            ];
            assert_eq!(moves.map(|step| from.after(step)), expected, "{from:?}");
        };
        //                   heard         activate      suspend          retire
        check(Provisioned, [Some(Active), Some(Active), Some(Suspended), Some(Retired)]);
        check(Active, [Some(Active), Some(Active), Some(Suspended), Some(Retired)]);
        check(Suspended, [None, Some(Active), Some(Suspended), Some(Retired)]);
        check(Retired, [None, None, None, Some(Retired)]);
    }

    #[test]
    fn an_unset_lifecycle_follows_from_events() {
        use Lifecycle::{Active, Provisioned, Retired, Suspended};
        let check = |set, claimed, heard, expected| {
            assert_eq!(Lifecycle::of(set, claimed, heard), expected, "{set:?} {claimed} {heard}");
        };
        check(None, false, false, Active);
        check(None, false, true, Active);
        check(None, true, false, Provisioned);
        check(None, true, true, Active);
        check(Some(Active), true, false, Active);
        for heard in [false, true] {
            check(Some(Suspended), true, heard, Suspended);
            check(Some(Retired), true, heard, Retired);
        }
    }

    #[test]
    fn words_are_read_back() {
        for state in Lifecycle::ALL {
            assert_eq!(Lifecycle::parse(state.as_str()), Some(state));
            assert_eq!(
                LifecycleTransition::to(state).and_then(|step| Lifecycle::Active.after(step)).is_some(),
                state != Lifecycle::Provisioned
            );
        }
        assert_eq!(Lifecycle::parse("Active"), None);
    }
}
