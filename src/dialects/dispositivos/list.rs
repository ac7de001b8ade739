//! `GET /dispositivos`, `GET /dispositivos/no-reclamados`, `GET /dispositivos/{id}`: all that there are, in one
//! answer however many, and one.

use actix_web::web::{Bytes, Path};
use actix_web::{HttpResponse, HttpResponseBuilder};
use futures_util::stream;
use twinhub_actors::messages::archive::ListDevices;
use twinhub_domain::{DeviceNumber, Twin};
use twinhub_store::DeviceQuery;

use super::request_error::RequestError;
use super::{device, find};
use crate::http::Access;

/// Devices read, and sent, at once.
const PAGE: u64 = 500;

/// The writer of a device into a list.
type DeviceWriter = fn(&Twin, &mut String);

pub async fn all(access: Access) -> Result<HttpResponse, RequestError> {
    list(access, None, device::write).await
}

pub async fn unclaimed(access: Access) -> Result<HttpResponse, RequestError> {
    list(access, Some(false), device::write_unclaimed).await
}

pub async fn one(id: Path<String>, access: Access) -> Result<HttpResponse, RequestError> {
    let twin = find(&access, &id).await?;
    let mut body = String::with_capacity(512);
    device::write(&twin, &mut body);
    Ok(json(HttpResponse::Ok()).body(body))
}

/// The first page is read before the answer begins, so that a store that fails is still an error; the others
/// while it is sent.
async fn list(
    access: Access,
    claimed: Option<bool>,
    write: DeviceWriter,
) -> Result<HttpResponse, RequestError> {
    let first = page(&access, claimed, None).await?;
    let rest = stream::unfold(Some((first, true)), move |page_to_send| {
        let access = access.clone();
        async move {
            let (twins, is_first) = page_to_send?;
            let mut text = written(&twins, is_first, write);
            if (twins.len() as u64) < PAGE {
                text.push(']');
                return Some((Ok(Bytes::from(text)), None));
            }
            let next = page(&access, claimed, twins.last().map(|twin| twin.number)).await;
            Some(match next {
                Ok(next) => (Ok(Bytes::from(text)), Some((next, false))),
                Err(failed) => (Err(failed), None), // the answer breaks off, which no client takes for its end
            })
        }
    });
    Ok(json(HttpResponse::Ok()).streaming(rest))
}

async fn page(
    access: &Access,
    claimed: Option<bool>,
    after: Option<DeviceNumber>,
) -> Result<Vec<Twin>, RequestError> {
    let first = after.map_or(DeviceNumber(i64::MIN), |after| DeviceNumber(after.0.saturating_add(1)));
    let numbers = Some((first, DeviceNumber(i64::MAX)));
    let query = DeviceQuery { numbers, claimed, limit: PAGE, ..DeviceQuery::default() };
    Ok(access.ask(ListDevices(query)).await??.twins)
}

fn written(twins: &[Twin], is_first: bool, write: DeviceWriter) -> String {
    let mut text = String::with_capacity(16 + twins.len() * 384);
    if is_first {
        text.push('[');
    }
    for (index, twin) in twins.iter().enumerate() {
        if index > 0 || !is_first {
            text.push(',');
        }
        write(twin, &mut text);
    }
    text
}

fn json(mut response: HttpResponseBuilder) -> HttpResponseBuilder {
    response.content_type("application/json");
    response
}
