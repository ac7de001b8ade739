//! Devices come in from a file, line by line, and go out into one that can be taken in again.

use std::path::PathBuf;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::hub::{House, run};
use crate::support::pump::register;
use crate::support::{Hub, eventually, within};

/// What is wrong with each line stands behind it: line, field, code and a part of the reason.
const BROKEN: &str = r#"device_id,name,type,serial_number,claimed,group_id,tags.floor,tags.room,configuration.interval,settings.heartbeat,settings.in_flight,desired.power,schedule,auth_token
pump-1,Pump 1,pump,S-1,,hall,2,A,1.50,90s,2,on,"[{""cron"": ""0 7 * * *"", ""set"": {""power"": ""on""}}]",
,No id,pump,,,,,,,,,,,
pump-3,,pump,,,,,,,,,,,
pump 4,Pump 4,pump,,,,,,,,,,,
{long},Pump 5,pump,,,,,,,,,,,
pump-6,{text},pump,,,,,,,,,,,
pump-7,Pump 7,pump,,yes,,,,,,,,,
pump-8,Pump 8,pump,,,,,,,soon,,,,
pump-9,Pump 9,pump,,,,,,,0,,,,
pump-10,Pump 10,pump,,,,,,,,101,,,
pump-11,Pump 11,pump,,,,,,,,,,"[{""cron"": ""every day""}]",
pump-12,Pump 12,pump,,,,,,,,,,[{,
pump-13,Pump 13,pump,,,,"{""a"": 1",,,,,,,
pump-14,Pump 14,pump
pump-15,Pump 15,pump,,,,,,,,,,,,,,
pump-1,Pump 1 again,pump,,,,,,,,,,,
pump-17,Pump 17,pump,S-1,,,,,,,,,,
pump-18,Pump 18,pump,,,,,,,,,,,short
pump-19,Pump 19,pump,,false,,,,,,,,,long enough
pump-20,"Pump "20,pump,,,,,,,,,,,
taken,Taken,pump,,,,,,,,,,,
pump-22,Pump 22,pump,OWNED,,,,,,,,,,
pump-23,Pump 23,pump,,,,,,,,,"{deep}",,
"never,closed
pump-26,"Pump
26",pump,,TRUE,,"""2""",a;b,,never,,,,

pump-29,Pump 29,pump,S-29,FALSE,,,,,,,,,
pump-30,Pump 30,pump,,,nowhere,,,,,,,,
"#;

const WRONG: [(u64, &str, &str, &str); 23] = [
    (4, "name", "missing_field", "must be given"),
    (5, "device_id", "bad_field", "this one has ` `"),
    (6, "device_id", "bad_field", "128 characters at most"),
    (7, "name", "bad_field", "4096 bytes at most"),
    (8, "claimed", "bad_field", "expected true or false, found `yes`"),
    (9, "settings.heartbeat", "bad_field", "expected a duration"),
    (10, "settings.heartbeat", "bad_field", "expected a duration"),
    (11, "settings.in_flight", "bad_field", "from 1 to 100"),
    (12, "schedule[0].cron", "bad_field", ""),
    (13, "schedule", "bad_field", "not JSON"),
    (14, "tags.floor", "bad_field", "not JSON"),
    (15, "", "bad_line", "3 cells, and 14 columns"),
    (16, "", "bad_line", "17 cells, and 14 columns"),
    (17, "device_id", "duplicate", "`pump-1` stands in line 2 already"),
    (18, "serial_number", "duplicate", "`S-1` stands in line 2 already"),
    (19, "auth_token", "bad_field", "8 to 256 bytes"),
    (20, "auth_token", "bad_field", "nobody has claimed"),
    (21, "", "bad_quotes", "goes on after the closing one"),
    (22, "", "device_exists", "`taken` is registered already"),
    (23, "", "serial_number_taken", "`OWNED` belongs to device `owner`"),
    (24, "desired.power", "bad_field", "nested deeper"),
    (25, "", "bad_quotes", "goes on after the closing one"),
    (30, "group_id", "bad_field", "there is no group `nowhere`"),
];

#[tokio::test]
async fn good_lines_are_in_and_each_bad_one_is_named() {
    let hub = House::new().start().await;
    register(&hub, "taken").await;
    make_group(&hub, "hall").await;
    let owner = json!({ "device_id": "owner", "name": "Owner", "serial_number": "OWNED" });
    assert_eq!(hub.post("/api/devices", &owner).await.status(), 201);
    let file = BROKEN
        .replace("{long}", &"x".repeat(129))
        .replace("{text}", &"x".repeat(4_097))
        .replace("{deep}", &format!("{}{}", "[".repeat(40), "]".repeat(40)));

    // First nothing is changed, and the same is told.
    let dry = import(&hub, "dry_run=true", &file).await;
    assert_eq!((&dry["created"], &dry["dry_run"]), (&json!(4), &json!(true)), "{dry}");
    assert_eq!(hub.get("/api/devices/pump-1").await.status(), 404);
    let report = import(&hub, "", &file).await;
    assert_eq!(report["refusals"], dry["refusals"]);

    let found = report["refusals"].as_array().unwrap();
    assert_eq!(found.len(), WRONG.len(), "{report:#}");
    for (refused, (line, field, code, part)) in found.iter().zip(WRONG) {
        assert_eq!(refused["line"], line, "{refused}");
        assert_eq!(refused["field"].as_str().unwrap_or_default(), field, "{refused}");
        assert_eq!(refused["code"], code, "{refused}");
        assert!(refused["error"].as_str().unwrap().contains(part), "{refused}");
    }
    assert_eq!(found[13]["device_id"], "pump-1", "{found:?}");
    let counts = ["lines", "created", "updated", "skipped", "refused", "more_refusals"];
    assert_eq!(counts.map(|name| report[name].as_u64().unwrap()), [27, 4, 0, 0, 23, 0]);

    let pump = hub.json("/api/devices/pump-1/twin").await;
    assert_eq!(pump["tags"], json!({ "floor": 2, "room": "A" }));
    assert_eq!(pump["settings"], json!({ "heartbeat": "90s", "in_flight": 2 }));
    assert_eq!((&pump["desired"], &pump["group_id"]), (&json!({ "power": "on" }), &json!("hall")));
    assert_eq!(pump["configuration"]["interval"].to_string(), "1.5");
    assert_eq!(pump["schedule"][0]["cron"], "0 7 * * *");
    let other = hub.json("/api/devices/pump-26/twin").await;
    assert_eq!(
        (&other["name"], &other["tags"]),
        (&json!("Pump\n26"), &json!({ "floor": "2", "room": "a;b" }))
    );
    let unclaimed = hub.json("/api/devices/unclaimed").await;
    assert_eq!((unclaimed[0]["id"].as_str(), unclaimed.as_array().unwrap().len()), (Some("pump-29"), 1));
    // Who has no id is given one.
    let listed = hub.json("/api/devices?q=No%20id").await;
    assert_eq!(listed[0]["type"], "pump");
}

#[tokio::test]
async fn lines_of_json_are_taken_as_well() {
    let hub = House::new().start().await;
    make_group(&hub, "hall").await;
    let file = r#"{"device_id": "a", "name": "A", "tags": {"floor": 2, "rooms": ["x", null]}, "status": "online"}
{"device_id": "b"}
{"device_id": "c", "name": "C", "colour": "red"}
{"device_id": "d", "name": 5}
{"device_id": "e", "name": "E", "tags": []}
{"device_id": "f", "name": "F"
[1]

{"device_id": "g", "name": "G", "desired": {"power": "on"}}
{"device_id": "a", "name": "A"}"#;
    let report = import(&hub, "details=100", file).await;
    let told: Vec<_> = report["refusals"].as_array().unwrap().iter().map(said).collect();
    let expected = [
        "2 name missing_field",
        "3 colour unknown_field",
        "4 name bad_field",
        "5 tags bad_field",
        "6 - not_json",
        "7 - not_an_object",
        "10 device_id duplicate",
    ];
    assert_eq!(told, expected, "{report:#}");
    assert_eq!((&report["lines"], &report["created"]), (&json!(9), &json!(2)));
    assert_eq!(hub.json("/api/devices/a/twin").await["tags"], json!({ "floor": 2, "rooms": ["x", null] }));

    // What is there already.
    let again = "{\"device_id\": \"a\", \"name\": \"A2\"}\n{\"device_id\": \"h\", \"name\": \"H\"}";
    let skipped = import(&hub, "existing=skip", again).await;
    assert_eq!(
        (&skipped["skipped"], &skipped["created"], &skipped["refused"]),
        (&json!(1), &json!(1), &json!(0))
    );
    assert_eq!(hub.json("/api/devices/a/twin").await["name"], "A");
    let update = "device_id,group_id,tags.rooms\na,hall,null\nnobody,hall,\n";
    let updated = import(&hub, "existing=update", update).await;
    assert_eq!((&updated["updated"], &updated["refused"]), (&json!(1), &json!(1)), "{updated}");
    assert_eq!(said(&updated["refusals"][0]), "3 name missing_field");
    let twin = hub.json("/api/devices/a/twin").await;
    assert_eq!(
        (&twin["name"], &twin["group_id"], &twin["tags"]),
        (&json!("A"), &json!("hall"), &json!({ "floor": 2 }))
    );

    // Tokens, where they are asked for: those that were made are told.
    let tokens = import(&hub, "tokens=true", "device_id,name,auth_token\ni,I,\nj,J,secret enough\n").await;
    let made = tokens["tokens"].as_array().unwrap();
    assert_eq!(
        (made.len(), &made[0]["device_id"], &made[0]["line"]),
        (1, &json!("i"), &json!(2)),
        "{tokens}"
    );
    assert_eq!(made[0]["auth_token"].as_str().unwrap().len(), 48);
    let report =
        import(&hub, "existing=update", "device_id,auth_token\nj,secret enough\nj2,\ni,another one\n").await;
    assert_eq!(
        (&report["updated"], said(&report["refusals"][1])),
        (&json!(1), "4 auth_token bad_field".into())
    );

    // Only so many are told in full.
    let many = import(&hub, "details=1&existing=skip", "device_id,name\na,\nb,\nc,\n").await;
    assert_eq!(
        (&many["more_refusals"], said(&many["refusals"][0])),
        (&json!(2), "2 name missing_field".into())
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_read_changes_nothing() {
    let hub = House::new().start().await;
    for (query, body, code, part) in [
        (
            "",
            &b"device_id,name,colour\na,A,red\n"[..],
            "unknown_column",
            "line 1, column 3: there is no column `colour`",
        ),
        ("", b"device_id,name,device_id\na,A,b\n", "duplicate_column", "line 1, column 3"),
        ("", b"\xff\xfed\0", "not_text", "UTF-16"),
        ("format=csv", b"n\xe4me\na\n", "not_utf8", "line 1, column 2"),
        ("", b"[{\"name\": \"A\"}]", "not_lines", "one JSON array"),
        ("existing=yes", b"device_id,name\na,A\n", "bad_parameter", "refuse, update or skip"),
        ("colour=red", b"device_id,name\na,A\n", "unknown_parameter", "colour"),
    ] {
        let refused = send(&hub, query, body.to_vec()).await;
        assert_eq!(refused.status(), 422);
        let problem: Value = refused.json().await.unwrap();
        assert_eq!(problem["code"], code, "{problem}");
        assert!(problem["error"].as_str().unwrap().contains(part), "{problem}");
    }
    assert_eq!(hub.json("/api/devices").await, json!([]));
    let empty = import(&hub, "", "").await;
    assert_eq!(empty["lines"], 0);
}

#[tokio::test]
async fn what_is_exported_is_imported_as_the_same() {
    let hub = House::new().start().await;
    make_group(&hub, "hall").await;
    let file = r#"{"device_id": "a", "name": "A, \"quoted\"", "tags": {"floor": 2, "code": "007", "n": "5", "": "x", " ": true}}
{"device_id": "b", "name": "B\nC", "serial_number": "0012", "model": "M", "description": "ü;,\t", "group_id": "hall", "claimed": false}
{"device_id": "c", "name": "C", "configuration": {"interval": 1.50, "deep": {"a": [1, null, "x"]}}, "settings": {"heartbeat": "1500ms", "in_flight": 3}}
{"device_id": "d", "name": "D", "desired": {"power": "on", "speed": 12345678901234567890}, "schedule": [{"cron": "0 7 * * Mon-Fri", "timezone": "Europe/Madrid", "set": {"power": "on"}, "missed": "run_once"}], "auth_token": "secret enough", "ip_address": "10.0.0.7", "mac_address": "aa:bb"}"#;
    assert_eq!(import(&hub, "", file).await["created"], 4);
    let all = documents(&hub).await;
    for query in ["format=jsonl", "format=csv", "format=csv&all=true", "all=true"] {
        let exported = hub.get(&format!("/api/devices/export?{query}")).await;
        assert_eq!(exported.status(), 200);
        let name = exported.headers()["Content-Disposition"].to_str().unwrap().to_owned();
        let csv = query.contains("csv");
        assert_eq!(name, format!("attachment; filename=\"devices.{}\"", if csv { "csv" } else { "jsonl" }));
        let media_type = exported.headers()["Content-Type"].to_str().unwrap().to_owned();
        assert_eq!(media_type, if csv { "text/csv; charset=utf-8" } else { "application/x-ndjson" });
        let text = exported.text().await.unwrap();
        assert!(!text.contains("secret") && !text.contains("token"), "{text}");
        let other = House::new().start().await;
        make_group(&other, "hall").await;
        let report = import(&other, "", &text).await;
        assert_eq!((&report["created"], &report["refused"]), (&json!(4), &json!(0)), "{report:#}\n{text}");
        assert_eq!(documents(&other).await, all, "{text}");
        other.terminate().await;
    }
    let some = hub.get("/api/devices/export?tag.floor=2&format=csv").await.text().await.unwrap();
    assert_eq!(some.lines().count(), 2, "{some}");
    let filtered = hub.get("/api/devices/export?filter=tag.floor%20==%202").await.text().await.unwrap();
    assert_eq!(filtered.lines().count(), 1, "{filtered}");
    assert_eq!(hub.get("/api/devices/export?sort=name").await.status(), 422);
    assert_eq!(hub.get("/api/devices/export?format=xml").await.status(), 422);
}

#[tokio::test]
async fn the_command_line_takes_files_in_and_out() {
    let hub = House::new().start().await;
    let url = format!("http://{}", hub.http);
    let files = Files::new();
    // More than go into one request, with a gap, a cell of two lines and one that is broken late.
    let mut text = String::from("\u{feff}device_id;name;tags.floor\r\n");
    for number in 2..=4_500 {
        let name = if number == 3 { "\"Pump\r\n3\"".to_owned() } else { format!("Pump {number}") };
        text.push_str(&format!("pump-{number};{name};{}\r\n", number % 10));
    }
    text.push_str("\r\npump 4503;x;\r\npump-2;again;\r\nlast;Last;7");
    let pumps = files.write("pumps.csv", &text);
    let refused = files.path("refused.jsonl");
    let dry = command(&["devices", "import", &pumps, "--dry-run", "--url", &url], 1).await;
    assert!(dry.contains("4502 lines: 4500 would be created, 2 refused"), "{dry}");
    let told = command(&["devices", "import", &pumps, "--url", &url, "--report", &refused], 1).await;
    let expected = format!(
        "{pumps}:4503: device_id: a device id is made of A-Z a-z 0-9 . _ : - and this one has ` `\n\
         {pumps}:4504: device_id: `pump-2` stands in line 2 already\n\
         4502 lines: 4500 created, 2 refused\n"
    );
    assert_eq!(told, expected);
    let lines = std::fs::read_to_string(&refused).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(
        lines.iter().map(said).collect::<Vec<_>>(),
        ["4503 device_id bad_field", "4504 device_id duplicate"]
    );
    assert_eq!(hub.get("/api/devices?limit=1").await.headers()["X-Total-Count"], "4500");
    assert_eq!(hub.json("/api/devices/last/twin").await["tags"], json!({ "floor": 7 }));

    let out = files.path("out.csv");
    command(&["devices", "export", &out, "--query", "tag.floor=7", "--url", &url], 0).await;
    let again = command(&["devices", "import", &out, "--existing", "skip", "--url", &url], 0).await;
    assert_eq!(again, "451 lines: 451 skipped\n");
    let one = command(&["devices", "export", "--query", "q=last", "--url", &url], 0).await;
    assert_eq!(one, "{\"claimed\":true,\"device_id\":\"last\",\"name\":\"Last\",\"tags\":{\"floor\":7}}\n");

    let bad = files.write("bad.csv", "device_id,colour\na,red\n");
    for (args, part) in [
        (
            vec!["devices", "import", &bad, "--url", &url],
            "bad.csv: line 1, column 2: there is no column `colour`",
        ),
        (vec!["devices", "import", "/no/such/file", "--url", &url], "cannot read /no/such/file"),
        (
            vec!["devices", "import", &out, "--url", "http://127.0.0.1:1"],
            "no hub answers at http://127.0.0.1:1",
        ),
        (vec!["devices", "import", &out, "--tokens", "--url", &url], "--report"),
        (
            vec!["devices", "export", "--query", "colour=red", "--url", &url],
            "`colour`: there is no such parameter",
        ),
    ] {
        let output = run(&args, &[]).await;
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.starts_with("twinhub: ") && told.contains(part) && told.lines().count() == 1, "{told}");
    }
}

#[tokio::test]
async fn what_breaks_off_keeps_what_was_done() {
    let hub = House::new().with("--import-limit", "1KiB").start().await;
    let head =
        "POST /api/devices/import?format=csv HTTP/1.1\r\nHost: hub\r\nTransfer-Encoding: chunked\r\n\r\n";
    let text = "device_id,name\na,A\nb,B\nc,C";
    let mut stream = TcpStream::connect(hub.http).await.unwrap();
    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
    stream.write_all(format!("{head}{chunk}").as_bytes()).await.unwrap();
    eventually("the first lines are in", async || {
        hub.get("/api/devices/b").await.status().is_success().then_some(())
    })
    .await;
    stream.write_all(b"this is no chunk\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = within("it ends", stream.read_to_end(&mut answer)).await;
    assert_eq!(hub.json("/api/devices?sort=id").await.as_array().unwrap().len(), 2);
    // What was in the midst of a line is not taken for one; the rest can follow.
    let rest = import(&hub, "existing=skip", "device_id,name\na,A\nb,B\nc,C\n").await;
    assert_eq!((&rest["skipped"], &rest["created"]), (&json!(2), &json!(1)));

    // A file that is too long is not begun where that is known, and broken off where it is not.
    let long: String =
        (0..200).map(|number| format!("{{\"device_id\": \"x-{number:03}\", \"name\": \"X\"}}\n")).collect();
    assert_eq!(send(&hub, "", long.clone().into_bytes()).await.status(), 413);
    let pieces = long.clone().into_bytes();
    let pieces = pieces.chunks(500).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>();
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let answer = hub.request(Method::POST, "/api/devices/import").body(body).send().await.unwrap();
    let report: Value = answer.json().await.unwrap();
    assert!(report["broken_off"]["error"].as_str().unwrap().contains("1024 bytes"), "{report}");
    let created = report["created"].as_u64().unwrap();
    assert!(created > 0 && created < 200, "{report}");
    assert_eq!(report["broken_off"]["line"], created + 1, "{report}");
    assert_eq!(hub.get("/api/devices?q=x-&limit=1").await.headers()["X-Total-Count"], created.to_string());
}

#[tokio::test]
async fn groups_stand_in_any_order_in_their_file() {
    let hub = House::new().start().await;
    let url = format!("http://{}", hub.http);
    let files = Files::new();
    // A child before its parent, all the way; and two that go round in a circle, with one under them.
    let mut text = String::from("id,name,parent_group,tags.floor\n");
    for number in (1..300).rev() {
        text.push_str(&format!("g-{number},Group {number},g-{},{}\n", number - 1, number % 3));
    }
    text.push_str("g-0,Top,null,\nx,X,y,\ny,Y,x,\nz,Z,x,\nw,W,nobody,\ng-5,again,,\n");
    let groups = files.write("groups.csv", &text);
    let dry = command(&["groups", "import", &groups, "--dry-run", "--url", &url], 1).await;
    assert!(dry.ends_with("305 lines: 300 would be created, 5 refused\n"), "{dry}");
    assert_eq!(hub.json("/api/groups").await, json!([]));
    let told = command(&["groups", "import", &groups, "--url", &url], 1).await;
    let expected = format!(
        "{groups}:302: parent_group: group `x` would stand under itself: x → y → x\n\
         {groups}:303: parent_group: group `y` would stand under itself: y → x → y\n\
         {groups}:304: parent_group: group `x` was refused, in line 302\n\
         {groups}:305: there is no group `nobody`\n\
         {groups}:306: id: `g-5` stands in line 296 already\n\
         305 lines: 300 created, 5 refused\n"
    );
    assert_eq!(told.replace("parent_group: there is", "there is"), expected);
    assert_eq!(hub.json("/api/groups/g-299").await["path"].as_array().unwrap().len(), 300);

    let (out, other) = (files.path("out.jsonl"), House::new().start().await);
    command(&["groups", "export", &out, "--url", &url], 0).await;
    let there = format!("http://{}", other.http);
    assert_eq!(command(&["groups", "import", &out, "--url", &there], 0).await, "300 lines: 300 created\n");
    assert_eq!(other.json("/api/groups/g-299").await["path"], hub.json("/api/groups/g-299").await["path"]);
    assert_eq!(other.json("/api/groups/g-7").await["tags"], json!({ "floor": 1 }));
    // A change of the tree that only works out in the end, and one that cannot.
    let moved =
        import_to(&hub, "groups", "existing=update", "id,parent_group\ng-0,g-299\ng-299,null\n").await;
    assert_eq!((&moved["updated"], &moved["refused"]), (&json!(2), &json!(0)), "{moved}");
    let circle = import_to(&hub, "groups", "existing=update", "id,parent_group\ng-299,g-7\n").await;
    assert_eq!(said(&circle["refusals"][0]), "2 parent_group group_circle", "{circle}");
}

async fn make_group(hub: &Hub, id: &str) {
    let made = hub.post("/api/groups", &json!({ "id": id, "name": id })).await;
    assert_eq!(made.status(), 201);
}

/// Twins as they should be the same in two hubs.
async fn documents(hub: &Hub) -> Vec<Value> {
    let mut documents = Vec::new();
    for device in hub.json("/api/devices?sort=id").await.as_array().unwrap() {
        let mut twin = hub.json(&format!("/api/devices/{}/twin", device["id"].as_str().unwrap())).await;
        for name in ["number", "version", "created_at", "updated_at", "metadata"] {
            twin.as_object_mut().unwrap().remove(name);
        }
        documents.push(twin);
    }
    documents
}

/// `17 name missing_field`
fn said(refused: &Value) -> String {
    let text = |name: &str| refused[name].as_str().unwrap_or("-").to_owned();
    format!("{} {} {}", refused["line"], text("field"), text("code"))
}

async fn send(hub: &Hub, query: &str, body: Vec<u8>) -> Response {
    let request = hub.request(Method::POST, &format!("/api/devices/import?{query}"));
    request.body(body).send().await.unwrap()
}

async fn import(hub: &Hub, query: &str, body: &str) -> Value {
    import_to(hub, "devices", query, body).await
}

async fn import_to(hub: &Hub, what: &str, query: &str, body: &str) -> Value {
    let request = hub.request(Method::POST, &format!("/api/{what}/import?{query}"));
    let response = request.body(body.to_owned()).send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// What the program prints when it ends with this status.
async fn command(args: &[&str], status: i32) -> String {
    let output = run(args, &[]).await;
    let told = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(status), "{told}{}", String::from_utf8_lossy(&output.stderr));
    told
}

/// A folder for files.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(TempDir::with_prefix("twinhub-test-").unwrap())
    }

    fn path(&self, name: &str) -> String {
        let path: PathBuf = self.0.path().join(name);
        path.to_str().unwrap().to_owned()
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

#[tokio::test]
async fn templates_go_out_and_come_in_and_devices_say_only_what_is_their_own() {
    let hub = House::new().start().await;
    let file = r#"{"id": "pump", "name": "Pumps", "applies_to": {"type": "pump", "priority": 2}, "configuration": {"interval": 10, "mode": "eco"}, "tags": {"kind": "pump"}, "limits": {"temperature": {"min": 0, "max": 80, "unit": "°C"}}, "settings": {"heartbeat": "90s"}, "schedule": [{"cron": "0 7 * * *", "set": {"power": "on"}}]}
{"id": "bare", "description": "a,b"}
{"id": "no id"}
{"id": "bad", "colour": "red"}
{"id": "pump"}
{"id": "worse", "limits": {"temperature": {"min": "cold"}}}
{"name": "nobody"}"#;
    let report = import_to(&hub, "templates", "", file).await;
    assert_eq!((&report["created"], &report["refused"]), (&json!(2), &json!(5)), "{report:#}");
    let told: Vec<_> = report["refusals"].as_array().unwrap().iter().map(said).collect();
    assert_eq!(told[1..3], ["4 colour unknown_field", "5 id duplicate"], "{report:#}");
    assert_eq!((&told[0][..4], &told[4][..]), ("3 id", "7 id missing_field"), "{report:#}");
    assert!(told[3].starts_with("6 limits.temperature.min "), "{told:?}");

    let devices = r#"{"device_id": "a", "name": "A", "type": "pump", "configuration": {"interval": 5}, "schedule": []}
{"device_id": "b", "name": "B", "type": "pump", "template": null}
{"device_id": "c", "name": "C", "template": "bare", "lifecycle": "suspended", "limits": {"speed": {"max": 9}}}
{"device_id": "d", "name": "D", "template": "nobody"}
{"device_id": "e", "name": "E", "lifecycle": "asleep"}"#;
    let report = import(&hub, "", devices).await;
    let told: Vec<_> = report["refusals"].as_array().unwrap().iter().map(said).collect();
    assert_eq!(told, ["4 template bad_field", "5 lifecycle bad_field"], "{report:#}");
    let twin = hub.json("/api/devices/a/twin").await;
    assert_eq!(twin["configuration"], json!({ "interval": 5, "mode": "eco" }));
    let all = documents(&hub).await;
    for format in ["jsonl", "csv"] {
        let (templates, devices) = (
            hub.get(&format!("/api/templates/export?format={format}")).await.text().await.unwrap(),
            hub.get(&format!("/api/devices/export?format={format}")).await.text().await.unwrap(),
        );
        assert!(!devices.contains("eco"), "{devices}");
        let other = House::new().start().await;
        assert_eq!(import_to(&other, "templates", "", &templates).await["created"], 2, "{templates}");
        assert_eq!(import(&other, "", &devices).await["created"], 3, "{devices}");
        assert_eq!(documents(&other).await, all);
        assert_eq!(other.json("/api/devices/c").await["lifecycle"], "suspended");
        let (here, there) = (hub.json("/api/templates/pump").await, other.json("/api/templates/pump").await);
        for name in ["applies_to", "configuration", "tags", "limits", "settings", "schedule", "name", "rules"]
        {
            assert_eq!(here[name], there[name], "{name}");
        }
        let again = import_to(&other, "templates", "existing=skip", &templates).await;
        assert_eq!(again["skipped"], 2);
        other.terminate().await;
    }
    let dry =
        import_to(&hub, "templates", "existing=update&dry_run=true", "id,configuration.mode\npump,full\n")
            .await;
    assert_eq!(dry["updated"], 1, "{dry}");
    assert_eq!(hub.json("/api/templates/pump").await["configuration"]["mode"], "eco");
}
