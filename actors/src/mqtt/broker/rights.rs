//! Who may publish what. Nobody has an identity yet; what needs none is that the hub alone speaks on the topics on
//! which devices listen to it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::packet::connect::ConnectPacket;
use mqtt5::protocol::v5::reason_codes::ReasonCode;

use super::hooks::CONNECTION;
use crate::mqtt::dialects;
use crate::mqtt::intake::Intake;

/// The protocol level of MQTT 3.1.1, which has no way to refuse a publish.
pub(super) const MQTT_3_1_1: u8 = 4;
/// The stable word for it among rejected messages.
pub(super) const REASON: &str = "hub_only_topic";

/// See the module.
pub(super) struct Rights {
    intake: Arc<dyn Intake>,
}

impl Rights {
    pub(super) fn new(intake: Arc<dyn Intake>) -> Self {
        Self { intake }
    }

    fn connect(&self, connect: &ConnectPacket) -> AuthResult {
        let _ = CONNECTION.try_with(|connection| connection.note_version(connect.protocol_version));
        match &connect.will {
            Some(will) if dialects::is_hubs(&will.topic) => {
                let client = &connect.client_id;
                let detail =
                    format!("the last will of `{client}` is on a topic on which the hub alone speaks");
                self.intake.refuse(&will.topic, &will.payload, REASON, detail);
                AuthResult::fail_with_reason(
                    ReasonCode::NotAuthorized,
                    "the hub alone speaks on the will's topic",
                )
            }
            _ => AuthResult::success(),
        }
    }

    fn may_publish(&self, client: &str, topic: &str) -> bool {
        if !dialects::is_hubs(topic) {
            return true;
        }
        let version = CONNECTION.try_with(|connection| connection.version());
        if version == Ok(MQTT_3_1_1) {
            return true; // the hook refuses it: the broker would answer in words of MQTT 5
        }
        self.intake.refuse(topic, b"", REASON, refusal(client));
        false
    }
}

/// Why a publish is refused.
pub(super) fn refusal(client: &str) -> String {
    format!("the hub alone speaks on this topic, and `{client}` published to it")
}

impl AuthProvider for Rights {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        _: SocketAddr,
    ) -> Pin<Box<dyn Future<Output = mqtt5::Result<AuthResult>> + Send + 'a>> {
        Box::pin(async move { Ok(self.connect(connect)) })
    }

    fn authorize_publish<'a>(
        &'a self,
        client_id: &str,
        _: Option<&'a str>,
        topic: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        let may = self.may_publish(client_id, topic);
        Box::pin(std::future::ready(may))
    }

    fn authorize_subscribe<'a>(
        &'a self,
        _: &str,
        _: Option<&'a str>,
        _: &'a str,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(std::future::ready(true))
    }
}
