//! The defaults of `--lan`, for a hub that its local network reaches.

use std::net::{Ipv4Addr, SocketAddr};

use super::{DevicesOption, TlsOption};

/// A port on all addresses of this machine.
pub(super) fn everywhere(port: u16) -> SocketAddr {
    (Ipv4Addr::UNSPECIFIED, port).into()
}

/// The source of the certificate where none is named.
pub(super) fn tls(lan: bool, has_certificate: bool) -> TlsOption {
    match (has_certificate, lan) {
        (true, _) => TlsOption::Files,
        (false, true) => TlsOption::Auto,
        (false, false) => TlsOption::Off,
    }
}

/// The treatment of MQTT clients without a password; none: by where the broker listens.
pub(super) fn devices(lan: bool, open_to_network: bool) -> Option<DevicesOption> {
    (lan && !open_to_network).then_some(DevicesOption::Strict)
}
