//! stub
use crate::domain::{DeviceId, Publish};
use super::Outgoing;
pub fn outgoing(id: u64, device: &DeviceId, publish: Publish) -> Outgoing {
    let (what, json, retain) = match publish { Publish::Desired(j) => ("desired", j, false), Publish::Configuration(j) => ("configuration", j, true) };
    Outgoing { id, topic: format!("iot/devices/{device}/{what}"), payload: json.to_string().into(), retain }
}
