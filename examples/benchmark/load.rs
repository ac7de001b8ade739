//! The load: devices that say three readings a message.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::mqtt::{MqttClient, MqttMessage};

/// The amount to publish, and the manner.
#[derive(Clone, Copy)]
pub struct Load {
    pub devices: u64,
    pub messages: u64,
    pub connections: u64,
    /// Unacknowledged messages a connection.
    pub window: usize,
}

impl Load {
    /// A message for every device.
    pub fn hello(devices: u64, connections: u64) -> Self {
        Self { devices, messages: devices, connections, window: 200 }
    }

    /// Publishes flat out; returns when the broker has acknowledged the last message.
    pub async fn publish(self, broker: SocketAddr, patience: Duration) -> Result<Duration> {
        self.publish_with(broker, patience, reading).await
    }

    /// The same with payloads of one's own.
    pub async fn publish_with(
        self,
        broker: SocketAddr,
        patience: Duration,
        make: impl Fn(u64, u64) -> MqttMessage + Send + Sync + 'static,
    ) -> Result<Duration> {
        let clients = connect(broker, self.connections).await?;
        let began = Instant::now();
        self.publish_over(clients, patience, make).await?;
        Ok(began.elapsed())
    }

    /// The same over connections that are there, as many as the load has, and gives them back.
    pub async fn publish_over(
        self,
        clients: Vec<MqttClient>,
        patience: Duration,
        make: impl Fn(u64, u64) -> MqttMessage + Send + Sync + 'static,
    ) -> Result<Vec<MqttClient>> {
        let make = Arc::new(make);
        let mut tasks = JoinSet::new();
        for (lane, mut client) in (0..).zip(clients) {
            let make = Arc::clone(&make);
            // A device stays with its connection, so its messages come in order.
            let messages = (0..self.messages)
                .skip(usize::try_from(lane)?)
                .step_by(usize::try_from(self.connections)?)
                .map(move |n| make(n % self.devices, n / self.devices));
            tasks.spawn(async move {
                let acknowledged = client.publish_all(messages, self.window).await;
                acknowledged.map(|acknowledged| (lane, client, acknowledged))
            });
        }
        let all = async {
            let (mut clients, mut acknowledged) = (Vec::new(), 0);
            while let Some(done) = tasks.join_next().await {
                let (lane, client, more) = done??;
                clients.push((lane, client));
                acknowledged += more;
            }
            if acknowledged != self.messages {
                bail!("{acknowledged} of {} messages acknowledged", self.messages);
            }
            clients.sort_unstable_by_key(|(lane, _): &(u64, _)| *lane);
            Ok(clients.into_iter().map(|(_, client)| client).collect())
        };
        timeout(patience, all).await?
    }
}

/// `count` connections.
pub async fn connect(broker: SocketAddr, count: u64) -> Result<Vec<MqttClient>> {
    let mut clients = Vec::new();
    for lane in 0..count {
        clients.push(MqttClient::connect(broker, &format!("load-{lane}")).await?);
    }
    Ok(clients)
}

/// The `turn`th message of a device: three readings.
pub fn reading(device: u64, turn: u64) -> MqttMessage {
    let (tenths, percent) = (180 + (device + turn) % 90, 30 + (device * 7 + turn) % 50);
    MqttMessage {
        topic: topic(device),
        payload: format!(
            r#"{{"temperature":{}.{},"humidity":{percent},"pressure":10{:02}.25}}"#,
            tenths / 10,
            tenths % 10,
            turn % 40
        )
        .into_bytes(),
    }
}

/// Where a device's readings go.
pub fn topic(device: u64) -> String {
    format!("iot/devices/{}/data", name(device))
}

/// The name of a device.
pub fn name(device: u64) -> String {
    format!("bench-{device:07}")
}
