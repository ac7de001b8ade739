//! The rules of templates.

use super::*;
use crate::messages::automation::{DeleteRule, EnableRule, RuleRefusal};

#[actix::test]
async fn rules_come_change_and_go_with_their_template() {
    let rules = |rules: &str| format!(r#"{{"rules": {rules}}}"#);
    let hot = |above: u32| {
        format!(
            r#""hot": {{"triggers": {{"numeric": "t", "above": {above}}}, "actions": [{{"alarm": "hot"}}]}}"#
        )
    };
    let log =
        r#""log": {"triggers": {"becomes": "offline"}, "actions": [{"log": "gone"}], "enabled": false}"#;
    let fixture = TemplatesFixture::new().await;
    fixture.put("pump", &rules(&format!("{{{}, {log}}}", hot(40))), PutMode::Make).await.unwrap();
    assert_eq!(fixture.rule_names().await, ["template:pump:hot true", "template:pump:log false"]);

    // Nobody else changes them; but they are switched, and stay so when they change.
    let hot_id = twinhub_domain::run::RuleId::parse("template:pump:hot").unwrap();
    let (reply, told) = oneshot::channel();
    let delete =
        DeleteRule { id: hot_id.clone(), by: RuleCaller::default(), if_tag: None, cause: person(), reply };
    try_send_unbounded(&fixture.hub.automation, delete).unwrap();
    assert!(
        matches!(within("what an actor tells", told).await.unwrap(), Err(RuleRefusal::OfTemplate { template, .. }) if &*template == "pump")
    );
    let (reply, told) = oneshot::channel();
    let enable = EnableRule {
        id: hot_id,
        by: RuleCaller::default(),
        enabled: false,
        if_tag: None,
        cause: person(),
        reply,
    };
    try_send_unbounded(&fixture.hub.automation, enable).unwrap();
    within("what an actor tells", told).await.unwrap().unwrap();
    fixture.put("pump", &rules(&format!("{{{}, \"log\": null}}", hot(50))), PutMode::Merge).await.unwrap();
    assert_eq!(fixture.rule_names().await, ["template:pump:hot false"]);
    let source = fixture.rules().await.rules[0].sent.clone().unwrap();
    assert!(Json::from(source).to_string().contains(r#""above":50"#));

    let wrong = rules(r#"{"hot": {"triggers": [{"numeric": "t"}], "actions": [{"alarm": "hot"}]}}"#);
    let refused = fixture.put("pump", &wrong, PutMode::Replace).await;
    let Err(TemplateRefusal::Bad(twinhub_rules::device_template::BadDeviceTemplate::Rules(problems))) =
        refused
    else {
        panic!("{refused:?}")
    };
    assert!(problems[0].pointer.starts_with("/rules/hot/triggers/0"), "{problems:?}");

    let fixture = fixture.again().await;
    assert_eq!(fixture.rule_names().await, ["template:pump:hot false"]);
    fixture.delete("pump", false).await.unwrap();
    assert_eq!(fixture.rule_names().await, [""; 0]);
}
