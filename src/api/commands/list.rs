//! Commands in lists and one by one: the waiting ones, the results of the others, and their cancellation.

use actix_web::{HttpRequest, HttpResponse};
use twinhub_actors::access::InputRequest;
use twinhub_actors::messages::archive::{FindCommand, ListCommands};
use twinhub_domain::{CommandStatus, DeviceId, DeviceNumber, Input, ReadingTime};
use twinhub_store::{CommandQuery, CommandRecord};

use super::poll;
use crate::api::commands::create::asked_for;
use crate::api::commands::schema::{CommandDetail, CommandItem, CommandListing, CommandsListed};
use crate::api::commands::view::{summary, whole};
use crate::api::devices::device::find;
use crate::http::extract::body::{CommandPath, DevicePath};
use crate::http::extract::fields::FieldError;
use crate::http::extract::paging::Paging;
use crate::http::extract::params::{Params, bad, moment};
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::{Document, array};
use crate::http::{Access, check_poll};

const STATUSES: &str = "pending, sent, delivered, executed, failed, rejected, expired, timed_out, canceled or \
     superseded";

/// The commands of all devices: those that wait, and what became of the others.
#[utoipa::path(
    get,
    path = "/api/commands",
    tag = "commands",
    params(CommandListing, ("device_id" = Option<String>, Query, description = "A device's id")),
    responses(
        (status = 200, description = "A page of commands", body = [CommandItem],
            headers(("X-Total-Count" = u64, description = "The number of entries on all pages"), ("Link" = String))),
        (status = 404, description = "No such device", body = Problem),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_commands(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let device = match params.text("device_id")? {
        Some(id) => {
            let id = DeviceId::parse(&id).map_err(|error| bad("device_id", error.to_string()))?;
            Some(find(&access, &id).await?.number)
        }
        None => None,
    };
    list(&request, params, &access, device).await
}

/// The commands of one device. With `wait` it is the device itself that asks, over HTTP: it gets what it
/// is to do as soon as there is something, in the form of the messages over MQTT, and an empty array
/// when there was nothing in time. It answers each at `…/commands/{command_id}`; what it has not
/// answered it gets again.
#[utoipa::path(
    get,
    path = "/api/devices/{id}/commands",
    tag = "commands",
    params(
        ("id" = String, Path, description = "The device's id"),
        CommandListing,
        ("wait" = Option<String>, Query, description = "For the device, together with `status=pending` alone: how \
            long to wait for something to do: `20s`, or seconds; 60 s at most"),
    ),
    responses(
        (status = 200, description = "A page of commands; with `wait` what the device is to do", body = CommandsListed,
            headers(("X-Total-Count" = u64, description = "The number of entries on all pages"), ("Link" = String))),
        (status = 403, description = "With `wait`: a browser asks, and does not tell for which page", body = Problem),
        (status = 404, description = "No such device", body = Problem),
        (status = 409, description = "With `wait`: the device is out of service", body = Problem),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_device_commands(
    request: HttpRequest,
    DevicePath(device): DevicePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    if params.has("wait") {
        check_poll(&request)?;
        return poll::wait_for_commands(&access, device, params).await;
    }
    let number = find(&access, &device).await?.number;
    list(&request, params, &access, Some(number)).await
}

/// One command, with all that happened to it.
#[utoipa::path(
    get,
    path = "/api/commands/{id}",
    tag = "commands",
    params(("id" = String, Path, description = "The command's id")),
    responses((status = 200, body = CommandDetail), (status = 404, body = Problem))
)]
pub async fn get_command(
    CommandPath(id): CommandPath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let found = access.ask(FindCommand(id)).await??;
    let CommandRecord { device, command, .. } = found.ok_or_else(|| ApiError::no_command(id))?;
    Ok(Document::of(&whole(&device, &command)).send(HttpResponse::Ok()))
}

/// Calls a command back. A device that has it already may do it all the same; what it answers is kept.
#[utoipa::path(
    delete,
    path = "/api/commands/{id}",
    tag = "commands",
    params(("id" = String, Path, description = "The command's id")),
    responses(
        (status = 200, description = "It is canceled", body = CommandDetail),
        (status = 404, body = Problem),
        (status = 409, description = "It was final already", body = Problem),
    )
)]
pub async fn cancel_command(
    CommandPath(id): CommandPath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let found = access.ask(FindCommand(id)).await??;
    let device = found.ok_or_else(|| ApiError::no_command(id))?.device;
    let taken = access.deliver(InputRequest::new(device.clone(), Input::Cancel { id, known: None })).await?;
    let command = asked_for(id, false, taken.commands)?;
    Ok(Document::of(&whole(&device, &command)).send(HttpResponse::Ok()))
}

async fn list(
    request: &HttpRequest,
    mut params: Params,
    access: &Access,
    device: Option<DeviceNumber>,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let paging = Paging::take(&mut params)?;
    let query = CommandQuery { device, offset: paging.offset(), limit: paging.limit, ..query(params)? };
    let page = access.ask(ListCommands(query)).await??;
    let mut response = HttpResponse::Ok();
    paging.set_headers(&mut response, request.path(), &all, page.total);
    Ok(array(response, &page.commands, |CommandRecord { device, command, .. }, out| {
        summary(device, command).write(out);
    }))
}

fn query(mut params: Params) -> Result<CommandQuery, FieldError> {
    if let Some(date) = params.text("date")? {
        if params.has("from") || params.has("to") {
            return Err(bad("date", "says `from` and `to`, which are there too"));
        }
        if moment(&date, true) == moment(&date, false) {
            return Err(bad("date", "is no date such as 2026-01-01"));
        }
        params = params.with("from", &date).with("to", &date);
    }
    let query = CommandQuery {
        status: params.words("status", STATUSES, CommandStatus::parse)?,
        command_type: params.text("command_type")?,
        from: params.start_time("from")?.map(ReadingTime::ceil),
        to: params.end_time("to")?.map(ReadingTime::ceil),
        newest_first: params.newest_first(true)?,
        ..CommandQuery::default()
    };
    params.finish()?;
    Ok(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_filters() {
        let read = |text: &str| query(Params::parse(text));
        let wanted =
            read("status=pending,sent&status=failed&type=reboot&from=2026-01-01&to=2026-01-01").unwrap();
        assert_eq!(wanted.status, [CommandStatus::Pending, CommandStatus::Sent, CommandStatus::Failed]);
        assert_eq!(wanted.command_type.as_deref(), Some("reboot"));
        assert_eq!(wanted.to.unwrap().millis() - wanted.from.unwrap().millis(), 86_400_000);
        assert!(wanted.newest_first);
        let day = read("date=2026-01-01").unwrap();
        assert_eq!((day.from, day.to), (wanted.from, wanted.to));
        assert!(!read("order=asc").unwrap().newest_first);
    }

    #[test]
    fn names_the_parameter_that_is_wrong() {
        let wrong = |text: &str| query(Params::parse(text)).unwrap_err();
        assert_eq!(wrong("status=done").field, "status");
        assert_eq!(wrong("from=soon").field, "from");
        for day in ["date=soon", "date=5", "date=2026-01-01T00:00:00Z", "date=2026-01-01&from=2026-01-01"] {
            assert_eq!(wrong(day).field, "date", "{day}");
        }
        assert_eq!(wrong("order=up").field, "order");
        assert_eq!(wrong("colour=red").code, "unknown_parameter");
    }

    #[test]
    fn says_all_statuses() {
        for status in CommandStatus::ALL {
            assert!(STATUSES.contains(status.as_str()), "{}", status.as_str());
        }
    }
}
