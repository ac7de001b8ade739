//! Actions that go out: messages and requests.

use url::Url;

use super::action::{document, template};
use super::check::{Checker, Map};
use super::node::Node;
use super::secrets::SecretNames;
use crate::model::{Secret, Webhook, What};
use crate::template::{JsonTemplate, Template};
use twinhub_domain::Json;

const USUAL_TIMEOUT_MS: i64 = 10_000;
/// A run waits until its request is queued, not for the answer; but a connection is held for this long.
const LONGEST_TIMEOUT_MS: i64 = 60_000;
const USUAL_ATTEMPTS: i64 = 5;
/// MQTT's own limit, in bytes.
const LONGEST_TOPIC: usize = 65_535;

/// A message to a topic.
pub(super) fn publish(c: &mut Checker, map: &Map<'_>) -> Option<What> {
    let payload = match map.get("payload") {
        Some(node) => document(c, node),
        None => JsonTemplate::compile(Json::Null).ok(),
    };
    let retain = c.bool(map, "retain").unwrap_or(false);
    let node = map.get("publish")?;
    let topic = template(c, node)?;
    let text = topic.text();
    if text.len() > LONGEST_TOPIC || text.trim().is_empty() {
        c.expected(node, "a topic");
    } else if !is_template(text) && text.contains(['+', '#', '\0']) {
        c.flaw(node, "a message goes to one topic: `+` and `#` have no place in it");
    }
    Some(What::Publish { topic, payload: payload?, retain })
}

/// A request to a URL.
pub(super) fn webhook(c: &mut Checker, map: &Map<'_>) -> Option<Webhook> {
    let url = map.get("webhook").and_then(|node| url(c, node));
    let method: Option<String> = c.word(map, "method");
    let headers = headers(c, map);
    let body = map.get("body").map(|node| document(c, node));
    let secret = secret(c, map);
    let timeout = c.duration(map, "timeout").unwrap_or(USUAL_TIMEOUT_MS);
    if timeout > LONGEST_TIMEOUT_MS
        && let Some(node) = map.get("timeout")
    {
        c.flaw(node, "`timeout` of a request is 1m at most");
    }
    let max_attempts = c.whole(map, "max_attempts").unwrap_or(USUAL_ATTEMPTS);
    if method.as_deref() == Some("GET")
        && let Some(node) = map.get("body")
    {
        c.flaw(node, "a GET has no body");
    }
    let body = match body {
        Some(None) => return None,
        Some(body) => body,
        None => None,
    };
    Some(Webhook {
        url: url?,
        method: method.as_deref().unwrap_or("POST").into(),
        headers,
        body,
        secret,
        timeout_ms: timeout,
        max_attempts: u16::try_from(max_attempts).unwrap_or(u16::MAX),
    })
}

fn url(c: &mut Checker, node: &Node) -> Option<Template> {
    let url = template(c, node)?;
    let text = url.text();
    let is_fit = if is_template(text) {
        text.starts_with("http://") || text.starts_with("https://")
    } else {
        Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
    };
    if !is_fit {
        c.expected(node, "a URL that begins with https:// or http://");
        return None;
    }
    Some(url)
}

fn headers(c: &mut Checker, map: &Map<'_>) -> Vec<(Box<str>, Template)> {
    let Some(node) = map.get("headers") else { return Vec::new() };
    let Some(entries) = node.as_map() else {
        c.expected(node, "headers by name");
        return Vec::new();
    };
    let mut headers: Vec<(Box<str>, Template)> = Vec::new();
    for (name, value) in entries {
        // RFC 9110: a token.
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.text.is_empty() || !name.text.chars().all(is_token) {
            let shown: String = name.text.chars().take(64).collect();
            c.flaw_key(name, format!("`{shown}` is no name of a header"), None);
            continue;
        }
        if value.as_text().is_some_and(|text| text.chars().any(char::is_control)) {
            c.flaw(value, "a header is one line");
            continue;
        }
        if let Some(value) = template(c, value) {
            headers.push((name.text.clone(), value));
        }
    }
    headers.sort_by(|(one, _), (other, _)| one.cmp(other));
    headers
}

fn secret(c: &mut Checker, map: &Map<'_>) -> Option<Secret> {
    let text = c.text(map, "secret");
    let variable = c.text(map, "secret_env");
    if let (Some(_), Some(node)) = (map.get("secret"), map.get("secret_env")) {
        c.flaw(node, "say `secret` or `secret_env`, not both");
    }
    if let (Some(name), Some(node)) = (variable, map.get("secret_env"))
        && name.contains(['=', '\0'])
    {
        c.expected(node, "the name of an environment variable");
    } else if let (Some(name), Some(node)) = (variable, map.get("secret_env"))
        && !c.secrets.may(name)
    {
        let shown: String = name.chars().take(64).collect();
        let message = format!(
            "`{shown}` is no variable for rules: those are called `TWINHUB_SECRET_…`, or listed in the option `rule-secrets`"
        );
        c.flaw_hint(node, message, Some(SecretNames::instead_of(&shown)));
    }
    variable.map(|name| Secret::Environment(name.into())).or(text.map(|text| Secret::Text(text.into())))
}

/// Is there anything to fill in?
fn is_template(text: &str) -> bool {
    text.contains("{{") || text.contains("{%")
}
