//! Images come in, are served, and go.

use std::path::Path;

use reqwest::{Body, Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::hub::Installation;
use crate::support::{HubProcess, eventually};

/// The bytes that every image of these stories is made of.
pub fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|place| u8::try_from(place * 7 % 251).unwrap()).collect()
}

pub fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Uploads an image, and gives what the hub says of it.
pub async fn upload(hub: &HubProcess, query: &str, bytes: Vec<u8>) -> (StatusCode, Value) {
    let path = format!("/api/firmware/upload?{query}");
    let answer = hub.request(Method::POST, &path).body(bytes).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

fn files(data: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(data.join("firmware")).into_iter().flatten();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn an_image_is_uploaded_served_in_ranges_and_removed() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let content = bytes(300_000);
    let query =
        format!("version=1.5.0&model=P1,P2&notes=fixes%20it&sha256={}", hash(&content).to_uppercase());
    let (status, image) = upload(&hub, &query, content.clone()).await;
    assert_eq!(status, StatusCode::CREATED, "{image}");
    let id = image["id"].as_str().unwrap().to_owned();
    assert_eq!(image["sha256"], hash(&content));
    assert_eq!(
        (&image["size"], &image["file"], &image["notes"]),
        (&json!(300_000), &json!(true), &json!("fixes it"))
    );
    assert_eq!(image["models"], json!(["P1", "P2"]));
    let path = format!("/api/firmware/{id}/file");
    assert_eq!(image["url"], format!("http://{}{path}", hub.http));
    hub.kill().await;

    let hub = installation.start().await;
    let whole = hub.get(&path).await;
    let etag = whole.headers()["etag"].clone();
    assert_eq!(whole.headers()["accept-ranges"], "bytes");
    assert_eq!(whole.headers()["content-type"], "application/octet-stream");
    assert_eq!(whole.headers()["content-disposition"], r#"attachment; filename="1.5.0.bin""#);
    assert_eq!(whole.bytes().await.unwrap(), content);
    let head = hub.request(Method::HEAD, &path).send().await.unwrap();
    assert_eq!(
        (head.status(), &head.headers()["content-length"]),
        (StatusCode::OK, &"300000".parse().unwrap())
    );
    let range =
        async |range: &str| hub.request(Method::GET, &path).header("Range", range).send().await.unwrap();
    let middle = range("bytes=1000-1999").await;
    assert_eq!(middle.status(), StatusCode::PARTIAL_CONTENT);
    assert_eq!(middle.headers()["content-range"], "bytes 1000-1999/300000");
    assert_eq!(middle.bytes().await.unwrap(), content[1_000..2_000]);
    assert_eq!(range("bytes=299990-").await.bytes().await.unwrap(), content[299_990..]);
    let all = range("bytes=0-").await;
    assert_eq!(
        (all.status(), &all.headers()["content-range"]),
        (StatusCode::PARTIAL_CONTENT, &"bytes 0-299999/300000".parse().unwrap())
    );
    let beyond = range("bytes=300000-").await;
    assert_eq!(beyond.status(), StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.headers()["content-range"], "bytes */300000");
    assert_eq!(beyond.headers()["cache-control"], "no-store", "as all answers that say nothing else");
    assert_eq!(beyond.json::<Value>().await.unwrap()["code"], "no_such_range");
    assert_eq!(range("items=0-5").await.status(), StatusCode::OK, "an unknown unit is passed over");
    let asked = async |method: Method, headers: &[(&str, &str)]| {
        let mut request = hub.request(method, &path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    };
    let head = asked(Method::HEAD, &[("Range", "bytes=0-9")]).await;
    assert_eq!(
        (head.status(), &head.headers()["content-length"]),
        (StatusCode::OK, &"300000".parse().unwrap())
    );
    let etag = etag.to_str().unwrap();
    assert_eq!(etag, format!("\"{}\"", hash(&content)));
    let goes_on = asked(Method::GET, &[("Range", "bytes=10-"), ("If-Range", etag)]).await;
    assert_eq!(goes_on.status(), StatusCode::PARTIAL_CONTENT);
    let begins_anew = asked(Method::GET, &[("Range", "bytes=10-"), ("If-Range", "\"other\"")]).await;
    assert_eq!(begins_anew.status(), StatusCode::OK);
    assert_eq!(begins_anew.bytes().await.unwrap(), content);
    let known = asked(Method::GET, &[("If-None-Match", etag), ("Range", "bytes=0-9")]).await;
    assert_eq!(known.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(known.headers()["etag"], etag);
    let other = asked(Method::GET, &[("If-Match", "\"other\"")]).await;
    assert_eq!(other.status(), StatusCode::PRECONDITION_FAILED);
    let one_of = asked(Method::GET, &[("If-Match", &format!("\"other\", {etag}"))]).await;
    assert_eq!(one_of.status(), StatusCode::OK);
    let malformed = asked(Method::GET, &[("If-Match", "other")]).await;
    assert_eq!(malformed.status(), StatusCode::BAD_REQUEST);

    let (status, taken) = upload(&hub, "version=v1.5&model=P2", content).await;
    assert_eq!((status, &taken["code"]), (StatusCode::CONFLICT, &json!("firmware_exists")));
    let removed = hub.request(Method::DELETE, &format!("/api/firmware/{id}")).send().await.unwrap();
    assert_eq!(removed.json::<Value>().await.unwrap()["version"], "1.5.0");
    assert_eq!(hub.get(&path).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(files(&installation.data), [""; 0]);
}

#[tokio::test]
async fn images_that_lie_elsewhere_are_listed_by_model_and_version() {
    let hub = Installation::new().with("--public-url", "https://hub.example.com/").start().await;
    let image = |version: &str, models: Value| {
        let url = format!("https://example.com/{version}.bin");
        json!({ "version": version, "models": models, "url": url, "sha256": hash(b"x"), "size": 1 })
    };
    for body in [image("1.0.0", json!(["P1"])), image("1.1.0", json!("P*")), image("1.1.0", json!(["Q"]))] {
        let answer = hub.post("/api/firmware", &body).await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        let location = answer.headers()["location"].to_str().unwrap().to_owned();
        let made: Value = answer.json().await.unwrap();
        assert_eq!(hub.json(&location).await, made);
        assert_eq!((&made["url"], &made["file"]), (&body["url"], &json!(false)));
        let no_file = hub.get(&format!("{location}/file")).await;
        assert_eq!(no_file.status(), StatusCode::NOT_FOUND);
    }
    let listed = async |query: &str| {
        let images = hub.json(&format!("/api/firmware?{query}")).await;
        let told = images.as_array().unwrap().iter().map(|image| {
            format!("{} for {}", image["version"].as_str().unwrap(), image["models"][0].as_str().unwrap())
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(listed("").await, ["1.1.0 for Q", "1.1.0 for P*", "1.0.0 for P1"], "the newest first");
    assert_eq!(listed("model=P1").await, ["1.1.0 for P*", "1.0.0 for P1"]);
    assert_eq!(listed("model=P1&version=v1.1").await, ["1.1.0 for P*"]);
    assert_eq!(listed("limit=1&page=2").await, ["1.1.0 for P*"]);
    assert_eq!(hub.get("/api/firmware?limit=1").await.headers()["x-total-count"], "3");
    let mut wrong = image("1.2.0", json!(["P1"]));
    wrong["sha256"] = json!("12");
    let refused = hub.post("/api/firmware", &wrong).await;
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(refused.json::<Value>().await.unwrap()["field"], "sha256");
    assert_eq!(hub.post("/api/firmware", &image("1.1", json!(["P*"]))).await.status(), StatusCode::CONFLICT);
    let (_, uploaded) = upload(&hub, "version=2&model=P1", bytes(9)).await;
    let url = uploaded["url"].as_str().unwrap();
    assert!(url.starts_with("https://hub.example.com/api/firmware/"), "{url}");
    assert_eq!(hub.get("/api/firmware/nothing").await.status(), StatusCode::NOT_FOUND);
    let events = hub.json("/api/events?kind=fleet").await;
    assert_eq!(
        (&events[0]["data"]["change"], &events[0]["data"]["firmware"]["version"]),
        (&json!("made"), &json!("2"))
    );
}

#[tokio::test]
async fn a_broken_upload_leaves_nothing_behind() {
    let installation = Installation::new().with("--firmware-limit", "100kB");
    let hub = installation.start().await;
    let (status, wrong) =
        upload(&hub, &format!("version=1&model=P&sha256={}", hash(b"other")), bytes(1_000)).await;
    assert_eq!((status, &wrong["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("sha256")));
    let (status, empty) = upload(&hub, "version=1&model=P", Vec::new()).await;
    assert_eq!((status, &empty["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("body")));
    let (status, large) = upload(&hub, "version=1&model=P", bytes(100_001)).await;
    assert_eq!((status, &large["code"]), (StatusCode::PAYLOAD_TOO_LARGE, &json!("body_too_large")));
    // One that does not say how long it is.
    let parts = futures_util::stream::iter((0..101).map(|_| Ok::<_, std::io::Error>(bytes(1_000))));
    let streamed =
        hub.request(Method::POST, "/api/firmware/upload?version=1&model=P").body(Body::wrap_stream(parts));
    if let Ok(answer) = streamed.send().await {
        assert_eq!(answer.status(), StatusCode::PAYLOAD_TOO_LARGE); // or the hub hangs up before all is sent
    }
    assert_eq!(files(&installation.data), [""; 0]);

    // One that breaks off.
    let mut broken = TcpStream::connect(hub.http).await.unwrap();
    let head = format!(
        "POST /api/firmware/upload?version=1&model=P HTTP/1.1\r\nHost: {}\r\nContent-Length: 50000\r\n\r\n",
        hub.http
    );
    broken.write_all(head.as_bytes()).await.unwrap();
    broken.write_all(&bytes(20_000)).await.unwrap();
    eventually("it has begun", async || (files(&installation.data).len() == 1).then_some(())).await;
    drop(broken);
    eventually("it is cleared away", async || files(&installation.data).is_empty().then_some(())).await;
    assert_eq!(hub.json("/api/firmware").await, json!([]));

    // One that the hub does not live to see the end of.
    let mut broken = TcpStream::connect(hub.http).await.unwrap();
    broken.write_all(head.as_bytes()).await.unwrap();
    eventually("it has begun", async || (files(&installation.data).len() == 1).then_some(())).await;
    hub.kill().await;
    let _ = broken.read(&mut [0]).await; // the connection is gone, however that shows
    assert_eq!(files(&installation.data).len(), 1);
    let hub = installation.start().await;
    assert_eq!(files(&installation.data), [""; 0]);
    let (status, _) = upload(&hub, "version=1&model=P", bytes(100_000)).await;
    assert_eq!((status, files(&installation.data).len()), (StatusCode::CREATED, 1));
}

#[tokio::test]
async fn another_database_takes_no_image_away() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let content = bytes(1_000);
    let (_, image) = upload(&hub, "version=1&model=P", content.clone()).await;
    let path = format!("/api/firmware/{}/file", image["id"].as_str().unwrap());
    hub.kill().await;
    let url = format!("sqlite:{}?mode=rwc", installation.data.join("other.db").display());
    let other = Installation::at(&installation.data).with("--database", &url).start().await;
    assert_eq!(other.json("/api/firmware").await, json!([]));
    other.kill().await;
    let hub = installation.start().await;
    assert_eq!(hub.get(&path).await.bytes().await.unwrap(), content);
}

/// A device would take what comes for the image.
#[tokio::test]
async fn a_file_of_another_length_is_not_served() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let (status, image) = upload(&hub, "version=1.5.0&model=P1", bytes(1_000)).await;
    assert_eq!(status, StatusCode::CREATED, "{image}");
    let id = image["id"].as_str().unwrap();
    let file = installation.data.join("firmware").join(id);
    for (length, expected) in [(999, 500), (1_001, 500), (1_000, 206)] {
        std::fs::write(&file, bytes(length)).unwrap();
        for range in ["bytes=0-9", "bytes=-9", "bytes=0-"] {
            let path = format!("/api/firmware/{id}/file");
            let answer = hub.request(Method::GET, &path).header("Range", range).send().await.unwrap();
            assert_eq!(answer.status().as_u16(), expected, "{range} of {length} bytes");
        }
    }
}
