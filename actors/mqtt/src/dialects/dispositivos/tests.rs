//! Seed 003's devices and app, on a twin.

use proptest::prelude::*;

use super::*;
use twinhub_domain::cause::Source;
use twinhub_domain::event::{ChangeKind, EventBody};
use twinhub_domain::json::MOST_MEMBERS;
use twinhub_domain::twin::{Audience, Change, Downlink, Listeners, NoTemplates};
use twinhub_domain::{
    Cause, DeviceNumber, Event, Json, Mode, Outcome, Refusal, Status, Timestamp, TwinChange,
};

/// A twin with a clock, which goes on by a millisecond with every message.
struct DispositivosFixture {
    twin: Twin,
    now: i64,
    /// The events, all of them: the twin must be their fold.
    events: Vec<Event>,
}

/// A broker that does not tell who listens, for devices of this dialect alone.
struct Alone;

impl Listeners for Alone {
    fn audience(&self, _: &DeviceId, _: Downlink, _: Audience) -> Audience {
        Audience::Unknown
    }

    fn echo(&self, twin: &Twin, patch: &Patch) -> Object {
        Dispositivos.echo(twin, patch)
    }
}

impl DispositivosFixture {
    fn new() -> Self {
        Self { twin: twin(), now: 0, events: Vec::new() }
    }

    fn try_input(&mut self, input: Input, cause: &Cause) -> Result<Outcome, Refusal> {
        self.now += 1;
        let before = self.twin.clone();
        let outcome = match self.twin.apply_before(
            &Alone,
            &NoTemplates,
            input,
            Timestamp::from_millis(self.now),
            cause,
        ) {
            Ok(outcome) => outcome,
            Err(refusal) => {
                assert_eq!(self.twin, before, "a refusal changes nothing");
                return Err(refusal);
            }
        };
        self.events.extend(outcome.events.iter().cloned());
        let mut again = twin();
        self.events.iter().for_each(|event| again.redo(event));
        assert_eq!(again, self.twin, "a twin is the fold of its events");
        Ok(outcome)
    }

    fn input(&mut self, input: Input, cause: &Cause) -> Outcome {
        self.try_input(input, cause).unwrap()
    }

    fn report(&mut self, patch: &str) -> Outcome {
        self.input(Input::Report(object(patch)), &native())
    }

    fn set(&mut self, patch: &str) -> Outcome {
        self.input(Input::Change(Box::new(Change { patch: object(patch) })), &cause())
    }

    fn say_online(&mut self, online: bool) -> Outcome {
        self.input(Input::Presence { online, details: Object::default() }, &native())
    }

    fn log_entries(&self) -> u64 {
        DispositivoView::of(&self.twin).log_entries()
    }
}

fn twin() -> Twin {
    Twin::new(DeviceId::parse("pump-1").unwrap(), DeviceNumber(1), Timestamp::default())
}

fn object(text: &str) -> Object {
    payload::object(text.as_bytes()).unwrap()
}

fn cause() -> Cause {
    Cause::new(Source::Rest, "user:ann")
}

fn topic() -> Cause {
    Cause::new(Source::Mqtt, TOPIC)
}

fn native() -> Cause {
    Cause::new(Source::Mqtt, "iot/devices/pump-1/state")
}

fn said(text: &str, speaker: Speaker) -> Input {
    Input::Translate(Arc::new(Dispositivo::read(object(text), speaker).unwrap()))
}

/// A device that has spoken once: `estado` and `parametros` are of then.
fn heard(estado: &str) -> DispositivosFixture {
    let mut fixture = DispositivosFixture::new();
    fixture.input(Input::Appear, &topic());
    device(&mut fixture, &format!(r#"{{"estado": "{estado}", "parametros": {{"temp": 23.4}}}}"#));
    fixture
}

fn device(fixture: &mut DispositivosFixture, text: &str) -> Outcome {
    let mut document = object(text);
    document.insert("serial_number", "S1".into());
    let said = Dispositivo::read(document, Speaker::Device).unwrap();
    fixture.input(Input::Translate(Arc::new(said)), &topic())
}

fn put(fixture: &mut DispositivosFixture, text: &str) -> Outcome {
    fixture.input(said(text, Speaker::App), &cause())
}

fn seen(fixture: &DispositivosFixture) -> String {
    let view = DispositivoView::of(&fixture.twin);
    let estado = match view.estado() {
        Some(true) => "activo",
        Some(false) => "inactivo",
        None => "desconocido",
    };
    format!("{estado} {} {}", Json::from(view.parametros()), Json::from(view.configuracion()))
}

fn kinds(outcome: &Outcome) -> String {
    outcome.events.iter().map(|event| event.kind().as_str()).collect::<Vec<_>>().join(" ")
}

fn patch(outcome: &Outcome) -> String {
    let EventBody::Twin(change) = &outcome.events.last().unwrap().body else { panic!("{outcome:?}") };
    format!("{} {}", change.change.as_str(), Json::from(change.patch.to_object()))
}

/// The delta that the device is told last.
fn told(outcome: &Outcome) -> Option<String> {
    let mut bodies = outcome.publishes.iter().filter_map(|publish| match publish {
        Publish::Desired(body) => body.as_object(),
        _ => None,
    });
    bodies.next_back().map(|body| body.get("delta").unwrap().to_string())
}

#[test]
fn a_message_is_heard_measured_and_logged() {
    let mut fixture = DispositivosFixture::new();
    let first = device(
        &mut fixture,
        r#"{"estado": "activo", "parametros": {"temp": 23.40, "door": {"open": true}}}"#,
    );
    assert_eq!(kinds(&first), "presence telemetry twin");
    assert_eq!(
        patch(&first),
        r#"reported {"dispositivo":{"entry":1,"estado":"activo","readings":true},"reported":{"parametros":{"door":{"open":true},"temp":23.40},"power":"on"},"serial_number":"S1"}"#
    );
    assert_eq!(
        (fixture.twin.intake.messages, fixture.twin.presence.status, fixture.twin.control.claimed),
        (1, Status::Online, false)
    );
    assert_eq!(seen(&fixture), r#"activo {"door":{"open":true},"temp":23.40} {}"#);
    assert_eq!(fixture.twin.reported.get("door.open").unwrap().value, true.into());

    // The same again is a line of its own; without values it is counted all the same.
    device(&mut fixture, r#"{"estado": "activo", "parametros": {"temp": 23.40, "door": {"open": true}}}"#);
    let bare = device(&mut fixture, r#"{"estado": "averiado"}"#);
    assert_eq!(
        patch(&bare),
        r#"reported {"dispositivo":{"entry":3,"estado":"activo","parametros":{"door":{"open":true},"temp":23.40}}}"#
    );
    assert_eq!((fixture.twin.intake.messages, fixture.log_entries()), (3, 3));
}

#[test]
fn parameters_are_replaced_as_a_whole() {
    let mut fixture = heard("activo");
    let outcome = device(&mut fixture, r#"{"parametros": {"watts": 4, "in": {"a": 1}}}"#);
    let moment = DispositivoMoment::of(&outcome.events.last().unwrap().body).unwrap();
    assert_eq!(Json::from(moment.parameters.unwrap()).to_string(), r#"{"in":{"a":1},"watts":4}"#);
    assert_eq!((moment.entry, moment.active), (Some(2), Some(true)));
    device(&mut fixture, r#"{"parametros": {"in": {"b": 2}, "gone": null}}"#);
    assert_eq!(seen(&fixture), r#"activo {"in":{"b":2}} {}"#);
    device(&mut fixture, r#"{"parametros": {}}"#);
    assert_eq!(seen(&fixture), "activo {} {}");
    assert_eq!(fixture.twin.reported.get("temp").unwrap().value, "23.4".parse().unwrap(), "measured once");

    // An app that sends the device back whole measures nothing; another value is one.
    let same = put(&mut fixture, r#"{"parametros": {}, "nombre": "Sala"}"#);
    assert_eq!(kinds(&same), "twin");
    let other = put(&mut fixture, r#"{"parametros": {"temp": 20}}"#);
    assert_eq!(kinds(&other), "telemetry twin");
    assert_eq!(seen(&fixture), r#"activo {"temp":20} {}"#);
}

#[test]
fn configuration_merges_by_its_first_level() {
    let mut fixture = heard("activo");
    put(&mut fixture, r#"{"configuracion": {"intervalo": 5, "red": {"ssid": "a", "canal": 1}}}"#);
    let merged = put(&mut fixture, r#"{"configuracion": {"red": {"ssid": "b"}}}"#);
    assert_eq!(seen(&fixture), r#"activo {"temp":23.4} {"intervalo":5,"red":{"ssid":"b"}}"#);
    let published = Publish::Configuration(fixture.twin.setup.configuration.clone().into());
    assert_eq!(merged.publishes, [published], "kept for the device");
    assert!(put(&mut fixture, r#"{"configuracion": {"red": {"ssid": "b"}}}"#).publishes.is_empty());
    device(&mut fixture, r#"{"configuracion": {"intervalo": null, "version": "2"}}"#);
    assert_eq!(seen(&fixture), r#"activo {"temp":23.4} {"red":{"ssid":"b"},"version":"2"}"#);
}

#[test]
fn in_manual_mode_the_app_decides_and_the_device_is_told_until_it_reports() {
    let mut fixture = heard("inactivo");
    let outcome = put(&mut fixture, r#"{"configuracion": {"modo": "manual", "encendido": true}}"#);
    assert_eq!(fixture.twin.control.mode, Mode::Manual);
    assert_eq!(seen(&fixture), r#"activo {"temp":23.4} {"encendido":true,"modo":"manual"}"#);
    assert_eq!(told(&outcome).as_deref(), Some(r#"{"power":"on"}"#));
    assert_eq!(fixture.twin.reported.get("power").unwrap().value, "off".into(), "the device has the word");

    fixture.say_online(false);
    assert_eq!(
        told(&fixture.say_online(true)).as_deref(),
        Some(r#"{"power":"on"}"#),
        "once more: it may have missed it"
    );
    device(&mut fixture, r#"{"estado": "inactivo"}"#);
    assert_eq!(seen(&fixture), r#"inactivo {"temp":23.4} {"encendido":true,"modo":"manual"}"#);
    device(&mut fixture, r#"{"estado": "activo"}"#);
    assert!(fixture.twin.delta().is_empty());

    let both = put(&mut fixture, r#"{"estado": "activo", "encendido": false}"#);
    assert_eq!(seen(&fixture), r#"inactivo {"temp":23.4} {"encendido":false,"modo":"manual"}"#);
    assert_eq!(told(&both).as_deref(), Some(r#"{"power":"off"}"#));
    assert!(put(&mut fixture, r#"{"encendido": false}"#).publishes.is_empty(), "it knows");
    put(&mut fixture, r#"{"estado": "quizás"}"#);
    assert_eq!(seen(&fixture), r#"inactivo {"temp":23.4} {"encendido":false,"modo":"manual"}"#);
}

#[test]
fn in_schedule_mode_the_state_decides() {
    let mut fixture = heard("activo");
    put(&mut fixture, r#"{"configuracion": {"modo": "horario", "encendido": false}}"#);
    assert_eq!(seen(&fixture), r#"activo {"temp":23.4} {"encendido":true,"modo":"horario"}"#);
    let outcome = put(&mut fixture, r#"{"estado": "off", "encendido": true}"#);
    assert_eq!(seen(&fixture), r#"inactivo {"temp":23.4} {"encendido":false,"modo":"horario"}"#);
    assert_eq!(told(&outcome), None);
    device(&mut fixture, r#"{"estado": "activo"}"#);
    assert_eq!(
        seen(&fixture),
        r#"activo {"temp":23.4} {"encendido":false,"modo":"horario"}"#,
        "what it is to be, it does not say"
    );
    put(&mut fixture, r#"{"estado": "on"}"#);
    // Reported in the native way.
    fixture.report(r#"{"power": "off"}"#);
    assert_eq!(seen(&fixture), r#"inactivo {"temp":23.4} {"encendido":true,"modo":"horario"}"#);
}

#[test]
fn the_mode_of_the_request_itself_holds() {
    let mut fixture = heard("inactivo");
    put(&mut fixture, r#"{"configuracion": {"modo": "manual"}, "estado": "off", "encendido": true}"#);
    assert_eq!(seen(&fixture), r#"activo {"temp":23.4} {"encendido":true,"modo":"manual"}"#);
    put(&mut fixture, r#"{"configuracion": {"modo": "horario"}, "estado": "off", "encendido": true}"#);
    assert_eq!(seen(&fixture), r#"inactivo {"temp":23.4} {"encendido":false,"modo":"horario"}"#);
    put(&mut fixture, r#"{"configuracion": {"modo": "automático", "encendido": true}}"#);
    assert_eq!(seen(&fixture), r#"inactivo {"temp":23.4} {"encendido":true,"modo":"automático"}"#);
    assert_eq!(fixture.twin.control.mode, Mode::Schedule, "a mode that we do not know is theirs alone");
}

#[test]
fn changes_over_other_interfaces_are_seen() {
    let mut fixture = heard("inactivo");
    let mode = |mode| Input::SetMode { mode, until: None };
    fixture.input(mode(Mode::Manual), &cause());
    assert_eq!(seen(&fixture), r#"inactivo {"temp":23.4} {"modo":"manual"}"#);
    assert!(fixture.twin.setup.configuration.is_empty(), "a device that never used the word is spared it");
    put(&mut fixture, r#"{"configuracion": {"modo": "manual"}, "encendido": false}"#);
    let outcome = fixture.input(mode(Mode::Schedule), &cause());
    assert_eq!(fixture.twin.setup.configuration.get("modo"), Some(&"horario".into()));
    assert!(matches!(outcome.publishes[..], [Publish::Configuration(_)]), "{:?}", outcome.publishes);
    fixture.input(mode(Mode::Manual), &cause());
    fixture.set(r#"{"desired": {"power": "on"}}"#);
    assert_eq!(fixture.twin.setup.configuration.get("encendido"), Some(&true.into()));
    fixture.report(r#"{"power": "on"}"#);
    assert_eq!(seen(&fixture), r#"activo {"temp":23.4} {"encendido":true,"modo":"manual"}"#);
    fixture.set(r#"{"configuration": {"encendido": false}, "desired": {"power": "on"}}"#);
    assert_eq!(
        fixture.twin.setup.configuration.get("encendido"),
        Some(&false.into()),
        "who says it himself means it"
    );
}

#[test]
fn a_native_device_is_seen_too() {
    let mut fixture = DispositivosFixture::new();
    fixture.say_online(true);
    assert_eq!(seen(&fixture), "desconocido {} {}");
    let readings = payload::telemetry(br#"{"temperature": 21.5, "power": 40}"#).unwrap();
    fixture.input(Input::Telemetry(readings), &native());
    assert_eq!(seen(&fixture), r#"desconocido {"temperature":21.5} {}"#);
    fixture.report(r#"{"power": "on"}"#);
    put(&mut fixture, r#"{"nombre": "Bomba"}"#);
    assert_eq!(seen(&fixture), r#"activo {"temperature":21.5} {}"#);
    assert_eq!(fixture.twin.display_name(), "Bomba");
}

#[test]
fn a_timetable_becomes_the_schedule() {
    let mut fixture = heard("activo");
    let set = put(
        &mut fixture,
        r#"{"configuracion": {"modo": "horario", "horarios": {"lunes": [["07:00", true], ["22:30", false]]}}}"#,
    );
    assert!(patch(&set).contains(r#""schedule":[{"cron":"0 0 7 * * Mon""#), "{}", patch(&set));
    assert_eq!(
        DispositivoView::of(&fixture.twin).configuracion().get("horarios").unwrap().to_string(),
        r#"{"lunes":[["07:00",true],["22:30",false]]}"#
    );
    let again = put(
        &mut fixture,
        r#"{"configuracion": {"horarios": {"lunes": [["07:00", true], ["22:30", false]]}}}"#,
    );
    assert!(!patch(&again).contains("schedule"), "the same is no new schedule: nothing due is passed over");

    let bad = r#"{"configuracion": {"horarios": {"lunes": [["mañana", true]]}}, "nombre": "X"}"#;
    let refused = fixture.try_input(said(bad, Speaker::App), &cause()).unwrap_err();
    assert!(refused.to_string().starts_with("`schedule.lunes[0]`: "), "{refused}");
    // A device is heard all the same.
    device(&mut fixture, r#"{"estado": "inactivo", "configuracion": {"horarios": {"hoy": 1}}}"#);
    assert_eq!(DispositivoView::of(&fixture.twin).estado(), Some(false));
    assert!(fixture.twin.plan().is_some());

    put(
        &mut fixture,
        r#"{"configuracion": {"horarios": [{"dias": "todos", "inicio": "22:00", "fin": "06:00"}]}}"#,
    );
    let entries = fixture.twin.plan().unwrap().entries();
    assert!(matches!(&entries, Json::Array(entries) if entries.len() == 14), "{entries}");
    put(&mut fixture, r#"{"configuracion": {"horarios": null}}"#);
    assert!(
        fixture.twin.plan().is_none()
            && DispositivoView::of(&fixture.twin).configuracion().get("horarios").is_none()
    );
}

#[test]
fn claims_and_registrations() {
    let mut fixture = heard("inactivo");
    let claim = r#"{"serial_number": "S1", "nombre": "Sensor Temp", "tipo": "sensor", "modelo": "T-01",
        "descripcion": "Termómetro", "configuracion": {"modo": "manual", "encendido": true}}"#;
    let outcome = fixture.input(said(claim, Speaker::Claim), &cause());
    assert!(patch(&outcome).starts_with("claimed "), "{}", patch(&outcome));
    assert_eq!((fixture.twin.control.claimed, fixture.twin.display_name()), (true, "Sensor Temp"));
    assert_eq!(fixture.twin.profile.text("description"), "Termómetro");
    assert_eq!(seen(&fixture), r#"activo {"temp":23.4} {"encendido":true,"modo":"manual"}"#);
    assert_eq!(fixture.log_entries(), 1, "a claim is no line of the log");
    assert_eq!(
        fixture.try_input(said(claim, Speaker::Claim), &cause()),
        Err(Refusal::Claimed(fixture.twin.id.clone()))
    );
    let registration = Speaker::Registration { claimed: false };
    assert_eq!(
        fixture.try_input(said(r#"{"serial_number": "S1"}"#, registration), &cause()),
        Err(Refusal::Registered(fixture.twin.id.clone()))
    );
    for claimed in [true, false] {
        let mut fixture = DispositivosFixture::new();
        let registration = Speaker::Registration { claimed };
        fixture
            .input(said(r#"{"serial_number": "S2", "nombre": "N", "estado": "on"}"#, registration), &cause());
        assert_eq!(
            (fixture.twin.control.claimed, DispositivoView::of(&fixture.twin).estado(), fixture.twin.version),
            (claimed, Some(true), 1)
        );
        assert!(DispositivoView::of(&fixture.twin).is_added());
    }
}

#[test]
fn another_s_serial_number_is_refused() {
    let mut fixture = heard("activo");
    let other = said(r#"{"serial_number": "S2", "estado": "inactivo"}"#, Speaker::Device);
    let refused = fixture.try_input(other, &topic()).unwrap_err();
    assert_eq!(refused.to_string(), "`serial_number`: device `pump-1` has the serial number `S1`, not `S2`");
    assert_eq!(seen(&fixture), r#"activo {"temp":23.4} {}"#);
}

/// `parametros` stand in `reported` whole, and each of them as a reading too.
#[test]
fn parameters_have_an_end() {
    let parameters = |from: usize, to: usize| -> String {
        let parameters: Object = (from..to).map(|n| (format!("k{n:06}"), Json::from(1))).collect();
        format!(r#"{{"parametros": {}}}"#, Json::from(parameters))
    };
    let mut fixture = DispositivosFixture::new();
    for turn in 0..6 {
        let outcome = device(&mut fixture, &parameters(turn * 300, (turn + 1) * 300));
        assert!(fixture.twin.reported.size().members <= MOST_MEMBERS, "{turn}");
        assert_eq!(outcome.rejected.is_empty(), turn < 2, "{turn}");
        assert_eq!(fixture.twin.intake.messages, turn as u64 + 1, "each message counts once");
    }
    let refused = heard("activo").try_input(said(&parameters(0, 600), Speaker::App), &cause());
    assert!(
        matches!(&refused, Err(Refusal::TooLarge { section, .. }) if section == "reported"),
        "{refused:?}"
    );
}

/// Events and rows as earlier versions stored them.
#[test]
fn what_earlier_versions_stored_is_read() {
    let mut twin = twin();
    let mut redo = |change, patch: &str| {
        twin.redo(&Event {
            device: twin.id.clone(),
            number: twin.number,
            at: Timestamp::from_millis(5).into(),
            received_at: Timestamp::from_millis(5),
            body: EventBody::Twin(TwinChange { change, patch: Patch::read(object(patch)) }),
            cause: topic(),
        });
    };
    redo(
        ChangeKind::Reported,
        r#"{"dispositivo": {"entry": 1, "estado": "inactivo", "readings": true}, "serial_number": "S1",
            "reported": {"parametros": {"door": {"open": true}}, "power": "off"}}"#,
    );
    redo(
        ChangeKind::Updated,
        r#"{"configuration": {"encendido": true, "modo": "manual"}, "desired": {"power": "on"}, "mode": "manual",
            "mode_until": null, "dispositivo": {"entry": 2, "estado": "activo", "parametros": {"door": {"open": true}}}}"#,
    );
    redo(ChangeKind::Claimed, r#"{"claimed": true, "dispositivo": {"estado": "activo", "parametros": {}}}"#);
    assert_eq!(twin.intake.messages, 0, "the readings of the message are counted");
    let kept = r#""more":{"dispositivo":{"at":5,"entry":2,"estado":"activo"}}"#;
    let row = serde_json::to_string(&twin).unwrap();
    assert!(row.contains(kept), "{row}");

    let twin: Twin = serde_json::from_str(&row).unwrap();
    let view = DispositivoView::of(&twin);
    assert_eq!(
        (view.estado(), view.log_entries()),
        (Some(true), 2),
        "the app's word, until the device reports"
    );
}

proptest! {
    /// The twin is the fold of its events, every message and PUT is a line, and the last line says what is seen,
    /// whatever is said in whatever order.
    #[test]
    fn every_word_is_a_line(words in prop::collection::vec(word(), 1..12)) {
        let mut fixture = DispositivosFixture::new();
        for (index, (is_device, document)) in words.iter().enumerate() {
            let outcome = if *is_device { device(&mut fixture, document) } else { put(&mut fixture, document) };
            let moment = DispositivoMoment::of(&outcome.events.last().unwrap().body).unwrap();
            prop_assert_eq!(moment.entry, Some(index as u64 + 1));
            prop_assert_eq!(moment.active, DispositivoView::of(&fixture.twin).estado());
            prop_assert_eq!(moment.parameters.unwrap(), DispositivoView::of(&fixture.twin).parametros());
        }
    }
}

fn word() -> impl Strategy<Value = (bool, String)> {
    let maybe = |text: &'static [&'static str]| prop::sample::select(text);
    (
        any::<bool>(),
        maybe(&["", r#""estado":"on","#, r#""estado":"off","#, r#""estado":"?","#]),
        maybe(&["", r#""encendido":true,"#, r#""encendido":0,"#]),
        maybe(&["", r#""parametros":{"a":1},"#, r#""parametros":{"a":{"b":2}},"#, r#""parametros":{},"#]),
        maybe(&[
            "{}",
            r#"{"modo":"manual"}"#,
            r#"{"modo":"horario"}"#,
            r#"{"modo":"x","encendido":true}"#,
            r#"{"encendido":false}"#,
            r#"{"modo":null}"#,
        ]),
    )
        .prop_map(|(is_device, estado, encendido, parametros, configuracion)| {
            (is_device, format!(r#"{{{estado}{encendido}{parametros}"configuracion":{configuracion}}}"#))
        })
}
