//! Certificates of authorities that a test makes, and connections of clients that trust one of them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertificateRevocationListParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams,
    SanType, date_time_ymd,
};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring::default_provider as ring_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use twinhub_actors::SystemClock;
use twinhub_domain::Clock as _;

use super::within;

/// An authority that vouches for the certificates of devices.
pub struct DeviceAuthority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate of a device, with its key.
#[derive(Clone)]
pub struct DeviceKeys {
    pub certificate: String,
    pub key: String,
    /// `sha256:` and 64 digits.
    pub fingerprint: String,
}

/// The names and the life of a certificate.
pub struct CertificateWish<'a> {
    pub common: &'a str,
    pub uri: Option<&'a str>,
    /// It ends in so many days; a negative number: it ended so many ago.
    pub days: i64,
    /// It is for a server at `localhost`, instead of a device.
    pub is_server: bool,
    pub serial: u64,
}

impl<'a> CertificateWish<'a> {
    /// For this common name.
    pub fn of(common: &'a str) -> Self {
        Self { common, uri: None, days: 1_000, is_server: false, serial: 1 }
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.common);
        if let Some(uri) = self.uri {
            params.subject_alt_names = vec![SanType::URI(uri.try_into().unwrap())];
        }
        params.not_before = date_time_ymd(2020, 1, 1);
        let end = SystemClock.now().plus_millis(self.days * 86_400_000).millis();
        let end = Duration::from_millis(end.try_into().unwrap());
        params.not_after = date_time_ymd(1970, 1, 1) + end;
        params.serial_number = Some(self.serial.into());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if self.is_server {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            let localhost = "localhost".try_into().unwrap();
            params.subject_alt_names =
                vec![SanType::DnsName(localhost), SanType::IpAddress([127, 0, 0, 1].into())];
        }
        params
    }
}

impl DeviceKeys {
    /// One that the device has signed itself.
    pub fn self_signed(wish: &CertificateWish<'_>) -> Self {
        let key = KeyPair::generate().unwrap();
        Self::of(&wish.params().self_signed(&key).unwrap(), &key)
    }

    fn of(certificate: &Certificate, key: &KeyPair) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, certificate.der());
        let digits: String = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let fingerprint = format!("sha256:{digits}");
        Self { certificate: certificate.pem(), key: key.serialize_pem(), fingerprint }
    }

    /// Writes it as the files of a server into this folder.
    pub fn serve_from(&self, folder: &Path) {
        std::fs::write(folder.join("server.key"), &self.key).unwrap();
        std::fs::write(folder.join("server.pem"), &self.certificate).unwrap();
    }

    /// A client of HTTP that shows it.
    pub fn client(&self, trusted: &Path) -> reqwest::Client {
        let identity = format!("{}{}", self.certificate, self.key);
        let authority = reqwest::Certificate::from_pem(&std::fs::read(trusted).unwrap()).unwrap();
        reqwest::Client::builder()
            .no_proxy()
            .tls_certs_only([authority])
            .identity(reqwest::Identity::from_pem(identity.as_bytes()).unwrap())
            .build()
            .unwrap()
    }
}

impl DeviceAuthority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "the devices of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    pub fn issue(&self, wish: &CertificateWish<'_>) -> DeviceKeys {
        let key = KeyPair::generate().unwrap();
        DeviceKeys::of(&wish.params().signed_by(&key, &self.issuer).unwrap(), &key)
    }

    /// Its list of revoked certificates, with this one alone.
    pub fn revoke(&self, serial: u64) -> String {
        let revoked = RevokedCertParams {
            serial_number: serial.into(),
            revocation_time: date_time_ymd(2026, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: date_time_ymd(2026, 1, 1),
            next_update: date_time_ymd(2049, 1, 1),
            crl_number: 1_u64.into(),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        list.signed_by(&self.issuer).unwrap().pem().unwrap()
    }
}

/// The configuration of a client that trusts the authority in this file alone, and shows these keys.
pub fn client_config(trusted: &Path, keys: Option<&DeviceKeys>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let Some(keys) = keys else { return config.with_no_client_auth() };
    let chain =
        CertificateDer::pem_slice_iter(keys.certificate.as_bytes()).collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(keys.key.as_bytes()).unwrap();
    config.with_client_auth_cert(chain, key).unwrap()
}

/// Connects over TLS, as a client that trusts the authority in this file alone.
pub async fn connect(address: SocketAddr, trusted: &Path) -> std::io::Result<TlsStream<TcpStream>> {
    connect_to(address.ip().into(), address, trusted).await
}

/// The same to the server of this name at an address.
pub async fn connect_to(
    name: ServerName<'static>,
    address: SocketAddr,
    trusted: &Path,
) -> std::io::Result<TlsStream<TcpStream>> {
    handshake(name, address, client_config(trusted, None)).await
}

/// Connects over TLS by this configuration.
pub async fn connect_with(
    address: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    handshake(address.ip().into(), address, config).await
}

async fn handshake(
    name: ServerName<'static>,
    address: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    within("a handshake", TlsConnector::from(Arc::new(config)).connect(name, socket)).await
}

/// The server's side, with the certificate in `server.pem` of this folder.
pub fn acceptor(folder: &Path) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(folder.join("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

/// Makes an authority in a folder of its own.
pub async fn authority(folder: &Path) {
    std::fs::create_dir(folder).unwrap();
    let (key, file) = (folder.join("authority.key"), folder.join("authority.pem"));
    openssl(&key, &file, &["-subj", "/CN=an authority", "-addext", "keyUsage=critical,keyCertSign"]).await;
}

/// Has the authority in `by` vouch for `localhost` and 127.0.0.1, in `server.pem` of `folder`.
pub async fn certificate(by: &Path, folder: &Path) {
    let (authority, its_key) = (by.join("authority.pem"), by.join("authority.key"));
    let by = ["-CA", authority.to_str().unwrap(), "-CAkey", its_key.to_str().unwrap()];
    let about = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    let may = ["-addext", "basicConstraints=critical,CA:FALSE"];
    let (key, file) = (folder.join("server.key"), folder.join("server.pem"));
    openssl(&key, &file, &[&by[..], &about, &may].concat()).await;
}

/// A new key and a certificate of it.
async fn openssl(key: &Path, file: &Path, more: &[&str]) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
        ])
        .arg("-keyout")
        .arg(key)
        .arg("-out")
        .arg(file)
        .args(more)
        .stdin(Stdio::null())
        .output();
    let made = within("a certificate", made).await.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}
