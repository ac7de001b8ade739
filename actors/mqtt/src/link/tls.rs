//! TLS towards an outside broker.

use std::sync::Arc;

use rumqttc::tokio_rustls::rustls::crypto::aws_lc_rs;
use rumqttc::tokio_rustls::rustls::pki_types::CertificateDer;
use rumqttc::tokio_rustls::rustls::pki_types::pem::PemObject;
use rumqttc::tokio_rustls::rustls::{ClientConfig, RootCertStore};
use rumqttc::{TlsConfiguration, Transport};

use super::ConnectError;

/// TLS that trusts the authorities in `authorities` (PEM), or those of the system.
///
/// The crypto provider is named: several are linked into the program, and rustls panics rather than choose.
pub(super) fn transport(authorities: Option<&[u8]>) -> Result<Transport, ConnectError> {
    let bad = |error: &dyn std::fmt::Display| ConnectError::Certificates(error.to_string());
    let mut roots = RootCertStore::empty();
    if let Some(pem) = authorities {
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots.add(certificate.map_err(|error| bad(&error))?).map_err(|error| bad(&error))?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if roots.is_empty() {
        return Err(bad(&"none was found"));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(&error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Transport::tls_with_config(TlsConfiguration::Rustls(Arc::new(config))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_that_there_is_no_authority() {
        let Err(error) = transport(Some(b"no certificate")) else { panic!("trusts nobody") };
        assert_eq!(error.to_string(), "the authorities to trust cannot be read: none was found");
    }
}
