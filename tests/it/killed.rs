//! Killed in the middle of twenty thousand messages, ten times at random moments, or as often as [`MORE_KILLS`] says:
//! every acknowledged message is stored once, and a subscriber that resumes sees each exactly once.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::support::hub::Installation;
use crate::support::mqtt::BrokerMessage;
use crate::support::{Dice, HubProcess, Mosquitto, MqttDevice, WebSocketSession, within};

const MESSAGES: u64 = 20_000;
const DEVICES: u64 = 20;
const KILLS: usize = 10;
/// The variable that says how often it is killed otherwise.
const MORE_KILLS: &str = "TWINHUB_KILLS";
/// Unacknowledged messages at once.
const WINDOW: usize = 200;

#[tokio::test(flavor = "multi_thread")]
async fn on_mosquitto() {
    let mosquitto = Mosquitto::start().await;
    let installation = Installation::new().on_broker(mosquitto.address);
    // The session at the broker must be there before the first message, as for any MQTT subscriber.
    let hub = installation.start().await;
    let (broker, publishing) = publish(mosquitto.address);
    let hub = kill_and_resume(&installation, hub, &broker, true).await;
    within("all is acknowledged", publishing).await.unwrap();
    everything_is_stored_once(&hub).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_the_embedded_broker() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let (broker, publishing) = publish(hub.mqtt.unwrap());
    let hub = kill_and_resume(&installation, hub, &broker, false).await;
    within("all is acknowledged", publishing).await.unwrap();
    everything_is_stored_once(&hub).await;
}

/// Follows the events from the first on; after so many as chance wants, kills the hub, starts it again
/// and resumes behind the last event seen. Ends with the last event.
async fn kill_and_resume(
    installation: &Installation,
    first: HubProcess,
    broker: &watch::Sender<SocketAddr>,
    outside: bool,
) -> HubProcess {
    let mut dice = Dice::new();
    let kills = std::env::var(MORE_KILLS).map_or(KILLS, |kills| kills.parse().unwrap());
    let mut moments: Vec<u64> = (0..kills).map(|_| dice.below(MESSAGES * 9 / 10)).collect();
    moments.sort_unstable();
    let mut moments = moments.into_iter().peekable();
    let mut hub = first;
    let mut live = WebSocketSession::of_readings(hub.http, Some(0)).await;
    let (mut seen, mut seq) = (BTreeSet::new(), 0);
    while (seen.len() as u64) < MESSAGES {
        if moments.next_if(|moment| seen.len() as u64 >= *moment).is_some() {
            // A little later than the event: in the middle of whatever comes next.
            let _ = timeout(Duration::from_micros(dice.below(20_000)), std::future::pending::<()>()).await;
            hub.kill().await;
            hub = installation.start().await;
            if !outside {
                broker.send_replace(hub.mqtt.unwrap());
            }
            live = WebSocketSession::of_readings(hub.http, Some(seq)).await;
        }
        let event = within("the next event", live.next()).await.expect("the hub lives");
        assert_eq!(event["type"], "event", "{event}");
        let next = event["seq"].as_u64().unwrap();
        assert!(next > seq, "{next} came after {seq}");
        seq = next;
        assert!(seen.insert(event["data"]["n"].as_u64().unwrap()), "a second time: {event}");
    }
    assert!(moments.next().is_none(), "it was killed {kills} times");
    hub
}

/// Publishes every message until it is acknowledged, however often the connection breaks.
fn publish(first: SocketAddr) -> (watch::Sender<SocketAddr>, JoinHandle<()>) {
    let (sender, mut broker) = watch::channel(first);
    let publishing = tokio::spawn(async move {
        let mut left: BTreeSet<u64> = (0..MESSAGES).collect();
        while !left.is_empty() {
            let address = *broker.borrow_and_update();
            if publish_until_broken(address, &mut left).await.is_err() {
                // Where the hub has gone there is another soon; an outside broker does not go.
                let _ = timeout(Duration::from_millis(100), broker.changed()).await;
            }
        }
    });
    (sender, publishing)
}

async fn publish_until_broken(broker: SocketAddr, left: &mut BTreeSet<u64>) -> std::io::Result<()> {
    let mut device = MqttDevice::connect(broker, "gateway").await?;
    let mut next = left.clone().into_iter();
    while !left.is_empty() {
        while device.unacknowledged() < WINDOW {
            let Some(n) = next.next() else { break };
            let topic = format!("iot/devices/killed-{}/data", n % DEVICES);
            let payload = format!(r#"{{"n":{n},"message_id":"m{n}","timestamp":{}}}"#, 1_767_225_600_000 + n);
            device.publish(n, &topic, payload.as_bytes()).await?;
        }
        if let BrokerMessage::Acknowledged(n) = device.next().await? {
            left.remove(&n);
        }
    }
    Ok(())
}

async fn everything_is_stored_once(hub: &HubProcess) {
    for device in 0..DEVICES {
        let history = hub.json(&format!("/api/devices/killed-{device}/data?limit=10000&order=asc")).await;
        let stored: Vec<u64> =
            history.as_array().unwrap().iter().map(|r| r["value"].as_u64().unwrap()).collect();
        let expected: Vec<u64> = (0..MESSAGES).filter(|n| n % DEVICES == device).collect();
        assert_eq!(stored, expected, "device {device}");
    }
}
