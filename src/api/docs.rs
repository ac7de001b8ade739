//! `/api/openapi.json`, made from the code, and `/docs`, a page to try it. Its files are in the program.

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::{self, ContentType};
use actix_web::web::{self, ServiceConfig};
use twinhub_actors::access::Permission;
use utoipa::OpenApi;
use utoipa::openapi::extensions::Extensions;
use utoipa::openapi::{PathItem, RefOr};
use utoipa_swagger_ui::{Config, SwaggerUi};

use crate::http::routes::{Method, Operation};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "twinhub",
        description = "A live digital twin of every IoT device. Times are RFC 3339, UTC, milliseconds. \
            Durations are `90s`, `1h 30m`, `5 minutes` or ISO 8601 (`PT1H30M`), with the units `ms`, `s`, `m`, `h`, `d`, `w`. Errors are \
            RFC 9457 problem documents. Live events: WebSocket at `/api/ws`, server-sent events at `/api/events`.",
    ),
    tags(
        (name = "devices", description = "Who is there"),
        (name = "twin", description = "What a device is, and what it should be"),
        (name = "commands", description = "What devices are asked to do, and what became of it"),
        (name = "automation", description = "What happens by itself, and why, and why not"),
        (name = "groups", description = "What devices stand in: a tree, with counts"),
        (name = "data", description = "What devices measure"),
        (name = "alarms", description = "What is wrong, and who has seen it"),
        (name = "events", description = "What happened, and why"),
        (name = "diagnostics", description = "Why a device is not heard"),
        (name = "operations", description = "How the hub is"),
        (name = "firmware", description = "What devices run, and how they are brought to something newer"),
        (name = "jobs", description = "One thing done to many devices, and what became of each"),
        (name = "templates", description = "What devices of a kind have in common"),
    ),
)]
struct Description;

const DESCRIPTION: &str = "/api/openapi.json";

/// The description of the API.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    let mut whole = Description::openapi();
    super::describe(&mut whole);
    describe_responses(&mut whole);
    name_permissions(&mut whole);
    whole
}

/// Says of each response what its status means, where its route says nothing more.
fn describe_responses(whole: &mut utoipa::openapi::OpenApi) {
    for path in whole.paths.paths.values_mut() {
        let PathItem { get, put, post, delete, options, head, patch, trace, .. } = path;
        for operation in [get, put, post, delete, options, head, patch, trace].into_iter().flatten() {
            for (status, response) in &mut operation.responses.responses {
                if let RefOr::T(response) = response
                    && response.description.is_empty()
                {
                    response.description = meaning(status).into();
                }
            }
        }
    }
}

/// Says of each operation which permission it takes.
fn name_permissions(whole: &mut utoipa::openapi::OpenApi) {
    for Operation { path, method, permission, .. } in super::all_operations() {
        let Some(item) = whole.paths.paths.get_mut(&path) else { continue }; // it is not described
        let operation = match method {
            Method::Get | Method::Stream => &mut item.get,
            Method::Post => &mut item.post,
            Method::Put => &mut item.put,
            Method::Patch => &mut item.patch,
            Method::Delete => &mut item.delete,
        };
        if let Some(operation) = operation {
            let extension = Extensions::builder().add("x-permission", permission.as_str()).build();
            operation.extensions.get_or_insert_default().merge(extension);
        }
    }
}

/// What a status means, in this API.
fn meaning(status: &str) -> &'static str {
    match status {
        "200" => "What was asked for",
        "201" => "It was made",
        "202" => "It is stored, and will be done",
        "204" => "It was done, and there is nothing to say",
        "206" => "The part that was asked for",
        "304" => "It is as it was",
        "400" => "The request cannot be read",
        "404" => "There is no such thing",
        "409" => "It does not go with what is there",
        "410" => "It is no longer there",
        "412" => "It is not the version that was named",
        "413" => "The body is too large",
        "415" => "The body is of a kind that is not read",
        "416" => "There is no such part",
        "422" => "It was read, and makes no sense",
        "429" => "Too many at once: come again later",
        "503" => "It cannot be stored, or done, just now: come again later",
        "504" => "It did not come to an end in time",
        _ => "It was not done, and the problem document says why",
    }
}

/// The routes of the document, and of the page without its last stroke.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::plain(Permission::Monitor, Method::Get, DESCRIPTION, || web::to(get_description)),
        Operation::plain(Permission::Monitor, Method::Get, "/docs", || web::to(to_the_page)),
    ]
}

/// Serves the page's files.
pub(crate) fn configure(config: &mut ServiceConfig) {
    let of_page = Config::from(DESCRIPTION).validator_url("none").try_it_out_enabled(true);
    config.service(SwaggerUi::new("/docs/{_:.*}").config(of_page));
}

/// Made when somebody first asks for it: it takes megabytes to make, and most hubs are never asked.
async fn get_description() -> HttpResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| openapi().to_json().unwrap_or_default()); // texts and numbers
    HttpResponse::Ok().content_type(ContentType::json()).body(TEXT.as_str())
}

async fn to_the_page() -> HttpResponse {
    HttpResponse::PermanentRedirect().insert_header((header::LOCATION, "/docs/")).finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;
    use twinhub_actors::messages::groups::GroupView;
    use twinhub_domain::alarm::{Alarm, AlarmId, Originator, Raised, Severity};
    use twinhub_domain::command::Step;
    use twinhub_domain::fleet::{FirmwareTask, Group, GroupId, Image, Standing};
    use twinhub_domain::run::{RuleId, RunId};
    use twinhub_domain::schedule::Plan;
    use twinhub_domain::{
        Answer, AnswerStatus, Cause, Command, CommandId, CommandRequest, DeviceId, DeviceNumber, Json,
        Object, Timestamp, Twin,
    };
    use twinhub_rules::engine::Delivery;
    use twinhub_store::{DeliveryRecord, DeliveryStatus};

    use super::*;
    use crate::api::automation::deliveries;
    use crate::api::commands::view;
    use crate::api::groups;
    use crate::http::reply::summary;

    fn described(schema: &str) -> BTreeSet<String> {
        let document = serde_json::to_value(openapi()).unwrap();
        let properties = &document["components"]["schemas"][schema]["properties"];
        properties.as_object().unwrap().keys().cloned().collect()
    }

    fn written(object: &Object) -> BTreeSet<String> {
        object.iter().map(|(name, _)| name.to_owned()).collect()
    }

    #[test]
    fn twins_are_described_as_they_are_written() {
        let twin = Twin::new(DeviceId::parse("pump-1").unwrap(), DeviceNumber(1), Timestamp::from_millis(0));
        assert_eq!(described("TwinDocument"), written(&twin.document(Timestamp::default())));
        let mut item = written(&summary(&twin, twin.updated_at));
        item.extend(["temperature", "humidity", "pressure"].map(str::to_owned));
        assert_eq!(described("DeviceItem"), item);
    }

    #[test]
    fn commands_are_described_as_they_are_written() {
        let device = DeviceId::parse("pump-1").unwrap();
        let (id, request) = (CommandId(uuid::Uuid::nil()), CommandRequest::new("reboot", Object::default()));
        let mut command = Command::new(id, request, Timestamp::default(), &Cause::hub());
        let (reason, response) = (Some("why".into()), Some(Json::Null));
        let answer = Answer { status: AnswerStatus::Executed, response, reason };
        command.redo(&Step::Late(answer), Timestamp::default(), &Cause::hub());
        let mut whole = view::whole(&device, &command);
        let Some(Json::Array(history)) = whole.remove("history") else { panic!("no history") };
        assert_eq!(described("CommandItem"), written(&whole));
        assert_eq!(described("CommandLine"), written(history.last().unwrap().as_object().unwrap()));
    }

    #[test]
    fn alarms_are_described_as_they_are_written() {
        let raised = Raised {
            of: Originator::Device(DeviceId::parse("pump-1").unwrap()),
            number: DeviceNumber(1),
            alarm_type: "hot".into(),
            severity: Severity::Major,
            message: "hot".into(),
            rule: None,
            run: None,
        };
        let alarm = Alarm::begin(AlarmId(uuid::Uuid::nil()), raised, Timestamp::default()).alarm;
        assert_eq!(described("AlarmItem"), written(&alarm.document()));
    }

    #[test]
    fn deliveries_are_described_as_they_are_written() {
        let record = DeliveryRecord {
            id: uuid::Uuid::nil(),
            rule: RuleId::parse("cool").unwrap(),
            run: RunId(uuid::Uuid::nil()),
            delivery: Delivery {
                url: "http://h/".into(),
                method: "POST".into(),
                headers: Vec::new(),
                body: Json::Null,
                signed_by: None,
                step: 0,
                timeout_ms: 1,
                max_attempts: 1,
            },
            status: DeliveryStatus::Waiting,
            attempts: 0,
            next_at: Timestamp::default(),
            detail: "".into(),
            created_at: Timestamp::default(),
            ended_at: None,
        };
        assert_eq!(described("DeliveryItem"), written(&deliveries::item(&record)));
    }

    #[test]
    fn firmware_is_described_as_it_is_written() {
        assert_eq!(described("FirmwareItem"), written(&Image::default().to_object()));
        let given: Object =
            [("image", "i"), ("version", "1"), ("url", "u"), ("sha256", "0"), ("state", "queued")]
                .map(|(name, text)| (name, Json::from(text)))
                .into_iter()
                .chain([("size", Json::from(1)), ("timeout", Json::from("1h"))])
                .collect();
        let mut shown = written(&FirmwareTask::from_given(&given, Timestamp::default()).unwrap().shown());
        shown.insert("version".into());
        assert_eq!(described("DeviceFirmware"), shown);
    }

    #[test]
    fn groups_are_described_as_they_are_written() {
        let group = Group::new(GroupId::parse("hall").unwrap(), "Hall", Timestamp::default());
        let standing = Standing::default();
        let path = vec![group.id.clone()];
        let view = GroupView { group: group.into(), path, depth: 0, standing };
        let document = groups::view::document(&view);
        let mut item = written(&document);
        item.insert("children".into());
        assert_eq!(described("GroupItem"), item);
        let object = |name: &str| document.get(name).unwrap().as_object().unwrap();
        assert_eq!(described("DeviceCounts"), written(object("devices")));
        let mut subtree = described("DeviceCounts");
        subtree.extend(["groups", "readings"].map(str::to_owned));
        assert_eq!(subtree, written(object("subtree")));
    }

    #[test]
    fn schedules_are_described_as_they_are_written() {
        let entry = r#"[{"cron": "0 7 * * *", "set": {"power": "on"}}, {"cron": "0 7 * * *", "command": {"command_type": "x"}}]"#;
        let plan = Plan::parse(&entry.parse().unwrap(), Timestamp::default()).unwrap().unwrap();
        let Json::Array(entries) = plan.document(Timestamp::default()) else { panic!("no entries") };
        let shown = entries.iter().flat_map(|entry| written(entry.as_object().unwrap())).collect();
        assert_eq!(described("ScheduleEntry"), shown);
    }

    #[test]
    fn each_response_says_what_it_means_and_no_tag_is_there_twice() {
        let document = serde_json::to_value(openapi()).unwrap();
        let operations = document["paths"].as_object().unwrap().values();
        let operations = operations.flat_map(|path| path.as_object().unwrap().values());
        for operation in operations.filter(|operation| operation["responses"].is_object()) {
            for (status, response) in operation["responses"].as_object().unwrap() {
                let description = response["description"].as_str().unwrap_or_default();
                assert!(!description.is_empty(), "{} {status}", operation["operationId"]);
            }
        }
        let tags: Vec<_> = document["tags"].as_array().unwrap().iter().map(|tag| &tag["name"]).collect();
        let once: BTreeSet<_> = tags.iter().map(|tag| tag.as_str()).collect();
        assert_eq!(once.len(), tags.len(), "{tags:?}");
    }

    #[test]
    fn nothing_refers_to_what_is_not_there() {
        let text = serde_json::to_string(&openapi()).unwrap();
        let document: Value = serde_json::from_str(&text).unwrap();
        for part in text.split("\"$ref\":\"#/components/schemas/").skip(1) {
            let name = part.split('"').next().unwrap();
            assert!(document["components"]["schemas"][name].is_object(), "{name}");
        }
    }
}
