//! Notes of dialects: members of an event's patch that the twin carries under a dialect's name and does not
//! understand.

use super::translation::READINGS;
use super::{Patch, Twin};
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

impl Twin {
    /// The texts and numbers of the dialect's notes, as they were said last.
    #[must_use]
    pub fn note(&self, name: &str) -> Option<&Object> {
        self.profile.more.get(name).and_then(Json::as_object)
    }

    /// The note was made, and `power` was not reported since.
    #[must_use]
    pub fn note_stands(&self, name: &str) -> bool {
        self.note(name).is_some_and(|note| note.get(AT) == self.stood_over().as_ref())
    }

    pub(super) fn redo_note(&mut self, name: &str, said: &Object) {
        let mut note = self.note(name).cloned().unwrap_or_default();
        let kept = said.iter().filter(|(_, value)| matches!(value, Json::String(_) | Json::Number(_)));
        for (member, value) in kept {
            note.insert(member, value.clone());
        }
        match self.stood_over() {
            Some(at) => note.insert(AT, at),
            None => note.remove(AT),
        };
        self.profile.more.insert(name, note.into());
    }

    fn stood_over(&self) -> Option<Json> {
        self.reported.get(STANDS_OVER).map(|property| property.at.millis().into())
    }
}

/// Is this the second event of one message, the readings being the first?
pub(super) fn came_with_readings(patch: &Patch) -> bool {
    patch.notes().any(|(_, note)| note.get(READINGS).is_some())
}
