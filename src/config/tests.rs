//! Tests of the configuration as a whole.

use super::*;

fn combine(given: &str, url: Option<&str>, file: &str) -> Result<Config, ConfigError> {
    let parse = |text: &str| toml::from_str::<Options>(text).unwrap();
    Config::combine(parse(given), url.map(Into::into), parse(file))
}

#[test]
fn what_is_given_wins_over_the_file() {
    let config = combine("listen = '127.0.0.1:1'", None, "listen = '127.0.0.1:2'\nlog = 'debug'").unwrap();
    assert_eq!(config.listen, loopback(1));
    assert_eq!(config.log.as_str(), "debug");
    assert_eq!(config.mqtt_listen, loopback(MQTT_PORT));
}

#[test]
fn runs_are_kept_for_a_month_by_default() {
    let keep = |given, file| combine(given, None, file).unwrap().keep_runs;
    assert_eq!(keep("", ""), Duration::from_hours(30 * 24));
    assert_eq!(keep("keep-runs = '2d'", "keep-runs = 'never'"), Duration::from_hours(48));
    assert_eq!(keep("", "keep-runs = 'never'"), Duration::MAX);
}

#[test]
fn the_window_of_device_clocks_can_be_set() {
    let window = |given, file| combine(given, None, file).unwrap().window;
    assert_eq!(window("", ""), ClockWindow::default());
    let both = window("device-clock-ahead = '2h'", "device-clock-behind = 'never'");
    assert_eq!(both, ClockWindow { ahead_ms: 7_200_000, behind_ms: i64::MAX });
}

#[test]
fn rules_are_read_from_the_configured_folder() {
    let rules = |given, file| combine(given, None, file).unwrap().rules;
    assert_eq!(rules("rules = '/a'", "rules = '/b'"), Some("/a".into()));
    assert_eq!(rules("", "rules = '/b'"), Some("/b".into()));
}

#[test]
fn the_database_lies_in_the_data_folder_unless_a_url_says_otherwise() {
    let database = |given, url, file| combine(given, url, file).unwrap().database;
    let Database::File(path) = database("data-dir = '/d'", None, "") else { panic!("a file") };
    assert_eq!(path, PathBuf::from("/d/twinhub.db"));
    assert_eq!(Database::File("/50% off?/t.db".into()).url(), "sqlite:///50%25 off%3F/t.db?mode=rwc");
    let Database::Url(url) = database("", Some("sqlite:a"), "database = 'sqlite:b'") else { panic!("a URL") };
    assert_eq!(url, "sqlite:a");
    let Database::Url(url) = database("database = 'sqlite:c'", Some("sqlite:a"), "") else { panic!("a URL") };
    assert_eq!(url, "sqlite:c");
    let shown = Database::Url("postgres://ann:secret@h/twinhub".into()).to_string();
    assert_eq!(shown, "postgres://h/twinhub");
}

#[test]
fn an_address_that_others_can_reach_has_to_be_asked_for() {
    let text = |given: &str| combine(given, None, "").err().unwrap().to_string();
    for devices in ["open", "known"] {
        let options = format!("mqtt-listen = '[::]:1883'\ndevices = '{devices}'");
        let text = text(&options);
        assert!(text.starts_with("--mqtt-listen [::]:1883 can be reached"), "{text}");
        assert!(text.contains(&format!("with --devices {devices} anyone")), "{text}");
    }
    assert!(text("listen = '0.0.0.0:80'\nopen = true").starts_with("--open lets in"));
    for taken in [
        "listen = '0.0.0.0:80'\nopen = true\nopen-to-network = true",
        "mqtt-listen = '0.0.0.0:80'\nopen-to-network = true",
        "mqtt-listen = '0.0.0.0:80'\nopen-to-network = true\ndevices = 'known'",
        "mqtt-listen = '0.0.0.0:80'",
        "mqtt-listen = '0.0.0.0:80'\ndevices = 'strict'",
        "mqtt-listen = '0.0.0.0:80'\nmqtt = 'mqtt://h'",
        "listen = '0.0.0.0:80'", // that there is a user is found out at the start
        "listen = '[::1]:80'\nopen = true",
    ] {
        assert!(combine(taken, None, "").is_ok(), "{taken}");
    }
}

#[test]
fn devices_need_a_password_where_other_machines_reach_the_broker() {
    let devices = |given, file| combine(given, None, file).unwrap().devices();
    assert_eq!(devices("", ""), DevicesOption::Open);
    assert_eq!(devices("mqtt-listen = '0.0.0.0:1883'", ""), DevicesOption::Strict);
    assert_eq!(devices("mqtt-listen = '0.0.0.0:1883'\nopen-to-network = true", ""), DevicesOption::Open);
    assert_eq!(devices("devices = 'strict'", "devices = 'open'"), DevicesOption::Strict);
    assert_eq!(devices("", "devices = 'known'"), DevicesOption::Known);
}
