//! A user of the Flask guide changes an address, and all goes on: its devices, its app's requests, its `curl` lines and
//! its script.

use std::path::PathBuf;
use std::process::Stdio;

use reqwest::{Method, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::support::hub::{HubProcess, Installation};
use crate::support::{Mosquitto, MqttDevice, eventually, within};

const TOPIC: &str = "dispositivos/estado";
const SERIAL: &str = "TMP0603IF1WD";
/// The address in all that the guide shows.
const GUIDE: &str = "http://192.168.0.106:5000";

const UPDATE: &str = r#"curl -X PUT http://192.168.0.106:5000/dispositivos/1   -H "Content-Type: application/json"   -d '{"configuracion":{"modo":"manual","encendido":true}}'"#;
const CLAIM: &str = r#"curl -X POST http://192.168.0.106:5000/dispositivos/reclamar   -H "Content-Type: application/json"   -d '{"serial_number":"TMP0603IF1WD","nombre":"Sensor Temp","tipo":"sensor","modelo":"T-01","descripcion":"Termómetro","configuracion":{"modo":"manual","encendido":true}}'"#;
/// The script; the copy in the guide has lost its `\n`s, which are mended here.
const CLIENT: &str = include_str!("dispositivos/sse_client.py");

#[tokio::test]
async fn the_guide_s_own_lines_and_script() {
    let hub = Installation::new().start().await;
    let mut client = GuideClient::start(&hub, &["--serial", SERIAL]).await;
    assert_eq!(client.next().await, json!({}), "hello");

    let broker = hub.mqtt.unwrap();
    let payload = format!(r#"{{"serial_number":"{SERIAL}","estado":"activo","parametros":{{"temp":23.4}}}}"#);
    let publish = format!("mosquitto_pub -p {} -t {TOPIC} -m '{payload}'", broker.port());
    shell(&hub, &publish).await;
    let first = json!({
        "id": 1, "serial_number": SERIAL, "nombre": "No definido", "tipo": "generico", "modelo": "desconocido",
        "descripcion": "", "estado": "activo", "parametros": { "temp": 23.4 }, "configuracion": {},
        "reclamado": false, "event": "device_update",
    });
    assert_eq!(client.next().await, first);
    let unclaimed = json!([{
        "id": 1, "serial_number": SERIAL, "estado": "activo", "parametros": { "temp": 23.4 },
        "configuracion": {}, "reclamado": false,
    }]);
    assert_eq!(hub.json("/dispositivos/no-reclamados").await, unclaimed);
    let native = &hub.json("/api/devices/unclaimed").await[0];
    assert_eq!(native["serial_number"], SERIAL);
    assert_eq!((&native["type"], &native["model"]), (&"".into(), &"".into()), "said by nobody");

    let claimed = shell(&hub, CLAIM).await;
    assert_eq!(claimed, json!({ "mensaje": "Dispositivo reclamado correctamente", "id": 1 }));
    // As the guide shows it, but for the order of members.
    let mut device = json!({
        "id": 1, "serial_number": SERIAL, "nombre": "Sensor Temp", "tipo": "sensor", "modelo": "T-01",
        "descripcion": "Termómetro", "estado": "activo", "parametros": { "temp": 23.4 },
        "configuracion": { "modo": "manual", "encendido": true }, "reclamado": true, "event": "device_update",
    });
    assert_eq!(client.next().await, device, "with its accents");
    assert_eq!(hub.json("/dispositivos/no-reclamados").await, json!([]));

    let updated = shell(&hub, UPDATE).await;
    assert_eq!(
        updated,
        json!({
            "mensaje": "Dispositivo actualizado", "id": 1, "estado": "activo",
            "configuracion": { "modo": "manual", "encendido": true },
        })
    );
    assert_eq!(client.next().await, device);
    device.as_object_mut().unwrap().remove("event");
    assert_eq!(hub.json("/dispositivos/1").await, device);
    assert_eq!(hub.json("/dispositivos").await, json!([device]));

    // The same device, by its other names.
    let twin = hub.json(&format!("/api/devices/{SERIAL}/twin")).await;
    assert_eq!(
        (&twin["name"], &twin["mode"], &twin["number"]),
        (&"Sensor Temp".into(), &"manual".into(), &1.into())
    );
    assert_eq!((&twin["reported"]["power"], &twin["desired"]["power"]), (&"on".into(), &"on".into()));
    let history = hub.json(&format!("/api/devices/{SERIAL}/data?sensor_type=temp")).await;
    assert_eq!((history[0]["value"].as_f64(), history.as_array().unwrap().len()), (Some(23.4), 1));
}

#[tokio::test]
async fn a_claim_and_what_can_be_wrong_with_it() {
    let hub = Installation::new().start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "d").await.unwrap();
    device
        .say(TOPIC, r#"{"serial_number": "S1", "estado": "inactivo", "configuracion": {"intervalo": 5}}"#)
        .await;
    let path = "/dispositivos/reclamar";

    for body in [
        json!({}),
        json!({ "nombre": "x" }),
        json!({ "serial_number": "" }),
        json!({ "serial_number": null }),
    ] {
        check(hub.post(path, &body).await, 400, "Debe proporcionar serial_number").await;
    }
    for body in ["", "{", "[]", "7"] {
        let response = hub.request(Method::POST, path).body(body).send().await.unwrap();
        check(response, 400, "Datos JSON inválidos o faltantes").await;
    }
    let unknown = hub.post(path, &json!({ "serial_number": "S2" })).await;
    check(unknown, 404, "Dispositivo no encontrado. Asegúrese de que haya sido detectado por MQTT").await;
    let wrong = hub.post(path, &json!({ "serial_number": "S1", "configuracion": 5 })).await;
    check(wrong, 400, "configuracion debe ser un objeto").await;

    let claim = json!({ "serial_number": "S1", "nombre": "Lámpara", "configuracion": { "modo": "horario" }, "qr": 1 });
    let claimed = hub.post(path, &claim).await;
    assert_eq!(claimed.status(), 200);
    assert_eq!(
        claimed.json::<Value>().await.unwrap(),
        json!({ "mensaje": "Dispositivo reclamado correctamente", "id": 1 })
    );
    check(hub.post(path, &claim).await, 409, "El dispositivo ya fue reclamado previamente").await;
    let device = hub.json("/dispositivos/1").await;
    assert_eq!(device["configuracion"], json!({ "intervalo": 5, "modo": "horario" }));
    assert_eq!((&device["nombre"], &device["tipo"]), (&"Lámpara".into(), &"generico".into()));
}

#[tokio::test]
async fn devices_are_added_found_and_changed_by_number() {
    let hub = Installation::new().start().await;
    let body = json!({ "serial_number": "Nº 7/b", "nombre": "Riego", "tipo": "bomba", "estado": "activo",
        "configuracion": { "zona": 2 } });
    let added = hub.post("/dispositivos", &body).await;
    assert_eq!(added.status(), 201);
    assert_eq!(added.json::<Value>().await.unwrap(), json!({ "mensaje": "Dispositivo agregado", "id": 1 }));
    let again = hub.post("/dispositivos", &body).await;
    check(again, 409, "Ya existe un dispositivo con el serial_number Nº 7/b").await;
    check(hub.post("/dispositivos", &json!({ "nombre": "x" })).await, 400, "Debe proporcionar serial_number")
        .await;
    let claimed = json!({ "serial_number": "S2", "reclamado": true });
    assert_eq!(hub.post("/dispositivos", &claimed).await.status(), 201);

    // It speaks, and is the one that was added.
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "d").await.unwrap();
    device
        .say(TOPIC, r#"{"serial_number": "Nº 7/b", "estado": "inactivo", "parametros": {"flujo": 1.50}}"#)
        .await;
    let devices = hub.json("/dispositivos").await;
    let shown: Vec<_> = devices
        .as_array()
        .unwrap()
        .iter()
        .map(|d| {
            (
                d["id"].as_i64().unwrap(),
                d["serial_number"].as_str().unwrap(),
                d["reclamado"].as_bool().unwrap(),
            )
        })
        .collect();
    assert_eq!(shown, [(1, "Nº 7/b", false), (2, "S2", true)]);
    assert_eq!(devices[0]["estado"], "inactivo");
    assert_eq!(
        hub.get("/dispositivos/1").await.text().await.unwrap().matches("1.50").count(),
        1,
        "digits are kept"
    );

    for path in ["/dispositivos/3", "/dispositivos/0", "/dispositivos/uno", "/dispositivos/uno/logs"] {
        check(hub.get(path).await, 404, "Dispositivo no encontrado").await;
    }
    let no_log = json!({ "page": 1, "per_page": 50, "total": 0, "pages": 0, "data": [] });
    assert_eq!(hub.json("/dispositivos/3/logs").await, no_log, "a device that there is not has an empty log");
    check(put(&hub, 3, json!({ "nombre": "x" })).await, 404, "Dispositivo no encontrado").await;
    for body in ["", "{}", "no"] {
        let response = hub.request(Method::PUT, "/dispositivos/1").body(body).send().await.unwrap();
        check(response, 400, "Datos JSON inválidos o faltantes").await;
    }
    let bad = json!({ "configuracion": { "horarios": { "lunes": [["25:00", true]] } } });
    check(put(&hub, 1, bad).await, 400, "Valor inválido en configuracion.horarios.lunes[0]").await;
    check(put(&hub, 1, json!({ "parametros": [] })).await, 400, "parametros debe ser un objeto").await;
    let response = hub.request(Method::DELETE, "/dispositivos/1").send().await.unwrap();
    assert_eq!(response.headers()["allow"], "GET, HEAD, PUT");
    check(response, 405, "Método DELETE no permitido").await;
    let large = json!({ "nombre": "x".repeat(2 << 20) });
    check(put(&hub, 1, large).await, 413, "El cuerpo tiene más de 1048576 bytes").await;

    // Nothing of all that was wrong has changed anything.
    assert_eq!(hub.json("/dispositivos").await, devices);
}

#[tokio::test]
async fn the_mode_says_which_word_counts() {
    let hub = Installation::new().start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "d").await.unwrap();
    device.say(TOPIC, r#"{"serial_number": "S1", "estado": "inactivo"}"#).await;
    let on = json!({ "modo": "manual", "encendido": true });
    let off = json!({ "modo": "manual", "encendido": false });
    let follows = json!({ "modo": "horario", "encendido": true });
    let rests = json!({ "modo": "horario", "encendido": false });
    for (body, estado, configuracion) in [
        (
            json!({ "configuracion": { "modo": "manual" }, "estado": "inactivo", "encendido": true }),
            "activo",
            &on,
        ),
        (json!({ "estado": "activo", "encendido": false }), "inactivo", &off),
        (json!({ "estado": "quizás" }), "inactivo", &off),
        (json!({ "configuracion": { "encendido": true } }), "activo", &on),
        (json!({ "estado": "off", "configuracion": { "encendido": true } }), "activo", &on),
        (json!({ "encendido": "0" }), "inactivo", &off),
        (
            json!({ "configuracion": { "modo": "horario" }, "estado": "ON", "encendido": false }),
            "activo",
            &follows,
        ),
        (json!({ "estado": 0, "encendido": true }), "inactivo", &rests),
        (json!({ "configuracion": { "encendido": true } }), "inactivo", &rests),
        (json!({ "estado": true }), "activo", &follows),
        (json!({ "estado": "desconocido" }), "activo", &follows),
        (json!({ "estado": "Inactivo" }), "inactivo", &rests),
    ] {
        let response = put(&hub, 1, body.clone()).await;
        assert_eq!(response.status(), 200, "{body}");
        let expected = json!({
            "mensaje": "Dispositivo actualizado", "id": 1, "estado": estado, "configuracion": configuracion,
        });
        assert_eq!(response.json::<Value>().await.unwrap(), expected, "{body}");
        let shown = hub.json("/dispositivos/1").await;
        assert_eq!((&shown["estado"], &shown["configuracion"]), (&estado.into(), configuracion), "{body}");
    }

    // The timetable is the twin's schedule; and what changes natively shows here.
    let horarios = json!({ "lunes": [["07:00", true], ["22:30", false]] });
    put(&hub, 1, json!({ "configuracion": { "horarios": horarios } })).await;
    let twin = hub.json("/api/devices/S1/twin").await;
    assert_eq!((twin["schedule"].as_array().unwrap().len(), &twin["mode"]), (2, &"schedule".into()));
    assert_eq!(hub.json("/dispositivos/1").await["configuracion"]["horarios"], horarios);
    device.say("iot/devices/S1/state", r#"{"power": "on"}"#).await;
    let shown = hub.json("/dispositivos/1").await;
    assert_eq!((&shown["estado"], &shown["configuracion"]["encendido"]), (&"activo".into(), &false.into()));
    // What it is to be, no message of the device says.
    device.say("dispositivos/estado", r#"{"serial_number": "S1", "estado": "inactivo"}"#).await;
    put(&hub, 1, json!({ "estado": "on" })).await;
    device.say("dispositivos/estado", r#"{"serial_number": "S1", "estado": "inactivo"}"#).await;
    let shown = hub.json("/dispositivos/1").await;
    assert_eq!((&shown["estado"], &shown["configuracion"]["encendido"]), (&"inactivo".into(), &true.into()));
}

#[tokio::test]
async fn the_log_has_a_line_for_every_message_and_every_put() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "d").await.unwrap();
    for n in 0..7 {
        let estado = if n % 2 == 0 { "activo" } else { "inactivo" };
        device
            .say(
                TOPIC,
                &format!(r#"{{"serial_number": "S1", "estado": "{estado}", "parametros": {{"n": {n}}}}}"#),
            )
            .await;
    }
    assert_eq!(put(&hub, 1, json!({ "nombre": "Sala" })).await.status(), 200);
    assert_eq!(put(&hub, 1, json!({ "nombre": "Sala" })).await.status(), 200);
    // A change that comes by other ways is no line.
    let patch = json!({ "tags": { "floor": 1 } });
    for _ in 0..3 {
        let changed = hub.request(Method::PATCH, "/api/devices/S1/twin").json(&patch).send().await.unwrap();
        assert_eq!(changed.status(), 200);
    }
    assert_eq!(hub.post("/dispositivos/reclamar", &json!({ "serial_number": "S1" })).await.status(), 200);

    let line = |n: i64| (if n % 2 == 0 { "activo" } else { "inactivo" }.to_owned(), n);
    let all: Vec<_> = [line(6), line(6)].into_iter().chain((0..7).rev().map(line)).collect();
    let first = hub.json("/dispositivos/1/logs").await;
    assert_eq!((&first["page"], &first["per_page"]), (&1.into(), &50.into()));
    assert_eq!((&first["total"], &first["pages"], lines(&first)), (&9.into(), &1.into(), all.clone()));
    let times: Vec<_> =
        first["data"].as_array().unwrap().iter().map(|line| line["timestamp"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");

    assert!(hub.terminate().await.success());
    let hub = installation.start().await;
    for (page, expected) in all.chunks(4).enumerate() {
        let answer = hub.json(&format!("/dispositivos/1/logs?page={}&per_page=4", page + 1)).await;
        assert_eq!((&answer["page"], &answer["per_page"]), (&(page + 1).into(), &4.into()));
        assert_eq!((&answer["total"], &answer["pages"]), (&9.into(), &3.into()));
        assert_eq!(lines(&answer), expected);
    }
    let beyond = hub.json("/dispositivos/1/logs?page=4&per_page=4").await;
    assert_eq!((&beyond["data"], &beyond["total"]), (&json!([]), &9.into()));
    assert_eq!(hub.json("/dispositivos/1/logs?per_page=1000").await["per_page"], 200);
    check(hub.get("/dispositivos/1/logs?page=dos").await, 400, "Parámetro inválido: page").await;
}

#[tokio::test]
async fn a_device_that_is_registered_under_another_id_is_found_by_its_serial_number() {
    let mosquitto = Mosquitto::start().await;
    let hub =
        Installation::new().on_broker(mosquitto.address).with("--unknown-devices", "reject").start().await;
    let pump = json!({ "device_id": "pump-1", "name": "Pump", "serial_number": "S1" });
    assert_eq!(hub.post("/api/devices", &pump).await.status(), 201);
    let mut device = MqttDevice::connect(mosquitto.address, "d").await.unwrap();
    for n in 0..20 {
        device
            .say(
                TOPIC,
                &format!(r#"{{"serial_number": "S1", "estado": "activo", "parametros": {{"n": {n}}}}}"#),
            )
            .await;
        device.say(TOPIC, r#"{"serial_number": "S2", "estado": "activo"}"#).await;
    }
    eventually("the last is heard", async || {
        let twin = hub.json("/api/devices/pump-1/twin").await;
        (twin["reported"]["parametros"]["n"] == 19).then_some(())
    })
    .await;
    let log = hub.json("/dispositivos/1/logs").await;
    let heard: Vec<_> = lines(&log).into_iter().map(|(_, n)| n).rev().collect();
    assert_eq!(heard, (0..20).collect::<Vec<_>>(), "in order");
    let devices = hub.json("/dispositivos").await;
    assert_eq!((devices.as_array().unwrap().len(), &devices[0]["serial_number"]), (1, &"S1".into()));
    assert_eq!(hub.get("/api/devices/S1").await.status(), 404);
}

#[tokio::test]
async fn hundreds_of_devices_are_one_list() {
    let hub = Installation::new().start().await;
    let mut device = MqttDevice::connect(hub.mqtt.unwrap(), "gateway").await.unwrap();
    const DEVICES: u64 = 1_001;
    for n in 0..DEVICES {
        while device.unacknowledged() >= 50 {
            device.next().await.unwrap();
        }
        device.publish(n, TOPIC, format!(r#"{{"serial_number": "S{n}"}}"#).as_bytes()).await.unwrap();
    }
    while device.unacknowledged() > 0 {
        within("all are acknowledged", device.next()).await.unwrap();
    }
    for path in ["/dispositivos", "/dispositivos/no-reclamados"] {
        let devices = hub.json(path).await;
        let ids: Vec<_> =
            devices.as_array().unwrap().iter().map(|device| device["id"].as_u64().unwrap()).collect();
        assert_eq!(ids, (1..=DEVICES).collect::<Vec<_>>(), "{path}");
    }
}

async fn put(hub: &HubProcess, id: i64, body: Value) -> Response {
    hub.request(Method::PUT, &format!("/dispositivos/{id}")).json(&body).send().await.unwrap()
}

async fn check(response: Response, status: u16, error: &str) {
    assert_eq!(response.status().as_u16(), status, "{error}");
    assert_eq!(response.headers()["content-type"], "application/json", "{error}");
    assert_eq!(response.json::<Value>().await.unwrap()["error"], error);
}

/// A log's lines: state, and the parameter `n`.
fn lines(log: &Value) -> Vec<(String, i64)> {
    let lines = log["data"].as_array().unwrap().iter();
    lines
        .map(|line| (line["estado"].as_str().unwrap().to_owned(), line["parametros"]["n"].as_i64().unwrap()))
        .collect()
}

/// Runs a line of the guide at our address; what it prints is JSON, or nothing.
async fn shell(hub: &HubProcess, line: &str) -> Value {
    let line = line.replace(GUIDE, &format!("http://{}", hub.http));
    let output = within("it ends", Command::new("sh").args(["-c", &line]).output()).await.unwrap();
    assert!(output.status.success(), "{line}: {output:?}");
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

/// The guide's script, at our address.
struct GuideClient {
    printed: Lines<BufReader<ChildStdout>>,
    _child: Child,
    _dir: TempDir,
}

impl GuideClient {
    async fn start(hub: &HubProcess, args: &[&str]) -> Self {
        let dir = TempDir::with_prefix("twinhub-sse-").unwrap();
        let script: PathBuf = dir.path().join("sse_client.py");
        std::fs::write(&script, CLIENT.replace(GUIDE, &format!("http://{}", hub.http))).unwrap();
        let mut child = Command::new("python3")
            .arg("-u")
            .arg(&script)
            .args(args)
            .env("PYTHONIOENCODING", "utf-8")
            .env("NO_PROXY", "*")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python3 is installed; tests/run sees to it");
        let printed = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { printed, _child: child, _dir: dir }
    }

    /// The next event that it prints, read from the pretty form.
    async fn next(&mut self) -> Value {
        within("the script prints an event", async {
            let mut event: Option<String> = None;
            loop {
                let line = self.printed.next_line().await.unwrap().expect("the script goes on");
                assert!(!line.contains("Error"), "{line}");
                match &mut event {
                    None if line.contains("Evento dispositivo:") => event = Some(String::new()),
                    None => {}
                    Some(text) => {
                        text.push_str(&line);
                        if let Ok(event) = serde_json::from_str(text) {
                            return event;
                        }
                    }
                }
            }
        })
        .await
    }
}
