//! Invitations: links by which people make accounts of their own, once each.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use twinhub_access::SecretKind;
use twinhub_actors::messages::accounts::{KeysOf, MakeInvitation};

use crate::api::auth::request::NewInvitation;
use crate::api::auth::view::{KeyItem, LinkItem};
use crate::api::auth::{address_of_invitation, keys};
use crate::http::extract::body::{Body, NamePath};
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::{Access, reply};

/// Invitations that nobody has taken yet, the newest first.
#[utoipa::path(
    get,
    path = "/api/users/invitations",
    tag = "users",
    responses((status = 200, body = [KeyItem]))
)]
pub async fn list_invitations(params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    keys::list(&access, KeysOf::Invitations).await
}

/// Invites somebody: makes a link by which an account of this role is made, once. It is in this answer, and nowhere else.
#[utoipa::path(
    post,
    path = "/api/users/invitations",
    tag = "users",
    request_body = NewInvitation,
    responses(
        (status = 201, body = LinkItem),
        (status = 409, description = "The option `registration` is `closed`", body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn make_invitation(
    params: Params,
    Body(body): Body<NewInvitation>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (key, by) = (body.key()?, access.asker());
    let made = access.change(|reply| MakeInvitation { key, by, reply }).await??;
    let link = address_of_invitation(&access.state, made.secret.reveal());
    Ok(reply::json(StatusCode::CREATED, &LinkItem::of(link, &made.key)))
}

/// Takes an invitation back.
#[utoipa::path(
    delete,
    path = "/api/users/invitations/{id}",
    tag = "users",
    params(("id" = String, Path, description = "The invitation's id")),
    responses((status = 200, body = KeyItem), (status = 404, body = Problem))
)]
pub async fn revoke_invitation(
    NamePath(id): NamePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    keys::revoke(&access, &id, &[SecretKind::Invitation]).await
}
