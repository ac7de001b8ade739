//! A hub on a local network, from its start to the first user.

use std::path::Path;

use reqwest::Method;
use serde_json::json;

use crate::support::hub::{Installation, run_fed};
use crate::support::people::{PASSWORD, Person, told};
use crate::support::{HubProcess, MqttDevice};

/// The status of a page as a browser opens it, and where it leads to.
async fn page(hub: &HubProcess, path: &str, trusted: &Path) -> (u16, Option<String>) {
    let authority = reqwest::Certificate::from_pem(&std::fs::read(trusted).unwrap()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([authority]);
    let client = client.redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let request = client.get(format!("https://{}{path}", hub.http)).header("Accept", "text/html");
    let answer = request.send().await.unwrap();
    let to = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
    (answer.status().as_u16(), to)
}

/// A hub with these options, which its local network reaches, as that reaches it; and the token of its link.
async fn on_network(installation: &Installation) -> (HubProcess, String) {
    let mut hub = installation.start().await;
    assert!(hub.banner.contains("nobody is let in until there is a user"), "{}", hub.banner);
    let link =
        hub.banner.lines().find_map(|line| line.trim().strip_prefix("https://")?.split_once("/setup#"));
    let (address, token) = link.map(|(address, token)| (address.to_owned(), token.to_owned())).unwrap();
    let port = hub.http.port();
    hub.http = address.parse().unwrap();
    assert!(!hub.http.ip().is_unspecified() && hub.http.port() == port, "{address}");
    (hub, token)
}

/// The same with a port for MQTT over TLS that is free, asked by clients that trust the authority that it makes.
fn trusted(installation: Installation) -> Installation {
    let authority = installation.data.join("tls/ca.pem");
    installation.with("--mqtt-tls-listen", "0.0.0.0:0").trusting(&authority)
}

#[tokio::test]
async fn a_hub_on_the_network_is_set_up_by_its_link() {
    let installation = trusted(Installation::new().everywhere().flag("--lan"));
    let trusted = installation.data.join("tls/ca.pem");
    let (hub, token) = on_network(&installation).await;
    let not_yet = (503, "not_set_up".to_owned());
    for path in ["/api/devices", "/api/openapi.json", "/metrics", "/", "/ws", "/api/auth/user", "/v1/nothing"]
    {
        assert_eq!(told(hub.get(path).await).await, not_yet, "{path}");
    }
    let eve = json!({ "name": "eve", "password": PASSWORD });
    for path in ["/api/auth/register", "/api/auth/login", "/api/devices"] {
        assert_eq!(told(hub.post(path, &eve).await).await, not_yet, "{path}");
    }
    let known = hub.request(Method::GET, "/api/devices").bearer_auth("twh_pat_x").send().await.unwrap();
    assert_eq!(told(known).await, not_yet, "a key of some other hub");
    assert_eq!(
        hub.json("/health").await,
        json!({ "status": "healthy", "services": { "mqtt": "connected", "database": "available", "weather": "available" } })
    );
    assert_eq!(hub.json("/ready").await, json!({ "ready": true }));
    let pem = hub.get("/ca.pem").await.text().await.unwrap();
    assert_eq!(pem, std::fs::read_to_string(&trusted).unwrap());
    let to_set_up = (303, Some("/setup".to_owned()));
    for path in ["/", "/login", "/join", "/share", "/docs/", "/nothing"] {
        assert_eq!(page(&hub, path, &trusted).await, to_set_up, "{path}");
    }
    for path in ["/setup", "/assets/sign-in.js", "/assets/style.css"] {
        assert_eq!(page(&hub, path, &trusted).await, (200, None), "{path}");
    }
    assert!(!hub.get("/setup").await.text().await.unwrap().contains("is open without"));
    assert!(
        hub.banner.contains("/ca.pem") && hub.banner.contains("add it to the authorities"),
        "{}",
        hub.banner
    );
    assert!(MqttDevice::connect(hub.mqtt.unwrap(), "pump-1").await.is_err(), "devices have passwords here");

    let set_up = |password: &str| json!({ "token": token, "name": "ann", "password": password });
    let short = told(hub.post("/api/auth/setup", &set_up("greenhor")).await).await;
    assert_eq!(short, (422, "bad_password".into()), "15 characters on a network");
    let ann = Person::set_up(&hub, &set_up(PASSWORD)).await;
    assert_eq!(ann.get(&hub, "/api/devices").await.status(), 200);
    assert_eq!(told(hub.get("/api/devices").await).await, (401, "sign_in_needed".into()));
    assert_eq!(page(&hub, "/setup", &trusted).await, (303, Some("/login".into())));
    assert_eq!(page(&hub, "/", &trusted).await, (303, Some("/login?next=%2F".into())));
    assert!(MqttDevice::connect(hub.mqtt.unwrap(), "pump-1").await.is_err(), "still");
}

#[tokio::test]
async fn a_command_on_its_machine_sets_a_hub_on_the_network_up_too() {
    let installation = trusted(Installation::new().everywhere().flag("--lan"));
    let (hub, _) = on_network(&installation).await;
    let data = installation.data.to_str().unwrap();
    let add = ["user", "add", "ann", "--role", "admin", "--password-stdin", "--data-dir", data];
    let made = run_fed(&add, PASSWORD).await;
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    assert_eq!(told(hub.get("/api/devices").await).await, (401, "sign_in_needed".into()));
    Person::sign_in(&hub, "ann").await;
}
