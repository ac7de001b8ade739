//! By what a twin knows a message that has been here before.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::reading::is_untimed;

/// Identities of messages that were taken in.
///
/// A twin remembers the newest few of those that carry their own time, and the time up to which it has let
/// others go. A message from after that time which it does not remember is a new one, in whatever order
/// messages came; of one from before, the store knows. So memory is bounded, and correctness is not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Repeats {
    /// In no order, each once. By the millisecond of its time: what is finer is in the identity, and of two of one
    /// millisecond it makes no difference which is forgotten first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    timed: Vec<(Timestamp, u64)>,
    /// The latest own time of those that were let go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forgotten_to: Option<Timestamp>,
    /// Messages that carried an id and no time, the newest last. There is no time to look them up by, so the twin alone
    /// can know them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[expect(clippy::box_collection, reason = "most twins have none: a pointer each instead of three words")]
    untimed: Option<Box<Vec<u64>>>,
    /// Messages whose time is not believed and that had no id: when they came, the newest last. A clock that begins
    /// anew with every start says the same time again of another reading, so they are known for a while only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[expect(clippy::box_collection, reason = "as above")]
    unbelieved: Option<Box<Vec<(Timestamp, u64)>>>,
}

/// Whether a message has been here before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    No,
    Yes,
    /// It is from before what the twin remembers: the store knows.
    AskStore,
}

/// A repeat is nearly always of the last message or two, and connections overtake each other by a few.
const MOST_TIMED: usize = 16;
/// As many as a broker may have under way to us at once.
const MOST_UNTIMED: usize = 1_024;
/// A broker or a device that got no answer sends again within this time. Who wakes up with its clock at zero does so
/// less often, as a rule.
const UNBELIEVED_FOR_MS: i64 = 10 * 60_000;
/// A time that is further ahead is of a clock that is believed no more: its message is the first to be forgotten.
const FORGOTTEN_AHEAD_MS: i64 = 366 * 86_400_000;

impl Repeats {
    pub(super) fn repeat(&self, identity: u64, at: Option<Timestamp>) -> Repeat {
        let Some(at) = at else {
            let is_known = self.untimed.as_deref().is_some_and(|known| known.contains(&identity));
            return if is_known { Repeat::Yes } else { Repeat::No };
        };
        if self.timed.iter().any(|(_, known)| *known == identity) {
            Repeat::Yes
        } else if self.forgotten_to.is_some_and(|forgotten| at <= forgotten) {
            Repeat::AskStore
        } else {
            Repeat::No
        }
    }

    /// The same for one whose time is not believed.
    pub(super) fn of_unbelieved(&self, identity: u64, now: Timestamp) -> Repeat {
        if is_untimed(identity) {
            return self.repeat(identity, None);
        }
        let known = self.unbelieved.as_deref().map_or(&[][..], Vec::as_slice);
        let is_known = known.iter().any(|(came, known)| *known == identity && is_recent(*came, now));
        if is_known { Repeat::Yes } else { Repeat::No }
    }

    pub(super) fn remember_unbelieved(&mut self, identity: u64, came: Timestamp) {
        if is_untimed(identity) {
            return self.remember(identity, came, came);
        }
        let known = self.unbelieved.get_or_insert_default();
        known.retain(|(before, _)| is_recent(*before, came));
        if known.len() >= MOST_UNTIMED {
            known.remove(0);
        }
        known.push((came, identity));
    }

    pub(super) fn remember(&mut self, identity: u64, at: Timestamp, received: Timestamp) {
        if is_untimed(identity) {
            let known = self.untimed.get_or_insert_default();
            if known.len() >= MOST_UNTIMED {
                known.remove(0);
            }
            known.push(identity);
            return;
        }
        if self.timed.len() < MOST_TIMED {
            self.timed.reserve_exact(1); // small twins stay exactly as large as they are
            self.timed.push((at, identity));
            return;
        }
        self.leave_future(at, received);
        // The one with the earliest time goes, be it the new one.
        let earliest = (0..self.timed.len()).min_by_key(|index| self.timed[*index].0).unwrap_or_default();
        let gone = if self.timed[earliest].0 < at {
            std::mem::replace(&mut self.timed[earliest], (at, identity)).0
        } else {
            at
        };
        self.forgotten_to = self.forgotten_to.max(Some(gone));
    }

    /// A clock that was believed once, and is not any more, has left times that lie years ahead: with them there,
    /// every message of now would be from before what is remembered, and the store asked for each.
    fn leave_future(&mut self, at: Timestamp, received: Timestamp) {
        let horizon = received.plus_millis(FORGOTTEN_AHEAD_MS);
        if at <= horizon && self.forgotten_to.is_some_and(|forgotten| forgotten > horizon) {
            self.forgotten_to = Some(horizon);
        }
        if at <= horizon {
            let first = self.timed.iter_mut().find(|(known, _)| *known > horizon);
            if let Some(first) = first {
                first.0 = Timestamp::from_millis(i64::MIN); // the next to go
            }
        }
    }
}

fn is_recent(came: Timestamp, now: Timestamp) -> bool {
    now.millis().abs_diff(came.millis()) < UNBELIEVED_FOR_MS.unsigned_abs()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn at(second: u16) -> Timestamp {
        Timestamp::from_millis(i64::from(second) * 1_000)
    }

    /// Even ones: the lowest bit says that there was no time.
    fn identity(second: u16) -> u64 {
        u64::from(second) << 1
    }

    #[test]
    fn messages_that_overtake_each_other_are_new() {
        let mut repeats = Repeats::default();
        for second in (0..1_000).map(|turn: u16| turn ^ 7) {
            assert_eq!(repeats.repeat(identity(second), Some(at(second))), Repeat::No, "{second}");
            repeats.remember(identity(second), at(second), at(second));
            assert_eq!(repeats.repeat(identity(second), Some(at(second))), Repeat::Yes, "{second}");
        }
        assert_eq!(repeats.repeat(identity(5), Some(at(5))), Repeat::AskStore);
        assert_eq!(repeats.timed.len(), MOST_TIMED);
    }

    #[test]
    fn times_that_lie_years_ahead_are_let_go() {
        let years = |n: i64| Timestamp::from_millis(n * 366 * 86_400_000);
        let mut repeats = Repeats::default();
        for n in 0..20 {
            repeats.remember(identity(n), years(10).plus_millis(i64::from(n)), at(0));
        }
        for n in 100..120 {
            repeats.remember(identity(n), at(n), at(n));
        }
        assert!(repeats.forgotten_to <= Some(years(1).plus_millis(200_000)));
        assert_eq!(repeats.repeat(identity(119), Some(at(119))), Repeat::Yes);
        assert_eq!(repeats.repeat(identity(7), Some(years(2))), Repeat::No);
    }

    proptest! {
        /// A message that was here is never called new, and one that was not is never called a repeat.
        #[test]
        fn it_never_errs(messages in proptest::collection::vec((0..200_u16, any::<bool>()), 0..400)) {
            let (mut repeats, mut taken) = (Repeats::default(), BTreeSet::new());
            for (second, timed) in messages {
                let identity = identity(second) | u64::from(!timed);
                let time = timed.then(|| at(second));
                match repeats.repeat(identity, time) {
                    Repeat::No => prop_assert!(!taken.contains(&identity)),
                    Repeat::Yes => prop_assert!(taken.contains(&identity)),
                    Repeat::AskStore => prop_assert!(timed),
                }
                if taken.insert(identity) {
                    repeats.remember(identity, at(second), at(second));
                }
            }
        }
    }
}
