//! The machines of the fleet: their physics, their settings and their commands. Pure: the time comes in, readings and
//! words come out.

use std::f64::consts::TAU;

use serde_json::{Map, Value, json};

use super::rng::Rng;

/// One machine.
#[derive(Clone, Debug)]
pub(super) enum Machine {
    /// A room with a thermostat: it follows the day, slowly and with moods of its own.
    Climate { mean: f64, drift: f64, humidity: f64, target: f64 },
    /// A door, mostly closed.
    Door { open: bool, opened: u32, locked: bool },
    /// A pump that is switched by commands, and warms up while it runs.
    Pump { running: bool, temperature: f64 },
}

/// The outcome of setting one property.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum SetOutcome {
    Done,
    /// It is a property of the machine, and it can never have this value. Why.
    Impossible(String),
    /// The machine has no such property.
    NotMine,
}

/// The outcome of a command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum CommandOutcome {
    /// Its response.
    Executed(Value),
    /// The reason.
    Failed(String),
    /// The reason.
    Rejected(String),
}

pub(super) const FIRMWARE: &str = "1.4.2";
/// Seconds.
pub(super) const DAY: f64 = 86_400.0;
/// The warmest hour of the day, in seconds after midnight.
const WARMEST: f64 = 15.0 * 3_600.0;
/// A room comes two thirds of the way to its target in this many seconds.
const HEATING: f64 = 1_800.0;
/// The settings of a thermostat, in °C.
const TARGETS: std::ops::RangeInclusive<f64> = 5.0..=35.0;

impl Machine {
    /// Number `index` of a fleet. Of ten, five are rooms, three doors, two pumps.
    pub(super) fn new(index: u32, rng: &mut Rng) -> Self {
        match index % 10 {
            0 | 2 | 4 | 6 | 8 => {
                let (mean, humidity) = (rng.between(18.0, 24.0), rng.between(35.0, 60.0));
                let target = round(mean, 1);
                Self::Climate { mean: target, drift: 0.0, humidity, target }
            }
            1 | 5 | 9 => Self::Door { open: false, opened: 0, locked: false },
            _ => Self::Pump { running: false, temperature: 20.0 },
        }
    }

    /// Its kind: the first part of its id.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Climate { .. } => "climate",
            Self::Door { .. } => "door",
            Self::Pump { .. } => "pump",
        }
    }

    /// Its readings at `time`, in seconds since the fleet's midnight, `passed` seconds after it last did.
    pub(super) fn measure(&mut self, time: f64, passed: f64, rng: &mut Rng) -> Map<String, Value> {
        let readings = match self {
            Self::Climate { mean, drift, humidity, target } => {
                *mean += (*target - *mean) * (1.0 - (-passed / HEATING).exp());
                // Drift is drawn back to nothing within the hour; so it wanders, but not away.
                *drift += -*drift * (passed / 3_600.0).min(1.0) + 0.02 * passed.sqrt() * rng.normal();
                *humidity = (*humidity + 0.05 * passed.sqrt() * rng.normal()).clamp(20.0, 80.0);
                let day = 2.5 * (TAU * (time - WARMEST) / DAY).cos();
                json!({
                    "temperature": round(*mean + day + *drift, 2),
                    // Warmer air is drier at the same water content.
                    "humidity": round((*humidity - 1.5 * day).clamp(5.0, 99.0), 1),
                })
            }
            Self::Door { open, opened, locked } => {
                // Open for half a minute now and then, about every ten.
                let mean = if *open { 30.0 } else { 600.0 };
                if !*locked && rng.chance(1.0 - (-passed / mean).exp()) {
                    *open = !*open;
                    *opened += u32::from(*open);
                }
                json!({ "open": *open, "openings": *opened })
            }
            Self::Pump { running, temperature } => {
                let aim = if *running { 55.0 } else { 20.0 };
                *temperature += (aim - *temperature) * (1.0 - (-passed / 300.0).exp());
                let flow = if *running { 12.0 + 0.3 * rng.normal() } else { 0.0 };
                json!({
                    "flow": round(flow, 2),
                    "motor": { "temperature": round(*temperature + 0.1 * rng.normal(), 1) },
                    "units": { "flow": "l/min", "motor.temperature": "°C" },
                })
            }
        };
        object(readings)
    }

    /// Its settings.
    pub(super) fn state(&self) -> Map<String, Value> {
        object(match self {
            Self::Climate { target, .. } => json!({ "target": target }),
            Self::Door { locked, .. } => json!({ "lock": if *locked { "locked" } else { "unlocked" } }),
            Self::Pump { running, .. } => json!({ "power": if *running { "on" } else { "off" } }),
        })
    }

    /// Sets a property.
    pub(super) fn set(&mut self, name: &str, value: &Value) -> SetOutcome {
        match (self, name) {
            (Self::Climate { target, .. }, "target") => match value.as_f64() {
                Some(celsius) if TARGETS.contains(&celsius) => *target = celsius,
                _ => return impossible("a target lies between 5 and 35 °C", value),
            },
            (Self::Door { open, locked, .. }, "lock") => match value.as_str() {
                Some("locked") => (*open, *locked) = (false, true), // it falls shut first
                Some("unlocked") => *locked = false,
                _ => return impossible("a lock is `locked` or `unlocked`", value),
            },
            (Self::Pump { running, .. }, "power") => match value.as_str() {
                Some(power @ ("on" | "off")) => *running = power == "on",
                _ => return impossible("power is `on` or `off`", value),
            },
            (machine, name) if machine.measures(name) => {
                return SetOutcome::Impossible(format!("{name} is measured, not set"));
            }
            _ => return SetOutcome::NotMine,
        }
        SetOutcome::Done
    }

    /// Does what a command says.
    pub(super) fn run(&mut self, command_type: &str, parameters: &Map<String, Value>) -> CommandOutcome {
        match (&mut *self, command_type) {
            (_, "identify") => CommandOutcome::Executed(json!({ "blinked": 3 })),
            (_, "reboot") => {
                CommandOutcome::Executed(json!({ "restarted": true, "firmware_version": FIRMWARE }))
            }
            (Self::Pump { .. }, "start") => self.command_set("power", &json!("on")),
            (Self::Pump { .. }, "stop") => self.command_set("power", &json!("off")),
            (Self::Door { .. }, "lock") => self.command_set("lock", &json!("locked")),
            (Self::Door { .. }, "unlock") => self.command_set("lock", &json!("unlocked")),
            (Self::Door { locked: true, .. }, "open") => CommandOutcome::Failed("the door is locked".into()),
            (Self::Door { open, opened, .. }, "open" | "close") => {
                *opened += u32::from(command_type == "open" && !*open);
                *open = command_type == "open";
                CommandOutcome::Executed(json!({ "open": *open, "openings": *opened }))
            }
            _ => match command_type.strip_prefix("set_").filter(|name| self.state().contains_key(*name)) {
                Some(name) => match parameters.get(name) {
                    Some(value) => self.command_set(name, value),
                    None => {
                        CommandOutcome::Rejected(format!("`{command_type}` takes the parameter `{name}`"))
                    }
                },
                None => CommandOutcome::Rejected(format!(
                    "a {} does not know `{command_type}`: it knows {}",
                    self.kind(),
                    self.known_commands()
                )),
            },
        }
    }

    /// The reason of a failure by chance.
    pub(super) fn mishap(&self) -> &'static str {
        match self {
            Self::Climate { .. } => "the valve does not move",
            Self::Door { .. } => "something is in the way",
            Self::Pump { .. } => "the motor does not start: too much current",
        }
    }

    fn command_set(&mut self, name: &str, value: &Value) -> CommandOutcome {
        match self.set(name, value) {
            SetOutcome::Done => CommandOutcome::Executed(Value::Object(self.state())),
            SetOutcome::Impossible(why) => CommandOutcome::Rejected(why),
            SetOutcome::NotMine => CommandOutcome::Rejected(format!("a {} has no `{name}`", self.kind())),
        }
    }

    fn measures(&self, name: &str) -> bool {
        match self {
            Self::Climate { .. } => matches!(name, "temperature" | "humidity" | "battery"),
            Self::Door { .. } => matches!(name, "open" | "openings" | "battery"),
            Self::Pump { .. } => matches!(name, "flow" | "motor"),
        }
    }

    fn known_commands(&self) -> &'static str {
        match self {
            Self::Climate { .. } => "set_target, identify, reboot",
            Self::Door { .. } => "lock, unlock, open, close, set_lock, identify, reboot",
            Self::Pump { .. } => "start, stop, set_power, identify, reboot",
        }
    }
}

pub(super) fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

fn impossible(why: &str, value: &Value) -> SetOutcome {
    let shown: String = value.to_string().chars().take(64).collect();
    SetOutcome::Impossible(format!("{why}, not {shown}"))
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(object) => object,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests;
