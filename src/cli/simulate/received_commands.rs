//! The commands that a device was given, and what it answered: each is carried out once, however often it
//! comes. Pure.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};
use twinhub_domain::Timestamp;

use super::machine::CommandOutcome;

/// The commands of one device, the latest last.
#[derive(Clone, Debug, Default)]
pub(super) struct ReceivedCommands(VecDeque<ReceivedCommand>);

#[derive(Clone, Debug)]
struct ReceivedCommand {
    id: String,
    command_type: String,
    parameters: Map<String, Value>,
    /// Its final answer, with the time.
    answer: Option<(Value, Timestamp)>,
}

/// The outcome of a command's arrival.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum CommandArrival {
    /// It is no command.
    Unreadable,
    /// Its time was over, or it has come before: the answer, and nothing else.
    Answer { id: String, answer: Value },
    /// It is new: to be carried out. Until then this is the answer.
    New { id: String, answer: Value },
}

/// A device remembers this many commands: as many as a hub lets wait for it. Those that were forgotten
/// and come again all the same are past their `expires_at`, or the hub is none.
const REMEMBERED: usize = 1_000;
/// An answer sent so shortly before the connection broke, in ms, may not have arrived.
const PERHAPS_UNHEARD_MS: i64 = 30_000;

impl ReceivedCommands {
    /// Takes in a message such as `{"id", "type", "parameters", "expires_at"}`.
    pub(super) fn take(&mut self, message: &[u8], now: Timestamp) -> CommandArrival {
        let Ok(Value::Object(mut message)) = serde_json::from_slice(message) else {
            return CommandArrival::Unreadable;
        };
        let (Some(Value::String(id)), Some(Value::String(command_type))) =
            (message.remove("id"), message.remove("type"))
        else {
            return CommandArrival::Unreadable;
        };
        if let Some(order) = self.0.iter().rev().find(|order| order.id == id) {
            let answer = order.answer.as_ref().map_or_else(delivered, |(answer, _)| answer.clone());
            return CommandArrival::Answer { id, answer };
        }
        let expires_at = message.get("expires_at").and_then(Value::as_str).and_then(Timestamp::parse);
        if expires_at.is_some_and(|at| at <= now) {
            let answer = json!({ "status": "rejected", "reason": "it came after its time" });
            return CommandArrival::Answer { id, answer };
        }
        let parameters = match message.remove("parameters") {
            Some(Value::Object(parameters)) => parameters,
            _ => Map::new(),
        };
        if self.0.len() >= REMEMBERED {
            self.0.pop_front();
        }
        self.0.push_back(ReceivedCommand { id: id.clone(), command_type, parameters, answer: None });
        CommandArrival::New { id, answer: delivered() }
    }

    /// Carries the command out, as `run` does it, and gives the answer; none if that was done before.
    pub(super) fn carry_out(
        &mut self,
        id: &str,
        now: Timestamp,
        run: impl FnOnce(&str, &Map<String, Value>) -> CommandOutcome,
    ) -> Option<Value> {
        let order = self.0.iter_mut().rev().find(|order| order.id == id && order.answer.is_none())?;
        let answer = match run(&order.command_type, &order.parameters) {
            CommandOutcome::Executed(response) => json!({ "status": "executed", "response": response }),
            CommandOutcome::Failed(why) => json!({ "status": "failed", "reason": why }),
            CommandOutcome::Rejected(why) => json!({ "status": "rejected", "reason": why }),
        };
        order.answer = Some((answer.clone(), now));
        Some(answer)
    }

    /// Its answers shortly before `broken_at`, to be sent again on return.
    pub(super) fn perhaps_unheard(&self, broken_at: Timestamp) -> impl Iterator<Item = (&str, &Value)> {
        let since = broken_at.plus_millis(-PERHAPS_UNHEARD_MS);
        self.0.iter().filter_map(move |order| {
            let (answer, at) = order.answer.as_ref()?;
            (*at >= since).then_some((order.id.as_str(), answer))
        })
    }
}

fn delivered() -> Value {
    json!({ "status": "delivered" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_millis(second * 1_000)
    }

    /// Takes `message` in at second 100 after a command `1` was done and a command `2` was taken.
    fn check(message: &str, expected: &str) {
        let mut orders = ReceivedCommands::default();
        for id in ["1", "2"] {
            let message = format!(r#"{{"id":"{id}","type":"start"}}"#);
            assert!(matches!(orders.take(message.as_bytes(), at(90)), CommandArrival::New { .. }));
        }
        let answered = orders.carry_out("1", at(91), |_, _| CommandOutcome::Executed(json!(7)));
        assert_eq!(answered, Some(json!({ "status": "executed", "response": 7 })));
        let shown = match orders.take(message.as_bytes(), at(100)) {
            CommandArrival::Unreadable => "unreadable".to_owned(),
            CommandArrival::Answer { id, answer } => format!("again {id} {answer}"),
            CommandArrival::New { id, answer } => format!("new {id} {answer}"),
        };
        assert_eq!(shown, expected, "{message}");
    }

    #[test]
    fn takes_each_command_once() {
        check(r#"{"id":"3","type":"start","parameters":{}}"#, r#"new 3 {"status":"delivered"}"#);
        check(r#"{"id":"1","type":"start"}"#, r#"again 1 {"response":7,"status":"executed"}"#);
        check(r#"{"id":"1","type":"stop","attempt":2}"#, r#"again 1 {"response":7,"status":"executed"}"#);
        check(r#"{"id":"2","type":"start"}"#, r#"again 2 {"status":"delivered"}"#);
        check(
            r#"{"id":"3","type":"start","expires_at":"1970-01-01T00:01:40Z"}"#,
            r#"again 3 {"reason":"it came after its time","status":"rejected"}"#,
        );
        check(
            r#"{"id":"3","type":"start","expires_at":"1970-01-01T00:01:41Z"}"#,
            r#"new 3 {"status":"delivered"}"#,
        );
        for message in ["", "start", "[]", "{}", r#"{"id":1,"type":"start"}"#, r#"{"id":"1"}"#] {
            check(message, "unreadable");
        }
    }

    #[test]
    fn carries_each_command_out_once() {
        let mut orders = ReceivedCommands::default();
        orders.take(br#"{"id":"1","type":"set","parameters":{"x":1}}"#, at(0));
        let mut runs = 0;
        for _ in 0..3 {
            orders.carry_out("1", at(1), |command_type, parameters| {
                runs += 1;
                assert_eq!((command_type, &parameters["x"]), ("set", &json!(1)));
                CommandOutcome::Failed("no".into())
            });
        }
        assert_eq!(runs, 1);
        assert_eq!(orders.carry_out("2", at(1), |_, _| unreachable!("nobody asked for it")), None);
    }

    #[test]
    fn says_again_what_may_not_have_been_heard() {
        let mut orders = ReceivedCommands::default();
        for (id, second) in [("old", 10), ("new", 50)] {
            orders.take(format!(r#"{{"id":"{id}","type":"x"}}"#).as_bytes(), at(second));
            orders.carry_out(id, at(second), |_, _| CommandOutcome::Executed(json!(null)));
        }
        orders.take(br#"{"id":"not done","type":"x"}"#, at(60));
        let unheard: Vec<_> = orders.perhaps_unheard(at(70)).map(|(id, _)| id).collect();
        assert_eq!(unheard, ["new"]);
    }

    #[test]
    fn forgets_the_oldest() {
        let mut orders = ReceivedCommands::default();
        for id in 0..=REMEMBERED {
            orders.take(format!(r#"{{"id":"{id}","type":"x"}}"#).as_bytes(), at(0));
        }
        assert_eq!(orders.0.len(), REMEMBERED);
        assert!(matches!(orders.take(br#"{"id":"1","type":"x"}"#, at(0)), CommandArrival::Answer { .. }));
    }
}
