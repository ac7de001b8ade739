//! The description says what is read and written.

use std::collections::BTreeSet;

use serde_json::Value;
use twinhub_actors::messages::groups::GroupView;
use twinhub_domain::alarm::{Alarm, AlarmId, Originator, Raised, Severity};
use twinhub_domain::command::CommandStep;
use twinhub_domain::fleet::{FirmwareTask, Group, GroupId, Image, SubtreeStatistics};
use twinhub_domain::run::{RuleId, RunId};
use twinhub_domain::schedule::CompactSchedule;
use twinhub_domain::{
    Cause, Command, CommandId, CommandRequest, CommandResult, CommandResultStatus, DeviceId, DeviceNumber,
    Json, Object, Timestamp, Twin,
};
use twinhub_rules::engine::Delivery;
use twinhub_store::{DeliveryRecord, DeliveryStatus};

use super::*;
use crate::api::automation::deliveries;
use crate::api::commands::view;
use crate::api::groups;
use crate::http::reply::summary;

fn described(schema: &str) -> BTreeSet<String> {
    let document = openapi();
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
    let answer = CommandResult { status: CommandResultStatus::Executed, response, reason };
    command.redo(&CommandStep::Late(answer), Timestamp::default(), &Cause::hub());
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
    let group = Group { owner: "ann".into(), ..group };
    let standing = SubtreeStatistics::default();
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
    let plan = CompactSchedule::parse(&entry.parse().unwrap(), Timestamp::default()).unwrap().unwrap();
    let members = |entries: Json| {
        let Json::Array(entries) = entries else { panic!("no entries") };
        entries.iter().flat_map(|entry| written(entry.as_object().unwrap())).collect::<BTreeSet<_>>()
    };
    let shown = members(plan.document(Timestamp::default()));
    assert_eq!((described("ScheduleEntry"), described("ScheduleShown")), (shown.clone(), shown));
    assert_eq!(described("ScheduleKept"), members(plan.entries()));
}

#[test]
fn each_response_says_what_it_means_and_no_tag_is_there_twice() {
    let document = openapi();
    let operations = document["paths"].as_object().unwrap().values();
    let operations = operations.flat_map(|path| path.as_object().unwrap().values());
    for operation in operations.filter(|operation| operation["responses"].is_object()) {
        for (status, response) in operation["responses"].as_object().unwrap() {
            let common = response["$ref"].as_str().and_then(|at| document.pointer(at.strip_prefix('#')?));
            let response = common.unwrap_or(response);
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
    let document = openapi();
    for part in document.to_string().split("\"$ref\":\"#").skip(1) {
        let at = part.split('"').next().unwrap();
        assert!(document.pointer(at).is_some_and(Value::is_object), "{at}");
    }
}

/// Refusals are problem documents, whichever layer refuses.
#[test]
fn refusals_are_problem_documents() {
    let document = openapi();
    let refused = |name: &str| matches!(name.as_bytes(), [b'4' | b'5', ..]);
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            for (status, response) in
                operation["responses"].as_object().unwrap().iter().filter(|(status, _)| refused(status))
            {
                let common = response["$ref"].as_str().and_then(|at| document.pointer(at.strip_prefix('#')?));
                let content = &common.unwrap_or(response)["content"];
                let is_readiness = path == "/ready" && status == "503";
                // A person waits for these: they are pages.
                let is_page = content["text/html"].is_object() && path.starts_with("/api/auth/oidc/");
                assert!(
                    is_readiness || is_page || content["application/problem+json"].is_object(),
                    "{method} {path}: {status}"
                );
            }
        }
    }
}

/// Free objects have any members, and words are listed.
#[test]
fn schemas_are_of_use_to_generators() {
    let text = openapi().to_string();
    for empty in [r#"{"type":"object"}"#, r#""allOf":"#, r#""oneOf":"#] {
        assert!(!text.contains(empty), "{empty}");
    }
    let status = openapi()["components"]["schemas"]["CommandStatus"]["enum"].take();
    assert_eq!(status.as_array().unwrap().len(), twinhub_domain::CommandStatus::ALL.len());
}
