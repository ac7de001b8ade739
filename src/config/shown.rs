//! The configuration as `twinhub config` prints it: a configuration file with the source of each value.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args as _, Command, ValueEnum};
use toml::{Table, Value};
use twinhub_domain::duration::duration_text;
use twinhub_mqtt::link::BrokerAddress;
use url::Url;

use super::{Config, ConfigError, Database, DurationOrNever, ForeignNote, Mqtt, OidcConfig, Options, file};

/// The text in the place of a password.
const HIDDEN: &str = "***";
const UNITS_OF_SIZE: [(&str, u64); 6] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
];

/// The value of an option, without passwords.
pub(super) struct ShownOption {
    pub key: &'static str,
    /// None: it is found out at the start.
    pub value: Option<Value>,
    /// A password was left out of it.
    hides: bool,
}

/// All options but `config`, a line each: the value in `config`, and its source in `given` or in the file `named` (or the
/// usual one).
///
/// # Errors
/// The file cannot be read or understood.
pub fn report(config: &Config, given: &ArgMatches, named: Option<&Path>) -> Result<String, ConfigError> {
    let read = file::table(named)?;
    let path = named.unwrap_or(Path::new(file::DEFAULT));
    let mut text = match path.exists() {
        true => format!("# the file: {}\n", std::path::absolute(path).unwrap_or(path.into()).display()),
        false => "# there is no configuration file\n".to_owned(),
    };
    let usual = usual();
    for ShownOption { key, value, hides } in config.shown() {
        let place = source(key, given, &read, &config.foreign);
        let hidden = if hides { ", without its password" } else { "" };
        let _ = match value {
            Some(value) => writeln!(text, "{key} = {value}  # {place}{hidden}"),
            None => writeln!(text, "# {key}: {}  # {place}", usual.get(key).map_or("none", |usual| usual)),
        };
    }
    Ok(text.trim_end().to_owned())
}

/// The default values, as the help has them.
fn usual() -> HashMap<String, String> {
    let command = Options::augment_args(Command::new("twinhub"));
    let default = |argument: &clap::Arg| {
        let help = argument.get_help()?.to_string();
        let usual = help.split_once("[default: ")?.1.strip_suffix(']')?.to_owned();
        Some((argument.get_long()?.to_owned(), usual))
    };
    command.get_arguments().filter_map(default).collect()
}

/// Where the value of an option comes from.
fn source(key: &str, given: &ArgMatches, file: &Table, foreign: &[ForeignNote]) -> String {
    let variable = format!("TWINHUB_{}", key.replace('-', "_").to_uppercase());
    let taken = foreign.iter().find(|note| note.option == key && note.refused.is_none());
    match (given.value_source(&key.replace('-', "_")), taken) {
        (Some(ValueSource::CommandLine), _) => "flag".into(),
        (Some(ValueSource::EnvVariable), _) => format!("environment: {variable}"),
        (_, Some(note)) => format!("environment: {}", note.variables),
        _ if key == "dialect-access" && file.contains_key("dialects") => "file".into(),
        _ if file.contains_key(key) => "file".into(),
        _ => "default".into(),
    }
}

fn text(value: impl ToString) -> Value {
    Value::String(value.to_string())
}

fn path(value: &Path) -> Value {
    text(value.display())
}

fn word(value: impl ValueEnum) -> Value {
    text(value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned()))
}

fn count(value: usize) -> Value {
    Value::Integer(i64::try_from(value).unwrap_or(i64::MAX))
}

fn list<T>(values: &[T], show: impl Fn(&T) -> String) -> Value {
    Value::Array(values.iter().map(|value| Value::String(show(value))).collect())
}

fn span(time: Duration) -> Value {
    text(duration_text(i64::try_from(time.as_millis()).unwrap_or(i64::MAX)))
}

fn limit(time: Option<Duration>) -> Value {
    time.map_or_else(|| text("never"), span)
}

/// A number of milliseconds of which the greatest is `never`.
fn window(millis: i64) -> Value {
    limit(u64::try_from(millis).ok().filter(|_| millis != i64::MAX).map(Duration::from_millis))
}

/// In the unit of which it is the fewest.
fn size(bytes: u64) -> Value {
    let fits = UNITS_OF_SIZE.iter().filter(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    let fewest = fits.min_by_key(|(_, unit)| bytes / unit);
    text(fewest.map_or(format!("{bytes}B"), |(name, unit)| format!("{}{name}", bytes / unit)))
}

/// A URL without its password, and whether it has one.
fn without_password(url: &str) -> (String, bool) {
    let Ok(mut parsed) = Url::parse(url) else { return (url.to_owned(), false) };
    if parsed.password().is_none() || parsed.set_password(Some(HIDDEN)).is_err() {
        return (url.to_owned(), false);
    }
    (parsed.to_string(), true)
}

/// A broker's address without its password, and whether it has one.
fn broker(mqtt: &Mqtt) -> (String, bool) {
    let Mqtt::Broker(address) = mqtt else { return ("embedded".into(), false) };
    let BrokerAddress { credentials: Some((user, password)), .. } = address else {
        return (address.to_string(), false);
    };
    let Ok(mut url) = Url::parse(&address.to_string()) else { return (address.to_string(), true) };
    let hides = !password.is_empty();
    let is_set = url.set_username(user).and_then(|()| url.set_password(hides.then_some(HIDDEN)));
    (if is_set.is_ok() { url.to_string() } else { address.to_string() }, hides)
}

impl Config {
    /// Every option but `config`, in the order of the help.
    pub(super) fn shown(&self) -> Vec<ShownOption> {
        // Each field is named, so that none is forgotten.
        let Self {
            lan,
            listen,
            data_dir,
            database,
            mqtt,
            mqtt_listen,
            tls,
            tls_cert,
            tls_key,
            tls_client_ca,
            mqtt_tls_listen,
            mqtt_connections,
            mqtt_payload_limit,
            mqtt_retained_limit,
            mqtt_retained_total,
            mqtt_sessions,
            mqtt_session_messages,
            mqtt_session_limit,
            mqtt_sessions_total,
            sensor_data_topic,
            sensor_data_device,
            devices,
            mosquitto_files,
            mosquitto_pid_file,
            unknown_devices,
            window: clocks,
            rules,
            cors,
            hosts,
            trusted_proxies,
            rate_limit,
            http_connections,
            log,
            log_format,
            slow_log,
            body_limit,
            key_file,
            firmware_limit,
            public_url,
            import_limit,
            idle_after,
            first_silence,
            retention,
            keep_readings,
            keep_runs,
            keep_commands,
            keep_alarms,
            keep_events,
            audit_retention,
            backup_every,
            backup_dir,
            backup_keep,
            rule_secrets,
            webhook_allow,
            webhook_private_redirects,
            registration,
            dialect_access,
            weather_key,
            weather_city,
            weather_url,
            oidc,
            open,
            open_to_network,
            file: _,
            foreign: _,
        } = self;
        let bytes = |value: &usize| Some(size(*value as u64));
        let url = |url: &str| {
            let (url, hides) = without_password(url);
            (Some(text(url)), hides)
        };
        let (database, database_hides) = match database {
            Database::File(_) => (None, false),
            Database::Url(database) => url(database),
        };
        let (public_url, public_url_hides) = public_url.as_deref().map_or((None, false), url);
        let (mqtt, mqtt_hides) = broker(mqtt);
        let of_oidc = |value: fn(&OidcConfig) -> Option<Value>| oidc.as_ref().and_then(value);
        let all = [
            ("lan", Some(Value::Boolean(*lan))),
            ("listen", Some(text(listen))),
            ("data-dir", Some(path(data_dir))),
            ("database", database),
            ("mqtt", Some(text(mqtt))),
            ("mqtt-listen", Some(text(mqtt_listen))),
            ("tls", Some(word(*tls))),
            ("tls-cert", tls_cert.as_deref().map(path)),
            ("tls-key", tls_key.as_deref().map(path)),
            ("tls-client-ca", tls_client_ca.as_deref().map(path)),
            ("mqtt-tls-listen", mqtt_tls_listen.map(text)),
            ("mqtt-connections", Some(count(*mqtt_connections))),
            ("mqtt-payload-limit", bytes(mqtt_payload_limit)),
            ("mqtt-retained-limit", bytes(mqtt_retained_limit)),
            ("mqtt-retained-total", bytes(mqtt_retained_total)),
            ("mqtt-sessions", Some(count(*mqtt_sessions))),
            ("mqtt-session-messages", Some(count(*mqtt_session_messages))),
            ("mqtt-session-limit", bytes(mqtt_session_limit)),
            ("mqtt-sessions-total", bytes(mqtt_sessions_total)),
            ("sensor-data-topic", Some(text(sensor_data_topic))),
            ("sensor-data-device", Some(text(sensor_data_device))),
            ("devices", devices.map(word)),
            ("mosquitto-files", mosquitto_files.as_deref().map(path)),
            ("mosquitto-pid-file", mosquitto_pid_file.as_deref().map(path)),
            ("unknown-devices", Some(word(*unknown_devices))),
            ("device-clock-ahead", Some(window(clocks.ahead_ms))),
            ("device-clock-behind", Some(window(clocks.behind_ms))),
            ("rules", Some(path(rules))),
            ("cors", Some(list(cors, |origin| origin.0.clone()))),
            ("hosts", Some(list(hosts, ToString::to_string))),
            ("trusted-proxies", Some(list(trusted_proxies, ToString::to_string))),
            ("rate-limit", Some(Value::Integer(i64::from(*rate_limit)))),
            ("http-connections", http_connections.map(count)),
            ("log", Some(text(log))),
            ("log-format", Some(word(*log_format))),
            ("slow-log", Some(limit(*slow_log))),
            ("body-limit", bytes(body_limit)),
            ("key-file", key_file.as_deref().map(path)),
            ("firmware-limit", Some(size(*firmware_limit))),
            ("public-url", public_url),
            ("import-limit", bytes(import_limit)),
            ("idle-after", idle_after.map(|after| limit(DurationOrNever::duration(after)))),
            ("first-silence", Some(span(*first_silence))),
            ("retention", Some(span(*retention))),
            ("keep-readings", Some(limit(*keep_readings))),
            ("keep-runs", Some(limit(Some(*keep_runs).filter(|time| *time != Duration::MAX)))),
            ("keep-commands", Some(limit(*keep_commands))),
            ("keep-alarms", Some(limit(*keep_alarms))),
            ("keep-events", Some(limit(*keep_events))),
            ("audit-retention", Some(limit(*audit_retention))),
            ("backup-every", Some(limit(*backup_every))),
            ("backup-dir", backup_dir.as_deref().map(path)),
            ("backup-keep", Some(count(*backup_keep))),
            ("rule-secrets", Some(list(rule_secrets, Clone::clone))),
            ("webhook-allow", Some(list(webhook_allow, ToString::to_string))),
            ("webhook-private-redirects", Some(Value::Boolean(*webhook_private_redirects))),
            ("registration", Some(word(*registration))),
            ("dialect-access", Some(list(dialect_access, ToString::to_string))),
            ("weather-key", weather_key.as_ref().map(|_| text(HIDDEN))),
            ("weather-city", Some(text(weather_city))),
            ("weather-url", Some(text(weather_url))),
            ("oidc-issuer", of_oidc(|oidc| Some(text(&oidc.issuer)))),
            ("oidc-client-id", of_oidc(|oidc| Some(text(&oidc.client_id)))),
            ("oidc-client-secret", of_oidc(|oidc| oidc.client_secret.as_ref().map(|_| text(HIDDEN)))),
            ("oidc-client-secret-file", of_oidc(|oidc| oidc.client_secret_file.as_deref().map(path))),
            ("oidc-scopes", of_oidc(|oidc| Some(list(&oidc.scopes, Clone::clone)))),
            ("oidc-groups-claim", of_oidc(|oidc| Some(text(&oidc.groups_claim)))),
            ("oidc-roles", of_oidc(|oidc| Some(list(&oidc.groups, ToString::to_string)))),
            ("oidc-name", of_oidc(|oidc| Some(text(&oidc.name)))),
            ("open", Some(Value::Boolean(*open))),
            ("open-to-network", Some(Value::Boolean(*open_to_network))),
        ];
        let secret_hides = oidc.as_ref().is_some_and(|oidc| oidc.client_secret.is_some());
        let hiding = [
            ("oidc-client-secret", secret_hides),
            ("weather-key", weather_key.is_some()),
            ("database", database_hides),
            ("mqtt", mqtt_hides),
            ("public-url", public_url_hides),
        ];
        let hides = |key| hiding.contains(&(key, true));
        all.into_iter().map(|(key, value)| ShownOption { key, value, hides: hides(key) }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ForeignEnvironment;

    fn printed(file: &str) -> String {
        let config =
            Config::combine(Options::default(), ForeignEnvironment::default(), toml::from_str(file).unwrap())
                .unwrap();
        let line = |ShownOption { key, value, .. }: ShownOption| Some(format!("{key} = {}\n", value?));
        config.shown().into_iter().filter_map(line).collect()
    }

    #[test]
    fn what_is_printed_is_a_file_that_means_the_same() {
        for file in [
            "",
            "idle-after = '90s'\nretention = '36h'\nbody-limit = '1000001'\nkeep-runs = 'never'\nrules = 'r'",
            "listen = '[::1]:80'\nwebhook-allow = ['10.0.0.0/8', 'h:9']\nhosts = ['*.b.example']\nopen = true",
            "lan = true\nlisten = '127.0.0.1:80'",
            "device-clock-behind = 'never'\nmqtt = 'mqtts://ann@h'\nfirst-silence = '1ms'\nlog = 'a=debug,info'",
        ] {
            let config = |text| {
                Config::combine(
                    Options::default(),
                    ForeignEnvironment::default(),
                    toml::from_str(text).unwrap(),
                )
                .unwrap()
            };
            let printed = printed(file);
            assert!(
                config(&printed).differs_in(&config(file)).is_empty(),
                "{file} was printed as\n{printed}"
            );
        }
    }

    #[test]
    fn values_are_printed_in_the_unit_that_people_would_use() {
        let check = |value: Value, expected: &str| assert_eq!(value.as_str(), Some(expected));
        check(span(Duration::from_hours(7 * 24)), "7d");
        check(span(Duration::from_secs(5_400)), "1h 30m");
        check(span(Duration::ZERO), "0s");
        check(size(512_000_000), "512MB");
        check(size(1 << 20), "1MiB");
        check(size(1_000_001), "1000001B");
    }

    #[test]
    fn passwords_are_hidden() {
        let file = "database = 'postgres://ann:s3cret@h/twins'\nmqtt = 'mqtt://ann:s3cret@h'\n\
                    public-url = 'https://ann:s3cret@hub.example.com'";
        let printed = printed(file);
        assert!(!printed.contains("s3cret"), "{printed}");
        for line in [
            "database = \"postgres://ann:***@h/twins\"",
            "mqtt = \"mqtt://ann:***@h:1883\"",
            "public-url = \"https://ann:***@hub.example.com/\"",
        ] {
            assert!(printed.contains(line), "{line} is not in\n{printed}");
        }
    }
}
