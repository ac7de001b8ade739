//! TLS by the configuration: where the certificate comes from, and the names that it is for.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use twinhub_domain::Clock;
use twinhub_tls::{CertificateSource, HostNames, ServerTls, TlsError, TlsSettings};

use crate::config::{Config, HostName, TlsOption};

/// The folder of the hub's own authority, in the data folder.
pub(super) const FOLDER: &str = "tls";
/// Addresses of this machine that a certificate is for; a machine with many containers has more.
const MOST_ADDRESSES: usize = 64;

/// The server's side of TLS; none where it is off.
///
/// # Errors
/// Names the file that cannot be used.
pub(super) fn start(config: &Config, clock: Arc<dyn Clock>) -> Result<Option<Arc<ServerTls>>, TlsError> {
    let source = match (config.tls, &config.tls_cert, &config.tls_key) {
        (TlsOption::Off, ..) => return Ok(None),
        (TlsOption::Files, Some(certificate), Some(key)) => {
            CertificateSource::Files { certificate: certificate.clone(), key: key.clone() }
        }
        // Without its files the configuration was refused.
        (TlsOption::Auto | TlsOption::Files, ..) => CertificateSource::Own {
            folder: config.data_dir.join(FOLDER),
            machine: machine(),
            names: names(config),
        },
    };
    let settings = TlsSettings { source, client_authorities: config.tls_client_ca.clone() };
    ServerTls::start(settings, clock).map(Some)
}

/// The name of this machine, without its domain.
fn machine() -> String {
    let name = gethostname::gethostname().to_string_lossy().to_lowercase();
    name.split('.').next().filter(|name| !name.is_empty()).unwrap_or("twinhub").to_owned()
}

/// The names and addresses by which this hub is reached, asked anew each time.
fn names(config: &Config) -> HostNames {
    let public = config.public_url.as_deref().and_then(|url| url::Url::parse(url).ok());
    let public = public.and_then(|url| Some(url.host_str()?.trim_matches(['[', ']']).to_owned()));
    let listed: Vec<String> = config.hosts.iter().filter_map(HostName::exact).map(str::to_owned).collect();
    let bound: Vec<IpAddr> = [Some(config.listen), config.mqtt_over_tls()]
        .into_iter()
        .flatten()
        .map(|address| address.ip())
        .filter(|ip| !ip.is_unspecified())
        .collect();
    Arc::new(move || {
        let whole = gethostname::gethostname().to_string_lossy().to_lowercase();
        let short = machine();
        let mut names = vec![short.clone()];
        let more = [whole, format!("{short}.local"), "localhost".into()];
        for name in more.into_iter().chain(public.clone()).chain(listed.iter().cloned()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let addresses = addresses().into_iter().chain(bound.iter().copied());
        let addresses: BTreeSet<IpAddr> = addresses.collect();
        names.extend(addresses.iter().take(MOST_ADDRESSES).map(ToString::to_string));
        names
    })
}

/// The addresses of this machine, but for those that count on one link alone.
pub(super) fn addresses() -> Vec<IpAddr> {
    let counts = |ip: &IpAddr| match ip {
        IpAddr::V4(_) => true,
        IpAddr::V6(ip) => !ip.is_unicast_link_local(),
    };
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    interfaces.into_iter().map(|interface| interface.ip()).filter(counts).collect()
}
