//! `mode`: says who drives devices.

use super::{Behaviour, Reference};
use crate::analysis::WriteKind;
use crate::engine::{ActionContext, ActionFault, ActionRequest, Effect};
use crate::file::action::{Setting, device};
use crate::file::check::{Checker, Map};
use crate::file::fingerprint::FingerprintWriter;
use crate::file::shape::{ACTION_ON_ERROR, MODES, MapShape, ValueKind, may, must};
use crate::model::Selector;
use twinhub_domain::{DeviceId, Json, Mode, Object, Timestamp};

/// Says who drives devices.
#[derive(Clone, Debug)]
pub struct ModeAction {
    pub of: Selector,
    pub mode: Mode,
    /// After so many ms it is as it was.
    pub for_ms: Option<i64>,
}

impl ModeAction {
    pub(super) const SHAPE: &MapShape = &MapShape {
        name: "mode_action",
        what: "a mode action",
        fields: &[
            must("mode", ValueKind::Selector, "Whose mode it is."),
            must(
                "to",
                ValueKind::Word(MODES),
                "Who drives the device: people (manual), or schedules and rules (schedule).",
            ),
            may("for", ValueKind::Duration, "After this time it is as it was."),
            ACTION_ON_ERROR,
        ],
    };

    pub(super) fn read(c: &mut Checker, map: &Map<'_>, setting: Setting) -> Option<Self> {
        let of = device(c, map, "mode", setting);
        let mode = c.word(map, "to");
        let for_ms = c.duration(map, "for");
        Some(Self { of: of?, mode: mode?, for_ms })
    }
}

impl Behaviour for ModeAction {
    fn fingerprint(&self, print: &mut FingerprintWriter) {
        let Self { of, mode, for_ms } = self;
        print.text("mode");
        print.selector(of);
        print.debug(&(mode, for_ms));
    }

    fn references<'a>(&'a self, seen: &mut dyn FnMut(Reference<'a>)) {
        seen(Reference::Devices(&self.of));
    }

    fn writes<'a>(&'a self, seen: &mut dyn FnMut(WriteKind<'a>, Option<&'a Selector>)) {
        seen(WriteKind::Mode(self.mode), Some(&self.of));
    }

    fn ask(&self, context: &ActionContext<'_>) -> Result<Vec<ActionRequest>, ActionFault> {
        let until = self.for_ms.map(|ms| context.now().plus_millis(ms));
        context.each(&self.of, |device| Effect::Mode { device, mode: self.mode, until })
    }

    fn read_back(&self, _: &ActionContext<'_>, device: Option<DeviceId>, data: &Object) -> Option<Effect> {
        let text = |name: &str| data.get(name).and_then(Json::as_str);
        let until = text("until").and_then(Timestamp::parse);
        Some(Effect::Mode { device: device?, mode: Mode::parse(text("mode")?)?, until })
    }
}
