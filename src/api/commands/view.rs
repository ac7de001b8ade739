//! A command as answers show it.

use twinhub_domain::command::HistoryEntry;
use twinhub_domain::{Cause, Command, CommandStatus, DeviceId, Json, Object, Timestamp};

/// The command without its history: the form of lists.
#[must_use]
pub fn summary(device: &DeviceId, command: &Command) -> Object {
    let request = &command.request;
    let text = |text: &Option<Box<str>>| text.as_deref().map_or(Json::Null, Json::from);
    let executed_at = (command.status == CommandStatus::Executed).then_some(command.updated_at);
    [
        ("id", Json::from(command.id.to_string())),
        ("device_id", device.as_str().into()),
        ("command_type", Json::from(&*request.command_type)),
        ("parameters", request.parameters.clone().into()),
        ("status", command.status.as_str().into()),
        ("reason", text(&command.reason)),
        ("response", command.response.clone().unwrap_or_default()),
        ("priority", i64::from(request.priority).into()),
        ("attempts", i64::from(command.attempts).into()),
        ("max_attempts", i64::from(request.max_attempts).into()),
        ("ttl", request.ttl.text().into()),
        ("timeout", request.timeout.text().into()),
        ("created_at", time(command.created_at)),
        ("expires_at", time(command.expires_at)),
        ("updated_at", time(command.updated_at)),
        ("executed_at", executed_at.map_or(Json::Null, time)),
        ("supersedes", text(&request.supersedes)),
        ("idempotency_key", text(&request.idempotency_key)),
        ("cause", cause(&command.cause)),
    ]
    .into_iter()
    .collect()
}

/// The command with its history.
#[must_use]
pub fn whole(device: &DeviceId, command: &Command) -> Object {
    let mut object = summary(device, command);
    object.insert("history", Json::Array(command.history.iter().map(line).collect()));
    object
}

/// `{at, status, attempt, reason?, response?, late?, cause}`
fn line(entry: &HistoryEntry) -> Json {
    let mut line: Object = [
        ("at", time(entry.at)),
        ("status", entry.status.as_str().into()),
        ("attempt", i64::from(entry.attempt).into()),
        ("cause", cause(&entry.cause)),
    ]
    .into_iter()
    .collect();
    if let Some(reason) = &entry.reason {
        line.insert("reason", Json::String(reason.clone()));
    }
    if let Some(response) = &entry.response {
        line.insert("response", response.clone());
    }
    if entry.late {
        line.insert("late", true.into());
    }
    line.into()
}

/// `{"source": "rest", "by": "user:ann"}`; without a name where none is known.
fn cause(cause: &Cause) -> Json {
    let mut object: Object = [("source", Json::from(cause.source.as_str()))].into_iter().collect();
    if !cause.by.is_empty() {
        object.insert("by", Json::from(&*cause.by));
    }
    object.into()
}

fn time(at: Timestamp) -> Json {
    at.to_string().into()
}

#[cfg(test)]
mod tests {
    use twinhub_domain::cause::Source;
    use twinhub_domain::command::CommandStep;
    use twinhub_domain::{CommandId, CommandRequest, CommandResult, CommandResultStatus};

    use super::*;

    #[test]
    fn shows_a_command_with_its_digits_and_its_history() {
        let parameters: Object = [("speed", "1.50".parse().unwrap())].into_iter().collect();
        let id = CommandId::parse("01890a5d-ac96-774b-bcce-b302099a8057").unwrap();
        let at = Timestamp::from_millis(0);
        let person = Cause::new(Source::Rest, "user:ann");
        let mut command = Command::new(id, CommandRequest::new("set_speed", parameters), at, &person);
        let topic = Cause::new(Source::Mqtt, "iot/devices/pump-1/commands/x");
        command.redo(&CommandStep::Sent { attempt: 1 }, at, &Cause::hub());
        let response = Some("{\"speed\":1.50}".parse().unwrap());
        let answer = CommandResult { status: CommandResultStatus::Executed, response, reason: None };
        command.redo(&CommandStep::Answered(answer), at, &topic);

        let device = DeviceId::parse("pump-1").unwrap();
        let shown = Json::from(whole(&device, &command)).to_string();
        for part in [
            r#""attempts":1"#,
            r#""cause":{"by":"user:ann","source":"rest"}"#,
            r#""expires_at":"1970-01-02T00:00:00.000Z","history":[{"at":"1970-01-01T00:00:00.000Z","attempt":0,"#,
            r#"{"at":"1970-01-01T00:00:00.000Z","attempt":1,"cause":{"source":"hub"},"status":"sent"}"#,
            r#""response":{"speed":1.50},"status":"executed"}]"#,
            r#""executed_at":"1970-01-01T00:00:00.000Z","#,
            r#""parameters":{"speed":1.50},"#,
            r#""status":"executed","supersedes":null,"timeout":"30s","ttl":"1d","#,
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert!(summary(&device, &command).get("history").is_none());
    }
}
