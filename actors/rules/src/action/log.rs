//! `log`: writes a line into the hub's log.

use super::{Behaviour, Reference};
use crate::engine::{ActionContext, ActionFault, ActionRequest, Effect};
use crate::file::action::{Setting, template};
use crate::file::check::{Checker, Map};
use crate::file::fingerprint::FingerprintWriter;
use crate::file::shape::{ACTION_ON_ERROR, MapShape, ValueKind, may, must};
use crate::model::LogLevel;
use crate::template::TextTemplate;
use twinhub_domain::{DeviceId, Json, Object};

/// Writes a line into the hub's log.
#[derive(Clone, Debug)]
pub struct LogAction {
    pub level: LogLevel,
    pub message: TextTemplate,
}

impl LogAction {
    pub(super) const SHAPE: &MapShape = &MapShape {
        name: "log_action",
        what: "a log action",
        fields: &[
            must("log", ValueKind::Template, "What the log says."),
            may("level", ValueKind::Word(&["debug", "info", "warn", "error"]), "How loud; info without it."),
            ACTION_ON_ERROR,
        ],
    };

    pub(super) fn read(c: &mut Checker, map: &Map<'_>, _: Setting) -> Option<Self> {
        let message = map.get("log").and_then(|node| template(c, node));
        let level = c.word(map, "level").unwrap_or_default();
        Some(Self { level, message: message? })
    }
}

impl Behaviour for LogAction {
    fn fingerprint(&self, print: &mut FingerprintWriter) {
        let Self { level, message } = self;
        print.text("log");
        print.debug(level);
        print.text(message.text());
    }

    fn references<'a>(&'a self, seen: &mut dyn FnMut(Reference<'a>)) {
        seen(Reference::Text(&self.message));
    }

    fn ask(&self, context: &ActionContext<'_>) -> Result<Vec<ActionRequest>, ActionFault> {
        Ok(ActionRequest::once(Effect::Log { level: self.level, message: context.text(&self.message)? }))
    }

    fn read_back(&self, _: &ActionContext<'_>, _: Option<DeviceId>, data: &Object) -> Option<Effect> {
        let message = data.get("message").and_then(Json::as_str)?.to_owned();
        Some(Effect::Log { level: self.level, message })
    }
}
