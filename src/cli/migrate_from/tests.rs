//! Rows of each system, and what they become.

use std::collections::BTreeSet;

use clap::ValueEnum as _;
use proptest::prelude::*;
use twinhub_domain::{DeviceId, Json, Reading, ReadingTime};
use twinhub_store::foreign::{ForeignRow, ForeignValue};

use super::row::{MomentBook, STEP_NS, SeedDocument};
use super::*;

/// Maps the rows of some tables, and says what became of them: a line for each document, fault and note.
fn mapped(number: SeedNumber, zone: Tz, tables: &[(&str, &[&[ForeignValue]])]) -> Vec<String> {
    let mut seed = number.reader(zone, DeviceId::parse("sensor-data").unwrap());
    let mut told = Vec::new();
    for (name, rows) in tables {
        let plan = seed.tables().iter().find(|plan| names(plan.name).any(|known| known == *name)).unwrap();
        let mut into = MappedRows::default();
        for (rowid, values) in (1..).zip(*rows) {
            assert_eq!(values.len(), plan.columns.len(), "{name}");
            let row = ForeignRow { rowid, values: values.to_vec() };
            seed.map(plan.name, &SeedRow::new(plan.columns, &row), &mut into);
        }
        seed.end(plan.name, &mut into);
        for (rowid, document) in into.documents {
            let lines: Vec<String> = match document {
                SeedDocument::Group(line) => vec![format!("group {}", Json::from(line))],
                SeedDocument::Device(line) => vec![format!("device {}", Json::from(line))],
                SeedDocument::Dispositivo(body) => vec![format!("dispositivo {}", Json::from(body))],
                SeedDocument::Rule(body) => vec![format!("rule {}", Json::from(body))],
                SeedDocument::Sample(sample) => {
                    let shown = |reading: &Reading| {
                        let unit = reading.unit.as_deref().unwrap_or_default();
                        let quality =
                            reading.quality_score.map_or(String::new(), |score| format!(" q{score}"));
                        format!("{}={}{unit}{quality}", reading.name, reading.value)
                    };
                    let readings: Vec<String> = sample.readings.iter().map(shown).collect();
                    vec![format!("{} {} {}", sample.device, sample.at, readings.join(" "))]
                }
            };
            told.extend(lines.into_iter().map(|line| format!("{rowid}: {line}")));
        }
        told.extend(
            into.faults
                .into_iter()
                .map(|fault| format!("{}! {}: {}", fault.rowid, fault.column, fault.reason)),
        );
        told.extend(into.notes.into_iter().map(|note| format!("note: {note}")));
    }
    told
}

const NULL: ForeignValue = ForeignValue::Null;

fn t(text: &str) -> ForeignValue {
    ForeignValue::Text(text.into())
}

fn r(real: f64) -> ForeignValue {
    ForeignValue::Real(real)
}

fn i(whole: i64) -> ForeignValue {
    ForeignValue::Whole(whole)
}

fn check(number: SeedNumber, tables: &[(&str, &[&[ForeignValue]])], expected: &[&str]) {
    assert_eq!(mapped(number, Tz::UTC, tables), expected);
}

#[test]
fn rows_of_the_flask_dashboard() {
    let at = || t("2026-01-01 12:00:00");
    check(
        SeedNumber::FlaskDashboard,
        &[
            (
                "devices",
                &[
                    &[t("kitchen"), t("Kitchen")],
                    &[t("hall 2 ñ"), t("Hall")],
                    &[t("kitchen"), t("Another")],
                    &[NULL, t("Nameless")],
                    &[t("bare"), NULL],
                ],
            ),
            (
                "sensor_data",
                &[
                    &[t("kitchen"), r(23.5), r(40.0), NULL, at()],
                    &[t("kitchen"), r(23.6), t("wet"), i(1013), at()],
                    &[t("kitchen"), r(23.7), NULL, NULL, at()],
                    &[t("nowhere"), t(" 7.50 "), NULL, NULL, t("2026-01-01T12:00:00.123456+01:00")],
                    &[t("kitchen"), NULL, NULL, NULL, at()],
                    &[t("kitchen"), r(f64::INFINITY), NULL, NULL, at()],
                    &[t("kitchen"), r(1.0), NULL, NULL, t("yesterday")],
                    &[t("kitchen"), r(1.0), NULL, NULL, NULL],
                    &[t("kitchen"), ForeignValue::Bytes(4), NULL, NULL, i(1_767_268_800)],
                ],
            ),
        ],
        &[
            r#"1: device {"device_id":"kitchen","name":"Kitchen"}"#,
            r#"2: device {"device_id":"hall-2---23cd3ca2a730e4f9","name":"Hall","serial_number":"hall 2 ñ"}"#,
            r#"5: device {"device_id":"bare","name":"bare"}"#,
            "3! device_id: `kitchen` is there already: its first row counts",
            "4! device_id: expected a text, found nothing",
            "note: the device `hall 2 ñ` is `hall-2---23cd3ca2a730e4f9` here, with `hall 2 ñ` as its serial number",
            "1: kitchen 2026-01-01T12:00:00.000Z temperature=23.5 humidity=40.0",
            "2: kitchen 2026-01-01T12:00:00.000001Z temperature=23.6 pressure=1013",
            "3: kitchen 2026-01-01T12:00:00.000002Z temperature=23.7",
            r#"4: device {"device_id":"nowhere","name":"nowhere"}"#,
            "4: nowhere 2026-01-01T11:00:00.123456Z temperature=7.50",
            "2! humidity: expected a number, found the text `wet`",
            "5! : there is no reading in it",
            "6! temperature: expected a number, found inf",
            "7! timestamp: expected a time, found the text `yesterday`",
            "8! timestamp: expected a time, found nothing",
            "9! temperature: expected a number, found 4 bytes that are no text",
            "note: the device `nowhere` has readings and no row in devices: it is made",
        ],
    );
}

#[test]
fn rows_of_iamis() {
    let at = |second: &str| t(&format!("2026-01-01 12:00:{second}"));
    check(
        SeedNumber::Iamis,
        &[(
            "sensor_data",
            &[
                &[i(1), t("temperature"), r(22.5), t("°C"), at("01.500250")],
                &[i(2), t("humidity"), t("40"), t("%"), at("02.000000")],
                &[i(5), t("temperature"), r(23.0), t("°C"), at("03.500999")],
                &[i(6), t("temperature"), r(23.0), t(""), at("03.500111")],
                &[i(7), t("temperature"), r(1.0), t("°C"), at("02.000000")],
                &[i(8), t("temperature#id"), r(1.0), t("°C"), at("02.000000")],
                &[i(9), NULL, r(1.0), t("°C"), at("02.000000")],
                &[i(10), t("temperature"), NULL, t("°C"), at("02.000000")],
            ],
        )],
        &[
            r#"1: device {"device_id":"sensor-data","name":"Sensor data","tags":{"migrated_from":"001"}}"#,
            "1: sensor-data 2026-01-01T12:00:01.500Z temperature=22.5°C temperature#gap=false temperature#id=1",
            "2: sensor-data 2026-01-01T12:00:02.000Z humidity=40% humidity#gap=false humidity#id=2",
            "3: sensor-data 2026-01-01T12:00:03.500Z temperature=23.0°C temperature#gap=2000 temperature#id=5",
            "4: sensor-data 2026-01-01T12:00:03.501Z temperature=23.0 temperature#gap=1 temperature#id=6",
            "5: sensor-data 2026-01-01T12:00:02.000Z temperature=1.0°C temperature#gap=-1501 temperature#id=7",
            "6! : `sensor_type`: ends in neither `#id` nor `#gap`: the hub's own properties do",
            "7! sensor_type: expected a text, found nothing",
            "8! value: expected a number, found nothing",
        ],
    );
}

#[test]
fn rows_of_the_cloud_backend() {
    let at = || t("2026-01-01 12:00:00.000001");
    check(
        SeedNumber::CloudBackend,
        &[(
            "sensor_readings",
            &[
                &[at(), t("temperature"), t("node 1"), r(22.5), t("°C"), t("edge"), t("mqtt"), i(1), t("{}")],
                &[at(), t("humidity"), t("node 1"), i(40), NULL, NULL, NULL, NULL, NULL],
                &[at(), t("humidity"), NULL, i(40), NULL, NULL, NULL, NULL, NULL],
                &[at(), t("humidity"), t("n2"), t("wet"), NULL, NULL, NULL, NULL, NULL],
                &[at(), t("humidity"), t("n2"), i(41), NULL, NULL, NULL, t("maybe"), NULL],
                &[NULL, t("humidity"), t("n2"), i(41), NULL, NULL, NULL, NULL, NULL],
            ],
        )],
        &[
            r#"1: device {"device_id":"node-1-bb169edd6c1e1db7","name":"node 1","serial_number":"node 1","type":"temperature"}"#,
            "1: node-1-bb169edd6c1e1db7 2026-01-01T12:00:00.000001Z temperature=22.5°C temperature.anomaly=true temperature.origin=edge temperature.raw={} temperature.sensor_id=node 1 temperature.source_protocol=mqtt",
            "2: node-1-bb169edd6c1e1db7 2026-01-01T12:00:00.000002Z humidity=40 humidity.anomaly=false humidity.origin=unknown humidity.sensor_id=node 1 humidity.source_protocol=mqtt",
            r#"5: device {"device_id":"n2","name":"n2","type":"humidity"}"#,
            "5: n2 2026-01-01T12:00:00.000001Z humidity=41 humidity.anomaly=false humidity.origin=unknown humidity.source_protocol=mqtt",
            "3! sensor_id: expected a text, found nothing",
            "4! value: expected a number, found the text `wet`",
            "5! anomaly: expected true or false, found the text `maybe`",
            "6! timestamp: expected a time, found nothing",
            "note: the device `node 1` is `node-1-bb169edd6c1e1db7` here, with `node 1` as its serial number",
        ],
    );
}

#[test]
fn rows_of_dispositivos() {
    let device = |id, serial: &str, estado, parametros: &str, configuracion: &str, reclamado| {
        let texts = [t("Sala"), t("sensor"), NULL, t("")];
        let [nombre, tipo, modelo, descripcion] = texts;
        [
            i(id),
            t(serial),
            nombre,
            tipo,
            modelo,
            descripcion,
            estado,
            t(parametros),
            t(configuracion),
            reclamado,
        ]
    };
    let at = || t("2026-01-01 12:00:00");
    check(
        SeedNumber::Dispositivos,
        &[
            (
                "dispositivos",
                &[
                    &device(
                        1,
                        "S1",
                        t("activo"),
                        r#"{"temp": 23.4}"#,
                        r#"{"modo": "manual", "encendido": true}"#,
                        i(1),
                    ),
                    &device(4, "S 4", NULL, "[1]", "{", NULL),
                    &device(5, "S1", NULL, "", "", NULL),
                    &device(6, " ", NULL, "", "", NULL),
                ],
            ),
            (
                "estado_logs",
                &[
                    &[i(1), t("activo"), t(r#"{"temp": 23.4, "door": {"open": true}}"#), at()],
                    &[i(1), t("inactivo"), t("not JSON"), at()],
                    &[i(9), t("activo"), NULL, at()],
                    &[i(4), t("desconocido"), NULL, at()],
                ],
            ),
        ],
        &[
            r#"1: dispositivo {"configuracion":{"encendido":true,"modo":"manual"},"estado":"activo","id":"1","nombre":"Sala","parametros":{"temp":23.4},"reclamado":true,"serial_number":"S1","tipo":"sensor"}"#,
            r#"2: dispositivo {"id":"4","nombre":"Sala","reclamado":false,"serial_number":"S 4","tipo":"sensor"}"#,
            "2! parametros: expected an object as JSON, found an array",
            "2! configuracion: not JSON: EOF while parsing an object at line 1 column 1",
            "3! serial_number: `S1` is there already: its first row counts",
            "4! serial_number: expected a text, found the text ` `",
            "1: S1 2026-01-01T12:00:00.000Z door.open=true temp=23.4 power=on",
            "2: S1 2026-01-01T12:00:00.000001Z power=off",
            "2! parametros: not JSON: expected ident at line 1 column 2",
            "3! dispositivo_id: there is no device with the id 9",
            "4! : there is neither a reading nor a state in it",
        ],
    );
}

#[test]
fn rows_of_the_iot_controller() {
    let device = |id: &str, group, configuration: &str| {
        [
            t(id),
            t("Boiler"),
            t("boiler"),
            NULL,
            t("10.0.0.7"),
            NULL,
            t("a-token-of-its-own-1"),
            group,
            t(configuration),
        ]
    };
    let reading = |value, quality| [t("b1"), t("temp"), value, t("°C"), t("2026-07-01 12:00:00"), quality];
    let tables: [(&str, &[&[ForeignValue]]); 5] = [
        (
            "device_groups",
            &[
                &[t("g1"), t("Below"), t("x"), t("g2")],
                &[t("g2"), t("Top"), NULL, NULL],
                &[t("g3"), t("Lost"), NULL, t("g9")],
                &[t("g4"), t("Round"), NULL, t("g5")],
                &[t("g5"), t("Round too"), NULL, t("g4")],
            ],
        ),
        ("devices", &[&device("b1", t("g1"), r#"{"mode": "eco"}"#), &device("b2", t("g9"), "eco")]),
        (
            "sensor_data",
            &[
                &reading(r(61.5), i(98)),
                &reading(t("open"), i(101)),
                &reading(NULL, NULL),
                &[t("ghost"), t("temp"), i(1), NULL, t("2026-07-01T12:00:00Z"), NULL],
            ],
        ),
        ("device_logs", &[&[t("b1"), t("connect"), t("it came"), t("info"), t("2026-07-01 12:00:00")]]),
        (
            "automation_rules",
            &[
                &[t("r1"), t("hot"), NULL, t(r#"{"sensor_type": "temp"}"#), t("[]"), i(1)],
                &[t("r2"), t("bad"), NULL, t("when hot"), t("[]"), i(1)],
                &[t("r3"), t("none"), NULL, NULL, t("[]"), NULL],
            ],
        ),
    ];
    // Its guide writes local times: noon in Berlin is ten o'clock.
    assert_eq!(
        mapped(SeedNumber::IotController, Tz::Europe__Berlin, &tables),
        [
            r#"1: group {"description":"x","id":"g1","name":"Below","parent_group":"g2"}"#,
            r#"2: group {"id":"g2","name":"Top"}"#,
            r#"3: group {"id":"g3","name":"Lost"}"#,
            r#"4: group {"id":"g4","name":"Round"}"#,
            r#"5: group {"id":"g5","name":"Round too"}"#,
            "3! parent_id: there is no group `g9`: it is at the top here",
            "4! parent_id: `g5` is below it: it is at the top here",
            "5! parent_id: `g4` is below it: it is at the top here",
            r#"1: device {"auth_token":"a-token-of-its-own-1","configuration":{"mode":"eco"},"device_id":"b1","group_id":"g1","ip_address":"10.0.0.7","name":"Boiler","type":"boiler"}"#,
            r#"2: device {"auth_token":"a-token-of-its-own-1","device_id":"b2","ip_address":"10.0.0.7","name":"Boiler","type":"boiler"}"#,
            "2! group_id: there is no group `g9`",
            "2! configuration: not JSON: expected value at line 1 column 1",
            "1: b1 2026-07-01T10:00:00.000Z temp=61.5°C q98",
            "2: b1 2026-07-01T10:00:00.000001Z temp=open°C",
            r#"4: device {"device_id":"ghost","name":"ghost"}"#,
            "4: ghost 2026-07-01T12:00:00.000Z temp=1",
            "2! quality_score: 101 is no whole number from 0 to 100",
            "3! value: there is none",
            "note: the device `ghost` has readings and no row in devices: it is made",
            "1: b1 2026-07-01T10:00:00.000Z log=it came log.event_type=connect log.severity=info",
            r#"1: rule {"actions":[],"id":"r1","is_enabled":true,"name":"hot","trigger_conditions":{"sensor_type":"temp"}}"#,
            "2! trigger_conditions: not JSON: expected value at line 1 column 1",
            "3! trigger_conditions: there is none, and a rule needs one",
        ]
    );
}

#[test]
fn the_tables_say_whose_they_are() {
    let table = |name: &str, columns: &str| ForeignTable {
        name: name.into(),
        columns: columns.split(' ').map(str::to_owned).collect(),
        rows: 0,
    };
    let check = |tables: &[ForeignTable], expected: Option<SeedNumber>| {
        assert_eq!(SeedNumber::guess(tables), expected, "{tables:?}");
    };
    let devices = || table("devices", "id device_id name status last_seen");
    let sensor_data = "id device_id temperature humidity pressure timestamp";
    check(&[devices(), table("sensor_data", sensor_data)], Some(SeedNumber::FlaskDashboard));
    check(&[table("sensor_data", "id sensor_type value unit timestamp")], Some(SeedNumber::Iamis));
    check(
        &[table("sensor_readings", "id sensor_type sensor_id value"), table("users", "id")],
        Some(SeedNumber::CloudBackend),
    );
    for name in ["dispositivo", "Dispositivos"] {
        check(&[table(name, "id serial_number nombre")], Some(SeedNumber::Dispositivos));
    }
    let sensor_data = table("Sensor_Data", "id device_id sensor_type value");
    check(&[table("Devices", "id user_id name"), sensor_data], Some(SeedNumber::IotController));
    check(&[table("notes", "id text")], None);
    check(&[], None);
}

/// A cell as a file may have it: of any kind, and now and then what its column wants.
fn any_cell() -> impl Strategy<Value = ForeignValue> {
    prop_oneof![
        Just(NULL),
        any::<i64>().prop_map(i),
        (0_i64..3).prop_map(i),
        any::<f64>().prop_map(r),
        ".*".prop_map(ForeignValue::Text),
        "[a-c]".prop_map(ForeignValue::Text),
        prop::sample::select(vec!["2026-01-01 12:00:00", "{\"t\": 1}", "[]", "{", "activo", "-1e400"])
            .prop_map(t),
        (0_usize..9).prop_map(ForeignValue::Bytes),
    ]
}

proptest! {
    /// A row with any cells becomes something or is told: none is lost in silence.
    #[test]
    fn no_row_is_lost_in_silence(
        rows in prop::collection::vec(prop::collection::vec(any_cell(), 10), 1..12),
        zone in prop::sample::select(vec![Tz::UTC, Tz::Europe__Berlin, Tz::America__New_York]),
    ) {
        for number in SeedNumber::value_variants() {
            let mut seed = number.reader(zone, DeviceId::parse("sensor-data").unwrap());
            for plan in seed.tables() {
                let mut into = MappedRows::default();
                for (rowid, values) in (1..).zip(&rows) {
                    let row = ForeignRow { rowid, values: values.clone() };
                    seed.map(plan.name, &SeedRow::new(plan.columns, &row), &mut into);
                }
                seed.end(plan.name, &mut into);
                let seen: BTreeSet<i64> =
                    into.documents.iter().map(|(rowid, _)| *rowid).chain(into.faults.iter().map(|fault| fault.rowid)).collect();
                prop_assert_eq!(seen.len(), rows.len(), "{} {}: {:?}", number.as_str(), plan.name, into);
            }
        }
    }

    /// Rows of one thing never share a moment with the row before, and keep their order; the others keep their time.
    #[test]
    fn each_row_has_a_moment_of_its_own(seconds in prop::collection::vec(0_u8..4, 1..40)) {
        let (mut book, mut again) = (MomentBook::default(), MomentBook::default());
        let mut last: Option<(u8, ReadingTime)> = None;
        for second in seconds {
            let at = ReadingTime::parse(&format!("2026-01-01T12:00:0{second}Z")).unwrap();
            let given = book.moment("a", at, STEP_NS);
            prop_assert_eq!(again.moment("a", at, STEP_NS), given, "the same rows, the same moments");
            match last {
                Some((before, moment)) if before == second => prop_assert!(given > moment),
                _ => prop_assert_eq!(given, at),
            }
            last = Some((second, given));
        }
    }
}
