//! The settings of the parts of the application, by its configuration.

use std::net::SocketAddr;
use std::sync::Arc;

use twinhub_actors::accounts::directory::DialectAccount;
use twinhub_actors::accounts::{AccountSettings, RegistrationPolicy};
use twinhub_actors::identities::DevicesPolicy;
use twinhub_actors::ingress::UnknownDevicePolicy;
use twinhub_actors::webhook_destinations::WebhookDestinations;
use twinhub_actors::{Hub, Settings};
use twinhub_mqtt::RunsOn;
use twinhub_mqtt::broker::{BrokerSettings, RetainedLimits, SessionLimits, TlsListener};
use twinhub_mqtt::dialects::AddedDialects;
use twinhub_mqtt::dialects::iamis::Iamis;
use twinhub_rules::file::SecretNames;
use twinhub_store::sql::Keeping;
use twinhub_tls::ServerTls;

use crate::config::{self, Config, DurationOrNever, Mqtt};
use crate::http::AnonymousAccess;

pub(crate) fn broker_settings(config: &Config, tls: Option<&Arc<ServerTls>>) -> BrokerSettings {
    BrokerSettings {
        listen: config.mqtt_listen,
        tls: config
            .mqtt_over_tls()
            .zip(tls)
            .map(|(listen, tls)| TlsListener { listen, tls: Arc::clone(tls) }),
        most_clients: config.mqtt_connections,
        largest_payload: config.mqtt_payload_limit,
        retained: RetainedLimits { message: config.mqtt_retained_limit, total: config.mqtt_retained_total },
        sessions: SessionLimits {
            count: config.mqtt_sessions,
            messages: config.mqtt_session_messages,
            bytes: config.mqtt_session_limit,
            total: config.mqtt_sessions_total,
        },
        ..BrokerSettings::default()
    }
}

/// The threads of a link to devices: the actors', where they share theirs.
pub(crate) fn runs_on(hub: &Hub, own: RunsOn) -> RunsOn {
    hub.runtime.clone().map_or(own, RunsOn::Shared)
}

/// Bytes of a payload that come through either link, which are started with this configuration: they take packets of
/// twice the limit, so that the ingress can say what was too large.
pub(crate) fn largest_payload(config: &Config) -> usize {
    config.mqtt_payload_limit.saturating_mul(2)
}

/// The retention periods.
pub(crate) fn keeping(config: &Config) -> Keeping {
    Keeping {
        journal: config.retention,
        readings: config.keep_readings,
        runs: config.keep_runs,
        commands: config.keep_commands,
        alarms: config.keep_alarms,
        events: config.keep_events,
    }
}

/// Where webhooks may go, from a hub that listens there.
pub(crate) fn destinations(config: &Config, listeners: &[SocketAddr]) -> WebhookDestinations {
    let public_address = config.public_url.as_deref().and_then(|url| url::Url::parse(url).ok());
    let public_address =
        public_address.and_then(|url| Some((url.host_str()?.to_owned(), url.port_or_known_default()?)));
    WebhookDestinations {
        allow: config.webhook_allow.iter().map(|place| place.allowed.clone()).collect(),
        listeners: listeners.to_vec(),
        public_address,
        private_redirects: config.webhook_private_redirects,
    }
}

/// The treatment of MQTT clients without a password.
pub(crate) fn devices(config: &Config) -> DevicesPolicy {
    match config.devices() {
        config::DevicesOption::Open => DevicesPolicy::Open,
        config::DevicesOption::Known => DevicesPolicy::Known,
        config::DevicesOption::Strict => DevicesPolicy::Strict,
    }
}

pub(crate) fn unknown_devices(config: &Config) -> UnknownDevicePolicy {
    match config.unknown_devices {
        config::UnknownDevicesOption::Accept => UnknownDevicePolicy::Accept,
        config::UnknownDevicesOption::Reject => UnknownDevicePolicy::Reject,
    }
}

/// The dialects of devices beside those that every hub speaks.
fn dialects(config: &Config) -> AddedDialects {
    let (topic, device) = (config.sensor_data_topic.0.clone(), config.sensor_data_device.0.clone());
    AddedDialects::default().with(Iamis::new(topic, device))
}

/// The permissions of callers without a credential.
pub(crate) fn anonymous(config: &Config) -> AnonymousAccess {
    match (config.is_local_only(), config.open, config.open_to_network) {
        (true, true, _) => AnonymousAccess::here(),
        (false, _, true) => AnonymousAccess::all(),
        (true, false, _) => AnonymousAccess::until_set_up(),
        (false, _, false) => AnonymousAccess::public(),
    }
}

/// Sign-in and registration by the configuration.
pub(crate) fn accounts(config: &Config) -> AccountSettings {
    AccountSettings {
        registration: match config.registration {
            config::RegistrationOption::Closed => RegistrationPolicy::Closed,
            config::RegistrationOption::Invite => RegistrationPolicy::Invite,
            config::RegistrationOption::Open => RegistrationPolicy::Open,
        },
        only_loopback: config.takes_short_secrets(),
        over_tls: config.over_tls(),
    }
}

pub(crate) fn settings(config: &Config) -> Settings {
    let mut settings = Settings {
        devices: devices(config),
        unknown_devices: unknown_devices(config),
        rules: Some(config.rules.clone()),
        window: config.window,
        first_silence: config.first_silence,
        slow_log: config.slow_log,
        secrets: SecretNames::with(&config.rule_secrets),
        broker_tells: matches!(config.mqtt, Mqtt::Embedded),
        dialect_accounts: config
            .dialect_access
            .iter()
            .map(|access| DialectAccount::new(access.dialect.number(), access.role, &access.scope()))
            .collect(),
        accounts: accounts(config),
        dialects: dialects(config),
        keep_audit: config.audit_retention,
        ..Settings::default()
    };
    // An operator who says how long does not want to wait for a hundred thousand twins.
    match config.idle_after {
        Some(DurationOrNever::After(time)) => (settings.idle_after, settings.idle_above) = (Some(time), 0),
        Some(DurationOrNever::Never) => settings.idle_after = None,
        None => {}
    }
    settings
}
