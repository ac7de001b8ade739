//! `twinhub doctor`: what is wrong is said with what to do about it, and nothing is changed.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::Value;

use crate::support::Mosquitto;
use crate::support::hub::{Installation, run, run_fed};
use crate::support::people::PASSWORD;

async fn doctor(installation: &Installation, words: &[&str]) -> (Option<i32>, String) {
    let place = ["--log", "off", "--data-dir", installation.data.to_str().unwrap()];
    let output = run(&[words, &place].concat(), &[]).await;
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap()).concat();
    (output.status.code(), text)
}

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// The lines that begin so.
fn lines<'a>(text: &'a str, level: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.starts_with(level)).collect()
}

#[tokio::test]
async fn what_is_wrong_is_said_with_what_to_do() {
    let installation = Installation::new();
    let (code, told) = doctor(&installation, &["doctor"]).await;
    assert_eq!((code, lines(&told, "fail")), (Some(0), vec![]), "{told}");
    assert!(!installation.data.exists(), "it changes nothing");

    let hub = installation.start().await;
    let listens = hub.http.to_string();
    let (code, told) = doctor(&installation, &["doctor", "--listen", &listens]).await;
    assert_eq!((code, lines(&told, "fail")), (Some(0), vec![]), "{told}");
    assert!(told.contains("ok    hub: version") && told.contains("is whole"), "{told}");
    assert!(told.contains("warn  users: there is no user: every program and person"), "{told}");
    let (code, told) = doctor(&installation, &["doctor", "--listen", "0.0.0.0:8080"]).await;
    assert_eq!(code, Some(1), "{told}");
    let failures = lines(&told, "fail").join("\n");
    assert!(failures.contains("there is no user, and without one"), "{told}");
    assert!(failures.contains("HTTP is served in clear on 0.0.0.0:8080"), "{told}");
    let other = format!(
        "warn  hub: the one that runs is at http://{listens}, and these options say http://0.0.0.0:8080"
    );
    assert!(told.contains(&other), "{told}");
    hub.terminate().await;

    let data = installation.data.to_str().unwrap();
    let add = ["user", "add", "ann", "--role", "admin", "--password-stdin", "--data-dir", data];
    assert!(run_fed(&add, PASSWORD).await.status.success());
    let rules = installation.data.with_file_name("rules");
    std::fs::create_dir(&rules).unwrap();
    std::fs::write(rules.join("hall.yaml"), "version: 1\nrules:\n  hall:\n    trigers: []\n").unwrap();
    chmod(&installation.data.join("twinhub.db"), 0o644);
    let key = std::fs::read(installation.data.join("secret.key")).unwrap();
    std::fs::remove_file(installation.data.join("secret.key")).unwrap();
    let rules = rules.to_str().unwrap();
    let (code, told) = doctor(&installation, &["doctor", "--rules", rules]).await;
    let failures = lines(&told, "fail").join("\n");
    assert_eq!(code, Some(1), "{told}");
    for expected in [
        "files: others on this machine may read ",
        "secret key: ",
        "secret.key is not there, and the database does not open without it  → put it back",
        "hall.yaml:4",
    ] {
        assert!(failures.contains(expected), "{expected} in {told}");
    }
    let mode = |name: &str| std::fs::metadata(installation.data.join(name)).unwrap().permissions().mode();
    assert_eq!(mode("twinhub.db") & 0o777, 0o644, "it changes nothing");
    assert!(told.lines().last().unwrap().contains(" failures"), "{told}");

    std::fs::write(installation.data.join("secret.key"), key).unwrap();
    chmod(&installation.data.join("secret.key"), 0o600);
    chmod(&installation.data.join("twinhub.db"), 0o600);
    let (code, told) = doctor(&installation, &["doctor", "--json"]).await;
    let report: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(code, Some(0), "{told}");
    let found = report["findings"].as_array().unwrap();
    let users = found.iter().find(|finding| finding["check"] == "users").unwrap();
    assert_eq!((&users["level"], &users["detail"]), (&"ok".into(), &"1 user, 1 admin".into()), "{told}");

    let in_clear = "  listeners: MQTT is served in clear on 0.0.0.0:1883";
    let (code, told) = doctor(&installation, &["doctor", "--lan"]).await;
    assert_eq!((code, lines(&told, "fail")), (Some(0), vec![]), "{told}");
    assert!(told.contains(&format!("warn{in_clear}")) && told.contains("port 8883"), "{told}");
    for otherwise in ["--tls=off", "--mqtt-tls-listen=127.0.0.1:8883"] {
        let (code, told) = doctor(&installation, &["doctor", "--lan", otherwise]).await;
        assert!(code == Some(1) && told.contains(&format!("fail{in_clear}")), "{told}");
    }
}

#[tokio::test]
async fn an_open_broker_is_found_by_doctor_and_hub() {
    let open = Mosquitto::start().await;
    let installation = Installation::new().on_broker(open.address);
    let mqtt = format!("mqtt://{}", open.address);
    let (code, told) = doctor(&installation, &["doctor", "--mqtt", &mqtt]).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains(&format!("fail  broker: anybody who reaches {mqtt} may publish there")), "{told}");
    let hub = installation.start().await;
    hub.logs("anybody who reaches the broker may publish there").await;
    let warning = &hub.json("/health").await["parts"]["mqtt"]["warning"];
    assert!(warning.as_str().unwrap().starts_with("anybody who reaches the broker"), "{warning}");

    // One that lets strangers in, and publish nothing; and one that lets none in.
    let dir = tempfile::tempdir().unwrap();
    let acl = dir.path().join("acl");
    std::fs::write(&acl, "topic read public/#\n").unwrap();
    let reading = Mosquitto::with(&format!("acl_file {}\n", acl.display())).await;
    let mqtt = format!("mqtt://{}", reading.address);
    let (code, told) = doctor(&Installation::new(), &["doctor", "--mqtt", &mqtt]).await;
    assert!(code == Some(0) && told.contains("lets in clients without a password"), "{told}");
    let closed = Mosquitto::with("allow_anonymous false\n").await;
    let mqtt = format!("mqtt://{}", closed.address);
    let (code, told) = doctor(&Installation::new(), &["doctor", "--mqtt", &mqtt]).await;
    assert!(code == Some(0) && told.contains(&format!("ok    broker: {mqtt} asks for a password")), "{told}");
    let (code, told) = doctor(&Installation::new(), &["doctor", "--mqtt", "mqtt://127.0.0.1:1"]).await;
    assert!(code == Some(1) && told.contains("mqtt://127.0.0.1:1 cannot be reached"), "{told}");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_is_the_first_thing_to_mend() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hub.toml");
    std::fs::write(&file, "lisen = '127.0.0.1:80'\n").unwrap();
    let output = run(&["doctor", "--config", file.to_str().unwrap()], &[]).await;
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(2), "{told}");
    assert!(
        told.contains("fail  configuration: ") && told.contains("hub.toml:1: unknown field `lisen`"),
        "{told}"
    );

    std::fs::write(&file, "mqtt = 'mqtt://ann:s3cret@127.0.0.1:1'\n").unwrap();
    chmod(&file, 0o644);
    let output = run(&["doctor", "--config", file.to_str().unwrap()], &[]).await;
    let told = String::from_utf8(output.stdout).unwrap();
    assert!(told.contains("hub.toml has a password in it, and others on this machine may read it"), "{told}");
    assert!(!told.contains("s3cret"), "{told}");
}
