//! The effects of rules: each is sent to the actor that performs it, and its result returns to the engine.

use actix::Addr;
use bytes::Bytes;
use tokio::sync::oneshot;
use tracing::{debug, error, info, warn};
use uuid::Uuid;

use super::AutomationDeps;
use crate::backoff;
use crate::delivery;
use crate::journal::Journal;
use crate::mailbox::try_send_unbounded;
use crate::messages::alarms::{AlarmReply, ClearType, Raise};
use crate::messages::journal::Append;
use crate::messages::supervisor::{Deliver, IfUnknown};
use crate::messages::webhooks::SendWebhook;
use twinhub_domain::Outgoing;
use twinhub_domain::fingerprint::Fingerprint;
use twinhub_domain::receipt::{Accepted, InputOutcome, NotAccepted};
use twinhub_domain::run::RuleId;
use twinhub_domain::twin::Change;
use twinhub_domain::{Cause, CommandId, DeviceId, Event, Input, Json, Object, Refusal};
use twinhub_mqtt::receipt;
use twinhub_rules::engine::Delivery;
use twinhub_rules::model::LogLevel;
use twinhub_rules::{Effect, EffectId, EffectRequest, EffectResult};
use twinhub_store::{AutomationChanges as Kept, DeliveryRecord, DeliveryStatus};

/// Does at once what takes no time; false where it takes some.
pub fn at_once(request: &EffectRequest) -> bool {
    match &request.effect {
        Effect::Log { level, message } => {
            log(&request.rule, *level, message);
            true
        }
        _ => false,
    }
}

/// Does what is asked for, and waits until what it brought about is durable. `is_new`: the run was not made before, so
/// nobody need look whether it was done already.
pub async fn perform(deps: &AutomationDeps, request: EffectRequest, is_new: bool) -> EffectResult {
    let EffectRequest { id, rule, cause, effect } = request;
    match effect {
        Effect::Command { device, request } => {
            let mut is_new = is_new;
            deliver(deps, &device, &cause, || {
                Input::Command {
                    id: CommandId(crate::clock::new_id()),
                    request: Box::new(request.clone()),
                    known: None,
                    is_new: std::mem::take(&mut is_new), // a second try asks
                }
            })
            .await
        }
        Effect::Desired { device, set } => {
            let patch: Object = [("desired", Json::Object(set))].into_iter().collect();
            deliver(deps, &device, &cause, || Input::Change(Box::new(Change { patch: patch.clone() }))).await
        }
        Effect::Mode { device, mode, until } => {
            deliver(deps, &device, &cause, || Input::SetMode { mode, until }).await
        }
        Effect::Raise { of, number, alarm_type, severity, message } => alarm_result(
            send_and_wait(&deps.alarms, |reply| Raise {
                of,
                number,
                alarm_type,
                severity,
                message,
                rule: Some(rule),
                cause,
                reply,
            })
            .await,
        ),
        Effect::Clear { of, alarm_type } => alarm_result(
            send_and_wait(&deps.alarms, |reply| ClearType { of, alarm_type, cause, reply }).await,
        ),
        Effect::Publish { topic, payload, retain } => {
            let payload = match payload {
                Json::String(text) => Bytes::from(String::from(text)),
                other => Bytes::from(other.to_string()),
            };
            let outgoing = vec![Outgoing { id: 0, topic, payload, retain, until: None, purpose: None }];
            result(append(&deps.journal, Vec::new(), outgoing, Kept::default()).await)
        }
        Effect::Webhook(delivery) => webhook(deps, id, rule, *delivery).await,
        Effect::Enable { .. } | Effect::Log { .. } => EffectResult::default(), // done at once
    }
}

/// Writes a rule's message to the log.
fn log(rule: &RuleId, level: LogLevel, message: &str) {
    match level {
        LogLevel::Debug => debug!(%rule, "{message}"),
        LogLevel::Info => info!(%rule, "{message}"),
        LogLevel::Warn => warn!(%rule, "{message}"),
        LogLevel::Error => error!(%rule, "{message}"),
    }
}

/// Commits events, messages for the broker and what is kept, without a twin.
pub async fn append(
    journal: &Addr<Journal>,
    events: Vec<Event>,
    outgoing: Vec<Outgoing>,
    kept: Kept,
) -> InputOutcome {
    let (receipt, settled) = receipt::channel();
    // Dropped, its receipt says so.
    let _ = try_send_unbounded(journal, Append::with_kept(events, outgoing, kept, receipt));
    settled.await.unwrap_or(Err(NotAccepted::Lost))
}

/// The result of an input for a device, however often its twin panics on it.
async fn deliver(
    deps: &AutomationDeps,
    device: &DeviceId,
    cause: &Cause,
    mut input: impl FnMut() -> Input,
) -> EffectResult {
    let settled = delivery::deliver(&deps.supervisor, backoff::TWIN, |receipt| Deliver {
        device: device.clone(),
        input: input(),
        cause: cause.clone(),
        receipt,
        if_unknown: IfUnknown::Refuse,
        if_version: None,
        want_twin: false,
    });
    result(settled.await)
}

/// The delivery is durable before it is sent; the run goes on without waiting for the answer.
async fn webhook(deps: &AutomationDeps, id: EffectId, rule: RuleId, delivery: Delivery) -> EffectResult {
    let now = deps.clock.now();
    let record = DeliveryRecord {
        id: delivery_id(id),
        rule,
        run: id.run,
        delivery,
        status: DeliveryStatus::Waiting,
        attempts: 0,
        next_at: now,
        detail: "".into(),
        created_at: now,
        ended_at: None,
    };
    let kept = Kept { deliveries: vec![record.clone()], ..Kept::default() };
    let made = Some(record.id.to_string().into());
    let settled = append(&deps.journal, Vec::new(), Vec::new(), kept).await;
    if settled.is_ok() {
        // Read from the store at the next start.
        let _ = try_send_unbounded(&deps.webhooks, SendWebhook { delivery: record });
    }
    EffectResult { made, ..result(settled) }
}

/// The same request makes the same delivery.
fn delivery_id(id: EffectId) -> Uuid {
    let text = id.to_string();
    let mut print = Fingerprint::default();
    let high = print.field(text.as_bytes()).value();
    let low = print.field(b"delivery").value();
    uuid::Builder::from_custom_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes()).into_uuid()
}

async fn send_and_wait<M>(
    to: &Addr<crate::alarms::Alarms>,
    message: impl FnOnce(oneshot::Sender<AlarmReply>) -> M,
) -> Option<AlarmReply>
where
    crate::alarms::Alarms: actix::Handler<M>,
    M: actix::Message + Send + 'static,
    M::Result: Send,
{
    let (reply, answer) = oneshot::channel();
    let _ = try_send_unbounded(to, message(reply)); // dropped, the wait ends
    answer.await.ok()
}

fn alarm_result(answer: Option<AlarmReply>) -> EffectResult {
    match answer {
        Some(AlarmReply { alarm, seq }) => EffectResult {
            seq,
            made: alarm.map(|alarm| alarm.id.to_string().into()),
            ..EffectResult::default()
        },
        None => EffectResult::failed("lost", "the hub is shutting down"),
    }
}

fn result(settled: InputOutcome) -> EffectResult {
    match settled {
        Ok(Accepted { seq, commands, .. }) => EffectResult {
            seq,
            command: commands.first().map(|command| command.id),
            ..EffectResult::default()
        },
        Err(NotAccepted::Refused(refusal)) => EffectResult::failed(word(&refusal), refusal.to_string()),
        Err(NotAccepted::Lost) => EffectResult::failed("lost", "it was lost on its way"),
    }
}

/// The stable word for a refusal, as the journal of runs has it.
fn word(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Unknown(_) | Refusal::NotAccepted(_) => "unknown_device",
        Refusal::ManualMode => "manual_mode",
        Refusal::Suspended => "suspended",
        Refusal::Retired => "retired",
        Refusal::QueueFull(_) => "queue_full",
        Refusal::KeyTaken { .. } => "key_taken",
        Refusal::Invalid { .. } | Refusal::NoZone(_) => "invalid",
        Refusal::TooLarge { .. } => "too_large",
        Refusal::Version { .. }
        | Refusal::Registered(_)
        | Refusal::Claimed(_)
        | Refusal::NoCommand(_)
        | Refusal::CommandFinal { .. }
        | Refusal::ClaimCode
        | Refusal::UpdateUnderWay(_) => "refused",
    }
}
