//! Performs the rules' effects in the simulated world.

use uuid::Builder;

use super::Sim;
use crate::engine::{Effect, EffectResult};
use twinhub_domain::alarm::{Alarm, AlarmChange, AlarmId, AlarmStep, Originator, Severity};
use twinhub_domain::cause::Source;
use twinhub_domain::command::{CommandChange, CommandResult, CommandResultStatus, CommandStep};
use twinhub_domain::run::AutomationSignal;
use twinhub_domain::twin::Change;
use twinhub_domain::{
    Cause, CommandId, CommandRequest, CommandStatus, DeviceId, DeviceNumber, Event, EventBody, Input, Json,
    Object, Refusal,
};

impl Sim {
    /// An alarm is raised, cleared or acknowledged.
    pub fn alarm(
        &mut self,
        of: Originator,
        alarm_type: &str,
        step: AlarmStep,
        more: (Severity, &str),
        cause: &Cause,
    ) {
        let id = AlarmId(Builder::from_custom_bytes(self.name(1)).into_uuid());
        let (device, number) = match &of {
            Originator::Device(id) => (id.clone(), self.make(id).number),
            Originator::Rule(_) | Originator::Hub => (DeviceId::none(), DeviceNumber(0)),
        };
        let now = self.now;
        let alarm = self.alarms.entry((of.clone(), alarm_type.into())).or_insert_with(|| Alarm {
            id,
            originator: of,
            number,
            alarm_type: alarm_type.into(),
            severity: more.0,
            message: "".into(),
            active: false,
            acknowledged: false,
            raised_at: now,
            last_at: now,
            count: 0,
            cleared_at: None,
            cleared_by: "".into(),
            acknowledged_at: None,
            acknowledged_by: "".into(),
            rule: None,
            run: cause.run.as_ref().map(|run| run.id),
        });
        let step = match step {
            AlarmStep::Raised | AlarmStep::Repeated => {
                let was_active = std::mem::replace(&mut alarm.active, true);
                (alarm.severity, alarm.message, alarm.last_at) = (more.0, more.1.into(), now);
                alarm.count += 1;
                if was_active { AlarmStep::Repeated } else { AlarmStep::Raised }
            }
            AlarmStep::Cleared if !alarm.active => return,
            AlarmStep::Cleared => {
                (alarm.active, alarm.cleared_at, alarm.count) = (false, Some(now), 0);
                AlarmStep::Cleared
            }
            AlarmStep::Acknowledged => {
                (alarm.acknowledged, alarm.acknowledged_at) = (true, Some(now));
                AlarmStep::Acknowledged
            }
        };
        let body = EventBody::Alarm(Box::new(AlarmChange { step, alarm: alarm.clone() }));
        self.append(Event { device, number, at: now.into(), received_at: now, body, cause: cause.clone() });
    }

    /// The newest command of a device, of this type where one is given; made where there is none.
    pub fn command(&mut self, id: &DeviceId, command_type: Option<&str>, status: CommandStatus) {
        let cause = Cause::new(Source::Rest, "");
        let is_of = |of: &str| command_type.is_none_or(|wanted| wanted == of);
        let twin = self.make(id);
        let newest = twin.commands().iter().rev().find(|command| is_of(&command.request.command_type));
        let command = match newest.map(|command| command.id) {
            Some(command) => command,
            None => {
                let request = CommandRequest::new(command_type.unwrap_or("test"), Object::default());
                let command = CommandId(Builder::from_custom_bytes(self.name(2)).into_uuid());
                let body = CommandStep::Queued(Box::new(request));
                self.happen(
                    id,
                    EventBody::Command(Box::new(CommandChange { id: command, step: body })),
                    &cause,
                );
                command
            }
        };
        self.answer(id, command, status);
        self.settle();
    }

    fn answer(&mut self, id: &DeviceId, command: CommandId, status: CommandStatus) {
        let answer = |status| CommandStep::Answered(CommandResult { status, response: None, reason: None });
        let step = match status {
            CommandStatus::Pending => return,
            CommandStatus::Sent => CommandStep::Sent { attempt: 1 },
            CommandStatus::Delivered => answer(CommandResultStatus::Delivered),
            CommandStatus::Executed => answer(CommandResultStatus::Executed),
            CommandStatus::Failed => answer(CommandResultStatus::Failed),
            CommandStatus::Rejected => answer(CommandResultStatus::Rejected),
            status => CommandStep::Ended { status, reason: "the test says so".into(), by: None },
        };
        let now = self.now;
        let Some(twin) = self.twins.get_mut(id) else { return };
        let body = EventBody::Command(Box::new(CommandChange { id: command, step }));
        let cause = Cause::new(Source::Mqtt, "");
        let (device, number) = (twin.id.clone(), twin.number);
        let event = Event { device, number, at: now.into(), received_at: now, body, cause };
        twin.redo(&event);
        self.append(event);
    }

    pub(super) fn perform(&mut self, effect: &Effect, cause: &Cause) -> EffectResult {
        let outcome = match effect {
            Effect::Command { device, request } => {
                let id = CommandId(Builder::from_custom_bytes(self.name(4)).into_uuid());
                let asked =
                    Input::Command { id, request: Box::new(request.clone()), known: None, is_new: true };
                let outcome = self.apply(device, asked, cause);
                if let Ok(Some(command)) = outcome {
                    self.answer(device, command, self.commands);
                }
                outcome
            }
            Effect::Desired { device, set } => {
                let patch = [("desired", Json::Object(set.clone()))].into_iter().collect();
                self.apply(device, Input::Change(Box::new(Change { patch })), cause)
            }
            Effect::Mode { device, mode, until } => {
                self.apply(device, Input::SetMode { mode: *mode, until: *until }, cause)
            }
            Effect::Raise { of, alarm_type, severity, message, .. } => {
                if let Originator::Device(id) = of
                    && !self.twins.contains_key(id)
                {
                    return EffectResult::failed("unknown_device", "there is no such device");
                }
                self.alarm(of.clone(), alarm_type, AlarmStep::Raised, (*severity, message), cause);
                Ok(None)
            }
            Effect::Clear { of, alarm_type } => {
                let is_known = self.alarms.contains_key(&(of.clone(), alarm_type.clone()));
                if is_known {
                    let more = (Severity::Info, "");
                    self.alarm(of.clone(), alarm_type, AlarmStep::Cleared, more, cause);
                }
                Ok(None)
            }
            Effect::Enable { rule, enabled } => {
                self.append(Event {
                    device: DeviceId::none(),
                    number: DeviceNumber(0),
                    at: self.now.into(),
                    received_at: self.now,
                    body: EventBody::Signal(Box::new(AutomationSignal::Enabled {
                        rule: rule.clone(),
                        enabled: *enabled,
                    })),
                    cause: cause.clone(),
                });
                Ok(None)
            }
            Effect::Publish { .. } | Effect::Webhook(_) | Effect::Log { .. } => Ok(None),
        };
        match outcome {
            Ok(command) => {
                let command = command.filter(|_| matches!(effect, Effect::Command { .. }));
                EffectResult { seq: Some(self.log.len() as u64), command, ..EffectResult::default() }
            }
            Err(Refusal::ManualMode) => EffectResult::failed("manual_mode", Refusal::ManualMode.to_string()),
            Err(Refusal::Unknown(id)) => {
                EffectResult::failed("unknown_device", format!("there is no device {id}"))
            }
            Err(refusal) => EffectResult::failed("refused", refusal.to_string()),
        }
    }
}
