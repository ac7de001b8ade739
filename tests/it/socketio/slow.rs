//! Clients that read nothing cost nobody but themselves.

use std::time::{Duration, Instant};

use super::{EngineSocket, PolledSession};
use crate::support::hub::Installation;
use crate::support::{MqttDevice, eventually, within};

/// Enough to fill every buffer between the hub and a client that does not read.
const MESSAGES: u64 = 12_000;
const TEXT: usize = 2_000;
/// Messages on their way to the hub.
const WINDOW: usize = 16;
/// A client that reads nothing is let go after half a minute, and its connection with it.
const SOON: Duration = Duration::from_secs(50);

#[tokio::test(flavor = "multi_thread")]
async fn those_that_read_nothing_are_let_go() {
    let hub = Installation::new().start().await;
    let mut fast = EngineSocket::joined(hub.http).await;
    let mut deaf = EngineSocket::joined(hub.http).await;
    let silent = PolledSession::joined(hub.http).await;
    let fast = tokio::spawn(async move {
        for n in 0..MESSAGES {
            let packet = fast.next().await.unwrap();
            assert!(packet.ends_with(&format!("\"n\":{n}}}]")), "{n}: {packet}");
        }
        fast
    });
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "busy").await.unwrap();
    let text = "x".repeat(TEXT);
    for n in 0..MESSAGES {
        let payload = format!("{{\"text\":\"{text}\",\"n\":{n}}}");
        device.publish(n, "iot/devices/busy/data", payload.as_bytes()).await.unwrap();
        while device.unacknowledged() > WINDOW {
            device.next().await.unwrap();
        }
    }
    let _fast = within("a fast one gets all", fast).await.unwrap();
    let since = Instant::now();
    eventually("the others are let go", async || {
        (hub.metric("twinhub_subscribers").await == 1).then_some(())
    })
    .await;
    assert!(since.elapsed() < SOON, "{:?}", since.elapsed());
    assert_eq!(silent.poll().await.status, 400);
    while deaf.next().await.is_some() {}
}
