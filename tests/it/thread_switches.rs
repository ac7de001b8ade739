//! Switches of threads that a message costs. Each is more work for the processor than all that a twin does with the
//! message, so their number says what the hub costs at the rates that most people have; unlike a time, it is the same on
//! a busy machine.

use std::fs;

use crate::support::MqttDevice;
use crate::support::hub::Installation;

const MESSAGES: u64 = 500;
/// The most switches of a message that comes alone, on a machine of few cores: the actors' thread waits for the message
/// and for the store, the store's for the actors.
const MOST: u64 = 12;
/// The same where links have threads of their own.
const MOST_ON_MANY_CORES: u64 = 16;

/// The number of times that a thread of the process has waited so far.
fn waits(pid: u32) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let statuses = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("status")).ok());
    let waits = |status: String| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse().unwrap()
    };
    statuses.map(waits).sum()
}

#[tokio::test]
async fn a_message_wakes_few_threads() {
    let hub = Installation::new().start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "meter").await.unwrap();
    let data = "iot/devices/meter/data";
    device.say(data, r#"{"kwh": 0}"#).await; // which begins the twin
    let before = waits(hub.pid());
    for n in 1..=MESSAGES {
        device.say(data, &format!(r#"{{"kwh": {n}}}"#)).await;
    }
    let each = (waits(hub.pid()) - before).div_ceil(MESSAGES);
    let cores = std::thread::available_parallelism().unwrap().get();
    let most = if cores <= 2 { MOST } else { MOST_ON_MANY_CORES };
    assert!(each <= most, "{each} switches a message, on {cores} cores");
}
