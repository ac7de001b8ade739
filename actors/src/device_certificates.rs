//! Devices by the certificates that they show, over MQTT and HTTP alike.
//!
//! A certificate counts for a device to which it is bound, whoever signed it; and, where none is bound to the device, if
//! an authority that the hub trusts vouches for it and one of its names is the device's id. Its end counts always.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Instant;

use tracing::warn;
use twinhub_domain::text::hex;
use twinhub_domain::{DeviceId, Timestamp};
use twinhub_store::Store;
use twinhub_tls::{PeerCertificate, Untrusted};

use crate::known_devices::{HeldCredential, KnownDevice, KnownDevices};
use crate::log_throttle::LogThrottle;

/// Bound certificates that are remembered, at 120 bytes each; with more all are looked up again.
const MOST: usize = 200_000;

/// The holders of certificates.
pub struct DeviceCertificates {
    devices: Arc<KnownDevices>,
    store: Arc<dyn Store>,
    /// The devices to which certificates were found to be bound. Whether one still is, the device says.
    bound: RwLock<HashMap<[u8; 32], DeviceId>>,
    /// The certificates that devices have shown last, by their ends; none of one that is bound, whose end the store has.
    shown: Mutex<HashMap<DeviceId, Option<Timestamp>>>,
    started: Instant,
    throttle: Mutex<LogThrottle>,
}

/// A device that has shown a certificate of its own.
#[derive(Clone, Debug)]
pub struct CertifiedDevice {
    pub device: Arc<KnownDevice>,
    pub by: CertificateInUse,
}

/// A certificate of a device, for a client that came by it.
#[derive(Clone, Debug)]
pub struct CertificateInUse {
    certificate: Arc<PeerCertificate>,
    held: HeldCredential,
    /// It counts by its name, and so for as long as an authority vouches for it.
    is_by_name: bool,
}

/// The reason why a certificate lets nobody in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateRefusal {
    #[error("{}", of_untrusted(*.0))]
    Untrusted(Untrusted),
    #[error("the certificate of device `{0}` has expired")]
    Expired(DeviceId),
    #[error("the certificate names no device of this hub")]
    NoDevice,
    #[error("device `{0}` has another certificate bound to it")]
    Another(DeviceId),
    #[error("the certificate is not that of device `{0}`")]
    NotOf(DeviceId),
    #[error("device `{0}` is suspended or retired")]
    OutOfService(DeviceId),
    #[error("the hub cannot look up the device now")]
    Unavailable,
}

/// The stored form of a certificate's fingerprint: `sha256:` and 64 hexadecimal digits.
#[must_use]
pub fn stored_fingerprint(fingerprint: &[u8; 32]) -> String {
    format!("sha256:{}", hex(fingerprint))
}

fn of_untrusted(untrusted: Untrusted) -> String {
    match untrusted {
        Untrusted::UnknownIssuer => format!("{untrusted}, and it is bound to no device"),
        _ => untrusted.to_string(),
    }
}

impl CertificateInUse {
    /// Does it count still, and is all else as it was on which the rights of the device's client hang?
    #[must_use]
    pub fn lasts(&self, now: Timestamp) -> bool {
        let counts = match self.is_by_name {
            true => self.certificate.names(now).is_ok(),
            false => !self.certificate.has_expired(now),
        };
        counts && self.held.lasts()
    }
}

impl CertificateRefusal {
    /// May the certificate be anybody's, so that the client is one without a credential?
    #[must_use]
    pub fn is_of_strangers(&self) -> bool {
        matches!(self, Self::Untrusted(Untrusted::UnknownIssuer | Untrusted::Purpose) | Self::NoDevice)
    }

    /// The device that it is about, where it is about one.
    #[must_use]
    pub fn device(&self) -> Option<&DeviceId> {
        match self {
            Self::Expired(device)
            | Self::Another(device)
            | Self::NotOf(device)
            | Self::OutOfService(device) => Some(device),
            Self::Untrusted(_) | Self::NoDevice | Self::Unavailable => None,
        }
    }
}

impl DeviceCertificates {
    /// Devices are looked up in `devices`, and by their certificates in `store`.
    #[must_use]
    pub fn new(devices: Arc<KnownDevices>, store: Arc<dyn Store>) -> Self {
        let (bound, throttle) = (RwLock::default(), Mutex::default());
        Self { devices, store, bound, shown: Mutex::default(), started: Instant::now(), throttle }
    }

    /// The device that shows this certificate. A certificate with several names is that of the device which the client is
    /// `said` to be, if it is one of them.
    ///
    /// # Errors
    /// It counts for no device, or not now.
    pub async fn identify(
        &self,
        certificate: &Arc<PeerCertificate>,
        said: &[DeviceId],
        now: Timestamp,
    ) -> Result<CertifiedDevice, CertificateRefusal> {
        let fingerprint = stored_fingerprint(certificate.fingerprint());
        let names = certificate.names(now);
        let mut refusal = match names {
            Ok(_) => CertificateRefusal::NoDevice,
            Err(untrusted) => CertificateRefusal::Untrusted(untrusted),
        };
        let names: Vec<DeviceId> =
            names.unwrap_or_default().iter().filter_map(|name| DeviceId::parse(name).ok()).collect();
        let mut ids: Vec<&DeviceId> = Vec::new();
        for id in said.iter().chain(&names) {
            if ids.contains(&id) {
                continue;
            }
            ids.push(id);
            let device = self.devices.get(id).await.ok_or(CertificateRefusal::Unavailable)?;
            let is_named = names.contains(id);
            match device.certificate(&fingerprint, is_named) {
                Some(held) => return self.admit(device, certificate, held, &fingerprint, now),
                None if is_named && device.access.exists => {
                    refusal = CertificateRefusal::Another(id.clone());
                }
                None => {}
            }
        }
        // The device that is remembered may not be the one to which it is bound by now: then the store is asked.
        for _ in 0..2 {
            let Some(id) = self.find_bound(certificate, &fingerprint).await? else { break };
            let device = self.devices.get(&id).await.ok_or(CertificateRefusal::Unavailable)?;
            if let Some(held) = device.certificate(&fingerprint, false) {
                return self.admit(device, certificate, held, &fingerprint, now);
            }
            self.forget(certificate);
        }
        Err(refusal)
    }

    /// Writes a line to the log: a certificate let nobody in.
    pub fn log_refusal(&self, certificate: &PeerCertificate, address: IpAddr, refusal: &CertificateRefusal) {
        let since = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let throttle = || self.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(left_out) = throttle().permit("certificate", since) else { return };
        let fingerprint = stored_fingerprint(certificate.fingerprint());
        let (names, expires) = (certificate.claimed_names().join(", "), certificate.expires());
        warn!(%address, reason = %refusal, %fingerprint, names, %expires, left_out, "certificate refused");
    }

    /// The device to which it is bound, as far as the store knows.
    async fn find_bound(
        &self,
        certificate: &PeerCertificate,
        fingerprint: &str,
    ) -> Result<Option<DeviceId>, CertificateRefusal> {
        // Nothing panics while holding the lock.
        let known =
            self.bound.read().unwrap_or_else(PoisonError::into_inner).get(certificate.fingerprint()).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let found = self.store.find_certificate(fingerprint).await;
        let found = found.map_err(|_| CertificateRefusal::Unavailable)?;
        if let Some(id) = &found {
            let mut bound = self.bound.write().unwrap_or_else(PoisonError::into_inner);
            if bound.len() >= MOST {
                bound.clear();
            }
            bound.insert(*certificate.fingerprint(), id.clone());
        }
        Ok(found)
    }

    fn admit(
        &self,
        device: Arc<KnownDevice>,
        certificate: &Arc<PeerCertificate>,
        held: HeldCredential,
        fingerprint: &str,
        now: Timestamp,
    ) -> Result<CertifiedDevice, CertificateRefusal> {
        if certificate.has_expired(now) {
            return Err(CertificateRefusal::Expired(device.id.clone()));
        }
        if device.access.is_out_of_service {
            return Err(CertificateRefusal::OutOfService(device.id.clone()));
        }
        let is_by_name = *held.stored() != *fingerprint;
        self.note_shown(&device.id, is_by_name.then(|| certificate.expires()));
        let by = CertificateInUse { certificate: Arc::clone(certificate), held, is_by_name };
        Ok(CertifiedDevice { device, by })
    }

    fn note_shown(&self, device: &DeviceId, end: Option<Timestamp>) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        match shown.get_mut(device) {
            Some(known) => *known = end,
            None => {
                if shown.len() >= MOST {
                    shown.clear();
                }
                shown.insert(device.clone(), end);
            }
        }
    }

    /// The devices whose certificates an authority issued, as they showed them last, and which end before this moment.
    #[must_use]
    pub fn issued_that_end(&self, before: Timestamp) -> HashMap<DeviceId, Timestamp> {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = shown.iter().filter_map(|(device, end)| Some((device.clone(), (*end)?)));
        ends.filter(|(_, end)| *end < before).collect()
    }

    /// Has the device shown a certificate since the start?
    #[must_use]
    pub fn has_shown(&self, device: &DeviceId) -> bool {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).contains_key(device)
    }

    /// It is bound to another device by now, or to none.
    fn forget(&self, certificate: &PeerCertificate) {
        self.bound.write().unwrap_or_else(PoisonError::into_inner).remove(certificate.fingerprint());
    }
}
