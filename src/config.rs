//! The configuration: the options, their sources and their defaults.
//!
//! Every option has one name and three places: a flag, an environment variable, a key of the
//! configuration file. Flags win over the environment, the environment over the file.

mod database;
mod difference;
mod file;
mod log_filter;
mod network;
mod shown;
mod values;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;
use twinhub_domain::reading::ClockWindow;
use twinhub_mqtt::broker::{RetainedLimits, SessionLimits};
use twinhub_mqtt::dialects::LARGEST_PAYLOAD;

pub use database::Database;
pub use file::{DEFAULT as DEFAULT_FILE, table as file_table};
pub use log_filter::LogFilter;
pub use network::Network;
pub use shown::report;
pub use values::{
    ByteSize, DevicesOption, DurationOrNever, DurationValue, HostName, LogFormat, Mqtt, PositiveDuration,
    PublicUrl, RegistrationOption, UnknownDevicesOption, WebOrigin, WebhookPlace,
};

/// The options. None means: not set here.
#[derive(Args, Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Options {
    /// The configuration file [default: twinhub.toml, if there is one]
    #[arg(long, env = "TWINHUB_CONFIG", value_name = "FILE")]
    #[serde(skip)]
    pub config: Option<PathBuf>,

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

    /// The folder with the rule files [default: rules, if there is one]
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
    pub trusted_proxies: Option<Vec<Network>>,

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

    /// The time that entries of the audit are kept, or `never` to keep them for good [default: 365d]
    #[arg(long, env = "TWINHUB_AUDIT_RETENTION", value_name = "TIME")]
    pub audit_retention: Option<DurationOrNever>,

    /// An environment variable, beside TWINHUB_SECRET_…, that rules may sign webhooks with; several times
    #[arg(long, env = "TWINHUB_RULE_SECRETS", value_name = "NAME", value_delimiter = ',')]
    pub rule_secrets: Option<Vec<String>>,

    /// A host, address or network where webhooks may go although it is this machine or link-local; several times
    #[arg(long, env = "TWINHUB_WEBHOOK_ALLOW", value_name = "PLACE", value_delimiter = ',')]
    pub webhook_allow: Option<Vec<WebhookPlace>>,

    /// Let webhooks be redirected to private networks, and from https to http [default: false]
    #[arg(long, env = "TWINHUB_WEBHOOK_PRIVATE_REDIRECTS", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub webhook_private_redirects: Option<bool>,

    /// The people who may make an account of their own: nobody, or whoever reaches the hub, as an operator [default: closed]
    #[arg(long, env = "TWINHUB_REGISTRATION", value_name = "POLICY")]
    pub registration: Option<RegistrationOption>,

    /// Let whoever asks from this machine do everything, also when there are users [default: false]
    #[arg(long, env = "TWINHUB_OPEN", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub open: Option<bool>,

    /// Let anyone in who can reach the addresses, other machines too [default: false]
    #[arg(long, env = "TWINHUB_OPEN_TO_NETWORK", value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub open_to_network: Option<bool>,
}

/// The configuration: every option with a value.
#[derive(Clone)]
pub struct Config {
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub database: Database,
    pub mqtt: Mqtt,
    pub mqtt_listen: SocketAddr,
    pub mqtt_connections: usize,
    /// In bytes, as all limits and totals below.
    pub mqtt_payload_limit: usize,
    pub mqtt_retained_limit: usize,
    pub mqtt_retained_total: usize,
    pub mqtt_sessions: usize,
    pub mqtt_session_messages: usize,
    pub mqtt_session_limit: usize,
    pub mqtt_sessions_total: usize,
    /// None: by where the embedded broker listens; see [`Config::devices`].
    pub devices: Option<DevicesOption>,
    /// None: no outside Mosquitto knows the devices' tokens.
    pub mosquitto_files: Option<PathBuf>,
    pub mosquitto_pid_file: Option<PathBuf>,
    pub unknown_devices: UnknownDevicesOption,
    /// The times of devices that are believed.
    pub window: ClockWindow,
    /// The folder with the rule files; none: there are none.
    pub rules: Option<PathBuf>,
    pub cors: Vec<WebOrigin>,
    pub hosts: Vec<HostName>,
    pub trusted_proxies: Vec<Network>,
    /// 0: none.
    pub rate_limit: u32,
    /// None: by the file handles that there are.
    pub http_connections: Option<usize>,
    pub log: LogFilter,
    pub log_format: LogFormat,
    /// In bytes.
    pub body_limit: usize,
    /// None: the one in the data folder.
    pub key_file: Option<PathBuf>,
    /// In bytes.
    pub firmware_limit: u64,
    /// None: by where it listens.
    pub public_url: Option<String>,
    pub import_limit: usize,
    /// None: as the hub thinks fit.
    pub idle_after: Option<DurationOrNever>,
    pub first_silence: Duration,
    pub retention: Duration,
    /// None: for good.
    pub keep_readings: Option<Duration>,
    /// The longest there is: whatever their age.
    pub keep_runs: Duration,
    /// None: for good.
    pub audit_retention: Option<Duration>,
    pub rule_secrets: Vec<String>,
    pub webhook_allow: Vec<WebhookPlace>,
    pub webhook_private_redirects: bool,
    pub registration: RegistrationOption,
    pub open: bool,
    pub open_to_network: bool,
}

/// The fault of a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {}: {source}", path.display())]
    Unreadable { path: PathBuf, source: std::io::Error },
    /// `message` names the key.
    #[error("{}:{line}: {message}", path.display())]
    Invalid { path: PathBuf, line: usize, message: String },
    #[error(
        "--mqtt-listen {address} can be reached by other machines, and with --devices {} anyone there could speak for \
         devices that have no password: leave --devices out (it is strict there), use a loopback address such as \
         127.0.0.1, or say --open-to-network if that is what you want",
        devices.word()
    )]
    MqttToNetwork { address: SocketAddr, devices: DevicesOption },
    #[error(
        "--open lets in whoever asks from this machine, and --listen {address} can be reached by other machines: leave \
         one of them out, or say --open-to-network to let anyone in"
    )]
    OpenBeyond { address: SocketAddr },
}

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;
const HTTP_PORT: u16 = 8080;
const MQTT_PORT: u16 = 1883;
/// Each takes a file handle and some 40 KiB.
const MQTT_CONNECTIONS: usize = 10_000;
/// Ample for a thousand readings in one request, and little enough to hold for each connection.
const BODY_LIMIT: usize = 1 << 20;
/// Whole systems for small computers are not much larger.
const FIRMWARE_LIMIT: u64 = 512_000_000;
/// Half a million devices. It is never in memory as a whole.
const IMPORT_LIMIT: usize = 256 << 20;
/// The folder that is looked for where none is named.
pub const RULES: &str = "rules";
const FIRST_SILENCE: Duration = Duration::from_secs(600);
const RETENTION: Duration = Duration::from_secs(7 * 86_400);
const AUDIT_RETENTION: Duration = Duration::from_secs(365 * 86_400);
/// A page of devices asks some ten times as it opens, and a program that asks more can be slower or have the option set.
const RATE_LIMIT: u32 = 50;
const KEEP_RUNS: Duration = Duration::from_secs(30 * 86_400);

impl Options {
    /// The variable that other programs call a database by.
    fn database_url() -> Option<String> {
        std::env::var("DATABASE_URL").ok().filter(|url| !url.is_empty())
    }
}

impl Config {
    /// Puts together what was given on the command line and in the environment (`options`), what stands
    /// in the file, and what holds otherwise.
    ///
    /// # Errors
    /// The file cannot be read or understood, or an address is open to the network and must not be.
    pub fn resolve(options: Options) -> Result<Self, ConfigError> {
        let file = file::read(options.config.as_deref())?;
        Self::combine(options, Options::database_url(), file)
    }

    fn combine(given: Options, database_url: Option<String>, file: Options) -> Result<Self, ConfigError> {
        let data_dir = given.data_dir.or(file.data_dir).unwrap_or_else(|| "data".into());
        let database = match given.database.or(database_url).or(file.database) {
            Some(url) => Database::Url(url),
            None => Database::File(data_dir.join("twinhub.db")),
        };
        let retained = RetainedLimits::default();
        let sessions = SessionLimits::default();
        let bytes = |given: Option<ByteSize>, file: Option<ByteSize>, default| {
            given.or(file).map_or(default, |ByteSize(bytes)| bytes)
        };
        let config = Self {
            listen: given.listen.or(file.listen).unwrap_or_else(|| loopback(HTTP_PORT)),
            mqtt: given.mqtt.or(file.mqtt).unwrap_or_default(),
            mqtt_listen: given.mqtt_listen.or(file.mqtt_listen).unwrap_or_else(|| loopback(MQTT_PORT)),
            mqtt_connections: given
                .mqtt_connections
                .or(file.mqtt_connections)
                .map_or(MQTT_CONNECTIONS, NonZeroUsize::get),
            mqtt_payload_limit: bytes(given.mqtt_payload_limit, file.mqtt_payload_limit, LARGEST_PAYLOAD),
            mqtt_retained_limit: bytes(given.mqtt_retained_limit, file.mqtt_retained_limit, retained.message),
            mqtt_retained_total: bytes(given.mqtt_retained_total, file.mqtt_retained_total, retained.total),
            mqtt_sessions: given
                .mqtt_sessions
                .or(file.mqtt_sessions)
                .map_or(sessions.count, NonZeroUsize::get),
            mqtt_session_messages: given
                .mqtt_session_messages
                .or(file.mqtt_session_messages)
                .map_or(sessions.messages, NonZeroUsize::get),
            mqtt_session_limit: bytes(given.mqtt_session_limit, file.mqtt_session_limit, sessions.bytes),
            mqtt_sessions_total: bytes(given.mqtt_sessions_total, file.mqtt_sessions_total, sessions.total),
            devices: given.devices.or(file.devices),
            mosquitto_files: given.mosquitto_files.or(file.mosquitto_files),
            mosquitto_pid_file: given.mosquitto_pid_file.or(file.mosquitto_pid_file),
            unknown_devices: given.unknown_devices.or(file.unknown_devices).unwrap_or_default(),
            window: values::window(
                given.device_clock_ahead.or(file.device_clock_ahead),
                given.device_clock_behind.or(file.device_clock_behind),
            ),
            rules: given
                .rules
                .or(file.rules)
                .or_else(|| Some(RULES.into()).filter(|path: &PathBuf| path.is_dir())),
            cors: given.cors.or(file.cors).unwrap_or_default(),
            hosts: given.hosts.or(file.hosts).unwrap_or_default(),
            trusted_proxies: given.trusted_proxies.or(file.trusted_proxies).unwrap_or_default(),
            rate_limit: given.rate_limit.or(file.rate_limit).unwrap_or(RATE_LIMIT),
            http_connections: given.http_connections.or(file.http_connections).map(NonZeroUsize::get),
            log: given.log.or(file.log).unwrap_or_default(),
            log_format: given.log_format.or(file.log_format).unwrap_or_default(),
            body_limit: given.body_limit.or(file.body_limit).map_or(BODY_LIMIT, |ByteSize(bytes)| bytes),
            key_file: given.key_file.or(file.key_file),
            firmware_limit: given
                .firmware_limit
                .or(file.firmware_limit)
                .map_or(FIRMWARE_LIMIT, |ByteSize(bytes)| bytes as u64),
            public_url: given.public_url.or(file.public_url).map(|PublicUrl(url)| url),
            import_limit: given
                .import_limit
                .or(file.import_limit)
                .map_or(IMPORT_LIMIT, |ByteSize(bytes)| bytes),
            idle_after: given.idle_after.or(file.idle_after),
            first_silence: given
                .first_silence
                .or(file.first_silence)
                .map_or(FIRST_SILENCE, |PositiveDuration(time)| time),
            retention: given.retention.or(file.retention).map_or(RETENTION, |DurationValue(time)| time),
            keep_readings: given.keep_readings.or(file.keep_readings).and_then(DurationOrNever::duration),
            keep_runs: given
                .keep_runs
                .or(file.keep_runs)
                .map_or(KEEP_RUNS, |limit| limit.duration().unwrap_or(Duration::MAX)),
            audit_retention: given
                .audit_retention
                .or(file.audit_retention)
                .map_or(Some(AUDIT_RETENTION), DurationOrNever::duration),
            rule_secrets: given.rule_secrets.or(file.rule_secrets).unwrap_or_default(),
            webhook_allow: given.webhook_allow.or(file.webhook_allow).unwrap_or_default(),
            webhook_private_redirects: given
                .webhook_private_redirects
                .or(file.webhook_private_redirects)
                .unwrap_or_default(),
            registration: given.registration.or(file.registration).unwrap_or_default(),
            open: given.open.or(file.open).unwrap_or_default(),
            open_to_network: given.open_to_network.or(file.open_to_network).unwrap_or_default(),
            data_dir,
            database,
        };
        config.check_addresses()?;
        Ok(config)
    }

    /// Is HTTP served to this machine alone?
    #[must_use]
    pub fn is_local_only(&self) -> bool {
        self.listen.ip().is_loopback()
    }

    /// The treatment of MQTT clients without a password, by the embedded broker.
    #[must_use]
    pub fn devices(&self) -> DevicesOption {
        let is_open = self.mqtt_listen.ip().is_loopback() || self.open_to_network;
        self.devices.unwrap_or(if is_open { DevicesOption::Open } else { DevicesOption::Strict })
    }

    /// Refuses what would let anyone in unless the user knows and says so. Whether there is a user, who has to sign in,
    /// is found out at the start.
    fn check_addresses(&self) -> Result<(), ConfigError> {
        if self.open_to_network {
            return Ok(());
        }
        let (address, devices) = (self.mqtt_listen, self.devices());
        let is_reached = matches!(self.mqtt, Mqtt::Embedded) && !address.ip().is_loopback();
        if is_reached && devices != DevicesOption::Strict {
            return Err(ConfigError::MqttToNetwork { address, devices });
        }
        if self.open && !self.is_local_only() {
            return Err(ConfigError::OpenBeyond { address: self.listen });
        }
        Ok(())
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddrV4::new(LOOPBACK, port).into()
}

#[cfg(test)]
mod tests;
