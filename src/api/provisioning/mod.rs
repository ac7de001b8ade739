//! `/api/provisioning`: keys with which devices register themselves, and how they do.

mod newcomers;
pub(crate) mod over_mqtt;
mod provision;
pub mod request;
pub(crate) mod view;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use twinhub_access::{DisplayName, KeyPurpose, Provisioning, SecretId};
use twinhub_actors::messages::accounts::AccountRefusal;
use twinhub_actors::messages::bound_keys::{
    BoundKeysOf, ListBoundKeys, MakeBoundKey, NewBoundKey, RevokeBoundKey,
};
use twinhub_domain::fleet::GroupId;
use twinhub_domain::{IdPattern, ReadingTime, Timestamp};

use self::request::NewProvisioningKey;
use self::view::{NewProvisioningKeyItem, ProvisioningKeyItem};
use crate::http::Access;
use crate::http::extract::body::{Body, NamePath};
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::{MOMENT, Params, moment};
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;
use crate::http::routes::routes;

routes! {
    Manage: self::list_provisioning_keys,
    Manage: self::make_provisioning_key,
    Manage: self::revoke_provisioning_key,
    Provision: provision::provision_device,
}

/// Provisioning keys, the newest first: one's own; of admins, all.
#[utoipa::path(
    get,
    path = "/api/provisioning/keys",
    tag = "devices",
    responses((status = 200, body = [ProvisioningKeyItem]))
)]
pub async fn list_provisioning_keys(params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (of, by) = (BoundKeysOf::Provisioning, access.asker());
    let keys = access.ask(ListBoundKeys { of, by }).await??;
    let items: Vec<_> = keys.iter().map(ProvisioningKeyItem::of).collect();
    Ok(reply::json(StatusCode::OK, &items))
}

/// Makes a provisioning key. Its secret is in this answer, and nowhere else. Devices register themselves by the rights
/// that its maker has at that moment.
#[utoipa::path(
    post,
    path = "/api/provisioning/keys",
    tag = "devices",
    request_body = NewProvisioningKey,
    responses(
        (status = 201, body = NewProvisioningKeyItem),
        (status = 409, description = "There are as many as there may be", body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn make_provisioning_key(
    params: Params,
    Body(body): Body<NewProvisioningKey>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (key, by) = (new_key(body, &access)?, access.asker());
    let made = access.change(|reply| MakeBoundKey { key, by, reply }).await??;
    Ok(reply::json(StatusCode::CREATED, &NewProvisioningKeyItem::of(&made)))
}

/// Revokes a provisioning key. Devices that have registered with it stay as they are.
#[utoipa::path(
    delete,
    path = "/api/provisioning/keys/{id}",
    tag = "devices",
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 200, body = ProvisioningKeyItem), (status = 404, body = Problem))
)]
pub async fn revoke_provisioning_key(
    NamePath(id): NamePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (key, by) = (SecretId::parse(&id).ok_or(AccountRefusal::UnknownKey)?, access.asker());
    let of = BoundKeysOf::Provisioning;
    let revoked = access.change(|reply| RevokeBoundKey { of, key, by, reply }).await??;
    Ok(reply::json(StatusCode::OK, &ProvisioningKeyItem::of(&revoked)))
}

fn new_key(body: NewProvisioningKey, access: &Access) -> Result<NewBoundKey, FieldError> {
    let NewProvisioningKey { name, template_id, group_id, uses, until, ids } = body;
    let name = DisplayName::parse(&name).map_err(|error| FieldError::bad("name", error.to_string()))?;
    if let Some(template) = template_id.as_deref().filter(|id| access.catalog().get(id).is_none()) {
        return Err(FieldError::bad("template_id", format!("there is no template `{template}`")));
    }
    let group_id = group_id.map(|id| group(&id, access)).transpose()?;
    let pattern = |text: Box<str>| {
        IdPattern::parse(&text).map_err(|error| FieldError::bad("ids", format!("`{text}`: {error}")))
    };
    let ids = ids.unwrap_or_default().into_iter().map(pattern).collect::<Result<_, _>>()?;
    let expires_at = until.map(|text| end(&text)).transpose()?;
    let purpose = KeyPurpose::Provisioning(Provisioning { template_id, group_id, ids });
    Ok(NewBoundKey { name, purpose, expires_at, most_uses: uses })
}

fn group(id: &str, access: &Access) -> Result<GroupId, FieldError> {
    let known = GroupId::as_stored(id).filter(|group| access.tree().contains(group.as_str()));
    known.ok_or_else(|| FieldError::bad("group_id", format!("there is no group `{id}`")))
}

fn end(text: &str) -> Result<Timestamp, FieldError> {
    let shown: String = text.chars().take(64).collect();
    let end = moment(text, true).map(ReadingTime::ceil);
    end.ok_or_else(|| FieldError::bad("until", format!("expected {MOMENT}, found `{shown}`")))
}
