//! Errors as this dialect's apps know them: `{"error": …}` in Spanish, and in `detalle` what was wrong, and where.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, ResponseError};
use twinhub_actors::HubError;
use twinhub_domain::payload::PayloadError;
use twinhub_domain::{Json, Object, Refusal};

use crate::http::problem::ApiError;

/// A request that was refused or failed; the answer says so in Spanish.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct RequestError {
    cause: ApiError,
    /// The message where the cause alone has none.
    message: Option<&'static str>,
}

/// Nothing was sent, or no JSON.
const NO_DATA: &str = "Datos JSON inválidos o faltantes";
pub const NO_SERIAL: &str = "Debe proporcionar serial_number";
const NOT_NOW: &str = "Servicio no disponible, inténtelo de nuevo";
/// A claim names a device that was never heard.
pub const NEVER_HEARD: &str = "Dispositivo no encontrado. Asegúrese de que haya sido detectado por MQTT";

/// The twin's name of a field, and its name here.
const FIELDS: [(&str, &str); 6] = [
    ("schedule", "configuracion.horarios"),
    ("configuration", "configuracion"),
    ("name", "nombre"),
    ("type", "tipo"),
    ("model", "modelo"),
    ("description", "descripcion"),
];

impl RequestError {
    /// A cause that is told in these words.
    pub fn with_message(cause: impl Into<ApiError>, message: &'static str) -> Self {
        Self { cause: cause.into(), message: Some(message) }
    }

    /// There is no data in the request.
    pub fn no_data() -> Self {
        PayloadError::NotAnObject("nothing").into()
    }

    /// The message on what was wrong, and whether the technical text says more.
    fn message(&self) -> (String, bool) {
        if let Some(message) = self.message {
            return (message.into(), false);
        }
        match &self.cause {
            ApiError::Hub(HubError::Refused(refusal)) => of_refusal(refusal),
            ApiError::Hub(_) | ApiError::Store(_) => (NOT_NOW.into(), true),
            ApiError::Payload(error) => of_payload(error),
            ApiError::Field(error) => (format!("Parámetro inválido: {}", error.field), true),
            ApiError::NotFound { .. } => ("Dispositivo no encontrado".into(), false),
            ApiError::SerialTaken { serial, .. } => {
                (format!("Ya existe un dispositivo con el serial_number {serial}"), false)
            }
            ApiError::Method { method, .. } => (format!("Método {method} no permitido"), false),
            ApiError::TooLarge { limit } => (format!("El cuerpo tiene más de {limit} bytes"), false),
            ApiError::Body(_) | ApiError::SlowBody => ("El cuerpo no llegó completo".into(), true),
            _ => ("No se pudo completar la petición".into(), true),
        }
    }
}

impl<E: Into<ApiError>> From<E> for RequestError {
    fn from(cause: E) -> Self {
        Self { cause: cause.into(), message: None }
    }
}

impl ResponseError for RequestError {
    fn status_code(&self) -> StatusCode {
        self.cause.dialect_status()
    }

    fn error_response(&self) -> HttpResponse {
        let (message, says_more) = self.message();
        let mut body: Object = [("error", Json::from(message))].into_iter().collect();
        if says_more {
            body.insert("detalle", self.cause.to_string().into());
        }
        self.cause.in_dialect(Json::from(body).to_string())
    }
}

fn of_refusal(refusal: &Refusal) -> (String, bool) {
    match refusal {
        Refusal::Claimed(_) => ("El dispositivo ya fue reclamado previamente".into(), false),
        Refusal::Registered(_) => ("Ya existe un dispositivo con ese serial_number".into(), false),
        Refusal::Unknown(_) => ("Dispositivo no encontrado".into(), false),
        Refusal::Suspended => ("El dispositivo está suspendido".into(), false),
        Refusal::Retired => ("El dispositivo está retirado".into(), false),
        Refusal::Invalid { field, .. } | Refusal::TooLarge { section: field, .. } => {
            (format!("Valor inválido en {}", named(field)), true)
        }
        _ => ("No se pudo completar la petición".into(), true),
    }
}

fn of_payload(error: &PayloadError) -> (String, bool) {
    match error {
        PayloadError::WrongType { name, found: "nothing", .. } => {
            (format!("Debe proporcionar {name}"), false)
        }
        PayloadError::WrongType { name, expected: "an object", .. } => {
            (format!("{name} debe ser un objeto"), true)
        }
        PayloadError::WrongType { name, .. } => (format!("{name} debe ser un texto"), true),
        PayloadError::BadValue { name, .. } => (format!("Valor inválido en {name}"), true),
        PayloadError::TooMany => ("Demasiados valores en parametros".into(), true),
        PayloadError::NotAnObject("nothing") => (NO_DATA.into(), false),
        _ => (NO_DATA.into(), true),
    }
}

/// `schedule.lunes[0]` is `configuracion.horarios.lunes[0]` here.
fn named(field: &str) -> String {
    let own = FIELDS.iter().find_map(|(ours, theirs)| {
        let rest = field.strip_prefix(ours)?;
        (rest.is_empty() || rest.starts_with(['.', '['])).then(|| format!("{theirs}{rest}"))
    });
    own.unwrap_or_else(|| field.to_owned())
}

#[cfg(test)]
mod tests {
    use actix_web::body::to_bytes;
    use actix_web::http::header;
    use twinhub_domain::{DeviceId, payload};

    use super::*;

    async fn check(failed: impl Into<RequestError>, status: u16, expected: &str) {
        let response = failed.into().error_response();
        assert_eq!(response.status().as_u16(), status, "{expected}");
        assert_eq!(response.headers().get(header::CONTENT_TYPE).unwrap(), "application/json");
        let body = to_bytes(response.into_body()).await.unwrap();
        assert_eq!(String::from_utf8(body.to_vec()).unwrap(), expected);
    }

    fn refused(refusal: Refusal) -> ApiError {
        HubError::Refused(refusal).into()
    }

    #[actix_web::test]
    async fn speaks_spanish_and_knows_no_422() {
        check(ApiError::no_device("7"), 404, r#"{"error":"Dispositivo no encontrado"}"#).await;
        check(RequestError::no_data(), 400, r#"{"error":"Datos JSON inválidos o faltantes"}"#).await;
        check(
            payload::object(b"").unwrap_err(),
            400,
            r#"{"detalle":"not JSON: EOF while parsing a value at line 1 column 0","error":"Datos JSON inválidos o faltantes"}"#,
        )
        .await;
        let schedule = Refusal::Invalid { field: "schedule.lunes[0]".into(), detail: "no".into() };
        check(
            refused(schedule),
            400,
            r#"{"detalle":"`schedule.lunes[0]`: no","error":"Valor inválido en configuracion.horarios.lunes[0]"}"#,
        )
        .await;
        let claimed = Refusal::Claimed(DeviceId::parse("a").unwrap());
        check(refused(claimed), 409, r#"{"error":"El dispositivo ya fue reclamado previamente"}"#).await;
        check(
            HubError::Unavailable("not now"),
            503,
            r#"{"detalle":"not now","error":"Servicio no disponible, inténtelo de nuevo"}"#,
        )
        .await;
        check(
            RequestError::with_message(ApiError::no_device("x"), NO_SERIAL),
            404,
            r#"{"error":"Debe proporcionar serial_number"}"#,
        )
        .await;
    }

    #[test]
    fn fields_have_their_own_names() {
        assert_eq!(named("schedule[2].cron"), "configuracion.horarios[2].cron");
        assert_eq!(named("name"), "nombre");
        assert_eq!(named("names"), "names");
        assert_eq!(named("serial_number"), "serial_number");
    }
}
