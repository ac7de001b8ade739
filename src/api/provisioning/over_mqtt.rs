//! Requests of devices for a token over MQTT: the same bodies and answers as over HTTP, with the status in them.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::Data;
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::Receiver;
use twinhub_actors::pairing::{Provisioner, ProvisioningRequest};
use twinhub_domain::cause::Source;
use twinhub_domain::{DeviceId, payload};

use super::newcomers::give_token;
use super::provision::provision;
use super::request::NewProvisioned;
use crate::api::devices::register::Registered;
use crate::http::extract::read;
use crate::http::problem::ApiError;
use crate::http::{Access, CallerAdmission, Holder};
use crate::state::WebState;

/// Requests that are worked on at once.
const AT_ONCE: usize = 16;

/// A registration's answer as a message.
#[derive(Serialize)]
struct RegisteredOverMqtt {
    status: u16,
    #[serde(flatten)]
    registered: Registered,
}

/// Answers requests until the hub ends.
pub async fn answer_all(state: Data<WebState>, mut requests: Receiver<ProvisioningRequest>) {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(ProvisioningRequest { by, device, body, reply }) = requests.recv().await {
        let Ok(turn) = Arc::clone(&turns).acquire_owned().await else { return };
        let state = state.clone();
        actix_rt::spawn(async move {
            let answered = answer(&state, by, device.as_ref(), &body).await;
            let _ = reply.send(text(answered)); // the client may have gone
            drop(turn);
        });
    }
}

async fn answer(
    state: &Data<WebState>,
    by: Provisioner,
    device: Option<&DeviceId>,
    body: &[u8],
) -> Result<Registered, ApiError> {
    let mut body = payload::object(body)?;
    if let Some(device) = device.filter(|_| body.get("device_id").is_none()) {
        body.insert("device_id", device.as_str().into());
    }
    let body: NewProvisioned = read::read(body)?;
    match by {
        Provisioner::Key(identity) => {
            let grant = state.hub().of_identity(&identity, Source::Mqtt);
            let admission = CallerAdmission::of(grant, Holder::Known(identity));
            provision(&Access::new(state.clone(), admission), &body).await
        }
        Provisioner::Window(pass) => give_token(state, &pass, &body, Source::Mqtt).await,
    }
}

/// The answer as a message, which has no status line.
fn text(answered: Result<Registered, ApiError>) -> Bytes {
    let text = match answered {
        Ok(registered) => {
            serde_json::to_vec(&RegisteredOverMqtt { status: StatusCode::CREATED.as_u16(), registered })
        }
        Err(error) => serde_json::to_vec(&error.problem()),
    };
    text.unwrap_or_default().into() // texts and numbers
}
