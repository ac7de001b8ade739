//! The alerts of a comparison as alarms of the hub: raised on the device whose reading is far off, and cleared with the
//! first comparison in which that device's own is not. Which sensor spoke last does not matter to the alarms of the others.

use std::collections::BTreeSet;
use std::sync::Arc;

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
use crate::dialects::cloud_backend::index::TimedReading;
use crate::http::Access;

/// Active alarms that are read at once: one on each device that was the newest once.
const AT_ONCE: u64 = 100;

/// The reason why the alarms are not as the comparison says.
#[derive(Debug, thiserror::Error)]
enum AlarmFault {
    #[error(transparent)]
    Hub(#[from] HubError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Has the alarms be as the comparison says, `newest` being the newest reading of each sensor, and say where the weather is
/// simulated. The answer does not wait for better times: the next comparison tries again.
pub(super) async fn tell(
    access: &Access,
    compared: &[ComparedReading],
    newest: &[Arc<TimedReading>],
    is_simulated: bool,
) {
    let hub = access.state.hub().of(Caller::Program, Source::Hub);
    for one in compared {
        if let Err(error) = settle(&hub, one, newest, is_simulated).await {
            warn!(%error, alarm_type = one.quantity.alert, "an alert of the weather is no alarm");
        }
    }
}

/// Settles the alarms of the device that was compared, and of those that have one already: each by its own newest reading.
async fn settle(
    hub: &Grant,
    compared: &ComparedReading,
    newest: &[Arc<TimedReading>],
    is_simulated: bool,
) -> Result<(), AlarmFault> {
    let quantity = compared.quantity;
    let active = active(hub, quantity.alert).await?;
    // An alarm that a rule has raised is the rule's.
    let own = active.iter().filter(|alarm| alarm.rule.is_none());
    let mut devices: BTreeSet<DeviceId> =
        own.filter_map(|alarm| alarm.originator.device().cloned()).collect();
    devices.extend(compared.newest.as_deref().and_then(device_of));
    for device in devices {
        let last = newest.iter().find(|timed| {
            *timed.reading.sensor_type == *quantity.name && device_of(timed).as_ref() == Some(&device)
        });
        let judged = ComparedReading::of((last.cloned(), quantity), compared.weather);
        let severity = judged.difference.and_then(|difference| quantity.severity(difference));
        let of = Originator::Device(device.clone());
        let mut active = active.iter().filter(|alarm| alarm.originator == of);
        match severity {
            None => {
                if active.any(|alarm| alarm.rule.is_none()) {
                    let alarm_type = quantity.alert.into();
                    hub.change(|reply| ClearType { of, alarm_type, cause: hub.cause(), reply }).await?;
                }
            }
            Some(severity) if active.any(|alarm| alarm.severity == severity) => {}
            Some(severity) => {
                if let Some(number) = number(hub, &device).await? {
                    raise(hub, &judged, device, number, severity, is_simulated).await?;
                }
            }
        }
    }
    Ok(())
}

/// The active alarms of this type.
async fn active(hub: &Grant, alarm_type: &str) -> Result<Vec<Alarm>, AlarmFault> {
    let mut active = Vec::new();
    loop {
        let query = AlarmQuery {
            active: Some(true),
            alarm_type: Some(alarm_type.into()),
            offset: active.len() as u64,
            limit: AT_ONCE,
            ..AlarmQuery::default()
        };
        let page = hub.ask(ListAlarms(query)).await??.alarms;
        let is_last = (page.len() as u64) < AT_ONCE;
        active.extend(page);
        if is_last {
            return Ok(active);
        }
    }
}

fn device_of(timed: &TimedReading) -> Option<DeviceId> {
    id_of_sensor(&timed.reading.sensor_id).ok()
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
