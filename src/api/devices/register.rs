//! `POST /api/devices`: registers a device, and answers with all that it needs to connect.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use serde::Serialize;
use twinhub_actors::access::InputRequest;
use twinhub_actors::clock::new_id_at;
use twinhub_actors::messages::archive::{FindSerialHolder, SerialHolder};
use twinhub_actors::messages::supervisor::IfUnknown;
use twinhub_domain::twin::Registration;
use twinhub_domain::{DeviceId, Input, Object, Timestamp};
use utoipa::ToSchema;

use super::request::NewDevice;
use super::token;
use crate::api::groups::check_group;
use crate::http::Access;
use crate::http::extract::body::Body;
use crate::http::extract::fields::FieldError;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;
use crate::state::ServerInfo;

/// A registration's answer: all that the device needs to connect.
#[derive(Debug, Serialize, ToSchema)]
pub struct Registered {
    #[schema(example = "pump-1")]
    id: String,
    device_id: String,
    name: String,
    /// Shown this once.
    auth_token: String,
    mqtt: MqttAccess,
    /// Of the twin after it, as in its `ETag`.
    version: u64,
    message: &'static str,
}

/// Where and how a device speaks MQTT.
#[derive(Debug, Serialize, ToSchema)]
struct MqttAccess {
    #[schema(example = "127.0.0.1")]
    host: String,
    port: u16,
    /// The device's id; its password is the token.
    username: String,
    topics: MqttTopics,
}

/// The device's topics.
#[derive(Debug, Serialize, ToSchema)]
struct MqttTopics {
    data: String,
    state: String,
    status: String,
    get: String,
    desired: String,
    commands: String,
    /// Where it answers each.
    command_answers: String,
    configuration: String,
    /// Where it says how far it has come with new firmware.
    firmware: String,
    /// Where it is told of it.
    firmware_update: String,
}

/// A registration, read from a body.
#[derive(Debug)]
pub(crate) struct DeviceRegistration {
    pub id: Option<DeviceId>,
    pub name: Box<str>,
    pub serial: Option<Box<str>>,
    pub token: Option<Box<str>>,
    /// Merge patch onto the new twin.
    pub patch: Object,
}

/// Registers a device. An id that was only seen on MQTT so far is adopted with all that it has said.
#[utoipa::path(
    post,
    path = "/api/devices",
    tag = "devices",
    request_body = NewDevice,
    responses(
        (status = 201, description = "Registered; the token is shown this once", body = Registered,
            headers(("Location" = String, description = "Where the device is"))),
        (status = 409, description = "The id, the serial number or the token is taken", body = Problem),
        (status = 422, description = "A field makes no sense", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn register_device(
    Body(device): Body<NewDevice>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let DeviceRegistration { id, name, serial, token, mut patch } = device_registration(device)?;
    check_group(&access, &patch)?;
    let id = match id {
        Some(id) => id,
        None => DeviceId::parse(&make_id(access.now()))?,
    };
    if let Some(serial) = serial {
        check_serial(&access, &serial, Some(&id)).await?;
    }
    let is_chosen = token.is_some();
    let token = match token {
        Some(token) => token.into(),
        None => token::make()?,
    };
    // One that is made here is long and random, and nobody else's.
    let _given = if is_chosen {
        Some(access.state.giving.begin(&access, &access.state.tokens, &token, &id).await?)
    } else {
        None
    };
    access.state.tokens.put(&token, &mut patch)?;
    let registration = Input::Register(Box::new(Registration { patch }));
    let registration = InputRequest::new(id.clone(), registration).if_unknown(IfUnknown::Begin);
    let taken = access.deliver(registration).await?;
    let registered = Registered {
        name: name.into(),
        auth_token: token,
        mqtt: MqttAccess::of(&id, &access.state.info),
        version: taken.version,
        message: "Device added successfully",
        device_id: id.to_string(),
        id: id.to_string(),
    };
    let mut response = reply::json(StatusCode::CREATED, &registered);
    if let Ok(location) = format!("/api/devices/{id}").parse() {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// Checks that no device but `own` has this serial number.
///
/// # Errors
/// Another has.
pub(crate) async fn check_serial(
    access: &Access,
    serial: &str,
    own: Option<&DeviceId>,
) -> Result<(), ApiError> {
    let device = match access.ask(FindSerialHolder(serial.to_owned())).await?? {
        SerialHolder::Nobody => return Ok(()),
        SerialHolder::Device(id) if Some(&id) == own => return Ok(()),
        SerialHolder::Device(id) => Some(id.to_string()),
        SerialHolder::Hidden => None,
    };
    Err(ApiError::SerialTaken { serial: serial.to_owned(), device })
}

/// The registration that a body asks for.
pub(crate) fn device_registration(device: NewDevice) -> Result<DeviceRegistration, FieldError> {
    let id = device.device_id.as_deref().map(DeviceId::parse).transpose();
    let id = id.map_err(|error| FieldError::bad("device_id", error.to_string()))?;
    let token = device.auth_token.clone();
    if token.as_ref().is_some_and(|token| !(token::SHORTEST..=token::LONGEST).contains(&token.len())) {
        let detail = format!("{} to {} bytes", token::SHORTEST, token::LONGEST);
        return Err(FieldError::bad("auth_token", detail));
    }
    let serial = device.serial_number.clone().filter(|serial| !serial.is_empty());
    Ok(DeviceRegistration { id, name: device.name.clone(), serial, token, patch: device.patch() })
}

/// An id for a device that brought none: UUIDv7, which sorts by time.
pub(crate) fn make_id(now: Timestamp) -> String {
    new_id_at(uuid::NoContext, now).to_string()
}

impl MqttAccess {
    fn of(id: &DeviceId, info: &ServerInfo) -> Self {
        let topic = |last: &str| format!("iot/devices/{id}/{last}");
        Self {
            host: info.mqtt_host.clone(),
            port: info.mqtt_port,
            username: id.to_string(),
            topics: MqttTopics {
                data: topic("data"),
                state: topic("state"),
                status: topic("status"),
                get: topic("get"),
                desired: topic("desired"),
                commands: topic("commands"),
                command_answers: topic("commands/{command_id}"),
                configuration: topic("configuration"),
                firmware: topic("firmware"),
                firmware_update: topic("firmware/update"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use twinhub_domain::Json;

    use super::*;

    fn read(text: &str) -> Result<DeviceRegistration, FieldError> {
        device_registration(crate::http::extract::read::read(text.parse::<Json>().unwrap())?)
    }

    #[test]
    fn reads_what_the_seeds_send() {
        let seed_000 = read(r#"{"device_id": "test_device", "name": "Test Sensor"}"#).unwrap();
        assert_eq!(seed_000.id.unwrap().as_str(), "test_device");
        let seed_004 = read(
            r#"{"name": "Pump", "type": "pump", "description": "in the hall", "ip_address": "10.0.0.7",
                "auth_token": "correct horse battery"}"#,
        );
        assert_eq!(seed_004.unwrap().token.as_deref(), Some("correct horse battery"));
    }

    #[test]
    fn names_the_field_that_is_wrong() {
        let wrong = |text: &str| read(text).unwrap_err().field;
        assert_eq!(wrong("{}"), "name");
        assert_eq!(wrong(r#"{"nam": "P"}"#), "nam");
        assert_eq!(wrong(r#"{"name": "P", "device_id": "a b"}"#), "device_id");
        assert_eq!(wrong(r#"{"name": "P", "type": 1}"#), "type");
        assert_eq!(wrong(r#"{"name": "P", "auth_token": "short"}"#), "auth_token");
        assert_eq!(wrong(r#"{"name": "P", "tags": []}"#), "tags");
        assert_eq!(wrong(r#"{"name": "P", "token_hash": "x"}"#), "token_hash");
    }

    #[test]
    fn ids_made_sort_by_time() {
        let id = |millis| make_id(Timestamp::from_millis(millis));
        assert!(id(1_767_268_800_000) < id(1_767_268_800_001));
        assert!(DeviceId::parse(&id(0)).is_ok());
        let earlier = id(-86_400_000);
        assert!(earlier < id(1), "also by a clock that shows a time before 1970: {earlier}");
    }
}
