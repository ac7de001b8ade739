//! Faults of configurations.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::DevicesOption;

/// The fault of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    /// `message` names the key.
    #[error("{}:{line}: {message}", path.display())]
    Invalid { path: PathBuf, line: usize, message: String },
    #[error(
        "--{option} {address} can be reached by other machines, and with --devices {} anyone there could speak for \
         devices that have no password: leave --devices out (it is strict there), use a loopback address such as \
         127.0.0.1, or say --open-to-network if that is what you want",
        devices.word()
    )]
    MqttToNetwork { option: &'static str, address: SocketAddr, devices: DevicesOption },
    /// The access of a dialect cannot be as it was asked for.
    #[error("{0}")]
    Dialect(String),
    /// Single sign-on cannot be as it was asked for.
    #[error("{0}")]
    Oidc(String),
    #[error(
        "--open lets in whoever asks from this machine, and --listen {address} can be reached by other machines: leave \
         one of them out, or say --open-to-network to let anyone in"
    )]
    OpenBeyond { address: SocketAddr },
    #[error("--tls files takes both --tls-cert and --tls-key, and --{missing} is missing")]
    TlsFiles { missing: &'static str },
    #[error("--{option} takes TLS: say --tls auto, or give a certificate with --tls-cert and --tls-key")]
    WithoutTls { option: &'static str },
}
