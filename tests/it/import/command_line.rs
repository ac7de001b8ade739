//! Files on the command line.

use serde_json::{Value, json};

use super::{Files, command, import_to, said};
use crate::support::hub::{Installation, run};

#[tokio::test]
async fn the_command_line_takes_files_in_and_out() {
    let hub = Installation::new().start().await;
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
         {pumps}:4504: device_id: `pump-2` is in line 2 already\n\
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

    let wrong = ["devices", "export", "--query", "filter=type==pump", "--url", &url];
    let output = run(&wrong, &[]).await;
    let warned = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && output.stdout.is_empty());
    assert!(warned.starts_with("warning: ") && warned.contains("`pump`"), "{warned}");

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
async fn tokens_of_an_import_are_not_lost_to_the_next() {
    let hub = Installation::new().start().await;
    let url = format!("http://{}", hub.http);
    let files = Files::new();
    let (pumps, tokens) = (files.write("pumps.csv", "device_id,name\na,A\n"), files.path("tokens.jsonl"));
    let import = ["devices", "import", &pumps, "--tokens", "--report", &tokens, "--url", &url];
    command(&[&import[..], &["--dry-run"]].concat(), 0).await;
    assert_eq!(std::fs::read_to_string(&tokens).unwrap(), "", "nobody has a token yet");
    assert_eq!(command(&import, 0).await, "1 line: 1 created\n");
    files.write("pumps.csv", "device_id,name\na,A\nb,B\n");
    let again = command(&[&import[..], &["--existing", "skip"]].concat(), 0).await;
    assert_eq!(again, "2 lines: 1 created, 1 skipped\n");
    let made = std::fs::read_to_string(&tokens).unwrap();
    let made: Vec<Value> = made.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let whose: Vec<_> = made.iter().map(|made| made["device_id"].as_str().unwrap()).collect();
    assert_eq!(whose, ["a", "b"]);
}

#[tokio::test]
async fn groups_stand_in_any_order_in_their_file() {
    let hub = Installation::new().start().await;
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
        "{groups}:302: parent_group: group `x` would be under itself: x → y → x\n\
         {groups}:303: parent_group: group `y` would be under itself: y → x → y\n\
         {groups}:304: parent_group: group `x` was refused, in line 302\n\
         {groups}:305: there is no group `nobody`\n\
         {groups}:306: id: `g-5` is in line 296 already\n\
         305 lines: 300 created, 5 refused\n"
    );
    assert_eq!(told.replace("parent_group: there is", "there is"), expected);
    assert_eq!(hub.json("/api/groups/g-299").await["path"].as_array().unwrap().len(), 300);

    let (out, other) = (files.path("out.jsonl"), Installation::new().start().await);
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
