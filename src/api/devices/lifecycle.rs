//! `/api/devices/{id}/lifecycle`: a device's state in its lifecycle, and its change by people.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use twinhub_domain::fleet::{Lifecycle, LifecycleTransition};
use twinhub_domain::{Input, Json, Object, Twin};

use super::device::{find, make};
use super::request::NewLifecycle;
use crate::api::firmware::schema::DeviceLifecycle;
use crate::api::twin::document::etag;
use crate::http::Access;
use crate::http::extract::body::{Body, DevicePath};
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::Params;
use crate::http::extract::precondition::if_match;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::Document;

/// A reason has at most this many bytes.
const LONGEST_REASON: usize = 1_024;

/// The stage of the device's life.
#[utoipa::path(
    get,
    path = "/api/devices/{id}/lifecycle",
    tag = "devices",
    params(("id" = String, Path, description = "The device's id")),
    responses(
        (status = 200, body = DeviceLifecycle, headers(("ETag" = String, description = "The version, quoted"))),
        (status = 404, body = Problem),
    )
)]
pub async fn get_lifecycle(
    DevicePath(id): DevicePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    Ok(shown(&*find(&access, &id).await?))
}

/// Takes the device out of service or into it again. A suspended one is neither heard nor driven until it is made
/// active; a retired one never again: it keeps its history and loses its credentials.
#[utoipa::path(
    put,
    path = "/api/devices/{id}/lifecycle",
    tag = "devices",
    params(
        ("id" = String, Path, description = "The device's id"),
        ("If-Match" = Option<String>, Header, description = "The version to change, or a list of versions: `\"3\", \"4\"`"),
    ),
    request_body = NewLifecycle,
    responses(
        (status = 200, body = DeviceLifecycle, headers(("ETag" = String, description = "The version, quoted"))),
        (status = 404, body = Problem),
        (status = 400, description = "`If-Match` is no list of entity tags", body = Problem),
        (status = 412, description = "The twin is at none of the versions that `If-Match` names", body = Problem),
        (status = 409, description = "The device is retired, which is final", body = Problem),
        (status = 422, body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn put_lifecycle(
    request: HttpRequest,
    DevicePath(id): DevicePath,
    Body(lifecycle): Body<NewLifecycle>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let (lifecycle, reason) = lifecycle_change(lifecycle)?;
    let change = Input::SetLifecycle { state: lifecycle, reason };
    Ok(shown(&*make(&access, id, if_match(&request)?, change).await?))
}

fn lifecycle_change(lifecycle: NewLifecycle) -> Result<(Lifecycle, Box<str>), FieldError> {
    let NewLifecycle { state: word, reason } = lifecycle;
    let state = Lifecycle::parse(&word)
        .filter(|state| LifecycleTransition::to(*state).is_some())
        .ok_or_else(|| {
            let shown: String = word.chars().take(64).collect();
            FieldError::bad("state", format!("expected active, suspended or retired, found `{shown}`"))
        })?;
    let reason = reason.unwrap_or_default();
    if reason.len() > LONGEST_REASON {
        return Err(FieldError::bad("reason", format!("{LONGEST_REASON} bytes at most")));
    }
    Ok((state, reason))
}

fn shown(twin: &Twin) -> HttpResponse {
    let object: Object =
        [("device_id", Json::from(twin.id.as_str())), ("lifecycle", twin.lifecycle().as_str().into())]
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

    #[test]
    fn reads_what_is_wanted_and_names_what_is_wrong() {
        let check = |text: &str, expected: &str| {
            let told = match read(text.parse::<Json>().unwrap()).and_then(lifecycle_change) {
                Ok((state, reason)) => format!("{} {reason}", state.as_str()),
                Err(error) => error.to_string(),
            };
            assert!(told.starts_with(expected), "{text}: {told}");
        };
        check(r#"{"state": "suspended", "reason": "it floods us"}"#, "suspended it floods us");
        check(r#"{"state": "active"}"#, "active ");
        check(r#"{"state": "retired", "reason": null}"#, "retired ");
        check(
            r#"{"state": "provisioned"}"#,
            "`state`: expected active, suspended or retired, found `provisioned`",
        );
        check(r#"{"state": "dead"}"#, "`state`: expected active, suspended or retired, found `dead`");
        check("{}", "`state`: must be given");
        check(r#"{"status": "active"}"#, "`status`: there is no such field");
        check(
            &format!(r#"{{"state": "active", "reason": "{}"}}"#, "x".repeat(1_025)),
            "`reason`: 1024 bytes",
        );
    }
}
