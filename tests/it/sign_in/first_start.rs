//! The first start: open to this machine, until there is a user.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::support::http::ask;
use crate::support::hub::{HubProcess, Installation, run, run_fed};
use crate::support::people::{PASSWORD, Person, get_with, told};
use crate::support::within;

/// The token of the link in the banner.
fn set_up_token(hub: &HubProcess) -> Option<String> {
    let link = format!("http://{}/setup#", hub.http);
    hub.banner.lines().find_map(|line| line.trim().strip_prefix(&link)).map(Into::into)
}

fn set_up(token: &str) -> Value {
    json!({ "token": token, "name": "ann", "password": PASSWORD })
}

#[tokio::test]
async fn the_set_up_link_works_once_and_ends_the_open_mode_for_good() {
    let installation = Installation::new();
    let hub = installation.start().await;
    assert_eq!(hub.get("/api/devices").await.status(), 200, "open to this machine");
    let token = set_up_token(&hub).unwrap();
    assert!(token.len() == 64 && token.bytes().all(|byte| byte.is_ascii_hexdigit()), "{token}");
    let other = "0".repeat(64);
    let refused = told(hub.post("/api/auth/setup", &set_up(&other)).await).await;
    assert_eq!(refused, (403, "bad_set_up_token".into()));

    let made = hub.post("/api/auth/setup", &set_up(&token)).await;
    assert_eq!(made.status(), 201);
    let cookie = made.headers()["set-cookie"].to_str().unwrap().to_owned();
    for part in [&*format!("twinhub_{}=", hub.http.port()), "; HttpOnly", "; SameSite=Strict", "; Path=/"] {
        assert!(cookie.contains(part), "{cookie}");
    }
    assert!(!cookie.contains("Secure"), "the page came by http: {cookie}");
    let made: Value = made.json().await.unwrap();
    assert_eq!((&made["user"]["name"], &made["user"]["role"]), (&json!("ann"), &json!("admin")));

    let closed = hub.get("/api/devices").await;
    assert_eq!(closed.headers()["www-authenticate"], "Bearer");
    assert_eq!(told(closed).await, (401, "sign_in_needed".into()));
    let again = told(hub.post("/api/auth/setup", &set_up(&token)).await).await;
    assert_eq!(again, (409, "is_set_up".into()), "a link that was used");
    let first = told(hub.post("/api/auth/register", &json!({ "name": "eve", "password": PASSWORD })).await);
    assert_eq!(first.await, (403, "registration_closed".into()));
    let pair = cookie.split(';').next().unwrap().to_owned();
    let open = async |hub: &HubProcess| {
        let request = hub.request(reqwest::Method::GET, "/api/devices").header("Cookie", &pair);
        request.send().await.unwrap().status()
    };
    assert_eq!(open(&hub).await, 200);

    hub.terminate().await;
    let hub = installation.start().await;
    assert_eq!(set_up_token(&hub), None, "{}", hub.banner);
    assert_eq!(hub.get("/api/devices").await.status(), 401);
    Person::sign_in(&hub, "ann").await;
}

/// The browser has it from a hub that was here before.
#[tokio::test]
async fn an_old_cookie_is_taken_away_where_there_is_no_user_to_sign_in_as() {
    let hub = Installation::new().start().await;
    let old = format!("twinhub_{}={}", hub.http.port(), "a".repeat(43));
    let open = async |path: &str| {
        hub.request(reqwest::Method::GET, path).header("Cookie", &old).send().await.unwrap()
    };
    assert_eq!(open("/").await.status(), 401, "it counts for nothing, which is not the same as none");
    let page = open("/setup").await;
    assert_eq!(page.status(), 200);
    let taken = page.headers()["set-cookie"].to_str().unwrap();
    assert!(taken.starts_with(&format!("twinhub_{}=;", hub.http.port())), "{taken}");
    assert!(taken.contains("Max-Age=0"), "{taken}");
}

/// A proxy on this machine speaks for anybody.
#[tokio::test]
async fn what_a_proxy_hands_on_is_not_taken_for_this_machine() {
    const MARKS: [(&str, &str); 4] = [
        ("X-Forwarded-For", "203.0.113.7"),
        ("Forwarded", "for=203.0.113.7"),
        ("Via", "1.1 caddy"),
        ("X-Real-IP", "::1"),
    ];
    for flags in [&[][..], &["--open"]] {
        let installation = flags
            .iter()
            .fold(Installation::new().with("--public-url", "https://hub.example"), |it, flag| it.flag(flag));
        let hub = installation.start().await;
        assert_eq!(hub.get("/api/devices").await.status(), 200, "{flags:?}");
        for (name, value) in MARKS {
            let asked =
                hub.request(reqwest::Method::GET, "/api/devices").header(name, value).send().await.unwrap();
            assert_eq!(told(asked).await, (401, "sign_in_needed".into()), "{flags:?} {name}");
        }
        let eve = json!({ "name": "eve", "password": PASSWORD });
        let register = hub.request(reqwest::Method::POST, "/api/auth/register").header("Via", "1.1 caddy");
        assert_eq!(
            told(register.json(&eve).send().await.unwrap()).await,
            (403, "registration_closed".into())
        );

        let short = hub.post("/api/auth/register", &json!({ "name": "ann", "password": "purple12" })).await;
        assert_eq!(told(short).await, (422, "bad_password".into()), "others reach it by the proxy");
        assert!(hub.get("/setup").await.text().await.unwrap().contains("At least 15 characters"));
        Person::first(&hub, "ann").await;
        let login = json!({ "name": "ann", "password": PASSWORD });
        let by_https =
            hub.request(reqwest::Method::POST, "/api/auth/login").header("Origin", "https://hub.example");
        let answer = by_https.header("X-Forwarded-Proto", "https").json(&login).send().await.unwrap();
        let cookie = answer.headers()["set-cookie"].to_str().unwrap();
        assert!(cookie.ends_with("; Secure"), "{cookie}");
    }
}

#[tokio::test]
async fn callers_without_a_right_get_the_word_of_health_and_nothing_else() {
    let hub = Installation::new().start().await;
    let ann = Person::first(&hub, "ann").await;
    assert_eq!(
        hub.json("/health").await,
        json!({ "status": "healthy", "services": { "mqtt": "connected", "database": "available", "weather": "available" } })
    );
    assert_eq!(hub.json("/ready").await, json!({ "ready": true }));
    assert_eq!(ann.json(&hub, "/health").await["parts"]["store"]["status"], "ok");
    for path in ["/metrics", "/api/openapi.json", "/docs", "/docs/", "/docs/index.html"] {
        assert_eq!(hub.get(path).await.status(), 401, "{path}");
    }
    assert_ne!(hub.get("/%64ocs/").await.status(), 200, "by another name");
    for path in ["/metrics", "/api/openapi.json", "/docs/"] {
        assert_eq!(ann.get(&hub, path).await.status(), 200, "{path}");
    }
}

#[tokio::test]
async fn an_open_hub_lets_this_machine_in_also_when_there_are_users() {
    let hub = Installation::new().flag("--open").start().await;
    let ann = Person::first(&hub, "ann").await;
    assert_eq!(hub.get("/api/devices").await.status(), 200);
    let made = hub.post("/api/devices", &json!({ "device_id": "pump-1", "name": "Pump" })).await;
    assert_eq!(made.status(), 201);
    let ann = ann.json(&hub, "/api/auth/user").await;
    assert_eq!((&ann["caller"], &ann["role"]), (&json!("user:ann"), &json!("admin")));
    let nobody = hub.json("/api/auth/user").await;
    assert_eq!(
        (&nobody["caller"], &nobody["user"], &nobody["role"]),
        (&json!(""), &json!(null), &json!(null))
    );
    let bob = json!({ "name": "bob", "role": "viewer", "password": PASSWORD });
    assert_eq!(hub.post("/api/users", &bob).await.status(), 201);
    let created = hub.json("/api/audit?action=user.created").await;
    assert_eq!((&created[0]["who"], &created[0]["address"]), (&json!(""), &json!("127.0.0.1")), "{created}");
    // A session that has ended leads to where one signs in, and from there on without one.
    let pair = format!("twinhub_{}={}", hub.http.port(), "a".repeat(64));
    let open = async |path: &str| {
        let (line, host) = (format!("GET {path} HTTP/1.1"), format!("Host: {}", hub.http));
        ask(hub.http, &[&line, &host, &format!("Cookie: {pair}"), "Accept: text/html"], "").await
    };
    let sent_on = open("/").await;
    assert_eq!((sent_on.status, sent_on.header("location")), (303, Some("/login?next=%2F")));
    let page = open("/login?next=%2F").await;
    assert!(page.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert!(page.body.contains(r#"<a href="/">go on without signing in</a>"#), "{}", page.body);
    // A credential that counts for nothing is none, and never taken for a caller without one.
    let key = format!("twh_pat_{}", "a".repeat(59));
    assert_eq!(get_with(&hub, &key, "/api/devices").await.0, 401);
}

/// Once there is a user, other machines can be served.
#[tokio::test]
async fn a_hub_with_a_user_may_be_reached_by_other_machines() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().to_str().unwrap();
    let place = ["--data-dir", data, "--listen", "0.0.0.0:0"];
    let serve = [&place[..], &["--mqtt-listen", "127.0.0.1:0", "--log-format", "json"]].concat();
    let refused = run(&serve, &[]).await;
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        refused.status.code() == Some(2) && told.contains("twinhub user add NAME --role admin"),
        "{told}"
    );
    let add = [&["user", "add", "ann", "--role", "admin", "--password-stdin"], &place[..]].concat();
    let short = run_fed(&add, "purple12").await;
    let told = String::from_utf8_lossy(&short.stderr).into_owned();
    assert!(short.status.code() == Some(1) && told.contains("15 characters"), "{told}");
    let made = run_fed(&add, PASSWORD).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));

    let mut child = Command::new(env!("CARGO_BIN_EXE_twinhub"))
        .args(&serve)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let serving = within("it serves", async {
        while let Some(line) = log.next_line().await.unwrap() {
            let entry: Value = serde_json::from_str(&line).unwrap_or_default();
            if entry["message"] == "serving" {
                return entry;
            }
        }
        panic!("it ended instead of serving")
    })
    .await;
    let port = serving["http"].as_str().unwrap().rsplit_once(':').unwrap().1.to_owned();
    let status = async |path: &str| {
        within("an answer", reqwest::get(format!("http://127.0.0.1:{port}{path}"))).await.unwrap().status()
    };
    assert_eq!((status("/api/devices").await.as_u16(), status("/ready").await.as_u16()), (401, 200));
}
