//! Admission of clients: as many as there are places, some of which are reserved for devices that the hub knows. Access
//! control comes in here, too: the right to connect, publish and subscribe.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use mqtt5::MqttError;
use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::packet::connect::ConnectPacket;
use tracing::debug;

use super::accept::Connections;
use super::hooks::CONNECTION;
use super::{rights, wire};
use crate::intake::Intake;

type AuthFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Decides which clients may connect, publish and subscribe.
pub(super) struct Admission {
    pub(super) connections: Arc<Connections>,
    pub(super) intake: Arc<dyn Intake>,
}

impl Admission {
    async fn admit(&self, connect: &ConnectPacket, address: SocketAddr) -> mqtt5::Result<AuthResult> {
        let client = &connect.client_id;
        let refused =
            CONNECTION.try_with(|connection| rights::refuse_will(&*self.intake, connection, client));
        if let Ok(Some(refused)) = refused {
            return Ok(refused);
        }
        let known = !self.connections.has_place(client)
            && (self.intake.knows_device(client).await
                || match &connect.username {
                    Some(name) => self.intake.knows_device(name).await,
                    None => false,
                });
        let Ok(connection) = CONNECTION.try_with(Arc::clone) else {
            return Ok(AuthResult::success());
        };
        match self.connections.admit_client(connection.key(), client, known) {
            Some(slot) => {
                connection.set_slot(slot);
                Ok(AuthResult::success())
            }
            None => {
                debug!(%address, client, "connection refused: there are too many");
                // In our own words: the broker would call it a failed authentication. The error ends the
                // connection; these are the words that it says nothing of in the log.
                connection.set_final_packets(wire::refusal(connection.is_v5(), "connection limit reached"));
                Err(MqttError::ConnectionError("Connection closed: connection limit reached".into()))
            }
        }
    }
}

impl AuthProvider for Admission {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        address: SocketAddr,
    ) -> AuthFuture<'a, mqtt5::Result<AuthResult>> {
        Box::pin(self.admit(connect, address))
    }

    /// The publish hook refuses forbidden publishes: it sees the payload, and the broker would answer MQTT 3.1.1 in
    /// words of MQTT 5.
    fn authorize_publish<'a>(&'a self, _: &str, _: Option<&'a str>, _: &'a str) -> AuthFuture<'a, bool> {
        Box::pin(std::future::ready(true))
    }

    fn authorize_subscribe<'a>(&'a self, _: &str, _: Option<&'a str>, _: &'a str) -> AuthFuture<'a, bool> {
        Box::pin(std::future::ready(true))
    }
}
