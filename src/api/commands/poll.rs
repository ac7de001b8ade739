//! The device's end of commands over HTTP, for devices without MQTT: a long poll takes them, a POST
//! answers them.

use std::time::Duration;

use actix_web::HttpResponse;
use tokio::time::Instant;
use twinhub_actors::access::InputRequest;
use twinhub_domain::payload::PayloadError;
use twinhub_domain::{Command, CommandResult, CommandStatus, DeviceId, Input, Timestamp, Twin};

use super::command_watch::CommandWatch;
use crate::api::commands::create::asked_for;
use crate::api::commands::request::{self, CommandAnswer};
use crate::api::commands::schema::CommandAnswered;
use crate::api::commands::view::whole;
use crate::http::Access;
use crate::http::extract::body::{Body, DeviceCommandPath};
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::{Params, bad};
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::{Document, array};

/// A device that waits is heard this often at least.
const HEARD_EVERY: Duration = Duration::from_secs(15);

/// Gives the device its commands, as soon as there is one.
///
/// # Errors
/// A parameter makes no sense, there is no such device, or the hub cannot take the poll in.
pub(crate) async fn wait_for_commands(
    access: &Access,
    device: DeviceId,
    params: Params,
) -> Result<HttpResponse, ApiError> {
    let until = Instant::now() + waiting_time(params)?;
    let mut watch = CommandWatch::begin(access, &device, None)?;
    loop {
        watch.forget();
        let poll = InputRequest::new(device.clone(), Input::Poll).because("poll").with_twin();
        let taken = access.deliver(poll).await?;
        let now = Instant::now();
        if !taken.commands.is_empty() || now >= until || watch.is_over() {
            let commands = in_sending_order(taken.commands);
            return Ok(array(HttpResponse::Ok(), &commands, |command, out| command.message().write(out)));
        }
        let next_attempt = taken.twin.and_then(|twin| next_attempt(&twin, access.now()));
        let pause = next_attempt.map_or(HEARD_EVERY, |wait| wait.min(HEARD_EVERY));
        watch.next(until.min(now + pause)).await;
        if Instant::now() >= until || watch.is_over() {
            return Ok(array(HttpResponse::Ok(), &[], |_: &Command, _| ()));
        }
    }
}

/// The device says what became of a command.
#[utoipa::path(
    post,
    path = "/api/devices/{id}/commands/{command_id}",
    tag = "commands",
    params(
        ("id" = String, Path, description = "The device's id"),
        ("command_id" = String, Path, description = "The command's id"),
    ),
    request_body = CommandAnswer,
    responses(
        (status = 200, description = "It is stored; `late` where the command was final before, `repeated` where the \
            device has said so before", body = CommandAnswered),
        (status = 404, description = "No such device, or it has no such command", body = Problem),
        (status = 422, description = "A field makes no sense", body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn post_answer(
    DeviceCommandPath(device, id): DeviceCommandPath,
    params: Params,
    Body(answered): Body<CommandAnswer>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let input = Input::CommandResult { id, answer: Box::new(answer(answered)?), known: None };
    let taken = access.deliver(InputRequest::new(device.clone(), input)).await?;
    let command = asked_for(id, taken.repeated, taken.commands)?;
    let late = !taken.repeated && command.history.last().is_some_and(|line| line.late);
    Ok(Document::of(&whole(&device, &command))
        .with("late", &late)
        .with("repeated", &taken.repeated)
        .send(HttpResponse::Ok()))
}

/// The time that the device waits. Only `status=pending` goes with it: the device waits, and is handed its waiting
/// commands.
fn waiting_time(mut params: Params) -> Result<Duration, FieldError> {
    let wait = params.read("wait", request::WAIT, request::wait)?.unwrap_or_default();
    if params.list("status") != ["pending"] {
        let detail = "with `wait` it must be `pending`: the device asks what it is to do";
        return Err(bad("status", detail));
    }
    for name in ["command_type", "from", "to", "page", "limit", "order"] {
        if params.has(name) {
            return Err(bad(name, "does not go with `wait`: the device gets all that it is to do"));
        }
    }
    params.finish()?;
    Ok(wait)
}

fn answer(answered: CommandAnswer) -> Result<CommandResult, PayloadError> {
    let CommandAnswer { status, response, reason } = answered;
    CommandResult::new(&status, response, reason)
}

/// The commands in the order in which they were sent: by time of sending, and those sent together by
/// priority, then age.
fn in_sending_order(mut commands: Vec<Command>) -> Vec<Command> {
    commands.sort_by_key(|command| {
        let Command { updated_at, created_at, id, request, .. } = command;
        (*updated_at, std::cmp::Reverse(request.priority), *created_at, *id)
    });
    commands
}

/// The time until a command that waits after an unanswered attempt may be sent again. The hub makes no event then.
fn next_attempt(twin: &Twin, now: Timestamp) -> Option<Duration> {
    let waiting = twin.commands().iter().filter(|command| command.status == CommandStatus::Pending);
    let due = waiting.filter_map(|command| command.due).filter(|due| *due > now).min()?;
    u64::try_from(due.millis() - now.millis()).ok().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use twinhub_domain::command::CommandStep;
    use twinhub_domain::{Cause, CommandId, CommandRequest, Json, Object};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn only_the_device_waits() {
        let check = |text: &str, expected: Result<u64, &str>| {
            let wanted = waiting_time(Params::parse(text));
            let wanted = wanted.as_ref().map(Duration::as_secs).map_err(|error| &*error.field);
            assert_eq!(wanted, expected, "{text}");
        };
        check("status=pending&wait=20s", Ok(20));
        check("status=pending&wait=20", Ok(20));
        check("status=pending&wait=0", Ok(0));
        check("status=pending&wait=61s", Err("wait"));
        check("status=pending&wait=soon", Err("wait"));
        check("status=failed&wait=20s", Err("status"));
        check("status=pending,sent&wait=20s", Err("status"));
        check("wait=20s", Err("status"));
        check("status=pending&wait=1s&limit=5", Err("limit"));
        check("status=pending&wait=1s&colour=red", Err("colour"));
    }

    #[test]
    fn reads_answers() {
        let read = |text: &str| -> Result<CommandResult, ApiError> {
            Ok(answer(crate::http::extract::read::read(text.parse::<Json>().unwrap())?)?)
        };
        assert_eq!(
            read(r#"{"status": "executed", "response": 1.50}"#).unwrap().response.unwrap().to_string(),
            "1.50"
        );
        let check = |text: &str, code: &str, message: &str| {
            let error = read(text).unwrap_err();
            assert_eq!(error.code(), code, "{text}");
            assert!(error.to_string().starts_with(message), "{text}: {error}");
        };
        check("{}", "missing_field", "`status`: must be given");
        check(r#"{"statsu": "executed"}"#, "unknown_field", "`statsu`: ");
        check(r#"{"status": "done"}"#, "bad_value", "`status`: `done` is none of");
        check(r#"{"status": "failed", "reason": 5}"#, "bad_field", "`reason`: expected a string");
    }

    #[test]
    fn gives_in_the_order_of_sending() {
        let sent = |n: u128, priority: u8, at: i64| {
            let mut request = CommandRequest::new("x", Object::default());
            request.priority = priority;
            let id = CommandId(Uuid::from_u128(n));
            let mut command = Command::new(id, request, Timestamp::from_millis(0), &Cause::hub());
            command.redo(&CommandStep::Sent { attempt: 1 }, Timestamp::from_millis(at), &Cause::hub());
            command
        };
        let commands = in_sending_order(vec![sent(1, 5, 20), sent(2, 9, 20), sent(3, 0, 10), sent(4, 9, 20)]);
        let order: Vec<_> = commands.iter().map(|command| command.id.0.as_u128()).collect();
        assert_eq!(order, [3, 2, 4, 1]);
    }
}
