//! `POST /dispositivos/reclamar`: a device that was heard becomes somebody's.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use twinhub_actors::messages::archive::FindSerial;
use twinhub_actors::messages::supervisor::IfUnknown;
use twinhub_domain::twin::Speaker;
use twinhub_mqtt::dialects::dispositivos::{Dispositivo, serial_number};

use super::change::{answer, deliver};
use super::request_error::{NEVER_HEARD, NO_SERIAL, RequestError};
use crate::http::Access;
use crate::http::extract::body::ObjectBody;
use crate::http::problem::ApiError;

pub async fn claim(
    body: Result<ObjectBody, RequestError>,
    access: Access,
) -> Result<HttpResponse, RequestError> {
    let ObjectBody(document) = body?;
    let serial = serial_number(document.get("serial_number").cloned())
        .map_err(|error| RequestError::with_message(error, NO_SERIAL))?;
    let said = Dispositivo::read(document, Speaker::Claim)?;
    let Some(found) = access.ask(FindSerial(serial.to_string())).await?? else {
        return Err(RequestError::with_message(ApiError::no_device(serial), NEVER_HEARD));
    };
    let twin = deliver(&access, found.id, said, IfUnknown::Refuse).await?;
    Ok(answer(StatusCode::OK, "Dispositivo reclamado correctamente", &twin, []))
}
