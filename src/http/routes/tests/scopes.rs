//! Every route with a device in its path, asked by callers whose scope leaves the device out: it is as unknown to them
//! as one that there is not, to the last byte.

use actix_web::body::to_bytes;
use actix_web::http::header::HeaderName;
use serde_json::Value;
use twinhub_access::{Scope, ScopeWish};
use twinhub_actors::access::{Caller, Grant, InputRequest};
use twinhub_actors::messages::supervisor::IfUnknown;
use twinhub_domain::cause::Source;
use twinhub_domain::twin::Registration;
use twinhub_domain::{DeviceId, Input};

use super::roles::{session, session_in};
use super::*;

const COMMAND: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// A body with a fingerprint.
const CERTIFICATE: &str =
    r#"{"fingerprint": "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}"#;

/// A body that the route takes, where an empty object is none.
fn body(method: &str, path: &str) -> &'static str {
    match (method, path.rsplit('/').next().unwrap_or_default()) {
        ("POST", "commands") => r#"{"command_type": "reboot"}"#,
        ("POST", "{command_id}") => r#"{"status": "executed"}"#,
        ("POST", "data") => r#"{"temperature": 20}"#,
        ("PUT", "lifecycle") => r#"{"state": "suspended"}"#,
        ("PUT", "certificate") => CERTIFICATE,
        ("PUT", "mode") => r#"{"mode": "manual"}"#,
        ("PATCH", "twin") => r#"{"desired": {"power": "on"}}"#,
        ("PUT", "{id}") if path.starts_with("/dispositivos") => r#"{"nombre": "x"}"#,
        ("PUT" | "PATCH", "{id}") => r#"{"name": "x"}"#,
        _ => "{}",
    }
}

async fn register(program: &Grant, id: &str, group: &str) {
    let patch = [("group_id", group.into()), ("serial_number", id.into())].into_iter().collect();
    let input = Input::Register(Box::new(Registration { patch }));
    let request = InputRequest::new(DeviceId::parse(id).unwrap(), input);
    program.deliver(request.if_unknown(IfUnknown::Begin)).await.unwrap();
}

/// The status, the names of the headers, and the body without what differs with each request.
async fn answer<S, B>(app: &S, request: actix_http::Request) -> (StatusCode, Vec<HeaderName>, Value)
where
    S: actix_web::dev::Service<actix_http::Request, Response = ServiceResponse<B>, Error = actix_web::Error>,
    B: MessageBody,
{
    match within("an answer", try_call_service(app, request)).await {
        Ok(response) => {
            let status = response.status();
            let mut names: Vec<_> = response.headers().keys().cloned().collect();
            names.sort_by(|one, other| one.as_str().cmp(other.as_str()));
            let body = to_bytes(response.into_body()).await.map_err(|_| "a body").unwrap();
            let mut body: Value = serde_json::from_slice(&body).unwrap_or_default();
            if let Some(body) = body.as_object_mut() {
                body.remove("request_id");
            }
            (status, names, body)
        }
        Err(error) => (error.as_response_error().status_code(), Vec::new(), Value::Null),
    }
}

#[actix_web::test]
async fn a_device_out_of_scope_is_as_unknown_as_one_that_there_is_not() {
    let folder = TempDir::new().unwrap();
    let state = state(&folder, AnonymousAccess::until_set_up()).await;
    let app =
        init_service(App::new().configure(|config| crate::http::configure(config, state.clone()))).await;
    session(&state, Role::Admin).await; // the first user is an admin
    let program = state.hub().of(Caller::Program, Source::Rest);
    register(&program, "theirs", "yard").await; // number 1
    register(&program, "mine", "hall").await;
    let scopes: [(&str, &str); 5] = [
        ("groups", r#"{"groups": ["hall"]}"#),
        ("devices", r#"{"devices": ["mine"]}"#),
        ("ids", r#"{"ids": ["m*"]}"#),
        ("own", r#""own""#),
        ("nothing", r#""nothing""#),
    ];
    let mut asked = 0;
    for (word, scope) in scopes {
        let scope: ScopeWish = serde_json::from_str(scope).unwrap();
        assert_ne!(scope, ScopeWish::Scope(Scope::All));
        let name = format!("the-one-of-{word}");
        let cookie = format!("{}={}", state.cookie, session_in(&state, &name, Role::Operator, scope).await);
        for operation in all_operations() {
            let is_of_device =
                ["/api/devices/{id}", "/dispositivos/{id}"].iter().any(|of| operation.path.starts_with(of));
            if !is_of_device {
                continue;
            }
            let method = operation.method.allow().split(',').next().unwrap();
            let (theirs, nobody) =
                if operation.path.starts_with("/api") { ("theirs", "nobody") } else { ("1", "7") };
            let ask = |id: &str| {
                let path = operation.path.replace("{id}", id).replace("{command_id}", COMMAND);
                let request = TestRequest::with_uri(&path)
                    .method(http::Method::from_bytes(method.as_bytes()).unwrap())
                    .insert_header(("Cookie", cookie.clone()))
                    .insert_header(("Sec-Fetch-Site", "same-origin"))
                    .insert_header(("Content-Type", "application/json"))
                    .set_payload(body(method, &operation.path));
                answer(&app, request.to_request())
            };
            let what = format!("{method} {} by {word}", operation.path);
            let (status, headers, body) = ask(theirs).await;
            // A log of seed 003 is empty, and no error, where there is no such device.
            let is_log = operation.path == "/dispositivos/{id}/logs";
            let expected = if is_log { StatusCode::OK } else { StatusCode::NOT_FOUND };
            assert_eq!(status, expected, "{what}: {body}");
            let (unknown, unknown_headers, unknown_body) = ask(nobody).await;
            // A log names no device: the number in it is its page's.
            let said = |body: Value, id: &str| {
                let said = body.to_string();
                if is_log { said } else { said.replace(id, "ID") }
            };
            let (said, unknown_said) = (said(body, theirs), said(unknown_body, nobody));
            assert_eq!((status, headers, said), (unknown, unknown_headers, unknown_said), "{what}");
            asked += 1;
        }
    }
    assert!(asked > 5 * 15, "the routes of devices are walked: {asked}");
    let twin = program.read(&DeviceId::parse("theirs").unwrap()).await.unwrap().unwrap();
    assert_eq!(twin.version, 1, "nothing of all that reached it");
}
