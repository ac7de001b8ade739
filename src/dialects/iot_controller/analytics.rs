//! `GET /api/analytics`: the devices that the caller sees, in numbers, as they are now, and their readings hour by hour.

mod trends;

use std::collections::BTreeMap;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse};
use serde::Serialize;
use twinhub_actors::messages::archive::{ListAlarms, ListCommands, ListDevices};
use twinhub_domain::{CommandStatus, DeviceNumber, Status, Timestamp, Twin};
use twinhub_mqtt::dialects::iamis;
use twinhub_store::{AlarmQuery, CommandQuery, DeviceQuery};

use crate::http::Access;
use crate::http::extract::params::{Params, bad};
use crate::http::problem::ApiError;
use crate::http::reply;
use crate::http::turns::TurnKind;
use trends::{MOST_HOURS, Trends};

/// Devices that are read at once.
const AT_ONCE: u64 = 500;

/// The answer.
#[derive(Debug, Serialize)]
struct Analytics {
    generated_at: Timestamp,
    devices: DeviceNumbers,
    /// By sensor type, in the order of their names.
    sensors: Vec<SensorNumbers>,
    usage: Usage,
    performance: Performance,
    trends: Trends,
}

/// The numbers of devices.
#[derive(Debug, Default, Serialize)]
struct DeviceNumbers {
    total: u64,
    by_status: BTreeMap<&'static str, u64>,
    by_type: BTreeMap<String, u64>,
}

/// The latest values of one sensor type, of all devices that report a number for it.
#[derive(Debug, Serialize)]
struct SensorNumbers {
    sensor_type: String,
    devices: u64,
    average: f64,
    minimum: f64,
    maximum: f64,
}

/// The work that was done.
#[derive(Debug, Serialize)]
struct Usage {
    /// Messages of these devices, since each began.
    messages: u64,
    commands: u64,
    commands_by_status: BTreeMap<&'static str, u64>,
    active_alarms: u64,
}

/// The results of that work.
#[derive(Debug, Serialize)]
struct Performance {
    /// The part of devices that are online, from 0 to 1; null without devices.
    online_share: Option<f64>,
    /// The part of commands that were executed, of those that came to an end, from 0 to 1; null where none did.
    command_success_share: Option<f64>,
}

/// Sums of one sensor type.
#[derive(Debug, Default)]
struct Sums {
    devices: u64,
    sum: f64,
    minimum: Option<f64>,
    maximum: Option<f64>,
}

/// The counts of devices, one after the other.
#[derive(Debug, Default)]
struct Counted {
    devices: DeviceNumbers,
    sensors: BTreeMap<String, Sums>,
    messages: u64,
    /// The devices that were ever heard, with the time of that.
    heard: Vec<(Timestamp, DeviceNumber)>,
}

/// Counts.
pub(super) async fn analytics(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let hours: i64 = params.value("hours", "a number of hours, 1 to 168")?.unwrap_or(24);
    if !(1..=MOST_HOURS).contains(&hours) {
        return Err(bad("hours", "1 to 168").into());
    }
    params.finish()?;
    // All devices are read for it: one caller has it done once at a time.
    let _turn = access.state.turns.wait(TurnKind::Search, &access, &request).await?;
    let mut counted = Counted::default();
    let mut query = DeviceQuery { limit: AT_ONCE, ..DeviceQuery::default() };
    loop {
        let twins = access.ask(ListDevices(query.clone())).await??.twins;
        twins.iter().for_each(|twin| counted.count(twin));
        let Some(last) = twins.last().filter(|_| twins.len() as u64 == AT_ONCE) else { break };
        query.numbers = Some((DeviceNumber(last.number.0.saturating_add(1)), DeviceNumber(i64::MAX)));
    }
    let mut commands_by_status = BTreeMap::new();
    for status in CommandStatus::ALL {
        let query = CommandQuery { status: vec![status], limit: 1, ..CommandQuery::default() };
        let total = access.ask(ListCommands(query)).await??.total;
        if total > 0 {
            commands_by_status.insert(status.as_str(), total);
        }
    }
    let alarms = AlarmQuery { active: Some(true), limit: 1, ..AlarmQuery::default() };
    let active_alarms = access.ask(ListAlarms(alarms)).await??.total;
    let Counted { devices, sensors, messages, heard } = counted;
    let trends = Trends::of(&access, heard, |name| sensors.contains_key(name), hours).await?;
    let online = devices.by_status.get(Status::Online.as_str()).copied().unwrap_or_default();
    let ended = |status: &&CommandStatus| status.is_final();
    let ended: u64 = CommandStatus::ALL
        .iter()
        .filter(ended)
        .filter_map(|status| commands_by_status.get(status.as_str()))
        .sum();
    let executed = commands_by_status.get(CommandStatus::Executed.as_str()).copied().unwrap_or_default();
    Ok(reply::json(
        StatusCode::OK,
        &Analytics {
            generated_at: access.now(),
            performance: Performance {
                online_share: share(online, devices.total),
                command_success_share: share(executed, ended),
            },
            devices,
            trends,
            sensors: sensors.into_iter().map(|(sensor_type, sums)| sums.numbers(sensor_type)).collect(),
            usage: Usage {
                messages,
                commands: commands_by_status.values().sum(),
                commands_by_status,
                active_alarms,
            },
        },
    ))
}

impl Counted {
    fn count(&mut self, twin: &Twin) {
        self.devices.total += 1;
        *self.devices.by_status.entry(twin.presence.status.as_str()).or_default() += 1;
        *self.devices.by_type.entry(twin.profile.text("type").to_owned()).or_default() += 1;
        self.messages += twin.intake.messages;
        self.heard.extend(twin.presence.last_seen.map(|at| (at, twin.number)));
        // Names that the hub keeps beside readings are no sensors.
        for property in twin.reported.iter().filter(|property| !iamis::is_hubs_own(&property.name)) {
            if let Some(number) = property.value.as_number() {
                self.sensors.entry(property.name.to_string()).or_default().add(number.as_f64());
            }
        }
    }
}

impl Sums {
    fn add(&mut self, value: f64) {
        self.devices += 1;
        self.sum += value;
        self.minimum = Some(self.minimum.map_or(value, |least| least.min(value)));
        self.maximum = Some(self.maximum.map_or(value, |most| most.max(value)));
    }

    fn numbers(&self, sensor_type: String) -> SensorNumbers {
        SensorNumbers {
            sensor_type,
            devices: self.devices,
            average: share_of(self.sum, self.devices).unwrap_or_default(),
            minimum: self.minimum.unwrap_or_default(),
            maximum: self.maximum.unwrap_or_default(),
        }
    }
}

fn share(part: u64, whole: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "a share to look at")]
    share_of(part as f64, whole)
}

fn share_of(part: f64, whole: u64) -> Option<f64> {
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    (whole > 0).then(|| part / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_nothing_are_none() {
        assert_eq!((share(1, 4), share(0, 4), share(0, 0)), (Some(0.25), Some(0.0), None));
    }

    #[test]
    fn values_are_summed_up() {
        let mut sums = Sums::default();
        [3.0, -1.0, 4.0].into_iter().for_each(|value| sums.add(value));
        let SensorNumbers { devices, average, minimum, maximum, .. } = sums.numbers("t".into());
        assert_eq!((devices, average, minimum, maximum), (3, 2.0, -1.0, 4.0));
    }
}
