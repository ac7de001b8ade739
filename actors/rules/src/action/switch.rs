//! `enable` and `disable`: have another rule run from now on, or not.

use super::{Behaviour, Reference};
use crate::engine::{ActionContext, ActionFault, ActionRequest, Effect};
use crate::file::action::Setting;
use crate::file::check::{Checker, Map};
use crate::file::fingerprint::FingerprintWriter;
use crate::file::select::rule_id;
use crate::file::shape::{ACTION_ON_ERROR, MapShape, ValueKind, must};
use twinhub_domain::run::RuleId;
use twinhub_domain::{DeviceId, Object};

/// Has another rule run from now on.
#[derive(Clone, Debug)]
pub struct EnableAction {
    pub rule: RuleId,
}

/// Has another rule run no more.
#[derive(Clone, Debug)]
pub struct DisableAction {
    pub rule: RuleId,
}

impl EnableAction {
    pub(super) const SHAPE: &MapShape = &MapShape {
        name: "enable_action",
        what: "an enable action",
        fields: &[must("enable", ValueKind::Name, "A rule."), ACTION_ON_ERROR],
    };

    pub(super) fn read(c: &mut Checker, map: &Map<'_>, _: Setting) -> Option<Self> {
        rule_id(c, map, "enable").map(|rule| Self { rule })
    }
}

impl DisableAction {
    pub(super) const SHAPE: &MapShape = &MapShape {
        name: "disable_action",
        what: "a disable action",
        fields: &[must("disable", ValueKind::Name, "A rule."), ACTION_ON_ERROR],
    };

    pub(super) fn read(c: &mut Checker, map: &Map<'_>, _: Setting) -> Option<Self> {
        rule_id(c, map, "disable").map(|rule| Self { rule })
    }
}

impl Behaviour for EnableAction {
    fn fingerprint(&self, print: &mut FingerprintWriter) {
        let Self { rule } = self;
        print.text("enable");
        print.text(rule.as_str());
    }

    fn references<'a>(&'a self, seen: &mut dyn FnMut(Reference<'a>)) {
        seen(Reference::Switches(&self.rule));
    }

    fn ask(&self, _: &ActionContext<'_>) -> Result<Vec<ActionRequest>, ActionFault> {
        Ok(ActionRequest::once(switch(&self.rule, true)))
    }

    fn read_back(&self, _: &ActionContext<'_>, _: Option<DeviceId>, _: &Object) -> Option<Effect> {
        Some(switch(&self.rule, true))
    }
}

impl Behaviour for DisableAction {
    fn fingerprint(&self, print: &mut FingerprintWriter) {
        let Self { rule } = self;
        print.text("disable");
        print.text(rule.as_str());
    }

    fn references<'a>(&'a self, seen: &mut dyn FnMut(Reference<'a>)) {
        seen(Reference::Switches(&self.rule));
    }

    fn ask(&self, _: &ActionContext<'_>) -> Result<Vec<ActionRequest>, ActionFault> {
        Ok(ActionRequest::once(switch(&self.rule, false)))
    }

    fn read_back(&self, _: &ActionContext<'_>, _: Option<DeviceId>, _: &Object) -> Option<Effect> {
        Some(switch(&self.rule, false))
    }
}

fn switch(rule: &RuleId, enabled: bool) -> Effect {
    Effect::Enable { rule: rule.clone(), enabled }
}
