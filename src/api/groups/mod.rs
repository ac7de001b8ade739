//! `/api/groups`: groups of devices, as a tree, with counts.

mod change;
pub(crate) mod request;
pub mod schema;
pub(crate) mod view;

use std::time::Duration;

use actix::dev::ToEnvelope;
use actix::{Context, Handler};
use actix_web::{HttpRequest, HttpResponse};
use tokio::sync::oneshot;
use twinhub_access::Reach;
use twinhub_actors::HubError;
use twinhub_actors::access::HubRequest;
use twinhub_actors::counters;
use twinhub_actors::fleet::groups::Groups;
use twinhub_actors::messages::groups::{GroupPage, GroupQuery, GroupView, ReadGroup, ReadGroups};
use twinhub_domain::{Json, Object};

use crate::api::devices::list::{FixedQuery, list};
use crate::api::devices::schema::{DeviceItem, Listing};
use crate::api::groups::schema::{GroupItem, GroupListing};
use crate::http::Access;
use crate::http::extract::body::NamePath;
use crate::http::extract::fields::FieldError;
use crate::http::extract::paging::Paging;
use crate::http::extract::params::{Params, bad};
use crate::http::extract::precondition::tagged;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::{Document, array};
use crate::http::routes::routes;

routes! {
    Read: self::list_groups,
    Manage: change::post_group,
    Read: self::get_group,
    Manage: change::put_group,
    Manage: change::patch_group,
    Manage: change::delete_group,
    Read: self::list_group_devices,
}

/// The groups, each before those under it, with counts of their devices true to the last commit.
#[utoipa::path(
    get,
    path = "/api/groups",
    tag = "groups",
    params(GroupListing),
    responses(
        (status = 200, description = "A page of groups", body = [GroupItem],
            headers(("X-Total-Count" = u64, description = "The number of entries on all pages"), ("Link" = String))),
        (status = 404, description = "There is no such parent", body = Problem),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_groups(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let paging = Paging::take(&mut params)?;
    let query = query(params, paging)?;
    let nested = query.nested;
    let GroupPage { groups, total } =
        ask(&access, |reply| ReadGroups { query, reach: Reach::default(), reply }).await??;
    let mut response = HttpResponse::Ok();
    paging.set_headers(&mut response, request.path(), &all, total);
    Ok(match nested {
        true => response.content_type("application/json").body(view::nested(&groups)),
        false => array(response, &groups, |group, out| view::document(group).write(out)),
    })
}

/// One group.
#[utoipa::path(
    get,
    path = "/api/groups/{id}",
    tag = "groups",
    params(("id" = String, Path, description = "The group's id")),
    responses(
        (status = 200, body = GroupItem, headers(("ETag" = String, description = "The tag of what is said of it, quoted: counts are not in it"))),
        (status = 404, body = Problem),
    )
)]
pub async fn get_group(
    NamePath(id): NamePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let found = ask(&access, |reply| ReadGroup { id: id.clone(), reach: Reach::default(), reply }).await?;
    let view: GroupView = found.ok_or_else(|| ApiError::no_group(&id))?;
    Ok(Document::of(&view::document(&view)).send(tagged(HttpResponse::Ok(), &view.group.tag())))
}

/// The devices of a group and of all groups under it; with `subtree=false` those of the group alone.
#[utoipa::path(
    get,
    path = "/api/groups/{id}/devices",
    tag = "groups",
    params(("id" = String, Path, description = "The group's id"), Listing),
    responses(
        (status = 200, description = "A page of devices", body = [DeviceItem],
            headers(("X-Total-Count" = u64, description = "The number of entries on all pages"), ("Link" = String),
                ("X-Warnings" = String, description = "As of `/api/devices`"))),
        (status = 404, description = "No such group", body = Problem),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_group_devices(
    request: HttpRequest,
    NamePath(id): NamePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    if !access.tree().contains(&id) {
        return Err(ApiError::no_group(&id));
    }
    list(&request, params, &access, FixedQuery { group: Some(&id), ..FixedQuery::default() }).await
}

/// Checks that the group that `patch` names exists: a device may be only in such a one.
///
/// # Errors
/// There is no such group.
pub(crate) fn check_group(access: &Access, patch: &Object) -> Result<(), FieldError> {
    match patch.get("group_id").and_then(Json::as_str) {
        Some(group) if !group.is_empty() && !access.tree().contains(group) => {
            Err(FieldError::bad("group_id", format!("there is no group `{group}`")))
        }
        _ => Ok(()), // that it is a text, the twin itself says
    }
}

fn query(mut params: Params, paging: Paging) -> Result<GroupQuery, FieldError> {
    let nested = params.value("tree", "true or false")?.unwrap_or(false);
    let q = params.text("q")?;
    if nested && q.is_some() {
        return Err(bad("q", "does not go with `tree`: what is found may stand anywhere"));
    }
    let query = GroupQuery {
        parent: params.text("parent_group")?.map(|parent| Some(parent.into())),
        q,
        nested,
        offset: usize::try_from(paging.offset()).unwrap_or(usize::MAX),
        limit: usize::try_from(paging.limit).unwrap_or(usize::MAX),
    };
    params.finish()?;
    Ok(query)
}

/// Asks the groups, and waits for the answer as long as people are patient.
pub(crate) async fn ask<M, T>(
    access: &Access,
    message: impl FnOnce(oneshot::Sender<T>) -> M,
) -> Result<T, ApiError>
where
    M: HubRequest<Target = Groups>,
    Groups: Handler<M>,
    Context<Groups>: ToEnvelope<Groups, M>,
{
    let (reply, answer) = oneshot::channel();
    access.send(message(reply))?;
    wait(access, access.settings().patience, answer).await
}

/// Waits for an answer of the groups. With very many devices they take a while after a start to count them; requests
/// meanwhile are answered then, and a change is made before that.
async fn wait<T>(access: &Access, patience: Duration, answer: oneshot::Receiver<T>) -> Result<T, ApiError> {
    let answered = access.answer_in(patience, answer).await;
    match answered {
        Err(HubError::Unavailable(_)) if counters::get(&access.counters().groups_counted) == 0 => {
            let why =
                "the groups' devices are still being counted after the start: a change may be made by now";
            Err(HubError::Unavailable(why).into())
        }
        answered => Ok(answered?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_which_groups() {
        let read = |text: &str| query(Params::parse(text), Paging { page: 2, limit: 10 });
        let wanted = read("parent=plant&q=hall").unwrap();
        assert_eq!((wanted.parent, wanted.q.as_deref()), (Some(Some("plant".into())), Some("hall")));
        assert_eq!((wanted.offset, wanted.limit, wanted.nested), (10, 10, false));
        assert!(read("tree=true").unwrap().nested);
        assert_eq!(read("tree=yes").unwrap_err().field, "tree");
        assert_eq!(read("tree=true&q=x").unwrap_err().field, "q");
        assert_eq!(read("colour=red").unwrap_err().code, "unknown_parameter");
    }
}
