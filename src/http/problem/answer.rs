//! Errors as answers: the headers that go with a status, and the problem document as the body.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, ResponseError};
use twinhub_actors::HubError;

use super::accounts::retry_after;
use super::{ApiError, PROBLEM_JSON};
use crate::import_export::LineFault;

/// The wait before a client should try again while the store takes nothing in, or others of its requests go on, in
/// seconds.
const RETRY_AFTER: &str = "1";

impl ApiError {
    /// The status in a dialect, whose clients do not know 422: a request that makes no sense is 400 there.
    #[must_use]
    pub fn dialect_status(&self) -> StatusCode {
        match self.status_and_code().0 {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        }
    }

    /// The answer in a dialect, whose `body` is the error as JSON.
    #[must_use]
    pub fn in_dialect(&self, body: String) -> HttpResponse {
        self.answer(self.dialect_status()).content_type("application/json").body(body)
    }

    /// The answer's head.
    pub(super) fn answer(&self, status: StatusCode) -> HttpResponseBuilder {
        let foreseen = matches!(
            self,
            Self::CommandNotFinished { .. }
                | Self::RunNotFinished { .. }
                | Self::TooManyConnections
                | Self::NotSetUp
        );
        if status.is_server_error() && !foreseen {
            tracing::warn!(error = %self, status = status.as_u16(), "request failed");
        }
        let mut response = HttpResponse::build(status);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.insert_header((header::RETRY_AFTER, RETRY_AFTER));
        }
        if status == StatusCode::UNAUTHORIZED {
            response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
        }
        if let Some(seconds) = self.retry_after() {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if let Self::Method { allow, .. } = self {
            response.insert_header((header::ALLOW, allow.as_str()));
        }
        if let Self::ContentEncoding(_) = self {
            response.insert_header((header::ACCEPT_ENCODING, "identity"));
        }
        if let Self::ContentType(_) = self {
            response.insert_header((header::ACCEPT, "application/json")); // RFC 9110, 15.5.16
        }
        if let Self::NoSuchRange { size } = self {
            response.insert_header((header::CONTENT_RANGE, format!("bytes */{size}")));
        }
        if let Self::CommandNotFinished { id, .. } = self {
            response.insert_header((header::LOCATION, format!("/api/commands/{id}")));
        }
        response
    }

    /// The seconds after which the request may be taken, where that is known.
    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::Account(refusal) => retry_after(refusal).and_then(|seconds| u64::try_from(seconds).ok()),
            Self::Device(problem) => problem.retry_after(),
            Self::TooManyRequests { retry_after, .. } => Some(*retry_after),
            Self::Busy(_) => Some(1),
            _ => None,
        }
    }
}

/// The refusal of one line of many.
impl ApiError {
    /// Does the hub itself not take anything in just now?
    #[must_use]
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            Self::Hub(HubError::Unavailable(_) | HubError::Store(_) | HubError::ShuttingDown)
                | Self::Store(_)
        )
    }
}

impl From<ApiError> for LineFault {
    fn from(error: ApiError) -> Self {
        Self { column: None, field: error.field(), code: error.code(), error: error.to_string() }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        self.status_and_code().0
    }

    fn error_response(&self) -> HttpResponse {
        let body = serde_json::to_string(&self.problem()).unwrap_or_default(); // texts and a number
        self.answer(self.status_code()).content_type(PROBLEM_JSON).body(body)
    }
}

/// Answers requests that no route takes.
pub async fn no_route(request: HttpRequest) -> ApiError {
    ApiError::NoRoute(request.path().to_owned())
}

impl actix_web::Responder for ApiError {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        self.error_response()
    }
}
