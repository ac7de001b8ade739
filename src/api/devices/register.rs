//! `POST /api/devices`: registers a device, and answers with all that it needs to connect.

use actix_web::HttpResponse;
use actix_web::http::{StatusCode, header};
use serde::Serialize;
use twinhub_actors::access::{Grant, InputRequest};
use twinhub_actors::clock::new_id_at;
use twinhub_actors::messages::archive::{FindSerialHolder, SerialHolder};
use twinhub_actors::messages::supervisor::IfUnknown;
use twinhub_domain::twin::Registration;
use twinhub_domain::{DeviceId, Input, Json, Object, Timestamp};
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
    /// The code with which it is to be claimed.
    pub code: Option<Box<str>>,
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
        (status = 429, description = "Too many wrong claim codes were said", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn register_device(
    Body(device): Body<NewDevice>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let DeviceRegistration { id, name, serial, token, code, mut patch } = device_registration(device)?;
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
    if let Some(code) = &code {
        leave_for_claim(&mut patch, &access, code);
    }
    let registration = Input::Register(Box::new(Registration { patch }));
    let registration = InputRequest::new(id.clone(), registration).if_unknown(IfUnknown::Begin);
    let taken = match code {
        // The device may be there, with a code that this one is compared with.
        Some(_) => access.state.claims.limited(&access, &id, access.deliver(registration)).await?,
        None => access.deliver(registration).await?,
    };
    let registered = Registered::new(&id, &name, token, taken.version, &access.state.info);
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
pub(crate) async fn check_serial(hub: &Grant, serial: &str, own: Option<&DeviceId>) -> Result<(), ApiError> {
    let device = match hub.ask(FindSerialHolder(serial.to_owned())).await?? {
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
    let fits = |token: &str| token.trim() == token && token.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if token.as_ref().is_some_and(|token| !fits(token)) {
        let detail = "expected printable ASCII characters, none of them a space at either end: a header takes no others";
        return Err(FieldError::bad("auth_token", detail));
    }
    let code = device.claim_code.clone();
    if code.as_ref().is_some_and(|code| !(token::SHORTEST_CODE..=token::LONGEST).contains(&code.len())) {
        let detail = format!("{} to {} bytes", token::SHORTEST_CODE, token::LONGEST);
        return Err(FieldError::bad("claim_code", detail));
    }
    let serial = device.serial_number.clone().filter(|serial| !serial.is_empty());
    Ok(DeviceRegistration { id, name: device.name.clone(), serial, token, code, patch: device.patch() })
}

/// Says a claim code, in each form in which it may be kept.
pub(crate) fn say_code(patch: &mut Object, access: &Access, code: &str) {
    let forms = access.state.tokens.forms(code).into_iter().map(Json::from);
    patch.insert("claim_code", Json::Array(forms.collect()));
}

/// Leaves the device for whoever claims it with this code.
pub(crate) fn leave_for_claim(patch: &mut Object, access: &Access, code: &str) {
    patch.insert("claimed", false.into());
    // A caller who has the code may register it anew, as long as it is nobody's.
    say_code(patch, access, code);
    patch.insert("claim_code_hash", access.state.tokens.hash(code).into());
}

/// An id for a device that brought none: UUIDv7, which sorts by time.
pub(crate) fn make_id(now: Timestamp) -> String {
    new_id_at(uuid::NoContext, now).to_string()
}

impl Registered {
    /// The answer to the registration of a device.
    #[must_use]
    pub fn new(id: &DeviceId, name: &str, token: String, version: u64, info: &ServerInfo) -> Self {
        Self {
            name: name.to_owned(),
            auth_token: token,
            mqtt: MqttAccess::of(id, info),
            version,
            message: "Device added successfully",
            device_id: id.to_string(),
            id: id.to_string(),
        }
    }
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
        for unfit in [r"sixteen letters\n", " sixteen letters", "sechzehn Schlüssel", r"sixteen\tletters"] {
            assert_eq!(wrong(&format!(r#"{{"name": "P", "auth_token": "{unfit}"}}"#)), "auth_token");
        }
        assert_eq!(wrong(r#"{"name": "P", "claim_code": "12345"}"#), "claim_code");
        assert_eq!(wrong(r#"{"name": "P", "claimed": false}"#), "claimed");
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
