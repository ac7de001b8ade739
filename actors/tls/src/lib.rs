//! The server's side of TLS: the hub's certificate, where it comes from and how it changes while the hub runs, and the
//! certificates that clients show.
//!
//! HTTP and MQTT have one certificate in common ([`ServerTls`]). It comes from the hub's own authority
//! ([`authority`]), or from two files; a new one takes the place of the old between two handshakes, and connections that
//! are open stay. The crypto provider is named in each configuration: several are linked into the program, and rustls
//! panics rather than choose.

pub mod authority;
mod certificate;
mod client;
mod files;
mod names;
mod server;

pub use certificate::{
    CertificateFacts, CertificateState, certificate_file, fingerprint_text, read_client_certificate,
};
pub use client::{ClientAuthorities, ClientTrust, PeerCertificate, Untrusted};
pub use server::{CertificateSource, HostNames, ServerTls, TlsSettings, TlsState};

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};

/// The reason why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
    #[error("cannot write {}: {source}", path.display())]
    Unwritable { path: PathBuf, source: io::Error },
    #[error("there is no certificate in {}: it must be PEM, `-----BEGIN CERTIFICATE-----`", path.display())]
    NoCertificate { path: PathBuf },
    #[error("there is no private key in {}: it must be PEM, without a password", path.display())]
    NoKey { path: PathBuf },
    #[error("the certificate in {} makes no sense: {reason}", path.display())]
    Malformed { path: PathBuf, reason: String },
    #[error("the key in {} is not that of the certificate in {}", key.display(), certificate.display())]
    Mismatch { certificate: PathBuf, key: PathBuf },
    #[error("the certificate in {} has expired", path.display())]
    Expired { path: PathBuf },
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    #[error("cannot speak TLS: {0}")]
    Protocol(#[from] rustls::Error),
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
