//! Readings as devices send them, the same in every run. The tests of the codec read this file too.

use twinhub_domain::cause::Source;
use twinhub_domain::reading::{ClaimedTime, Telemetry};
use twinhub_domain::{
    Cause, DeviceId, DeviceNumber, Event, EventBody, Number, Reading, Recorded, Scalar, Timestamp,
};

const START: i64 = 1_767_225_600_000; // 2026-01-01T00:00:00Z
const DAY_S: f64 = 86_400.0;

/// Numbers by chance, the same in every run (SplitMix64; Steele, Lea, Flood 2014).
pub struct SplitMix(pub u64);

impl SplitMix {
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// From 0 to below `below`.
    pub fn below(&mut self, below: u32) -> i64 {
        i64::from(u32::try_from(self.draw() >> 32).unwrap_or_default() % below)
    }

    /// From -1 to 1, around 0 as a bell (the mean of four).
    pub fn bell(&mut self) -> f64 {
        let one = |chance: &mut Self| f64::from(u32::try_from(chance.draw() >> 32).unwrap_or_default());
        let sum = one(self) + one(self) + one(self) + one(self);
        sum / (2.0 * f64::from(u32::MAX)) - 1.0
    }
}

/// A message of one device, with its own time and what the hub makes of it.
pub fn message(seq: u64, device: u32, at: i64, delay: i64, readings: Vec<Reading>) -> Recorded {
    let id = format!("sensor-{device:04}");
    let cause = Cause::new(Source::Mqtt, &format!("iot/devices/{id}/data"));
    let at = Timestamp::from_millis(at);
    let telemetry = Telemetry { readings, at: Some(ClaimedTime::at(at)), ..Telemetry::default() };
    let identity = telemetry.identity(true);
    let body = EventBody::Telemetry { readings: telemetry.readings, identity, claimed: None, payload: None };
    let received_at = at.plus_millis(delay);
    let device_id = DeviceId::parse(&id).unwrap_or_else(|_| DeviceId::none());
    let number = DeviceNumber(device.into());
    Recorded::new(seq, Event { device: device_id, number, at: at.into(), received_at, body, cause })
}

/// A reading with this text for its number.
pub fn reading(name: &str, unit: &str, text: &str) -> Reading {
    let value = Number::parse(text).map_or_else(|| Scalar::Text(text.into()), Scalar::Number);
    Reading { name: name.into(), value, unit: Some(unit.into()), quality_score: None }
}

fn tenths(value: i64) -> String {
    let sign = if value < 0 { "-" } else { "" };
    format!("{sign}{}.{}", value.abs() / 10, value.abs() % 10)
}

/// The shared work: `devices` devices send three readings with one decimal in each of `rounds` rounds, every 10 s, with
/// times that are up to 40 ms early or late and reach the hub 2 to 9 ms later.
pub fn fleet(devices: u32, rounds: u32) -> Vec<Recorded> {
    let mut chance = SplitMix(1);
    let start =
        |chance: &mut SplitMix| (200 + chance.below(60), 400 + chance.below(200), 10_050 + chance.below(200));
    let mut state: Vec<(i64, i64, i64)> = (0..devices).map(|_| start(&mut chance)).collect();
    let phases: Vec<i64> = (0..devices).map(|_| chance.below(10_000)).collect();
    let mut messages = Vec::new();
    for round in 0..rounds {
        let places = phases.iter().zip(&mut state).zip(0u32..);
        for ((phase, (temperature, humidity, pressure)), device) in places {
            let at = START + i64::from(round) * 10_000 + phase + chance.below(81) - 40;
            *temperature += chance.below(3) - 1;
            *humidity += chance.below(7) - 3;
            *pressure += chance.below(3) - 1;
            let readings = vec![
                reading("temperature", "°C", &tenths(*temperature)),
                reading("humidity", "%", &tenths(*humidity)),
                reading("pressure", "hPa", &tenths(*pressure)),
            ];
            messages.push((at + 2 + chance.below(8), at, device, readings));
        }
    }
    messages.sort_by_key(|(received, _, device, _)| (*received, *device));
    let numbered = (1..).zip(messages);
    numbered
        .map(|(seq, (received, at, device, readings))| message(seq, device, at, received - at, readings))
        .collect()
}

/// The messages of one device, whose readings `make` gives for each second since the start. Others of the fleet send some
/// 100 messages a second meanwhile.
fn device(
    count: u32,
    every_s: u32,
    mut make: impl FnMut(f64, &mut SplitMix) -> Vec<Reading>,
) -> Vec<Recorded> {
    let mut chance = SplitMix(2);
    let mut seq = 0;
    let one = |index: u32| {
        let second = index * every_s;
        let at = START + i64::from(second) * 1_000 + chance.below(21) - 10;
        let others = i64::from(every_s) * 100 + chance.below(9);
        seq += others.unsigned_abs();
        let readings = make(f64::from(second), &mut chance);
        message(seq, 1, at, 2 + chance.below(8), readings)
    };
    (0..count).map(one).collect()
}

/// A temperature with one decimal that follows the day, every 10 s.
pub fn temperature(count: u32) -> Vec<Recorded> {
    device(count, 10, |second, chance| {
        let value = 21.0 + 3.0 * (second / DAY_S * std::f64::consts::TAU).sin() + 0.06 * chance.bell();
        vec![reading("temperature", "°C", &format!("{value:.1}"))]
    })
}

/// A power meter, every 10 s: power with one decimal in steps with noise, voltage with one, energy with three.
pub fn power(count: u32) -> Vec<Recorded> {
    let (mut level, mut energy) = (120.0, 10_000.0);
    device(count, 10, |_, chance| {
        if chance.below(60) == 0 {
            level =
                [80.0, 120.0, 450.0, 1_200.0, 2_150.0][usize::try_from(chance.below(5)).unwrap_or_default()];
        }
        let power = level * (1.0 + 0.01 * chance.bell());
        energy += power / 360.0 / 1_000.0;
        let voltage = 230.0 + 2.0 * chance.bell();
        vec![
            reading("power", "W", &format!("{power:.1}")),
            reading("voltage", "V", &format!("{voltage:.1}")),
            reading("energy", "kWh", &format!("{energy:.3}")),
        ]
    })
}

/// A vehicle, every second: position with up to seven decimals (zeros at the end left out), speed with one.
pub fn track(count: u32) -> Vec<Recorded> {
    let (mut latitude, mut longitude, mut heading, mut speed) =
        (48.137_154f64, 11.576_124f64, 0.5f64, 8.0f64);
    device(count, 1, |_, chance| {
        heading += 0.1 * chance.bell();
        speed = (speed + chance.bell()).clamp(0.0, 25.0);
        latitude += speed * heading.cos() / 111_320.0;
        longitude += speed * heading.sin() / (111_320.0 * latitude.to_radians().cos());
        let (noise, other_noise) = (1e-6 * chance.bell(), 1e-6 * chance.bell());
        let shown = |value: f64| format!("{}", (value * 1e7).round() / 1e7);
        vec![
            reading("latitude", "°", &shown(latitude + noise)),
            reading("longitude", "°", &shown(longitude + other_noise)),
            reading("speed", "m/s", &format!("{speed:.1}")),
        ]
    })
}
