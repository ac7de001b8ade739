//! Errors as FastAPI tells them: `{"detail": text}`, or for fields that are wrong a list in `detail`.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, HttpResponseBuilder, ResponseError};
use twinhub_actors::accounts::directory::Unidentified;
use twinhub_actors::messages::accounts::AccountRefusal;
use twinhub_domain::payload::PayloadError;
use twinhub_domain::{Json, Object};

use super::ApiError;

/// A request that was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum FastApiError {
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("fields are wrong")]
    Fields(Vec<FieldFault>),
    /// A request that makes no sense, told in these words.
    #[error("{0}")]
    Bad(&'static str),
    /// There is nothing of what was asked for, told in these words.
    #[error("{0}")]
    Absent(String),
}

/// A field that is wrong, as pydantic tells it.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldFault {
    kind: &'static str,
    /// The way to it, from `body` or `query` on.
    place: Vec<PlaceStep>,
    message: Cow<'static, str>,
    /// The value that was given. Null where it may be a secret.
    input: Json,
    /// More of it, by a name: the limit that it breaks, say.
    context: Option<Box<(&'static str, Json)>>,
}

/// A step on the way to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlaceStep {
    Name(Box<str>),
    /// In a list, from 0.
    Index(usize),
}

impl FieldFault {
    /// It is not there.
    #[must_use]
    pub fn missing(field: &str) -> Self {
        Self::of_body("missing", field, "Field required")
    }

    /// It is no text.
    #[must_use]
    pub fn no_text(field: &str) -> Self {
        Self::of_body("string_type", field, "Input should be a valid string")
    }

    /// It is no number.
    #[must_use]
    pub fn no_number(field: &str) -> Self {
        Self::of_body("float_type", field, "Input should be a valid number")
    }

    /// It is a text that is no number.
    #[must_use]
    pub fn no_number_in_text(field: &str) -> Self {
        const MESSAGE: &str = "Input should be a valid number, unable to parse string as a number";
        Self::of_body("float_parsing", field, MESSAGE)
    }

    /// It is a number that JSON cannot write: NaN or infinity.
    #[must_use]
    pub fn not_finite(field: &str) -> Self {
        Self::of_body("finite_number", field, "Input should be a finite number")
    }

    /// It is no whole number.
    #[must_use]
    pub fn no_whole_number(field: &str) -> Self {
        const MESSAGE: &str = "Input should be a valid integer, unable to parse string as an integer";
        Self::of_body("int_parsing", field, MESSAGE)
    }

    /// It is no list.
    #[must_use]
    pub fn no_list(field: &str) -> Self {
        Self::of_body("list_type", field, "Input should be a valid list")
    }

    /// It is no object.
    #[must_use]
    pub fn no_dictionary(field: &str) -> Self {
        Self::of_body("dict_type", field, "Input should be a valid dictionary")
    }

    /// It is a number below the least that is taken.
    #[must_use]
    pub fn too_small(field: &str, least: i64) -> Self {
        let message = format!("Input should be greater than or equal to {least}");
        Self {
            context: Some(Box::new(("ge", least.into()))),
            ..Self::of_body("greater_than_equal", field, message)
        }
    }

    /// It is a number above the largest that is taken.
    #[must_use]
    pub fn too_large(field: &str, most: i64) -> Self {
        let message = format!("Input should be less than or equal to {most}");
        Self {
            context: Some(Box::new(("le", most.into()))),
            ..Self::of_body("less_than_equal", field, message)
        }
    }

    /// It fits in no twin, for the reason `detail`: too long, say.
    #[must_use]
    pub fn refused(field: &str, detail: impl Into<String>) -> Self {
        Self::of_body("value_error", field, detail.into())
    }

    /// The body is no object.
    #[must_use]
    pub fn no_object() -> Self {
        const MESSAGE: &str = "Input should be a valid dictionary or object to extract fields from";
        Self::of_body("model_attributes_type", "", MESSAGE)
    }

    fn no_json() -> Self {
        Self::of_body("json_invalid", "", "JSON decode error")
    }

    /// A fault of the body's `field`, or where that is empty of the body itself.
    fn of_body(kind: &'static str, field: &str, message: impl Into<Cow<'static, str>>) -> Self {
        let names = ["body", field].into_iter().filter(|name| !name.is_empty());
        let place = names.map(|name| PlaceStep::Name(name.into())).collect();
        Self { kind, place, message: message.into(), input: Json::Null, context: None }
    }

    /// The same, with the value that was given.
    #[must_use]
    pub fn with_input(self, input: Json) -> Self {
        Self { input, ..self }
    }

    /// The same of what stands itself at `place`.
    #[must_use]
    pub fn standing_at(self, place: Vec<PlaceStep>) -> Self {
        Self { place, ..self }
    }

    /// The same of a field that stands at `outer`, which begins with `body` or `query`.
    #[must_use]
    pub fn below(self, outer: &[PlaceStep]) -> Self {
        let place = outer.iter().cloned().chain(self.place.into_iter().skip(1)).collect();
        Self { place, ..self }
    }

    fn shown(self) -> Json {
        let step = |step| match step {
            PlaceStep::Name(name) => Json::String(name),
            PlaceStep::Index(index) => i64::try_from(index).unwrap_or(i64::MAX).into(),
        };
        let place: Box<[Json]> = self.place.into_iter().map(step).collect();
        let members = [
            ("type", self.kind.into()),
            ("loc", Json::Array(place)),
            ("msg", Json::from(self.message.into_owned())),
            ("input", self.input),
        ];
        let mut shown: Object = members.into_iter().collect();
        if let Some(context) = self.context {
            shown.insert("ctx", Json::Object([*context].into_iter().collect()));
        }
        shown.into()
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
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Absent(_) => StatusCode::NOT_FOUND,
        }
    }

    fn error_response(&self) -> HttpResponse {
        match self {
            Self::Api(error) => answer(error),
            Self::Fields(faults) => {
                let detail = faults.iter().cloned().map(FieldFault::shown).collect();
                told(HttpResponse::build(self.status_code()), Json::Array(detail))
            }
            Self::Bad(detail) => told(HttpResponse::build(self.status_code()), (*detail).into()),
            Self::Absent(detail) => told(HttpResponse::build(self.status_code()), (&**detail).into()),
        }
    }
}

/// The answer to a request that was refused.
pub(crate) fn answer(error: &ApiError) -> HttpResponse {
    if let ApiError::Payload(payload) = error {
        let PayloadError::Json(error) = payload else {
            return FastApiError::from(FieldFault::no_object()).error_response();
        };
        let context = Some(Box::new(("error", Json::from(error.to_string()))));
        return FastApiError::from(FieldFault { context, ..FieldFault::no_json() }).error_response();
    }
    let (status, detail) = words(error);
    told(error.answer(status), detail.into())
}

/// The answer with `detail` alone.
fn told(mut response: HttpResponseBuilder, detail: Json) -> HttpResponse {
    let body: Object = [("detail", detail)].into_iter().collect();
    response.content_type("application/json").body(Json::from(body).to_string())
}

/// The status and the text, as the original has them where it has any.
fn words(error: &ApiError) -> (StatusCode, String) {
    match error {
        ApiError::Account(AccountRefusal::Credentials) => {
            (StatusCode::UNAUTHORIZED, "Incorrect username or password".into())
        }
        ApiError::Account(AccountRefusal::Disabled) => (StatusCode::BAD_REQUEST, "Inactive user".into()),
        ApiError::Unidentified(Unidentified::User) => (StatusCode::NOT_FOUND, "User not found".into()),
        ApiError::Unidentified(_) => (StatusCode::UNAUTHORIZED, "Could not validate credentials".into()),
        ApiError::Authorization => (StatusCode::FORBIDDEN, "Invalid authentication credentials".into()),
        ApiError::SignIn(_) | ApiError::Account(AccountRefusal::NotSignedIn) => {
            (StatusCode::FORBIDDEN, "Not authenticated".into())
        }
        ApiError::Method { .. } => (error.status_and_code().0, "Method Not Allowed".into()),
        ApiError::NoRoute(_) => (error.status_and_code().0, "Not Found".into()),
        error => (error.status_and_code().0, error.to_string()),
    }
}
