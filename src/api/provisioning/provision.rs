//! `POST /api/provision`: a device registers itself.

use std::net::IpAddr;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use tracing::warn;
use twinhub_access::{Provisioning, SecretId};
use twinhub_actors::HubError;
use twinhub_actors::access::{Grant, InputRequest};
use twinhub_actors::messages::accounts::AccountRefusal;
use twinhub_actors::messages::bound_keys::{
    FindProvisioningKey, GiveBackProvisioningUse, UseProvisioningKey,
};
use twinhub_actors::messages::supervisor::IfUnknown;
use twinhub_domain::cause::Source;
use twinhub_domain::twin::Registration;
use twinhub_domain::twin::fields::PROVISIONED_BY;
use twinhub_domain::{DeviceId, Input, Refusal};

use super::newcomers::give_token;
use super::request::NewProvisioned;
use crate::api::devices::register::{Registered, check_serial};
use crate::api::devices::token;
use crate::http::Access;
use crate::http::Holder;
use crate::http::client;
use crate::http::extract::body::Body;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;

/// Registers the device that asks, with a provisioning key as its bearer token, and answers with the token of its own.
/// A device whose answer was lost asks again: as long as it was never heard it gets another token. While the pairing window
/// is open a new device needs no key.
#[utoipa::path(
    post,
    path = "/api/provision",
    tag = "devices",
    request_body = NewProvisioned,
    responses(
        (status = 201, description = "Registered; the token is shown this once", body = Registered),
        (status = 403, description = "The key has expired, is used up, or is not for such an id; or the device may not come by the pairing window", body = Problem),
        (status = 404, description = "No provisioning key came with it, or it is gone", body = Problem),
        (status = 409, description = "The id or the serial number is taken", body = Problem),
        (status = 422, description = "A field makes no sense", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn provision_device(
    request: HttpRequest,
    params: Params,
    Body(body): Body<NewProvisioned>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let registered = match access.holder() {
        Holder::Anonymous => {
            let pass = access.state.hub().pairing.window.pass(client::of(&request).address);
            let pass = pass.ok_or(AccountRefusal::UnknownKey)?;
            give_token(&access.state, &pass, &body, Source::Rest).await?
        }
        _ => provision(&access, &body).await?,
    };
    Ok(reply::json(StatusCode::CREATED, &registered))
}

/// Registers the device of a request, whichever way that came.
pub(super) async fn provision(access: &Access, body: &NewProvisioned) -> Result<Registered, ApiError> {
    let id = body.id()?;
    let (key, address) = key_of(access)?;
    let Holder::Known(identity) = access.holder() else { return Err(AccountRefusal::UnknownKey.into()) };
    // One that is there and waits has had its use, which may have been the key's last.
    let (of, device) = (key.clone(), id.clone());
    let found = access.ask(FindProvisioningKey { key: of, device }).await??;
    let source = access.cause().source;
    let grant = access.state.grant_of_maker(identity, &found).by_way_of(source);
    if is_waiting(&grant, &key, &id).await? {
        return renew(access, &grant, &id, body).await;
    }
    let (used, device) = (key.clone(), id.clone());
    let counted = access.change(|reply| UseProvisioningKey { key: used, device, address, reply }).await??;
    let grant = access.state.grant_of_maker(identity, &counted).by_way_of(source);
    let registered = register(access, &grant, &key, counted.provisioning, &id, body).await;
    let is_refused = registered.as_ref().is_err_and(is_sure);
    if is_refused && access.ask(GiveBackProvisioningUse { key }).await.is_err() {
        warn!("a use of a provisioning key that came to nothing stays counted");
    }
    registered
}

/// Is it sure that nothing came of the registration, and nothing will? What was not answered in time may become durable
/// later: a use that is given back then would be two devices'.
fn is_sure(error: &ApiError) -> bool {
    match error {
        ApiError::Hub(error) => match error {
            HubError::Refused(_)
            | HubError::Forbidden(_)
            | HubError::Scoped
            | HubError::OutOfScope(_)
            | HubError::QuotaReached { .. } => true,
            HubError::Store(_) | HubError::ShuttingDown | HubError::Unavailable(_) => false,
        },
        ApiError::SerialTaken { .. } | ApiError::Field(_) => true,
        _ => false,
    }
}

/// The provisioning key of the caller, and their address.
fn key_of(access: &Access) -> Result<(SecretId, IpAddr), ApiError> {
    match access.holder() {
        Holder::Known(identity) => match &identity.bound {
            Some(bound) => Ok((bound.key.clone(), identity.address)),
            None => Err(AccountRefusal::UnknownKey.into()),
        },
        _ => Err(AccountRefusal::UnknownKey.into()),
    }
}

async fn register(
    access: &Access,
    grant: &Grant,
    key: &SecretId,
    place: Provisioning,
    id: &DeviceId,
    body: &NewProvisioned,
) -> Result<Registered, ApiError> {
    let Provisioning { template_id, group_id, .. } = place;
    check_own_serial(grant, id, body).await?;
    let mut patch = body.clone().patch();
    if let Some(template) = template_id {
        patch.insert("template", (&*template).into());
    }
    if let Some(group) = group_id {
        patch.insert("group_id", group.as_str().into());
    }
    let token = token::make()?;
    access.state.tokens.put(&token, &mut patch)?;
    patch.insert(PROVISIONED_BY, key.as_str().into());
    let registration = Input::Register(Box::new(Registration { patch }));
    let registration = InputRequest::new(id.clone(), registration).if_unknown(IfUnknown::Begin);
    match grant.deliver(registration).await {
        Ok(taken) => Ok(Registered::new(id, body.name(), token, taken.version, &access.state.info)),
        // It was not there a moment ago: perhaps this registration was made, and its first answer lost in the hub.
        Err(HubError::Refused(Refusal::Registered(_))) if is_waiting(grant, key, id).await? => {
            renew(access, grant, id, body).await
        }
        Err(refused) => Err(refused.into()),
    }
}

/// Gives a device that waits another token.
async fn renew(
    access: &Access,
    grant: &Grant,
    id: &DeviceId,
    body: &NewProvisioned,
) -> Result<Registered, ApiError> {
    check_own_serial(grant, id, body).await?;
    let token = token::make()?;
    let change = Input::SetToken(access.state.tokens.change(&token, None)?);
    let taken = grant.deliver(InputRequest::new(id.clone(), change)).await?;
    Ok(Registered::new(id, body.name(), token, taken.version, &access.state.info))
}

/// Checks that no other device has the serial number that this one says, where it says one.
pub(super) async fn check_own_serial(
    grant: &Grant,
    id: &DeviceId,
    body: &NewProvisioned,
) -> Result<(), ApiError> {
    match body.serial_number.as_deref().filter(|serial| !serial.is_empty()) {
        Some(serial) => check_serial(grant, serial, Some(id)).await,
        None => Ok(()),
    }
}

/// Did the device register itself with this key, and was it never heard since?
async fn is_waiting(grant: &Grant, key: &SecretId, id: &DeviceId) -> Result<bool, ApiError> {
    let twin = grant.read(id).await?;
    let is_its = |twin: &twinhub_domain::Twin| twin.profile.text(PROVISIONED_BY) == key.as_str();
    Ok(twin.is_some_and(|twin| is_its(&twin) && !twin.presence.was_heard()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::extract::fields::FieldError;

    #[test]
    fn a_use_is_given_back_on_a_sure_no_alone() {
        let id = DeviceId::parse("pump").unwrap();
        let serial = "S-1".to_owned();
        for sure in [
            ApiError::SerialTaken { serial, device: None },
            HubError::Refused(Refusal::Registered(id)).into(),
            HubError::OutOfScope(String::new()).into(),
            HubError::QuotaReached { quota: 1 }.into(),
            FieldError::bad("name", String::new()).into(),
        ] {
            assert!(is_sure(&sure), "{sure}");
        }
        for unsure in
            [HubError::Unavailable("the change was not made durable in time"), HubError::ShuttingDown]
        {
            assert!(!is_sure(&unsure.into()));
        }
    }
}
