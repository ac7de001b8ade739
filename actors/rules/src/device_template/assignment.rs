//! How devices come to templates: named by people, or taken by themselves.

use std::sync::Arc;

use super::{Catalog, Template};
use twinhub_domain::cause::{Cause, Source};
use twinhub_domain::event::{ChangeKind, EventBody, TwinChange};
use twinhub_domain::json::{Json, Object};
use twinhub_domain::twin::{Input, Listeners, Outcome, Refusal};
use twinhub_domain::{Timestamp, Twin};

/// What a device is, by which templates are found for it.
const TELLING: [&str; 2] = ["type", "model"];

/// Has a twin take an input, with the layer of the template that it names. A device that comes to be known, or what
/// it is, takes the template that is meant for it, unless it has one or the input says which. The catalog is asked
/// for only where it is needed: most messages have nothing to do with templates.
///
/// # Errors
/// There is no such template, or the twin refuses the input. Nothing has changed then.
pub fn apply(
    twin: &mut Twin,
    mut input: Input,
    now: Timestamp,
    cause: &Cause,
    listeners: &dyn Listeners,
    catalog: impl Fn() -> Arc<Catalog>,
) -> Result<Outcome, Refusal> {
    let is_said = says_template(&input);
    if is_said {
        catalog().resolve(&mut input)?;
    }
    let mut outcome = twin.apply_before(listeners, input, now, cause)?;
    let is_told = || outcome.events.iter().any(|event| is_telling(&event.body));
    if !is_said
        && twin.layer().is_none()
        && is_told()
        && let Some(template) = catalog().matching(twin)
    {
        let cause = Cause::new(Source::Hub, &format!("template {}", template.id));
        outcome.join(twin.apply_before(listeners, give(template), now, &cause)?);
    }
    Ok(outcome)
}

impl Catalog {
    /// Puts layers where ids stand.
    fn resolve(&self, input: &mut Input) -> Result<(), Refusal> {
        if let Input::Refresh(id) = input {
            let layer = self.get(id).map(|template| Arc::clone(&template.layer));
            *input = Input::Template { layer, only_of: Some(id.clone()) };
        }
        let Some(patch) = patch_of(input) else { return Ok(()) };
        let invalid = |detail: String| Err(Refusal::Invalid { field: "template_id".into(), detail });
        let layer = match patch.get("template") {
            None | Some(Json::Null) => return Ok(()),
            Some(Json::String(id)) => match self.get(id) {
                Some(template) => template.layer.to_object(),
                None => return invalid(format!("there is no template `{id}`")),
            },
            Some(other) => return invalid(format!("expected a template's id, found {}", other.kind())),
        };
        patch.insert("template", layer.into());
        Ok(())
    }
}

/// Does it say which template the device is to have, or that it is to have none?
fn says_template(input: &Input) -> bool {
    match input {
        Input::Register(registration) | Input::Claim(registration) => {
            registration.patch.get("template").is_some()
        }
        Input::Change(change) => change.patch.get("template").is_some(),
        Input::Template { .. } | Input::Refresh(_) => true,
        _ => false,
    }
}

fn patch_of(input: &mut Input) -> Option<&mut Object> {
    match input {
        Input::Register(registration) | Input::Claim(registration) => Some(&mut registration.patch),
        Input::Change(change) => Some(&mut change.patch),
        _ => None,
    }
}

fn give(template: &Template) -> Input {
    Input::Template { layer: Some(Arc::clone(&template.layer)), only_of: None }
}

/// Does it say what a device is?
fn is_telling(body: &EventBody) -> bool {
    let EventBody::Twin(TwinChange { change, patch }) = body else { return false };
    matches!(change, ChangeKind::Registered | ChangeKind::Claimed)
        || TELLING.iter().any(|field| patch.get(field).is_some())
}
