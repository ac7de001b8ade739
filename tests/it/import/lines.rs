//! Good lines are in, bad ones are named, and what breaks off keeps what was done.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{import, make_group, said, send};
use crate::support::hub::Installation;
use crate::support::pump::register;
use crate::support::{eventually, within};

/// The fault of each line stands behind it: line, field, code and a part of the reason.
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
pump-19,Pump 19,pump,,false,,,,,,,,,long enough to be one
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
    (17, "device_id", "duplicate", "`pump-1` is in line 2 already"),
    (18, "serial_number", "duplicate", "`S-1` is in line 2 already"),
    (19, "auth_token", "bad_field", "16 to 256 bytes"),
    (20, "auth_token", "bad_field", "an unclaimed device has no token"),
    (21, "", "bad_quotes", "goes on after the closing one"),
    (22, "", "device_exists", "`taken` is registered already"),
    (23, "", "serial_number_taken", "`OWNED` belongs to device `owner`"),
    (24, "desired.power", "bad_field", "nested deeper"),
    (25, "", "bad_quotes", "opened here and not closed in this line"),
    (30, "group_id", "bad_field", "there is no group `nowhere`"),
];

#[tokio::test]
async fn good_lines_are_in_and_each_bad_one_is_named() {
    let hub = Installation::new().start().await;
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
    assert_eq!(pump["schedule"][0]["cron"], "0 0 7 * * *");
    let other = hub.json("/api/devices/pump-26/twin").await;
    assert_eq!(
        (&other["name"], &other["tags"]),
        (&json!("Pump\n26"), &json!({ "floor": "2", "room": "a;b" }))
    );
    let unclaimed = hub.json("/api/devices/unclaimed").await;
    assert_eq!((unclaimed[0]["id"].as_str(), unclaimed.as_array().unwrap().len()), (Some("pump-29"), 1));
    // A line without an id is given one.
    let listed = hub.json("/api/devices?q=No%20id").await;
    assert_eq!(listed[0]["type"], "pump");
}

#[tokio::test]
async fn lines_of_json_are_taken_as_well() {
    let hub = Installation::new().start().await;
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

    // Devices that are there already.
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
    let tokens =
        import(&hub, "tokens=true", "device_id,name,auth_token\ni,I,\nj,J,secret enough here\n").await;
    let made = tokens["tokens"].as_array().unwrap();
    assert_eq!(
        (made.len(), &made[0]["device_id"], &made[0]["line"]),
        (1, &json!("i"), &json!(2)),
        "{tokens}"
    );
    assert!(made[0]["auth_token"].as_str().unwrap().starts_with("twh_dev_"));
    let report = import(
        &hub,
        "existing=update",
        "device_id,auth_token\nj,secret enough here\nj2,\ni,another one as long\n",
    )
    .await;
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
    let hub = Installation::new().start().await;
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
async fn what_breaks_off_keeps_what_was_done() {
    let hub = Installation::new().with("--import-limit", "1KiB").start().await;
    let head = "POST /api/devices/import?format=csv HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    let text = "device_id,name\na,A\nb,B\nc,C";
    let mut stream = TcpStream::connect(hub.http).await.unwrap();
    let chunk = format!("{:x}\r\n{text}\r\n", text.len());
    stream.write_all(format!("{head}{chunk}").as_bytes()).await.unwrap();
    eventually("the first lines are in", async || {
        (hub.json("/api/devices").await.as_array().unwrap().len() == 2).then_some(())
    })
    .await;
    stream.write_all(b"this is no chunk\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = within("it ends", stream.read_to_end(&mut answer)).await;
    assert_eq!(hub.json("/api/devices?sort=id").await.as_array().unwrap().len(), 2);
    // The cut-off line is not taken for one; the rest can follow.
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
