//! Admission of clients: those that are who they say they are, as many as there are places, some of which are reserved
//! for devices that the hub knows.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use mqtt5::MqttError;
use mqtt5::broker::auth::{AuthProvider, AuthResult};
use mqtt5::packet::connect::ConnectPacket;
use tracing::{debug, error};

use super::accept::{ClientSlot, Connections};
use super::connection::ClientConnection;
use super::hooks::CONNECTION;
use super::owners::SessionClaim;
use super::revocation::Revocation;
use super::rights;
use super::wire::{self, ConnectAnswer};
use crate::dialects::Dialects;
use crate::identity::{Authenticator, ClientIdentity, ClientName, ConnectRefusal, ConnectRequest};
use crate::intake::Intake;

type AuthFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Decides which clients may connect and subscribe.
pub(super) struct Admission {
    pub(super) connections: Arc<Connections>,
    pub(super) intake: Arc<dyn Intake>,
    pub(super) dialects: Arc<Dialects>,
    pub(super) authenticator: Arc<dyn Authenticator>,
    pub(super) revocation: Arc<Revocation>,
}

/// The reason why a client has no place.
enum Refused {
    Crowded,
    NotAdmitted(ConnectRefusal),
}

impl From<ConnectRefusal> for Refused {
    fn from(refusal: ConnectRefusal) -> Self {
        Self::NotAdmitted(refusal)
    }
}

impl Admission {
    async fn authenticate(&self, connect: &ConnectPacket, address: SocketAddr) -> mqtt5::Result<AuthResult> {
        let Ok(connection) = CONNECTION.try_with(Arc::clone) else {
            // Every connection is served inside the scope.
            error!("a connection is served without its gate");
            return Err(MqttError::AuthenticationFailed);
        };
        let client = &connect.client_id;
        let refused = match self.admit(connect, address, &connection).await {
            Ok(()) => return Ok(AuthResult::success()),
            Err(refused) => refused,
        };
        let (answer, reason) = match refused {
            Refused::Crowded => {
                debug!(%address, client, "connection refused: there are too many");
                (ConnectAnswer::Crowded, "connection limit reached".to_owned())
            }
            Refused::NotAdmitted(refusal) => {
                debug!(%address, client, user = ?connect.username, reason = refusal.reason(), "client refused");
                self.intake.refuse_client(refusal);
                (answer_to(refusal), refusal.to_string())
            }
        };
        // In our own words: the broker has fewer, and would write a line to the log for each. The error ends the
        // connection; these are the words that the broker says nothing of.
        connection.set_final_packets(wire::refusal(connection.is_v5(), answer, &reason));
        Err(MqttError::ConnectionError(format!("Connection closed: {reason}")))
    }

    async fn admit(
        &self,
        connect: &ConnectPacket,
        address: SocketAddr,
        connection: &Arc<ClientConnection>,
    ) -> Result<(), Refused> {
        let client = &connect.client_id;
        let request = ConnectRequest {
            client_id: client,
            username: connect.username.as_deref(),
            password: connect.password.as_deref(),
            address: address.ip(),
            certificate: connection.certificate(),
        };
        let identity = self.authenticator.identify(&request).await?;
        let name = self.authenticator.standing_of(client, &*identity).await;
        if name == ClientName::AnotherDevice {
            return Err(ConnectRefusal::ClientId.into());
        }
        if let Some(will) = connection.will_packet() {
            let allowed = rights::may_leave(&self.dialects, &*identity, client, &will).await;
            if let Err(denial) = allowed {
                self.intake.refuse(&will.topic, &will.payload, denial.reason, denial.detail);
                return Err(ConnectRefusal::Will.into());
            }
        }
        let slot = self.place(connect, &*identity, connection).await.ok_or(Refused::Crowded)?;
        let owners = self.revocation.owners();
        let mut claim = owners.claim(client, name, &identity);
        if let SessionClaim::Displaces(other) = &claim {
            if !self.revocation.end_session(client, Some(connection.key())).await {
                return Err(ConnectRefusal::Unavailable.into());
            }
            owners.release(client, other);
            claim = owners.claim(client, name, &identity);
        }
        if !matches!(claim, SessionClaim::Granted) {
            return Err(ConnectRefusal::ClientId.into());
        }
        if !identity.lasts() {
            // It ended meanwhile, and nobody has heard of this connection yet.
            owners.release(client, &identity);
            return Err(ConnectRefusal::BadCredentials.into());
        }
        connection.admit(slot, identity);
        Ok(())
    }

    async fn place(
        &self,
        connect: &ConnectPacket,
        identity: &dyn ClientIdentity,
        connection: &ClientConnection,
    ) -> Option<ClientSlot> {
        let client = &connect.client_id;
        let known = !self.connections.has_place(client)
            && (!identity.name().is_empty()
                || self.intake.knows_device(client).await
                || match &connect.username {
                    Some(name) => self.intake.knows_device(name).await,
                    None => false,
                });
        self.connections.admit_client(connection.key(), client, known)
    }

    async fn may_subscribe(&self, client: &str, filter: &str) -> bool {
        let identity = CONNECTION.try_with(|connection| connection.identity().cloned()).ok().flatten();
        let Some(identity) = identity else { return false };
        match rights::may_subscribe(&self.dialects, &*identity, client, filter).await {
            Ok(()) => true,
            Err(denial) => {
                self.intake.refuse(filter, &[], denial.reason, denial.detail);
                false
            }
        }
    }
}

fn answer_to(refusal: ConnectRefusal) -> ConnectAnswer {
    match refusal {
        ConnectRefusal::BadCredentials => ConnectAnswer::BadCredentials,
        ConnectRefusal::NoCredentials
        | ConnectRefusal::OutOfService
        | ConnectRefusal::Will
        | ConnectRefusal::CertificateExpired
        | ConnectRefusal::CertificateRevoked
        | ConnectRefusal::UnknownCertificate
        | ConnectRefusal::OtherCertificate => ConnectAnswer::NotAuthorized,
        ConnectRefusal::ClientId => ConnectAnswer::BadClientId,
        ConnectRefusal::TooManyFailures => ConnectAnswer::TooManyTries,
        ConnectRefusal::Unavailable => ConnectAnswer::Unavailable,
    }
}

impl AuthProvider for Admission {
    fn authenticate<'a>(
        &'a self,
        connect: &'a ConnectPacket,
        address: SocketAddr,
    ) -> AuthFuture<'a, mqtt5::Result<AuthResult>> {
        Box::pin(self.authenticate(connect, address))
    }

    /// The publish hook refuses forbidden publishes: it sees the payload, and the broker would answer MQTT 3.1.1 in
    /// words of MQTT 5.
    fn authorize_publish<'a>(&'a self, _: &str, _: Option<&'a str>, _: &'a str) -> AuthFuture<'a, bool> {
        Box::pin(std::future::ready(true))
    }

    /// Asked of the subscriptions of a session that goes on, too.
    fn authorize_subscribe<'a>(
        &'a self,
        client: &str,
        _: Option<&'a str>,
        filter: &'a str,
    ) -> AuthFuture<'a, bool> {
        let client = client.to_owned();
        Box::pin(async move { self.may_subscribe(&client, filter).await })
    }
}
