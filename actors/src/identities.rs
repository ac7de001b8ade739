//! MQTT clients: who they are by the words of their CONNECT, and how far their rights reach. The embedded broker asks.
//!
//! | client | by | may |
//! |---|---|---|
//! | device | its id as the user name, its token as the password; or its certificate | speak for itself, and hear what is for it |
//! | viewer, operator | any user name, a key as the password | hear what devices in its scope say |
//! | admin's service account | the same | all but what the hub keeps for itself |
//! | bridge | any user name, its key | publish and subscribe on topics of its own |
//! | device to be | a provisioning key | ask for a token |
//! | anonymous | no password | by the policy for devices: all of that; speak for devices without a token; nothing |
//! | newcomer | no password, while the pairing window is open | speak for devices that the hub did not know, ask for their tokens |

mod bridges;
pub mod credentials;
mod newcomers;
mod principals;
mod provisioners;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix::Recipient;
use async_trait::async_trait;
use tokio::sync::watch;
use twinhub_access::limits::ClientLimits;
use twinhub_access::role::{Permission, Role};
use twinhub_access::{Action, AuditEntry, AuditOutcome, KeyPurpose, Secret};
use twinhub_domain::{Clock, DeviceId, Json, Timestamp};
use twinhub_mqtt::identity::{
    Allowance, Authenticator, ClientIdentity, ClientName, ConnectRefusal, ConnectRequest,
};
use twinhub_store::Store;
use twinhub_store::seal::TokenMatch;
use twinhub_tls::{PeerCertificate, Untrusted};

use self::bridges::BridgeClient;
use self::credentials::Credentials;
use self::newcomers::NewcomerClient;
use self::principals::{AnonymousClient, DeviceClient, DeviceCredential, KeyClient};
use self::provisioners::ProvisioningClient;
use crate::accounts::directory::{Credential, Directory};
use crate::device_certificates::{CertificateRefusal, CertifiedDevice, DeviceCertificates};
use crate::device_tokens::Tokens;
use crate::fleet::groups::TreeNow;
use crate::known_devices::KnownDevices;
use crate::mailbox::try_send_unbounded;
use crate::messages::audit::NoteRefusal;
use crate::pairing::Pairing;
use crate::token_renewal::TokenRenewal;

/// The treatment of clients without a password, the most lenient first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum DevicesPolicy {
    /// They may do everything that the hub does not keep for itself.
    #[default]
    Open,
    /// They may speak for devices that the hub has and that have no token.
    Known,
    /// They are not let in.
    Strict,
}

impl DevicesPolicy {
    const ALL: [Self; 3] = [Self::Open, Self::Known, Self::Strict];

    fn number(self) -> u8 {
        match self {
            Self::Open => 0,
            Self::Known => 1,
            Self::Strict => 2,
        }
    }

    fn of_number(number: u8) -> Self {
        Self::ALL.into_iter().find(|policy| policy.number() == number).unwrap_or(Self::Strict)
    }
}

/// Says who MQTT clients are.
#[derive(Clone)]
pub struct ClientIdentities(Arc<ClientIdentitiesShared>);

/// The parts that identities work with.
pub struct ClientIdentitiesDeps {
    pub devices: Arc<KnownDevices>,
    pub certificates: Arc<DeviceCertificates>,
    pub directory: Arc<Directory>,
    pub tree: Arc<TreeNow>,
    pub tokens: Tokens,
    pub renewal: TokenRenewal,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub audit: Recipient<NoteRefusal>,
    pub pairing: Arc<Pairing>,
}

struct ClientIdentitiesShared {
    deps: ClientIdentitiesDeps,
    /// The number of the [`DevicesPolicy`].
    policy: AtomicU8,
    limits: Mutex<ClientLimits>,
    /// The number of times that an identity may have ended.
    changes: watch::Sender<u64>,
}

impl ClientIdentities {
    /// Identities under `policy`. Call it inside a runtime.
    #[must_use]
    pub fn new(deps: ClientIdentitiesDeps, policy: DevicesPolicy) -> Self {
        let (of_devices, of_people) = (deps.devices.changes(), deps.directory.changes());
        let (limits, changes) = (Mutex::default(), watch::Sender::new(0));
        let policy = AtomicU8::new(policy.number());
        let shared = ClientIdentitiesShared { deps, policy, limits, changes };
        let identities = Self(Arc::new(shared));
        for changes in [of_devices, of_people] {
            tokio::spawn(pass_on(changes, Arc::downgrade(&identities.0)));
        }
        identities
    }

    /// Sets the treatment of clients without a password from now on. Those who are there and may not be any more are
    /// disconnected.
    pub fn set_policy(&self, policy: DevicesPolicy) {
        self.0.policy.store(policy.number(), Ordering::Release);
        self.0.changes.send_modify(|changes| *changes += 1);
    }

    async fn device(&self, id: &DeviceId, token: &str) -> Result<Arc<dyn ClientIdentity>, ConnectRefusal> {
        let shared = &self.0;
        let device = shared.deps.devices.get(id).await.ok_or(ConnectRefusal::Unavailable)?;
        let (held, found) = device.token(&shared.deps.tokens, token).ok_or(ConnectRefusal::BadCredentials)?;
        if device.access.is_out_of_service {
            return Err(ConnectRefusal::OutOfService);
        }
        if found == TokenMatch::Outdated {
            let hash = shared.deps.tokens.hash(token);
            held.renewed_as(&hash);
            shared.deps.renewal.renew(id, held.stored(), &hash);
        }
        Ok(Arc::new(DeviceClient::new(device, DeviceCredential::Token(held), Arc::clone(shared))))
    }

    /// The client by the certificate that it has shown. None where that may be anybody's, and such clients are let in
    /// without one.
    async fn certified(
        &self,
        certificate: &Arc<PeerCertificate>,
        request: &ConnectRequest<'_>,
    ) -> Result<Option<Arc<dyn ClientIdentity>>, ConnectRefusal> {
        let shared = &self.0;
        let user = request.username.and_then(|name| DeviceId::parse(name).ok());
        let client = DeviceId::parse(request.client_id).ok();
        let said: Vec<DeviceId> = user.iter().chain(&client).cloned().collect();
        let mut found = shared.deps.certificates.identify(certificate, &said, shared.deps.clock.now()).await;
        // A device that says that it is another one is not let in.
        let is_another = match (&found, &user) {
            (Ok(certified), Some(user)) if certified.device.id != *user => {
                let said = shared.deps.devices.get(user).await;
                said.is_none_or(|device| device.access.exists)
            }
            _ => false,
        };
        if let Some(user) = user.filter(|_| is_another) {
            found = Err(CertificateRefusal::NotOf(user));
        }
        match found {
            Ok(CertifiedDevice { device, by }) => {
                let credential = DeviceCredential::Certificate(by);
                Ok(Some(Arc::new(DeviceClient::new(device, credential, Arc::clone(shared)))))
            }
            Err(refusal) if refusal.is_of_strangers() && self.lets_strangers_in(request.address) => Ok(None),
            Err(refusal) => {
                self.note_certificate(certificate, &refusal, request.address);
                Err(answer_to(&refusal))
            }
        }
    }

    /// May a client without a credential come from there, for any device or for new ones?
    fn lets_strangers_in(&self, address: IpAddr) -> bool {
        self.policy() == DevicesPolicy::Open || self.0.deps.pairing.window.pass(address).is_some()
    }

    fn policy(&self) -> DevicesPolicy {
        DevicesPolicy::of_number(self.0.policy.load(Ordering::Acquire))
    }

    /// Has a certificate that let nobody in stand in the log and in the audit.
    fn note_certificate(&self, certificate: &PeerCertificate, refusal: &CertificateRefusal, address: IpAddr) {
        if *refusal == CertificateRefusal::Unavailable {
            return;
        }
        self.0.deps.certificates.log_refusal(certificate, address, refusal);
        let target = refusal.device().map(|device| format!("device:{device}")).unwrap_or_default();
        let detail = [("reason", Json::from(answer_to(refusal).reason()))].into_iter().collect();
        self.note(
            AuditEntry::new(self.0.deps.clock.now(), "", Action::DeviceRefused).with_detail(detail),
            &target,
            address,
        );
    }

    fn note(&self, entry: AuditEntry, target: &str, address: IpAddr) {
        let entry = entry.with_outcome(AuditOutcome::Refused).with_address(address).with_target(target);
        let _ = try_send_unbounded(&self.0.deps.audit, NoteRefusal(entry)); // gone, the hub shuts down
    }

    fn key(
        &self,
        key: &str,
        request: &ConnectRequest<'_>,
    ) -> Result<Arc<dyn ClientIdentity>, ConnectRefusal> {
        let shared = &self.0;
        let found =
            shared.deps.directory.identify(Credential::Bearer(key), shared.deps.clock.now(), request.address);
        let identity = found.map_err(|_| ConnectRefusal::BadCredentials)?;
        let id = Secret::parse(key).map_err(|_| ConnectRefusal::BadCredentials)?.id();
        if let Some(bound) = identity.bound.clone() {
            return match &bound.purpose {
                KeyPurpose::Bridge(bridge) => {
                    let client = BridgeClient::new(&id, bridge.clone(), identity, Arc::clone(shared));
                    Ok(Arc::new(client))
                }
                KeyPurpose::Provisioning(_) => {
                    let client = ProvisioningClient::new(&id, request.username, identity, Arc::clone(shared));
                    Ok(Arc::new(client))
                }
                KeyPurpose::Webhook(_) => Err(ConnectRefusal::BadCredentials),
            };
        }
        let is_service = identity.user.is_none();
        let allowance = match identity.rights.role {
            Role::Admin if is_service && identity.rights.scopes.are_all() => Allowance::Everything,
            _ if identity.rights.permissions.contain(Permission::Read) => Allowance::WatchDevices,
            _ => return Err(ConnectRefusal::BadCredentials),
        };
        Ok(Arc::new(KeyClient::new(&id, allowance, identity, Arc::clone(shared))))
    }

    /// Has a wrong password stand in the audit. The device is named where there is one: a name that nobody has may well
    /// be a password in the wrong field.
    async fn note_refusal(&self, credentials: &Credentials<'_>, address: IpAddr, now: Timestamp) {
        let device = match credentials {
            Credentials::Device { id, .. } => self.0.deps.devices.get(id).await,
            _ => None,
        };
        let device = device.filter(|device| device.access.exists);
        let target = device.map(|device| format!("device:{}", device.id)).unwrap_or_default();
        let detail = [("reason", Json::from("credentials"))].into_iter().collect();
        self.note(AuditEntry::new(now, "", Action::DeviceRefused).with_detail(detail), &target, address);
    }

    fn anonymous(&self, address: IpAddr) -> Result<Arc<dyn ClientIdentity>, ConnectRefusal> {
        let shared = &self.0;
        let policy = self.policy();
        let usual = || AnonymousClient::new(policy, Arc::clone(shared));
        let (pass, usual) = match (policy, shared.deps.pairing.window.pass(address)) {
            // It may do as much without a window.
            (DevicesPolicy::Open, _) => return Ok(Arc::new(usual())),
            (DevicesPolicy::Known, pass) => (pass, Some(usual())),
            (DevicesPolicy::Strict, Some(pass)) => (Some(pass), None),
            (DevicesPolicy::Strict, None) => return Err(ConnectRefusal::NoCredentials),
        };
        Ok(Arc::new(NewcomerClient::new(address, pass, usual, Arc::clone(shared))))
    }
}

#[async_trait]
impl Authenticator for ClientIdentities {
    async fn identify(
        &self,
        request: &ConnectRequest<'_>,
    ) -> Result<Arc<dyn ClientIdentity>, ConnectRefusal> {
        let shared = &self.0;
        let credentials = Credentials::read(request.username, request.password);
        if credentials == Credentials::None {
            // Nothing was guessed: nobody has another's key by trying.
            return match request.certificate {
                Some(certificate) => match self.certified(certificate, request).await? {
                    Some(identity) => Ok(identity),
                    None => self.anonymous(request.address),
                },
                None => self.anonymous(request.address),
            };
        }
        let (now, address) = (shared.deps.clock.now(), request.address);
        let name = request.username.unwrap_or_default();
        let limits = || shared.limits.lock().unwrap_or_else(PoisonError::into_inner);
        if !limits().may_try(address, name, now) {
            return Err(ConnectRefusal::TooManyFailures);
        }
        let identified = match &credentials {
            Credentials::Device { id, token } => self.device(id, token).await,
            Credentials::Key(key) => self.key(key, request),
            Credentials::Unreadable | Credentials::None => Err(ConnectRefusal::BadCredentials),
        };
        match &identified {
            Ok(_) => limits().succeeded(address, name, now),
            Err(ConnectRefusal::BadCredentials) => {
                limits().failed(address, name, now);
                self.note_refusal(&credentials, address, now).await;
            }
            Err(_) => {}
        }
        identified
    }

    async fn standing_of(&self, client_id: &str, identity: &dyn ClientIdentity) -> ClientName {
        let Ok(device) = DeviceId::parse(client_id) else { return ClientName::Free };
        if identity.name().strip_prefix("device:") == Some(client_id) {
            return ClientName::Own;
        }
        if identity.name().is_empty() && identity.allowance() == Allowance::Everything {
            return ClientName::Free; // a device of an open hub has no other name
        }
        if identity.may_provision() {
            return ClientName::Free; // it may be the device, which has lost its token's answer
        }
        match self.0.deps.devices.get(&device).await {
            Some(known) if !known.access.exists => ClientName::Free,
            // A device without a credential is whoever says so.
            Some(known) if identity.name().is_empty() && !known.has_credentials() => ClientName::Free,
            // Where that cannot be found out: nobody takes its place meanwhile.
            Some(_) | None => ClientName::AnotherDevice,
        }
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }
}

/// The broker's answer to a client whose certificate lets nobody in.
fn answer_to(refusal: &CertificateRefusal) -> ConnectRefusal {
    match refusal {
        CertificateRefusal::Expired(_) | CertificateRefusal::Untrusted(Untrusted::Expired) => {
            ConnectRefusal::CertificateExpired
        }
        CertificateRefusal::Untrusted(Untrusted::Revoked) => ConnectRefusal::CertificateRevoked,
        CertificateRefusal::Untrusted(_) => ConnectRefusal::UnknownCertificate,
        CertificateRefusal::NoDevice | CertificateRefusal::Another(_) | CertificateRefusal::NotOf(_) => {
            ConnectRefusal::OtherCertificate
        }
        CertificateRefusal::OutOfService(_) => ConnectRefusal::OutOfService,
        CertificateRefusal::Unavailable => ConnectRefusal::Unavailable,
    }
}

/// Counts changes among those of the identities, for as long as there are any.
async fn pass_on(mut changes: watch::Receiver<u64>, to: std::sync::Weak<ClientIdentitiesShared>) {
    while changes.changed().await.is_ok() {
        let Some(shared) = to.upgrade() else { return };
        shared.changes.send_modify(|changes| *changes += 1);
    }
}
