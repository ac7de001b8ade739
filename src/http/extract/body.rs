//! The parts of requests: the body as JSON, and the device and command that the path names.

use std::future::{Ready, ready};
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::{Bytes, BytesMut, Data, Path};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest};
use futures_util::StreamExt as _;
use futures_util::future::LocalBoxFuture;
use mime::Mime;
use serde::de::DeserializeOwned;
use twinhub_domain::alarm::AlarmId;
use twinhub_domain::fleet::JobId;
use twinhub_domain::payload;
use twinhub_domain::payload::PayloadError;
use twinhub_domain::run::{RuleId, RunId};
use twinhub_domain::{CommandId, DeviceId, Json, Object};

use super::read;
use crate::http::CallerAdmission;
use crate::http::problem::ApiError;
use crate::http::signature::SignedRequest;
use crate::state::WebState;

/// A body must have arrived within this time.
const BODY_WITHIN: Duration = Duration::from_secs(30);

/// Bytes of a body at most where its sender has no credential.
pub(crate) const STRANGER_LIMIT: usize = 16 << 10;

/// The request's body, a JSON object, as a struct.
#[derive(Debug)]
pub struct Body<T>(pub T);

/// The request's body, a JSON object, as a struct; none where it is empty or null.
#[derive(Debug)]
pub struct OptionalBody<T>(pub Option<T>);

/// A JSON object from the request's body, whose members its reader knows.
#[derive(Debug)]
pub struct ObjectBody(pub Object);

/// Any JSON from the request's body.
#[derive(Debug)]
pub struct AnyBody(pub Json);

/// The device that the path names; its id is well formed.
#[derive(Debug)]
pub struct DevicePath(pub DeviceId);

/// The command that the path names.
#[derive(Debug)]
pub struct CommandPath(pub CommandId);

/// The alarm that the path names.
#[derive(Debug)]
pub struct AlarmPath(pub AlarmId);

/// The device that the path names, and the command that it names behind it.
#[derive(Debug)]
pub struct DeviceCommandPath(pub DeviceId, pub CommandId);

/// The rule that the path names.
#[derive(Debug)]
pub struct RulePath(pub RuleId);

/// The job that the path names.
#[derive(Debug)]
pub struct JobPath(pub JobId);

/// The run that the path names.
#[derive(Debug)]
pub struct RunPath(pub RunId);

/// A thing that the path names by any text: a group, a template, an image. Whether there is one, its actor says.
#[derive(Debug)]
pub struct NamePath(pub Box<str>);

/// Any JSON from the request's body, which may be empty and of any type: of a sender that does not know us.
#[derive(Debug)]
pub struct ForeignBody {
    pub json: Option<Json>,
    /// The body as it came.
    pub bytes: Bytes,
}

/// Any text from the request's body, of any type.
#[derive(Debug)]
pub struct TextBody(pub String);

impl<T: DeserializeOwned + 'static> FromRequest for Body<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let bytes = read_json(request, payload);
        Box::pin(async move { Ok(Self(read::read(payload::object(&bytes.await?)?)?)) })
    }
}

impl<T: DeserializeOwned + 'static> FromRequest for OptionalBody<T> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let bytes = read_json(request, payload);
        Box::pin(async move {
            let bytes = bytes.await?;
            match bytes.trim_ascii() {
                b"" | b"null" => Ok(Self(None)),
                some => Ok(Self(Some(read::read(payload::object(some)?)?))),
            }
        })
    }
}

impl FromRequest for ObjectBody {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let bytes = read_json(request, payload);
        Box::pin(async move { Ok(Self(payload::object(&bytes.await?)?)) })
    }
}

impl FromRequest for AnyBody {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let bytes = read_json(request, payload);
        Box::pin(async move { Ok(Self(Json::parse(&bytes.await?).map_err(PayloadError::from)?)) })
    }
}

/// The whole body, which must be JSON by its `Content-Type`.
fn read_json(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<Bytes, ApiError>> + use<> {
    let (is_json, bytes) = (check_json(request), read_bytes(request, payload));
    async move {
        is_json?;
        bytes.await
    }
}

/// A body is JSON where its `Content-Type` says so (`application/json`, `application/merge-patch+json`, with whatever
/// parameters), or where there is none.
fn check_json(request: &HttpRequest) -> Result<(), ApiError> {
    let Some(given) = request.headers().get(header::CONTENT_TYPE) else { return Ok(()) };
    let text = String::from_utf8_lossy(given.as_bytes());
    let is_json = |mime: Mime| {
        mime.type_() == mime::APPLICATION
            && (mime.subtype() == mime::JSON || mime.suffix() == Some(mime::JSON))
    };
    if text.trim().is_empty() || text.parse().is_ok_and(is_json) {
        return Ok(());
    }
    Err(ApiError::ContentType(text.chars().take(128).collect()))
}

/// The whole body, in time and not longer than allowed.
fn read_bytes(
    request: &HttpRequest,
    payload: &mut Payload,
) -> impl Future<Output = Result<Bytes, ApiError>> + use<> {
    let limit = limit_for(request);
    let length = promised(request);
    let payload = payload.take();
    async move {
        if length.is_some_and(|length| length > limit as u64) {
            return Err(ApiError::TooLarge { limit });
        }
        tokio::time::timeout(BODY_WITHIN, gather(payload, limit)).await.map_err(|_| ApiError::SlowBody)?
    }
}

/// The limit of a body: of a stranger's, who has nothing to send but a name and a password, a small one.
fn limit_for(request: &HttpRequest) -> usize {
    let limit = request.app_data::<Data<WebState>>().map_or(0, |state| state.policy().body_limit);
    let extensions = request.extensions();
    let is_stranger = extensions.get::<CallerAdmission>().is_none_or(CallerAdmission::is_stranger);
    let is_signed = extensions.get::<SignedRequest>().is_some();
    if is_stranger && !is_signed { limit.min(STRANGER_LIMIT) } else { limit }
}

/// The length of the body as its `Content-Length` says.
pub(crate) fn promised(request: &HttpRequest) -> Option<u64> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

async fn gather(mut payload: Payload, limit: usize) -> Result<Bytes, ApiError> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|error| ApiError::Body(error.to_string()))?;
        if bytes.len() + piece.len() > limit {
            return Err(ApiError::TooLarge { limit });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

impl FromRequest for DevicePath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(names::<String>(request, payload).and_then(|id| Ok(Self(DeviceId::parse(&id)?))))
    }
}

impl FromRequest for CommandPath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(names::<String>(request, payload).and_then(|id| Ok(Self(command(&id)?))))
    }
}

impl FromRequest for AlarmPath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let named = names::<String>(request, payload);
        // A text that is no id of ours is no alarm's.
        ready(named.and_then(|id| Ok(Self(AlarmId::parse(&id).ok_or_else(|| ApiError::no_alarm(id))?))))
    }
}

impl FromRequest for DeviceCommandPath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let named = names::<(String, String)>(request, payload);
        ready(named.and_then(|(device, id)| Ok(Self(DeviceId::parse(&device)?, command(&id)?))))
    }
}

impl FromRequest for ForeignBody {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let bytes = read_bytes(request, payload);
        Box::pin(async move {
            let bytes = bytes.await?;
            if bytes.trim_ascii().is_empty() {
                return Ok(Self { json: None, bytes });
            }
            let json = Json::parse(&bytes).map_err(PayloadError::from)?;
            Ok(Self { json: Some(json), bytes })
        })
    }
}

impl FromRequest for RulePath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let id = names::<String>(request, payload);
        // A text that is no name is no rule's.
        ready(id.and_then(|id| RuleId::parse(&id).map(Self).map_err(|_| ApiError::no_rule(id))))
    }
}

impl FromRequest for JobPath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let id = names::<String>(request, payload);
        // A text that is no id of ours is no job's.
        ready(id.and_then(|id| Ok(Self(JobId::parse(&id).ok_or_else(|| ApiError::no_job(id))?))))
    }
}

impl FromRequest for RunPath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let id = names::<String>(request, payload);
        ready(
            id.and_then(|id| RunId::parse(&id).map(Self).ok_or(ApiError::NotFound { what: "run", name: id })),
        )
    }
}

impl FromRequest for NamePath {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        ready(names::<String>(request, payload).map(|name| Self(name.into())))
    }
}

impl FromRequest for TextBody {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let bytes = read_bytes(request, payload);
        Box::pin(async move {
            let text = String::from_utf8(bytes.await?.to_vec());
            text.map(Self).map_err(|_| ApiError::Body("it is no UTF-8".into()))
        })
    }
}

/// The names in the path, one text or several.
fn names<T: DeserializeOwned + 'static>(request: &HttpRequest, payload: &mut Payload) -> Result<T, ApiError> {
    let path = Path::<T>::from_request(request, payload).into_inner();
    path.map(Path::into_inner).map_err(|_| ApiError::NoRoute(request.path().to_owned()))
}

/// A text that is no id of ours is no command's.
fn command(id: &str) -> Result<CommandId, ApiError> {
    CommandId::parse(id).ok_or_else(|| ApiError::no_command(id))
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn json_is_known_by_its_type() {
        let check = |given: &str, is_json: bool| {
            let request =
                TestRequest::default().insert_header((header::CONTENT_TYPE, given)).to_http_request();
            assert_eq!(check_json(&request).is_ok(), is_json, "{given}");
        };
        check("application/json", true);
        check("Application/JSON; charset=utf-8", true);
        check("application/merge-patch+json", true);
        check("application/vnd.twin+json;version=1", true);
        check("", true);
        check("text/plain", false);
        check("text/json", false);
        check("application/x-www-form-urlencoded", false);
        check("application/octet-stream", false);
        check("json", false);
        assert!(check_json(&TestRequest::default().to_http_request()).is_ok());
    }
}
