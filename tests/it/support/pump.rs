//! A registered device that takes commands over MQTT and answers them.

use std::collections::VecDeque;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::mqtt::BrokerMessage;
use super::{HubProcess, MqttDevice, within};

/// A registered device that answers its commands.
pub struct PumpDevice {
    pub id: String,
    mqtt: MqttDevice,
    /// Commands that came while something else was waited for, as their text.
    came: VecDeque<String>,
}

/// Registers the device `id`.
pub async fn register(hub: &HubProcess, id: &str) {
    let created = hub.post("/api/devices", &json!({ "device_id": id, "name": id })).await;
    assert_eq!(created.status(), StatusCode::CREATED);
}

impl PumpDevice {
    /// Registers a device, connects it and has it say that it is there.
    pub async fn join(hub: &HubProcess, id: &str) -> Self {
        register(hub, id).await;
        Self::connect(hub, id).await
    }

    /// Connects a device that is registered, and has it say that it is there.
    pub async fn connect(hub: &HubProcess, id: &str) -> Self {
        let mut mqtt = MqttDevice::connect(hub.mqtt.unwrap(), id).await.unwrap();
        mqtt.subscribe(&format!("iot/devices/{id}/commands")).await.unwrap();
        let mut pump = Self { id: id.into(), mqtt, came: VecDeque::new() };
        pump.say("status", "online").await;
        pump
    }

    /// Publishes to one of its topics, and waits until the hub has it.
    pub async fn say(&mut self, leaf: &str, payload: &str) {
        let topic = format!("iot/devices/{}/{leaf}", self.id);
        self.mqtt.publish(0, &topic, payload.as_bytes()).await.unwrap();
        while let Some(command) = self.heard().await {
            self.came.push_back(command);
        }
    }

    /// The next command, as the text that came.
    pub async fn next_text(&mut self) -> String {
        loop {
            if let Some(text) = self.came.pop_front() {
                return text;
            }
            let heard = self.heard().await;
            self.came.extend(heard);
        }
    }

    /// The next command.
    pub async fn next_command(&mut self) -> Value {
        serde_json::from_str(&self.next_text().await).unwrap()
    }

    /// Answers a command, and waits until the hub has the answer.
    pub async fn answer(&mut self, command: &Value, answer: &Value) {
        let id = command["id"].as_str().unwrap();
        self.say(&format!("commands/{id}"), &answer.to_string()).await;
    }

    /// A command, or none for an acknowledgement.
    async fn heard(&mut self) -> Option<String> {
        match within("the broker says something", self.mqtt.next()).await.unwrap() {
            BrokerMessage::Acknowledged(_) => None,
            BrokerMessage::Message { payload, .. } => Some(String::from_utf8(payload).unwrap()),
        }
    }
}
