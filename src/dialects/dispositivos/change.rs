//! `POST /dispositivos` adds a device, `PUT /dispositivos/{id}` changes one.

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Path;
use twinhub_actors::access::InputRequest;
use twinhub_actors::messages::supervisor::IfUnknown;
use twinhub_domain::twin::Speaker;
use twinhub_domain::{DeviceId, Input, Json, Object, Twin};
use twinhub_mqtt::dialects::dispositivos::{Dispositivo, DispositivoView, id_of_serial};

use super::request_error::{NO_SERIAL, RequestError};
use super::{BY, device, find};
use crate::api::devices::register::check_serial;
use crate::http::Access;
use crate::http::extract::body::ObjectBody;
use crate::http::problem::ApiError;

pub async fn add(
    body: Result<ObjectBody, RequestError>,
    access: Access,
) -> Result<HttpResponse, RequestError> {
    let document = document(body)?;
    let claimed = document.get("reclamado") == Some(&Json::Bool(true));
    let device_message = Dispositivo::read(document, Speaker::Registration { claimed })?;
    let Some(serial) = device_message.serial.clone() else {
        return Err(RequestError::with_message(ApiError::no_device(""), NO_SERIAL)); // `read` has seen to it
    };
    check_serial(&access, &serial, None).await?;
    let twin = deliver(&access, id_of_serial(&serial)?, device_message, IfUnknown::Begin).await?;
    Ok(answer(StatusCode::CREATED, "Dispositivo agregado", &twin, []))
}

pub async fn put(
    id: Path<String>,
    body: Result<ObjectBody, RequestError>,
    access: Access,
) -> Result<HttpResponse, RequestError> {
    let device_message = Dispositivo::read(document(body)?, Speaker::App)?;
    let known = find(&access, &id).await?;
    let twin = deliver(&access, known.id, device_message, IfUnknown::Refuse).await?;
    let view = DispositivoView::of(&twin);
    let shown = [
        ("estado", Json::from(device::estado(view.estado()))),
        ("configuracion", view.configuracion().into()),
    ];
    Ok(answer(StatusCode::OK, "Dispositivo actualizado", &twin, shown))
}

/// Delivers it, and gives the twin back as it is after it.
pub(super) async fn deliver(
    access: &Access,
    device: DeviceId,
    device_message: Dispositivo,
    if_unknown: IfUnknown,
) -> Result<Box<Twin>, RequestError> {
    let input = Input::Translate(Arc::new(device_message));
    let taken = access
        .deliver(InputRequest::new(device.clone(), input).because(BY).if_unknown(if_unknown).with_twin())
        .await?;
    match taken.twin {
        Some(twin) => Ok(twin),
        None => access.read(&device).await?.ok_or_else(|| ApiError::no_device(device).into()),
    }
}

/// `{mensaje, id}` and more.
pub(super) fn answer<const N: usize>(
    status: StatusCode,
    message: &str,
    twin: &Twin,
    more: [(&str, Json); N],
) -> HttpResponse {
    let mut body: Object = more.into_iter().collect();
    body.insert("mensaje", message.into());
    body.insert("id", twin.number.0.into());
    HttpResponse::build(status).content_type("application/json").body(Json::from(body).to_string())
}

/// The body; an empty object is as good as none.
fn document(body: Result<ObjectBody, RequestError>) -> Result<Object, RequestError> {
    let ObjectBody(document) = body?;
    if document.is_empty() { Err(RequestError::no_data()) } else { Ok(document) }
}
