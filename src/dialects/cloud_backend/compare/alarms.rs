//! The alerts of a comparison as alarms of the hub: raised on the device whose reading is far off, and cleared with the
//! first comparison in which it is not.

use tracing::warn;
use twinhub_actors::HubError;
use twinhub_actors::access::{Caller, Grant};
use twinhub_actors::messages::alarms::{ClearType, Raise};
use twinhub_actors::messages::archive::{ListAlarms, LoadTwins};
use twinhub_domain::alarm::{Alarm, Originator, Severity};
use twinhub_domain::cause::Source;
use twinhub_domain::{DeviceId, DeviceNumber};
use twinhub_mqtt::dialects::cloud_backend::id_of_sensor;
use twinhub_store::{AlarmQuery, StoreError};

use super::ComparedReading;
use crate::http::Access;

/// Active alarms of one type that are looked at: one on each device that was the newest once.
const MOST: u64 = 100;

/// The reason why the alarms are not as the comparison says.
#[derive(Debug, thiserror::Error)]
enum AlarmFault {
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Has the alarms be as the comparison says, and say where the weather is simulated. The answer does not wait for better times: the next comparison tries again.
pub(super) async fn tell(access: &Access, compared: &[ComparedReading], is_simulated: bool) {
    let hub = access.state.hub().of(Caller::Program, Source::Hub);
    for one in compared {
        if let Err(error) = settle(&hub, one, is_simulated).await {
            warn!(%error, alarm_type = one.quantity.alert, "an alert of the weather is no alarm");
        }
    }
}

async fn settle(hub: &Grant, compared: &ComparedReading, is_simulated: bool) -> Result<(), AlarmFault> {
    let alarm_type = compared.quantity.alert;
    let query = AlarmQuery {
        active: Some(true),
        alarm_type: Some(alarm_type.into()),
        limit: MOST,
        ..AlarmQuery::default()
    };
    let active = hub.ask(ListAlarms(query)).await??.alarms;
    let severity = compared.difference.and_then(|difference| compared.quantity.severity(difference));
    let sensor = compared.newest.as_ref().and_then(|timed| id_of_sensor(&timed.reading.sensor_id).ok());
    let wanted = sensor.zip(severity);
    let is_wanted =
        |alarm: &Alarm| wanted.as_ref().is_some_and(|(device, _)| alarm.originator.device() == Some(device));
    // An alarm that a rule has raised is the rule's.
    for alarm in active.iter().filter(|alarm| alarm.rule.is_none() && !is_wanted(alarm)) {
        let (of, alarm_type) = (alarm.originator.clone(), alarm.alarm_type.clone());
        hub.change(|reply| ClearType { of, alarm_type, cause: hub.cause(), reply }).await?;
    }
    let Some((device, severity)) = wanted.clone() else { return Ok(()) };
    let is_raised = active.iter().any(|alarm| is_wanted(alarm) && alarm.severity == severity);
    match number(hub, &device).await? {
        Some(number) if !is_raised => raise(hub, compared, device, number, severity, is_simulated).await,
        _ => Ok(()),
    }
}

async fn raise(
    hub: &Grant,
    compared: &ComparedReading,
    device: DeviceId,
    number: DeviceNumber,
    severity: Severity,
    is_simulated: bool,
) -> Result<(), AlarmFault> {
    let mut message = compared.alert.as_ref().map(|alert| alert.message.clone()).unwrap_or_default();
    if is_simulated {
        message.push_str(" (the weather is simulated)");
    }
    let (of, alarm_type, cause) = (Originator::Device(device), compared.quantity.alert.into(), hub.cause());
    hub.change(|reply| Raise { of, number, alarm_type, severity, message, rule: None, cause, reply }).await?;
    Ok(())
}

async fn number(hub: &Grant, device: &DeviceId) -> Result<Option<DeviceNumber>, AlarmFault> {
    let found = hub.ask(LoadTwins(vec![device.clone()])).await??;
    Ok(found.into_iter().next().map(|twin| twin.number))
}
