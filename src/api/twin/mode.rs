//! `/api/devices/{id}/mode`: the driver of the twin, a person or its schedule and rules.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use twinhub_domain::duration::GivenDuration;
use twinhub_domain::{Input, Json, Mode, Object, Timestamp, Twin};

use crate::api::devices::device::{find, make};
use crate::api::twin::document::etag;
use crate::api::twin::request::NewMode;
use crate::api::twin::schema::DeviceMode;
use crate::http::Access;
use crate::http::extract::body::{Body, DevicePath};
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::Params;
use crate::http::extract::precondition::if_match;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::Document;

/// The mode of the twin, which says who drives it.
#[utoipa::path(
    get,
    path = "/api/devices/{id}/mode",
    tag = "twin",
    params(("id" = String, Path, description = "The device's id")),
    responses(
        (status = 200, body = DeviceMode, headers(("ETag" = String, description = "The version, quoted"))),
        (status = 404, body = Problem),
    )
)]
pub async fn get_mode(
    DevicePath(id): DevicePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    Ok(shown(&*find(&access, &id).await?))
}

/// Says who drives the twin. In `manual` a person's word holds, for good or as long as `for` or `until`
/// says; entries of the schedule are passed over and rules refused. In `schedule` these drive it.
#[utoipa::path(
    put,
    path = "/api/devices/{id}/mode",
    tag = "twin",
    params(
        ("id" = String, Path, description = "The device's id"),
        ("If-Match" = Option<String>, Header, description = "The version to change, or a list of versions: `\"3\", \"4\"`"),
    ),
    request_body = NewMode,
    responses(
        (status = 200, body = DeviceMode, headers(("ETag" = String, description = "The version, quoted"))),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The twin is at none of the versions that `If-Match` names", body = Problem),
        (status = 422, body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn put_mode(
    request: HttpRequest,
    DevicePath(id): DevicePath,
    Body(mode): Body<NewMode>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let (mode, end) = mode_request(mode)?;
    let until = end.map(|end| end.moment(access.now()));
    let change = Input::SetMode { mode, until };
    Ok(shown(&*make(&access, id, if_match(&request)?, change).await?))
}

/// When manual mode ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ManualModeEnd {
    At(Timestamp),
    /// So long after it began.
    After(GivenDuration),
}

impl ManualModeEnd {
    /// The moment of the end, if the mode begins `now`.
    fn moment(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::After(length) => now.plus_millis(length.ms()),
        }
    }
}

/// The mode and its end.
///
/// # Errors
/// Names the field that is wrong.
pub(crate) fn mode_request(wanted: NewMode) -> Result<(Mode, Option<ManualModeEnd>), FieldError> {
    let NewMode { mode: word, r#for: length, until } = wanted;
    let mode = Mode::parse(&word).ok_or_else(|| {
        let shown: String = word.chars().take(64).collect();
        FieldError::bad("mode", format!("expected manual or schedule, found `{shown}`"))
    })?;
    if mode == Mode::Schedule && (length.is_some() || until.is_some()) {
        let field = if length.is_some() { "for" } else { "until" };
        return Err(FieldError::bad(field, "only manual mode has an end: schedule mode goes on"));
    }
    let end = match (length, until) {
        (Some(_), Some(_)) => {
            return Err(FieldError::bad("for", "says the same as `until`: give one of them"));
        }
        (Some(length), None) => Some(ManualModeEnd::After(length)),
        (None, Some(text)) => Some(ManualModeEnd::At(moment(&text)?)),
        (None, None) => None,
    };
    Ok((mode, end))
}

fn moment(text: &str) -> Result<Timestamp, FieldError> {
    Timestamp::parse_calendar(text).ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        let detail =
            format!("expected an RFC 3339 time with its zone, such as 2026-01-01T12:00:00Z, found `{shown}`");
        FieldError::bad("until", detail)
    })
}

fn shown(twin: &Twin) -> HttpResponse {
    let object: Object = [
        ("device_id", Json::from(twin.id.as_str())),
        ("mode", twin.control.mode.as_str().into()),
        ("mode_until", twin.control.mode_until().map_or(Json::Null, |at| at.to_string().into())),
    ]
    .into_iter()
    .collect();
    let mut response = HttpResponse::Ok();
    response.insert_header((header::ETAG, etag(twin)));
    Document::of(&object).with("version", &twin.version).send(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::extract::read::read;

    fn check(text: &str, expected: &str) {
        let told = match read(text.parse::<Json>().unwrap()).and_then(mode_request) {
            Ok((mode, end)) => {
                let until = end.map(|end| end.moment(Timestamp::from_millis(0)));
                format!("{} {}", mode.as_str(), until.map_or("-".into(), |at| at.to_string()))
            }
            Err(error) => error.to_string(),
        };
        assert!(told.starts_with(expected), "{text}: {told}");
    }

    #[test]
    fn reads_modes() {
        check(r#"{"mode": "schedule"}"#, "schedule -");
        check(r#"{"mode": "manual"}"#, "manual -");
        check(r#"{"mode": "manual", "for": null}"#, "manual -");
        check(r#"{"mode": "manual", "for": "2h"}"#, "manual 1970-01-01T02:00:00.000Z");
        check(r#"{"mode": "manual", "for": 90}"#, "manual 1970-01-01T00:01:30.000Z");
        check(r#"{"mode": "manual", "for": 1.5}"#, "manual 1970-01-01T00:00:01.500Z");
        check(r#"{"mode": "manual", "for": "1h 30m"}"#, "manual 1970-01-01T01:30:00.000Z");
        check(r#"{"mode": "manual", "for": "PT1H30M"}"#, "manual 1970-01-01T01:30:00.000Z");
        check(
            r#"{"mode": "manual", "until": "1970-01-02T01:00:00+01:00"}"#,
            "manual 1970-01-02T00:00:00.000Z",
        );
    }

    #[test]
    fn names_what_is_wrong() {
        check(r#"{"mod": "manual"}"#, "`mod`: there is no such field");
        check("{}", "`mode`: must be given");
        check(r#"{"mode": "auto"}"#, "`mode`: expected manual or schedule, found `auto`");
        check(r#"{"mode": "manual", "for": "2h", "until": "1970-01-02T00:00:00Z"}"#, "`for`: says the same");
        check(r#"{"mode": "schedule", "for": "2h"}"#, "`for`: only manual mode has an end");
        check(
            r#"{"mode": "schedule", "until": "1970-01-02T00:00:00Z"}"#,
            "`until`: only manual mode has an end",
        );
        for wrong in [r#""soon""#, "0", "-5", "true", r#""5""#, r#""0s""#, r#""1 month""#] {
            check(&format!(r#"{{"mode": "manual", "for": {wrong}}}"#), "`for`: expected a duration");
        }
        check(r#"{"mode": "manual", "until": "tomorrow"}"#, "`until`: expected an RFC 3339 time");
        check(r#"{"mode": "manual", "until": "1767268800"}"#, "`until`: expected an RFC 3339 time");
    }
}
