//! `webhook`: sends a request to a URL.

use url::Url;

use super::{Behaviour, Reference};
use crate::engine::{ActionContext, ActionFault, ActionRequest, Delivery, Effect};
use crate::file::action::{Setting, document, template};
use crate::file::check::{Checker, Map};
use crate::file::fingerprint::FingerprintWriter;
use crate::file::node::YamlNode;
use crate::file::secrets;
use crate::file::shape::{ACTION_ON_ERROR, MapShape, ValueKind, may, must};
use crate::model::WebhookSecret;
use crate::template::{JsonTemplate, TextTemplate, has_placeholder};
use twinhub_domain::{DeviceId, Json, Object};

const USUAL_TIMEOUT_MS: i64 = 10_000;
/// A run waits for its request to be taken, not for the answer; but a connection is held for so long.
const LONGEST_TIMEOUT_MS: i64 = 60_000;
const USUAL_ATTEMPTS: i64 = 5;

/// Sends a request to a URL.
#[derive(Clone, Debug)]
pub struct WebhookAction {
    pub url: TextTemplate,
    /// `POST`, `PUT`, `PATCH`, `DELETE` or `GET`.
    pub method: Box<str>,
    pub headers: Vec<(Box<str>, TextTemplate)>,
    /// Sent as JSON; none: the run's head.
    pub body: Option<JsonTemplate>,
    /// The key that the body is signed with.
    pub secret: Option<WebhookSecret>,
    /// For each attempt, in ms.
    pub timeout_ms: i64,
    pub max_attempts: u16,
}

impl WebhookAction {
    pub(super) const SHAPE: &MapShape = &MapShape {
        name: "webhook_action",
        what: "a webhook action",
        fields: &[
            must("webhook", ValueKind::Template, "The URL, http or https."),
            may("method", ValueKind::Word(&["POST", "PUT", "PATCH", "DELETE", "GET"]), "POST without it."),
            may("headers", ValueKind::Headers, "Headers by name; values may be templates."),
            may("body", ValueKind::Json, "Sent as JSON; texts may be templates. Without it the run's head."),
            may("secret", ValueKind::Text, "The key that the body is signed with (HMAC-SHA256)."),
            may("secret_env", ValueKind::Text, "The environment variable that holds it."),
            may("timeout", ValueKind::Duration, "For each attempt; 10s without it, 1m at most."),
            may("max_attempts", ValueKind::Whole(1, 20), "5 without it."),
            ACTION_ON_ERROR,
        ],
    };

    pub(super) fn read(c: &mut Checker, map: &Map<'_>, _: Setting) -> Option<Self> {
        let url = map.get("webhook").and_then(|node| url(c, node));
        let method: Option<String> = c.word(map, "method");
        let headers = headers(c, map);
        let body = map.get("body").map(|node| document(c, node));
        let secret = secrets::read(c, map);
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
        Some(Self {
            url: url?,
            method: method.as_deref().unwrap_or("POST").into(),
            headers,
            body,
            secret,
            timeout_ms: timeout,
            max_attempts: u16::try_from(max_attempts).unwrap_or(u16::MAX),
        })
    }

    fn deliver(&self, context: &ActionContext<'_>, url: String, body: Json) -> Result<Effect, ActionFault> {
        // As of the firing: after a restart they are made again.
        let headers =
            self.headers.iter().map(|(name, value)| Ok((name.clone(), context.text_as_fired(value)?)));
        Ok(Effect::Webhook(Box::new(Delivery {
            url,
            method: self.method.clone(),
            headers: headers.collect::<Result<_, ActionFault>>()?,
            body,
            signed_by: self.secret.is_some().then(|| context.rule().clone()),
            step: context.step(),
            timeout_ms: self.timeout_ms,
            max_attempts: self.max_attempts,
        })))
    }
}

impl Behaviour for WebhookAction {
    fn fingerprint(&self, print: &mut FingerprintWriter) {
        let Self { url, method, headers, body, secret, timeout_ms, max_attempts } = self;
        print.text("webhook");
        print.text(url.text());
        print.text(method);
        print.each(headers, |print, (name, value)| {
            print.text(name);
            print.text(value.text());
        });
        print.text(&body.as_ref().map_or_else(String::new, |body| body.json().to_string()));
        print.secret(secret.as_ref());
        print.debug(&(timeout_ms, max_attempts));
    }

    fn references<'a>(&'a self, seen: &mut dyn FnMut(Reference<'a>)) {
        seen(Reference::Text(&self.url));
        self.headers.iter().for_each(|(_, value)| seen(Reference::Text(value)));
        self.body.iter().for_each(|body| seen(Reference::Document(body)));
    }

    fn ask(&self, context: &ActionContext<'_>) -> Result<Vec<ActionRequest>, ActionFault> {
        let url = context.text(&self.url)?;
        let body = match &self.body {
            Some(body) => context.document(body)?,
            None => context.head().into(),
        };
        Ok(ActionRequest::once(self.deliver(context, url, body)?))
    }

    fn read_back(&self, context: &ActionContext<'_>, _: Option<DeviceId>, data: &Object) -> Option<Effect> {
        let url = data.get("url").and_then(Json::as_str)?.to_owned();
        let body = data.get("body").cloned().unwrap_or_default();
        self.deliver(context, url, body).ok()
    }
}

fn url(c: &mut Checker, node: &YamlNode) -> Option<TextTemplate> {
    let url = template(c, node)?;
    let text = url.text();
    let is_fit = if has_placeholder(text) {
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

fn headers(c: &mut Checker, map: &Map<'_>) -> Vec<(Box<str>, TextTemplate)> {
    let Some(node) = map.get("headers") else { return Vec::new() };
    let Some(entries) = node.as_map() else {
        c.expected(node, "headers by name");
        return Vec::new();
    };
    let mut headers: Vec<(Box<str>, TextTemplate)> = Vec::new();
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
