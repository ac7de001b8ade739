//! One's own second factor: codes of an app.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use twinhub_access::totp::RecoveryCode;
use twinhub_actors::messages::accounts::{BeginTotp, ConfirmTotp, EndTotp};

use super::needed_id;
use super::request::{PresentPassword, TotpCode};
use super::view::{RecoveryCodesItem, TotpItem};
use crate::http::Access;
use crate::http::extract::body::Body;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;

/// Begins to set a second factor up. It counts once a code has confirmed it (`PUT`).
#[utoipa::path(
    post,
    path = "/api/auth/totp",
    tag = "sign-in",
    request_body = PresentPassword,
    responses(
        (status = 201, description = "The secret for the app, shown once", body = TotpItem),
        (status = 403, description = "The password is wrong", body = Problem),
        (status = 409, description = "There is one, or the account has no password", body = Problem),
        (status = 429, description = "Too many tries", body = Problem,
            headers(("Retry-After" = u64, description = "Seconds"))),
    )
)]
pub async fn begin_totp(
    params: Params,
    Body(body): Body<PresentPassword>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (password, by) = (body.read()?, access.asker());
    let begun = access.change(|reply| BeginTotp { password, by, reply }).await??;
    let item = TotpItem { secret: begun.secret().to_owned(), address: begun.address.clone() };
    Ok(reply::json(StatusCode::CREATED, &item))
}

/// Turns the second factor on with the first code of the app.
#[utoipa::path(
    put,
    path = "/api/auth/totp",
    tag = "sign-in",
    request_body = TotpCode,
    responses(
        (status = 200, body = RecoveryCodesItem),
        (status = 401, description = "The code is wrong", body = Problem),
        (status = 409, description = "None was begun", body = Problem),
    )
)]
pub async fn confirm_totp(
    params: Params,
    Body(body): Body<TotpCode>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (code, by) = (body.read(), access.asker());
    let codes = access.change(|reply| ConfirmTotp { code, by, reply }).await??;
    let recovery_codes = codes.iter().map(RecoveryCode::reveal).collect();
    Ok(reply::json(StatusCode::OK, &RecoveryCodesItem { recovery_codes }))
}

/// Turns the second factor off.
#[utoipa::path(
    delete,
    path = "/api/auth/totp",
    tag = "sign-in",
    request_body = PresentPassword,
    responses(
        (status = 204),
        (status = 403, description = "The password is wrong", body = Problem),
        (status = 409, description = "There is none", body = Problem),
    )
)]
pub async fn end_totp(
    params: Params,
    Body(body): Body<PresentPassword>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (user, password, by) = (needed_id(&access)?, Some(body.read()?), access.asker());
    access.change(|reply| EndTotp { user, password, by, reply }).await??;
    Ok(HttpResponse::NoContent().finish())
}
