//! The dry run: the devices that it would change, and the change of each.

use actix_web::HttpResponse;
use twinhub_actors::messages::archive::LoadTwins;
use twinhub_domain::fleet::JobAction;
use twinhub_domain::json::difference;
use twinhub_domain::{DeviceId, Json, Object, Twin};

use crate::api::jobs::selection::SelectedDevices;
use crate::http::Access;
use crate::http::problem::ApiError;
use crate::http::reply::Document;
use crate::http::warnings;

/// Devices that are shown.
const SHOWN: usize = 10;

/// Gives the number of devices, and the changes of the first few.
///
/// # Errors
/// The store does not answer.
pub async fn preview(
    access: &Access,
    action: &JobAction,
    matched: SelectedDevices,
) -> Result<HttpResponse, ApiError> {
    let SelectedDevices { devices, unknown, warnings } = matched;
    let first: Vec<DeviceId> = devices.iter().take(SHOWN).map(|(id, _)| id.clone()).collect();
    let twins = access.ask(LoadTwins(first.clone())).await??;
    let shown = first.iter().filter_map(|id| twins.iter().find(|twin| twin.id == *id));
    let shown: Vec<Json> = shown.map(|twin| Json::Object(item(action, twin))).collect();
    let mut object: Object = [
        ("dry_run", Json::Bool(true)),
        ("kind", action.kind().into()),
        ("first", Json::Array(shown.into())),
        ("unknown", Json::Array(unknown.iter().map(|id| Json::from(id.as_str())).collect())),
    ]
    .into_iter()
    .collect();
    warnings::add(&mut object, &warnings);
    Ok(Document::of(&object).with("total", &devices.len()).send(HttpResponse::Ok()))
}

fn item(action: &JobAction, twin: &Twin) -> Object {
    [
        ("id", Json::from(twin.id.as_str())),
        ("device_id", twin.id.as_str().into()),
        ("name", twin.display_name().into()),
        ("change", change(action, twin).into()),
    ]
    .into_iter()
    .collect()
}

/// The change, as a merge patch onto the twin; empty where there is none. For an action that changes no document, the
/// action itself.
fn change(action: &JobAction, twin: &Twin) -> Object {
    let patched = |section: &str, current: &Object, patch: &Object| {
        let difference = difference(current, patch);
        (!difference.is_empty()).then(|| (section.to_owned(), Json::Object(difference)))
    };
    let changed = match action {
        JobAction::Desired(patch) => patched("desired", &twin.desired.to_object(), patch),
        JobAction::Tags(patch) => patched("tags", &twin.setup.tags, patch),
        JobAction::Configuration(patch) => patched("configuration", &twin.setup.configuration, patch),
        JobAction::Group(group) => {
            let wanted = group.as_deref().unwrap_or_default();
            let group = group.clone().map_or(Json::Null, Json::String);
            (twin.profile.text("group_id") != wanted).then(|| ("group_id".to_owned(), group))
        }
        JobAction::Template(template) => {
            let wanted = template.clone().map_or(Json::Null, Json::String);
            (twin.template_id() != template.as_deref()).then(|| ("template_id".to_owned(), wanted))
        }
        JobAction::Refresh(template) => Some(("template_id".to_owned(), Json::String(template.clone()))),
        JobAction::Mode { mode, until, length } => (length.is_some()
            || (*mode, *until) != (twin.control.mode, twin.control.mode_until()))
            .then(|| ("mode".to_owned(), mode.as_str().into())),
        JobAction::Command(request) => Some(("command".to_owned(), Json::from(&*request.command_type))),
        JobAction::Firmware(_) => None, // a roll-out has a dry run of its own
        JobAction::Delete => Some(("delete".to_owned(), Json::Bool(true))),
    };
    changed.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use twinhub_domain::twin::Change;
    use twinhub_domain::{Cause, DeviceNumber, Input, Timestamp, payload};

    use super::*;

    /// The change that the action would make on a twin that is so already.
    fn check(action: &str, expected: &str) {
        let now = Timestamp::from_millis(0);
        let mut twin = Twin::new(DeviceId::parse("pump-1").unwrap(), DeviceNumber(1), now);
        let patch =
            br#"{"desired": {"power": "on", "a": {"b": 1}}, "tags": {"floor": "2"}, "group_id": "hall"}"#;
        let patch = payload::object(patch).unwrap();
        let input = Input::Change(Box::new(Change { patch }));
        twin.apply(input, now, &Cause::hub()).unwrap();
        let change = change(&serde_json::from_str(action).unwrap(), &twin);
        assert_eq!(Json::Object(change).to_string(), expected, "{action}");
    }

    #[test]
    fn only_changes_are_shown() {
        check(r#"{"desired":{"power":"on","a":{"b":1}}}"#, "{}");
        check(
            r#"{"desired":{"power":"off","a":{"b":1,"c":2}}}"#,
            r#"{"desired":{"a":{"c":2},"power":"off"}}"#,
        );
        check(r#"{"tags":{"floor":null,"wing":null}}"#, r#"{"tags":{"floor":null}}"#);
        check(r#"{"configuration":{"x":1}}"#, r#"{"configuration":{"x":1}}"#);
        check(r#"{"group":"hall"}"#, "{}");
        check(r#"{"group":null}"#, r#"{"group_id":null}"#);
        check(r#"{"template":null}"#, "{}");
        check(r#"{"template":"pump"}"#, r#"{"template_id":"pump"}"#);
        check(r#"{"mode":{"mode":"schedule"}}"#, "{}");
        check(r#"{"mode":{"mode":"manual"}}"#, r#"{"mode":"manual"}"#);
        check(r#"{"mode":{"mode":"manual","for":"1s"}}"#, r#"{"mode":"manual"}"#);
        check(r#"{"delete":true}"#, r#"{"delete":true}"#);
    }
}
