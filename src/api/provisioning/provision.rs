//! `POST /api/provision`: a device registers itself.

use std::net::IpAddr;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use tracing::warn;
use twinhub_access::{Provisioning, SecretId};
use twinhub_actors::HubError;
use twinhub_actors::access::{Grant, InputRequest};
use twinhub_actors::messages::accounts::AccountRefusal;
use twinhub_actors::messages::bound_keys::{GiveBackProvisioningUse, ProvisioningUse, UseProvisioningKey};
use twinhub_actors::messages::supervisor::IfUnknown;
use twinhub_domain::twin::Registration;
use twinhub_domain::twin::fields::PROVISIONED_BY;
use twinhub_domain::{DeviceId, Input, Refusal};

use super::request::NewProvisioned;
use crate::api::devices::register::{Registered, check_serial};
use crate::api::devices::token;
use crate::http::Access;
use crate::http::Holder;
use crate::http::extract::body::Body;
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;

/// Registers the device that asks, with a provisioning key as its bearer token, and answers with the token of its own.
/// A device whose answer was lost asks again: as long as it was never heard it gets another token.
#[utoipa::path(
    post,
    path = "/api/provision",
    tag = "devices",
    request_body = NewProvisioned,
    responses(
        (status = 201, description = "Registered; the token is shown this once", body = Registered),
        (status = 403, description = "The key has expired, is used up, or is not for such an id", body = Problem),
        (status = 404, description = "No provisioning key came with it, or it is gone", body = Problem),
        (status = 409, description = "The id or the serial number is taken", body = Problem),
        (status = 422, description = "A field makes no sense", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn provision_device(
    params: Params,
    Body(body): Body<NewProvisioned>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let id =
        DeviceId::parse(&body.device_id).map_err(|error| FieldError::bad("device_id", error.to_string()))?;
    let (key, address) = key_of(&access)?;
    let (used, device) = (key.clone(), id.clone());
    let counted = access.change(|reply| UseProvisioningKey { key: used, device, address, reply }).await??;
    let registered = register(&access, &key, counted, id, body).await;
    let is_counted = matches!(registered, Ok((_, IsNew(true))));
    if !is_counted && access.ask(GiveBackProvisioningUse { key }).await.is_err() {
        warn!("a use of a provisioning key that came to nothing stays counted");
    }
    Ok(reply::json(StatusCode::CREATED, &registered?.0))
}

/// It was not there before.
struct IsNew(bool);

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
    key: &SecretId,
    counted: ProvisioningUse,
    id: DeviceId,
    body: NewProvisioned,
) -> Result<(Registered, IsNew), ApiError> {
    let Holder::Known(identity) = access.holder() else { return Err(AccountRefusal::UnknownKey.into()) };
    let grant = access.state.grant_of_maker(identity, &counted);
    let Provisioning { template_id, group_id, .. } = counted.provisioning;

    let (name, serial) = (body.name().to_owned(), body.serial_number.clone());
    if let Some(serial) = serial.filter(|serial| !serial.is_empty()) {
        check_serial(&grant, &serial, Some(&id)).await?;
    }
    let mut patch = body.patch();
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
    let (taken, is_new) = match grant.deliver(registration).await {
        Ok(taken) => (taken, IsNew(true)),
        Err(HubError::Refused(Refusal::Registered(_))) if is_waiting(&grant, key, &id).await? => {
            let change = access.state.tokens.change(&token, None)?;
            (grant.deliver(InputRequest::new(id.clone(), Input::SetToken(change))).await?, IsNew(false))
        }
        Err(refused) => return Err(refused.into()),
    };
    Ok((Registered::new(&id, &name, token, taken.version, &access.state.info), is_new))
}

/// Did the device register itself with this key, and was it never heard since?
async fn is_waiting(grant: &Grant, key: &SecretId, id: &DeviceId) -> Result<bool, ApiError> {
    let twin = grant.read(id).await?;
    let is_its = |twin: &twinhub_domain::Twin| twin.profile.text(PROVISIONED_BY) == key.as_str();
    Ok(twin.is_some_and(|twin| is_its(&twin) && !twin.presence.was_heard()))
}
