//! Clients of the embedded broker and who they are. The broker asks the hub as a client connects, and its [`ClientIdentity`]
//! for as long as the client's session lasts.

use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use twinhub_domain::DeviceId;
use twinhub_tls::PeerCertificate;

/// The words of a CONNECT by which a client is known, its certificate, and the address that it came from.
#[derive(Clone, Copy, Debug)]
pub struct ConnectRequest<'a> {
    pub client_id: &'a str,
    pub username: Option<&'a str>,
    pub password: Option<&'a [u8]>,
    pub address: IpAddr,
    /// The certificate that it has shown, and proved to have the key of.
    pub certificate: Option<&'a Arc<PeerCertificate>>,
}

/// Says who clients are. The hub does.
#[async_trait]
pub trait Authenticator: Send + Sync + 'static {
    /// The identity of a client that connects.
    ///
    /// # Errors
    /// It is not let in.
    async fn identify(&self, request: &ConnectRequest<'_>)
    -> Result<Arc<dyn ClientIdentity>, ConnectRefusal>;

    /// The bearing of `client_id` on a client of this identity.
    async fn standing_of(&self, client_id: &str, identity: &dyn ClientIdentity) -> ClientName;

    /// Counts up whenever an identity may have ended: the broker asks all of them then.
    fn changes(&self) -> watch::Receiver<u64>;
}

/// The identity of a client. It belongs to the client's session, whether the client is connected or not.
#[async_trait]
pub trait ClientIdentity: Send + Sync + 'static {
    /// The name of the principal, as in causes: `device:pump-1`, `key:ci`; empty for a client without a name. It is for
    /// texts: two may have the same.
    fn name(&self) -> &str;

    /// The principal itself, which no other shares; empty for a client without a name.
    fn principal(&self) -> &str;

    /// The things that a client of this identity may do.
    fn allowance(&self) -> Allowance;

    /// Has it its rights still? Once it has not, it never has them again.
    fn lasts(&self) -> bool;

    /// Does its allowance hold for this device? Asked before each publish, and before a subscription, which then holds
    /// for as long as the identity [lasts](ClientIdentity::lasts). A message that names its device by a `serial` number has
    /// an id that is made of it, and the device may have another. Of a client that says nothing else: for none.
    async fn reaches(&self, _device: &DeviceId, _serial: Option<&str>, _act: Act) -> bool {
        false
    }

    /// Does its allowance hold for every device, whichever there are?
    fn reaches_all(&self) -> bool {
        false
    }

    /// Its own topics, where its allowance is those.
    fn topics(&self) -> Option<&dyn TopicAllowance> {
        None
    }

    /// May it ask for a token of a device that it is or becomes?
    fn may_provision(&self) -> bool {
        false
    }

    /// The answer to such a request; none where there is none now. Of a client that may not ask: none.
    async fn provision(&self, _request: Bytes) -> Option<Bytes> {
        None
    }
}

/// The topics of a client that speaks for no device.
pub trait TopicAllowance: Send + Sync {
    /// May it publish on this topic?
    fn may_publish(&self, topic: &str) -> bool;

    /// May it subscribe to all that this filter matches?
    fn may_subscribe(&self, filter: &str) -> bool;

    /// May it publish where else the hub alone speaks?
    fn has_hub_topics(&self) -> bool;
}

/// The things that a client may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowance {
    /// All that the hub does not keep for itself.
    Everything,
    /// Speak for the devices that it reaches, and hear what is for them: on the topics that the dialects give them.
    SpeakForDevices,
    /// Hear what the devices that it reaches say of themselves.
    WatchDevices,
    /// Publish and subscribe on topics of its own.
    OwnTopics,
}

/// An act of a client that concerns a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    Publish,
    Subscribe,
}

/// The bearing of a client id on the client that calls itself so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientName {
    /// It is the client's own: whoever else has a session of this name loses it.
    Own,
    /// It means nothing: it is the client's unless another's session has it.
    Free,
    /// It names a device that the client is not.
    AnotherDevice,
}

/// The reason why a client is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectRefusal {
    #[error("the user name and the password do not belong together")]
    BadCredentials,
    #[error("a user name and a password are needed here")]
    NoCredentials,
    #[error("the device is suspended or retired")]
    OutOfService,
    #[error("the client id names another device, or is that of another client's session")]
    ClientId,
    #[error("its last will is on a topic where it may not publish")]
    Will,
    #[error("too many wrong passwords came from this address: try again in a minute")]
    TooManyFailures,
    #[error("the certificate has expired")]
    CertificateExpired,
    #[error("the certificate is revoked by its authority")]
    CertificateRevoked,
    #[error("no authority that the hub trusts vouches for the certificate, and it is bound to no device")]
    UnknownCertificate,
    #[error("the certificate names no device of this hub, or the device has another one")]
    OtherCertificate,
    #[error("the hub cannot look up the device now")]
    Unavailable,
}

impl ConnectRefusal {
    /// All reasons.
    pub const ALL: [Self; 11] = [
        Self::BadCredentials,
        Self::NoCredentials,
        Self::OutOfService,
        Self::ClientId,
        Self::Will,
        Self::TooManyFailures,
        Self::CertificateExpired,
        Self::CertificateRevoked,
        Self::UnknownCertificate,
        Self::OtherCertificate,
        Self::Unavailable,
    ];

    /// The stable word that refusals are counted by.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::BadCredentials => "bad_credentials",
            Self::NoCredentials => "no_credentials",
            Self::OutOfService => "out_of_service",
            Self::ClientId => "client_id",
            Self::Will => "will",
            Self::TooManyFailures => "too_many_failures",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateRevoked => "certificate_revoked",
            Self::UnknownCertificate => "unknown_certificate",
            Self::OtherCertificate => "other_certificate",
            Self::Unavailable => "unavailable",
        }
    }
}
