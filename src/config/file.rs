//! The configuration file.

use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::{ConfigError, Options};

/// Read when no other is named, if it is there.
pub const DEFAULT: &str = "twinhub.toml";

/// The path of the file that is read: the one called `named`, or the default one where it is there.
pub(super) fn path(named: Option<&Path>) -> Option<PathBuf> {
    named.or_else(|| Some(Path::new(DEFAULT)).filter(|path| path.is_file())).map(Path::to_owned)
}

/// Reads the file called `named`, or the default one, which may be missing.
pub(super) fn read(named: Option<&Path>) -> Result<Options, ConfigError> {
    let path = named.unwrap_or(Path::new(DEFAULT));
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            Ok(Options::default())
        }
        Err(source) => Err(ConfigError::Unreadable { path: path.into(), source }),
    }
}

/// The keys of the same file and their values, as they stand there.
///
/// # Errors
/// It cannot be read or understood.
pub fn table(named: Option<&Path>) -> Result<toml::Table, ConfigError> {
    let path = named.unwrap_or(Path::new(DEFAULT));
    match std::fs::read_to_string(path) {
        Ok(text) => parse(path, &text),
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            Ok(toml::Table::new())
        }
        Err(source) => Err(ConfigError::Unreadable { path: path.into(), source }),
    }
}

fn parse<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ConfigError> {
    toml::from_str(text).map_err(|error| {
        let (line, key) = locate(text, error.span().unwrap_or_default());
        let message = error.message().replace('\n', ", ");
        // serde names an unknown key itself; for a bad value it knows the value only.
        let message = match key {
            Some(key) if !message.contains(&format!("`{key}`")) => format!("`{key}`: {message}"),
            _ => message,
        };
        ConfigError::Invalid { path: path.into(), line, message }
    })
}

/// The line, from 1, on which `span` begins, and the key that stands there.
fn locate(text: &str, span: Range<usize>) -> (usize, Option<&str>) {
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.matches('\n').count();
    let key = text.lines().nth(line).and_then(|line| line.split_once('=')).map(|(key, _)| key.trim());
    (line + 1, key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let error = parse::<Options>(Path::new("twinhub.toml"), text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
        assert!(!error.contains('\n'), "{error}");
    }

    #[test]
    fn errors_name_the_file_the_line_and_the_key() {
        check("lisen = '127.0.0.1:80'", "twinhub.toml:1: unknown field `lisen`, expected one of `lan`");
        check("\n# hm\nlisten = 80", "twinhub.toml:3: `listen`: invalid type: integer `80`");
        check("log = 'info'\nretention = 'a while'", "twinhub.toml:2: `retention`: ");
        check("mqtt = 'http://x'", "twinhub.toml:1: `mqtt`: ");
        for count in ["mqtt-connections", "mqtt-sessions", "mqtt-session-messages", "http-connections"] {
            let expected = format!("twinhub.toml:1: `{count}`: invalid value: integer `0`");
            check(&format!("{count} = 0"), &expected);
        }
        check("open = yes", "twinhub.toml:1: ");
        check("listen =", "twinhub.toml:1: ");
    }

    #[test]
    fn every_option_is_a_key() {
        let text = "lan = false\nlisten = '127.0.0.1:1'\ndata-dir = 'd'\ndatabase = 'sqlite:x'\nmqtt = 'mqtt://h'\n\
            mqtt-listen = '127.0.0.1:2'\ntls = 'files'\ntls-cert = 'c'\ntls-key = 'k'\ntls-client-ca = 'a'\nmqtt-tls-listen = '127.0.0.1:3'\nmqtt-connections = 100\nmqtt-payload-limit = '1MiB'\nmqtt-retained-limit = '8MiB'\n\
            mqtt-retained-total = '256MiB'\nmqtt-sessions = 100\nmqtt-session-messages = 100\nmqtt-session-limit = '1MiB'\n\
             mqtt-sessions-total = '256MiB'\nsensor-data-topic = 'plant/+/data'\nsensor-data-device = 'plant'\nmosquitto-files = 'm'\nmosquitto-pid-file = 'p'\ndevices = 'known'\nunknown-devices = 'reject'\ndevice-clock-ahead = '2d'\ndevice-clock-behind = 'never'\nrules = 'r'\ncors = ['http://a']\n\
            hosts = ['hub.example.com']\nhttp-connections = 500\nlog = 'debug'\n\
            log-format = 'json'\nslow-log = 'never'\nbody-limit = '2MiB'\nimport-limit = '1GiB'\nfirmware-limit = '1GB'\nkey-file = 'k'\npublic-url = 'https://h'\nidle-after = 'never'\nfirst-silence = '5m'\nretention = '1d'\n\
            keep-readings = '30d'\nkeep-runs = '90d'\nkeep-commands = '90d'\nkeep-alarms = 'never'\nkeep-events = '700d'\nrule-secrets = ['HOOK']\nwebhook-allow = ['127.0.0.1:9000', 'hooks.local']\nwebhook-private-redirects = true\nregistration = 'open'\ndialect-access = ['002=viewer']\ndialects.003.access = 'viewer'\nweather-key = 'k'\nweather-city = 'Oslo'\nweather-url = 'https://w'\noidc-issuer = 'https://i'\noidc-client-id = 'c'\noidc-client-secret = 's'\noidc-client-secret-file = 'f'\noidc-scopes = ['openid']\n\
            oidc-groups-claim = 'g'\noidc-roles = ['a=admin']\noidc-name = 'n'\nopen = true\nopen-to-network = false\n";
        parse::<Options>(Path::new("twinhub.toml"), text).unwrap();
    }

    #[test]
    fn a_file_that_is_named_must_be_there() {
        let missing = Path::new("/no/such/twinhub.toml");
        assert!(
            read(Some(missing)).unwrap_err().to_string().starts_with("cannot read /no/such/twinhub.toml: ")
        );
    }
}
