//! Refusals of configurations that say less than they need, or would let anyone in without the user's knowing and saying
//! so.

use super::{Config, ConfigError, DevicesOption, Mqtt, TlsOption};

/// Refuses TLS without its files, and options of TLS without it, unless it was switched off: `is_said`.
pub(super) fn check_tls(config: &Config, is_said: bool) -> Result<(), ConfigError> {
    let given = [
        ("tls-cert", config.tls_cert.is_some()),
        ("tls-key", config.tls_key.is_some()),
        ("tls-client-ca", config.tls_client_ca.is_some()),
        ("mqtt-tls-listen", config.mqtt_tls_listen.is_some()),
    ];
    match config.tls {
        TlsOption::Files => match given[..2].iter().find(|(_, is_given)| !is_given) {
            Some((missing, _)) => Err(ConfigError::TlsFiles { missing }),
            None => Ok(()),
        },
        TlsOption::Off if !is_said => match given.iter().find(|(_, is_given)| *is_given) {
            Some((option, _)) => Err(ConfigError::WithoutTls { option }),
            None => Ok(()),
        },
        TlsOption::Off | TlsOption::Auto => Ok(()),
    }
}

/// Refuses addresses that other machines reach, where anyone there could do something. Whether there is a user, who has to
/// sign in, is found out at the start.
pub(super) fn check_addresses(config: &Config) -> Result<(), ConfigError> {
    if config.open_to_network {
        return Ok(());
    }
    let devices = config.devices();
    let reached = config.mqtt_listeners().find(|(_, address)| !address.ip().is_loopback());
    if let Some((option, address)) = reached
        && matches!(config.mqtt, Mqtt::Embedded)
        && devices != DevicesOption::Strict
    {
        return Err(ConfigError::MqttToNetwork { option, address, devices });
    }
    if config.open && !config.is_local_only() {
        return Err(ConfigError::OpenBeyond { address: config.listen });
    }
    Ok(())
}
