//! `/api/asyncapi.json`: the AsyncAPI 3 document of the WebSocket and of the event stream, made from the structs of
//! their frames.

mod examples;
mod messages;

use std::sync::LazyLock;

use actix_web::HttpResponse;
use actix_web::http::header::ContentType;
use actix_web::web;
use serde_json::{Map, Value, json};
use twinhub_actors::access::Permission;

use self::messages::Messages;
use super::sse::{EventsData, LaggedData, ResyncData};
use super::ws::{ClientFrame, EventFrame, EventsFrame, HubFrame};
use crate::api::audit::AuditItem;
use crate::api::events::schema::EventItem;
use crate::http::routes::{Method, Operation};

const DOCUMENT: &str = "/api/asyncapi.json";

/// The AsyncAPI version that the document is of.
const VERSION: &str = "3.0.0";

const DESCRIPTION: &str = "Live events of twinhub, a live digital twin of every IoT device. The requests of HTTP are \
    described beside it, at `/api/openapi.json`. Every event has a place in one sequence, its `cursor`: a client that was \
    away hands back the last one it has got as `since`, and misses none. A cursor is a text without a meaning for \
    programs. Callers who see all devices are told the place as a number too, `seq`.";

const SESSION_DESCRIPTION: &str = "JSON texts of 1 MiB at most, both ways. A session has 64 subscriptions at most. \
    When the hub shuts down it closes with 1001; with 4401 when the session or key of the client has ended, with 4403 when \
    it gives other rights than before.";

const EVENTS_DESCRIPTION: &str = "One subscription a connection, for requests with `Accept: text/event-stream`. The \
    payload of a message is its `data`. A comment comes every 15 s.";

/// The channel of `/api/ws`.
const SESSION: &str = "session";
/// The channel of `/api/events`.
const EVENTS: &str = "events";
/// The channel of `/api/audit`.
const AUDIT: &str = "audit";

const AUDIT_DESCRIPTION: &str = "The audit as it is written, for admins, for requests with `Accept: text/event-stream`. The \
    payload of a message is its `data`. A comment comes every 15 s.";

/// The channel of `/socket.io/`.
const SOCKETIO: &str = "socketio";

const SOCKETIO_DESCRIPTION: &str = "Every reading that the client may see, for clients of Socket.IO 5 (Engine.IO 4), in the \
    main namespace: by polls, by WebSocket, and from one to the other. A client says who it is by a cookie, by \
    `Authorization`, or by `auth: {token}` when it joins. Events of the client are ignored.";

/// The AsyncAPI document.
#[must_use]
pub fn asyncapi() -> Value {
    let mut messages = Messages::default();
    let requests = messages.frames::<ClientFrame>();
    messages.refuse_unknown_members(&requests);
    let mut frames = messages.frames::<HubFrame<'static>>();
    frames.push(messages.add::<EventFrame>("event", "An event of one or several subscriptions."));
    frames.push(messages.add::<EventsFrame>("events", "Events of a subscription that asked for bundles."));
    let stream = [
        messages
            .add::<EventItem>("streamed_event", "An event. Its `id` is its cursor, its `event` the kind."),
        messages.add::<EventsData>(
            "streamed_events",
            "A bundle of events: `event: events`. Its `id` is the cursor of the last.",
        ),
        messages.add::<LaggedData>(
            "streamed_lagged",
            "The client is too slow: `event: lagged`. Events were skipped.",
        ),
        messages.add::<ResyncData>("streamed_resync", "The past asked for is gone: `event: resync`."),
    ];
    let entry = "An entry of the audit: `event: audit`. Its `id` is its place.";
    let audit = [messages.add::<AuditItem>("streamed_audit", entry)];
    let (schemas, messages) = messages.finish();
    let session: Vec<_> = requests.iter().chain(&frames).cloned().collect();
    json!({
        "asyncapi": VERSION,
        "info": { "title": "twinhub", "version": env!("CARGO_PKG_VERSION"), "description": DESCRIPTION },
        "defaultContentType": "application/json",
        "servers": {
            "websocket": { "host": "127.0.0.1:8080", "protocol": "ws", "description": "The default address of the hub." },
            "http": { "host": "127.0.0.1:8080", "protocol": "http", "description": "The same address." },
        },
        "channels": {
            SESSION: {
                "address": "/api/ws",
                "title": "WebSocket session",
                "description": SESSION_DESCRIPTION,
                "servers": [{ "$ref": "#/servers/websocket" }],
                "messages": references(&session, "#/components/messages/"),
            },
            EVENTS: {
                "address": "/api/events",
                "title": "Server-sent events",
                "description": EVENTS_DESCRIPTION,
                "servers": [{ "$ref": "#/servers/http" }],
                "messages": references(&stream, "#/components/messages/"),
            },
            AUDIT: {
                "address": "/api/audit",
                "title": "The audit as server-sent events",
                "description": AUDIT_DESCRIPTION,
                "servers": [{ "$ref": "#/servers/http" }],
                "messages": references(&audit, "#/components/messages/"),
            },
            SOCKETIO: {
                "address": "/socket.io/",
                "title": "Socket.IO",
                "description": SOCKETIO_DESCRIPTION,
                "servers": [{ "$ref": "#/servers/http" }, { "$ref": "#/servers/websocket" }],
                "messages": { "sensor_data": sensor_data() },
            },
        },
        "operations": {
            "request": operation("receive", SESSION, &requests, "Request frames of the client."),
            "notify": operation("send", SESSION, &frames, "Answers and notifications of the hub."),
            "stream": stream_operation(&stream),
            "audit": audit_operation(&audit),
            "sensor_data": operation("send", SOCKETIO, &["sensor_data".to_owned()], "Readings as they come."),
        },
        "components": { "schemas": schemas, "messages": messages },
    })
}

/// The message of Socket.IO. Its members are the device's own.
fn sensor_data() -> Value {
    json!({
        "name": "sensor_data",
        "title": "Readings of a device",
        "summary": "An event of one argument: the device's id, and the members of its message as they came.",
        "payload": {
            "type": "object",
            "required": ["device_id"],
            "properties": { "device_id": { "type": "string", "description": "The id of the device." } },
            "additionalProperties": true,
            "examples": [{ "device_id": "test_device", "temperature": 23.5, "humidity": 55, "pressure": 1013.25 }],
        },
    })
}

fn operation(action: &str, channel: &str, messages: &[String], summary: &str) -> Value {
    let in_channel = format!("#/channels/{channel}/messages/");
    let messages: Vec<_> =
        messages.iter().map(|name| json!({ "$ref": format!("{in_channel}{name}") })).collect();
    json!({
        "action": action,
        "channel": { "$ref": format!("#/channels/{channel}") },
        "summary": summary,
        "messages": messages,
    })
}

fn stream_operation(messages: &[String]) -> Value {
    let text = |description: &str| json!({ "type": "string", "description": description });
    let query = json!({
        "type": "object",
        "properties": {
            "device": text("Devices by id or by pattern, parted by commas; all by default."),
            "group": text("Devices of this group, and of all groups under it, alone."),
            "kind": text("Kinds of events, parted by commas; all by default."),
            "severity": text("Alarms of this severity or worse alone."),
            "since": text(
                "Events after this cursor, or, for who sees all devices, after this number, then the live ones. The \
                 header `Last-Event-ID` goes before it.",
            ),
            "every": text("Events in bundles, one at most in this time: a duration from 10 ms to a minute."),
            "latest": {
                "type": "boolean",
                "description": "With `every`: of readings the newest of each name of each device alone, in each bundle.",
            },
        },
    });
    let mut operation = operation("send", EVENTS, messages, "Events as they happen.");
    operation["bindings"] = json!({ "http": { "method": "GET", "query": query, "bindingVersion": "0.3.0" } });
    operation
}

fn audit_operation(messages: &[String]) -> Value {
    let query = json!({
        "type": "object",
        "properties": {
            "since": {
                "type": "integer",
                "minimum": 0,
                "description": "Entries after this place, then those that come. The header `Last-Event-ID` goes before it.",
            },
        },
    });
    let mut operation = operation("send", AUDIT, messages, "Entries as they are written.");
    operation["bindings"] = json!({ "http": { "method": "GET", "query": query, "bindingVersion": "0.3.0" } });
    operation
}

/// The members of an object that refers to each of `names`.
fn references(names: &[String], to: &str) -> Map<String, Value> {
    names.iter().map(|name| (name.clone(), json!({ "$ref": format!("{to}{name}") }))).collect()
}

/// The route of the document.
pub(crate) fn operations() -> Vec<Operation> {
    vec![Operation::plain(Permission::Read, Method::Get, DOCUMENT, || web::to(get_document))]
}

/// Made at the first request: most hubs never get one.
async fn get_document() -> HttpResponse {
    static TEXT: LazyLock<String> = LazyLock::new(|| asyncapi().to_string());
    HttpResponse::Ok().content_type(ContentType::json()).body(TEXT.as_str())
}

#[cfg(test)]
mod tests;
