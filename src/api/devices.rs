//! `GET /api/devices`: who is there.

use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use twinhub_actors::domain::fleet::Lifecycle;
use twinhub_actors::domain::{Mode, Status, Timestamp};
use twinhub_actors::messages::archive::ListDevices;
use twinhub_actors::store::{DeviceQuery, DeviceSort};

use super::paging::Paging;
use super::params::{Params, duration_ms};
use super::reply::{array, summary};
use super::schema::{DeviceItem, Listing};
use crate::error::{ApiError, Problem};
use crate::fields::FieldError;
use crate::web::WebState;

/// The orders that a list can be asked for; a `-` before one turns it round.
const SORTS: [(&str, DeviceSort); 8] = [
    ("number", DeviceSort::Number),
    ("id", DeviceSort::Id),
    ("name", DeviceSort::Name),
    ("type", DeviceSort::Type),
    ("status", DeviceSort::Status),
    ("last_seen", DeviceSort::LastSeen),
    ("created_at", DeviceSort::CreatedAt),
    ("updated_at", DeviceSort::UpdatedAt),
];

/// Lists devices, each with its head and its latest readings.
#[utoipa::path(
    get,
    path = "/api/devices",
    tag = "devices",
    params(Listing),
    responses(
        (status = 200, description = "A page of devices", body = [DeviceItem],
            headers(("X-Total-Count" = u64, description = "How many there are on all pages"), ("Link" = String))),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_devices(
    request: HttpRequest,
    params: Params,
    state: Data<WebState>,
) -> Result<HttpResponse, ApiError> {
    list(&request, params, &state, None).await
}

/// The same with `claimed` said already.
pub(super) async fn list(
    request: &HttpRequest,
    mut params: Params,
    state: &WebState,
    claimed: Option<bool>,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let paging = Paging::take(&mut params)?;
    let mut query = query(params, claimed, state.hub.clock.now())?;
    (query.offset, query.limit) = (paging.offset(), paging.limit);
    let page = state.hub.archive.send(ListDevices(query)).await??;
    let mut response = HttpResponse::Ok();
    paging.tell(&mut response, request.path(), &all, page.total);
    Ok(array(response, &page.twins, |twin, out| summary(twin).write(out)))
}

/// The filters and the order of a list.
///
/// # Errors
/// Names the parameter that is wrong.
pub(super) fn query(
    mut params: Params,
    claimed: Option<bool>,
    now: Timestamp,
) -> Result<DeviceQuery, FieldError> {
    let (sort, descending) = params
        .read("sort", "a field to sort by, such as name or -last_seen", |text| {
            let (name, descending) = text.strip_prefix('-').map_or((text, false), |name| (name, true));
            SORTS.iter().find(|(known, _)| *known == name).map(|(_, sort)| (*sort, descending))
        })?
        .unwrap_or_default();
    let query = DeviceQuery {
        numbers: None,
        status: params.words("status", "online, offline or unknown", Status::parse)?,
        drifting_since: params
            .read("drift", "a duration such as 10m", duration_ms)?
            .map(|drift| now.plus_millis(-drift)),
        device_type: params.text("type")?,
        group: params.text("group")?,
        template: params.text("template")?,
        claimed: match claimed {
            Some(_) => claimed,
            None => params.value("claimed", "true or false")?,
        },
        lifecycle: params.words(
            "lifecycle",
            "provisioned, active, suspended or retired",
            Lifecycle::parse,
        )?,
        mode: params.read("mode", "manual or schedule", Mode::parse)?,
        tags: params.prefixed("tag."),
        q: params.text("q")?,
        sort,
        descending,
        offset: 0,
        limit: 0,
    };
    params.finish()?;
    Ok(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_filters() {
        let parsed = "lifecycle=active,retired&status=online&type=pump&claimed=false&tag.room=hall&q=x&sort=-last_seen&mode=manual";
        let query = query(Params::parse(parsed), None, Timestamp::default()).unwrap();
        assert_eq!(query.status, [Status::Online]);
        assert_eq!(query.lifecycle, [Lifecycle::Active, Lifecycle::Retired]);
        assert_eq!(query.device_type.as_deref(), Some("pump"));
        assert_eq!((query.claimed, query.mode), (Some(false), Some(Mode::Manual)));
        assert_eq!(query.tags, [("room".to_owned(), "hall".to_owned())]);
        assert_eq!((query.sort, query.descending), (DeviceSort::LastSeen, true));
    }

    #[test]
    fn names_the_parameter_that_is_wrong() {
        let wrong = |text: &str| query(Params::parse(text), None, Timestamp::default()).unwrap_err().field;
        assert_eq!(wrong("status=asleep"), "status");
        assert_eq!(wrong("lifecycle=dead"), "lifecycle");
        assert_eq!(wrong("sort=colour"), "sort");
        assert_eq!(wrong("claimed=yes"), "claimed");
        assert_eq!(wrong("colour=red"), "colour");
        assert_eq!(wrong("tag.=x"), "tag.");
    }
}
