//! The options, as flags, variables and keys of the file give them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;

use super::dialects::DialectTable;
use super::foreign;
use super::values::{self, DurationValue};
use super::{
    ByteSize, CityName, DevicesOption, DialectAccess, DialectName, DurationOrNever, HostName, LogFilter,
    LogFormat, Mqtt, OidcGroup, PositiveDuration, ProxyNetwork, PublicUrl, RegistrationOption, SensorDevice,
    SensorTopic, TlsOption, UnknownDevicesOption, WeatherUrl, WebOrigin, WebhookPlace,
};

/// The options. None means: not set here.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// The configuration file [default: twinhub.toml, if there is one]
    #[arg(long, env = "TWINHUB_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

    /// Serve the local network: over TLS, with sign-in, and devices with passwords; without a user, the page to make the first one [default: false]
    #[arg(long, env = "TWINHUB_LAN", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub lan: Option<bool>,

    /// Where the page and the API are served [default: 127.0.0.1:8080]
    #[arg(long, env = "TWINHUB_LISTEN", value_name = "ADDRESS")]
    pub listen: Option<SocketAddr>,

    /// The folder that holds everything twinhub keeps [default: data]
    #[arg(long, env = "TWINHUB_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,

    /// The database; DATABASE_URL is read too [default: SQLite in the data folder]
    #[arg(long, env = "TWINHUB_DATABASE", value_name = "URL", hide_env_values = true)]
    pub database: Option<String>,

    /// The broker: `embedded`, or the URL of one that runs, mqtt:// or mqtts:// [default: embedded]
    #[arg(long, env = "TWINHUB_MQTT", value_name = "BROKER", hide_env_values = true)]
    pub mqtt: Option<Mqtt>,

    /// Where the embedded broker listens [default: 127.0.0.1:1883]
    #[arg(long, env = "TWINHUB_MQTT_LISTEN", value_name = "ADDRESS")]
    pub mqtt_listen: Option<SocketAddr>,

    /// The certificate for HTTPS and MQTT over TLS; files where tls-cert is given [default: off]
    #[arg(long, env = "TWINHUB_TLS", value_name = "SOURCE")]
    pub tls: Option<TlsOption>,

    /// The file with the certificate and those that vouch for it, PEM, for `tls = files`
    #[arg(long, env = "TWINHUB_TLS_CERT", value_name = "FILE")]
    pub tls_cert: Option<PathBuf>,

    /// The file with its private key, PEM
    #[arg(long, env = "TWINHUB_TLS_KEY", value_name = "FILE")]
    pub tls_key: Option<PathBuf>,

    /// The file with the authorities that vouch for devices' certificates, and the certificates that they have revoked, PEM
    #[arg(long, env = "TWINHUB_TLS_CLIENT_CA", value_name = "FILE")]
    pub tls_client_ca: Option<PathBuf>,

    /// Where the embedded broker listens for MQTT over TLS [default: with TLS, port 8883 beside mqtt-listen]
    #[arg(long, env = "TWINHUB_MQTT_TLS_LISTEN", value_name = "ADDRESS")]
    pub mqtt_tls_listen: Option<SocketAddr>,

    /// Clients that the embedded broker serves at once; a tenth of the places is kept for devices that the hub knows [default: 10000]
    #[arg(long, env = "TWINHUB_MQTT_CONNECTIONS", value_name = "COUNT", value_parser = values::parse_count)]
    pub mqtt_connections: Option<NonZeroUsize>,

    /// The largest payload that is taken from a device [default: 1MiB]
    #[arg(long, env = "TWINHUB_MQTT_PAYLOAD_LIMIT", value_name = "SIZE")]
    pub mqtt_payload_limit: Option<ByteSize>,

    /// The largest retained message of the embedded broker [default: 8MiB]
    #[arg(long, env = "TWINHUB_MQTT_RETAINED_LIMIT", value_name = "SIZE")]
    pub mqtt_retained_limit: Option<ByteSize>,

    /// The memory of the embedded broker's retained messages, in all [default: 256MiB]
    #[arg(long, env = "TWINHUB_MQTT_RETAINED_TOTAL", value_name = "SIZE")]
    pub mqtt_retained_total: Option<ByteSize>,

    /// Persistent sessions that the embedded broker keeps [default: 10000]
    #[arg(long, env = "TWINHUB_MQTT_SESSIONS", value_name = "COUNT", value_parser = values::parse_count)]
    pub mqtt_sessions: Option<NonZeroUsize>,

    /// Messages that the embedded broker keeps for an absent client [default: 1000]
    #[arg(long, env = "TWINHUB_MQTT_SESSION_MESSAGES", value_name = "COUNT", value_parser = values::parse_count)]
    pub mqtt_session_messages: Option<NonZeroUsize>,

    /// The memory of the messages for an absent client [default: 1MiB]
    #[arg(long, env = "TWINHUB_MQTT_SESSION_LIMIT", value_name = "SIZE")]
    pub mqtt_session_limit: Option<ByteSize>,

    /// The memory of the messages for all absent clients [default: 256MiB]
    #[arg(long, env = "TWINHUB_MQTT_SESSIONS_TOTAL", value_name = "SIZE")]
    pub mqtt_sessions_total: Option<ByteSize>,

    /// The topic of sensors whose messages name no device, or a filter such as plant/+/data [default: sensor/data]
    #[arg(long, env = "TWINHUB_SENSOR_DATA_TOPIC", value_name = "TOPIC")]
    pub sensor_data_topic: Option<SensorTopic>,

    /// The device that their readings are of [default: sensor-data]
    #[arg(long, env = "TWINHUB_SENSOR_DATA_DEVICE", value_name = "ID")]
    pub sensor_data_device: Option<SensorDevice>,

    /// The treatment of MQTT clients without a password, by the embedded broker [default: open on loopback or with open-to-network, else strict]
    #[arg(long, env = "TWINHUB_DEVICES", value_name = "POLICY")]
    pub devices: Option<DevicesOption>,

    /// The folder in which an outside Mosquitto finds its password_file and acl_file, which the hub keeps up to date [default: none]
    #[arg(long, env = "TWINHUB_MOSQUITTO_FILES", value_name = "DIR")]
    pub mosquitto_files: Option<PathBuf>,

    /// The file with Mosquitto's process id, so that it is told when these files change [default: none]
    #[arg(long, env = "TWINHUB_MOSQUITTO_PID_FILE", value_name = "FILE")]
    pub mosquitto_pid_file: Option<PathBuf>,

    /// The treatment of devices that are not registered [default: accept]
    #[arg(long, env = "TWINHUB_UNKNOWN_DEVICES", value_name = "POLICY")]
    pub unknown_devices: Option<UnknownDevicesOption>,

    /// The lead of a device's clock that is still believed, or `never` to believe any [default: 1d]
    #[arg(long, env = "TWINHUB_DEVICE_CLOCK_AHEAD", value_name = "TIME")]
    pub device_clock_ahead: Option<DurationOrNever>,

    /// The age that a reading may have at the registration of its device, or `never` for any age [default: 3652d]
    #[arg(long, env = "TWINHUB_DEVICE_CLOCK_BEHIND", value_name = "TIME")]
    pub device_clock_behind: Option<DurationOrNever>,

    /// The folder with the rule files [default: rules]
    #[arg(long, env = "TWINHUB_RULES", value_name = "DIR")]
    pub rules: Option<PathBuf>,

    /// A web origin whose pages may use the API; may be given several times
    #[arg(long, env = "TWINHUB_CORS", value_name = "ORIGIN", value_delimiter = ',')]
    pub cors: Option<Vec<WebOrigin>>,

    /// A further host name of this hub, besides the machine's own; may be given several times
    #[arg(long, env = "TWINHUB_HOSTS", value_name = "NAME", value_delimiter = ',')]
    pub hosts: Option<Vec<HostName>>,

    /// A reverse proxy whose word about its clients is believed (`Forwarded`, `X-Forwarded-…`): an address or a network; may be given several times
    #[arg(long, env = "TWINHUB_TRUSTED_PROXIES", value_name = "NETWORK", value_delimiter = ',')]
    pub trusted_proxies: Option<Vec<ProxyNetwork>>,

    /// Requests that are taken of each key, user and address in a second, four times as many at once; 0 for no limit [default: 50]
    #[arg(long, env = "TWINHUB_RATE_LIMIT", value_name = "COUNT")]
    pub rate_limit: Option<u32>,

    /// HTTP connections at once [default: a third of the file handles, 16384 at most]
    #[arg(long, env = "TWINHUB_HTTP_CONNECTIONS", value_name = "COUNT", value_parser = values::parse_count)]
    pub http_connections: Option<NonZeroUsize>,

    /// The log: a level, or a filter such as `info,twinhub_mqtt=debug` [default: info]
    #[arg(long, env = "TWINHUB_LOG", value_name = "LEVEL")]
    pub log: Option<LogFilter>,

    /// The format of the log; auto is text on a terminal and JSON elsewhere [default: auto]
    #[arg(long, env = "TWINHUB_LOG_FORMAT", value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,

    /// A message that takes so long from its coming to its acknowledgement is logged with the time of each stage; or `never` [default: 1s]
    #[arg(long, env = "TWINHUB_SLOW_LOG", value_name = "TIME")]
    pub slow_log: Option<DurationOrNever>,

    /// The largest request body that is read: `1MiB`, `512KiB`, or bytes [default: 1MiB]
    #[arg(long, env = "TWINHUB_BODY_LIMIT", value_name = "SIZE")]
    pub body_limit: Option<ByteSize>,

    /// The file with the hub's own key, which seals secrets; hubs of one cluster share it [default: secret.key in the data folder]
    #[arg(long, env = "TWINHUB_KEY_FILE", value_name = "FILE")]
    pub key_file: Option<PathBuf>,

    /// The largest firmware image that is taken in [default: 512MB]
    #[arg(long, env = "TWINHUB_FIRMWARE_LIMIT", value_name = "SIZE")]
    pub firmware_limit: Option<ByteSize>,

    /// Where devices find this server, for firmware that it serves [default: http:// and where it listens]
    #[arg(long, env = "TWINHUB_PUBLIC_URL", value_name = "URL")]
    pub public_url: Option<PublicUrl>,

    /// The largest file that is imported at once [default: 256MiB]
    #[arg(long, env = "TWINHUB_IMPORT_LIMIT", value_name = "SIZE")]
    pub import_limit: Option<ByteSize>,

    /// The time that a twin may be idle before it leaves memory, or `never` [default: 15m, from 100,000 twins on]
    #[arg(long, env = "TWINHUB_IDLE_AFTER", value_name = "TIME")]
    pub idle_after: Option<DurationOrNever>,

    /// After how long a silence a device is offline while fewer than two of its intervals are known [default: 10m]
    #[arg(long, env = "TWINHUB_FIRST_SILENCE", value_name = "TIME")]
    pub first_silence: Option<PositiveDuration>,

    /// The time that a subscriber can go back to resume; a device's list of events goes back further [default: 7d]
    #[arg(long, env = "TWINHUB_RETENTION", value_name = "TIME")]
    pub retention: Option<DurationValue>,

    /// The time that readings are kept, or `never` to keep them for good [default: never]
    #[arg(long, env = "TWINHUB_KEEP_READINGS", value_name = "TIME")]
    pub keep_readings: Option<DurationOrNever>,

    /// The time that runs of rules are kept, the last 1,000 of each rule at most; or `never` for no such time [default: 30d]
    #[arg(long, env = "TWINHUB_KEEP_RUNS", value_name = "TIME")]
    pub keep_runs: Option<DurationOrNever>,

    /// The time that commands are kept since they were asked for, once they came to their end; or `never` [default: 365d]
    #[arg(long, env = "TWINHUB_KEEP_COMMANDS", value_name = "TIME")]
    pub keep_commands: Option<DurationOrNever>,

    /// The time that alarms are kept once they are cleared, or `never` to keep them for good [default: 365d]
    #[arg(long, env = "TWINHUB_KEEP_ALARMS", value_name = "TIME")]
    pub keep_alarms: Option<DurationOrNever>,

    /// The time that events other than readings are kept, or `never` to keep them for good [default: never]
    #[arg(long, env = "TWINHUB_KEEP_EVENTS", value_name = "TIME")]
    pub keep_events: Option<DurationOrNever>,

    /// The time that entries of the audit are kept, or `never` to keep them for good [default: 365d]
    #[arg(long, env = "TWINHUB_AUDIT_RETENTION", value_name = "TIME")]
    pub audit_retention: Option<DurationOrNever>,

    /// The time between two backups that the hub writes by itself, or `never` [default: never]
    #[arg(long, env = "TWINHUB_BACKUP_EVERY", value_name = "TIME")]
    pub backup_every: Option<DurationOrNever>,

    /// The folder of these backups; better one on another disk [default: backups in the data folder]
    #[arg(long, env = "TWINHUB_BACKUP_DIR", value_name = "DIR")]
    pub backup_dir: Option<PathBuf>,

    /// The newest of these backups, so many of which are kept [default: 7]
    #[arg(long, env = "TWINHUB_BACKUP_KEEP", value_name = "COUNT", value_parser = values::parse_count)]
    pub backup_keep: Option<NonZeroUsize>,

    /// An environment variable, beside TWINHUB_SECRET_…, that rules may sign webhooks with; several times
    #[arg(long, env = "TWINHUB_RULE_SECRETS", value_name = "NAME", value_delimiter = ',')]
    pub rule_secrets: Option<Vec<String>>,

    /// A host, address or network where webhooks may go although it is this machine or link-local; several times
    #[arg(long, env = "TWINHUB_WEBHOOK_ALLOW", value_name = "PLACE", value_delimiter = ',')]
    pub webhook_allow: Option<Vec<WebhookPlace>>,

    /// Let webhooks be redirected to private networks, and from https to http [default: false]
    #[arg(long, env = "TWINHUB_WEBHOOK_PRIVATE_REDIRECTS", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub webhook_private_redirects: Option<bool>,

    /// The people who may make an account of their own: nobody, who is invited, or whoever reaches the hub, as an operator [default: closed]
    #[arg(long, env = "TWINHUB_REGISTRATION", value_name = "POLICY")]
    pub registration: Option<RegistrationOption>,

    /// The access of callers without a credential to the routes of another system, `DIALECT=ROLE` or `DIALECT=ROLE@DEVICE-GROUP`, as in 002=viewer; several times
    #[arg(long, env = "TWINHUB_DIALECT_ACCESS", value_name = "ACCESS", value_delimiter = ',')]
    pub dialect_access: Option<Vec<DialectAccess>>,

    /// The same as tables of the file.
    #[arg(skip)]
    pub dialects: Option<BTreeMap<DialectName, DialectTable>>,

    /// The key of the weather service, OpenWeather; OPENWEATHER_API_KEY is read too [default: none, and the weather is made up]
    #[arg(long, env = "TWINHUB_WEATHER_KEY", value_name = "KEY", hide_env_values = true)]
    pub weather_key: Option<String>,

    /// The city whose weather readings are compared with; DEFAULT_CITY is read too [default: London]
    #[arg(long, env = "TWINHUB_WEATHER_CITY", value_name = "NAME")]
    pub weather_city: Option<CityName>,

    /// The address of the weather service: https, or http to this machine [default: https://api.openweathermap.org]
    #[arg(long, env = "TWINHUB_WEATHER_URL", value_name = "URL")]
    pub weather_url: Option<WeatherUrl>,

    /// The identity provider of single sign-on, by the address that it calls itself: https://id.example.com/realms/home
    #[arg(long, env = "TWINHUB_OIDC_ISSUER", value_name = "URL")]
    pub oidc_issuer: Option<String>,

    /// The name of this hub at the provider
    #[arg(long, env = "TWINHUB_OIDC_CLIENT_ID", value_name = "ID")]
    pub oidc_client_id: Option<String>,

    /// The secret of this hub at the provider
    #[arg(long, env = "TWINHUB_OIDC_CLIENT_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub oidc_client_secret: Option<String>,

    /// The file with that secret
    #[arg(long, env = "TWINHUB_OIDC_CLIENT_SECRET_FILE", value_name = "FILE")]
    pub oidc_client_secret_file: Option<PathBuf>,

    /// A scope that the provider is asked for; several times [default: openid,profile,email]
    #[arg(long, env = "TWINHUB_OIDC_SCOPES", value_name = "SCOPE", value_delimiter = ',')]
    pub oidc_scopes: Option<Vec<String>>,

    /// The claim with a person's groups, or a path to it: `realm_access.roles` [default: groups]
    #[arg(long, env = "TWINHUB_OIDC_GROUPS_CLAIM", value_name = "CLAIM")]
    pub oidc_groups_claim: Option<String>,

    /// A group of the provider's and its role here, `GROUP=ROLE` or `GROUP=ROLE@DEVICE-GROUP`; several times, the first that fits counts
    #[arg(long, env = "TWINHUB_OIDC_ROLES", value_name = "GROUP", value_delimiter = ',')]
    pub oidc_roles: Option<Vec<OidcGroup>>,

    /// The provider's name on the sign-in page [default: single sign-on]
    #[arg(long, env = "TWINHUB_OIDC_NAME", value_name = "NAME")]
    pub oidc_name: Option<String>,

    /// Let whoever asks from this machine do everything, also when there are users [default: false]
    #[arg(long, env = "TWINHUB_OPEN", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub open: Option<bool>,

    /// Let anyone in who can reach the addresses, other machines too [default: false]
    #[arg(long, env = "TWINHUB_OPEN_TO_NETWORK", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub open_to_network: Option<bool>,
}

impl Options {
    /// The variable that many programs call a database by, where it is not another one's.
    pub(super) fn database_url() -> Option<String> {
        let url = std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty())?;
        foreign::of_another_program(&url).is_none().then_some(url)
    }
}
