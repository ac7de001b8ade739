//! Keys with which something out there may set off the rules with a webhook, and nothing else.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Path;
use serde::Deserialize;
use twinhub_access::{DisplayName, KeyPurpose, SecretId};
use twinhub_actors::messages::accounts::AccountRefusal;
use twinhub_actors::messages::bound_keys::{
    BoundKeysOf, ListBoundKeys, MakeBoundKey, NewBoundKey, RevokeBoundKey,
};
use utoipa::ToSchema;

use crate::api::provisioning::view::{NewWebhookKeyItem, WebhookKeyItem};
use crate::http::Access;
use crate::http::extract::body::Body;
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::Params;
use crate::http::extract::read::filled;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;

/// A key of a webhook to be made.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewWebhookKey {
    /// By which it is told from others.
    #[serde(deserialize_with = "filled")]
    #[schema(example = "gate")]
    name: Box<str>,
}

/// The keys of a webhook, the newest first.
#[utoipa::path(
    get,
    path = "/api/automation/webhooks/{name}/keys",
    tag = "automation",
    params(("name" = String, Path, description = "The name in the trigger")),
    responses((status = 200, body = [WebhookKeyItem]))
)]
pub async fn list_webhook_keys(
    name: Path<String>,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (of, by) = (BoundKeysOf::Webhook(name.as_str().into()), access.asker());
    let keys = access.ask(ListBoundKeys { of, by }).await??;
    let items: Vec<_> = keys.iter().map(|key| WebhookKeyItem::of(key, &name)).collect();
    Ok(reply::json(StatusCode::OK, &items))
}

/// Makes a key of the webhook. Its secret is in this answer, and nowhere else.
#[utoipa::path(
    post,
    path = "/api/automation/webhooks/{name}/keys",
    tag = "automation",
    params(("name" = String, Path, description = "The name in the trigger, which a rule may have or get")),
    request_body = NewWebhookKey,
    responses(
        (status = 201, body = NewWebhookKeyItem),
        (status = 409, description = "There are as many as there may be", body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn make_webhook_key(
    name: Path<String>,
    params: Params,
    Body(body): Body<NewWebhookKey>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let of_key = DisplayName::parse(&body.name);
    let of_key = of_key.map_err(|error| FieldError::bad("name", error.to_string()))?;
    let purpose = KeyPurpose::Webhook(name.as_str().into());
    let key = NewBoundKey { name: of_key, purpose, expires_at: None, most_uses: None };
    let by = access.asker();
    let made = access.change(|reply| MakeBoundKey { key, by, reply }).await??;
    Ok(reply::json(StatusCode::CREATED, &NewWebhookKeyItem::of(&made, &name)))
}

/// Revokes a key of the webhook.
#[utoipa::path(
    delete,
    path = "/api/automation/webhooks/{name}/keys/{id}",
    tag = "automation",
    params(
        ("name" = String, Path, description = "The name in the trigger"),
        ("id" = String, Path, description = "The key's id"),
    ),
    responses((status = 200, body = WebhookKeyItem), (status = 404, body = Problem))
)]
pub async fn revoke_webhook_key(
    path: Path<(String, String)>,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (name, id) = path.into_inner();
    let (key, by) = (SecretId::parse(&id).ok_or(AccountRefusal::UnknownKey)?, access.asker());
    let of = BoundKeysOf::Webhook(name.as_str().into());
    let revoked = access.change(|reply| RevokeBoundKey { of, key, by, reply }).await??;
    Ok(reply::json(StatusCode::OK, &WebhookKeyItem::of(&revoked, &name)))
}
