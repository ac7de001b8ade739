//! Every option: a flag wins over the environment, the environment over the file; it has an effect, and stands in the
//! README with its default. The list is the program's own, so no option can be left out.

mod broker;
mod effects;
mod keeping;
mod place;

use std::collections::{BTreeMap, BTreeSet};

use clap::{Args as _, Command};
use toml::{Table, Value};
use twinhub::config::Options;

use crate::support::hub::run;

/// BrokerMessage by the file, by the environment and by a flag, as keys of the file have it.
struct OptionRow(&'static str, [&'static str; 3]);

const ROWS: &[OptionRow] = &[
    OptionRow("lan", ["true", "false", "true"]),
    OptionRow("listen", ["'127.0.0.1:1'", "'127.0.0.1:2'", "'127.0.0.1:3'"]),
    OptionRow("data-dir", ["'/d1'", "'/d2'", "'/d3'"]),
    OptionRow("database", ["'sqlite:/1.db'", "'sqlite:/2.db'", "'sqlite:/3.db'"]),
    OptionRow("mqtt", ["'mqtt://h:1'", "'mqtt://h:2'", "'mqtts://h:3'"]),
    OptionRow("mqtt-listen", ["'127.0.0.1:4'", "'127.0.0.1:5'", "'127.0.0.1:6'"]),
    OptionRow("tls", ["'files'", "'auto'", "'off'"]),
    OptionRow("tls-cert", ["'/c1'", "'/c2'", "'/c3'"]),
    OptionRow("tls-key", ["'/k4'", "'/k5'", "'/k6'"]),
    OptionRow("tls-client-ca", ["'/a7'", "'/a8'", "'/a9'"]),
    OptionRow("mqtt-tls-listen", ["'127.0.0.1:7'", "'127.0.0.1:8'", "'127.0.0.1:9'"]),
    OptionRow("mqtt-connections", ["1", "2", "3"]),
    OptionRow("mqtt-payload-limit", ["'1KiB'", "'2KiB'", "'3KiB'"]),
    OptionRow("mqtt-retained-limit", ["'4KiB'", "'5KiB'", "'6KiB'"]),
    OptionRow("mqtt-retained-total", ["'7KiB'", "'8KiB'", "'9KiB'"]),
    OptionRow("mqtt-sessions", ["4", "5", "6"]),
    OptionRow("mqtt-session-messages", ["7", "8", "9"]),
    OptionRow("mqtt-session-limit", ["'1MiB'", "'2MiB'", "'3MiB'"]),
    OptionRow("mqtt-sessions-total", ["'4MiB'", "'5MiB'", "'6MiB'"]),
    OptionRow("sensor-data-topic", ["'a/data'", "'b/data'", "'c/data'"]),
    OptionRow("sensor-data-device", ["'a'", "'b'", "'c'"]),
    OptionRow("devices", ["'known'", "'strict'", "'open'"]),
    OptionRow("mosquitto-files", ["'/m1'", "'/m2'", "'/m3'"]),
    OptionRow("mosquitto-pid-file", ["'/p1'", "'/p2'", "'/p3'"]),
    OptionRow("unknown-devices", ["'reject'", "'accept'", "'reject'"]),
    OptionRow("device-clock-ahead", ["'1h'", "'2h'", "'never'"]),
    OptionRow("device-clock-behind", ["'3d'", "'never'", "'5d'"]),
    OptionRow("rules", ["'/r1'", "'/r2'", "'/r3'"]),
    OptionRow("cors", ["['http://a']", "['http://b', 'null']", "['*']"]),
    OptionRow("hosts", ["['a.example']", "['b.example', '*.c.example']", "['d.example']"]),
    OptionRow("trusted-proxies", ["['10.0.0.1']", "['10.0.0.0/8', '::1']", "['127.0.0.1']"]),
    OptionRow("rate-limit", ["10", "0", "30"]),
    OptionRow("http-connections", ["10", "20", "30"]),
    OptionRow("log", ["'debug'", "'info,sqlx=warn'", "'error'"]),
    OptionRow("log-format", ["'json'", "'text'", "'auto'"]),
    OptionRow("slow-log", ["'1ms'", "'never'", "'2s'"]),
    OptionRow("body-limit", ["'1kB'", "'2kB'", "'3kB'"]),
    OptionRow("key-file", ["'/k1'", "'/k2'", "'/k3'"]),
    OptionRow("firmware-limit", ["'4kB'", "'5kB'", "'6kB'"]),
    OptionRow("public-url", ["'https://a'", "'https://b'", "'https://c'"]),
    OptionRow("import-limit", ["'7kB'", "'8kB'", "'9kB'"]),
    OptionRow("idle-after", ["'1s'", "'never'", "'3s'"]),
    OptionRow("first-silence", ["'4s'", "'5s'", "'6s'"]),
    OptionRow("retention", ["'7s'", "'8s'", "'9s'"]),
    OptionRow("keep-readings", ["'10s'", "'never'", "'12s'"]),
    OptionRow("keep-runs", ["'13s'", "'14s'", "'never'"]),
    OptionRow("keep-commands", ["'15s'", "'never'", "'17s'"]),
    OptionRow("keep-alarms", ["'18s'", "'never'", "'20s'"]),
    OptionRow("keep-events", ["'21s'", "'22s'", "'never'"]),
    OptionRow("audit-retention", ["'30d'", "'never'", "'10d'"]),
    OptionRow("backup-every", ["'1d'", "'never'", "'6h'"]),
    OptionRow("backup-dir", ["'a'", "'b'", "'c'"]),
    OptionRow("backup-keep", ["3", "4", "5"]),
    OptionRow("rule-secrets", ["['A']", "['B', 'C']", "['D']"]),
    OptionRow("webhook-allow", ["['a:1']", "['10.0.0.0/8', 'b']", "['::1']"]),
    OptionRow("webhook-private-redirects", ["true", "false", "true"]),
    OptionRow("registration", ["'open'", "'closed'", "'open'"]),
    OptionRow("dialect-access", ["['002=viewer']", "['000=viewer', '004=operator@hall']", "['001=viewer']"]),
    OptionRow("weather-key", ["'a'", "'b'", "'c'"]),
    OptionRow("weather-city", ["'Oslo'", "'Rome'", "'New York'"]),
    OptionRow("weather-url", ["'https://a'", "'https://b/c'", "'http://127.0.0.1:9'"]),
    OptionRow("oidc-issuer", ["'https://a'", "'https://b/c'", "'http://127.0.0.1:9'"]),
    OptionRow("oidc-client-id", ["'a'", "'b'", "'c'"]),
    OptionRow("oidc-client-secret", ["'a'", "'b'", "'c'"]),
    OptionRow("oidc-client-secret-file", ["'/a'", "'/b'", "'/c'"]),
    OptionRow("oidc-scopes", ["['openid']", "['openid', 'groups']", "['email']"]),
    OptionRow("oidc-groups-claim", ["'a'", "'b.c'", "'https://d/e'"]),
    OptionRow("oidc-roles", ["['a=admin']", "['b=viewer', '*=operator@x+y']", "['c=viewer']"]),
    OptionRow("oidc-name", ["'a'", "'b c'", "'d'"]),
    OptionRow("open", ["true", "false", "true"]),
    OptionRow("open-to-network", ["true", "false", "true"]),
];

/// Options by name, with the defaults that the help tells.
fn options() -> BTreeMap<String, Option<String>> {
    let command = Options::augment_args(Command::new("twinhub"));
    let told = |argument: &clap::Arg| {
        let help = argument.get_help().unwrap().to_string();
        let usual = help.split_once("[default: ").map(|(_, rest)| rest.strip_suffix(']').unwrap().to_owned());
        (argument.get_long().unwrap().to_owned(), usual)
    };
    command.get_arguments().map(told).collect()
}

/// The options that can stand in a file.
fn keys() -> BTreeSet<String> {
    options().into_keys().filter(|name| name != "config").collect()
}

fn value(text: &str) -> Value {
    let table: Table = format!("v = {text}").parse().unwrap();
    table["v"].clone()
}

/// As flags and variables have it.
fn plain(value: &Value) -> String {
    match value {
        Value::Array(values) => values.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// The output of `twinhub config`.
async fn printed(args: &[&str], environment: &[(&str, &str)]) -> String {
    let output = run(&[&["config"], args].concat(), environment).await;
    let (out, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && error.is_empty(), "{error}");
    out
}

/// Each option holds what the place at `index` says, and it is said that it does.
fn check(printed: &str, index: usize, place: &str) {
    let table: Table = printed.parse().unwrap_or_else(|error| panic!("{error}:\n{printed}"));
    for OptionRow(key, values) in ROWS {
        // A secret is not told.
        let expected =
            if ["oidc-client-secret", "weather-key"].contains(key) { "'***'" } else { values[index] };
        assert_eq!(table.get(*key), Some(&value(expected)), "{key} in\n{printed}");
        let line = printed.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
        let told = line.rsplit_once("  # ").unwrap().1.trim_end_matches(", without its password");
        assert!(told == place || told.starts_with(&format!("{place}: TWINHUB_")), "{line}");
    }
}

#[tokio::test]
async fn a_flag_wins_over_the_environment_and_the_environment_over_the_file() {
    let rows: BTreeSet<String> = ROWS.iter().map(|OptionRow(key, _)| (*key).to_owned()).collect();
    assert_eq!(rows, keys(), "each option has a row");
    for OptionRow(key, [file, environment, flag]) in ROWS {
        assert!(file != environment && environment != flag, "{key}");
    }

    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hub.toml");
    let text: String = ROWS.iter().map(|OptionRow(key, [file, ..])| format!("{key} = {file}\n")).collect();
    std::fs::write(&path, text).unwrap();
    let named = ["--config", path.to_str().unwrap()];
    let file = printed(&named, &[]).await;
    check(&file, 0, "file");
    assert!(file.starts_with(&format!("# the file: {}\n", path.display())), "{file}");

    let variables: Vec<(String, String)> = ROWS
        .iter()
        .map(|OptionRow(key, [_, said, _])| {
            (format!("TWINHUB_{}", key.replace('-', "_").to_uppercase()), plain(&value(said)))
        })
        .collect();
    let environment: Vec<(&str, &str)> =
        variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    check(&printed(&named, &environment).await, 1, "environment");

    let flags: Vec<String> =
        ROWS.iter().map(|OptionRow(key, [_, _, said])| format!("--{key}={}", plain(&value(said)))).collect();
    let flags: Vec<&str> = named.into_iter().chain(flags.iter().map(String::as_str)).collect();
    check(&printed(&flags, &environment).await, 2, "flag");
    check(&printed(&flags, &[]).await, 2, "flag");
}

#[tokio::test]
async fn the_file_itself_is_named_by_a_flag_or_the_environment() {
    let dir = tempfile::tempdir().unwrap();
    let [one, other] = ["one.toml", "other.toml"].map(|name| {
        let path = dir.path().join(name);
        std::fs::write(&path, format!("database = 'sqlite:/{name}'\n")).unwrap();
        path.to_str().unwrap().to_owned()
    });
    let database = async |args: &[&str], environment: &[(&str, &str)]| {
        let table: Table = printed(args, environment).await.parse().unwrap();
        table["database"].as_str().unwrap().to_owned()
    };
    let environment = [("TWINHUB_CONFIG", &*one)];
    assert_eq!(database(&[], &environment).await, "sqlite:/one.toml");
    assert_eq!(database(&["--config", &other], &environment).await, "sqlite:/other.toml");
    let url = [("TWINHUB_CONFIG", &*one), ("DATABASE_URL", "sqlite:/url.db")];
    assert_eq!(database(&[], &url).await, "sqlite:/url.db");
    assert!(
        printed(&[], &url).await.contains("database = \"sqlite:/url.db\"  # environment: DATABASE_URL\n")
    );
    assert_eq!(database(&["--database", "sqlite:/flag.db"], &url).await, "sqlite:/flag.db");
}

#[tokio::test]
async fn what_is_printed_hides_passwords_and_can_be_a_file() {
    let secret = ["--mqtt", "mqtt://ann:s3cret@h", "--database", "postgres://ann:s3cret@h/twins"];
    let text = printed(&secret, &[]).await;
    assert!(!text.contains("s3cret"), "{text}");
    assert!(text.contains("mqtt = \"mqtt://ann:***@h:1883\"  # flag, without its password\n"), "{text}");
    assert!(
        text.contains("# http-connections: a third of the file handles, 16384 at most  # default\n"),
        "{text}"
    );

    let first = printed(&["--retention", "36h", "--hosts", "a.example"], &[]).await;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hub.toml");
    std::fs::write(&path, &first).unwrap();
    let again = printed(&["--config", path.to_str().unwrap()], &[]).await;
    let read = |text: &str| text.parse::<Table>().unwrap();
    assert_eq!(read(&again), read(&first));

    let wrong = run(&["config", "--mqtt-listen", "0.0.0.0:1", "--devices", "open"], &[]).await;
    assert_eq!(wrong.status.code(), Some(2), "what would not be served is told");
}

/// The rows of the table that begins with this head, each as its cells.
pub fn rows_of_readme(head: &str) -> Vec<Vec<String>> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let table = readme.split_once(head).unwrap_or_else(|| panic!("no table {head}")).1;
    let rows = table.trim_start().lines().skip(1).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    rows.map(cells).collect()
}

#[tokio::test]
async fn the_readme_has_every_option_with_its_default() {
    let table: Table = printed(&[], &[]).await.parse().unwrap();
    let mut told = BTreeMap::new();
    for cells in rows_of_readme("| option | default | |") {
        let names: Vec<&str> = cells[0].split(", ").map(|name| name.trim_matches('`')).collect();
        let usual = cells[1].replace('`', "");
        // Several options in a row have as many defaults.
        let each: Vec<&str> = if names.len() > 1 { usual.split(", ").collect() } else { vec![&usual] };
        assert_eq!(names.len(), each.len(), "{cells:?}");
        for (name, usual) in names.into_iter().zip(each) {
            assert!(told.insert(name.to_owned(), usual.to_owned()).is_none(), "{name} stands there twice");
        }
    }
    let options = options();
    assert!(
        told.keys().eq(options.keys()),
        "{:?} are in the README, {:?} are options",
        told.keys(),
        options.keys()
    );
    for (name, help) in &options {
        assert_eq!(&told[name], help.as_deref().unwrap_or("none"), "{name}: the README, and the help");
        if let Some(holds) = table.get(name) {
            let holds = Some(plain(holds)).filter(|holds| !holds.is_empty()).unwrap_or("none".into());
            assert_eq!(told[name], holds, "{name}: the README, and what holds");
        }
    }
}
