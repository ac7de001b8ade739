//! Signing in: the first user, sessions, one's own password, keys and second factor.

pub(crate) mod cookie;
pub(crate) mod keys;
pub(crate) mod oidc;
pub(crate) mod request;
pub(crate) mod sessions;
pub(crate) mod shares;
pub(crate) mod totp;
pub(crate) mod view;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use twinhub_access::{DisplayName, Role, ScopeWish, SessionKind, UserId};
use twinhub_actors::access::Permission;
use twinhub_actors::messages::accounts::{
    AccountRefusal, MakeKey, NewKey, Peer, ReadOwnUser, Register, SetPassword, SetUp, SignIn, SignOut,
    SignedIn,
};

use self::request::{NewLogin, NewRegistration, NewSetUp, PasswordChange};
use self::view::{CallerItem, LoginItem, SessionItem, SignedOutItem, UserItem};
use crate::http::extract::body::Body;
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;
use crate::http::routes::routes;
use crate::http::sign_in::{JOIN, SHARE};
use crate::http::{Access, Holder, client};
use crate::state::WebState;

/// The name of the key that a registration in another system's words makes.
const FIRST_KEY: &str = "registration";

routes! {
    Public: self::set_up,
    Public: self::register,
    Public: self::login,
    Public: self::logout,
    Public: oidc::begin_sign_on,
    Public: oidc::finish_sign_on,
    Read: self::get_caller,
    Account: self::change_password,
    Account: sessions::list_sessions,
    Account: sessions::end_other_sessions,
    Account: sessions::end_session,
    Account: keys::list_keys,
    Account: keys::make_key,
    Account: keys::revoke_key,
    Account: shares::list_shares,
    Manage: shares::make_share,
    Account: shares::revoke_share,
    Public: shares::open_share,
    Account: totp::begin_totp,
    Account: totp::confirm_totp,
    Account: totp::end_totp,
}

/// Makes the first user, an admin, and signs them in. From then on nobody is let in without signing in.
#[utoipa::path(
    post,
    path = "/api/auth/setup",
    tag = "sign-in",
    request_body = NewSetUp,
    responses(
        (status = 201, body = LoginItem, headers(("Set-Cookie" = String, description = "The session"))),
        (status = 403, description = "The token is none, was used, or is too old", body = Problem),
        (status = 409, description = "There is a user", body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn set_up(
    request: HttpRequest,
    params: Params,
    Body(body): Body<NewSetUp>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let ((token, user), peer) = (body.read()?, peer(&request));
    let signed_in = access.change(|reply| SetUp { token, user, peer, reply }).await??;
    Ok(welcome(&access, StatusCode::CREATED, &signed_in, None, &request).await)
}

/// Makes a user of the caller, and signs them in: an operator, where the option `registration` is `open`, or of the role
/// that an invitation says. While there is
/// no user, a caller from this machine becomes admin.
#[utoipa::path(
    post,
    path = "/api/auth/register",
    tag = "sign-in",
    request_body = NewRegistration,
    responses(
        (status = 201, body = LoginItem, headers(("Set-Cookie" = String, description = "The session"))),
        (status = 403, description = "Registration is closed, or takes another invitation", body = Problem),
        (status = 409, description = "There is a user of this name or e-mail address", body = Problem),
        (status = 422, body = Problem),
        (status = 429, description = "Too many registrations from this address", body = Problem,
            headers(("Retry-After" = u64, description = "Seconds"))),
    )
)]
pub async fn register(
    request: HttpRequest,
    params: Params,
    Body(body): Body<NewRegistration>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (asks_for_key, peer) = (body.asks_for_key(), peer(&request));
    let (user, invitation) = body.read()?;
    let is_here = peer.address.is_loopback() && !client::of(&request).is_handed_on;
    let may_be_first = access.state.is_local_only && is_here;
    let signed_in = access.change(|reply| Register { user, invitation, may_be_first, peer, reply }).await??;
    let api_key = if asks_for_key { Some(first_key(&access, &signed_in).await?) } else { None };
    Ok(welcome(&access, StatusCode::CREATED, &signed_in, api_key, &request).await)
}

/// A key of a user who has just registered, of their own role.
async fn first_key(access: &Access, signed_in: &SignedIn) -> Result<String, ApiError> {
    let admission = access.state.admit_session(&signed_in.token.reveal(), signed_in.session.address).await?;
    let own = Access::new(access.state.clone(), admission);
    let name = DisplayName::parse(FIRST_KEY).map_err(|error| FieldError::bad("name", error.to_string()))?;
    let (key, by) =
        (NewKey { name, role: signed_in.user.role, scope: ScopeWish::default(), life_ms: None }, own.asker());
    let made = own.change(|reply| MakeKey { key, by, reply }).await??;
    Ok(made.secret.reveal().to_owned())
}

/// Signs a user in. The session is in the cookie of the answer; programs use keys instead.
#[utoipa::path(
    post,
    path = "/api/auth/login",
    tag = "sign-in",
    request_body = NewLogin,
    responses(
        (status = 200, body = LoginItem, headers(("Set-Cookie" = String, description = "The session"))),
        (status = 401, description = "The name or the password is wrong, or the code of the second factor is \
            (`wrong_code`) or is needed (`code_needed`)", body = Problem),
        (status = 422, body = Problem),
        (status = 429, description = "Too many tries", body = Problem,
            headers(("Retry-After" = u64, description = "Seconds"))),
    )
)]
pub async fn login(
    request: HttpRequest,
    params: Params,
    Body(body): Body<NewLogin>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let ((login, password, code), peer) = (body.read()?, peer(&request));
    let signed_in = access.change(|reply| SignIn { login, password, code, peer, reply }).await??;
    Ok(welcome(&access, StatusCode::OK, &signed_in, None, &request).await)
}

/// Signs out: the session ends, with everything that is open by it, live views of devices too. What devices, keys and
/// other sessions have open stays.
#[utoipa::path(
    post,
    path = "/api/auth/logout",
    tag = "sign-in",
    responses((status = 200, body = SignedOutItem,
        headers(("Set-Cookie" = String, description = "Takes the cookie away"))))
)]
pub async fn logout(params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    end_own_session(&access).await?;
    let mut response = HttpResponse::Ok();
    cookie::take(&mut response, &access.state);
    Ok(reply::json_with(response, &SignedOutItem { message: "signed out" }))
}

/// The caller: the user, the role and the permissions that they have.
#[utoipa::path(
    get,
    path = "/api/auth/user",
    tag = "sign-in",
    responses(
        (status = 200, body = CallerItem),
        (status = 401, description = "Nobody has signed in, and the hub is not open", body = Problem),
    )
)]
pub async fn get_caller(params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    Ok(reply::json(StatusCode::OK, &caller_item(&access).await?))
}

async fn caller_item(access: &Access) -> Result<CallerItem, ApiError> {
    let has = |permission: &Permission| access.demand(*permission).is_ok();
    let permissions = permission_words(has);
    let role = match access.holder() {
        Holder::Known(identity) => Some(identity.rights.role),
        Holder::Device(_) => Some(Role::Device),
        Holder::Anonymous | Holder::Program => None,
    };
    let user = match own_id(access) {
        // A key has no account, though its owner has.
        Some(_) if has(&Permission::Account) => {
            Some(UserItem::of(&access.ask(ReadOwnUser { by: access.asker() }).await??))
        }
        _ => None,
    };
    Ok(CallerItem { caller: access.caller().name(), user, role, permissions })
}

/// Sets one's own password, and ends one's other sessions.
#[utoipa::path(
    put,
    path = "/api/auth/password",
    tag = "sign-in",
    request_body = PasswordChange,
    responses(
        (status = 204),
        (status = 403, description = "The present password is wrong", body = Problem),
        (status = 409, description = "The account has none: its user signs in by the identity provider", body = Problem),
        (status = 422, description = "The new one is too short, or among those that are tried first", body = Problem),
        (status = 429, description = "Too many tries", body = Problem,
            headers(("Retry-After" = u64, description = "Seconds"))),
    )
)]
pub async fn change_password(
    params: Params,
    Body(body): Body<PasswordChange>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (user, (old, new)) = (needed_id(&access)?, body.read()?);
    let by = access.asker();
    access.change(|reply| SetPassword { user, old: Some(old), new, by, reply }).await??;
    Ok(HttpResponse::NoContent().finish())
}

/// The answer to a user who has signed in. A session that they came by ends: after each gain of rights it is a new one.
async fn welcome(
    access: &Access,
    status: StatusCode,
    signed_in: &SignedIn,
    api_key: Option<String>,
    asked: &HttpRequest,
) -> HttpResponse {
    if let Err(error) = end_own_session(access).await {
        tracing::warn!(%error, "the session before could not be ended");
    }
    let SignedIn { token, session, user, recovery_codes_left } = signed_in;
    let item = LoginItem {
        user: UserItem::of(user),
        session: SessionItem::of(session),
        recovery_codes_left: *recovery_codes_left,
        permissions: permission_words(|permission| user.role.permissions().contain(*permission)),
        api_key,
    };
    let mut response = HttpResponse::build(status);
    cookie::give(&mut response, &access.state, token, asked);
    reply::json_with(response, &item)
}

/// The link of an invitation. What stands behind the `#` no browser sends, so it is in no log.
pub(crate) fn address_of_invitation(state: &WebState, secret: &str) -> String {
    format!("{}{JOIN}#{secret}", state.info.public_url)
}

/// The link by which somebody looks on.
fn address_of_share(state: &WebState, secret: &str) -> String {
    format!("{}{SHARE}#{secret}", state.info.public_url)
}

pub(crate) fn permission_words(has: impl Fn(&Permission) -> bool) -> Vec<&'static str> {
    Permission::ALL.into_iter().filter(has).map(Permission::as_str).collect()
}

async fn end_own_session(access: &Access) -> Result<(), ApiError> {
    let Holder::Known(identity) = access.holder() else { return Ok(()) };
    if identity.session.is_none() {
        return Ok(());
    }
    let by = access.asker();
    match access.change(|reply| SignOut { by, reply }).await? {
        // It has ended meanwhile.
        Ok(()) | Err(AccountRefusal::UnknownSession | AccountRefusal::NotSignedIn) => Ok(()),
        Err(refusal) => Err(refusal.into()),
    }
}

/// The id of the user that the caller is.
pub(crate) fn own_id(access: &Access) -> Option<UserId> {
    match access.holder() {
        Holder::Known(identity) => identity.user,
        Holder::Anonymous | Holder::Program | Holder::Device(_) => None,
    }
}

/// The same where there must be one.
///
/// # Errors
/// The caller is no user.
pub(crate) fn needed_id(access: &Access) -> Result<UserId, ApiError> {
    own_id(access).ok_or_else(|| AccountRefusal::NotSignedIn.into())
}

/// The far end of the connection.
pub(crate) fn peer(request: &HttpRequest) -> Peer {
    let agent = request.headers().get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let (address, agent) = (client::of(request).address, agent.unwrap_or_default().into());
    Peer { address, agent, shows: SessionKind::Cookie }
}
