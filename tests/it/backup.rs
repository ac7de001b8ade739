//! Backups: of one moment while messages come in, whole again elsewhere, and none that is half or damaged is taken for one.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::firmware::images;
use crate::support::hub::{Installation, run, start};
use crate::support::people::Person;
use crate::support::{Dice, HubProcess, MqttDevice, WebSocketSession, eventually, within};

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs the program, which must end with `code`, and gives what it said.
async fn says(args: &[&str], code: i32) -> String {
    let output = run(args, &[]).await;
    let said =
        format!("{}{}", String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    said
}

async fn back_up(installation: &Installation, to: &Path) -> String {
    says(&["backup", text(to), "--data-dir", text(&installation.data)], 0).await
}

/// The events of all devices up to `seq`, as text.
async fn events(hub: &HubProcess, seq: u64) -> Vec<Value> {
    let mut live = WebSocketSession::connect(hub.http).await;
    live.send(&json!({ "type": "subscribe", "id": "s", "since": 0 })).await;
    assert_eq!(live.next().await.unwrap()["type"], "subscribed");
    let mut events: Vec<Value> = Vec::new();
    while events.last().is_none_or(|last| last["seq"].as_u64().unwrap() < seq) {
        let event = within("an event", live.next()).await.unwrap();
        if event["type"] == "event" {
            events.push(event);
        }
    }
    events
}

/// The place in the sequence that `backup` names.
fn place(said: &str) -> u64 {
    let (_, rest) = said.split_once("up to event ").unwrap();
    rest.split(',').next().unwrap().trim().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_it_is_of_one_moment_and_comes_back_whole() {
    let folder = TempDir::new().unwrap();
    let installation = Installation::new();
    let hub = installation.start().await;
    let (status, image) = images::upload(&hub, "version=1&model=P", vec![7; 300_000]).await;
    assert_eq!(status.as_u16(), 201);
    hub.post("/api/groups", &json!({ "id": "hall", "name": "Hall" })).await;
    hub.post("/api/devices", &json!({ "device_id": "pump", "name": "Pump", "group_id": "hall" })).await;
    hub.post("/api/devices/pump/commands", &json!({ "command_type": "start" })).await;
    let rule = json!({ "id": "bell", "triggers": [{ "every": "1h" }],
        "actions": [{ "desired": "pump", "set": { "n": 0 } }] });
    let said = hub.post("/api/automation/rules", &rule).await;
    assert!(said.status().is_success(), "{}", said.text().await.unwrap());

    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "pump").await.unwrap();
    let (stop, mut stopped) = tokio::sync::watch::channel(false);
    let talking = tokio::spawn(async move {
        let mut said = 0_u64;
        while !*stopped.borrow_and_update() {
            device.say("iot/devices/pump/data", &json!({ "n": said }).to_string()).await;
            said += 1;
        }
        said
    });
    let backup = folder.path().join("hub.tar");
    let said = back_up(&installation, &backup).await;
    stop.send_replace(true);
    assert!(talking.await.unwrap() > 0, "it took readings in meanwhile");
    assert!(said.contains("with the hub's key"), "{said}");
    assert_eq!(backup.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
    assert_eq!(names, ["hub.tar"], "nothing else is left");

    let whole = says(&["verify", text(&backup)], 0).await;
    let seq = place(&said);
    assert!(whole.contains("whole: ") && whole.contains(&format!("up to event {seq}")), "{whole}");
    let restored = folder.path().join("restored");
    says(&["restore", text(&backup), text(&restored)], 0).await;
    let other = Installation::at(&restored).start().await;
    let (before, after) = (events(&hub, seq).await, events(&other, seq).await);
    let until = before.iter().position(|event| event["seq"].as_u64().unwrap() == seq).unwrap() + 1;
    assert_eq!(after[..until.min(after.len())], before[..until], "event by event");
    for path in ["/api/groups", "/api/automation/rules", "/api/commands", "/api/firmware"] {
        let (mut mine, mut its) = (hub.json(path).await, other.json(path).await);
        // The command may have gone to the device after the backup.
        for list in [&mut mine, &mut its] {
            let commands = list.as_array_mut().into_iter().flatten();
            commands.for_each(|one| one.as_object_mut().unwrap().retain(|name, _| name.ends_with("id")));
        }
        assert_eq!(its, mine, "{path}");
    }
    let file = format!("/api/firmware/{}/file", image["id"].as_str().unwrap());
    assert_eq!(other.get(&file).await.bytes().await.unwrap().to_vec(), vec![7; 300_000]);
}

#[tokio::test]
async fn who_could_sign_in_still_can_and_sealed_secrets_open() {
    let folder = TempDir::new().unwrap();
    let installation = Installation::new();
    let hub = installation.start().await;
    let ann = Person::first(&hub, "ann").await;
    let (key, _) = ann.make_key(&hub, "viewer").await;
    let backup = folder.path().join("hub.tar");
    back_up(&installation, &backup).await;
    let bare = folder.path().join("bare.tar");
    let said =
        says(&["backup", text(&bare), "--without-key", "--data-dir", text(&installation.data)], 0).await;
    assert!(said.contains("WITHOUT the hub's key"), "{said}");

    let asks = async |data: &Path| {
        let hub = Installation::at(data).start().await;
        let asked = hub
            .request(reqwest::Method::GET, "/api/devices")
            .header("Authorization", format!("Bearer {key}"));
        asked.send().await.unwrap().status().as_u16()
    };
    let restored = folder.path().join("restored");
    says(&["restore", text(&backup), text(&restored)], 0).await;
    assert_eq!(asks(&restored).await, 200);
    let keyless = folder.path().join("keyless");
    let said = says(&["restore", text(&bare), text(&keyless)], 0).await;
    assert!(said.contains("put the file secret.key of then into the folder"), "{said}");
    assert!(!keyless.join("secret.key").exists());
    std::fs::copy(installation.data.join("secret.key"), keyless.join("secret.key")).unwrap();
    assert_eq!(asks(&keyless).await, 200);
}

/// Kills `args` at a random moment of the time that it takes, `rounds` times; `look` is what must be true after each.
async fn killed(rounds: u32, args: &[&str], mut prepare: impl FnMut(), mut look: impl AsyncFnMut()) {
    let mut dice = Dice::new();
    let begun = Instant::now();
    prepare();
    says(args, 0).await;
    let whole = u64::try_from(begun.elapsed().as_micros()).unwrap();
    for _ in 0..rounds {
        prepare();
        let program = start(args);
        let _ = tokio::time::timeout(Duration::from_micros(dice.below(whole)), std::future::pending::<()>())
            .await;
        program.kill().await;
        look().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_in_the_middle_it_leaves_nothing_that_is_taken_for_whole() {
    let folder = TempDir::new().unwrap();
    let installation = Installation::new();
    let hub = installation.start().await;
    images::upload(&hub, "version=1&model=P", vec![7; 16 << 20]).await;
    let backup = folder.path().join("hub.tar");
    let data = text(&installation.data).to_owned();
    let args = ["backup", text(&backup), "--data-dir", &data];
    let remove = || drop(std::fs::remove_file(&backup));
    killed(8, &args, remove, async || {
        if backup.exists() {
            says(&["verify", text(&backup)], 0).await;
        }
    })
    .await;
    remove();
    says(&args, 0).await; // whatever was left
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

    let restored = folder.path().join("restored");
    let args = ["restore", text(&backup), text(&restored)];
    let remove = || drop(std::fs::remove_dir_all(&restored));
    killed(8, &args, remove, async || {
        let is_whole = restored.join("firmware").exists() && !restored.join("restore-unfinished").exists();
        let has_begun = std::fs::read_dir(&restored).is_ok_and(|mut files| files.next().is_some());
        if has_begun && !is_whole {
            let free = ["--listen", "127.0.0.1:0", "--mqtt-listen", "127.0.0.1:0", "--data-dir"];
            let said = says(&[&free[..], &[text(&restored)]].concat(), 2).await;
            assert!(said.contains("not restored to its end"), "{said}");
            let said = says(&args, 2).await;
            assert!(said.contains("remove that folder"), "{said}");
        }
    })
    .await;
}

#[tokio::test]
async fn each_damaged_byte_is_found() {
    let folder = TempDir::new().unwrap();
    let installation = Installation::new();
    let hub = installation.start().await;
    hub.post("/api/devices", &json!({ "device_id": "pump", "name": "Pump" })).await;
    let backup = folder.path().join("hub.tar");
    back_up(&installation, &backup).await;
    let whole = std::fs::read(&backup).unwrap();
    let mut dice = Dice::new();
    let mut places: BTreeMap<usize, &str> = (0..10)
        .map(|_| (usize::try_from(dice.below(whole.len() as u64 - 4_096)).unwrap() + 2_048, "chance"))
        .collect();
    places.insert(whole.len() / 2, "the database");
    let damaged = folder.path().join("damaged.tar");
    for (place, name) in places {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x10;
        std::fs::write(&damaged, &bytes).unwrap();
        let output = run(&["verify", text(&damaged)], &[]).await;
        let said = String::from_utf8(output.stderr).unwrap();
        // What fills a file up to the next block is nobody's.
        let is_padding = bytes[place] == 0x10 && output.status.success();
        assert!(is_padding || said.contains("damaged"), "{name} at {place}: {said}");
        if !is_padding {
            let to = folder.path().join("restored");
            let said = says(&["restore", text(&damaged), text(&to)], 1).await;
            assert!(said.contains("damaged") && !to.exists(), "{said}");
        }
    }
    let cut = &whole[..whole.len() * 2 / 3];
    std::fs::write(&damaged, cut).unwrap();
    assert!(says(&["verify", text(&damaged)], 1).await.contains("damaged"));
}

#[tokio::test]
async fn other_files_are_neither_overwritten_nor_taken_for_backups() {
    let folder = TempDir::new().unwrap();
    let installation = Installation::new();
    let mine = folder.path().join("mine");
    std::fs::write(&mine, "mine").unwrap();
    let to = ["backup", text(&mine), "--data-dir", text(&installation.data)];
    assert!(says(&to, 2).await.contains("is there already"));
    assert_eq!(std::fs::read(&mine).unwrap(), b"mine");
    let into = folder.path().join("into");
    for args in [&["verify", text(&mine)][..], &["restore", text(&mine), text(&into)]] {
        assert!(says(args, 2).await.contains("is no backup of twinhub"), "{args:?}");
    }
    let there = says(&["backup", text(folder.path()), "--data-dir", text(&installation.data)], 2).await;
    assert!(there.contains("there is no database"), "{there}");

    let hub = installation.start().await;
    let said = says(&["backup", text(folder.path()), "--data-dir", text(&installation.data)], 0).await;
    assert!(
        said.contains("/twinhub-20") && said.contains("Z.tar: "),
        "a folder gets a file with its time: {said}"
    );
    let backup = said.split(": ").next().unwrap().to_owned();
    let said = says(&["restore", &backup, text(&installation.data)], 2).await;
    assert!(said.contains("a backup is restored into an empty folder"), "{said}");
    assert_eq!(hub.json("/health").await["status"], "healthy");
}

#[tokio::test]
async fn the_hub_writes_backups_by_itself_and_keeps_the_newest() {
    let folder = TempDir::new().unwrap();
    let backups = folder.path().join("backups");
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(&backups).into_iter().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.retain(|name| name.ends_with(".tar"));
        names.sort();
        names
    };
    let installation = Installation::new()
        .with("--backup-every", "1s")
        .with("--backup-keep", "2")
        .with("--backup-dir", text(&backups));
    let hub = installation.start().await;
    let first = eventually("the first comes", async || names().first().cloned()).await;
    eventually("it goes", async || (!names().contains(&first) && names().len() == 2).then_some(())).await;
    assert_eq!(hub.metric("twinhub_backups_failed_total").await, 0);
    let disk = eventually("its bytes are counted", async || {
        let disk = hub.json("/health").await["parts"]["disk"].clone();
        (!disk["database_kinds"]["journal"].is_null()).then_some(disk)
    })
    .await;
    assert!(disk["free_bytes"].as_u64() > Some(0) && disk["database_bytes"].as_u64() > Some(0), "{disk}");
    assert!(hub.metric("twinhub_disk_free_bytes").await > 0);
    assert!(hub.metric("twinhub_stored_bytes{kind=\"database\"}").await > 0);
    hub.terminate().await;
    for name in names() {
        says(&["verify", text(&backups.join(name))], 0).await;
    }

    let alarm = async |hub: &HubProcess| {
        let alarms = hub.json("/api/alarms?active=true").await;
        alarms.as_array().unwrap().iter().find(|alarm| alarm["type"] == "backup-failed").cloned()
    };
    std::fs::remove_dir_all(&backups).unwrap();
    std::fs::write(&backups, "no folder").unwrap();
    let hub = installation.start().await;
    let raised = eventually("an alarm", async || alarm(&hub).await).await;
    assert!(raised["message"].as_str().unwrap().contains(text(&backups)), "{raised}");
    assert!(hub.metric("twinhub_backups_failed_total").await > 0);
    std::fs::remove_file(&backups).unwrap();
    eventually("it ends", async || alarm(&hub).await.is_none().then_some(())).await;
    assert!(hub.metric("twinhub_backup_timestamp_seconds").await > 0);
}
