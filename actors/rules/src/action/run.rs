//! `run`: runs another rule's actions, its conditions holding.

use super::{Behaviour, Reference};
use crate::analysis::WriteKind;
use crate::engine::{ActionContext, ActionFault, ActionRequest};
use crate::file::action::Setting;
use crate::file::check::{Checker, Map};
use crate::file::fingerprint::FingerprintWriter;
use crate::file::select::rule_id;
use crate::file::shape::{ACTION_ON_ERROR, MapShape, ValueKind, must};
use crate::model::Selector;
use twinhub_domain::run::RuleId;

/// Runs another rule's actions, its conditions holding.
#[derive(Clone, Debug)]
pub struct RunAction {
    pub rule: RuleId,
}

impl RunAction {
    pub(super) const SHAPE: &MapShape = &MapShape {
        name: "run_action",
        what: "a run action",
        fields: &[must("run", ValueKind::Name, "Another rule, whose conditions must hold."), ACTION_ON_ERROR],
    };

    pub(super) fn read(c: &mut Checker, map: &Map<'_>, _: Setting) -> Option<Self> {
        rule_id(c, map, "run").map(|rule| Self { rule })
    }
}

impl Behaviour for RunAction {
    fn fingerprint(&self, print: &mut FingerprintWriter) {
        let Self { rule } = self;
        print.text("run");
        print.text(rule.as_str());
    }

    fn references<'a>(&'a self, seen: &mut dyn FnMut(Reference<'a>)) {
        seen(Reference::Runs(&self.rule));
    }

    fn writes<'a>(&'a self, seen: &mut dyn FnMut(WriteKind<'a>, Option<&'a Selector>)) {
        seen(WriteKind::Run { rule: &self.rule }, None);
    }

    fn ask(&self, _: &ActionContext<'_>) -> Result<Vec<ActionRequest>, ActionFault> {
        Ok(vec![ActionRequest::run(self.rule.clone())])
    }
}
