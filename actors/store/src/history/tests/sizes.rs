//! Bytes a reading on fixed data: bounds a little above what was measured, so that a change that costs is seen.

use super::*;
use crate::layers::LayerCache;

fn per_reading(bytes: usize, events: &[Recorded]) -> f64 {
    let readings = |recorded: &Recorded| match &recorded.event.body {
        EventBody::Telemetry { readings, .. } => readings.len(),
        _ => 0,
    };
    let float = |count: usize| f64::from(u32::try_from(count).unwrap());
    float(bytes) / float(events.iter().map(readings).sum())
}

fn check(name: &str, events: &[Recorded], size: usize, most: f64) {
    let bytes = events.chunks(size).map(|some| encode_chunk(&refs(some)).body.len()).sum();
    let found = per_reading(bytes, events);
    assert!(found <= most, "{name}, {size} messages a chunk: {found:.2} bytes a reading");
}

/// The shared work: a thousand devices, three readings with one decimal every ten seconds, 40 ms early or late.
#[test]
fn the_shared_work_takes_few_bytes() {
    let events = generated::fleet(1_000, 16);
    let block = encode_block(&refs(&events), &LayerCache::default());
    let found = per_reading(block.len(), &events);
    assert!(found <= 1.5, "a block: {found:.2} bytes a reading");
    let mut by_device: Vec<Recorded> = generated::fleet(50, 256);
    by_device.retain(|recorded| recorded.event.number.0 == 7);
    check("shared work", &by_device, 256, 1.3);
    check("shared work", &by_device, 64, 2.0);
}

#[test]
fn generated_series_take_few_bytes() {
    for (name, events, most, most_of_a_day) in [
        ("temperature", generated::temperature(8_640), 2.3, 1.8),
        ("power meter", generated::power(8_640), 1.4, 1.2),
        ("GPS track", generated::track(8_640), 1.6, 1.3),
    ] {
        check(name, &events, 256, most);
        check(name, &events, 8_640, most_of_a_day);
    }
}

#[test]
fn a_summary_is_small() {
    let summary = Summary::of(&refs(&generated::power(1_024))).encode();
    assert!(summary.len() < 275, "{} bytes", summary.len());
}
