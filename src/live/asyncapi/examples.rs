//! Examples of the messages, as they go over the line.

use serde_json::Value;

/// The examples of a message.
pub(super) fn of(message: &str) -> impl Iterator<Item = Value> {
    let examples = EXAMPLES.iter().filter(move |(name, _)| *name == message);
    examples.filter_map(|(_, text)| serde_json::from_str(text).ok()) // a test reads them all
}

pub(super) const EXAMPLES: &[(&str, &str)] = &[
    (
        "subscribe",
        r#"{"type": "subscribe", "id": "s1", "devices": ["pump-*"], "kinds": ["telemetry", "presence"], "since": "AdIJ"}"#,
    ),
    ("subscribe", r#"{"type": "subscribe", "id": "s2", "group": "hall", "snapshot": true}"#),
    ("subscribe", r#"{"type": "subscribe", "id": "s3", "since": 0, "every": "250ms", "latest": true}"#),
    ("unsubscribe", r#"{"type": "unsubscribe", "id": "s1"}"#),
    (
        "desired",
        r#"{"type": "desired", "id": "d1", "device_id": "pump-1", "patch": {"power": "on"}, "if_version": 42}"#,
    ),
    (
        "command",
        r#"{"type": "command", "id": "c1", "device_id": "pump-1", "command_type": "set_speed", "parameters": {"rpm": 1200}, "ttl": "1h", "idempotency_key": "order-66"}"#,
    ),
    ("watch_audit", r#"{"type": "watch_audit", "id": "a1", "since": 17}"#),
    ("ping", r#"{"type": "ping", "id": "p1"}"#),
    ("auth", r#"{"type": "auth", "token": "twh_pat_…"}"#),
    ("hello", r#"{"type":"hello","seq":1234,"cursor":"AdIJ","server_time":"2026-01-01T12:00:00.000Z"}"#),
    ("subscribed", r#"{"type":"subscribed","id":"s1","seq":1234,"cursor":"AdIJ"}"#),
    ("unsubscribed", r#"{"type":"unsubscribed","id":"s1"}"#),
    (
        "audit",
        r#"{"type":"audit","id":"a1","entry":{"seq":18,"at":"2026-01-01T12:00:00.000Z","who":"user:ann","address":"192.168.1.20","action":"group.removed","target":"group:hall-2","outcome":"done","detail":{"devices":3,"groups":0}}}"#,
    ),
    (
        "streamed_audit",
        r#"{"seq":18,"at":"2026-01-01T12:00:00.000Z","who":"user:ann","address":"192.168.1.20","action":"group.removed","target":"group:hall-2","outcome":"done","detail":{"devices":3,"groups":0}}"#,
    ),
    ("snapshot", r#"{"type":"snapshot","id":"s2","twins":[],"last":true}"#),
    (
        "event",
        r#"{"type":"event","sub":["s1"],"cursor":"AdMJ","seq":1235,"kind":"telemetry","device_id":"pump-1","at":"2026-01-01T12:00:00.000Z","data":{"temperature":23.5},"units":{"temperature":"°C"},"cause":{"source":"mqtt","by":"iot/devices/pump-1/data"}}"#,
    ),
    (
        "events",
        r#"{"type":"events","sub":["s3"],"cursor":"AdMJ","events":[{"seq":1235,"kind":"telemetry","device_id":"pump-1","at":"2026-01-01T12:00:00.000Z","data":{"temperature":23.5},"cause":{"source":"mqtt","by":"iot/devices/pump-1/data"}}]}"#,
    ),
    ("lagged", r#"{"type":"lagged","missed":17,"resume":1240,"cursor":"AdgJ"}"#),
    ("lagged", r#"{"type":"lagged","cursor":"AkHy1…"}"#),
    ("resync", r#"{"type":"resync","seq":1234,"cursor":"AdIJ","sub":["s1"]}"#),
    ("result", r#"{"type":"result","id":"d1","status":"ok","seq":1236,"version":43}"#),
    (
        "result",
        r#"{"type":"result","id":"c1","status":"accepted","command_id":"01890a5d-ac96-774b-bcce-b302099a8057","command_status":"pending","repeated":false}"#,
    ),
    (
        "error",
        r#"{"type":"error","id":"s1","code":"unknown_field","error":"`device`: there is no such field"}"#,
    ),
    ("pong", r#"{"type":"pong","id":"p1"}"#),
    (
        "streamed_event",
        r#"{"seq":1235,"kind":"presence","device_id":"pump-1","at":"2026-01-01T12:00:00.000Z","data":{"status":"online","reason":"heard"},"cause":{"source":"mqtt","by":"iot/devices/pump-1/status"}}"#,
    ),
    (
        "streamed_events",
        r#"{"events":[{"seq":1235,"kind":"presence","device_id":"pump-1","at":"2026-01-01T12:00:00.000Z","data":{"status":"online","reason":"heard"},"cause":{"source":"mqtt","by":"iot/devices/pump-1/status"}}]}"#,
    ),
    ("streamed_lagged", r#"{"missed":17,"resume":1240,"cursor":"AdgJ"}"#),
    ("streamed_resync", r#"{"seq":1234,"cursor":"AdIJ"}"#),
];
