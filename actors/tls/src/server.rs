//! The certificate that the hub shows, on HTTP and MQTT alike, and how another takes its place while the hub runs.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};
use twinhub_domain::{Clock, Timestamp};

use super::authority::OwnAuthority;
use super::certificate::{CertificateFacts, read_pair};
use super::client::{AnyCertificate, ClientTrust, PeerCertificate};
use super::files::{FileStamp, stamp};
use super::{TlsError, fingerprint_text, provider};

/// Files are looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// An own certificate is looked at each so many looks: for its age, and for other addresses of this machine.
const LOOKS_BETWEEN: u32 = 15;

/// The names that a certificate of ours is for, asked again and again: addresses change.
pub type HostNames = Arc<dyn Fn() -> Vec<String> + Send + Sync>;

/// The origin of the certificate.
#[derive(Clone)]
pub enum CertificateSource {
    /// The hub's own authority in this folder; `machine` is the name in it.
    Own { folder: PathBuf, machine: String, names: HostNames },
    /// These files, in PEM.
    Files { certificate: PathBuf, key: PathBuf },
}

/// The settings of TLS.
#[derive(Clone)]
pub struct TlsSettings {
    pub source: CertificateSource,
    /// The file with the authorities that vouch for clients' names.
    pub client_authorities: Option<PathBuf>,
}

/// The state of the certificate, for health and metrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsState {
    /// The hub made it itself.
    pub is_own: bool,
    pub begins: Timestamp,
    pub expires: Timestamp,
    /// SHA-256 of the certificate, `AB:CD:…`.
    pub fingerprint: String,
    /// The same of the hub's own authority.
    pub authority: Option<String>,
    /// The reason why what is in the files now was not taken over.
    pub problem: Option<String>,
}

/// The server's side of TLS.
pub struct ServerTls {
    source: CertificateSource,
    authority: Option<OwnAuthority>,
    clock: Arc<dyn Clock>,
    current: Arc<CurrentCertificate>,
    clients: Arc<ClientTrust>,
    problem: Mutex<Option<String>>,
    /// It names the authorities to clients, and so changes with them.
    http: ArcSwap<TlsAcceptor>,
    mqtt: TlsAcceptor,
}

/// The certificate that the next handshake shows.
struct CurrentCertificate(ArcSwap<(Arc<CertifiedKey>, CertificateFacts)>);

impl fmt::Debug for CurrentCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("CurrentCertificate").field(&self.0.load().1).finish()
    }
}

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.load().0))
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls").field("current", &self.current).finish_non_exhaustive()
    }
}

impl ServerTls {
    /// Reads or makes the certificate.
    ///
    /// # Errors
    /// Names the file that cannot be used.
    pub fn start(settings: TlsSettings, clock: Arc<dyn Clock>) -> Result<Arc<Self>, TlsError> {
        let TlsSettings { source, client_authorities: client_file } = settings;
        let authority = match &source {
            CertificateSource::Own { folder, machine, .. } => Some(OwnAuthority::open(folder, machine)?),
            CertificateSource::Files { .. } => None,
        };
        let first = load(&source, authority.as_ref(), clock.now())?;
        if first.1.expires <= clock.now() {
            warn!(expired = %first.1.expires, "the TLS certificate has expired: clients will refuse it");
        }
        let clients = ClientTrust::read(client_file)?;
        let current = Arc::new(CurrentCertificate(ArcSwap::from_pointee(first)));
        let mqtt = config(&current, AnyCertificate::of_devices())?;
        let http = http_acceptor(&current, &clients)?;
        let tls = Self {
            source,
            authority,
            clock,
            current,
            clients,
            problem: Mutex::default(),
            http: ArcSwap::from_pointee(http),
            mqtt: TlsAcceptor::from(Arc::new(mqtt)),
        };
        Ok(Arc::new(tls))
    }

    /// Accepts connections of HTTP/1.1.
    #[must_use]
    pub fn http(&self) -> TlsAcceptor {
        TlsAcceptor::clone(&self.http.load())
    }

    /// Accepts connections of MQTT.
    #[must_use]
    pub fn mqtt(&self) -> TlsAcceptor {
        self.mqtt.clone()
    }

    /// The certificate of the client at the other end of `connection`; none where it has shown none.
    #[must_use]
    pub fn peer(&self, connection: &ServerConnection) -> Option<Arc<PeerCertificate>> {
        PeerCertificate::of(connection.peer_certificates()?, &self.clients).map(Arc::new)
    }

    /// The certificate of the hub's own authority, as PEM.
    #[must_use]
    pub fn authority_pem(&self) -> Option<Arc<str>> {
        self.authority.as_ref().map(OwnAuthority::pem)
    }

    /// The state of the certificate.
    #[must_use]
    pub fn state(&self) -> TlsState {
        let facts = &self.current.0.load().1;
        TlsState {
            is_own: self.authority.is_some(),
            begins: facts.begins,
            expires: facts.expires,
            fingerprint: fingerprint_text(&facts.fingerprint),
            authority: self.authority.as_ref().map(|own| fingerprint_text(&own.facts().fingerprint)),
            problem: self.problem.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Looks at the files again. What is wrong in them is logged, and what held before goes on.
    pub fn reload(&self) {
        let problem = self.try_reload().err().map(|error| error.to_string());
        if let Some(problem) = &problem {
            warn!(error = problem, "TLS certificate not taken over, the one before still holds");
        }
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    fn try_reload(&self) -> Result<(), TlsError> {
        let now = self.clock.now();
        let (pair, facts) = load(&self.source, self.authority.as_ref(), now)?;
        let (has_changed, still_holds) = {
            let current = self.current.0.load();
            (current.1.fingerprint != facts.fingerprint, current.1.expires > now)
        };
        if has_changed {
            if facts.expires <= now
                && still_holds
                && let CertificateSource::Files { certificate, .. } = &self.source
            {
                return Err(TlsError::Expired { path: certificate.clone() });
            }
            info!(fingerprint = fingerprint_text(&facts.fingerprint), expires = %facts.expires,
                names = facts.names.join(", "), "TLS certificate taken over");
            self.current.0.store(Arc::new((pair, facts)));
        }
        if self.clients.reload()? {
            self.http.store(Arc::new(http_acceptor(&self.current, &self.clients)?));
        }
        Ok(())
    }

    /// Looks at the files as they change, and makes an own certificate anew in time, until nobody has `tls` any more.
    pub async fn watch(tls: Weak<Self>) {
        let mut tick = tokio::time::interval(LOOK_EVERY);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let Some(mut watched) = tls.upgrade().map(|tls| Watched::new(&tls)) else { return };
        loop {
            tick.tick().await;
            let Some(tls) = tls.upgrade() else { return };
            if watched.is_due(&tls) {
                // Files are read, and at times keys made.
                let _ = tokio::task::spawn_blocking(move || tls.reload()).await;
            }
        }
    }

    /// The files that people may change.
    fn files(&self) -> Vec<&Path> {
        let own: &[&PathBuf] = match &self.source {
            CertificateSource::Own { .. } => &[],
            CertificateSource::Files { certificate, key } => &[certificate, key],
        };
        own.iter().copied().map(PathBuf::as_path).chain(self.clients.file()).collect()
    }
}

/// The state of the files as they were taken over last.
struct Watched {
    taken: Vec<FileStamp>,
    /// The state at the last look: a change is taken when it has come to rest, for certificate and key are written one
    /// after the other.
    seen: Vec<FileStamp>,
    looks: u32,
}

impl Watched {
    fn new(tls: &ServerTls) -> Self {
        let now = Self::stamps(tls);
        Self { taken: now.clone(), seen: now, looks: 0 }
    }

    fn stamps(tls: &ServerTls) -> Vec<FileStamp> {
        tls.files().into_iter().map(stamp).collect()
    }

    /// Are the files to be read again?
    fn is_due(&mut self, tls: &ServerTls) -> bool {
        self.looks += 1;
        let now = Self::stamps(tls);
        let is_at_rest = now == self.seen;
        self.seen.clone_from(&now);
        let has_changed = is_at_rest && now != self.taken;
        if has_changed {
            self.taken = now;
        }
        has_changed || (tls.authority.is_some() && self.looks.is_multiple_of(LOOKS_BETWEEN))
    }
}

fn load(
    source: &CertificateSource,
    authority: Option<&OwnAuthority>,
    now: Timestamp,
) -> Result<(Arc<CertifiedKey>, CertificateFacts), TlsError> {
    match (source, authority) {
        (CertificateSource::Own { names, .. }, Some(authority)) => authority.certificate(&names(), now),
        (CertificateSource::Own { folder, machine, names }, None) => {
            OwnAuthority::open(folder, machine)?.certificate(&names(), now)
        }
        (CertificateSource::Files { certificate, key }, _) => read_pair(certificate, key),
    }
}

/// Accepts connections of HTTP/1.1 from clients of these authorities, and from others.
fn http_acceptor(current: &Arc<CurrentCertificate>, clients: &ClientTrust) -> Result<TlsAcceptor, TlsError> {
    let mut http = config(current, AnyCertificate::of_browsers(clients))?;
    http.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(http)))
}

/// TLS 1.2 and 1.3.
fn config(current: &Arc<CurrentCertificate>, clients: AnyCertificate) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
    let builder = builder.with_client_cert_verifier(Arc::new(clients));
    Ok(builder.with_cert_resolver(Arc::clone(current) as _))
}

#[cfg(test)]
mod tests;
