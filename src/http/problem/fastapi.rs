//! Errors as FastAPI tells them: `{"detail": text}`, or for fields that are wrong a list in `detail`.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Value, json};
use twinhub_actors::accounts::directory::Unidentified;
use twinhub_actors::messages::accounts::AccountRefusal;

use super::ApiError;
use super::accounts::retry_after;

/// A request that was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum FastApiError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("fields are wrong")]
    Fields(Vec<FieldFault>),
}

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldFault {
    kind: &'static str,
    /// None: the body itself.
    field: Option<&'static str>,
    message: &'static str,
}

impl FieldFault {
    /// It is not there.
    #[must_use]
    pub fn missing(field: &'static str) -> Self {
        Self { kind: "missing", field: Some(field), message: "Field required" }
    }

    /// It is no text.
    #[must_use]
    pub fn no_text(field: &'static str) -> Self {
        Self { kind: "string_type", field: Some(field), message: "Input should be a valid string" }
    }

    /// The body is no object.
    #[must_use]
    pub fn no_object() -> Self {
        Self {
            kind: "model_attributes_type",
            field: None,
            message: "Input should be a valid dictionary or object to extract fields from",
        }
    }

    fn no_json() -> Self {
        Self { kind: "json_invalid", field: None, message: "JSON decode error" }
    }

    /// The input is left out: it may be a password.
    fn shown(&self) -> Value {
        let place: Vec<&str> = ["body"].into_iter().chain(self.field).collect();
        json!({ "type": self.kind, "loc": place, "msg": self.message, "input": null })
    }
}

impl From<FieldFault> for FastApiError {
    fn from(fault: FieldFault) -> Self {
        Self::Fields(vec![fault])
    }
}

impl ResponseError for FastApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Api(error) => words(error).0,
            Self::Fields(_) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::Api(error) => answer(error),
            Self::Fields(faults) => {
                let detail: Vec<Value> = faults.iter().map(FieldFault::shown).collect();
                HttpResponse::build(self.status_code()).json(json!({ "detail": detail }))
            }
        }
    }
}

/// The answer to a request that was refused.
pub(crate) fn answer(error: &ApiError) -> HttpResponse {
    if let ApiError::Payload(_) = error {
        return FastApiError::from(FieldFault::no_json()).error_response();
    }
    let (status, detail) = words(error);
    let mut response = HttpResponse::build(status);
    if status == StatusCode::UNAUTHORIZED {
        response.insert_header((header::WWW_AUTHENTICATE, "Bearer"));
    }
    if let ApiError::Account(refusal) = error
        && let Some(seconds) = retry_after(refusal)
    {
        response.insert_header((header::RETRY_AFTER, seconds));
    }
    response.json(json!({ "detail": detail }))
}

/// The status and the text, as the original has them where it has any.
fn words(error: &ApiError) -> (StatusCode, String) {
    match error {
        ApiError::Account(AccountRefusal::Credentials) => {
            (StatusCode::UNAUTHORIZED, "Incorrect username or password".into())
        }
        ApiError::Unidentified(Unidentified::User) => (StatusCode::NOT_FOUND, "User not found".into()),
        ApiError::Unidentified(_) => (StatusCode::UNAUTHORIZED, "Could not validate credentials".into()),
        ApiError::Authorization => (StatusCode::FORBIDDEN, "Invalid authentication credentials".into()),
        ApiError::SignIn(_) | ApiError::Account(AccountRefusal::NotSignedIn) => {
            (StatusCode::FORBIDDEN, "Not authenticated".into())
        }
        error => (error.status_and_code().0, error.to_string()),
    }
}
