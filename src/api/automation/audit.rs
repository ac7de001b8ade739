//! Entries of the audit about rules: what was done, and where a rule's webhooks go. Of an address the host alone is told,
//! as the rest may be secret.

use twinhub_access::Action;
use twinhub_actors::messages::automation::RuleView;
use twinhub_domain::run::RuleId;
use twinhub_domain::{Json, Object};
use url::Url;

use crate::http::Access;

/// The keys of a rule under which actions stand.
const WITH_ACTIONS: [&str; 2] = ["actions", "on_release"];
/// The word for an address that a run makes.
const MADE_BY_RUN: &str = "template";

/// Writes down that a rule was made or changed. `made`: it is new.
pub(super) async fn changed(access: &Access, stands: &RuleView, made: bool) {
    let hosts = webhook_hosts(&stands.rule.source.object());
    let action = if hosts.is_empty() { Action::RuleChanged } else { Action::WebhookChanged };
    let mut detail: Object = [("made", Json::from(made))].into_iter().collect();
    if !hosts.is_empty() {
        detail.insert("webhooks", Json::Array(hosts.into_iter().map(Json::from).collect()));
    }
    access.audit(access.audit_entry(action, &target(&stands.rule.id)).with_detail(detail)).await;
}

/// Writes down that a rule was enabled or disabled.
pub(super) async fn switched(access: &Access, id: &RuleId, enabled: bool) {
    access.audit_done(Action::RuleChanged, &target(id), [("enabled", Json::from(enabled))]).await;
}

/// Writes down that a rule was removed.
pub(super) async fn removed(access: &Access, id: &RuleId) {
    access.audit_done(Action::RuleRemoved, &target(id), []).await;
}

fn target(id: &RuleId) -> String {
    format!("rule:{id}")
}

/// The hosts of a rule's webhooks, each once.
fn webhook_hosts(rule: &Object) -> Vec<String> {
    let mut hosts = Vec::new();
    for actions in WITH_ACTIONS.iter().filter_map(|key| rule.get(key)) {
        collect(actions, &mut hosts);
    }
    hosts.sort_unstable();
    hosts.dedup();
    hosts
}

fn collect(actions: &Json, hosts: &mut Vec<String>) {
    match actions {
        Json::Array(actions) => actions.iter().for_each(|action| collect(action, hosts)),
        Json::Object(action) => {
            if let Some(address) = action.get("webhook").and_then(Json::as_str) {
                let url = Url::parse(address).ok();
                let host = url.as_ref().and_then(Url::host_str).filter(|host| !host.contains("%7B"));
                hosts.push(host.unwrap_or(MADE_BY_RUN).to_owned());
            }
            // Those of `choose` and the like.
            action.iter().for_each(|(_, member)| collect(member, hosts));
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use twinhub_domain::payload;

    use super::*;

    #[test]
    fn hosts_of_webhooks_are_told_and_nothing_else_of_them() {
        let check = |rule: &str, expected: &[&str]| {
            assert_eq!(webhook_hosts(&payload::object(rule.as_bytes()).unwrap()), expected, "{rule}");
        };
        check(r#"{"triggers": [{"webhook": "push"}], "actions": [{"log": "x"}]}"#, &[]);
        check(
            r#"{"actions": [{"webhook": "https://u:secret@b.example/secret?key=secret"}, {"webhook": "http://a.example"}],
                "on_release": [{"webhook": "http://a.example:8080/x"}]}"#,
            &["a.example", "b.example"],
        );
        check(
            r#"{"actions": [{"choose": [{"if": "x", "then": [{"webhook": "http://c.example/"}]}]}]}"#,
            &["c.example"],
        );
        check(r#"{"actions": [{"webhook": "{{ trigger.address }}"}]}"#, &["template"]);
        check(r#"{"actions": [{"webhook": "http://{{ trigger.host }}/x"}]}"#, &["template"]);
    }
}
