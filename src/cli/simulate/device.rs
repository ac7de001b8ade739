//! A device of the fleet: a machine that measures, carries out each command once, and follows its desired state.
//! Pure: what it hears and the time come in, what it says comes out.

use serde_json::{Value, json};
use twinhub_domain::Timestamp;

use super::desired::{DesiredOutcome, DesiredState};
use super::firmware::{Download, Fetch, FirmwareUpdater, UpdaterStep};
use super::machine::{CommandOutcome, DAY, Machine, round};
use super::received_commands::{CommandArrival, ReceivedCommands};
use super::rng::Rng;

/// One device of the fleet.
#[derive(Clone, Debug)]
pub(super) struct SimulatedDevice {
    pub(super) id: String,
    rng: Rng,
    machine: Machine,
    orders: ReceivedCommands,
    desired: DesiredState,
    firmware: FirmwareUpdater,
    /// When it last measured, in seconds since the fleet's midnight.
    last: f64,
    /// Percent.
    battery: f64,
}

/// Something it says, on its topic `…/{about}`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DeviceMessage {
    pub(super) about: String,
    pub(super) payload: String,
    pub(super) retain: bool,
}

/// Its reaction to a command.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CommandReaction {
    pub(super) messages: Vec<DeviceMessage>,
    /// The command to be carried out when its time has come.
    pub(super) carry_out: Option<String>,
}

impl SimulatedDevice {
    /// Number `index` of the fleet that `seed` describes.
    pub(super) fn new(seed: u64, index: u32) -> Self {
        let mut rng = Rng::new(seed, index);
        let machine = Machine::new(index, &mut rng);
        let battery = rng.between(40.0, 100.0);
        Self {
            id: format!("{}-{index}", machine.kind()),
            rng,
            machine,
            orders: ReceivedCommands::default(),
            desired: DesiredState::default(),
            firmware: FirmwareUpdater::new(),
            last: 0.0,
            battery,
        }
    }

    /// Its messages on connecting: its presence, the answers that may have been lost when the connection broke at
    /// `broken_at`, its state, and a request for the desired state.
    pub(super) fn greet(&self, broken_at: Option<Timestamp>) -> Vec<DeviceMessage> {
        let (version, model) = (self.firmware.version(), format!("sim-{}", self.machine.kind()));
        let online = json!({ "status": "online", "firmware_version": version, "model": model });
        let mut messages = vec![DeviceMessage { retain: true, ..device_message("status", &online) }];
        if let Some(broken_at) = broken_at {
            messages.extend(self.orders.perhaps_unheard(broken_at).map(|(id, report)| answer(id, report)));
        }
        messages.push(self.report());
        messages.push(DeviceMessage { about: "get".into(), payload: String::new(), retain: false });
        messages
    }

    /// Its readings at `time`, in seconds since the fleet's midnight.
    pub(super) fn measure(&mut self, time: f64) -> DeviceMessage {
        let passed = (time - self.last).clamp(0.0, DAY);
        self.last = time;
        self.battery = (self.battery - passed / DAY).max(1.0);
        let mut readings = self.machine.measure(time, passed, &mut self.rng);
        if !matches!(self.machine, Machine::Pump { .. }) {
            readings.insert("battery".into(), round(self.battery, 1).into()); // a pump has a cable
        }
        device_message("data", &Value::Object(readings))
    }

    /// Hears a command.
    pub(super) fn hear_command(&mut self, message: &[u8], now: Timestamp) -> CommandReaction {
        match self.orders.take(message, now) {
            CommandArrival::Unreadable => CommandReaction::default(),
            CommandArrival::Answer { id, answer: report } => {
                CommandReaction { messages: vec![answer(&id, &report)], carry_out: None }
            }
            CommandArrival::New { id, answer: report } => {
                CommandReaction { messages: vec![answer(&id, &report)], carry_out: Some(id) }
            }
        }
    }

    /// Carries a command out, unless that was done, and says what became of it. At `failure_rate` (0 to 1)
    /// it has bad luck: it cannot, or it will not.
    pub(super) fn carry_out(
        &mut self,
        command: &str,
        failure_rate: f64,
        now: Timestamp,
    ) -> Vec<DeviceMessage> {
        let Self { orders, machine, rng, firmware, .. } = self;
        let before = machine.state();
        let report = orders.carry_out(command, now, |command_type, parameters| {
            match (rng.chance(failure_rate), rng.chance(0.5)) {
                (false, _) if command_type == "reboot" => CommandOutcome::Executed(
                    json!({ "restarted": true, "firmware_version": firmware.version() }),
                ),
                (false, _) => machine.run(command_type, parameters),
                (true, true) => CommandOutcome::Failed(machine.mishap().into()),
                (true, false) => CommandOutcome::Rejected("it is being serviced".into()),
            }
        });
        let Some(report) = report else { return Vec::new() };
        let mut messages = vec![answer(command, &report)];
        if self.machine.state() != before {
            messages.push(self.report());
        }
        messages
    }

    /// Hears what is desired of it; nothing to say where that is old or was so already.
    pub(super) fn hear_desired(&mut self, payload: &[u8]) -> Vec<DeviceMessage> {
        let DesiredOutcome::Now { reported, failed } = self.desired.follow(&mut self.machine, payload) else {
            return Vec::new();
        };
        [("state", reported), ("desired/failed", failed)]
            .into_iter()
            .filter(|(_, report)| !report.is_empty())
            .map(|(about, report)| device_message(about, &Value::Object(report)))
            .collect()
    }

    /// Hears that it is to come to other firmware: what it has to fetch, where it begins, and what it says.
    pub(super) fn hear_update(&mut self, payload: &[u8]) -> Option<(Fetch, DeviceMessage)> {
        let fetch = self.firmware.hear(payload)?;
        let begins =
            device_message("firmware", &json!({ "state": "downloading", "percent": 0, "job": fetch.job }));
        Some((fetch, begins))
    }

    /// Takes the outcome of a download.
    pub(super) fn fetched(&mut self, job: &str, outcome: Download) {
        self.firmware.fetched(job, outcome);
    }

    /// Comes further with its firmware: what it says, and whether it goes on, restarts or is through.
    pub(super) fn update(&mut self, failure_rate: f64) -> (Option<DeviceMessage>, UpdaterStep) {
        let next = self.firmware.step(failure_rate, &mut self.rng);
        let report = match &next {
            UpdaterStep::Say(report) | UpdaterStep::Last(report) | UpdaterStep::Restart(report) => {
                Some(device_message("firmware", report))
            }
            UpdaterStep::Wait | UpdaterStep::Nothing => None,
        };
        (report, next)
    }

    /// The broker was lost: there may be another hub behind it when it is back, one that counts the versions
    /// of what it desires from the beginning.
    pub(super) fn lose_broker(&mut self) {
        self.desired.begin_anew();
    }

    /// After how many seconds it drops out, `per_minute` times a minute on average; none: never.
    pub(super) fn drops_out_after(&mut self, per_minute: f64) -> Option<f64> {
        self.rng.wait(per_minute)
    }

    /// For how much of the usual absence it is away: from a half to one and a half.
    pub(super) fn absence(&mut self) -> f64 {
        self.rng.between(0.5, 1.5)
    }

    fn report(&self) -> DeviceMessage {
        device_message("state", &Value::Object(self.desired.state(&self.machine)))
    }
}

fn answer(command: &str, answer: &Value) -> DeviceMessage {
    device_message(&format!("commands/{command}"), answer)
}

fn device_message(about: &str, payload: &Value) -> DeviceMessage {
    DeviceMessage { about: about.into(), payload: payload.to_string(), retain: false }
}

#[cfg(test)]
mod tests;
