//! Users, as admins see and change them.

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use twinhub_actors::messages::accounts::{
    AddUser, ChangeUser, EndTotp, FindUser, ListUsers, RemoveUser, SetPassword, UserView,
};

use crate::api::auth::request::{AccountChange, NewAccount, NewPassword};
use crate::api::auth::view::UserItem;
use crate::http::Access;
use crate::http::extract::body::{Body, NamePath};
use crate::http::extract::paging::Paging;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;
use crate::http::routes::routes;

mod invitations;

routes! {
    Users: invitations::list_invitations,
    Users: invitations::make_invitation,
    Users: invitations::revoke_invitation,
    Users: self::list_users,
    Users: self::add_user,
    Users: self::get_user,
    Users: self::change_user,
    Users: self::remove_user,
    Users: self::set_password,
    Users: self::remove_totp,
}

/// All users, by name.
#[utoipa::path(
    get,
    path = "/api/users",
    tag = "users",
    params(
        ("page" = Option<u64>, Query, description = "From 1"),
        ("limit" = Option<u64>, Query, description = "20 by default, 1,000 at most"),
    ),
    responses(
        (status = 200, description = "A page of users", body = [UserItem],
            headers(("X-Total-Count" = u64, description = "The number of entries on all pages"), ("Link" = String))),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_users(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let paging = Paging::take(&mut params)?;
    params.finish()?;
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let page = access.ask(ListUsers { offset: size(paging.offset()), limit: size(paging.limit) }).await?;
    let mut response = HttpResponse::Ok();
    paging.set_headers(&mut response, request.path(), &all, page.total as u64);
    let items: Vec<_> = page.users.iter().map(UserItem::of).collect();
    Ok(reply::json_with(response, &items))
}

/// Makes a user.
#[utoipa::path(
    post,
    path = "/api/users",
    tag = "users",
    request_body = NewAccount,
    responses(
        (status = 201, body = UserItem),
        (status = 409, description = "There is a user of this name or e-mail address", body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn add_user(
    params: Params,
    Body(body): Body<NewAccount>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let ((user, role), by) = (body.read()?, access.asker());
    let made = access.change(|reply| AddUser { user, role, by, reply }).await??;
    Ok(reply::json(StatusCode::CREATED, &UserItem::of(&made)))
}

/// One user.
#[utoipa::path(
    get,
    path = "/api/users/{name}",
    tag = "users",
    params(("name" = String, Path, description = "The user's name")),
    responses((status = 200, body = UserItem), (status = 404, body = Problem))
)]
pub async fn get_user(
    NamePath(name): NamePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    Ok(reply::json(StatusCode::OK, &UserItem::of(&find(&access, name).await?)))
}

/// Changes a user. What is open by sessions and keys that have less rights by it ends.
#[utoipa::path(
    patch,
    path = "/api/users/{name}",
    tag = "users",
    params(("name" = String, Path, description = "The user's name")),
    request_body = AccountChange,
    responses(
        (status = 200, body = UserItem),
        (status = 404, body = Problem),
        (status = 409, description = "It is the last admin, or another user has this e-mail address", body = Problem),
        (status = 422, body = Problem),
    )
)]
pub async fn change_user(
    NamePath(name): NamePath,
    params: Params,
    Body(body): Body<AccountChange>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (change, user, by) = (body.edit()?, find(&access, name).await?.id, access.asker());
    let changed = access.change(|reply| ChangeUser { user, change, by, reply }).await??;
    Ok(reply::json(StatusCode::OK, &UserItem::of(&changed)))
}

/// Removes a user, with their sessions and keys.
#[utoipa::path(
    delete,
    path = "/api/users/{name}",
    tag = "users",
    params(("name" = String, Path, description = "The user's name")),
    responses(
        (status = 200, description = "The user as it was", body = UserItem),
        (status = 404, body = Problem),
        (status = 409, description = "It is the last admin", body = Problem),
    )
)]
pub async fn remove_user(
    NamePath(name): NamePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (user, by) = (find(&access, name).await?.id, access.asker());
    let removed = access.change(|reply| RemoveUser { user, by, reply }).await??;
    Ok(reply::json(StatusCode::OK, &UserItem::of(&removed)))
}

/// Sets a user's password, and ends their sessions.
#[utoipa::path(
    put,
    path = "/api/users/{name}/password",
    tag = "users",
    params(("name" = String, Path, description = "The user's name")),
    request_body = NewPassword,
    responses((status = 204), (status = 404, body = Problem), (status = 422, body = Problem))
)]
pub async fn set_password(
    NamePath(name): NamePath,
    params: Params,
    Body(body): Body<NewPassword>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (new, user, by) = (body.read()?, find(&access, name).await?.id, access.asker());
    access.change(|reply| SetPassword { user, old: None, new, by, reply }).await??;
    Ok(HttpResponse::NoContent().finish())
}

/// Turns a user's second factor off, who has lost the app and the recovery codes.
#[utoipa::path(
    delete,
    path = "/api/users/{name}/totp",
    tag = "users",
    params(("name" = String, Path, description = "The user's name")),
    responses(
        (status = 204),
        (status = 404, body = Problem),
        (status = 409, description = "There is none", body = Problem),
    )
)]
pub async fn remove_totp(
    NamePath(name): NamePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let (user, by) = (find(&access, name).await?.id, access.asker());
    access.change(|reply| EndTotp { user, password: None, by, reply }).await??;
    Ok(HttpResponse::NoContent().finish())
}

async fn find(access: &Access, login: Box<str>) -> Result<UserView, ApiError> {
    access.ask(FindUser { login }).await?.ok_or_else(ApiError::no_user)
}
