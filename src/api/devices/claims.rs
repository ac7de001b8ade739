//! Devices that were seen on MQTT and have no owner yet, and their claims.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse};
use twinhub_actors::access::InputRequest;
use twinhub_actors::messages::archive::FindSerial;
use twinhub_domain::twin::Registration;
use twinhub_domain::{Input, Json};

use super::device::find;
use super::register::say_code;
use super::request::Claim;
use super::schema::{DeviceClaimed, DeviceItem, Listing};
use crate::api::devices::list::{FixedQuery, list};
use crate::api::groups::check_group;
use crate::http::Access;
use crate::http::extract::body::Body;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::{Document, add_readings};

/// Devices that were heard of on MQTT and that nobody has registered or claimed.
#[utoipa::path(
    get,
    path = "/api/devices/unclaimed",
    tag = "devices",
    params(Listing),
    responses(
        (status = 200, description = "A page of devices", body = [DeviceItem],
            headers(("X-Total-Count" = u64, description = "The number of entries on all pages"), ("Link" = String),
                ("X-Warnings" = String, description = "As of `/api/devices`"))),
        (status = 422, body = Problem),
    )
)]
pub async fn list_unclaimed(
    request: HttpRequest,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    list(&request, params, &access, FixedQuery { claimed: Some(false), ..FixedQuery::default() }).await
}

/// Claims the device with this serial number, or with this id while it has none. A device that was registered with a
/// claim code is given to whoever says it; of wrong ones five are looked at in a quarter of an hour.
#[utoipa::path(
    post,
    path = "/api/devices/claim",
    tag = "devices",
    request_body = Claim,
    responses(
        (status = 200, description = "It is yours", body = DeviceClaimed,
            headers(("ETag" = String, description = "The version, quoted"))),
        (status = 403, description = "The claim code is wrong, or was not said", body = Problem),
        (status = 404, description = "No such device was seen", body = Problem),
        (status = 409, description = "It is someone's already", body = Problem),
        (status = 422, body = Problem),
        (status = 429, description = "Too many wrong claim codes were said", body = Problem),
    )
)]
pub async fn claim_device(Body(claim): Body<Claim>, access: Access) -> Result<HttpResponse, ApiError> {
    let (serial, code) = (claim.serial_number.clone(), claim.claim_code.clone());
    let mut patch = claim.patch();
    check_group(&access, &patch)?;
    let Some(found) = access.ask(FindSerial(serial.to_string())).await?? else {
        return Err(ApiError::NotFound { what: "device with serial number", name: serial.into() });
    };
    if found.profile.serial_number.is_empty() {
        patch.insert("serial_number", Json::String(serial)); // found by its id: now it is said
    }
    if let Some(code) = &code {
        say_code(&mut patch, &access, code);
    }
    let input = InputRequest::new(found.id.clone(), Input::Claim(Box::new(Registration { patch })));
    let taken = access.state.claims.limited(&access, &found.id, access.deliver(input.with_twin())).await?;
    let twin = match taken.twin {
        Some(twin) => twin,
        None => find(&access, &found.id).await?,
    };
    let mut document = twin.document(access.now());
    add_readings(&mut document, &twin);
    let mut response = HttpResponse::Ok();
    response.insert_header((header::ETAG, format!("\"{}\"", twin.version)));
    Ok(Document::of(&document).with("message", &"Device claimed").send(response))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::extract::read::read;

    #[test]
    fn reads_a_claim() {
        let read = |text: &str| read::<Claim>(text.parse::<Json>().unwrap());
        let claim = read(r#"{"serial_number": "TMP0603IF1WD", "name": "Hall"}"#).unwrap();
        assert_eq!(&*claim.serial_number, "TMP0603IF1WD");
        assert_eq!(Json::Object(claim.patch()).to_string(), r#"{"name":"Hall"}"#);
        assert_eq!(read(r#"{"name": "Hall"}"#).unwrap_err().field, "serial_number");
        assert_eq!(read(r#"{"serial_number": "x", "owner": "me"}"#).unwrap_err().field, "owner");
        assert_eq!(read(r#"{"serial_nunber": "x"}"#).unwrap_err().field, "serial_nunber");
    }
}
