//! The audit: read, followed and exported.

use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::support::hub::{HubProcess, Installation, run};
use crate::support::people::Person;
use crate::support::{WebSocketSession, eventually, within};

/// Makes a group, and removes it: an entry.
async fn remove_a_group(hub: &HubProcess, id: &str) {
    assert_eq!(hub.post("/api/groups", &json!({ "id": id, "name": id })).await.status(), 201);
    let path = format!("/api/groups/{id}");
    assert_eq!(hub.request(Method::DELETE, &path).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn entries_come_over_the_websocket() {
    let hub = Installation::new().start().await;
    remove_a_group(&hub, "before").await;
    let mut socket = WebSocketSession::connect(hub.http).await;
    socket.send(&json!({ "type": "watch_audit", "id": "a", "since": 0 })).await;
    assert_eq!(socket.next().await.unwrap(), json!({ "type": "subscribed", "id": "a", "seq": 0 }));
    let told = socket.next().await.unwrap();
    assert_eq!((&told["type"], &told["entry"]["target"]), (&json!("audit"), &json!("group:before")));
    remove_a_group(&hub, "after").await;
    let told = socket.next().await.unwrap();
    assert_eq!(told["entry"]["action"], "group.removed");
    assert_eq!(told["entry"]["target"], "group:after");
    socket.send(&json!({ "type": "unsubscribe", "id": "a" })).await;
    assert_eq!(socket.next().await.unwrap()["type"], "unsubscribed");
}

/// The targets of the next entries of a stream, with their places.
async fn next(stream: &mut Response, text: &mut String) -> (u64, String) {
    loop {
        while let Some((message, rest)) = text.split_once("\n\n") {
            let line =
                |name: &str| message.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
            let (id, event, data) = (line("id: "), line("event: "), line("data: "));
            *text = rest.to_owned();
            if let (Some(id), Some(data)) = (id, data) {
                assert_eq!(event.as_deref(), Some("audit"));
                let entry: Value = serde_json::from_str(&data).unwrap();
                return (id.parse().unwrap(), entry["target"].as_str().unwrap().to_owned());
            }
        }
        let chunk = within("an entry", stream.chunk()).await.unwrap().expect("it goes on");
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
}

#[tokio::test]
async fn an_admin_who_follows_goes_on_where_they_got_to() {
    let hub = Installation::new().start().await;
    remove_a_group(&hub, "a").await;
    remove_a_group(&hub, "b").await;
    let ann = Person::first(&hub, "ann").await;
    let bob = ann.add(&hub, "bob", "operator").await;
    let open = async |person: &Person, last: &str| {
        let request = person.request(&hub, Method::GET, "/api/audit?since=0&action=group.removed");
        let request = request.header("Accept", "text/event-stream");
        let request = if last.is_empty() { request } else { request.header("Last-Event-ID", last) };
        request.send().await.unwrap()
    };
    assert_eq!(open(&bob, "").await.status(), 403, "for admins");
    let (mut stream, mut text) = (open(&ann, "").await, String::new());
    let (first, target) = next(&mut stream, &mut text).await;
    assert_eq!(target, "group:a");
    assert_eq!(next(&mut stream, &mut text).await.1, "group:b");
    let (mut again, mut text) = (open(&ann, &first.to_string()).await, String::new());
    assert_eq!(next(&mut again, &mut text).await.1, "group:b");

    // What bob is refused is told to whoever follows all.
    let mut all = ann
        .request(&hub, Method::GET, "/api/audit")
        .header("Accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(bob.get(&hub, "/api/users").await.status(), 403);
    assert_eq!(next(&mut all, &mut String::new()).await.1, "GET /api/users");
    let refused = ann.json(&hub, "/api/audit?action=access.refused").await;
    assert_eq!((&refused[0]["who"], &refused[0]["outcome"]), (&json!("user:bob"), &json!("refused")));
}

#[tokio::test]
async fn the_audit_is_listed_and_exported_on_the_command_line() {
    let installation = Installation::new();
    let hub = installation.start().await;
    remove_a_group(&hub, "a1").await;
    let url = format!("http://{}", hub.http);
    let said = async |args: &[&str]| {
        let output = run(&[&["audit", "--url", &url], args].concat(), &[]).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let listed = said(&["--action", "group.removed"]).await;
    assert!(
        listed.contains("group:a1") && listed.contains("127.0.0.1") && listed.contains("devices=0"),
        "{listed}"
    );
    let csv = said(&["--format", "csv", "--from", "1h"]).await;
    assert!(csv.starts_with("seq,at,who,address,action,target,outcome,detail\n"), "{csv}");
    let jsonl = said(&["--format", "jsonl", "--target", "group:a1"]).await;
    let entry: Value = serde_json::from_str(jsonl.lines().next().unwrap()).unwrap();
    assert_eq!((&entry["action"], &entry["outcome"]), (&json!("group.removed"), &json!("done")));
    let exported = said(&["--action", "audit.exported", "--format", "jsonl"]).await;
    assert_eq!(exported.lines().count(), 3, "exports are in it themselves");
    assert_eq!(said(&["--to", "2000-01-01"]).await.trim(), "no entries");
}

#[tokio::test]
async fn old_entries_go() {
    let installation = Installation::new();
    let hub = installation.start().await;
    remove_a_group(&hub, "a").await;
    hub.terminate().await;
    let count =
        async |hub: &HubProcess| hub.json("/api/audit?action=group.removed").await.as_array().unwrap().len();
    let hub = Installation::at(&installation.data).with("--audit-retention", "never").start().await;
    assert_eq!(count(&hub).await, 1, "an answer has its entry stored");
    hub.terminate().await;
    let hub = Installation::at(&installation.data).with("--audit-retention", "1s").start().await;
    eventually("it goes", async || (count(&hub).await == 0).then_some(())).await;
}

#[tokio::test]
async fn whatever_was_answered_has_its_entry_after_a_crash() {
    let installation = Installation::new();
    let hub = installation.start().await;
    remove_a_group(&hub, "a").await;
    hub.kill().await;
    let hub = installation.start().await;
    let entries = hub.json("/api/audit?target=group:a").await;
    assert_eq!(entries.as_array().unwrap().len(), 1, "{entries}");
}
