//! The state machine as a table, and the queue's order.

use proptest::prelude::*;

use super::*;
use crate::cause::Source;
use crate::payload::object;

fn id(number: u128) -> CommandId {
    CommandId(uuid::Uuid::from_u128(number << 8))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_millis(seconds * 1_000)
}

fn cause() -> Cause {
    Cause::new(Source::Rest, "")
}

const SIGNALS: [CommandTransition; 11] = [
    CommandTransition::Send,
    CommandTransition::Retry,
    CommandTransition::Return,
    CommandTransition::CommandResult(CommandResultStatus::Delivered),
    CommandTransition::CommandResult(CommandResultStatus::Executed),
    CommandTransition::CommandResult(CommandResultStatus::Failed),
    CommandTransition::CommandResult(CommandResultStatus::Rejected),
    CommandTransition::GiveUp,
    CommandTransition::Expire,
    CommandTransition::Cancel,
    CommandTransition::Supersede,
];

/// The status after each signal of [`SIGNALS`] from each status; `-` is none.
#[test]
fn the_states_as_a_table() {
    let check = |from: CommandStatus, expected: &str| {
        let found: Vec<&str> =
            SIGNALS.iter().map(|signal| from.after(*signal).map_or("-", CommandStatus::as_str)).collect();
        assert_eq!(found, expected.split_whitespace().collect::<Vec<_>>(), "{from:?}");
    };
    use CommandStatus as S;
    check(S::Pending, "sent - - delivered executed failed rejected - expired canceled superseded");
    check(S::Sent, "- pending pending delivered executed failed rejected failed - canceled -");
    check(S::Delivered, "- - - - executed failed rejected timed_out - canceled -");
    for last in S::ALL.into_iter().filter(|status| status.is_final()) {
        check(last, "- - - - - - - - - - -");
    }
}

#[test]
fn every_status_has_its_word() {
    for status in CommandStatus::ALL {
        assert_eq!(CommandStatus::parse(status.as_str()), Some(status));
        assert_eq!(serde_json::to_string(&status).unwrap(), format!("\"{}\"", status.as_str()));
    }
    assert_eq!(CommandStatus::parse("done"), None);
}

#[test]
fn priority_goes_first_then_age() {
    let mut queue = OpenCommands::default();
    for (number, priority) in [(1, 5), (2, 9), (3, 0), (4, 9), (5, 5)] {
        let request = CommandRequest { priority, ..CommandRequest::new("go", Object::default()) };
        let change = CommandChange { id: id(number), step: CommandStep::Queued(Box::new(request)) };
        queue.redo(&change, at(i64::try_from(number).unwrap()), &cause());
    }
    let mut order = Vec::new();
    while let Some(next) = queue.next(at(10)).map(|command| command.id) {
        order.push(next);
        let done = CommandStep::Ended { status: CommandStatus::Canceled, reason: "".into(), by: None };
        queue.redo(&CommandChange { id: next, step: done }, at(10), &cause());
    }
    assert_eq!(order, [id(2), id(4), id(1), id(5), id(3)]);
    assert!(queue.commands().is_empty());
}

#[test]
fn a_history_keeps_its_beginning_and_its_end() {
    let mut command = Command::new(id(1), CommandRequest::new("go", Object::default()), at(0), &cause());
    for second in 1..500 {
        command.redo(&CommandStep::Sent { attempt: 1 }, at(second), &cause());
    }
    assert_eq!(command.history.len(), LONGEST_HISTORY);
    assert_eq!((command.history[0].at, command.history[LONGEST_HISTORY - 1].at), (at(0), at(499)));
}

fn refused(text: &str, expected: &str) {
    let (field, detail) = CommandRequest::parse(object(text.as_bytes()).unwrap()).unwrap_err();
    assert_eq!(format!("{field}: {detail}"), expected, "{text}");
}

#[test]
fn reads_requests_and_names_what_is_wrong() {
    let text = r#"{"command_type": "set_speed", "parameters": {"rpm": 1450.0}, "priority": 9, "ttl": "1h",
        "timeout": 2.5, "max_attempts": 1, "supersedes": "speed"}"#;
    let request = CommandRequest::parse(object(text.as_bytes()).unwrap()).unwrap();
    assert_eq!(Json::from(request.parameters.clone()).to_string(), r#"{"rpm":1450.0}"#);
    assert_eq!((request.priority, request.ttl.ms(), request.timeout.ms()), (9, 3_600_000, 2_500));
    assert_eq!((request.max_attempts, request.supersedes.as_deref()), (1, Some("speed")));
    refused(r#"{"colour": 1}"#, "colour: there is no such field");
    refused("{}", "command_type: is needed");
    refused(r#"{"command_type": " "}"#, "command_type: must have 1 to 128 bytes");
    let go = |rest: &str| format!(r#"{{"command_type": "go", {rest}}}"#);
    refused(&go(r#""parameters": []"#), "parameters: expected an object, found an array");
    refused(&go(r#""priority": 10"#), "priority: expected a whole number from 0 to 9, found 10");
    refused(&go(r#""priority": -1"#), "priority: expected a whole number from 0 to 9, found -1");
    refused(&go(r#""max_attempts": 0"#), "max_attempts: expected a whole number from 1 to 20, found 0");
    let duration = "expected a duration such as 90s, 1h 30m or PT1H30M, or seconds";
    let unreadable = "`soon` is no number with its unit, as 90s, 1h 30m or PT1H30M";
    refused(&go(r#""ttl": "soon""#), &format!("ttl: {duration}: {unreadable}"));
    refused(&go(r#""ttl": "367d""#), &format!("ttl: {duration}: 367d is too long: write 366d or less"));
    refused(&go(r#""timeout": 0"#), &format!("timeout: {duration}: 0 is too short: write 1s or more"));
    let long = "it is longer than can be counted: write 1h, 30d";
    refused(&go(r#""timeout": 1e300"#), &format!("timeout: {duration}: {long}"));
    refused(&go(r#""supersedes": """#), "supersedes: must have 1 to 128 bytes");
}

#[test]
fn requests_of_earlier_versions_are_read() {
    let kept = r#"{"command_type":"go","parameters":{},"priority":5,"ttl_ms":3600000,"timeout_ms":1500,
        "max_attempts":3}"#;
    let request: CommandRequest = serde_json::from_str(kept).unwrap();
    assert_eq!((request.ttl.text(), request.timeout.text()), ("1h", "1s 500ms"));
    let now = serde_json::to_string(&request).unwrap();
    assert!(now.contains(r#""ttl":"1h","timeout":"1s 500ms""#), "{now}");
    assert_eq!(serde_json::from_str::<CommandRequest>(&now).unwrap(), request);
}

#[test]
fn durations_stay_as_they_were_given_and_ask_the_same() {
    let read = |ttl: &str| {
        let text = format!(r#"{{"command_type": "go", "ttl": {ttl}}}"#);
        CommandRequest::parse(object(text.as_bytes()).unwrap()).unwrap()
    };
    let (hour, minutes) = (read(r#""PT1H""#), read(r#""60m""#));
    assert_eq!((hour.ttl.text(), minutes.ttl.text()), ("PT1H", "60m"));
    assert!(hour.asks_the_same(&minutes) && hour != minutes);
    assert!(!hour.asks_the_same(&read("3601")));
}

fn any_step() -> impl Strategy<Value = CommandStep> {
    let answer = || {
        (0..4_usize, any::<Option<bool>>(), proptest::option::of("[a-z ]{0,8}")).prop_map(
            |(status, response, reason)| CommandResult {
                status: [
                    CommandResultStatus::Delivered,
                    CommandResultStatus::Executed,
                    CommandResultStatus::Failed,
                    CommandResultStatus::Rejected,
                ][status],
                response: response.map(Json::Bool),
                reason: reason.map(Into::into),
            },
        )
    };
    prop_oneof![
        "[a-z]{1,8}"
            .prop_map(|word| CommandStep::Queued(Box::new(CommandRequest::new(&word, Object::default())))),
        any::<u8>().prop_map(|attempt| CommandStep::Sent { attempt }),
        (any::<Option<i32>>(), any::<bool>()).prop_map(|(at, uncounted)| CommandStep::Returned {
            reason: "gone".into(),
            not_before: at.map(|at| Timestamp::from_millis(at.into())),
            uncounted,
        }),
        answer().prop_map(CommandStep::Answered),
        answer().prop_map(CommandStep::Late),
        (0..10_usize, any::<Option<u64>>()).prop_map(|(status, by)| CommandStep::Ended {
            status: CommandStatus::ALL[status],
            reason: "over".into(),
            by: by.map(|by| id(by.into())),
        }),
    ]
}

proptest! {
    /// The journal keeps steps in this form.
    #[test]
    fn steps_survive_their_serde_form(step in any_step(), number in any::<u64>()) {
        let change = CommandChange { id: id(number.into()), step };
        let text = serde_json::to_string(&change).unwrap();
        prop_assert_eq!(serde_json::from_str::<CommandChange>(&text).unwrap(), change);
    }
}
