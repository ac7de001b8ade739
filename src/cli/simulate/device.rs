//! A device of the fleet: a machine that measures, does as it is told once, and follows what is desired.
//! Pure: what it hears and the time come in, what it says comes out.

use serde_json::{Value, json};
use twinhub_domain::Timestamp;

use super::dice::Dice;
use super::firmware::{Download, Fetch, Firmware, Next};
use super::machine::{DAY, Done, Machine, round};
use super::orders::{Orders, Taken};
use super::wishes::{Followed, Wishes};

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) id: String,
    dice: Dice,
    machine: Machine,
    orders: Orders,
    wishes: Wishes,
    firmware: Firmware,
    /// When it last measured, in seconds since the fleet's midnight.
    last: f64,
    /// Percent.
    battery: f64,
}

/// Something it says, on its topic `…/{about}`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Said {
    pub(super) about: String,
    pub(super) payload: String,
    pub(super) retain: bool,
}

/// What it does about a command.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Reaction {
    pub(super) says: Vec<Said>,
    /// The command to be carried out when its time has come.
    pub(super) carry_out: Option<String>,
}

impl Device {
    /// Number `index` of the fleet that `seed` describes.
    pub(super) fn new(seed: u64, index: u32) -> Self {
        let mut dice = Dice::new(seed, index);
        let machine = Machine::new(index, &mut dice);
        let battery = dice.between(40.0, 100.0);
        Self {
            id: format!("{}-{index}", machine.kind()),
            dice,
            machine,
            orders: Orders::default(),
            wishes: Wishes::default(),
            firmware: Firmware::new(),
            last: 0.0,
            battery,
        }
    }

    /// What it says when it comes: that it is there, what it may have said in vain before its connection
    /// broke at `broken_at`, what it is, and what is desired of it?
    pub(super) fn greet(&self, broken_at: Option<Timestamp>) -> Vec<Said> {
        let (version, model) = (self.firmware.version(), format!("sim-{}", self.machine.kind()));
        let online = json!({ "status": "online", "firmware_version": version, "model": model });
        let mut says = vec![Said { retain: true, ..say("status", &online) }];
        if let Some(broken_at) = broken_at {
            says.extend(self.orders.perhaps_unheard(broken_at).map(|(id, said)| answer(id, said)));
        }
        says.push(self.report());
        says.push(Said { about: "get".into(), payload: String::new(), retain: false });
        says
    }

    /// What it measures at `time`, in seconds since the fleet's midnight.
    pub(super) fn measure(&mut self, time: f64) -> Said {
        let passed = (time - self.last).clamp(0.0, DAY);
        self.last = time;
        self.battery = (self.battery - passed / DAY).max(1.0);
        let mut readings = self.machine.measure(time, passed, &mut self.dice);
        if !matches!(self.machine, Machine::Pump { .. }) {
            readings.insert("battery".into(), round(self.battery, 1).into()); // a pump has a cable
        }
        say("data", &Value::Object(readings))
    }

    /// Hears a command.
    pub(super) fn hear_command(&mut self, message: &[u8], now: Timestamp) -> Reaction {
        match self.orders.take(message, now) {
            Taken::Unreadable => Reaction::default(),
            Taken::Answer { id, answer: said } => {
                Reaction { says: vec![answer(&id, &said)], carry_out: None }
            }
            Taken::New { id, answer: said } => {
                Reaction { says: vec![answer(&id, &said)], carry_out: Some(id) }
            }
        }
    }

    /// Carries a command out, unless that was done, and says what became of it. At `failure_rate` (0 to 1)
    /// it has bad luck: it cannot, or it will not.
    pub(super) fn carry_out(&mut self, command: &str, failure_rate: f64, now: Timestamp) -> Vec<Said> {
        let Self { orders, machine, dice, firmware, .. } = self;
        let before = machine.state();
        let said = orders.carry_out(command, now, |command_type, parameters| {
            match (dice.chance(failure_rate), dice.chance(0.5)) {
                (false, _) if command_type == "reboot" => {
                    Done::Executed(json!({ "restarted": true, "firmware_version": firmware.version() }))
                }
                (false, _) => machine.run(command_type, parameters),
                (true, true) => Done::Failed(machine.mishap().into()),
                (true, false) => Done::Rejected("it is being serviced".into()),
            }
        });
        let Some(said) = said else { return Vec::new() };
        let mut says = vec![answer(command, &said)];
        if self.machine.state() != before {
            says.push(self.report());
        }
        says
    }

    /// Hears what is desired of it; nothing to say where that is old or was so already.
    pub(super) fn hear_desired(&mut self, message: &[u8]) -> Vec<Said> {
        let Followed::Now { reported, failed } = self.wishes.follow(&mut self.machine, message) else {
            return Vec::new();
        };
        [("state", reported), ("desired/failed", failed)]
            .into_iter()
            .filter(|(_, said)| !said.is_empty())
            .map(|(about, said)| say(about, &Value::Object(said)))
            .collect()
    }

    /// Hears that it is to come to other firmware: what it has to fetch, where it begins, and what it says.
    pub(super) fn hear_update(&mut self, message: &[u8]) -> Option<(Fetch, Said)> {
        let fetch = self.firmware.hear(message)?;
        let begins = say("firmware", &json!({ "state": "downloading", "percent": 0, "job": fetch.job }));
        Some((fetch, begins))
    }

    /// What came of a download.
    pub(super) fn fetched(&mut self, job: &str, came: Download) {
        self.firmware.fetched(job, came);
    }

    /// Comes further with its firmware: what it says, and whether it goes on, restarts or is through.
    pub(super) fn update(&mut self, failure_rate: f64) -> (Option<Said>, Next) {
        let next = self.firmware.step(failure_rate, &mut self.dice);
        let said = match &next {
            Next::Say(said) | Next::Last(said) | Next::Restart(said) => Some(say("firmware", said)),
            Next::Wait | Next::Nothing => None,
        };
        (said, next)
    }

    /// The broker was lost: there may be another hub behind it when it is back, one that counts the versions
    /// of what it desires from the beginning.
    pub(super) fn lose_broker(&mut self) {
        self.wishes.begin_anew();
    }

    /// After how many seconds it drops out, `per_minute` times a minute on average; none: never.
    pub(super) fn drops_out_after(&mut self, per_minute: f64) -> Option<f64> {
        self.dice.wait(per_minute)
    }

    /// For how much of the usual absence it is away: from a half to one and a half.
    pub(super) fn absence(&mut self) -> f64 {
        self.dice.between(0.5, 1.5)
    }

    fn report(&self) -> Said {
        say("state", &Value::Object(self.wishes.state(&self.machine)))
    }
}

fn answer(command: &str, answer: &Value) -> Said {
    say(&format!("commands/{command}"), answer)
}

fn say(about: &str, payload: &Value) -> Said {
    Said { about: about.into(), payload: payload.to_string(), retain: false }
}

#[cfg(test)]
mod tests;
