//! The difference of two configurations, by the keys of their options.

use toml::Table;

use super::{Config, Database, Options};

/// A field's name as a key.
fn key(field: &str) -> String {
    field.replace('_', "-")
}

impl Config {
    /// The keys of which the values differ, in order. What is written differently and means the same does not.
    #[must_use]
    pub fn differs_in(&self, other: &Self) -> Vec<String> {
        let secrets = self.addresses_that_differ_from(other);
        let options =
            self.shown().into_iter().zip(other.shown()).filter(|(one, other)| one.value != other.value);
        let mut keys: Vec<&str> = options.map(|(one, _)| one.key).chain(secrets).collect();
        keys.sort_unstable();
        keys.dedup();
        keys.into_iter().map(Into::into).collect()
    }

    /// The keys of addresses that differ, be it in the password, which is not shown.
    fn addresses_that_differ_from(&self, other: &Self) -> impl Iterator<Item = &'static str> {
        let is_named = |config: &Self| matches!(config.database, Database::Url(_));
        let secret = |config: &Self| config.oidc.as_ref().and_then(|oidc| oidc.secret().map(str::to_owned));
        // Without a database of its own the data folder has it, which differs itself then.
        let database = is_named(self) && is_named(other) && self.database != other.database;
        [
            ("database", database),
            ("mqtt", self.mqtt != other.mqtt),
            ("public-url", self.public_url != other.public_url),
            ("oidc-client-secret", secret(self) != secret(other)),
            ("weather-key", self.weather_key != other.weather_key),
        ]
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(key, _)| key)
    }
}

impl Options {
    /// The keys of `file` that do not count, because a flag or the environment says something else; in order.
    #[must_use]
    pub fn override_in(&self, file: &Table) -> Vec<String> {
        let mut keys = self.given();
        if Self::database_url().is_some() {
            keys.push("database".into());
        }
        if self.dialect_access.is_some() {
            keys.push("dialects".into()); // the tables say the same
        }
        keys.retain(|key| file.contains_key(key));
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// The keys of what is set here.
    fn given(&self) -> Vec<String> {
        macro_rules! given {
            ($($field:ident),* $(,)?) => {{
                // Each field is named, so that none is forgotten.
                let Self { config: _, $($field),* } = self;
                [$((key(stringify!($field)), $field.is_some())),*]
            }};
        }
        let all = given!(
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
            device_clock_ahead,
            device_clock_behind,
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
            dialects,
            weather_key,
            weather_city,
            weather_url,
            oidc_issuer,
            oidc_client_id,
            oidc_client_secret,
            oidc_client_secret_file,
            oidc_scopes,
            oidc_groups_claim,
            oidc_roles,
            oidc_name,
            open,
            open_to_network,
        );
        all.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| key).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ForeignEnvironment;

    fn options(text: &str) -> Options {
        toml::from_str(text).unwrap()
    }

    fn check(given: &str, before: &str, now: &str, expected: &[&str]) {
        let config =
            |file| Config::combine(options(given), ForeignEnvironment::default(), options(file)).unwrap();
        assert_eq!(
            config(now).differs_in(&config(before)),
            expected,
            "{before:?} and {now:?} with {given:?}"
        );
    }

    #[test]
    fn what_holds_is_compared_and_not_what_is_written() {
        let (before, now) =
            ("log = 'info'\nretention = '7d'\ncors = ['http://a']", "log = 'debug'\nretention = '1d'");
        check("", before, now, &["cors", "log", "retention"]);
        check("", before, before, &[]);
        check("log = 'warn'", before, now, &["cors", "retention"]);
        check("", "retention = '7d'\nbody-limit = '1MiB'", "retention = '168h'\nbody-limit = '1024KiB'", &[]);
        check("", "", "log = 'info'\nretention = '7d'\nunknown-devices = 'accept'", &[]);
    }

    #[test]
    fn a_password_is_a_difference_too() {
        check("", "mqtt = 'mqtt://a:one@h'", "mqtt = 'mqtt://a:two@h'", &["mqtt"]);
        check("", "database = 'sqlite:a'\nmqtt = 'mqtt://a:one@h'", "mqtt = 'mqtt://a:one@h'", &["database"]);
        check("", "open = true", "open-to-network = true", &["open", "open-to-network"]);
    }

    #[test]
    fn joined_keys_are_told_apart() {
        check("", "", "device-clock-behind = 'never'", &["device-clock-behind"]);
        check("", "data-dir = 'a'", "data-dir = 'b'", &["data-dir"]);
        check("", "database = 'sqlite:a'", "database = 'sqlite:b'", &["database"]);
        check("", "", "database = 'sqlite:b'", &["database"]);
    }

    #[test]
    fn keys_of_the_file_that_do_not_count_are_named() {
        let file: Table = "log = 'debug'\nretention = '1d'\nopen-to-network = true".parse().unwrap();
        let given = options("log = 'info'\ncors = ['*']\nopen-to-network = false");
        assert_eq!(given.override_in(&file), ["log", "open-to-network"]);
        assert!(Options::default().override_in(&file).is_empty());
    }
}
