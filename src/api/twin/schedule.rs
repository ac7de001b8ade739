//! `/api/devices/{id}/schedule`: the device's schedule, and its next runs.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use twinhub_domain::schedule::CompactSchedule;
use twinhub_domain::twin::Change;
use twinhub_domain::{Input, Json, Twin};

use crate::api::devices::device::{find, make};
use crate::api::twin::document::etag;
use crate::api::twin::schema::{NewSchedule, ScheduleShown};
use crate::http::Access;
use crate::http::extract::body::{AnyBody, DevicePath};
use crate::http::extract::fields::{FieldError, Fields};
use crate::http::extract::params::Params;
use crate::http::extract::precondition::if_match;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::array;

/// The names of a schedule in an object; the second is the timetable's own.
const WRAPPERS: [&str; 2] = ["schedule", "horarios"];

/// The entries of the device's schedule, each with its next three run times.
#[utoipa::path(
    get,
    path = "/api/devices/{id}/schedule",
    tag = "twin",
    params(("id" = String, Path, description = "The device's id")),
    responses(
        (status = 200, body = [ScheduleShown], headers(("ETag" = String, description = "The version, quoted"))),
        (status = 404, body = Problem),
    )
)]
pub async fn get_schedule(
    DevicePath(id): DevicePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    Ok(shown(&*find(&access, &id).await?, &access))
}

/// Sets the device's schedule as a whole: an array of entries, or a timetable by days. An empty one takes
/// it away.
#[utoipa::path(
    put,
    path = "/api/devices/{id}/schedule",
    tag = "twin",
    params(
        ("id" = String, Path, description = "The device's id"),
        ("If-Match" = Option<String>, Header, description = "The version to change, or a list of versions: `\"3\", \"4\"`"),
    ),
    request_body = NewSchedule,
    responses(
        (status = 200, body = [ScheduleShown], headers(("ETag" = String, description = "The version, quoted"))),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The twin is at none of the versions that `If-Match` names", body = Problem),
        (status = 422, description = "Names the entry and its field: `schedule[2].cron`", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn put_schedule(
    request: HttpRequest,
    DevicePath(id): DevicePath,
    AnyBody(body): AnyBody,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let (change, if_version) = (Change::of_schedule(entries(body)?), if_match(&request)?);
    Ok(shown(&*make(&access, id, if_version, Input::Change(Box::new(change))).await?, &access))
}

/// The entries or the timetable, bare or under its name.
fn entries(body: Json) -> Result<Json, FieldError> {
    let body = match body {
        Json::Array(_) => return Ok(body),
        Json::Object(body) => body,
        other => {
            let detail = format!("expected an array of entries or an object of days, found {}", other.kind());
            return Err(FieldError::bad("schedule", detail));
        }
    };
    match WRAPPERS.into_iter().find(|name| body.get(name).is_some()) {
        Some(name) => Ok(Fields::of(body, &[name])?.take(name).unwrap_or_default()),
        None => Ok(body.into()),
    }
}

fn shown(twin: &Twin, access: &Access) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((header::ETAG, etag(twin)));
    let entries = match twin.plan().map(|plan: &CompactSchedule| plan.document(access.now())) {
        Some(Json::Array(entries)) => entries,
        _ => Box::default(),
    };
    array(response, &entries, Json::write)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let told = match entries(text.parse().unwrap()) {
            Ok(entries) => entries.to_string(),
            Err(error) => error.to_string(),
        };
        assert_eq!(told, expected, "{text}");
    }

    #[test]
    fn reads_all_forms() {
        check(r#"[{"cron": "0 7 * * *"}]"#, r#"[{"cron":"0 7 * * *"}]"#);
        check(r#"{"schedule": []}"#, "[]");
        check(r#"{"schedule": null}"#, "null");
        check(r#"{"schedule": {"lunes": []}}"#, r#"{"lunes":[]}"#);
        check(r#"{"horarios": {"lunes": []}}"#, r#"{"lunes":[]}"#);
        check(r#"{"lunes": [["07:00", true]]}"#, r#"{"lunes":[["07:00",true]]}"#);
    }

    #[test]
    fn names_what_is_wrong() {
        check(r#"{"schedule": [], "mode": "manual"}"#, "`mode`: there is no such field");
        check("5", "`schedule`: expected an array of entries or an object of days, found a number");
        check("null", "`schedule`: expected an array of entries or an object of days, found null");
    }
}
