//! `publish`: sends a message to a topic.

use super::{Behaviour, Reference};
use crate::analysis::WriteKind;
use crate::engine::{ActionContext, ActionFault, ActionRequest, Effect};
use crate::file::action::{Setting, document, template};
use crate::file::check::{Checker, Map};
use crate::file::fingerprint::FingerprintWriter;
use crate::file::shape::{ACTION_ON_ERROR, MapShape, ValueKind, may, must};
use crate::model::Selector;
use crate::template::{JsonTemplate, TextTemplate, has_placeholder};
use twinhub_domain::{DeviceId, Json, Object};

/// MQTT's own limit, in bytes.
const LONGEST_TOPIC: usize = 65_535;

/// Sends a message to a topic.
#[derive(Clone, Debug)]
pub struct PublishAction {
    pub topic: TextTemplate,
    pub payload: JsonTemplate,
    pub retain: bool,
}

impl PublishAction {
    pub(super) const SHAPE: &MapShape = &MapShape {
        name: "publish_action",
        what: "a publish action",
        fields: &[
            must("publish", ValueKind::Template, "The topic."),
            may("payload", ValueKind::Json, "The message; texts may be templates."),
            may("retain", ValueKind::Bool, "The broker keeps it."),
            ACTION_ON_ERROR,
        ],
    };

    pub(super) fn read(c: &mut Checker, map: &Map<'_>, _: Setting) -> Option<Self> {
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
        } else if !has_placeholder(text) && text.contains(['+', '#', '\0']) {
            c.flaw(node, "a message goes to one topic: `+` and `#` have no place in it");
        }
        Some(Self { topic, payload: payload?, retain })
    }
}

impl Behaviour for PublishAction {
    fn fingerprint(&self, print: &mut FingerprintWriter) {
        let Self { topic, payload, retain } = self;
        print.text("publish");
        print.text(topic.text());
        print.text(&payload.json().to_string());
        print.debug(retain);
    }

    fn references<'a>(&'a self, seen: &mut dyn FnMut(Reference<'a>)) {
        seen(Reference::Text(&self.topic));
        seen(Reference::Document(&self.payload));
    }

    /// A topic that is not filled in.
    fn writes<'a>(&'a self, seen: &mut dyn FnMut(WriteKind<'a>, Option<&'a Selector>)) {
        if self.topic.is_plain() {
            seen(WriteKind::Publish { topic: self.topic.text() }, None);
        }
    }

    fn ask(&self, context: &ActionContext<'_>) -> Result<Vec<ActionRequest>, ActionFault> {
        let topic = context.text(&self.topic)?;
        if topic.is_empty() || topic.contains(['+', '#', '\0']) {
            return Err(("bad_topic".into(), format!("`{topic}` is no topic to publish to")));
        }
        let payload = context.document(&self.payload)?;
        Ok(ActionRequest::once(Effect::Publish { topic, payload, retain: self.retain }))
    }

    fn read_back(&self, _: &ActionContext<'_>, _: Option<DeviceId>, data: &Object) -> Option<Effect> {
        let topic = data.get("topic").and_then(Json::as_str)?.to_owned();
        let payload = data.get("payload").cloned().unwrap_or_default();
        Some(Effect::Publish { topic, payload, retain: self.retain })
    }
}
