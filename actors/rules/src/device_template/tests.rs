use super::*;
use crate::file::parse_rule;
use crate::model::{RuleOrigin, Selector, TriggerKind};
use twinhub_domain::fleet::Layer;
use twinhub_domain::payload::object;
use twinhub_domain::twin::{Change, Registration};
use twinhub_domain::{Cause, DeviceId, DeviceNumber, Input};

fn specification(text: &str) -> Object {
    object(text.as_bytes()).unwrap()
}

fn read(id: &str, text: &str) -> Result<DeviceTemplate, BadDeviceTemplate> {
    DeviceTemplate::read(id, &specification(text), None, Timestamp::from_millis(0))
}

fn twin(id: &str, profile: &str) -> Twin {
    let mut twin = Twin::new(DeviceId::parse(id).unwrap(), DeviceNumber(1), Timestamp::from_millis(0));
    let registration = Registration { patch: specification(profile) };
    twin.apply(Input::Register(Box::new(registration)), Timestamp::from_millis(0), &Cause::hub()).unwrap();
    twin
}

const PUMP: &str = r#"{"name": "Pumps", "applies_to": {"type": "pump", "id": "p-*", "priority": 5},
    "configuration": {"interval": 60.0, "gone": null}, "schedule": [{"cron": "0 7 * * *", "set": {"power": "on"}}],
    "tags": {"floor": 2}, "limits": {"t": {"max": 40}}, "settings": {"heartbeat": "90s"},
    "rules": {"hot": {"triggers": [{"numeric": "t", "above": 40}], "actions": [{"alarm": "hot"}]}}}"#;

#[test]
fn a_template_is_read_as_it_is_written() {
    let first = read("pump", PUMP).unwrap();
    assert_eq!((first.version, first.layer.version), (1, 1));
    assert_eq!(Json::from(first.layer.configuration.clone()).to_string(), r#"{"interval":60.0}"#);
    let again = DeviceTemplate::of_document("pump", &first.document()).unwrap();
    assert_eq!(again.document(), first.document());
    assert_eq!(again.layer, first.layer);

    // A change that devices do not see leaves their layer as it is.
    let mut change = first.specification();
    change.insert("name", "Big pumps".into());
    let second = DeviceTemplate::read("pump", &change, Some(&first), Timestamp::from_millis(1)).unwrap();
    assert_eq!((second.version, second.layer.version), (2, 1));
    assert!(Arc::ptr_eq(&second.layer, &first.layer));
    change.insert("tags", specification(r#"{"floor": 3}"#).into());
    let third = DeviceTemplate::read("pump", &change, Some(&second), Timestamp::from_millis(2)).unwrap();
    assert_eq!((third.version, third.layer.version), (3, 3));
    assert_eq!(third.created_at, first.created_at);
    assert_eq!(DeviceTemplate::of_document("pump", &third.document()).unwrap().document(), third.document());
}

#[test]
fn names_the_field_that_is_wrong() {
    let wrong = |id: &str, text: &str| match read(id, text) {
        Err(BadDeviceTemplate::Field { field, .. }) => field,
        other => panic!("{text}: {other:?}"),
    };
    for (text, field) in [
        (r#"{"name": 5}"#, "name"),
        (r#"{"configuration": []}"#, "configuration"),
        (r#"{"tags": "floor"}"#, "tags"),
        (r#"{"schedule": [{"cron": "never", "set": {"a": 1}}]}"#, "schedule[0].cron"),
        (r#"{"limits": {"t": {"min": 5, "max": 4}}}"#, "limits.t.min"),
        (r#"{"limits": {"t": {"mxa": 4}}}"#, "limits.t.mxa"),
        (r#"{"settings": {"heartbeat": "soon"}}"#, "settings.heartbeat"),
        (r#"{"settings": {"colour": "red"}}"#, "settings.colour"),
        (r#"{"applies_to": {}}"#, "applies_to"),
        (r#"{"applies_to": {"priority": 3}}"#, "applies_to"),
        (r#"{"applies_to": "pump"}"#, "applies_to"),
        (r#"{"applies_to": {"type": ""}}"#, "applies_to.type"),
        (r#"{"applies_to": {"id": "p-[", "type": "pump"}}"#, "applies_to.id"),
        (r#"{"applies_to": {"model": 5}}"#, "applies_to.model"),
        (r#"{"applies_to": {"id": "*", "priority": 1.5}}"#, "applies_to.priority"),
        (r#"{"applies_to": {"name": "x"}}"#, "applies_to.name"),
        (r#"{"rules": []}"#, "rules"),
    ] {
        assert_eq!(wrong("pump", text), field, "{text}");
    }
    for id in ["", "a:b", "a b", "ä", &"x".repeat(65)] {
        assert_eq!(wrong(id, "{}"), "id", "{id}");
    }
    let large = format!(r#"{{"configuration": {{"x": "{}"}}}}"#, "x".repeat(LARGEST_LAYER));
    assert_eq!(wrong("pump", &large), "configuration");
}

#[test]
fn errors_in_rules_point_into_the_template() {
    let places = |rules: &str| match read("pump", &format!(r#"{{"rules": {rules}}}"#)) {
        Err(BadDeviceTemplate::Rules(problems)) => {
            problems.into_iter().map(|p| p.pointer).collect::<Vec<_>>()
        }
        other => panic!("{rules}: {other:?}"),
    };
    assert_eq!(
        places(
            r#"{"hot": {"triggers": [{"numeric": "t", "abve": 40}], "actions": [{"alarm": "hot", "severity": "bad"}]}}"#
        ),
        ["/rules/hot/actions/0/severity", "/rules/hot/triggers/0", "/rules/hot/triggers/0/abve"]
    );
    assert_eq!(places(r#"{"hot": 5}"#), ["/rules/hot"]);
    assert_eq!(places(r#"{"a/b": {"actions": []}}"#), ["/rules/a~1b"]);
    assert_eq!(
        places(r#"{"a": {"id": "b", "triggers": [{"every": "1h"}], "actions": [{"log": "x"}]}}"#),
        ["/rules/a/id"]
    );
}

#[test]
fn a_trigger_that_says_no_device_means_those_of_the_template() {
    let check = |trigger: &str, is_ours: bool| {
        let text = format!(r#"{{"rules": {{"r": {{"triggers": {trigger}, "actions": [{{"log": "x"}}]}}}}}}"#);
        let template = read("pump", &text).unwrap_or_else(|error| panic!("{trigger}: {error:?}"));
        let (id, body) = template.whole_rules().next().unwrap();
        assert_eq!((id.as_str(), id.template()), ("template:pump:r", Some("pump")));
        let (rule, _) = parse_rule(&body).unwrap();
        assert_eq!(rule.origin, RuleOrigin::Template("pump".into()));
        let of = match &rule.triggers[0].kind {
            TriggerKind::Numeric { of, .. }
            | TriggerKind::Changed { of, .. }
            | TriggerKind::Event { of, .. }
            | TriggerKind::Presence { of, .. }
            | TriggerKind::Command { of, .. } => Some(of),
            TriggerKind::Alarm { of, .. } => of.as_ref(),
            _ => None,
        };
        let ours =
            matches!(of, Some(Selector::Where { template: Some(id), group: None, .. }) if &**id == "pump");
        assert_eq!(ours, is_ours, "{trigger}");
    };
    for ours in [
        r#"{"numeric": "t", "above": 40}"#,
        r#"[{"numeric": {"property": "motor.rpm"}, "above": 40}]"#,
        r#"{"changed": "mode"}"#,
        r#"{"changed": {"property": "desired.power"}}"#,
        r#"{"event": "presence"}"#,
        r#"{"alarm": "hot"}"#,
        r#"{"presence": {}, "becomes": "offline"}"#,
        r#"{"becomes": "offline", "for": "5m"}"#,
        r#"{"presence": null, "becomes": "offline"}"#,
        r#"{"command": {}, "type": "reboot"}"#,
        r#"{"status": "failed"}"#,
    ] {
        check(ours, true);
    }
    for others in [
        r#"{"numeric": "hall.t", "above": 40}"#,
        r#"{"numeric": {"device": "hall", "property": "t"}, "above": 40}"#,
        r#"{"event": "presence", "device": "hall"}"#,
        r#"{"presence": "hall", "becomes": "offline"}"#,
        r#"{"presence": {"type": "pump"}, "becomes": "offline"}"#,
        r#"{"every": "1h"}"#,
    ] {
        check(others, false);
    }
}

#[test]
fn the_highest_priority_that_fits_is_taken() {
    let template = |id: &str, of: &str| Arc::new(read(id, &format!(r#"{{"applies_to": {of}}}"#)).unwrap());
    let catalog = Catalog::new([
        template("any", r#"{"id": "*", "priority": -1}"#),
        template("pump", r#"{"type": "pump"}"#),
        template("hall", r#"{"id": "hall-*"}"#),
        template("hall-pump", r#"{"id": "hall-*", "type": "pump"}"#),
        template("old", r#"{"model": "P1", "priority": 3}"#),
        Arc::new(read("given", "{}").unwrap()),
    ]);
    let check = |id: &str, profile: &str, expected: &str| {
        let twin = twin(id, profile);
        assert_eq!(catalog.matching(&twin).map(|template| &*template.id), Some(expected), "{id} {profile}");
    };
    check("x", "{}", "any");
    check("x", r#"{"type": "pump"}"#, "pump");
    check("hall-1", "{}", "hall");
    check("hall-1", r#"{"type": "pump"}"#, "hall-pump");
    check("hall-1", r#"{"type": "pump", "model": "P1"}"#, "old");
    assert!(catalog.without("any").matching(&twin("x", "{}")).is_none());
    let changed = catalog.with(template("any", r#"{"id": "y"}"#));
    assert!(changed.matching(&twin("x", "{}")).is_none());
    assert_eq!(changed.iter().count(), catalog.iter().count());
    assert!(changed.get("given").is_some_and(
        |given| *given.layer == Layer { template: "given".into(), version: 1, ..Layer::default() }
    ));
}

#[test]
fn a_templates_words_hold_for_its_devices() {
    for words in [r#"["OFF", "ON"]"#, r#"{"power": ["OFF", "ON"]}"#] {
        let mut pump = twin("p-1", "{}");
        let at = Timestamp::from_millis(0);
        let mut input = |input: Input| {
            pump.apply(input, at, &Cause::hub()).unwrap();
            Json::Object(pump.delta()).to_string()
        };
        input(Input::Change(Box::new(Change { patch: specification(r#"{"desired": {"power": true}}"#) })));
        input(Input::Report(specification(r#"{"power": "on"}"#)));
        let template = read("switch", &format!(r#"{{"words": {words}}}"#)).unwrap();
        assert!(template.specification().get("words").is_none(), "it is kept in settings or limits");
        let again = DeviceTemplate::read("switch", &template.specification(), None, at).unwrap();
        assert_eq!(again.layer, template.layer);
        let layer = Some(template.layer);
        assert_eq!(input(Input::Template { layer, only_of: None }), "{}", "{words}");
        assert_eq!(input(Input::Template { layer: None, only_of: None }), r#"{"power":true}"#);
    }
    for (words, place) in [(r#"["ON"]"#, "`words`"), (r#"{"power": 1}"#, "`words.power`"), ("1", "`words`")] {
        let refused = read("switch", &format!(r#"{{"words": {words}}}"#)).unwrap_err().to_string();
        assert!(refused.starts_with(place), "{refused}");
    }
}
