//! Answers are as they are described.

use std::collections::BTreeSet;

use twinhub_actors::messages::automation::RuleView;
use twinhub_domain::run::RunId;
use twinhub_domain::{DeviceId, DeviceNumber, Json, Object, Timestamp, payload};
use twinhub_rules::file;

use super::view;
use crate::api::openapi;

fn described(schema: &str) -> BTreeSet<String> {
    let document = serde_json::to_value(openapi()).unwrap();
    let properties = &document["components"]["schemas"][schema]["properties"];
    properties.as_object().unwrap_or_else(|| panic!("{schema}")).keys().cloned().collect()
}

fn written(object: &Object) -> BTreeSet<String> {
    object.iter().map(|(name, _)| name.to_owned()).collect()
}

fn stands(text: &str) -> RuleView {
    let sent = payload::object(text.as_bytes()).unwrap();
    let (rule, _) = file::parse_rule(&sent).unwrap();
    RuleView {
        rule: rule.into(),
        sent: Some(sent),
        enabled: true,
        stopped: None,
        next_at: None,
        created_at: Some(Timestamp::default()),
        updated_at: None,
    }
}

#[test]
fn rules_are_described_as_they_are_written() {
    let stands = stands(r#"{"id": "x", "triggers": [{"every": "1h"}], "actions": [{"log": "y"}]}"#);
    let item = view::rule(&stands, None, &[]);
    assert_eq!(described("RuleItem"), written(&item));
    assert_eq!(item.get("trigger_conditions").unwrap().to_string(), r#"{"triggers":[{"every":"1h"}]}"#);
    assert_eq!(item.get("name"), Some(&"x".into()), "without an alias its id");
    let whole = view::whole(&stands, None, &[]);
    assert!(whole.get("rule").is_some() && whole.len() == item.len() + 1);
}

#[test]
fn rules_of_the_other_form_are_shown_as_they_were_sent() {
    let text = r#"{"name": "Fan", "trigger_conditions": {"device_id": "a", "sensor_type": "t", "operator": ">", "value": 1},
        "actions": [{"type": "command", "device_id": "fan", "command": "start"}]}"#;
    let stands = stands(text);
    let sent = stands.sent.clone().unwrap();
    let item = view::rule(&stands, None, &[]);
    for name in ["trigger_conditions", "actions", "name"] {
        assert_eq!(item.get(name), sent.get(name), "{name}");
    }
}

#[test]
fn runs_are_described_as_they_are_written() {
    use twinhub_domain::run::{RuleId, RunEntry, RunOutcome, WhyNot};
    use twinhub_domain::run::{RunKind, TriggerSeen};

    let entry = |outcome| RunEntry {
        id: RunId(uuid::Uuid::nil()),
        rule: RuleId::parse("x").unwrap(),
        device: Some(DeviceId::parse("pump-1").unwrap()),
        number: DeviceNumber(1),
        at: Timestamp::default(),
        ended_at: None,
        kind: RunKind::Trigger,
        trigger: TriggerSeen {
            index: 0,
            kind: "numeric".into(),
            data: Object::default(),
            seq: None,
            cause: None,
        },
        conditions: Vec::new(),
        outcome,
        actions: Vec::new(),
        targets: Vec::new(),
        parent: None,
        depth: 0,
        count: 1,
        last_at: Timestamp::default(),
    };
    let not_run = view::run(&entry(RunOutcome::NotRun { why: WhyNot::Condition, detail: "no".into() }));
    assert_eq!(
        (not_run.get("outcome"), not_run.get("why")),
        (Some(&"not_run".into()), Some(&"condition".into()))
    );
    let failed = view::run(&entry(RunOutcome::Failed { reason: "no".into() }));
    let mut all: BTreeSet<_> = written(&not_run).union(&written(&failed)).cloned().collect();
    all.insert("role".into()); // in lists by device
    assert_eq!(described("RunItem"), all);
    let Some(Json::Object(trigger)) = not_run.get("trigger") else { panic!("no trigger") };
    assert_eq!(described("TriggerItem"), written(trigger));
}
