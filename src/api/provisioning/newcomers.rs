//! Devices that came through the pairing window, and ask for their tokens.

use twinhub_access::Action;
use twinhub_actors::HubError;
use twinhub_actors::access::{Caller, InputRequest};
use twinhub_actors::pairing::WindowPass;
use twinhub_domain::cause::Source;
use twinhub_domain::twin::Registration;
use twinhub_domain::{Input, Refusal};

use super::provision::check_own_serial;
use super::request::NewProvisioned;
use crate::api::devices::register::Registered;
use crate::api::devices::token;
use crate::http::problem::{ApiError, DeviceProblem};
use crate::state::WebState;

/// Gives a device that came through the pairing window a token. Nobody owns it by that: it is left for somebody to claim,
/// unless somebody has.
pub(super) async fn give_token(
    state: &WebState,
    pass: &WindowPass,
    body: &NewProvisioned,
    source: Source,
) -> Result<Registered, ApiError> {
    let id = body.id()?;
    let pairing = &state.hub().pairing;
    if !pairing.admit_to_token(pass, &id).await {
        return Err(DeviceProblem::NotForPairing.into());
    }
    let grant = state.hub().of(Caller::Device(id.clone()), source).at_address(pass.address);
    check_own_serial(&grant, &id, body).await?;
    let token = token::make()?;
    let mut patch = body.clone().patch();
    patch.insert("claimed", false.into());
    if body.name.is_none() {
        patch.remove("name"); // it may have one by now
    }
    state.tokens.put(&token, &mut patch)?;
    // Before it counts, as its client is looked at in that moment.
    pairing.window.gives_token(pass, &id, &state.tokens.hash(&token));
    let registration = Input::Register(Box::new(Registration { patch }));
    let taken = match grant.deliver(InputRequest::new(id.clone(), registration)).await {
        Err(HubError::Refused(Refusal::Registered(_))) => {
            let change = Input::SetToken(state.tokens.change(&token, None)?);
            grant.deliver(InputRequest::new(id.clone(), change)).await? // its entry in the audit comes with it
        }
        taken => {
            let taken = taken?;
            grant.audit_done(Action::DeviceTokenRotated, &format!("device:{id}"), []).await;
            taken
        }
    };
    Ok(Registered::new(&id, body.name(), token, taken.version, &state.info))
}
