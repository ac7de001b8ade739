//! The physics of a device, pure: the time comes in, readings come out.

use std::f64::consts::TAU;

use serde_json::{Value, json};

use super::dice::Dice;

/// A device of the fleet.
#[derive(Clone, Debug)]
pub(super) struct Device {
    pub(super) id: String,
    dice: Dice,
    kind: Kind,
    /// When it last measured, in seconds since the fleet's midnight.
    last: f64,
    /// Percent.
    battery: f64,
}

#[derive(Clone, Debug)]
enum Kind {
    /// A room: it follows the day, slowly and with moods of its own.
    Climate { mean: f64, drift: f64, humidity: f64 },
    /// A door, mostly closed.
    Door { open: bool, opened: u32 },
    /// A pump that does as it is told, and warms up while it runs.
    Pump { running: bool, temperature: f64 },
}

const DAY: f64 = 86_400.0;
/// The warmest hour of the day, in seconds after midnight.
const WARMEST: f64 = 15.0 * 3_600.0;
/// A device drops out once in so many seconds, on average.
const BETWEEN_DROP_OUTS: f64 = 1_800.0;
/// The shortest and the longest absence, in seconds.
const ABSENCE: (f64, f64) = (10.0, 90.0);

impl Device {
    /// Number `index` of the fleet that `seed` describes. Of ten, five are rooms, three doors, two pumps.
    pub(super) fn new(seed: u64, index: u32) -> Self {
        let mut dice = Dice::new(seed, index);
        let (name, kind) = match index % 10 {
            0 | 2 | 4 | 6 | 8 => {
                let (mean, humidity) = (dice.between(18.0, 24.0), dice.between(35.0, 60.0));
                ("climate", Kind::Climate { mean, drift: 0.0, humidity })
            }
            1 | 5 | 9 => ("door", Kind::Door { open: false, opened: 0 }),
            _ => ("pump", Kind::Pump { running: false, temperature: 20.0 }),
        };
        let battery = dice.between(40.0, 100.0);
        Self { id: format!("{name}-{index}"), dice, kind, last: 0.0, battery }
    }

    /// What it measures at `time`, in seconds since the fleet's midnight.
    pub(super) fn measure(&mut self, time: f64) -> Value {
        let passed = (time - self.last).clamp(0.0, DAY);
        self.last = time;
        self.battery = (self.battery - passed / DAY).max(1.0);
        let dice = &mut self.dice;
        match &mut self.kind {
            Kind::Climate { mean, drift, humidity } => {
                // Drift is drawn back to nothing within the hour; so it wanders, but not away.
                *drift += -*drift * (passed / 3_600.0).min(1.0) + 0.02 * passed.sqrt() * dice.normal();
                *humidity = (*humidity + 0.05 * passed.sqrt() * dice.normal()).clamp(20.0, 80.0);
                let day = 2.5 * (TAU * (time - WARMEST) / DAY).cos();
                let temperature = *mean + day + *drift;
                json!({
                    "temperature": round(temperature, 2),
                    // Warmer air is drier at the same water content.
                    "humidity": round((*humidity - 1.5 * day).clamp(5.0, 99.0), 1),
                    "battery": round(self.battery, 1),
                })
            }
            Kind::Door { open, opened } => {
                // Open for half a minute now and then, about every ten.
                let mean = if *open { 30.0 } else { 600.0 };
                if dice.chance(1.0 - (-passed / mean).exp()) {
                    *open = !*open;
                    *opened += u32::from(*open);
                }
                json!({ "open": *open, "openings": *opened, "battery": round(self.battery, 1) })
            }
            Kind::Pump { running, temperature } => {
                let aim = if *running { 55.0 } else { 20.0 };
                *temperature += (aim - *temperature) * (1.0 - (-passed / 300.0).exp());
                let flow = if *running { 12.0 + 0.3 * dice.normal() } else { 0.0 };
                json!({
                    "flow": round(flow, 2),
                    "motor": { "temperature": round(*temperature + 0.1 * dice.normal(), 1) },
                    "units": { "flow": "l/min", "motor.temperature": "°C" },
                })
            }
        }
    }

    /// What it reports of its state, which a pump has.
    pub(super) fn state(&self) -> Option<Value> {
        match self.kind {
            Kind::Pump { running, .. } => Some(json!({ "power": if running { "on" } else { "off" } })),
            _ => None,
        }
    }

    /// Does what is desired of it. True when that was something it can do.
    pub(super) fn obey(&mut self, desired: &Value) -> bool {
        match (&mut self.kind, desired["power"].as_str()) {
            (Kind::Pump { running, .. }, Some(power @ ("on" | "off"))) => {
                *running = power == "on";
                true
            }
            _ => false,
        }
    }

    /// Whether it drops out now, `passed` seconds after it was last asked, and for how many seconds.
    pub(super) fn drops_out(&mut self, passed: f64) -> Option<f64> {
        let (shortest, longest) = ABSENCE;
        let gone = self.dice.chance(1.0 - (-passed / BETWEEN_DROP_OUTS).exp());
        gone.then(|| self.dice.between(shortest, longest))
    }
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(seed: u64, index: u32) -> Vec<Value> {
        let mut device = Device::new(seed, index);
        (0..1_440).map(|minute| device.measure(f64::from(minute) * 60.0)).collect()
    }

    fn mean(day: &[Value], hours: std::ops::Range<usize>) -> f64 {
        let minutes = &day[hours.start * 60..hours.end * 60];
        #[expect(clippy::cast_precision_loss, reason = "minutes of a day")]
        let count = minutes.len() as f64;
        minutes.iter().map(|m| m["temperature"].as_f64().unwrap()).sum::<f64>() / count
    }

    #[test]
    fn the_same_seed_gives_the_same_day() {
        assert_eq!(day(7, 0), day(7, 0));
        assert_ne!(day(7, 0), day(8, 0));
        assert_ne!(day(7, 0), day(7, 2));
    }

    #[test]
    fn rooms_are_warmer_in_the_afternoon_and_never_absurd() {
        for index in (0..100).step_by(2) {
            let day = day(1, index);
            assert!(mean(&day, 13..17) > mean(&day, 1..5) + 2.0, "room {index}");
            for minute in &day {
                let temperature = minute["temperature"].as_f64().unwrap();
                assert!((5.0..=40.0).contains(&temperature), "room {index}: {temperature} °C");
                assert!((5.0..=99.0).contains(&minute["humidity"].as_f64().unwrap()), "room {index}");
            }
        }
    }

    #[test]
    fn doors_open_and_close_again() {
        let day = day(1, 1);
        let open = day.iter().filter(|minute| minute["open"] == true).count();
        assert!((10..400).contains(&open), "{open} minutes of a day");
        assert!(day[1_439]["openings"].as_u64().unwrap() > 20);
    }

    #[test]
    fn pumps_obey_and_warm_up() {
        let mut pump = Device::new(1, 3);
        assert_eq!(pump.measure(0.0)["flow"], 0.0);
        assert_eq!(pump.state(), Some(json!({ "power": "off" })));
        assert!(pump.obey(&json!({ "power": "on" })));
        assert!(!pump.obey(&json!({ "power": "sideways" })));
        assert_eq!(pump.state(), Some(json!({ "power": "on" })));
        let later = pump.measure(900.0);
        assert!(later["flow"].as_f64().unwrap() > 10.0);
        assert!(later["motor"]["temperature"].as_f64().unwrap() > 45.0);
        assert!(!Device::new(1, 0).obey(&json!({ "power": "on" })));
    }

    #[test]
    fn devices_drop_out_now_and_then() {
        let mut device = Device::new(1, 0);
        let absences: Vec<f64> = (0..3_600 * 24).filter_map(|_| device.drops_out(1.0)).collect();
        assert!((24..100).contains(&absences.len()), "{} a day", absences.len());
        assert!(absences.iter().all(|seconds| (10.0..=90.0).contains(seconds)));
    }
}
