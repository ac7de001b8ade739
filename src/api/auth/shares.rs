//! Share links: whoever has one looks on as a viewer, without an account. Its secret stands behind the `#` of the
//! address, which no browser sends; the page of the link has the browser keep it as a cookie.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use twinhub_access::SecretKind;
use twinhub_actors::messages::accounts::{KeysOf, MakeShare};

use super::request::{NewShareRequest, ShareToken};
use super::view::{CallerItem, KeyItem, LinkItem};
use super::{address_of_share, caller_item, cookie, keys, needed_id, permission_words};
use crate::http::extract::body::{Body, NamePath};
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::{Access, Holder, client, reply};

/// One's own share links, the newest first.
#[utoipa::path(
    get,
    path = "/api/auth/shares",
    tag = "sign-in",
    responses((status = 200, body = [KeyItem]))
)]
pub async fn list_shares(params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    keys::list(&access, KeysOf::Shares(needed_id(&access)?)).await
}

/// Makes a share link. It is in this answer, and nowhere else.
#[utoipa::path(
    post,
    path = "/api/auth/shares",
    tag = "sign-in",
    request_body = NewShareRequest,
    responses(
        (status = 201, body = LinkItem),
        (status = 409, description = "There are as many as a user may have", body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn make_share(
    params: Params,
    Body(body): Body<NewShareRequest>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (key, by) = (body.key()?, access.asker());
    let made = access.change(|reply| MakeShare { key, by, reply }).await??;
    let link = address_of_share(&access.state, made.secret.reveal());
    Ok(reply::json(StatusCode::CREATED, &LinkItem::of(link, &made.key)))
}

/// Ends a share link of one's own; admins, any. What is open by it ends.
#[utoipa::path(
    delete,
    path = "/api/auth/shares/{id}",
    tag = "sign-in",
    params(("id" = String, Path, description = "The link's id")),
    responses((status = 200, body = KeyItem), (status = 404, body = Problem))
)]
pub async fn revoke_share(
    NamePath(id): NamePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    keys::revoke(&access, &id, &[SecretKind::Share]).await
}

/// Has a browser look on by a share link, for as long as that counts. Who has signed in stays so, and is told who they are.
#[utoipa::path(
    post,
    path = "/api/auth/shares/open",
    tag = "sign-in",
    request_body = ShareToken,
    responses(
        (status = 200, body = CallerItem, headers(("Set-Cookie" = String, description = "The share link; none for who has signed in"))),
        (status = 401, description = "There is no such link, or none any more", body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn open_share(
    request: actix_web::HttpRequest,
    params: Params,
    Body(body): Body<ShareToken>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let token = body.read();
    let (admission, ends_at) = access.state.admit_share(&token, client::of(&request).address).await?;
    let is_signed_in = matches!(access.holder(), Holder::Known(identity) if identity.session.is_some());
    if is_signed_in {
        // The link would stand in the place of their session, and show them less.
        return Ok(reply::json(StatusCode::OK, &caller_item(&access).await?));
    }
    let by_link = Access::new(access.state.clone(), admission);
    let permissions = permission_words(|permission| by_link.demand(*permission).is_ok());
    let item = CallerItem { caller: by_link.caller().name(), user: None, role: None, permissions };
    let mut response = HttpResponse::Ok();
    let life_ms = ends_at.millis() - access.now().millis();
    cookie::give_share(&mut response, &access.state, (&token, life_ms), &request);
    Ok(reply::json_with(response, &item))
}
