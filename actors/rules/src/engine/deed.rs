//! What an action asks of the world: its data, filled in, as the journal shows them; and made of those, now or after
//! a restart, the deed.

use super::program::List;
use super::run::Run;
use super::scope::{Hold, Key};
use super::work::Work;
use super::{ActId, Deed, Delivery};
use crate::expression::{Scope as Sight, Twins as _};
use crate::model::{LogLevel, Rule, Selector, Webhook, What};
use crate::template::BadTemplate;
use twinhub_domain::alarm::{Originator, Severity};
use twinhub_domain::duration::GivenDuration;
use twinhub_domain::run::RuleId;
use twinhub_domain::run::RunId;
use twinhub_domain::{CommandRequest, DeviceId, DeviceNumber, Json, Mode, Object, Timestamp};

/// What an action asks for of one device, or of none.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub device: Option<DeviceId>,
    pub data: Json,
}

/// The stable word of what is wrong, and a sentence.
pub(super) type Fault = (Box<str>, String);

impl Work<'_> {
    /// Fills an action in: for each device that it is for, what is asked.
    pub fn ask(&self, key: Key, run: &Run, what: &What, at: Timestamp) -> Result<Vec<Asked>, Fault> {
        let sight = self.sight(run, at);
        self.guard(key.rule, || self.fill(run, what, &sight))
            .unwrap_or_else(|_| Err(("panic".into(), "it died: a fault of the program".to_owned())))
    }

    fn sight<'b>(&'b self, run: &'b Run, now: Timestamp) -> Sight<'b> {
        let device = run.entry.device.as_ref();
        Sight { twins: self.world, now, trigger: &run.entry.trigger.data, device }
    }

    fn fill(&self, run: &Run, what: &What, sight: &Sight<'_>) -> Result<Vec<Asked>, Fault> {
        let of_trigger = run.entry.device.as_ref();
        let each = |of: &Selector, data: Object| -> Result<Vec<Asked>, Fault> {
            if matches!(of, Selector::Trigger) && of_trigger.is_none() {
                return Err(("no_device".into(), "no device fired the rule".to_owned()));
            }
            let ids = self.world.choose(of, of_trigger);
            Ok(ids.into_iter().map(|id| Asked { device: Some(id), data: data.clone().into() }).collect())
        };
        let once = |data: Object| Ok(vec![Asked { device: None, data: data.into() }]);
        let alarmed = |of: &Option<Selector>, data: Object| match (of, of_trigger) {
            (Some(of), _) => each(of, data),
            (None, device) => Ok(vec![Asked { device: device.cloned(), data: data.into() }]),
        };
        match what {
            What::Command { to, command_type, parameters, options, .. } => {
                let mut fields = options.clone();
                fields.insert("command_type", Json::from(&**command_type));
                fields.insert("parameters", parameters.fill(sight).map_err(template)?);
                let mut request = CommandRequest::parse(fields)
                    .map_err(|(field, detail)| ("invalid".into(), format!("`{field}`: {detail}")))?;
                for given in [&mut request.ttl, &mut request.timeout] {
                    *given = GivenDuration::from_ms(given.ms()); // of a file only the length is kept
                }
                each(to, request.to_object())
            }
            What::Desired { to, set } => match set.fill(sight).map_err(template)? {
                Json::Object(set) => each(to, set),
                other => {
                    Err(("invalid".into(), format!("expected an object to set, found {}", other.kind())))
                }
            },
            What::Mode { of, mode, for_ms } => {
                let mut data: Object = [("mode", mode.as_str().into())].into_iter().collect();
                if let Some(until) = for_ms.map(|ms| sight.now.plus_millis(ms)) {
                    data.insert("until", until.to_string().into());
                }
                each(of, data)
            }
            What::Alarm { alarm_type, severity, message, of } => {
                let message = message.fill(sight).map_err(template)?;
                let data = [
                    ("type", Json::from(&**alarm_type)),
                    ("severity", severity_word(*severity).into()),
                    ("message", message.into()),
                ];
                alarmed(of, data.into_iter().collect())
            }
            What::Clear { alarm_type, of } => {
                alarmed(of, [("type", Json::from(&**alarm_type))].into_iter().collect())
            }
            What::Publish { topic, payload, retain } => {
                let topic = topic.fill(sight).map_err(template)?;
                if topic.is_empty() || topic.contains(['+', '#', '\0']) {
                    return Err(("bad_topic".into(), format!("`{topic}` is no topic to publish to")));
                }
                let payload = payload.fill(sight).map_err(template)?;
                let data = [("topic", topic.into()), ("payload", payload), ("retain", (*retain).into())];
                once(data.into_iter().collect())
            }
            What::Webhook(webhook) => {
                headers(webhook, sight).map_err(template)?;
                let url = webhook.url.fill(sight).map_err(template)?;
                let body = match &webhook.body {
                    Some(body) => body.fill(sight).map_err(template)?,
                    None => head(run),
                };
                let method = Json::from(&*webhook.method);
                once([("url", url.into()), ("method", method), ("body", body)].into_iter().collect())
            }
            What::Enable { rule } => once(enabling(rule, true)),
            What::Disable { rule } => once(enabling(rule, false)),
            What::Log { level, message } => {
                let message = message.fill(sight).map_err(template)?;
                once(
                    [("level", level_word(*level).into()), ("message", message.into())].into_iter().collect(),
                )
            }
            What::Run { rule } => once([("rule", Json::from(rule.as_str()))].into_iter().collect()),
            What::Delay { .. } | What::Wait { .. } | What::Choose { .. } => Ok(Vec::new()),
        }
    }

    /// The deed that these data say; none where they cannot be of this action.
    pub fn deed(&self, key: Key, run: &Run, what: &What, asked: &Asked, act: ActId) -> Option<Deed> {
        let rule = self.book.rule(key.rule);
        let data = asked.data.as_object()?;
        let text = |name: &str| data.get(name).and_then(Json::as_str).map(str::to_owned);
        Some(match what {
            What::Command { .. } => {
                let mut request: CommandRequest = serde_json::from_str(&asked.data.to_string()).ok()?;
                request.idempotency_key = Some(act.to_string().into());
                Deed::Command { device: asked.device.clone()?, request }
            }
            What::Desired { .. } => Deed::Desired { device: asked.device.clone()?, set: data.clone() },
            What::Mode { .. } => Deed::Mode {
                device: asked.device.clone()?,
                mode: Mode::parse(&text("mode")?)?,
                until: text("until").and_then(|until| Timestamp::parse(&until)),
            },
            What::Alarm { alarm_type, severity, .. } => {
                let (of, number) = self.originator(rule, run, asked);
                let (alarm_type, severity) = (alarm_type.clone(), *severity);
                Deed::Raise { of, number, alarm_type, severity, message: text("message")? }
            }
            What::Clear { alarm_type, .. } => {
                Deed::Clear { of: self.originator(rule, run, asked).0, alarm_type: alarm_type.clone() }
            }
            What::Publish { retain, .. } => Deed::Publish {
                topic: text("topic")?,
                payload: data.get("payload").cloned().unwrap_or_default(),
                retain: *retain,
            },
            What::Webhook(webhook) => Deed::Webhook(Box::new(Delivery {
                url: text("url")?,
                method: webhook.method.clone(),
                headers: headers(webhook, &self.sight(run, run.entry.at)).unwrap_or_default(),
                body: data.get("body").cloned().unwrap_or_default(),
                signed_by: webhook.secret.is_some().then(|| rule.id.clone()),
                step: self.step_of(key, run),
                timeout_ms: webhook.timeout_ms,
                max_attempts: webhook.max_attempts,
            })),
            What::Enable { rule } => Deed::Enable { rule: rule.clone(), enabled: true },
            What::Disable { rule } => Deed::Enable { rule: rule.clone(), enabled: false },
            What::Log { level, .. } => Deed::Log { level: *level, message: text("message")? },
            What::Run { .. } | What::Delay { .. } | What::Wait { .. } | What::Choose { .. } => return None,
        })
    }

    /// Where a run stands, counted over both of the rule's programs.
    fn step_of(&self, key: Key, run: &Run) -> u32 {
        let before = match run.list {
            List::Actions => 0,
            List::OnRelease => self.book.program(key.rule, List::Actions).len(),
        };
        run.at.saturating_add(u32::try_from(before).unwrap_or(u32::MAX))
    }

    fn originator(&self, rule: &Rule, run: &Run, asked: &Asked) -> (Originator, DeviceNumber) {
        match &asked.device {
            None => (Originator::Rule(rule.id.clone()), DeviceNumber(0)),
            Some(id) => {
                let known = self.world.twin(id.as_str()).map(|twin| twin.number);
                let of_run = (run.entry.device.as_ref() == Some(id)).then_some(run.entry.number);
                (Originator::Device(id.clone()), known.or(of_run).unwrap_or_default())
            }
        }
    }

    /// Leaves out of what is asked what a rule of higher priority holds. Gives a sentence on what that was; with
    /// nothing left, there is nothing to ask.
    pub fn arbitrate(&mut self, key: Key, what: &What, asked: &mut Asked) -> (Option<String>, bool) {
        let Some(device) = asked.device.clone().filter(|_| self.book.is_ranked) else { return (None, true) };
        match (what, &mut asked.data) {
            (What::Command { command_type, .. }, _) => {
                let held = (device, Hold::Command(command_type.clone()));
                match self.holder(key, &held) {
                    Some(holder) => (Some(format!("{holder} holds {command_type} of {}", held.0)), false),
                    None => {
                        self.state.hold(key, held);
                        (None, true)
                    }
                }
            }
            (What::Desired { .. }, Json::Object(set)) => {
                let names: Vec<Box<str>> = set.iter().map(|(name, _)| name.into()).collect();
                let mut refused = Vec::new();
                for name in names {
                    let held = (device.clone(), Hold::Property(name.clone()));
                    if let Some(holder) = self.holder(key, &held) {
                        refused.push(format!("{holder} holds {name} of {device}"));
                        set.remove(&name);
                    } else {
                        self.state.hold(key, held);
                    }
                }
                let is_some_left = !set.is_empty() || refused.is_empty();
                ((!refused.is_empty()).then(|| refused.join(", ")), is_some_left)
            }
            _ => (None, true),
        }
    }

    fn holder(&self, key: Key, held: &(DeviceId, Hold)) -> Option<&RuleId> {
        let mine = self.book.rule(key.rule).priority;
        let holders = self.state.holds.get(held)?.iter().filter(|holder| holder.rule != key.rule);
        let higher = holders.map(|holder| self.book.rule(holder.rule)).filter(|rule| rule.priority > mine);
        higher.max_by_key(|rule| rule.priority).map(|rule| &rule.id)
    }
}

/// The run's head: what a webhook sends that has no body of its own.
fn head(run: &Run) -> Json {
    let entry = &run.entry;
    let device = entry.device.as_ref().map_or(Json::Null, |id| id.as_str().into());
    let head: Object = [
        ("run", Json::from(entry.id.to_string())),
        ("rule", entry.rule.as_str().into()),
        ("device", device),
        ("at", entry.at.to_string().into()),
        ("trigger", entry.trigger.data.clone().into()),
    ]
    .into_iter()
    .collect();
    head.into()
}

fn headers(webhook: &Webhook, sight: &Sight<'_>) -> Result<Vec<(Box<str>, String)>, BadTemplate> {
    webhook.headers.iter().map(|(name, value)| Ok((name.clone(), value.fill(sight)?))).collect()
}

fn enabling(rule: &RuleId, enabled: bool) -> Object {
    [("rule", Json::from(rule.as_str())), ("enabled", enabled.into())].into_iter().collect()
}

#[expect(clippy::needless_pass_by_value, reason = "map_err gives it away")]
fn template(bad: BadTemplate) -> Fault {
    ("template".into(), bad.to_string())
}

/// The word for a severity on the wire.
pub(crate) fn severity_word(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Minor => "minor",
        Severity::Major => "major",
        Severity::Critical => "critical",
    }
}

/// The word for a level on the wire.
pub(crate) fn level_word(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}

/// The word for an action in the journal.
pub(super) fn kind_of(what: &What) -> &'static str {
    match what {
        What::Command { .. } => "command",
        What::Desired { .. } => "desired",
        What::Mode { .. } => "mode",
        What::Alarm { .. } => "alarm",
        What::Clear { .. } => "clear",
        What::Publish { .. } => "publish",
        What::Webhook(_) => "webhook",
        What::Delay { .. } => "delay",
        What::Wait { .. } => "wait",
        What::Choose { .. } => "choose",
        What::Run { .. } => "run",
        What::Enable { .. } => "enable",
        What::Disable { .. } => "disable",
        What::Log { .. } => "log",
    }
}

/// An act's name, read back from the idempotency key that it is.
pub(super) fn parse_act(key: &str) -> Option<ActId> {
    let mut parts = key.split(':');
    let (run, step, nth) = (parts.next()?, parts.next()?, parts.next()?);
    Some(ActId { run: RunId::parse(run)?, step: step.parse().ok()?, nth: nth.parse().ok()? })
}

/// The word for a deed in tests and logs.
pub(crate) fn kind_of_deed(deed: &Deed) -> &'static str {
    match deed {
        Deed::Command { .. } => "command",
        Deed::Desired { .. } => "desired",
        Deed::Mode { .. } => "mode",
        Deed::Raise { .. } => "alarm",
        Deed::Clear { .. } => "clear",
        Deed::Publish { .. } => "publish",
        Deed::Webhook(_) => "webhook",
        Deed::Enable { enabled: true, .. } => "enable",
        Deed::Enable { .. } => "disable",
        Deed::Log { .. } => "log",
    }
}
