//! Keys for programs: one's own, and those of service accounts.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use twinhub_access::{SecretId, SecretKind};
use twinhub_actors::messages::accounts::{
    AccountRefusal, KeysOf, ListKeys, MakeKey, MakeServiceKey, PROGRAM_KEYS, RevokeKey,
};

use super::own_id;
use super::request::NewKeyRequest;
use super::view::{KeyItem, NewKeyItem};
use crate::http::Access;
use crate::http::extract::body::{Body, NamePath};
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;

/// Keys, the newest first: one's own; of admins who ask for them, those of service accounts, or all there are.
#[utoipa::path(
    get,
    path = "/api/auth/keys",
    tag = "sign-in",
    params(("of" = Option<String>, Query, description = "`own` (the default of users), `services` or `all`")),
    responses((status = 200, body = [KeyItem]), (status = 422, body = Problem))
)]
pub async fn list_keys(mut params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    let own = own_id(&access).map(KeysOf::User);
    let of = params.read("of", "own, services or all", |word| match word {
        "own" => Some(own.ok_or(AccountRefusal::NotSignedIn)),
        "services" => Some(Ok(KeysOf::Services)),
        "all" => Some(Ok(KeysOf::Anybody)),
        _ => None,
    })?;
    params.finish()?;
    list(&access, of.transpose()?.or(own).unwrap_or(KeysOf::Services)).await
}

/// Makes a key. Its secret is in this answer, and nowhere else.
#[utoipa::path(
    post,
    path = "/api/auth/keys",
    tag = "sign-in",
    request_body = NewKeyRequest,
    responses(
        (status = 201, body = NewKeyItem),
        (status = 409, description = "There are as many as a user may have", body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn make_key(
    params: Params,
    Body(body): Body<NewKeyRequest>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (is_service, by) = (body.service.unwrap_or(false), access.asker());
    let key = body.key()?;
    let made = match is_service {
        true => access.change(|reply| MakeServiceKey { key, by, reply }).await??,
        false => access.change(|reply| MakeKey { key, by, reply }).await??,
    };
    Ok(reply::json(StatusCode::CREATED, &NewKeyItem::of(&made)))
}

/// Revokes a key of one's own; admins, any. What is open by it ends.
#[utoipa::path(
    delete,
    path = "/api/auth/keys/{id}",
    tag = "sign-in",
    params(("id" = String, Path, description = "The key's id")),
    responses((status = 200, body = KeyItem), (status = 404, body = Problem))
)]
pub async fn revoke_key(
    NamePath(id): NamePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    revoke(&access, &id, PROGRAM_KEYS).await
}

/// The answer with these keys, links among them.
pub(crate) async fn list(access: &Access, of: KeysOf) -> Result<HttpResponse, ApiError> {
    let keys = access.ask(ListKeys { of, by: access.asker() }).await??;
    let items: Vec<_> = keys.iter().map(KeyItem::of).collect();
    Ok(reply::json(StatusCode::OK, &items))
}

/// Revokes the key `id`, where it is of one of these kinds, and answers with it.
pub(crate) async fn revoke(
    access: &Access,
    id: &str,
    kinds: &'static [SecretKind],
) -> Result<HttpResponse, ApiError> {
    let (key, by) = (SecretId::parse(id).ok_or(AccountRefusal::UnknownKey)?, access.asker());
    let revoked = access.change(|reply| RevokeKey { key, kinds, by, reply }).await??;
    Ok(reply::json(StatusCode::OK, &KeyItem::of(&revoked)))
}
