//! Groups made, changed and removed.

use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use tokio::sync::oneshot;
use twinhub_access::{Action, Reach};
use twinhub_actors::access::Grant;
use twinhub_actors::messages::groups::{DeleteGroup, DeleteGroupReply, PutGroup, PutGroupReply};
use twinhub_domain::fleet::{GroupId, GroupPrecondition, GroupRequest};
use twinhub_domain::{EntityTags, Json};
use utoipa::ToSchema;

use super::{ask, view, wait};
use crate::api::groups::request::{GroupChange, NewGroup};
use crate::api::groups::schema::GroupItem;
use crate::http::Access;
use crate::http::extract::body::{Body, NamePath};
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::Params;
use crate::http::extract::precondition::{if_match_content, tagged};
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;
use crate::http::reply::Document;

/// So long somebody waits at most who has a group emptied: each of its devices moves for itself.
const LONGEST_REMOVAL: Duration = Duration::from_secs(600);

/// A removal's answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct GroupDeleted {
    #[schema(example = "hall-2")]
    id: String,
    deleted: bool,
    /// Devices that were moved out of it.
    devices_moved: u64,
    /// Groups that were.
    groups_moved: u64,
    /// The group that they are in now; null: none.
    moved_to: Option<String>,
    message: String,
}

/// Makes a group.
#[utoipa::path(
    post,
    path = "/api/groups",
    tag = "groups",
    request_body = NewGroup,
    responses(
        (status = 201, description = "It is made", body = GroupItem, headers(
            ("Location" = String, description = "Where the group is"),
            ("ETag" = String, description = "The tag of what is said of it, quoted: counts are not in it"),
        )),
        (status = 409, description = "The id is taken", body = Problem),
        (status = 422, description = "A field makes no sense, or there is no such parent", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn post_group(
    params: Params,
    Body(group): Body<NewGroup>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let mut requested = group.group_request()?;
    if requested.name.is_none() {
        return Err(FieldError::missing("name").into());
    }
    put(&access, requested.id.take(), requested, GroupPrecondition::New, None).await
}

/// Changes what the body names; the rest stays.
#[utoipa::path(
    put,
    path = "/api/groups/{id}",
    tag = "groups",
    params(
        ("id" = String, Path, description = "The group's id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the group to change, or a list of them"),
    ),
    request_body = GroupChange,
    responses(
        (status = 200, body = GroupItem, headers(("ETag" = String, description = "The tag of what is said of it, quoted: counts are not in it"))),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The group is none of those that `If-Match` names", body = Problem),
        (status = 404, description = "There is no such group", body = Problem),
        (status = 409, description = "It would be under itself: `detail` names the circle", body = Problem),
        (status = 422, description = "A field makes no sense, or there is no such parent", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn put_group(
    request: HttpRequest,
    group: NamePath,
    params: Params,
    body: Body<GroupChange>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    change(&request, group, params, body, &access).await
}

/// Changes what the body names; the rest stays.
#[utoipa::path(
    patch,
    path = "/api/groups/{id}",
    tag = "groups",
    params(
        ("id" = String, Path, description = "The group's id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the group to change, or a list of them"),
    ),
    request_body = GroupChange,
    responses(
        (status = 200, body = GroupItem, headers(("ETag" = String, description = "The tag of what is said of it, quoted: counts are not in it"))),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The group is none of those that `If-Match` names", body = Problem),
        (status = 404, description = "There is no such group", body = Problem),
        (status = 409, description = "It would be under itself: `detail` names the circle", body = Problem),
        (status = 422, description = "A field makes no sense, or there is no such parent", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn patch_group(
    request: HttpRequest,
    group: NamePath,
    params: Params,
    body: Body<GroupChange>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    change(&request, group, params, body, &access).await
}

/// Removes a group that is empty. With `force`, its devices and groups move to the group above first, or to
/// none where it is at the top.
#[utoipa::path(
    delete,
    path = "/api/groups/{id}",
    tag = "groups",
    params(
        ("id" = String, Path, description = "The group's id"),
        ("force" = Option<bool>, Query, description = "Also where devices or groups stand in it"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` of the group to remove, or a list of them"),
    ),
    responses(
        (status = 200, body = GroupDeleted),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The group is none of those that `If-Match` names", body = Problem),
        (status = 404, body = Problem),
        (status = 409, description = "Devices or groups stand in it: `detail` says how many", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn delete_group(
    request: HttpRequest,
    NamePath(id): NamePath,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let force = params.value("force", "true or false")?.unwrap_or(false);
    params.finish()?;
    let if_tag = if_match_content(&request)?;
    may_write(&access)?;
    let removed = Grant::see_through(async move {
        let (cause, (reply, gone)) = (access.cause(), oneshot::channel());
        access.send(DeleteGroup { id, reach: Reach::default(), force, if_tag, cause, reply })?;
        let patience = if force { LONGEST_REMOVAL } else { access.settings().patience };
        let removed = wait(&access, patience, gone).await??;
        let moved = [("devices", count(removed.devices)), ("groups", count(removed.groups))];
        access.audit_done(Action::GroupRemoved, &format!("group:{}", removed.group.id), moved).await;
        Ok::<DeleteGroupReply, ApiError>(removed)
    });
    let DeleteGroupReply { group, devices, groups } = removed.await??;
    let deleted = GroupDeleted {
        message: format!("Group {} was removed", group.id),
        id: group.id.to_string(),
        deleted: true,
        devices_moved: devices,
        groups_moved: groups,
        moved_to: group.parent_group.filter(|_| devices + groups > 0).map(|parent| parent.to_string()),
    };
    Ok(reply::json(StatusCode::OK, &deleted))
}

async fn change(
    request: &HttpRequest,
    NamePath(id): NamePath,
    params: Params,
    Body(body): Body<GroupChange>,
    access: &Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let requested = body.group_request()?;
    let id = GroupId::as_stored(&id).ok_or_else(|| ApiError::no_group(&id))?;
    put(access, Some(id), requested, GroupPrecondition::There, if_match_content(request)?).await
}

async fn put(
    access: &Access,
    id: Option<GroupId>,
    requested: GroupRequest,
    expect: GroupPrecondition,
    if_tag: Option<EntityTags>,
) -> Result<HttpResponse, ApiError> {
    may_write(access)?;
    let cause = access.cause();
    let put = move |reply| PutGroup { id, requested, reach: Reach::default(), expect, if_tag, cause, reply };
    let asking = access.clone();
    let stood = Grant::see_through(async move {
        let stood: PutGroupReply = ask(&asking, put).await??;
        if stood.moved {
            let to = stood.parent.as_ref().map_or(Json::Null, |parent| Json::from(parent.as_str()));
            let target = format!("group:{}", stood.view.group.id);
            asking.audit_done(Action::GroupMoved, &target, [("to", to)]).await;
        }
        Ok::<PutGroupReply, ApiError>(stood)
    });
    let PutGroupReply { view: stands, made, .. } = stood.await??;
    let response = if made { HttpResponse::Created() } else { HttpResponse::Ok() };
    let mut response = tagged(response, &stands.group.tag());
    if made {
        response.insert_header((header::LOCATION, format!("/api/groups/{}", stands.group.id)));
    }
    Ok(Document::of(&view::document(&stands)).send(response))
}

fn count(number: u64) -> Json {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

fn may_write(access: &Access) -> Result<(), ApiError> {
    access.check_store()?;
    Ok(())
}
