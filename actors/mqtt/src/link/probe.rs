//! A look at an outside broker as somebody without user and password sees it: may anybody publish there?

use std::time::Duration;

use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Packet, PubAckReason, SubscribeReasonCode};
use rumqttc::v5::{AsyncClient, ConnectionError, Event, MqttOptions};
use uuid::Uuid;

use super::address::BrokerAddress;
use super::{CONNECT_WITHIN_SECONDS, tls};

/// The topic of the probe's one message, before a part that nobody can guess. Nobody reads it.
const TOPIC: &str = "twinhub/probe";
/// The longest that the probe waits for the broker's next word.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest that it waits for its own message to come back, once the broker has acknowledged it. A broker that
/// drops it without a word lets the probe wait for so long.
const ECHO_WITHIN: Duration = Duration::from_secs(2);

/// The rights of a client without user and password at a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StrangerRights {
    /// It is not let in.
    None,
    /// It is let in, and a message of it goes nowhere.
    Connects,
    /// It may publish.
    Publishes,
}

/// Connects as a stranger, and publishes a message at QoS 1 that nobody but this probe hears.
///
/// # Errors
/// The broker cannot be reached.
pub async fn probe(address: &BrokerAddress) -> Result<StrangerRights, String> {
    let random = Uuid::now_v7().simple().to_string();
    let topic = format!("{TOPIC}/{random}");
    let mut options = MqttOptions::new(format!("twinhub-probe-{random}"), &address.host, address.port);
    options.set_clean_start(true).set_connection_timeout(CONNECT_WITHIN_SECONDS);
    if address.tls {
        options.set_transport(tls::transport(None).map_err(|error| error.to_string())?);
    }
    let (client, mut events) = AsyncClient::new(options, 4);
    let mut rights = StrangerRights::None;
    let mut hears_itself = false;
    let mut patience = PATIENCE;
    loop {
        let event = match tokio::time::timeout(patience, events.poll()).await {
            Ok(Ok(event)) => event,
            Ok(Err(ConnectionError::ConnectionRefused(_))) => return Ok(rights),
            // A broker may also just close the connection: on a stranger, or on what it may not do.
            Ok(Err(ConnectionError::MqttState(_))) => return Ok(rights),
            Ok(Err(_)) | Err(_) if rights != StrangerRights::None => return Ok(rights),
            Ok(Err(error)) => return Err(error.to_string()),
            Err(_) => return Err("it does not answer".to_owned()),
        };
        match event {
            Event::Incoming(Packet::ConnAck(_)) => {
                rights = StrangerRights::Connects;
                let _ = client.try_subscribe(&topic, QoS::AtLeastOnce); // there is room for it
            }
            Event::Incoming(Packet::SubAck(ack)) => {
                hears_itself =
                    ack.return_codes.iter().all(|code| matches!(code, SubscribeReasonCode::Success(_)));
                let _ = client.try_publish(&topic, QoS::AtLeastOnce, false, "probe"); // there is room for it
            }
            Event::Incoming(Packet::PubAck(ack)) => match ack.reason {
                // A client that may not hear it cannot tell whether it was dropped, and takes the broker at its word.
                PubAckReason::Success | PubAckReason::NoMatchingSubscribers if !hears_itself => {
                    return Ok(StrangerRights::Publishes);
                }
                PubAckReason::Success | PubAckReason::NoMatchingSubscribers => patience = ECHO_WITHIN,
                _ => return Ok(rights),
            },
            Event::Incoming(Packet::Publish(publish)) if publish.topic == topic.as_bytes() => {
                return Ok(StrangerRights::Publishes);
            }
            _ => {}
        }
    }
}
