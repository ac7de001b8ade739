//! Notes of dialects: members of an event's patch that the twin carries under a dialect's name and does not
//! understand.

use super::translation::READINGS;
use super::{Patch, Profile, Properties};
use crate::event::TwinChange;
use crate::json::{Json, Object};

/// The property over which a note may stand, until it is reported anew.
const STANDS_OVER: &str = "power";
/// The member of a remembered note that says when that property had been reported, in ms.
const AT: &str = "at";

impl TwinChange {
    /// The note of this name.
    #[must_use]
    pub fn note(&self, name: &str) -> Option<&Object> {
        self.patch.notes().find_map(|(noted, note)| (noted == name).then_some(note))
    }
}

impl Profile {
    /// The texts and numbers of the dialect's notes, as the last of them had them.
    #[must_use]
    pub fn note(&self, name: &str) -> Option<&Object> {
        self.more.get(name).and_then(Json::as_object)
    }

    /// The note was made, and `power` was not reported since.
    #[must_use]
    pub fn note_stands(&self, name: &str, reported: &Properties) -> bool {
        self.note(name).is_some_and(|note| note.get(AT) == reported_at(reported).as_ref())
    }

    pub(super) fn apply_note(&mut self, name: &str, members: &Object, reported: &Properties) {
        let mut note = self.note(name).cloned().unwrap_or_default();
        let kept = members.iter().filter(|(_, value)| matches!(value, Json::String(_) | Json::Number(_)));
        for (member, value) in kept {
            note.insert(member, value.clone());
        }
        match reported_at(reported) {
            Some(at) => note.insert(AT, at),
            None => note.remove(AT),
        };
        self.more.insert(name, note.into());
    }
}

fn reported_at(reported: &Properties) -> Option<Json> {
    reported.get(STANDS_OVER).map(|property| property.at().floor().millis().into())
}

/// Is this the second event of one message, the readings being the first?
pub(super) fn came_with_readings(patch: &Patch) -> bool {
    patch.notes().any(|(_, note)| note.get(READINGS).is_some())
}
