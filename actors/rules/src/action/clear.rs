//! `clear`: says that an alarm is over.

use super::{Behaviour, Reference};
use crate::analysis::WriteKind;
use crate::engine::{ActionContext, ActionFault, ActionRequest, Effect};
use crate::file::action::{Setting, device};
use crate::file::check::{Checker, Map};
use crate::file::fingerprint::FingerprintWriter;
use crate::file::select::name;
use crate::file::shape::{ACTION_ON_ERROR, MapShape, ValueKind, may, must};
use crate::model::Selector;
use twinhub_domain::{DeviceId, Object};

/// Says that an alarm is over, of whom [`AlarmAction`](super::AlarmAction) raises it.
#[derive(Clone, Debug)]
pub struct ClearAction {
    pub alarm_type: Box<str>,
    pub of: Option<Selector>,
}

impl ClearAction {
    pub(super) const SHAPE: &MapShape = &MapShape {
        name: "clear_action",
        what: "a clear action",
        fields: &[
            must("clear", ValueKind::Text, "The type of the alarm that is over."),
            may("device", ValueKind::Selector, "Whose; without it the device that fired the rule."),
            ACTION_ON_ERROR,
        ],
    };

    pub(super) fn read(c: &mut Checker, map: &Map<'_>, setting: Setting) -> Option<Self> {
        let alarm_type = name(c, map, "clear");
        let of = device(c, map, "device", setting);
        Some(Self { alarm_type: alarm_type?, of })
    }

    fn clear(&self, context: &ActionContext<'_>, device: Option<&DeviceId>) -> Effect {
        Effect::Clear { of: context.originator(device).0, alarm_type: self.alarm_type.clone() }
    }
}

impl Behaviour for ClearAction {
    fn fingerprint(&self, print: &mut FingerprintWriter) {
        let Self { alarm_type, of } = self;
        print.text("clear");
        print.text(alarm_type);
        print.each(of.as_slice(), FingerprintWriter::selector);
    }

    fn references<'a>(&'a self, seen: &mut dyn FnMut(Reference<'a>)) {
        self.of.iter().for_each(|of| seen(Reference::Devices(of)));
    }

    fn writes<'a>(&'a self, seen: &mut dyn FnMut(WriteKind<'a>, Option<&'a Selector>)) {
        let of = self.of.as_ref().unwrap_or(&Selector::Trigger);
        seen(WriteKind::Clear { alarm_type: &self.alarm_type }, Some(of));
    }

    fn ask(&self, context: &ActionContext<'_>) -> Result<Vec<ActionRequest>, ActionFault> {
        context.alarmed(self.of.as_ref(), |device| self.clear(context, device))
    }

    fn read_back(&self, context: &ActionContext<'_>, device: Option<DeviceId>, _: &Object) -> Option<Effect> {
        Some(self.clear(context, device.as_ref()))
    }
}
