use super::*;

const ROOM: u32 = 0;
const DOOR: u32 = 1;
const PUMP: u32 = 3;

fn machine(index: u32) -> (Machine, Rng) {
    let mut rng = Rng::new(1, index);
    (Machine::new(index, &mut rng), rng)
}

/// Runs `commands` (a type, or a type and its parameters) one after the other; what became of the last.
fn run(index: u32, commands: &[&str]) -> String {
    let (mut machine, _) = machine(index);
    let mut shown = String::new();
    for command in commands {
        let (name, parameters) = command.split_once(' ').unwrap_or((command, "{}"));
        shown = match machine.run(name, &serde_json::from_str(parameters).unwrap()) {
            CommandOutcome::Executed(response) => format!("executed {response}"),
            CommandOutcome::Failed(why) => format!("failed {why}"),
            CommandOutcome::Rejected(why) => format!("rejected {why}"),
        };
    }
    shown
}

#[test]
fn does_what_it_can_and_says_why_not() {
    let check =
        |index, commands: &[&str], expected: &str| assert_eq!(run(index, commands), expected, "{commands:?}");
    check(PUMP, &["start"], r#"executed {"power":"on"}"#);
    check(PUMP, &["start", "stop"], r#"executed {"power":"off"}"#);
    check(PUMP, &[r#"set_power {"power":"on"}"#], r#"executed {"power":"on"}"#);
    check(PUMP, &[r#"set_power {"power":1}"#], "rejected power is `on` or `off`, not 1");
    check(PUMP, &["set_power"], "rejected `set_power` takes the parameter `power`");
    check(
        PUMP,
        &["lock"],
        "rejected a pump does not know `lock`: it knows start, stop, set_power, identify, reboot",
    );
    check(
        PUMP,
        &[r#"set_flow {"flow":3}"#],
        "rejected a pump does not know `set_flow`: it knows start, stop, set_power, identify, reboot",
    );
    check(ROOM, &[r#"set_target {"target":21.5}"#], r#"executed {"target":21.5}"#);
    check(ROOM, &[r#"set_target {"target":90}"#], "rejected a target lies between 5 and 35 °C, not 90");
    check(ROOM, &["identify"], r#"executed {"blinked":3}"#);
    check(ROOM, &["reboot"], r#"executed {"firmware_version":"1.4.2","restarted":true}"#);
    check(DOOR, &["open"], r#"executed {"open":true,"openings":1}"#);
    check(DOOR, &["open", "open"], r#"executed {"open":true,"openings":1}"#);
    check(DOOR, &["open", "lock", "close"], r#"executed {"open":false,"openings":1}"#);
    check(DOOR, &["lock", "open"], "failed the door is locked");
    check(DOOR, &["lock", "unlock", "open"], r#"executed {"open":true,"openings":1}"#);
    check(DOOR, &[r#"set_lock {"lock":"ajar"}"#], r#"rejected a lock is `locked` or `unlocked`, not "ajar""#);
}

#[test]
fn is_set_to_what_it_can_be() {
    let check = |index, name: &str, value: Value, expected: Result<&str, &str>| {
        let (mut machine, _) = machine(index);
        let before = machine.state();
        let shown = match machine.set(name, &value) {
            SetOutcome::Done => Ok(Value::Object(machine.state()).to_string()),
            SetOutcome::Impossible(why) => Err(why),
            SetOutcome::NotMine => Err("not mine".to_owned()),
        };
        if shown.is_err() {
            assert_eq!(machine.state(), before, "what is refused changes nothing");
        }
        assert_eq!(shown.as_deref().map_err(String::as_str), expected, "{name}: {value}");
    };
    check(PUMP, "power", json!("on"), Ok(r#"{"power":"on"}"#));
    check(PUMP, "power", json!(true), Err("power is `on` or `off`, not true"));
    check(PUMP, "flow", json!(3), Err("flow is measured, not set"));
    check(PUMP, "target", json!(20), Err("not mine"));
    check(ROOM, "target", json!(19), Ok(r#"{"target":19.0}"#));
    check(ROOM, "target", json!("warm"), Err(r#"a target lies between 5 and 35 °C, not "warm""#));
    check(ROOM, "temperature", json!(21), Err("temperature is measured, not set"));
    check(DOOR, "lock", json!("locked"), Ok(r#"{"lock":"locked"}"#));
    check(DOOR, "lock", json!("unlocked"), Ok(r#"{"lock":"unlocked"}"#));
    check(DOOR, "power", json!("on"), Err("not mine"));
}

#[test]
fn pumps_warm_up_when_they_run_and_rooms_when_they_are_heated() {
    let (mut pump, mut rng) = machine(PUMP);
    assert_eq!(pump.measure(0.0, 0.0, &mut rng)["flow"], 0.0);
    assert_eq!(pump.set("power", &json!("on")), SetOutcome::Done);
    let later = pump.measure(900.0, 900.0, &mut rng);
    assert!(later["flow"].as_f64().unwrap() > 10.0);
    assert!(later["motor"]["temperature"].as_f64().unwrap() > 45.0);

    let (mut room, mut rng) = machine(ROOM);
    let before = room.measure(0.0, 0.0, &mut rng)["temperature"].as_f64().unwrap();
    assert_eq!(room.set("target", &json!(33)), SetOutcome::Done);
    let after = room.measure(DAY, DAY, &mut rng)["temperature"].as_f64().unwrap();
    assert!(after > before + 5.0, "{before} → {after} °C at the same hour");
}

#[test]
fn a_locked_door_stays_shut() {
    let (mut door, mut rng) = machine(DOOR);
    assert_eq!(door.set("lock", &json!("locked")), SetOutcome::Done);
    for minute in 0..1_440 {
        assert_eq!(door.measure(f64::from(minute) * 60.0, 60.0, &mut rng)["open"], false);
    }
}
