//! The configuration: the options, their sources and their defaults.
//!
//! Every option has one name and three places: a flag, an environment variable, a key of the
//! configuration file. Flags win over the environment, the environment over the file.

mod checks;
mod database;
mod dialects;
mod difference;
mod error;
mod file;
mod foreign;
mod lan;
mod log_filter;
mod network;
mod oidc;
mod options;
mod sensor_data;
mod shown;
mod values;
mod weather;

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use twinhub_actors::slow_messages::SLOW_LOG;
use twinhub_domain::reading::ClockWindow;
use twinhub_mqtt::broker::{RetainedLimits, SessionLimits};
use twinhub_mqtt::dialects::LARGEST_PAYLOAD;

use crate::backup;

pub use database::Database;
pub use dialects::{DialectAccess, DialectName};
pub use error::ConfigError;
pub use file::{DEFAULT as DEFAULT_FILE, table as file_table};
use foreign::ForeignEnvironment;
pub use foreign::{ForeignNote, NAMES as FOREIGN_NAMES};
pub use log_filter::LogFilter;
pub use network::ProxyNetwork;
pub use oidc::{GroupRights, OidcConfig, OidcGroup};
pub use options::Options;
pub use sensor_data::{SensorDevice, SensorTopic};
pub use shown::report;
pub use values::{
    ByteSize, DevicesOption, DurationOrNever, DurationValue, HostName, LogFormat, Mqtt, PositiveDuration,
    PublicUrl, RegistrationOption, TlsOption, UnknownDevicesOption, WebOrigin, WebhookPlace,
};
pub use weather::{CityName, WeatherUrl};

/// The configuration: every option with a value.
#[derive(Clone)]
pub struct Config {
    /// Defaults are those for a local network, and a hub without a user serves the page to make one.
    pub lan: bool,
    pub listen: SocketAddr,
    pub data_dir: PathBuf,
    pub database: Database,
    pub mqtt: Mqtt,
    pub mqtt_listen: SocketAddr,
    pub tls: TlsOption,
    pub tls_cert: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    /// The authorities that vouch for devices' certificates.
    pub tls_client_ca: Option<PathBuf>,
    /// None: by where the broker listens.
    pub mqtt_tls_listen: Option<SocketAddr>,
    pub mqtt_connections: usize,
    /// In bytes, as all limits and totals below.
    pub mqtt_payload_limit: usize,
    pub mqtt_retained_limit: usize,
    pub mqtt_retained_total: usize,
    pub mqtt_sessions: usize,
    pub mqtt_session_messages: usize,
    pub mqtt_session_limit: usize,
    pub mqtt_sessions_total: usize,
    pub sensor_data_topic: SensorTopic,
    pub sensor_data_device: SensorDevice,
    /// None: by where the embedded broker listens; see [`Config::devices`].
    pub devices: Option<DevicesOption>,
    /// None: no outside Mosquitto knows the devices' tokens.
    pub mosquitto_files: Option<PathBuf>,
    pub mosquitto_pid_file: Option<PathBuf>,
    pub unknown_devices: UnknownDevicesOption,
    /// The times of devices that are believed.
    pub window: ClockWindow,
    /// The folder with the rule files. The default one need not be there.
    pub rules: PathBuf,
    pub cors: Vec<WebOrigin>,
    pub hosts: Vec<HostName>,
    pub trusted_proxies: Vec<ProxyNetwork>,
    /// 0: none.
    pub rate_limit: u32,
    /// None: by the file handles that there are.
    pub http_connections: Option<usize>,
    pub log: LogFilter,
    pub log_format: LogFormat,
    /// None: never.
    pub slow_log: Option<Duration>,
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
    /// None: for ever, as of the two below.
    pub keep_commands: Option<Duration>,
    pub keep_alarms: Option<Duration>,
    pub keep_events: Option<Duration>,
    /// None: for good.
    pub audit_retention: Option<Duration>,
    /// None: the hub writes no backups by itself.
    pub backup_every: Option<Duration>,
    /// None: `backups` in the data folder.
    pub backup_dir: Option<PathBuf>,
    pub backup_keep: usize,
    pub rule_secrets: Vec<String>,
    pub webhook_allow: Vec<WebhookPlace>,
    pub webhook_private_redirects: bool,
    pub registration: RegistrationOption,
    /// The rights of callers without a credential, by dialect; of those that are not there they have none.
    pub dialect_access: Vec<DialectAccess>,
    /// None: the weather is made up.
    pub weather_key: Option<String>,
    pub weather_city: CityName,
    pub weather_url: WeatherUrl,
    /// None: there is no single sign-on.
    pub oidc: Option<OidcConfig>,
    pub open: bool,
    pub open_to_network: bool,
    /// The configuration file that was read, if any.
    pub file: Option<PathBuf>,
    /// The settings that were found under the names of other systems.
    pub foreign: Vec<ForeignNote>,
}

const LOOPBACK: Ipv4Addr = Ipv4Addr::LOCALHOST;
const HTTP_PORT: u16 = 8080;
const MQTT_PORT: u16 = 1883;
const MQTT_TLS_PORT: u16 = 8883;
/// Each takes a file handle and some 40 KiB.
const MQTT_CONNECTIONS: usize = 10_000;
/// Ample for a thousand readings in one request, and little enough to hold for each connection.
const BODY_LIMIT: usize = 1 << 20;
/// Systems for small computers are not much larger as a whole.
const FIRMWARE_LIMIT: u64 = 512_000_000;
/// Half a million devices. It is never in memory as a whole.
const IMPORT_LIMIT: usize = 256 << 20;
/// The folder with the rule files where none is named.
pub const RULES: &str = "rules";
const FIRST_SILENCE: Duration = Duration::from_secs(600);
const RETENTION: Duration = Duration::from_secs(7 * 86_400);
/// Backups that are kept.
const BACKUPS: usize = 7;
/// The retention of commands that came to their end, and of cleared alarms.
const KEEP_ENDED: Duration = Duration::from_secs(365 * 86_400);
const AUDIT_RETENTION: Duration = Duration::from_secs(365 * 86_400);
/// A page of devices asks some ten times as it opens, and a program that asks more can be slower or have the option set.
const RATE_LIMIT: u32 = 50;
const KEEP_RUNS: Duration = Duration::from_secs(30 * 86_400);

impl Config {
    /// Puts together what was given on the command line and in the environment (`options`), what stands
    /// in the file, and what holds otherwise.
    ///
    /// # Errors
    /// The file cannot be read or understood, or an address is open to the network and must not be.
    pub fn resolve(options: Options) -> Result<Self, ConfigError> {
        let file = file::read(options.config.as_deref())?;
        let path = file::path(options.config.as_deref());
        Ok(Self { file: path, ..Self::combine(options, ForeignEnvironment::read(), file)? })
    }

    /// The rules folder; none where it is the default one and not there.
    #[must_use]
    pub fn rules_there(&self) -> Option<&Path> {
        Some(self.rules.as_path()).filter(|path| *path != Path::new(RULES) || path.is_dir())
    }

    /// The folder of the backups that the hub writes by itself.
    #[must_use]
    pub fn backups(&self) -> PathBuf {
        self.backup_dir.clone().unwrap_or_else(|| self.data_dir.join(backup::FOLDER))
    }

    fn combine(given: Options, mut foreign: ForeignEnvironment, file: Options) -> Result<Self, ConfigError> {
        macro_rules! said {
            ($field:ident) => {
                given.$field.is_some() || file.$field.is_some()
            };
        }
        let port = foreign.port(said!(listen));
        let broker = foreign.broker(said!(mqtt));
        let topic = foreign.topic(said!(sensor_data_topic));
        let origins = foreign.origins(said!(cors));
        let weather_key = foreign.weather_key(said!(weather_key));
        let weather_city = foreign.weather_city(said!(weather_city));
        let database_url = foreign.database(given.database.is_some(), file.database.is_some());
        let oidc = OidcConfig::combine(&given, &file)?;
        let data_dir = given.data_dir.or(file.data_dir).unwrap_or_else(|| "data".into());
        let database = match given.database.or(database_url).or(file.database) {
            Some(url) => Database::Url(url),
            None => Database::File(data_dir.join("twinhub.db")),
        };
        let (tls, tls_cert) = (given.tls.or(file.tls), given.tls_cert.or(file.tls_cert));
        let lan = given.lan.or(file.lan).unwrap_or_default();
        let open_to_network = given.open_to_network.or(file.open_to_network).unwrap_or_default();
        let usual = if lan { lan::everywhere } else { loopback };
        let retained = RetainedLimits::default();
        let sessions = SessionLimits::default();
        let bytes = |given: Option<ByteSize>, file: Option<ByteSize>, default| {
            given.or(file).map_or(default, |ByteSize(bytes)| bytes)
        };
        let config = Self {
            lan,
            listen: given.listen.or(file.listen).unwrap_or_else(|| usual(port.unwrap_or(HTTP_PORT))),
            mqtt: given.mqtt.or(file.mqtt).or(broker).unwrap_or_default(),
            mqtt_listen: given.mqtt_listen.or(file.mqtt_listen).unwrap_or_else(|| usual(MQTT_PORT)),
            tls: tls.unwrap_or(lan::tls(lan, tls_cert.is_some())),
            tls_cert,
            tls_key: given.tls_key.or(file.tls_key),
            tls_client_ca: given.tls_client_ca.or(file.tls_client_ca),
            mqtt_tls_listen: given
                .mqtt_tls_listen
                .or(file.mqtt_tls_listen)
                .or_else(|| lan.then(|| usual(MQTT_TLS_PORT))),
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
            sensor_data_topic: given
                .sensor_data_topic
                .or(file.sensor_data_topic)
                .or(topic)
                .unwrap_or_default(),
            sensor_data_device: given.sensor_data_device.or(file.sensor_data_device).unwrap_or_default(),
            devices: given.devices.or(file.devices).or_else(|| lan::devices(lan, open_to_network)),
            mosquitto_files: given.mosquitto_files.or(file.mosquitto_files),
            mosquitto_pid_file: given.mosquitto_pid_file.or(file.mosquitto_pid_file),
            unknown_devices: given.unknown_devices.or(file.unknown_devices).unwrap_or_default(),
            window: values::window(
                given.device_clock_ahead.or(file.device_clock_ahead),
                given.device_clock_behind.or(file.device_clock_behind),
            ),
            rules: given.rules.or(file.rules).unwrap_or_else(|| RULES.into()),
            cors: given.cors.or(file.cors).or(origins).unwrap_or_default(),
            hosts: given.hosts.or(file.hosts).unwrap_or_default(),
            trusted_proxies: given.trusted_proxies.or(file.trusted_proxies).unwrap_or_default(),
            rate_limit: given.rate_limit.or(file.rate_limit).unwrap_or(RATE_LIMIT),
            http_connections: given.http_connections.or(file.http_connections).map(NonZeroUsize::get),
            log: given.log.or(file.log).unwrap_or_default(),
            log_format: given.log_format.or(file.log_format).unwrap_or_default(),
            slow_log: given.slow_log.or(file.slow_log).map_or(Some(SLOW_LOG), DurationOrNever::duration),
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
            keep_commands: given
                .keep_commands
                .or(file.keep_commands)
                .map_or(Some(KEEP_ENDED), DurationOrNever::duration),
            keep_alarms: given
                .keep_alarms
                .or(file.keep_alarms)
                .map_or(Some(KEEP_ENDED), DurationOrNever::duration),
            keep_events: given.keep_events.or(file.keep_events).and_then(DurationOrNever::duration),
            audit_retention: given
                .audit_retention
                .or(file.audit_retention)
                .map_or(Some(AUDIT_RETENTION), DurationOrNever::duration),
            backup_every: given.backup_every.or(file.backup_every).and_then(DurationOrNever::duration),
            backup_dir: given.backup_dir.or(file.backup_dir),
            backup_keep: given.backup_keep.or(file.backup_keep).map_or(BACKUPS, NonZeroUsize::get),
            rule_secrets: given.rule_secrets.or(file.rule_secrets).unwrap_or_default(),
            webhook_allow: given.webhook_allow.or(file.webhook_allow).unwrap_or_default(),
            webhook_private_redirects: given
                .webhook_private_redirects
                .or(file.webhook_private_redirects)
                .unwrap_or_default(),
            registration: given.registration.or(file.registration).unwrap_or_default(),
            dialect_access: dialects::combine(given.dialect_access, file.dialect_access, file.dialects)?,
            weather_key: given.weather_key.or(file.weather_key).or(weather_key),
            weather_city: given.weather_city.or(file.weather_city).or(weather_city).unwrap_or_default(),
            weather_url: given.weather_url.or(file.weather_url).unwrap_or_default(),
            oidc,
            open: given.open.or(file.open).unwrap_or_default(),
            open_to_network,
            file: None,
            foreign: foreign.notes,
            data_dir,
            database,
        };
        checks::check_tls(&config, tls.is_some())?;
        checks::check_addresses(&config)?;
        Ok(config)
    }

    /// Do other machines reach the page that makes the first user, and nothing else before there is one?
    #[must_use]
    pub fn serves_set_up(&self) -> bool {
        self.lan && !self.is_local_only() && !self.open_to_network
    }

    /// Is HTTP served to this machine alone?
    #[must_use]
    pub fn is_local_only(&self) -> bool {
        self.listen.ip().is_loopback()
    }

    /// May a password or a secret be short, as nobody but this machine can try them? A proxy that ends TLS in front of the
    /// hub lets the world in, and the public address tells of one.
    #[must_use]
    pub fn takes_short_secrets(&self) -> bool {
        let is_behind_tls = self.public_url.as_deref().is_some_and(|url| url.starts_with("https://"));
        self.is_local_only() && !is_behind_tls
    }

    /// Are HTTP and MQTT served over TLS?
    #[must_use]
    pub fn over_tls(&self) -> bool {
        self.tls != TlsOption::Off
    }

    /// Where the embedded broker listens for MQTT over TLS; none without TLS.
    #[must_use]
    pub fn mqtt_over_tls(&self) -> Option<SocketAddr> {
        let beside = SocketAddr::new(self.mqtt_listen.ip(), MQTT_TLS_PORT);
        self.over_tls().then(|| self.mqtt_tls_listen.unwrap_or(beside))
    }

    /// The listeners of the embedded broker, by the options that set them.
    fn mqtt_listeners(&self) -> impl Iterator<Item = (&'static str, SocketAddr)> {
        let encrypted = self.mqtt_over_tls().map(|address| ("mqtt-tls-listen", address));
        std::iter::once(("mqtt-listen", self.mqtt_listen)).chain(encrypted)
    }

    /// The treatment of MQTT clients without a password, by the embedded broker.
    #[must_use]
    pub fn devices(&self) -> DevicesOption {
        let mut listeners = self.mqtt_listeners();
        let is_open = listeners.all(|(_, address)| address.ip().is_loopback()) || self.open_to_network;
        self.devices.unwrap_or(if is_open { DevicesOption::Open } else { DevicesOption::Strict })
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddrV4::new(LOOPBACK, port).into()
}

#[cfg(test)]
mod tests;
