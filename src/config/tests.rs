//! Tests of the configuration as a whole.

use super::*;

fn combine(given: &str, url: Option<&str>, file: &str) -> Result<Config, ConfigError> {
    let parse = |text: &str| toml::from_str::<Options>(text).unwrap();
    let foreign = ForeignEnvironment::of(|name| url.filter(|_| name == "DATABASE_URL").map(Into::into));
    Config::combine(parse(given), foreign, parse(file))
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
    assert_eq!(rules("rules = '/a'", "rules = '/b'"), Path::new("/a"));
    assert_eq!(rules("", "rules = '/b'"), Path::new("/b"));
    assert_eq!(rules("", ""), Path::new("rules"));
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
    let over_tls = "tls = 'auto'\nmqtt-tls-listen = '0.0.0.0:8883'\ndevices = 'known'";
    assert!(text(over_tls).starts_with("--mqtt-tls-listen 0.0.0.0:8883 can be reached"));
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
fn tls_takes_its_files_and_is_asked_for() {
    let config = |text: &str| combine(text, None, "").map_err(|error| error.to_string());
    let both = "tls-cert = 'c'\ntls-key = 'k'";
    assert_eq!(config("").unwrap().mqtt_over_tls(), None);
    let files = config(both).unwrap();
    assert_eq!((files.tls, files.mqtt_over_tls()), (TlsOption::Files, Some(loopback(MQTT_TLS_PORT))));
    let auto = config("tls = 'auto'\nmqtt-listen = '127.0.0.2:1'").unwrap();
    assert_eq!(auto.mqtt_over_tls(), "127.0.0.2:8883".parse().ok());
    let off = config(&format!("tls = 'off'\n{both}\nmqtt-tls-listen = '127.0.0.1:1'")).unwrap();
    assert_eq!((off.tls, off.mqtt_over_tls()), (TlsOption::Off, None));
    for (bad, expected) in [
        ("tls-cert = 'c'", "--tls files takes both --tls-cert and --tls-key, and --tls-key is missing"),
        ("tls = 'files'", "--tls files takes both --tls-cert and --tls-key, and --tls-cert is missing"),
        ("tls-key = 'k'", "--tls-key takes TLS: say --tls auto, or give"),
        ("mqtt-tls-listen = '127.0.0.1:1'", "--mqtt-tls-listen takes TLS: "),
        ("tls-client-ca = 'a'", "--tls-client-ca takes TLS: "),
    ] {
        let error = config(bad).err().unwrap();
        assert!(error.starts_with(expected), "{bad}: {error}");
    }
}

#[test]
fn devices_need_a_password_where_other_machines_reach_the_broker() {
    let devices = |given, file| combine(given, None, file).unwrap().devices();
    assert_eq!(devices("", ""), DevicesOption::Open);
    assert_eq!(devices("mqtt-listen = '0.0.0.0:1883'", ""), DevicesOption::Strict);
    assert_eq!(devices("tls = 'auto'\nmqtt-tls-listen = '0.0.0.0:8883'", ""), DevicesOption::Strict);
    assert_eq!(devices("mqtt-listen = '0.0.0.0:1883'\nopen-to-network = true", ""), DevicesOption::Open);
    assert_eq!(devices("devices = 'strict'", "devices = 'open'"), DevicesOption::Strict);
    assert_eq!(devices("", "devices = 'known'"), DevicesOption::Known);
}

#[test]
fn one_word_serves_the_local_network_and_others_win_over_it() {
    let config = |given, file| combine(given, None, file).unwrap();
    let everywhere = config("lan = true", "");
    assert_eq!((everywhere.listen, everywhere.mqtt_listen), (lan::everywhere(8080), lan::everywhere(1883)));
    assert_eq!(everywhere.mqtt_over_tls(), Some(lan::everywhere(8883)));
    assert_eq!((everywhere.tls, everywhere.devices()), (TlsOption::Auto, DevicesOption::Strict));
    assert!(everywhere.serves_set_up() && !config("", "").serves_set_up());
    assert!(!config("lan = false", "lan = true").lan);

    let file = "listen = '127.0.0.1:1'\nmqtt-listen = '127.0.0.1:2'\nmqtt-tls-listen = '127.0.0.1:3'\ndevices = 'known'";
    let said = config("lan = true", file);
    assert_eq!(
        (said.listen, said.mqtt_listen, said.mqtt_over_tls()),
        (loopback(1), loopback(2), Some(loopback(3)))
    );
    assert_eq!((said.devices(), said.serves_set_up()), (DevicesOption::Known, false));
    let strict = config("lan = true\nmqtt-listen = '127.0.0.1:2'\ntls = 'off'", "");
    assert_eq!((strict.mqtt_over_tls(), strict.devices()), (None, DevicesOption::Strict));
    assert_eq!(config("lan = true\ntls-cert = 'c'\ntls-key = 'k'", "").tls, TlsOption::Files);
    let open = config("lan = true\nopen-to-network = true", "");
    assert_eq!((open.devices(), open.serves_set_up()), (DevicesOption::Open, false));
    assert!(
        combine("lan = true\nopen = true", None, "").is_err(),
        "anyone on the network could do everything"
    );
}

#[test]
fn short_secrets_are_taken_where_no_other_machine_reaches_it() {
    let check = |file: &str, expected: bool| {
        assert_eq!(combine("", None, file).unwrap().takes_short_secrets(), expected, "{file}");
    };
    check("", true);
    check("public-url = 'http://127.0.0.1:8080'", true);
    check("public-url = 'https://twins.example.com'", false);
    check("listen = '0.0.0.0:8080'\nopen-to-network = true", false);
}
