//! The room that a twin has: none of its documents grows without end, whatever door a change comes through.

use super::{Outcome, Part, Patch, Refusal, Rejected, Twin};
use crate::cause::{Cause, Source};
use crate::json::{DocumentSize, Json, Object};
use crate::payload::{check_property, shown};
use crate::reading::{Reading, Scalar};

/// A value that replaces another and is no longer than this makes no document notably larger: no number is longer.
const SHORT: usize = 32;

impl Twin {
    /// Refuses a patch by section of which one would make its document too large. What its template says is not
    /// counted: that has its own bounds.
    pub(super) fn check_room(&self, patch: &Patch) -> Result<(), Refusal> {
        for part in patch.parts() {
            match part {
                Part::Reported(members)
                | Part::Desired(members)
                | Part::Tags(members)
                | Part::Configuration(members)
                | Part::Limits(members) => self.check_section(part.name(), members)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The same for one section.
    pub(super) fn check_section(&self, section: &str, patch: &Object) -> Result<(), Refusal> {
        let too_large = |detail| Err(Refusal::TooLarge { section: section.to_owned(), detail });
        let brought = patch.size();
        // Of the patch alone: nulls are members that events carry, too.
        if let Some(detail) = (DocumentSize { bytes: 0, ..brought }).excess(DocumentSize::default()) {
            return too_large(detail);
        }
        let own = self.layers.as_deref();
        let layered = own.filter(|layers| layers.has_layer());
        let before = match section {
            "reported" => self.reported.size(),
            "desired" => self.desired.size(),
            "tags" => layered.map_or(&self.tags, |own| own.tags()).size(),
            "configuration" => layered.map_or(&self.configuration, |own| own.configuration()).size(),
            _ => own.map_or(DocumentSize::EMPTY, |own| own.own_limits().size()),
        };
        if !before.may_exceed_with(brought) {
            return Ok(());
        }
        let mut after = match section {
            "reported" => self.reported.to_object(),
            "desired" => self.desired.to_object(),
            "tags" => layered.map_or(&self.tags, |own| own.tags()).clone(),
            "configuration" => layered.map_or(&self.configuration, |own| own.configuration()).clone(),
            _ => own.map(|own| own.own_limits().clone()).unwrap_or_default(),
        };
        after.merge(patch);
        after.size().excess(before).map_or(Ok(()), too_large)
    }

    /// Takes those out of `readings` that `reported` has no room for, with what is wrong. A reading of a name that is
    /// known costs one look at it.
    pub(super) fn without_room(&self, readings: &mut Vec<Reading>) -> Vec<(Reading, String)> {
        self.without_room_beside(&Object::default(), readings)
    }

    /// The same where the message brings this patch of `reported`, too.
    pub(super) fn without_room_beside(
        &self,
        patch: &Object,
        readings: &mut Vec<Reading>,
    ) -> Vec<(Reading, String)> {
        if readings.iter().all(|reading| self.growth(reading) == DocumentSize::default()) {
            return Vec::new();
        }
        let before = self.reported.size();
        let mut size = before;
        if !patch.is_empty() {
            let mut after = self.reported.to_object();
            after.merge(patch);
            let after = after.size();
            size =
                DocumentSize { bytes: size.bytes.max(after.bytes), members: size.members.max(after.members) };
        }
        let mut refused = Vec::new();
        readings.retain(|reading| {
            let growth = self.growth(reading);
            match (size + growth).excess(before) {
                Some(detail) if growth != DocumentSize::default() => {
                    refused.push((reading.clone(), detail));
                    false
                }
                _ => {
                    size = size + growth;
                    true
                }
            }
        });
        refused
    }

    /// Takes properties out of a patch of `reported` that nobody could name, as readings may not be called so either.
    /// What comes over MQTT is taken in otherwise, with those in `outcome`; by other doors it is refused. One of an
    /// earlier version can be removed.
    pub(super) fn check_names(
        &self,
        patch: &mut Object,
        outcome: &mut Outcome,
        cause: &Cause,
    ) -> Result<(), Refusal> {
        let mut bad = Vec::new();
        patch.retain(|name, value| match check_property(name) {
            Err(detail) if *value != Json::Null => {
                let refusal = Refusal::Invalid { field: "reported".into(), detail };
                bad.push(Rejected { name: shown(name).into(), refusal });
                false
            }
            _ => true,
        });
        if cause.source == Source::Mqtt {
            outcome.rejected.append(&mut bad);
        }
        bad.into_iter().next().map_or(Ok(()), |first| Err(first.refusal))
    }

    fn growth(&self, reading: &Reading) -> DocumentSize {
        let bytes = match &reading.value {
            Scalar::Number(number) => number.as_str().len(),
            Scalar::Bool(_) => 5,
            Scalar::Text(text) => text.len() + 2,
        };
        match self.reported.get(&reading.name) {
            None => DocumentSize::of_member(&reading.name, DocumentSize { bytes, members: 0 }),
            Some(_) if bytes <= SHORT => DocumentSize::default(),
            Some(had) => DocumentSize { bytes: bytes.saturating_sub(had.value.size().bytes), members: 0 },
        }
    }
}
