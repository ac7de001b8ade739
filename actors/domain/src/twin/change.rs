//! People's words on a device: its identity, and the changes of its document.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::fields::{CLAIM_CODE_HASH, Field, PROVISIONED_BY, SetBy};
use super::{LayerLookup, Part, Patch, Refusal, Twin};
use crate::clock::Timestamp;
use crate::fleet::Layer;
use crate::id::DeviceId;
use crate::json::{Json, Object};
use crate::schedule::{BadSchedule, ScheduleEntries};
use crate::text::has_control;

/// A device's identity to people. An empty text means: unknown.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Profile {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub serial_number: Box<str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub name: Box<str>,
    /// `type` on the wire: `pump`, `thermostat`.
    #[serde(rename = "type", skip_serializing_if = "str::is_empty")]
    pub device_type: Box<str>,
    /// All other fields of [`FIELDS`](super::fields::FIELDS), which few devices have; and the notes of dialects.
    #[serde(skip_serializing_if = "Object::is_empty")]
    pub more: Object,
}

/// A registration or claim, as the API takes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Registration {
    /// Merge patch by field and section: `name`, `type`, `tags`, `configuration`, …; `template` by its id. `claim_code` is
    /// the hash of the code that was said, or a list of its hashes under several keys, and `claimed: false` leaves the device for somebody to claim.
    pub patch: Object,
}

/// A change of the document, as the API takes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Change {
    /// Merge patch by field and section: `name`, `desired`, `tags`, `configuration`, …; `template` as in a registration.
    pub patch: Object,
}

impl Profile {
    /// The field called `name`, empty while it is unknown. `type`, `model`, …
    #[must_use]
    pub fn text(&self, field: &str) -> &str {
        match field {
            "serial_number" => &self.serial_number,
            "name" => &self.name,
            "type" => &self.device_type,
            other => self.more.get(other).and_then(Json::as_str).unwrap_or_default(),
        }
    }

    /// Refuses the serial number of another device than this one, which is called `id`.
    pub(super) fn check_serial(&self, id: &DeviceId, serial: Option<&str>) -> Result<(), Refusal> {
        let own = &*self.serial_number;
        match serial {
            Some(serial) if !own.is_empty() && own != serial => Err(Refusal::Invalid {
                field: "serial_number".into(),
                detail: format!("device `{id}` has the serial number `{own}`, not `{serial}`"),
            }),
            _ => Ok(()),
        }
    }

    /// Refuses whoever does not know the device's claim code, where it has one. The hash of it is under the hub's own
    /// key, so how long the comparison takes says nothing.
    pub(super) fn check_claim_code(&self, said: Option<&Json>) -> Result<(), Refusal> {
        let own = self.text(CLAIM_CODE_HASH);
        let is_it = |hash: &Json| hash.as_str() == Some(own);
        let is_right = own.is_empty()
            || said.is_some_and(|said| match said {
                Json::Array(hashes) => hashes.iter().any(is_it),
                hash => is_it(hash),
            });
        if is_right { Ok(()) } else { Err(Refusal::ClaimCode) }
    }

    pub(super) fn set(&mut self, field: &Field, text: &str) {
        match field.name {
            "serial_number" => self.serial_number = text.into(),
            "name" => self.name = text.into(),
            "type" => self.device_type = text.into(),
            other if text.is_empty() => {
                self.more.remove(other);
            }
            other => {
                self.more.insert(other, text.into());
            }
        }
    }

    /// The patch of a status message's details: what a field of the profile hears goes there, where it is new; all else
    /// is reported state.
    pub(super) fn patch_from_details(&self, details: Object) -> Patch {
        let mut patch = Patch::default();
        let mut reported = Object::default();
        for (name, value) in details {
            let field = Field::of(&name)
                .filter(|field| value.as_str().is_some_and(|text| field.hears(text, self.text(field.name))));
            match (field, value) {
                (Some(field), Json::String(text)) if *text == *self.text(field.name) => {}
                (Some(field), Json::String(text)) => patch.set(Part::Text(field, Some(text))),
                (_, value) => {
                    reported.insert(name, value);
                }
            }
        }
        if !reported.is_empty() {
            patch.set(Part::Reported(reported));
        }
        patch
    }
}

impl Registration {
    /// Does it come by a provisioning key to a device that has its credential by another way? Such a key lets devices in,
    /// and takes none from those who hold its token.
    pub(super) fn takes_over(&self, twin: &Twin) -> bool {
        let Some(key) = self.patch.get(PROVISIONED_BY) else { return false };
        let profile = &twin.profile;
        let has_credential = profile.token_hashes().next().is_some() || !profile.certificate().is_empty();
        has_credential && key.as_str() != Some(profile.text(PROVISIONED_BY))
    }

    /// The patch, with `claimed` in it, once it is checked.
    pub(super) fn into_patch(
        mut self,
        twin: &Twin,
        templates: &dyn LayerLookup,
        now: Timestamp,
    ) -> Result<Patch, Refusal> {
        let is_claimed = self.patch.remove("claimed") != Some(Json::Bool(false));
        let code = self.patch.remove("claim_code");
        twin.profile.check_claim_code(code.as_ref())?;
        let mut patch = check(self.patch, true, twin, templates, now)?;
        patch.set(Part::Claimed(is_claimed));
        if is_claimed
            && !twin.profile.text(CLAIM_CODE_HASH).is_empty()
            && let Some(code) = Field::of(CLAIM_CODE_HASH)
        {
            patch.set(Part::Text(code, None)); // it has done its service
        }
        Ok(patch)
    }
}

impl Change {
    /// A change of the schedule alone: an array of entries, or a timetable by days.
    #[must_use]
    pub fn of_schedule(entries: Json) -> Self {
        Self { patch: [("schedule", entries)].into_iter().collect() }
    }

    pub(super) fn into_patch(
        self,
        twin: &Twin,
        templates: &dyn LayerLookup,
        now: Timestamp,
    ) -> Result<Patch, Refusal> {
        check(self.patch, false, twin, templates, now)
    }

    /// The same for the first change of a device, by which it is registered or claimed.
    pub(super) fn into_first_patch(
        self,
        twin: &Twin,
        templates: &dyn LayerLookup,
        now: Timestamp,
    ) -> Result<Patch, Refusal> {
        check(self.patch, true, twin, templates, now)
    }
}

/// The patch of a request, once each of its fields is checked.
fn check(
    mut request: Object,
    is_registration: bool,
    twin: &Twin,
    templates: &dyn LayerLookup,
    now: Timestamp,
) -> Result<Patch, Refusal> {
    let template = match request.remove("template") {
        None => None,
        Some(id) => Some(layer_of(&id, templates)?),
    };
    let layer = template.as_ref().map_or(twin.setup.layer(), Option::as_ref);
    let mut patch = Patch::default();
    for (field, value) in request {
        let part = match (&*field, value) {
            ("schedule", value) => Part::Schedule(schedule(&value, now)?),
            ("settings", Json::Object(settings)) => {
                let patched = twin.setup.settings().patched(&settings);
                patched.map_err(|(field, detail)| Refusal::Invalid { field, detail })?;
                Part::Settings(settings)
            }
            ("limits", Json::Object(limits)) => {
                twin.setup.check_limits(&limits, layer.map(|layer| &**layer))?;
                Part::Limits(limits)
            }
            ("tags", Json::Object(tags)) => {
                if let Some(tag) = tags.iter().map(|(name, _)| name).find(|name| has_control(name)) {
                    return invalid(&field, format!("the name {tag:?} has control characters"));
                }
                Part::Tags(tags)
            }
            ("desired", Json::Object(desired)) => Part::Desired(twin.desired.without_emptied(desired)),
            ("configuration", Json::Object(configuration)) => Part::Configuration(configuration),
            ("settings" | "limits" | "tags" | "desired" | "configuration", other) => {
                return invalid(&field, format!("expected an object, found {}", other.kind()));
            }
            (name, value) => text(name, value, is_registration)?,
        };
        patch.set(part);
    }
    twin.check_sizes(&patch)?;
    if let Some(layer) = template
        && layer.as_ref() != twin.setup.layer()
    {
        patch.set(Part::Template(layer));
    }
    Ok(patch)
}

/// The layer of the template that is named; none for null.
fn layer_of(id: &Json, templates: &dyn LayerLookup) -> Result<Option<Arc<Layer>>, Refusal> {
    match id {
        Json::Null => Ok(None),
        Json::String(id) => match templates.layer(id) {
            Some(layer) => Ok(Some(layer)),
            None => invalid("template_id", format!("there is no template `{id}`")),
        },
        other => invalid("template_id", format!("expected a template's id, found {}", other.kind())),
    }
}

fn text(name: &str, value: Json, is_registration: bool) -> Result<Part, Refusal> {
    let may_set = |field: &&Field| match field.set_by {
        SetBy::Anybody => true,
        SetBy::Registration => is_registration,
        SetBy::Program => true,
        SetBy::Nobody => false,
    };
    let Some(field) = Field::of(name).filter(may_set) else {
        return invalid(name, "there is no such field".into());
    };
    match value {
        Json::Null => Ok(Part::Text(field, None)),
        Json::String(text) => match field.check(&text) {
            Ok(()) => Ok(Part::Text(field, Some(text))),
            Err(detail) => invalid(name, detail),
        },
        other => invalid(name, format!("expected a string, found {}", other.kind())),
    }
}

fn invalid<T>(field: &str, detail: String) -> Result<T, Refusal> {
    Err(Refusal::Invalid { field: field.to_owned(), detail })
}

/// The entries, checked; none where the device has no schedule of its own any more.
pub(super) fn schedule(entries: &Json, now: Timestamp) -> Result<Option<ScheduleEntries>, Refusal> {
    if *entries == Json::Null {
        return Ok(None);
    }
    match ScheduleEntries::read(entries, now) {
        Ok(entries) => Ok(Some(entries)),
        Err(BadSchedule { field, detail }) => Err(Refusal::Invalid { field, detail }),
    }
}
