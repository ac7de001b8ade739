//! `POST /api/devices/{id}/commands`: a device is asked to do something, and perhaps waited for.

use actix_web::http::header::{self, HeaderName};
use actix_web::{HttpRequest, HttpResponse};
use tokio::time::Instant;
use twinhub_actors::HubError;
use twinhub_actors::access::InputRequest;
use twinhub_actors::messages::archive::FindCommand;
use twinhub_domain::{Command, CommandId, DeviceId, Input, Object};

use super::command_watch::CommandWatch;
use crate::api::commands::request::{self, NewCommand};
use crate::api::commands::schema::CommandAccepted;
use crate::api::commands::view::{summary, whole};
use crate::http::Access;
use crate::http::extract::body::{Body, DevicePath};
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::Params;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::Document;

const IDEMPOTENCY_KEY: &str = "Idempotency-Key";

/// Asks a device to do something. It gets the command when it is its turn and the device is there; the
/// answer comes at once, or with `wait` when it is known what became of it.
#[utoipa::path(
    post,
    path = "/api/devices/{id}/commands",
    tag = "commands",
    params(
        ("id" = String, Path, description = "The device's id"),
        ("wait" = Option<String>, Query, description = "The time to wait until the command is final: `5s`, or \
            seconds; 60 s at most"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters of visible ASCII. The \
            same key and the same body again are the same command"),
    ),
    request_body = NewCommand,
    responses(
        (status = 202, description = "It is stored, and will be sent", body = CommandAccepted,
            headers(("Location" = String, description = "Where the command is"))),
        (status = 200, description = "With `wait`: what became of it, with its history. Without: the same command \
            was asked for before", body = CommandAccepted,
            headers(("Location" = String, description = "Where the command is"))),
        (status = 404, description = "No such device", body = Problem),
        (status = 409, description = "The key came with another body before", body = Problem),
        (status = 422, description = "A field makes no sense", body = Problem),
        (status = 429, description = "Too many commands wait for this device", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
        (status = 504, description = "It is stored and goes on, and was not final in time; `command_id` names it",
            body = Problem, headers(("Location" = String, description = "Where the command is"))),
    )
)]
pub async fn post_command(
    request: HttpRequest,
    DevicePath(device): DevicePath,
    mut params: Params,
    Body(asked): Body<NewCommand>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let wait = params.read("wait", request::WAIT, request::wait)?.filter(|wait| !wait.is_zero());
    params.finish()?;
    let mut asked = asked.request()?;
    asked.idempotency_key = key(&request)?;

    let until = wait.map(|wait| Instant::now() + wait);
    let id = CommandId(twinhub_actors::clock::new_id());
    let watch = until.map(|_| CommandWatch::begin(&access, &device, Some(id))).transpose()?;
    let input = Input::Command { id, request: Box::new(asked), known: None, is_new: false };
    let taken = access.deliver(InputRequest::new(device.clone(), input)).await?;
    let command = asked_for(id, taken.repeated, taken.commands)?;

    let mut response =
        if taken.repeated || wait.is_some() { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    response.insert_header((header::LOCATION, format!("/api/commands/{}", command.id)));
    let shown = match (until, watch) {
        (Some(until), Some(watch)) => final_form(&access, &device, watch, id, command, until).await?,
        _ => summary(&device, &command),
    };
    Ok(Document::of(&shown).with("repeated", &taken.repeated).send(response))
}

/// The command that an input asked for: the new one, or of a repeat the one that it repeats.
///
/// # Errors
/// The hub gave no answer: it is shutting down.
pub(crate) fn asked_for(id: CommandId, repeated: bool, commands: Vec<Command>) -> Result<Command, ApiError> {
    let mut commands = commands.into_iter();
    let found = commands.find(|command| repeated || command.id == id);
    found.ok_or(ApiError::from(HubError::ShuttingDown))
}

async fn final_form(
    access: &Access,
    device: &DeviceId,
    mut watch: CommandWatch,
    watched: CommandId,
    command: Command,
    until: Instant,
) -> Result<Object, ApiError> {
    let (id, mut status) = (command.id, command.status);
    if id != watched && !status.is_final() {
        // It repeats another one, of which nothing was heard so far: watch first, then look.
        watch = CommandWatch::begin(access, device, Some(id))?;
        let found = access.ask(FindCommand(id)).await??;
        status = found.map_or(status, |record| record.command.status);
    }
    let record = watch.until_final(access, id, status, until).await?;
    Ok(whole(&record.device, &record.command))
}

fn key(request: &HttpRequest) -> Result<Option<Box<str>>, FieldError> {
    let Some(value) = request.headers().get(HeaderName::from_static("idempotency-key")) else {
        return Ok(None);
    };
    request::idempotency_key(IDEMPOTENCY_KEY, value.to_str().unwrap_or_default()).map(Some)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn reads_the_key() {
        let read = |value: &[u8]| {
            key(&TestRequest::default().insert_header((IDEMPOTENCY_KEY, value)).to_http_request())
        };
        assert_eq!(key(&TestRequest::default().to_http_request()), Ok(None));
        assert_eq!(read(b"0198-a").unwrap().as_deref(), Some("0198-a"));
        assert_eq!(read(b"").unwrap_err().field, IDEMPOTENCY_KEY);
        assert_eq!(read(b"a b").unwrap_err().field, IDEMPOTENCY_KEY);
        assert_eq!(read("ü".as_bytes()).unwrap_err().field, IDEMPOTENCY_KEY);
    }
}
