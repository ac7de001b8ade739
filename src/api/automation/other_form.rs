//! Rules in the form of another system, `name, trigger_conditions, actions, schedule, enabled_status`, as they come
//! in: what is left out of a change, and rules of our own form that come back as they were shown in that one.

use twinhub_domain::{Json, Object};

use crate::http::extract::fields::FieldError;

/// The names of a rule's switch: ours, and those that other programs use.
pub(super) const SWITCHES: [&str; 3] = ["enabled", "enabled_status", "is_enabled"];
/// Keys that the other form alone has.
const FOREIGN: [&str; 4] = ["trigger_conditions", "enabled_status", "is_enabled", "schedule"];
/// All that it may have.
const FOREIGN_ALL: [&str; 9] = [
    "id",
    "name",
    "description",
    "actions",
    "enabled",
    "trigger_conditions",
    "enabled_status",
    "is_enabled",
    "schedule",
];
/// The members under which a rule of our own form shows its triggers and conditions in the other one.
const SHOWN_WITHIN: [&str; 2] = ["triggers", "conditions"];

/// Members that say what became of a rule. They change by themselves.
const TOLD: [&str; 9] = [
    "created_at",
    "last_run",
    "last_triggered",
    "next_at",
    "rule",
    "status",
    "stopped_reason",
    "updated_at",
    "warnings",
];

/// Is it a rule as it is shown, sent back? No form of a rule has such a member.
pub(super) fn is_shown(body: &Object) -> bool {
    body.get("updated_at").is_some()
}

/// The rule that somebody sends back as it was shown: the members that a rule of the other form may have, and of all that
/// the hub adds to them nothing but what is another than in `shown`, which is then refused by its name. Of several
/// words for its switch the changed one counts.
pub(super) fn without_shown(body: &Object, shown: &Object) -> Object {
    let is_same = |key: &str, value: &Json| shown.get(key) == Some(value);
    let says = |key: &str, value: &Json| match key {
        _ if TOLD.contains(&key) => false,
        _ if FOREIGN_ALL.contains(&key) && !SWITCHES.contains(&key) => true,
        _ => !is_same(key, value),
    };
    body.iter()
        .filter(|(key, value)| says(key, value))
        .map(|(key, value)| (key.to_owned(), value.clone()))
        .collect()
}

/// A rule of our own form that was shown in the other one, in our words again: its triggers and conditions stand in
/// `trigger_conditions` there, its alias is `name`, and it has no `schedule`. Any other is given back as it is.
///
/// # Errors
/// It is in words of its own.
pub(super) fn in_our_words(mut body: Object) -> Result<Object, Object> {
    let is_shown = |conditions: &Object| {
        !conditions.is_empty() && conditions.iter().all(|(key, _)| SHOWN_WITHIN.contains(&key))
    };
    let Some(Json::Object(conditions)) = body.get("trigger_conditions").cloned() else { return Err(body) };
    if !is_shown(&conditions) {
        return Err(body);
    }
    body.remove("trigger_conditions");
    for (key, value) in conditions.iter() {
        body.insert(key, value.clone());
    }
    if body.get("schedule").is_some_and(|schedule| *schedule == Json::Null) {
        body.remove("schedule");
    }
    if let Some(name) = body.remove("name")
        && body.get("alias").is_none()
    {
        body.insert("alias", name);
    }
    for name in SWITCHES {
        body.remove(name);
    }
    Ok(body)
}

/// The whole rule. In the other form, members that are left out stay; ours is given whole.
pub(super) fn whole(sent: Option<&Object>, source: &Object, changes: Object) -> Result<Object, FieldError> {
    let is_foreign = |body: &Object| FOREIGN.iter().any(|key| body.get(key).is_some());
    let before = sent.filter(|sent| is_foreign(sent));
    let is_part = changes.iter().all(|(key, _)| FOREIGN_ALL.contains(&key));
    if let (Some(before), true) = (before, is_part) {
        return Ok(laid_over(before, &changes));
    }
    let says = |key: &str| changes.get(key).is_some();
    if !is_foreign(&changes) || (says("actions") && (says("trigger_conditions") || says("schedule"))) {
        return Ok(changes);
    }
    if says("trigger_conditions") || says("schedule") {
        let detail = "the rule is written with `triggers` and `conditions`: say those, or all of it with its `actions`";
        return Err(FieldError::bad("trigger_conditions", detail));
    }
    // Our form, and whether it is to run in the words of the other.
    let mut changes = changes;
    for name in SWITCHES {
        changes.remove(name);
    }
    Ok(laid_over(source, &changes))
}

/// The earlier document, with the new members in place of its own.
pub(super) fn laid_over(before: &Object, changes: &Object) -> Object {
    let mut body = before.clone();
    if SWITCHES.iter().any(|name| changes.get(name).is_some()) {
        for name in SWITCHES {
            body.remove(name);
        }
    }
    for (key, value) in changes.iter() {
        body.insert(key, value.clone());
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(text: &str) -> Object {
        twinhub_domain::payload::object(text.as_bytes()).unwrap()
    }

    #[test]
    fn a_rule_of_ours_comes_back_as_it_was_shown() {
        let check = |body: &str, expected: &str| {
            let body = in_our_words(object(body)).unwrap_or_else(|body| body);
            assert_eq!(Json::from(body).to_string(), expected);
        };
        check(
            r#"{"name": "A", "trigger_conditions": {"triggers": [1], "conditions": [2]}, "actions": [3], "schedule": null,
                "is_enabled": true}"#,
            r#"{"actions":[3],"alias":"A","conditions":[2],"triggers":[1]}"#,
        );
        for other in [
            r#"{"name":"A","trigger_conditions":{}}"#,
            r#"{"name":"A","trigger_conditions":{"conditions":[],"operator":"AND"}}"#,
            r#"{"name":"A","schedule":null}"#,
        ] {
            check(other, other);
        }
    }

    #[test]
    fn what_is_left_out_stays_in_the_other_form() {
        let check = |sent: &str, source: &str, changes: &str, expected: &str| {
            let told = match whole(Some(&object(sent)), &object(source), object(changes)) {
                Ok(body) => Json::from(body).to_string(),
                Err(error) => error.field,
            };
            assert_eq!(told, expected, "{changes}");
        };
        let (sent, source) =
            (r#"{"id": "a", "name": "A", "trigger_conditions": {"x": 1}}"#, r#"{"id": "a", "triggers": []}"#);
        let expected = r#"{"id":"a","is_enabled":false,"name":"A","trigger_conditions":{"y":2}}"#;
        check(sent, source, r#"{"trigger_conditions": {"y": 2}, "is_enabled": false}"#, expected);
        let expected = r#"{"actions":[1],"id":"a","name":"A","trigger_conditions":{"x":1}}"#;
        check(sent, source, r#"{"actions": [1]}"#, expected);
        check(sent, source, r#"{"triggers": [], "actions": []}"#, r#"{"actions":[],"triggers":[]}"#);
        let ours = r#"{"triggers": [1], "actions": [2]}"#;
        check(ours, ours, r#"{"actions": [3]}"#, r#"{"actions":[3]}"#);
        check(ours, ours, r#"{"actions": [3], "enabled_status": true}"#, r#"{"actions":[3],"triggers":[1]}"#);
        check(ours, ours, r#"{"schedule": {}, "actions": [3]}"#, r#"{"actions":[3],"schedule":{}}"#);
        check(ours, ours, r#"{"trigger_conditions": {}}"#, "trigger_conditions");
    }
}
