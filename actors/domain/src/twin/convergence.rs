//! Convergence: which desired properties the device has not come to, since when, and why.

use serde::{Deserialize, Serialize};

use super::delta::{Comparison, Missing};
use super::path::{heads, inside};
use super::{Properties, Twin};
use crate::clock::Timestamp;
use crate::json::{Json, Object};

/// The notes on the desired properties that the device has not reported: in the order of their names, each once. One
/// that it has reported has no note.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Unmet(Vec<Note>);

/// A desired property that the device has not reported.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Note {
    pub name: Box<str>,
    /// Since when it is so.
    pub since: Timestamp,
    /// When the device was last told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sent_at: Option<Timestamp>,
    /// When the device said that it cannot, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<(Timestamp, Box<str>)>,
}

/// The device's progress with a desired property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncState {
    /// It is to be told when it is there.
    Pending,
    /// It was told.
    Sent,
    /// It reports the value.
    Applied,
    /// It says that it cannot.
    Failed,
    /// It was told long ago, and neither reports the value nor says why.
    Stale,
}

/// A device that was told and has not obeyed for this long will hardly do so by itself.
pub const STALE_AFTER_MS: i64 = 10 * 60_000;

impl Unmet {
    /// The notes.
    #[must_use]
    pub fn notes(&self) -> &[Note] {
        &self.0
    }

    /// The note on the property called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Note> {
        // Not one after the other: it is asked of each property whenever one changes.
        self.0.binary_search_by(|note| (*note.name).cmp(name)).ok().map(|index| &self.0[index])
    }

    /// Since when the device has not come to all that is desired.
    #[must_use]
    pub fn since(&self) -> Option<Timestamp> {
        self.0.iter().map(|note| note.since).min()
    }

    /// The notes after a change: those still unmet stay, new ones begin now, `anew` ones begin again.
    fn after(
        &self,
        desired: &Properties,
        reported: Comparison<'_>,
        anew: Option<&Object>,
        now: Timestamp,
    ) -> Self {
        let unmet = desired.iter().filter(|wanted| reported.missing(wanted) != Missing::Nothing);
        let is_anew = |name: &str| anew.is_some_and(|patch| patch.get(name).is_some());
        let notes = unmet.map(|wanted| match self.get(&wanted.name) {
            Some(note) if !is_anew(&wanted.name) => note.clone(),
            _ => Note { name: wanted.name.clone(), since: now, sent_at: None, failed: None },
        });
        Self(notes.collect())
    }

    /// Nothing is dated after `now`.
    pub(super) fn no_later_than(&mut self, now: Timestamp) {
        for note in &mut self.0 {
            note.since = note.since.min(now);
            note.sent_at = note.sent_at.map(|at| at.min(now));
            if let Some((at, _)) = &mut note.failed {
                *at = (*at).min(now);
            }
        }
    }

    fn told(&mut self, now: Timestamp) {
        for note in &mut self.0 {
            note.sent_at = Some(now);
        }
    }

    fn untold(&mut self) {
        for note in &mut self.0 {
            note.sent_at = None;
        }
    }

    fn failed(&mut self, reasons: &Object, now: Timestamp) {
        for note in &mut self.0 {
            if let Some(reason) = reason_for(reasons, &note.name) {
                let reason = reason.as_str().map_or_else(|| reason.to_string().into(), Into::into);
                note.failed = Some((now, reason));
            }
        }
    }
}

/// The reason at the property's place, or at one within it, whichever way it is written.
fn reason_for<'a>(reasons: &'a Object, name: &str) -> Option<&'a Json> {
    let at_place = heads(name).find_map(|(head, rest)| {
        let found = reasons.get(head)?;
        rest.map_or(Some(found), |rest| inside(found, rest))
    });
    let within = |path: &str| path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
    at_place.or_else(|| reasons.iter().find(|(path, _)| within(path)).map(|(_, reason)| reason))
}

impl Note {
    /// The device's progress.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> SyncState {
        match (self.sent_at, &self.failed) {
            (_, Some(_)) => SyncState::Failed,
            (None, None) => SyncState::Pending,
            (Some(sent), None) if sent.plus_millis(STALE_AFTER_MS) <= now => SyncState::Stale,
            (Some(_), None) => SyncState::Sent,
        }
    }
}

impl SyncState {
    /// The word for it in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Applied => "applied",
            Self::Failed => "failed",
            Self::Stale => "stale",
        }
    }
}

impl Twin {
    /// The desired properties that the device has not reported.
    #[must_use]
    pub fn unmet(&self) -> &[Note] {
        self.unmet.as_deref().map_or(&[], Unmet::notes)
    }

    /// Since when the device has not come to all that is desired; none where it has.
    #[must_use]
    pub fn drifting_since(&self) -> Option<Timestamp> {
        self.unmet.as_deref().and_then(Unmet::since)
    }

    /// The device's progress with the desired property called `name`; none where nothing is desired of it.
    #[must_use]
    pub fn sync(&self, name: &str, now: Timestamp) -> Option<SyncState> {
        let (property, _) = self.desired.at_path(name)?;
        let note = self.unmet.as_deref().and_then(|unmet| unmet.get(&property.name));
        let is_missing = || *property.name == *name || inside(&self.delta().into(), name).is_some();
        Some(note.filter(|_| is_missing()).map_or(SyncState::Applied, |note| note.state(now)))
    }

    /// Follows a change of either side. `anew` is the patch of what was just desired.
    pub(super) fn follow(&mut self, anew: Option<&Object>, now: Timestamp) {
        if self.desired.is_empty() {
            self.unmet = None;
            return;
        }
        let before = self.unmet.take().unwrap_or_default();
        let after = before.after(&self.desired, self.comparison(), anew, now);
        self.unmet = (!after.0.is_empty()).then(|| Box::new(after));
        if anew.is_some() && self.is_reachable() {
            self.mark_told(now);
        }
    }

    /// Drops the notes on what has converged. A row of an earlier version, which found fewer values equal, has such.
    pub fn settle(&mut self) {
        let Some(mut unmet) = self.unmet.take() else { return };
        let comparison = self.comparison();
        unmet.0.retain(|note| {
            self.desired.get(&note.name).is_some_and(|wanted| comparison.missing(wanted) != Missing::Nothing)
        });
        self.unmet = (!unmet.0.is_empty()).then_some(unmet);
    }

    /// The device was told all that it has not come to.
    pub(super) fn mark_told(&mut self, now: Timestamp) {
        if let Some(unmet) = &mut self.unmet {
            unmet.told(now);
        }
    }

    /// It was not told after all.
    pub(super) fn mark_untold(&mut self) {
        if let Some(unmet) = &mut self.unmet {
            unmet.untold();
        }
    }

    pub(super) fn mark_failed(&mut self, reasons: &Object, now: Timestamp) {
        if let Some(unmet) = &mut self.unmet {
            unmet.failed(reasons, now);
        }
    }
}
