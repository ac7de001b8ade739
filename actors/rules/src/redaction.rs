//! The secrets of rules as others see them: that there is one, and not its value.
//!
//! Where a webhook, out or in, has a `secret`, and headers that carry keys (`Authorization` and the like), [`hide`] puts
//! `{"set": true}`. A client that sends that back keeps the secret ([`restore`]), as long as the webhook's address
//! stays the same: a secret never goes to an address that it was not given for.
//!
//! A new address may hold no name and password, which lists and logs would show. Those that hold one since before are
//! shown without, and kept by a client that sends back the shown form.

use std::borrow::Cow;

use super::FileProblem;
use twinhub_domain::{Json, Object};

/// The key of an action's address; in the other form of rules, beside its type.
const WEBHOOK: &str = "webhook";
const URL: &str = "url";
/// The header in which a password belongs.
const AUTHORIZATION: &str = "authorization";
const SECRET: &str = "secret";
const HEADERS: &str = "headers";
const SET: &str = "set";
/// Parts of the names of headers that carry keys.
const KEYS: [&str; 7] = ["auth", "cookie", "token", "secret", "key", "password", "credential"];

/// The document without the secrets of its webhooks, at any depth.
#[must_use]
pub fn hide(document: &Object) -> Object {
    each(document, &mut |action| {
        let mut shown = action.clone();
        if let Some((key, address)) = address(action) {
            shown.insert(key, (&*without_password(address)).into());
        }
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

/// `https://ann:secret@host/path` without name and password.
#[must_use]
pub fn without_password(url: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = url.split_once("://") else { return url.into() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((_, place)) => format!("{scheme}://{place}{path}").into(),
        None => url.into(),
    }
}

/// The document with the secrets of `before` in place of `{"set": true}`.
///
/// # Errors
/// There is no secret to keep, or an address holds a new password: the JSON pointer of each.
pub fn restore(document: &Object, before: Option<&Object>) -> Result<Object, Vec<FileProblem>> {
    let mut kept = Vec::new();
    if let Some(before) = before {
        let _ = each(before, &mut |action| {
            kept.push(action.clone());
            action.clone()
        });
    }
    let known: Vec<String> = kept.iter().filter_map(address).map(|(_, address)| address.to_owned()).collect();
    let mut problems = Vec::new();
    let restored = each(document, &mut |action| {
        let Some((_, address)) = address(action) else { return action.clone() };
        let shown = without_password(address);
        if shown != address && !known.iter().any(|known| known == address) {
            problems.push(problem(format!(
                "the address of the webhook `{shown}` holds a name or a password, which lists and logs would show: send it \
                 in `headers`, as `Authorization`, where it is kept secret"
            )));
        }
        let is_veiled = is_veiled(action);
        // Of several to one address the one that has what is asked for; each serves once, in order.
        let serves = |old: &Object| {
            is_same_place(old, &shown) && if is_veiled { has_all(old, action) } else { has_password(old) }
        };
        let same = kept.iter().position(serves);
        match same.map(|at| kept.remove(at)) {
            Some(old) => filled(action, &old),
            None => {
                if is_veiled {
                    problems.push(problem(format!(
                        "no secret is kept for the webhook `{shown}`: give it again (one is kept only while its address \
                         stays the same)"
                    )));
                }
                action.clone()
            }
        }
    });
    if problems.is_empty() { Ok(restored) } else { Err(problems) }
}

fn problem(message: String) -> FileProblem {
    FileProblem { line: 0, column: 0, pointer: String::new(), message, hint: None }
}

/// The address of an action, and its key; none where it sends nothing.
fn address(action: &Object) -> Option<(&'static str, &str)> {
    if let Some(address) = action.get(WEBHOOK).and_then(Json::as_str) {
        return Some((WEBHOOK, address));
    }
    let kind = action.get("type").or_else(|| action.get("action_type"))?.as_str()?;
    kind.eq_ignore_ascii_case(WEBHOOK).then_some(())?;
    Some((URL, action.get(URL)?.as_str()?))
}

/// Does it send to the same address, whatever name and password it shows?
fn is_same_place(old: &Object, shown: &str) -> bool {
    address(old).is_some_and(|(_, address)| without_password(address) == shown)
}

fn has_password(old: &Object) -> bool {
    address(old).is_some_and(|(_, address)| without_password(address) != address)
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
    // A secret that is in a header now need not be in the address.
    if let (Some((key, said)), Some((_, kept))) = (address(action), address(old))
        && without_password(said) == said
        && !says_who(action)
    {
        filled.insert(key, kept.into());
    }
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

/// Does a header authenticate the sender, with another value than the stored one?
fn says_who(action: &Object) -> bool {
    let headers = action.get(HEADERS).and_then(Json::as_object);
    let mut headers = headers.into_iter().flat_map(Object::iter);
    headers.any(|(name, value)| name.eq_ignore_ascii_case(AUTHORIZATION) && !is_set(value))
}

fn carries_key(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    KEYS.iter().any(|part| name.contains(part))
}

/// The document with `change` applied to each webhook in it, in the order of the text.
fn each(document: &Object, change: &mut dyn FnMut(&Object) -> Object) -> Object {
    let document = match address(document) {
        Some(_) => change(document),
        None => document.clone(),
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
    use twinhub_domain::payload;

    fn object(text: &str) -> Object {
        payload::object(text.as_bytes()).unwrap()
    }

    const RULE: &str = r#"{"id": "a", "actions": [{"webhook": "https://h/1", "secret": "s1", "headers":
        {"Authorization": "Bearer b", "X-Api-Key": "k", "X-Room": "hall"}}, {"choose": [{"when": "a.b", "do":
        [{"webhook": "https://h/2", "secret": "s2"}, {"webhook": "https://h/2", "secret": "s3"}]}]}],
        "triggers": [{"webhook": "bell", "secret": "s4"}, {"webhook": "door"}]}"#;

    #[test]
    fn secrets_are_hidden_and_their_placeholder_keeps_them() {
        let (rule, hidden) = (object(RULE), hide(&object(RULE)));
        let text = Json::from(hidden.clone()).to_string();
        for secret in ["s1", "s2", "s3", "s4", "Bearer b", "\"k\""] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        assert_eq!(text.matches(r#"{"set":true}"#).count(), 6, "{text}");
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
    fn passwords_in_addresses_are_refused_and_those_of_before_are_kept_and_not_shown() {
        for rule in [
            r#"{"actions": [{"webhook": "https://ann:s3cret@h/x?a=b@c"}]}"#,
            r#"{"actions": [{"type": "Webhook", "url": "https://ann:s3cret@h/x?a=b@c"}]}"#,
        ] {
            let old = object(rule);
            let problems = restore(&old, None).unwrap_err();
            assert!(problems[0].message.contains("`https://h/x?a=b@c`"), "{problems:?}");
            assert!(problems[0].message.contains("`Authorization`"), "{problems:?}");
            let shown = hide(&old);
            assert_eq!(
                Json::from(shown.clone()).to_string(),
                Json::from(object(&rule.replace("ann:s3cret@", ""))).to_string()
            );
            assert_eq!(
                restore(&shown, Some(&old)),
                Ok(old.clone()),
                "who sends back what was shown keeps it"
            );
            assert_eq!(restore(&old, Some(&old)), Ok(old.clone()), "as a change beside it does");
            let new = object(&rule.replace("ann", "bob"));
            assert!(restore(&new, Some(&old)).is_err(), "another one is new");
        }
        let moved = object(r#"{"webhook": "https://h/x", "headers": {"authorization": "Basic YQ=="}}"#);
        let old = object(r#"{"webhook": "https://ann:s3cret@h/x"}"#);
        assert_eq!(restore(&moved, Some(&old)), Ok(moved.clone()), "it is in a header now");
    }

    #[test]
    fn addresses_are_shown_without_passwords() {
        let check = |url: &str, shown: &str| assert_eq!(without_password(url), shown);
        check("https://ann:s@cret@h:8/p@th?a=b@c", "https://h:8/p@th?a=b@c");
        check("https://h/p@th", "https://h/p@th");
        check("https://ann@h", "https://h");
        check("nonsense", "nonsense");
    }

    #[test]
    fn a_new_secret_replaces_the_one_before() {
        let text = Json::from(hide(&object(RULE))).to_string();
        let text = text.replacen(r#""secret":{"set":true}"#, r#""secret":"new""#, 1);
        let restored = Json::from(restore(&object(&text), Some(&object(RULE))).unwrap()).to_string();
        assert!(restored.contains(r#""secret":"new""#) && restored.contains("Bearer b"), "{restored}");
        assert!(!restored.contains("s1") && restored.contains("s2"), "{restored}");
    }
}
