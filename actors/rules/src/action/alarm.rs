//! `alarm`: raises an alarm.

use super::{Behaviour, Reference};
use crate::analysis::WriteKind;
use crate::engine::{ActionContext, ActionFault, ActionRequest, Effect};
use crate::file::action::{Setting, device, template};
use crate::file::check::{Checker, Map};
use crate::file::fingerprint::FingerprintWriter;
use crate::file::select::name;
use crate::file::shape::{ACTION_ON_ERROR, MapShape, SEVERITIES, ValueKind, may, must};
use crate::model::Selector;
use crate::template::TextTemplate;
use twinhub_domain::alarm::Severity;
use twinhub_domain::{DeviceId, Json, Object};

/// Raises an alarm: of the device that fired the rule unless `of` says another, of the rule where none did.
#[derive(Clone, Debug)]
pub struct AlarmAction {
    pub alarm_type: Box<str>,
    pub severity: Severity,
    pub message: TextTemplate,
    pub of: Option<Selector>,
}

impl AlarmAction {
    pub(super) const SHAPE: &MapShape = &MapShape {
        name: "alarm_action",
        what: "an alarm action",
        fields: &[
            must("alarm", ValueKind::Text, "The alarm's type; of one device and type there is one."),
            may("severity", ValueKind::Word(SEVERITIES), "How bad it is; warning without it."),
            may("message", ValueKind::Template, "What people read; without it the type."),
            may("device", ValueKind::Selector, "Whose; without it the device that fired the rule."),
            ACTION_ON_ERROR,
        ],
    };

    pub(super) fn read(c: &mut Checker, map: &Map<'_>, setting: Setting) -> Option<Self> {
        let alarm_type = name(c, map, "alarm");
        let severity = c.word(map, "severity").unwrap_or(Severity::Warning);
        let of = device(c, map, "device", setting);
        let message = match map.get("message") {
            Some(node) => template(c, node),
            // Its type is not to be filled in: what looks like a template in it is none.
            None => alarm_type
                .as_deref()
                .and_then(|name| TextTemplate::compile(&name.replace(['{', '}'], "")).ok()),
        };
        Some(Self { alarm_type: alarm_type?, severity, message: message?, of })
    }

    fn raise(&self, context: &ActionContext<'_>, device: Option<&DeviceId>, message: String) -> Effect {
        let (of, number) = context.originator(device);
        let (alarm_type, severity) = (self.alarm_type.clone(), self.severity);
        Effect::Raise { of, number, alarm_type, severity, message }
    }
}

impl Behaviour for AlarmAction {
    fn fingerprint(&self, print: &mut FingerprintWriter) {
        let Self { alarm_type, severity, message, of } = self;
        print.text("alarm");
        print.text(alarm_type);
        print.debug(severity);
        print.text(message.text());
        print.each(of.as_slice(), FingerprintWriter::selector);
    }

    fn references<'a>(&'a self, seen: &mut dyn FnMut(Reference<'a>)) {
        self.of.iter().for_each(|of| seen(Reference::Devices(of)));
        seen(Reference::Text(&self.message));
    }

    fn writes<'a>(&'a self, seen: &mut dyn FnMut(WriteKind<'a>, Option<&'a Selector>)) {
        let of = self.of.as_ref().unwrap_or(&Selector::Trigger);
        seen(WriteKind::Raise { alarm_type: &self.alarm_type, severity: self.severity }, Some(of));
    }

    fn ask(&self, context: &ActionContext<'_>) -> Result<Vec<ActionRequest>, ActionFault> {
        let message = context.text(&self.message)?;
        context.alarmed(self.of.as_ref(), |device| self.raise(context, device, message.clone()))
    }

    fn read_back(
        &self,
        context: &ActionContext<'_>,
        device: Option<DeviceId>,
        data: &Object,
    ) -> Option<Effect> {
        let message = data.get("message").and_then(Json::as_str)?;
        Some(self.raise(context, device.as_ref(), message.to_owned()))
    }
}
