//! Certificates of authorities that a test makes, and connections of clients that trust one of them.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio::process::Command;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::within;

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
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    within("a handshake", TlsConnector::from(Arc::new(config)).connect(name, socket)).await
}

/// The server's side, with the certificate in `server.pem` of this folder.
pub fn acceptor(folder: &Path) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(folder.join("server.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
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
