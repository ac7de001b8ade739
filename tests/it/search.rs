//! Search: devices are found by everything that is in them, in any order, page by page, true to the last write;
//! in memory and after a restart alike.

use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::hub::Installation;
use crate::support::{HubProcess, eventually};

/// Registers a device and has it report.
async fn device(hub: &HubProcess, id: &str, registration: Value, readings: Value) {
    let mut body = json!({ "device_id": id, "name": id });
    body.as_object_mut().unwrap().extend(registration.as_object().unwrap().clone());
    assert_eq!(hub.post("/api/devices", &body).await.status(), StatusCode::CREATED, "{body}");
    let said = hub.post(&format!("/api/devices/{id}/data"), &readings).await;
    assert!(said.status().is_success(), "{}", said.text().await.unwrap());
}

async fn list(hub: &HubProcess, query: &[(&str, &str)]) -> Response {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    hub.get(&format!("/api/devices?{query}")).await
}

/// The ids of a page, in its order, and how many there are on all pages.
async fn found(hub: &HubProcess, query: &[(&str, &str)]) -> (String, u64) {
    let response = list(hub, query).await;
    let (status, headers) = (response.status(), response.headers().clone());
    let text = response.text().await.unwrap();
    assert_eq!(status, StatusCode::OK, "{query:?}: {text}");
    let total = headers["X-Total-Count"].to_str().unwrap().parse().unwrap();
    let page: Vec<Value> = serde_json::from_str(&text).unwrap();
    (page.iter().map(|device| device["id"].as_str().unwrap()).collect::<Vec<_>>().join(" "), total)
}

async fn check(hub: &HubProcess, filter: &str, sort: &str, expected: &str) {
    let total = expected.split_whitespace().count() as u64;
    let query: Vec<_> =
        [("filter", filter), ("sort", sort)].into_iter().filter(|(_, value)| !value.is_empty()).collect();
    assert_eq!(found(hub, &query).await, (expected.to_owned(), total), "{query:?}");
}

#[tokio::test]
async fn devices_are_found_by_everything_in_them() {
    let installation = Installation::new();
    let mut hub = installation.start().await;
    let second = json!({ "type": "pump", "tags": { "floor": "2" }, "name": "Kühlpumpe" });
    device(&hub, "a", second, json!({ "battery": 15, "temperature": 21.5 })).await;
    device(&hub, "b", json!({ "type": "fan", "tags": { "floor": "2" } }), json!({ "battery": 80 })).await;
    device(&hub, "c", json!({ "tags": { "floor": "3" } }), json!({ "battery": 7.25, "temperature": 19 }))
        .await;
    assert_eq!(
        hub.post("/api/devices", &json!({ "device_id": "d", "name": "d" })).await.status(),
        StatusCode::CREATED
    );

    for restarted in [false, true] {
        // The filter that the issue asks for, word by word.
        check(&hub, r#"reported.battery < 20 && status == "online" && tag.floor == "2""#, "", "a").await;
        check(&hub, "battery < 20", "", "a c").await;
        check(&hub, "!(battery < 20)", "", "b").await; // of `d` nothing is known
        check(&hub, "!has(battery)", "", "d").await;
        check(&hub, "claimed && has(temperature) && temperature.age < 3600", "", "a c").await;
        check(&hub, "status == 'offline' && !has(last_seen) || type == 'fan'", "", "b d").await;
        check(&hub, "status == 'unknown'", "", "d").await; // the word of earlier versions
        check(&hub, "status in ['unknown']", "", "d").await;
        check(&hub, "id.matches('^[ab]$') && number > 0 && now > created_at", "-number", "b a").await;
        // Sorted by any property: who has none is last, in both directions.
        check(&hub, "", "reported.battery", "c a b d").await;
        check(&hub, "", "-reported.battery", "b a c d").await;
        check(&hub, "", "temperature", "c a b d").await;
        check(&hub, "has(battery)", "-tags.floor", "c b a").await;
        check(&hub, "has(battery)", "-name", "c b a").await;
        // With what lists filter by.
        let listed = [("filter", "battery > 0"), ("type", "pump"), ("tag.floor", "2"), ("q", "KÜHL")];
        assert_eq!(found(&hub, &listed).await, ("a".into(), 1));
        let listed = [("filter", "battery > 0"), ("status", "offline"), ("mode", "schedule")];
        assert_eq!(found(&hub, &listed).await.1, 0);
        if !restarted {
            assert!(hub.terminate().await.success());
            hub = installation.start().await;
        }
    }
}

/// The warnings of a list, each as its code and its detail.
async fn warnings(hub: &HubProcess, query: &[(&str, &str)]) -> Vec<String> {
    let response = list(hub, query).await;
    assert_eq!(response.status(), StatusCode::OK, "{query:?}");
    let Some(told) = response.headers().get("X-Warnings") else { return Vec::new() };
    let told: Vec<Value> = serde_json::from_str(told.to_str().unwrap()).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    told.iter().map(|warning| format!("{}: {}", text(&warning["code"]), text(&warning["detail"]))).collect()
}

#[tokio::test]
async fn versions_ids_and_umlauts_sort_and_are_found_as_people_mean_them() {
    let installation = Installation::new();
    let mut hub = installation.start().await;
    for (id, name, version) in [
        ("climate-10", "Bu\u{308}ro", "1.2.0"),
        ("climate-9", "B\u{fc}ro", "v1.10.0"),
        ("climate-1", "Hall", "1.10.0-rc.1"),
    ] {
        device(&hub, id, json!({ "name": name }), json!({ "firmware_version": version })).await;
    }
    for restarted in [false, true] {
        check(&hub, "", "id", "climate-1 climate-9 climate-10").await;
        check(&hub, "has(firmware_version)", "-id", "climate-10 climate-9 climate-1").await;
        check(&hub, "", "firmware_version", "climate-10 climate-1 climate-9").await;
        check(&hub, "firmware_version < '1.10.0'", "id", "climate-1 climate-10").await;
        for q in ["b\u{fc}ro", "BU\u{308}RO"] {
            assert_eq!(found(&hub, &[("q", q), ("sort", "id")]).await.0, "climate-9 climate-10", "{q}");
        }
        if !restarted {
            assert!(hub.terminate().await.success());
            hub = installation.start().await;
        }
    }
}

#[tokio::test]
async fn a_name_that_no_device_has_is_reported() {
    let hub = Installation::new().start().await;
    let registration = json!({ "type": "pump", "tags": { "floor": "2" } });
    device(&hub, "a", registration, json!({ "battery": 15 })).await;
    let check = async |query: &[(&str, &str)], expected: &[&str]| {
        assert_eq!(warnings(&hub, query).await, expected, "{query:?}");
    };
    check(&[("filter", "battery < 20 && type == 'pump'"), ("sort", "battery")], &[]).await;
    check(
        &[("filter", "type==pump")],
        &["quotes_missing: no device reports `pump`; a text needs quotes: \"pump\""],
    )
    .await;
    check(&[("sort", "foo")], &["unknown_name: no device reports `foo`"]).await;
    check(
        &[("filter", "batery < 20 || tag.flor == '2'")],
        &[
            "unknown_name: no device reports `batery`; did you mean `battery`?",
            "unknown_name: no device has a tag `flor`; did you mean `floor`?",
        ],
    )
    .await;
    for (filter, detail) in [
        ("status == online", "at character 11: a text needs quotes: status == \"online\""),
        (
            "status == 'onlin'",
            "at character 11: `status` is never \"onlin\", but one of online, offline; did you mean \"online\"?",
        ),
        ("mode != 5", "at character 9: `mode` is a text, one of manual, schedule, and never 5"),
        ("claimed == 'true'", "at character 12: `claimed` is true or false, and no text"),
    ] {
        let response = list(&hub, &[("filter", filter)]).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "{filter}");
        let told = response.json::<Value>().await.unwrap()["detail"].as_str().unwrap().to_owned();
        assert_eq!(told, format!("`filter`: {detail}"), "{filter}");
    }
    // A request that acts on devices is refused where it found none by such a name, and told of it otherwise.
    let bulk = async |filter: &str, dry_run: bool| {
        let body =
            json!({ "filter": filter, "action": { "desired": { "power": "on" } }, "dry_run": dry_run });
        let response = hub.post("/api/devices/bulk", &body).await;
        (response.status(), response.json::<Value>().await.unwrap())
    };
    let (status, problem) = bulk("type==pump", false).await;
    assert_eq!((status, &problem["field"]), (StatusCode::UNPROCESSABLE_ENTITY, &json!("filter")));
    let told = problem["detail"].as_str().unwrap();
    assert!(told.starts_with("`filter`: no device matched: no device reports `pump`"), "{told}");
    let (status, preview) = bulk("type==pump", true).await;
    assert_eq!((status, &preview["warnings"][0]["code"]), (StatusCode::OK, &json!("quotes_missing")));
    let (status, job) = bulk("battery > 99", false).await;
    assert_eq!((status, &job["status"]), (StatusCode::ACCEPTED, &json!("failed")));
    assert_eq!(job["reason"], "no device matched: nothing was done");
    assert_eq!(job["percent"], 0);
}

#[tokio::test]
async fn pages_lead_to_each_other() {
    let hub = Installation::new().start().await;
    for n in 0..7 {
        device(&hub, &format!("d-{n}"), json!({}), json!({ "level": n * 10 })).await;
    }
    let path = "/api/devices?filter=level+%3E%3D+10&sort=-level&limit=2&page=2";
    let response = hub.get(path).await;
    let headers = response.headers();
    assert_eq!(headers["X-Total-Count"], "6");
    let link = headers["Link"].to_str().unwrap().to_owned();
    let page: Value = response.json().await.unwrap();
    assert_eq!((&page[0]["id"], &page[1]["id"]), (&json!("d-4"), &json!("d-3")));
    assert_eq!(page[0]["readings"]["level"]["value"], 40);

    let next = link.split(", ").find_map(|link| link.strip_suffix("; rel=\"next\"")).unwrap();
    let next = next.trim_start_matches('<').trim_end_matches('>');
    let page = hub.json(next).await;
    assert_eq!((&page[0]["id"], &page[1]["id"]), (&json!("d-2"), &json!("d-1")));
    assert_eq!(hub.json(&path.replace("page=2", "page=9")).await, json!([]));
}

#[tokio::test]
async fn what_was_just_written_is_found() {
    let hub = Installation::new().start().await;
    device(&hub, "a", json!({}), json!({ "round": 0 })).await;
    device(&hub, "b", json!({}), json!({ "round": 0 })).await;
    for round in 1..=30 {
        let said = hub.post("/api/devices/a/data", &json!({ "round": round })).await;
        assert!(said.status().is_success());
        check(&hub, &format!("round == {round}"), "", "a").await;
        let patch = json!({ "tags": { "round": round } });
        let patched = hub.request(Method::PATCH, "/api/devices/b").json(&patch).send().await.unwrap();
        assert_eq!(patched.status(), StatusCode::OK);
        check(&hub, &format!("tag.round == {round}"), "", "b").await;
        check(
            &hub,
            &format!("round == {} || tag.round == {}", round - 1, round - 1),
            "",
            if round == 1 { "b" } else { "" },
        )
        .await;
    }
    let gone = hub.request(Method::DELETE, "/api/devices/a").send().await.unwrap();
    assert!(gone.status().is_success());
    check(&hub, "has(round)", "", "b").await;
}

#[tokio::test]
async fn lists_are_true_to_what_readings_alone_have_changed() {
    let hub = Installation::new().start().await;
    for id in ["a", "b"] {
        device(&hub, id, json!({}), json!({ "power": "off" })).await;
    }
    let listed = async |sort: &str| found(&hub, &[("sort", sort)]).await.0;
    for (t, id, order) in [(1, "a", "a b"), (2, "b", "b a"), (3, "a", "a b"), (4, "b", "b a")] {
        let said = hub.post(&format!("/api/devices/{id}/data"), &json!({ "t": t })).await;
        assert!(said.status().is_success());
        assert_eq!(listed("-last_seen").await, order);
        assert_eq!(listed("-updated_at").await, order);
    }
    let wanted = json!({ "desired": { "power": "on" } });
    let patched = hub.request(Method::PATCH, "/api/devices/a").json(&wanted).send().await.unwrap();
    assert_eq!(patched.status(), StatusCode::OK);
    let drifts = async || found(&hub, &[("drift", "1ms")]).await.0;
    eventually("it drifts", async || (drifts().await == "a").then_some(())).await;
    let said = hub.post("/api/devices/a/data", &json!({ "power": "on" })).await;
    assert!(said.status().is_success());
    assert_eq!(drifts().await, "", "it has come to what is desired");

    let long = "x".repeat(601);
    assert_eq!(list(&hub, &[("q", &long)]).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn a_wrong_filter_is_refused_with_its_place() {
    let hub = Installation::new().start().await;
    for (parameter, text, code, detail) in [
        (
            "filter",
            "battery < ",
            "bad_filter",
            "at character 11: a value is missing: the expression ends here",
        ),
        ("filter", "battery < 20 and claimed", "bad_filter", "at character 14: `and` is written `&&`"),
        ("filter", "'é' == trigger.value", "bad_filter", "at character 8: nothing has fired here"),
        (
            "filter",
            "twin['pump-1'].power",
            "bad_filter",
            "at character 1: a filter looks at one twin at a time",
        ),
        ("filter", "batery.startsWidth('x')", "bad_filter", "did you mean `startsWith`?"),
        ("sort", "-battery +", "bad_parameter", "at character 11: a value is missing"),
        ("sort", "5", "bad_parameter", "an order names one property of a twin"),
    ] {
        let response = list(&hub, &[(parameter, text)]).await;
        assert_eq!(response.status(), StatusCode::UNPROCESSABLE_ENTITY, "{text}");
        let problem: Value = response.json().await.unwrap();
        assert_eq!((&problem["field"], &problem["code"]), (&json!(parameter), &json!(code)), "{text}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{text}: {}", problem["detail"]);
    }
    let deep = "!".repeat(4_000) + "true";
    assert_eq!(list(&hub, &[("filter", &deep)]).await.status(), StatusCode::UNPROCESSABLE_ENTITY);
}
