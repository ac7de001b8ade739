//! The secrets of rules as others see them: that there is one, and not what it is.
//!
//! Where a webhook has a `secret`, and headers that carry keys (`Authorization` and the like), [`hide`] puts
//! `{"set": true}`. Whoever sends that back keeps the secret ([`restore`]), as long as the webhook's address stays the
//! same: a secret never goes to an address that it was not given for.

use super::Problem;
use crate::domain::{Json, Object};

/// The key under which an action says where it sends.
const WEBHOOK: &str = "webhook";
const SECRET: &str = "secret";
const HEADERS: &str = "headers";
const SET: &str = "set";
/// Parts of the names of headers that carry keys.
const KEYS: [&str; 7] = ["auth", "cookie", "token", "secret", "key", "password", "credential"];

/// The document, wherever in it webhooks stand, without their secrets.
#[must_use]
pub fn hide(document: &Object) -> Object {
    each(document, &mut |action| {
        let mut shown = action.clone();
        if matches!(shown.get(SECRET), Some(Json::String(_))) {
            shown.insert(SECRET, set());
        }
        if let Some(Json::Object(headers)) = shown.get(HEADERS) {
            let veiled = |(name, value): (&str, &Json)| {
                let value = if carries_key(name) { set() } else { value.clone() };
                (Box::<str>::from(name), value)
            };
            let headers: Object = headers.iter().map(veiled).collect();
            shown.insert(HEADERS, headers.into());
        }
        shown
    })
}

/// The document of a template without the secrets of its rules.
#[must_use]
pub fn hide_in_rules(document: &Object) -> Object {
    let mut shown = document.clone();
    if let Some(Json::Object(rules)) = document.get("rules") {
        shown.insert("rules", hide(rules).into());
    }
    shown
}

/// The document with the secrets of `before` where it says `{"set": true}`.
///
/// # Errors
/// Where there is no secret to keep: of each, where it stands.
pub fn restore(document: &Object, before: Option<&Object>) -> Result<Object, Vec<Problem>> {
    let mut kept = Vec::new();
    if let Some(before) = before {
        let _ = each(before, &mut |action| {
            kept.push(action.clone());
            action.clone()
        });
    }
    let mut missing = Vec::new();
    let restored = each(document, &mut |action| {
        if !is_veiled(action) {
            return action.clone();
        }
        // Of several to one address the one that has what is asked for; each serves once, in order.
        let same =
            kept.iter().position(|old| old.get(WEBHOOK) == action.get(WEBHOOK) && has_all(old, action));
        let old = same.map(|at| kept.remove(at));
        if old.is_none() {
            missing.push(problem(action));
        }
        old.map_or_else(|| action.clone(), |old| filled(action, &old))
    });
    if missing.is_empty() { Ok(restored) } else { Err(missing) }
}

fn problem(action: &Object) -> Problem {
    let address = action.get(WEBHOOK).and_then(Json::as_str).unwrap_or_default();
    let message = format!(
        "no secret is kept for the webhook `{address}`: give it again (one is kept only while its address stays the same)"
    );
    Problem { line: 0, column: 0, pointer: String::new(), message, hint: None }
}

fn set() -> Json {
    Json::Object([(SET, Json::Bool(true))].into_iter().collect())
}

fn is_set(value: &Json) -> bool {
    value.as_object().is_some_and(|object| object.len() == 1 && object.get(SET) == Some(&Json::Bool(true)))
}

fn is_veiled(action: &Object) -> bool {
    action.get(SECRET).is_some_and(is_set) || veiled_headers(action).next().is_some()
}

fn veiled_headers(action: &Object) -> impl Iterator<Item = &str> {
    let headers = action.get(HEADERS).and_then(Json::as_object);
    headers.into_iter().flat_map(Object::iter).filter(|(_, value)| is_set(value)).map(|(name, _)| name)
}

fn header<'a>(action: &'a Object, name: &str) -> Option<&'a Json> {
    action.get(HEADERS)?.as_object()?.get(name)
}

/// Has `old` everything that `action` wants kept?
fn has_all(old: &Object, action: &Object) -> bool {
    let secret = !action.get(SECRET).is_some_and(is_set) || old.get(SECRET).is_some();
    secret && veiled_headers(action).all(|name| header(old, name).is_some())
}

fn filled(action: &Object, old: &Object) -> Object {
    let mut filled = action.clone();
    if action.get(SECRET).is_some_and(is_set)
        && let Some(secret) = old.get(SECRET)
    {
        filled.insert(SECRET, secret.clone());
    }
    if let Some(Json::Object(headers)) = action.get(HEADERS) {
        let back = |(name, value): (&str, &Json)| {
            let value = if is_set(value) { header(old, name).unwrap_or(value) } else { value };
            (Box::<str>::from(name), value.clone())
        };
        let headers: Object = headers.iter().map(back).collect();
        filled.insert(HEADERS, headers.into());
    }
    filled
}

fn carries_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    KEYS.iter().any(|part| name.contains(part))
}

/// The document with what `change` makes of each webhook in it, in the order of the text.
fn each(document: &Object, change: &mut dyn FnMut(&Object) -> Object) -> Object {
    let document = match document.get(WEBHOOK) {
        Some(Json::String(_)) => change(document),
        _ => document.clone(),
    };
    let within = |(key, value): (&str, &Json)| (Box::<str>::from(key), inside(value, change));
    document.iter().map(within).collect()
}

fn inside(value: &Json, change: &mut dyn FnMut(&Object) -> Object) -> Json {
    match value {
        Json::Object(object) => each(object, change).into(),
        Json::Array(items) => Json::Array(items.iter().map(|item| inside(item, change)).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::payload;

    fn object(text: &str) -> Object {
        payload::object(text.as_bytes()).unwrap()
    }

    const RULE: &str = r#"{"id": "a", "actions": [{"webhook": "https://h/1", "secret": "s1", "headers":
        {"Authorization": "Bearer b", "X-Api-Key": "k", "X-Room": "hall"}}, {"choose": [{"when": "a.b", "do":
        [{"webhook": "https://h/2", "secret": "s2"}, {"webhook": "https://h/2", "secret": "s3"}]}]}],
        "triggers": [{"webhook": "bell"}]}"#;

    #[test]
    fn nobody_sees_secrets_and_who_sends_back_what_he_saw_keeps_them() {
        let (rule, hidden) = (object(RULE), hide(&object(RULE)));
        let text = Json::from(hidden.clone()).to_string();
        for secret in ["s1", "s2", "s3", "Bearer b", "\"k\""] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        assert_eq!(text.matches(r#"{"set":true}"#).count(), 5, "{text}");
        assert!(text.contains(r#""X-Room":"hall""#), "{text}");
        assert_eq!(restore(&hidden, Some(&rule)), Ok(rule));
    }

    #[test]
    fn a_secret_does_not_follow_to_another_address() {
        let text = Json::from(hide(&object(RULE))).to_string().replace("https://h/1", "https://evil/1");
        let problems = restore(&object(&text), Some(&object(RULE))).unwrap_err();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].message.contains("`https://evil/1`"), "{problems:?}");
        assert!(restore(&hide(&object(RULE)), None).is_err(), "a new rule has nothing to keep");
    }

    #[test]
    fn a_secret_that_is_said_replaces_the_one_before() {
        let text = Json::from(hide(&object(RULE))).to_string();
        let text = text.replacen(r#""secret":{"set":true}"#, r#""secret":"new""#, 1);
        let restored = Json::from(restore(&object(&text), Some(&object(RULE))).unwrap()).to_string();
        assert!(restored.contains(r#""secret":"new""#) && restored.contains("Bearer b"), "{restored}");
        assert!(!restored.contains("s1") && restored.contains("s2"), "{restored}");
    }
}
