//! Every route of every table, asked by callers with and without its permission.

use std::collections::HashSet;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, init_service, try_call_service};
use actix_web::{App, http};
use async_trait::async_trait;
use tempfile::TempDir;
use twinhub_actors::access::Permissions;
use twinhub_actors::{Hub, Settings};
use twinhub_domain::{Outgoing, Timestamp};
use twinhub_mqtt::{Link, LinkError, LinkState, Published};
use twinhub_store::MemoryStore;
use twinhub_testkit::{ManualClock, within};

use super::*;
use crate::api::devices::token::Tokens;
use crate::api::firmware::Folder;
use crate::config::{Config, Options};
use crate::http::{Policy, all_operations};
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

async fn state(folder: &TempDir, anonymous: Permissions) -> Data<WebState> {
    let clock = ManualClock::at(Timestamp::from_millis(0));
    let settings = Settings { arbiters: 1, ..Settings::default() };
    let hub = Hub::start(std::sync::Arc::new(MemoryStore::default()), clock, settings).await.unwrap();
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
        workers: 1,
    };
    WebState::new(hub, std::sync::Arc::new(Nowhere), info, &settings)
}

/// The status that a caller with these permissions gets on each route.
async fn walk(anonymous: Permissions) -> Vec<(Operation, StatusCode)> {
    let folder = TempDir::new().unwrap();
    let state = state(&folder, anonymous).await;
    let app =
        init_service(App::new().configure(|config| crate::http::configure(config, state.clone()))).await;
    let mut answers = Vec::new();
    for operation in all_operations() {
        let path: Vec<_> =
            operation.path.split('/').map(|part| if part.starts_with('{') { "1" } else { part }).collect();
        let method = operation.method.allow().split(',').next().unwrap();
        let request = TestRequest::with_uri(&path.join("/"))
            .method(http::Method::from_bytes(method.as_bytes()).unwrap());
        let request = request.set_payload("{}").to_request();
        let what = format!("{method} {}", operation.path);
        let status = match within(&what, try_call_service(&app, request)).await {
            Ok(response) => response.status(),
            Err(error) => error.as_response_error().status_code(),
        };
        answers.push((operation, status));
    }
    answers
}

#[actix_web::test]
async fn whoever_has_all_permissions_is_let_in_everywhere() {
    for (operation, status) in walk(Permissions::all()).await {
        let what = (operation.path, operation.method);
        assert!(
            !matches!(status, StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED),
            "{what:?}: {status}"
        );
        assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{what:?}");
    }
}

#[actix_web::test]
async fn whoever_lacks_a_permission_is_refused_on_its_routes_and_on_no_others() {
    for permission in Permission::ALL {
        for (operation, status) in walk(Permissions::all().without(permission)).await {
            // A handler may ask for more than its route says, so others are looked at with all permissions alone.
            if operation.permission == permission {
                assert_eq!(status, StatusCode::FORBIDDEN, "{:?} {}", operation.method, operation.path);
            }
        }
    }
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
    let plain = ["/api/openapi.json", "/docs"];
    for operation in served.iter().filter(|operation| !plain.contains(&&*operation.path)) {
        assert!(described(operation), "{:?} {}", operation.method, operation.path);
    }
    let paths = document["paths"].as_object().unwrap();
    let count: usize = paths.values().map(|path| path.as_object().unwrap().len()).sum();
    assert_eq!(count, served.len() - plain.len());
}
