//! The size limits of a twin: none of its documents grows without end, whatever door a change comes through.

use super::{Properties, Refusal, Rejected};
use crate::cause::{Cause, Source};
use crate::json::{DocumentSize, Json, Object};
use crate::payload::{check_property, shown};
use crate::reading::{Reading, Scalar};

/// A value that replaces another and is no longer than this makes no document notably larger: no number is longer.
const SHORT: usize = 32;

/// One of the documents that a change lets grow, and what is its own now. What its template says is not counted: that
/// has its own bounds.
pub(super) enum SizedDocument<'a> {
    Properties(&'a Properties),
    /// None where the device has none of it.
    Members(Option<&'a Object>),
}

impl SizedDocument<'_> {
    /// Refuses a patch that would make the document too large.
    pub(super) fn check(&self, name: &str, patch: &Object) -> Result<(), Refusal> {
        let too_large = |detail| Err(Refusal::TooLarge { section: name.to_owned(), detail });
        let brought = patch.size();
        // Of the patch alone: nulls are members that events carry, too.
        if let Some(detail) = (DocumentSize { bytes: 0, ..brought }).excess(DocumentSize::default()) {
            return too_large(detail);
        }
        let before = match self {
            Self::Properties(properties) => properties.size(),
            Self::Members(members) => members.map_or(DocumentSize::EMPTY, Object::size),
        };
        if !before.may_exceed_with(brought) {
            return Ok(());
        }
        let mut after = match self {
            Self::Properties(properties) => properties.to_object(),
            Self::Members(members) => members.cloned().unwrap_or_default(),
        };
        after.merge(patch);
        after.size().excess(before).map_or(Ok(()), too_large)
    }
}

impl Properties {
    /// Takes those out of `readings` that these properties have no room for, with what is wrong, where the message brings
    /// this patch of them, too. A reading of a name that is known costs one look at it.
    pub(super) fn take_excess(&self, patch: &Object, readings: &mut Vec<Reading>) -> Vec<(Reading, String)> {
        if readings.iter().all(|reading| self.growth(reading) == DocumentSize::default()) {
            return Vec::new();
        }
        let before = self.size();
        let mut size = before;
        if !patch.is_empty() {
            let mut after = self.to_object();
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

    fn growth(&self, reading: &Reading) -> DocumentSize {
        let bytes = match &reading.value {
            Scalar::Number(number) => number.as_str().len(),
            Scalar::Bool(_) => 5,
            Scalar::Text(text) => text.len() + 2,
        };
        match self.get(&reading.name) {
            None => DocumentSize::of_member(&reading.name, DocumentSize { bytes, members: 0 }),
            Some(_) if bytes <= SHORT => DocumentSize::default(),
            Some(had) => DocumentSize { bytes: bytes.saturating_sub(had.value.size().bytes), members: 0 },
        }
    }
}

/// Takes properties out of a patch of `reported` that nobody could name, as readings may not be called so either.
/// From MQTT all others are taken in, with those among the `rejected`; by other doors the patch is refused. One of an
/// earlier version can be removed.
pub(super) fn check_names(
    patch: &mut Object,
    rejected: &mut Vec<Rejected>,
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
        rejected.append(&mut bad);
    }
    bad.into_iter().next().map_or(Ok(()), |first| Err(first.refusal))
}
