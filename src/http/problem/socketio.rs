//! Refusals as clients of Socket.IO know them: a JSON text as body.

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use twinhub_socketio::query::EngineRefusal;

use super::ApiError;

/// The path under which Socket.IO is served.
pub(crate) const PATH: &str = "/socket.io/";
/// The type of every answer.
const TEXT: &str = "text/plain; charset=UTF-8";
/// The methods that it takes.
const METHODS: &str = "OPTIONS, GET, POST";

/// A request of Socket.IO that was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum SocketIoError {
    #[error(transparent)]
    Engine(#[from] EngineRefusal),
    #[error(transparent)]
    Api(#[from] ApiError),
}

impl ResponseError for SocketIoError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Engine(_) => StatusCode::BAD_REQUEST,
            Self::Api(error) => error.status_and_code().0,
        }
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::Engine(refusal) => of_engine(refusal),
            Self::Api(error) => refusal(error),
        }
    }
}

/// The answer to a request that is refused before its handler.
pub(crate) fn answer(error: ApiError) -> HttpResponse {
    refusal(&error)
}

/// The same, of an error that its caller keeps.
pub(crate) fn refusal(error: &ApiError) -> HttpResponse {
    match error {
        // Browsers ask before they send a header of their own, and anybody may.
        ApiError::Method { method, .. } if method == Method::OPTIONS.as_str() => HttpResponse::Ok()
            .content_type(TEXT)
            .insert_header((header::ACCESS_CONTROL_ALLOW_METHODS, METHODS))
            .insert_header((header::ALLOW, METHODS))
            .body("OK"),
        ApiError::Origin(_) | ApiError::CrossSite => of_engine(&EngineRefusal::Origin),
        error => error.answer(error.status_and_code().0).content_type(TEXT).body(quoted(&error.to_string())),
    }
}

fn of_engine(refusal: &EngineRefusal) -> HttpResponse {
    HttpResponse::BadRequest().content_type(TEXT).body(quoted(&refusal.to_string()))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
