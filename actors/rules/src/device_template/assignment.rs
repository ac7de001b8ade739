//! The assignment of templates to devices: by people, or by a match.

use std::sync::Arc;

use super::{Catalog, DeviceTemplate};
use twinhub_domain::cause::{Cause, Source};
use twinhub_domain::event::{ChangeKind, EventBody, TwinChange};
use twinhub_domain::fleet::Layer;
use twinhub_domain::twin::{Input, LayerLookup, Listeners, Outcome, Refusal};
use twinhub_domain::{Timestamp, Twin};

/// The members of a profile that templates match.
const TELLING: [&str; 2] = ["type", "model"];

/// Applies an input to a twin, with the layer of the template that it names. A device that appears, or whose type or
/// model changes, takes the template that matches it, unless it has one or the input names one. The catalog is read
/// only where it is needed: most messages have nothing to do with templates.
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
    let is_said = names_template(&input);
    if let Input::Refresh(id) = input {
        let layer = catalog().layer(&id);
        input = Input::Template { layer, only_of: Some(id) };
    }
    let templates = CurrentTemplates(&catalog);
    let mut outcome = twin.apply_before(listeners, &templates, input, now, cause)?;
    let is_told = || outcome.events.iter().any(|event| is_telling(&event.body));
    if !is_said
        && twin.layer().is_none()
        && is_told()
        && let Some(template) = catalog().matching(twin)
    {
        let cause = Cause::new(Source::Hub, &format!("template {}", template.id));
        outcome.join(twin.apply_before(listeners, &templates, assignment(template), now, &cause)?);
    }
    Ok(outcome)
}

impl LayerLookup for Catalog {
    fn layer(&self, id: &str) -> Option<Arc<Layer>> {
        self.get(id).map(|template| Arc::clone(&template.layer))
    }
}

/// The templates as they are when they are asked for.
struct CurrentTemplates<'a, F>(&'a F);

impl<F: Fn() -> Arc<Catalog>> LayerLookup for CurrentTemplates<'_, F> {
    fn layer(&self, id: &str) -> Option<Arc<Layer>> {
        (self.0)().layer(id)
    }
}

/// Does the input name the template that the device is to have, or remove it?
fn names_template(input: &Input) -> bool {
    match input {
        Input::Register(registration) | Input::Claim(registration) => {
            registration.patch.get("template").is_some()
        }
        Input::Change(change) => change.patch.get("template").is_some(),
        Input::Template { .. } | Input::Refresh(_) => true,
        _ => false,
    }
}

fn assignment(template: &DeviceTemplate) -> Input {
    Input::Template { layer: Some(Arc::clone(&template.layer)), only_of: None }
}

/// Is the event a registration, a claim, or a change of type or model?
fn is_telling(body: &EventBody) -> bool {
    let EventBody::Twin(TwinChange { change, patch }) = body else { return false };
    matches!(change, ChangeKind::Registered | ChangeKind::Claimed)
        || TELLING.iter().any(|field| patch.says(field))
}
