//! The context that an action is filled in with, and its requests then.

use super::Effect;
use super::watched_twins::WatchedTwins;
use crate::expression::{EvaluationScope, Twins as _};
use crate::model::{Rule, Selector};
use crate::template::{BadTextTemplate, JsonTemplate, TextTemplate};
use twinhub_domain::alarm::Originator;
use twinhub_domain::run::{RuleId, RunEntry};
use twinhub_domain::{DeviceId, DeviceNumber, Json, Object, Timestamp};

/// The run that an action belongs to, and the devices as the engine knows them.
pub(crate) struct ActionContext<'a> {
    pub(super) world: &'a WatchedTwins,
    pub(super) rule: &'a Rule,
    pub(super) entry: &'a RunEntry,
    /// The step that sends the action's request, counted over both of the rule's programs.
    pub(super) step: u32,
    pub(super) now: Timestamp,
}

/// An action's request of one device, or of none.
#[derive(Clone, Debug)]
pub(crate) struct ActionRequest {
    pub device: Option<DeviceId>,
    pub what: Requested,
}

/// The thing asked for.
#[derive(Clone, Debug)]
pub(crate) enum Requested {
    Effect(Effect),
    /// Another rule is to run.
    Run(RuleId),
}

/// The stable word of what is wrong, and a sentence.
pub(crate) type ActionFault = (Box<str>, String);

impl ActionRequest {
    /// Of no device.
    pub fn once(effect: Effect) -> Vec<Self> {
        vec![Self { device: None, what: Requested::Effect(effect) }]
    }

    /// That another rule runs.
    pub fn run(rule: RuleId) -> Self {
        Self { device: None, what: Requested::Run(rule) }
    }

    /// Its data in the journal of runs.
    pub fn data(&self) -> Object {
        match &self.what {
            Requested::Effect(effect) => effect.data(),
            Requested::Run(rule) => [("rule", Json::from(rule.as_str()))].into_iter().collect(),
        }
    }
}

impl ActionContext<'_> {
    pub fn now(&self) -> Timestamp {
        self.now
    }

    pub fn rule(&self) -> &RuleId {
        &self.rule.id
    }

    pub fn step(&self) -> u32 {
        self.step
    }

    /// Fills a text in.
    pub fn text(&self, template: &TextTemplate) -> Result<String, ActionFault> {
        template.fill(&self.scope(self.now)).map_err(fault)
    }

    /// Fills a text in as of the moment when the run was fired.
    pub fn text_as_fired(&self, template: &TextTemplate) -> Result<String, ActionFault> {
        template.fill(&self.scope(self.entry.at)).map_err(fault)
    }

    /// Fills a document in.
    pub fn document(&self, template: &JsonTemplate) -> Result<Json, ActionFault> {
        template.fill(&self.scope(self.now)).map_err(fault)
    }

    /// Asks for an effect on each device that `of` means.
    pub fn each(
        &self,
        of: &Selector,
        effect: impl Fn(DeviceId) -> Effect,
    ) -> Result<Vec<ActionRequest>, ActionFault> {
        let ids = self.choose(of)?.into_iter();
        let asked =
            ids.map(|id| ActionRequest { device: Some(id.clone()), what: Requested::Effect(effect(id)) });
        Ok(asked.collect())
    }

    /// Asks for an effect on each alarm that `of` means: without it on that of the device that fired the rule, or of the
    /// rule where none did.
    pub fn alarmed(
        &self,
        of: Option<&Selector>,
        effect: impl Fn(Option<&DeviceId>) -> Effect,
    ) -> Result<Vec<ActionRequest>, ActionFault> {
        let devices = match of {
            Some(of) => self.choose(of)?.into_iter().map(Some).collect(),
            None => vec![self.entry.device.clone()],
        };
        let asked = |device: Option<DeviceId>| {
            let what = Requested::Effect(effect(device.as_ref()));
            ActionRequest { device, what }
        };
        Ok(devices.into_iter().map(asked).collect())
    }

    /// The originator of an alarm: this device, or the rule.
    pub fn originator(&self, device: Option<&DeviceId>) -> (Originator, DeviceNumber) {
        match device {
            None => (Originator::Rule(self.rule.id.clone()), DeviceNumber(0)),
            Some(id) => {
                let known = self.world.twin(id.as_str()).map(|twin| twin.number);
                let of_run = (self.entry.device.as_ref() == Some(id)).then_some(self.entry.number);
                (Originator::Device(id.clone()), known.or(of_run).unwrap_or_default())
            }
        }
    }

    /// The run's head: what a webhook sends that has no body of its own.
    pub fn head(&self) -> Object {
        let entry = self.entry;
        let device = entry.device.as_ref().map_or(Json::Null, |id| id.as_str().into());
        [
            ("run", Json::from(entry.id.to_string())),
            ("rule", entry.rule.as_str().into()),
            ("device", device),
            ("at", entry.at.to_string().into()),
            ("trigger", entry.trigger.data.clone().into()),
        ]
        .into_iter()
        .collect()
    }

    fn choose(&self, of: &Selector) -> Result<Vec<DeviceId>, ActionFault> {
        let of_trigger = self.entry.device.as_ref();
        if matches!(of, Selector::Trigger) && of_trigger.is_none() {
            return Err(("no_device".into(), "no device fired the rule".to_owned()));
        }
        Ok(self.world.choose(of, of_trigger))
    }

    fn scope(&self, now: Timestamp) -> EvaluationScope<'_> {
        let device = self.entry.device.as_ref();
        EvaluationScope { twins: self.world, now, trigger: &self.entry.trigger.data, device }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "map_err gives it away")]
fn fault(bad: BadTextTemplate) -> ActionFault {
    ("template".into(), bad.to_string())
}
