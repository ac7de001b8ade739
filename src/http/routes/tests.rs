//! Every route of every table, asked by callers with and without its permission.

mod audited;
mod roles;
mod scopes;

use std::collections::HashSet;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::{App, http};
use async_trait::async_trait;
use tempfile::TempDir;
use twinhub_access::Role;
use twinhub_actors::access::{Permissions, Tokens};
use twinhub_actors::{Hub, Settings};
use twinhub_domain::{Outgoing, Timestamp};
use twinhub_mqtt::{Link, LinkError, LinkState, Published};
use twinhub_store::MemoryStore;
use twinhub_store::seal::Seal;
use twinhub_testkit::{ManualClock, within};

use twinhub_access::jwt::{JwtKey, JwtKeys};

use super::*;
use crate::api::firmware::Folder;
use crate::config::{Config, Options};
use crate::dialects::WeatherSettings;
use crate::http::{AnonymousAccess, Policy, all_operations};
use crate::state::{ServerInfo, WebSettings};

/// A way out to no device.
struct Nowhere;

#[async_trait]
impl Link for Nowhere {
    async fn publish(&self, _: &Outgoing, _: Option<Duration>) -> Result<Published, LinkError> {
        Ok(Published::Taken)
    }

    fn state(&self) -> LinkState {
        LinkState::default()
    }

    async fn stop_intake(&self) {}

    async fn close(&self) {}
}

async fn state(folder: &TempDir, anonymous: AnonymousAccess) -> Data<WebState> {
    let clock = ManualClock::at(Timestamp::from_millis(0));
    let settings = Settings { arbiters: 1, ..Settings::default() };
    let hub = Hub::start(Arc::new(MemoryStore::default()), clock, settings).await.unwrap();
    let info = ServerInfo {
        version: "0",
        started_at: Timestamp::from_millis(0),
        mqtt_host: "127.0.0.1".into(),
        mqtt_port: 1883,
        mqtt_url: "mqtt://127.0.0.1:1883".into(),
        http: "127.0.0.1:8080".into(),
        public_url: "http://127.0.0.1:8080".into(),
    };
    let settings = WebSettings {
        policy: Policy::of(&Config::resolve(Options::default()).unwrap(), &info.public_url),
        most_connections: 10,
        firmware: Folder::new(folder.path().join("firmware")),
        tokens: Tokens::default(),
        anonymous,
        is_local_only: true,
        serves_set_up: false,
        local_key: None,
        jwt: JwtKeys::new("hub", JwtKey::own("own", [1; 32]), []),
        sign_on: None,
        public_url: None,
        tls: None,
        weather: WeatherSettings::of(&Config::resolve(Options::default()).unwrap()),
        sensor_data_device: Config::resolve(Options::default()).unwrap().sensor_data_device.0,
        seal: Arc::new(Seal::new(&[1; 32])),
        workers: 1,
    };
    WebState::new(hub, Arc::new(Nowhere), info, &settings)
}

/// A request for a route, with an empty object as its body.
fn request(operation: &Operation) -> TestRequest {
    let path: Vec<_> =
        operation.path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect();
    let method = operation.method.allow().split(',').next().unwrap();
    let request = TestRequest::with_uri(&path.join("/"));
    request.method(http::Method::from_bytes(method.as_bytes()).unwrap()).set_payload("{}")
}

/// The status that a caller with these permissions gets on each route.
async fn walk(permissions: Permissions) -> Vec<(Operation, StatusCode)> {
    let folder = TempDir::new().unwrap();
    let state = state(&folder, AnonymousAccess { permissions, ..AnonymousAccess::all() }).await;
    let app =
        init_service(App::new().configure(|config| crate::http::configure(config, state.clone()))).await;
    let mut answers = Vec::new();
    for operation in all_operations() {
        let what = format!("{:?} {}", operation.method, operation.path);
        let status = match within(&what, try_call_service(&app, request(&operation).to_request())).await {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        answers.push((operation, status));
    }
    answers
}

#[actix_web::test]
async fn all_permissions_open_all_routes() {
    for (operation, status) in walk(Permissions::all()).await {
        let what = (operation.path, operation.method);
        if what.0 == "/v1/auth/me" {
            continue; // it takes a user, and FastAPI says so by this status
        }
        assert!(
            !matches!(status, StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED),
            "{what:?}: {status}"
        );
        assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{what:?}");
    }
}

#[actix_web::test]
async fn a_missing_permission_closes_its_routes_and_no_others() {
    for permission in Permission::ALL {
        for (operation, status) in walk(Permissions::all().without(permission)).await {
            // A handler may ask for more than its route says, so others are looked at with all permissions alone.
            if operation.permission == permission {
                // FastAPI has a status of its own for who brings nothing.
                let expected = match roles::is_of_fastapi(&operation) {
                    true => StatusCode::FORBIDDEN,
                    false => StatusCode::UNAUTHORIZED,
                };
                assert_eq!(status, expected, "{:?} {}", operation.method, operation.path);
            }
        }
    }
}

/// Bodies of anybody who does not know us: their type is theirs.
const FOREIGN: [&str; 1] = ["/api/automation/webhooks/{name}"];

/// The methods and paths whose body is JSON, as the description says.
fn json_bodies() -> HashSet<(String, String)> {
    let document = serde_json::to_value(crate::api::openapi()).unwrap();
    let mut bodies = HashSet::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let content = &operation["requestBody"]["content"];
            // A certificate is taken as it is, whatever type a client gives its file.
            let is_json =
                content["application/json"].is_object() && content["application/x-pem-file"].is_null();
            if is_json && !FOREIGN.contains(&path.as_str()) {
                bodies.insert((method.to_uppercase(), path.clone()));
            }
        }
    }
    // Those of a dialect stand in no description.
    for (method, path) in [
        ("POST", "/dispositivos"),
        ("PUT", "/dispositivos/{id}"),
        ("POST", "/dispositivos/reclamar"),
        ("POST", "/v1/auth/login"),
        ("POST", "/sensor-data/"),
        ("POST", "/api/layout"),
    ] {
        bodies.insert((method.into(), path.into()));
    }
    bodies
}

/// A route that reads JSON takes no other type, and says what it takes; all others do not look at it.
#[actix_web::test]
async fn a_json_body_of_another_type_is_refused_everywhere() {
    let folder = TempDir::new().unwrap();
    let state = state(&folder, AnonymousAccess::all()).await;
    let app =
        init_service(App::new().configure(|config| crate::http::configure(config, state.clone()))).await;
    let mut bodies = json_bodies();
    for operation in all_operations() {
        let method = operation.method.allow().split(',').next().unwrap().to_owned();
        let reads_json = bodies.remove(&(method.clone(), operation.path.clone()));
        // A second factor is turned off with the password, which belongs in no address.
        let takes_body = operation.path == "/api/auth/totp" && method == "DELETE";
        if method == "GET" || method == "DELETE" && !takes_body {
            assert!(!reads_json, "{method} {}", operation.path);
            continue;
        }
        let path = operation.path.replace("{command_id}", "01890a5d-ac96-774b-bcce-b302099a8057");
        let path: Vec<_> =
            path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect();
        for (content_type, is_json) in [("text/plain", false), ("application/merge-patch+json", true)] {
            let request = TestRequest::with_uri(&path.join("/"))
                .method(http::Method::from_bytes(method.as_bytes()).unwrap())
                .insert_header((http::header::CONTENT_TYPE, content_type))
                .set_payload("{}")
                .to_request();
            let what = format!("{method} {} as {content_type}", operation.path);
            let status = match within(&what, try_call_service(&app, request)).await {
                Ok(response) => response.status(),
                Err(error) => error.as_response_error().status_code(),
            };
            let is_refused = status == StatusCode::UNSUPPORTED_MEDIA_TYPE;
            assert_eq!(is_refused, reads_json && !is_json, "{what}: {status}");
        }
    }
    assert!(bodies.is_empty(), "no route has these: {bodies:?}");
}

/// Or the second would never be asked.
#[test]
fn no_route_is_there_twice() {
    let mut seen = HashSet::new();
    for operation in all_operations() {
        assert!(seen.insert((operation.path.clone(), operation.method.allow())), "{}", operation.path);
    }
}

/// A route of plain words must not be taken for a device of that name.
#[test]
fn all_that_is_described_is_served_and_the_other_way_round() {
    let document = serde_json::to_value(crate::api::openapi()).unwrap();
    let described = |operation: &Operation| {
        let method = operation.method.allow().split(',').next().unwrap().to_lowercase();
        document["paths"][&operation.path][&method]["x-permission"] == operation.permission.as_str()
    };
    let served: Vec<_> = crate::api::all_operations();
    let plain = ["/api/openapi.json", "/docs", "/docs/{file:.*}"];
    for operation in served.iter().filter(|operation| !plain.contains(&&*operation.path)) {
        assert!(described(operation), "{:?} {}", operation.method, operation.path);
    }
    let paths = document["paths"].as_object().unwrap();
    let count: usize = paths.values().map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(count, served.len() - plain.len());
}
