//! Server-sent events, as browsers read them: who comes back goes on where they got to.

use reqwest::Response;
use serde_json::json;

use crate::support::hub::{HubProcess, Installation};
use crate::support::within;

/// A stream that is being read.
struct OpenStream {
    response: Response,
    text: String,
}

impl OpenStream {
    async fn open(hub: &HubProcess, query: &str, last_event_id: Option<&str>) -> Self {
        let path = format!("/api/events?kind=telemetry{query}");
        let mut request = hub.request(reqwest::Method::GET, &path).header("Accept", "text/event-stream");
        if let Some(last) = last_event_id {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        Self { response, text: String::new() }
    }

    /// The ids of the next so many messages.
    async fn ids(&mut self, count: usize) -> Vec<String> {
        self.messages(count).await.into_iter().map(|(id, _)| id).collect()
    }

    /// The next so many messages: their ids, and all of them.
    async fn messages(&mut self, count: usize) -> Vec<(String, String)> {
        let mut found = Vec::new();
        while found.len() < count {
            while found.len() < count
                && let Some((event, rest)) = self.text.split_once("\n\n")
            {
                let id = event.lines().find_map(|line| line.strip_prefix("id:"));
                found.extend(id.map(|id| (id.trim().to_owned(), event.to_owned())));
                self.text = rest.to_owned();
            }
            if found.len() < count {
                let chunk = within("an event", self.response.chunk()).await.unwrap().expect("it goes on");
                self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        }
        found
    }
}

#[tokio::test]
async fn a_browser_that_reconnects_gets_what_it_has_not_seen() {
    let hub = Installation::new().start().await;
    hub.post("/api/devices", &json!({ "device_id": "a", "name": "A" })).await;
    for n in 0..5 {
        hub.post("/api/devices/a/data", &json!({ "n": n })).await;
    }
    let all = OpenStream::open(&hub, "&since=0", None).await.ids(5).await;
    assert!(all.iter().all(|id| id.parse::<u64>().is_err()), "no number: {all:?}");
    // It repeats its address with the `since` of its first request, and says where it got to.
    let rest = OpenStream::open(&hub, "&since=0", Some(&all[2])).await.ids(2).await;
    assert_eq!(rest, all[3..]);
    let rest = OpenStream::open(&hub, "", Some(&all[3])).await.ids(1).await;
    assert_eq!(rest, all[4..]);
    let mut live = OpenStream::open(&hub, "", None).await;
    hub.post("/api/devices/a/data", &json!({ "n": 9 })).await;
    let (_, message) = live.messages(1).await.remove(0);
    assert!(message.contains(r#"{"n":9}"#), "without either, from now on: {message}");
    // Numbers are read, as earlier versions gave them.
    let listed = hub.json("/api/events?kind=telemetry&since=0").await;
    let place = listed[1]["seq"].as_u64().unwrap().to_string();
    let rest = OpenStream::open(&hub, &format!("&since={place}"), None).await.ids(3).await;
    assert_eq!(rest, all[2..]);
    let rest = OpenStream::open(&hub, "", Some(&place)).await.ids(3).await;
    assert_eq!(rest, all[2..]);
    assert_eq!(listed[1]["cursor"], all[1], "a list has the same");
    let request = hub.request(reqwest::Method::GET, "/api/events").header("Accept", "text/event-stream");
    let refused = request.header("Last-Event-ID", "yesterday").send().await.unwrap();
    assert_eq!(refused.status(), 422);
}

#[tokio::test]
async fn bundles_have_many_events_or_the_newest_alone() {
    let hub = Installation::new().start().await;
    hub.post("/api/devices", &json!({ "device_id": "a", "name": "A" })).await;
    for n in 0..5 {
        hub.post("/api/devices/a/data", &json!({ "n": n, "other": n * 2 })).await;
    }
    let ids = OpenStream::open(&hub, "&since=0", None).await.ids(5).await;
    let mut bundles = OpenStream::open(&hub, "&since=0&every=1m", None).await;
    let (id, bundle) = bundles.messages(1).await.remove(0);
    assert!(bundle.contains("event: events\ndata: {\"events\":[{\"seq\":"), "{bundle}");
    assert_eq!((bundle.matches("telemetry").count(), &id), (5, &ids[4]), "{bundle}");
    let mut newest = OpenStream::open(&hub, "&since=0&every=1m&latest=true", None).await;
    let (_, bundle) = newest.messages(1).await.remove(0);
    assert_eq!(bundle.matches("telemetry").count(), 1, "{bundle}");
    assert!(bundle.contains(r#""data":{"n":4,"other":8}"#), "{bundle}");
    for (query, field) in [("every=9ms", "every"), ("every=often", "every"), ("latest=true", "latest")] {
        let request = hub.request(reqwest::Method::GET, &format!("/api/events?{query}"));
        let refused = request.header("Accept", "text/event-stream").send().await.unwrap();
        assert_eq!(refused.status(), 422);
        let text = refused.text().await.unwrap();
        assert!(text.contains(&format!("`{field}`")), "{query}: {text}");
    }
}

/// A stream that is cut off looks like a fault of the network.
#[tokio::test]
async fn a_stream_ends_in_order_when_the_hub_shuts_down() {
    let hub = Installation::new().start().await;
    hub.post("/api/devices", &json!({ "device_id": "a", "name": "A" })).await;
    hub.post("/api/devices/a/data", &json!({ "n": 1 })).await;
    let mut stream = OpenStream::open(&hub, "&since=0", None).await;
    stream.ids(1).await;
    let ended = tokio::spawn(async move {
        while stream.response.chunk().await?.is_some() {}
        Ok::<_, reqwest::Error>(())
    });
    assert_eq!(hub.terminate().await.code(), Some(0));
    within("the stream ends", ended).await.unwrap().unwrap();
}
