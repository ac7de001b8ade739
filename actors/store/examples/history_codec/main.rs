//! The size of history: our chunks of several sizes, the row-wise form before them, and Gorilla, on generated readings.
//!
//! ```sh
//! cargo run --release -p twinhub-store --example history_codec [folder]
//! ```
//! With a folder, the same readings are written there as CSV and as chunks, for `parquet.py` beside this file. The table in the doc
//! comment of `twinhub_store::history` is of this.

mod generated;
mod gorilla;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use twinhub_domain::{EventBody, Reading, Recorded};
use twinhub_store::codec;
use twinhub_store::history::{
    Summary, decode_block, decode_chunk, decode_numbers, encode_block, encode_chunk,
};
use twinhub_store::layers::LayerCache;

/// Messages in a chunk.
const SIZES: [usize; 5] = [16, 64, 256, 1_024, 8_640];
/// Something is done again and again for so long before its speed is told.
const LONG_ENOUGH: Duration = Duration::from_millis(300);

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1);
    let fleet = generated::fleet(1_000, 100);
    println!("{} messages of 1,000 devices, in the journal", fleet.len());
    journal(&fleet);
    if let Some(folder) = &folder {
        let some: Vec<&Recorded> = fleet.iter().take(16_384).collect();
        let block = encode_block(&some, &LayerCache::default());
        std::fs::write(Path::new(folder).join("journal.packed"), block)?;
    }
    let devices = 10;
    let days = generated::fleet(devices, 8_640);
    let mut by_device: BTreeMap<i64, Vec<&Recorded>> = BTreeMap::new();
    for recorded in &days {
        by_device.entry(recorded.event.number.0).or_default().push(recorded);
    }
    println!("\nbytes a reading, and millions of readings a second");
    // Ten devices are a hundredth of the fleet: their places in the sequence lie a hundred times as far apart.
    let spread: Vec<Vec<Recorded>> = by_device.values().map(|messages| spread(messages, 100)).collect();
    let spread: Vec<Vec<&Recorded>> = spread.iter().map(|messages| messages.iter().collect()).collect();
    sizes("shared work", &spread);
    for (name, messages) in [
        ("temperature", generated::temperature(8_640)),
        ("power meter", generated::power(8_640)),
        ("GPS track", generated::track(8_640)),
    ] {
        sizes(name, &[messages.iter().collect()]);
        if let Some(folder) = &folder {
            let file = Path::new(folder).join(name.replace(' ', "_"));
            write_csv(&file.with_extension("csv"), &messages)?;
            let chunk = encode_chunk(&messages.iter().collect::<Vec<_>>());
            std::fs::write(file.with_extension("packed"), chunk.body)?;
        }
    }
    Ok(())
}

/// The same messages, their places in the sequence `times` as far apart.
fn spread(messages: &[&Recorded], times: u64) -> Vec<Recorded> {
    let mut chance = generated::SplitMix(3);
    let further = |recorded: &&Recorded| {
        let seq = recorded.seq * times + chance.below(9).unsigned_abs();
        Recorded::new(seq, recorded.event.clone())
    };
    messages.iter().map(further).collect()
}

fn readings(recorded: &Recorded) -> &[Reading] {
    if let EventBody::Telemetry { readings, .. } = &recorded.event.body { readings } else { &[] }
}

fn journal(events: &[Recorded]) {
    let layers = LayerCache::default();
    let count: usize = events.iter().map(|recorded| readings(recorded).len()).sum();
    for size in [256, 4_096, 16_384, 65_536] {
        let (mut rows, mut blocks, mut packed) = (0, 0, Vec::new());
        for some in events.chunks(size) {
            rows += codec::encode(some, &layers).len();
            packed.push(encode_block(&some.iter().collect::<Vec<_>>(), &layers));
        }
        blocks += packed.iter().map(Vec::len).sum::<usize>();
        let speed = speed(count, || {
            for block in &packed {
                black_box(decode_block(block, 0, &layers)).ok();
            }
        });
        println!(
            "  {size:6} events: row by row {:5.2}, a block {:5.2} bytes a reading; read at {speed:5.1} M/s",
            per(rows, count),
            per(blocks, count)
        );
    }
}

fn sizes(name: &str, devices: &[Vec<&Recorded>]) {
    let count: usize = devices.iter().flatten().map(|recorded| readings(recorded).len()).sum();
    println!("{name}: {count} readings");
    let (mut gorilla, layers) = (0, LayerCache::default());
    for messages in devices {
        let names: BTreeSet<&str> =
            messages.iter().flat_map(|recorded| readings(recorded)).map(|reading| &*reading.name).collect();
        for name in names {
            let of_name = |recorded: &&Recorded| {
                let found = readings(recorded).iter().find(|reading| *reading.name == *name)?;
                Some((recorded.event.received_at.millis(), found.value.as_f64()?))
            };
            gorilla += gorilla::bits(&messages.iter().filter_map(of_name).collect::<Vec<_>>());
        }
    }
    println!(
        "  Gorilla, a series each, time and value alone: {:5.2}",
        per(usize::try_from(gorilla / 8).unwrap_or_default(), count)
    );
    for size in SIZES {
        let (mut bodies, mut summaries) = (Vec::new(), 0);
        let encoding = speed(count, || {
            (bodies, summaries) = (Vec::new(), 0);
            for some in devices.iter().flat_map(|messages| messages.chunks(size)) {
                let chunk = encode_chunk(some);
                bodies.push(chunk.body);
                summaries += chunk.summary.len();
            }
        });
        let mut row_wise = Vec::new();
        for some in devices.iter().flat_map(|messages| messages.chunks(size)) {
            row_wise.push(codec::encode(some.iter().copied(), &layers));
        }
        let rows = row_wise.iter().map(Vec::len).sum();
        let whole_rows = speed(count, || {
            for body in &row_wise {
                black_box(decode_chunk(body)).ok();
            }
        });
        let whole = speed(count, || {
            for body in &bodies {
                black_box(decode_chunk(body)).ok();
            }
        });
        let first = devices[0].first().and_then(|recorded| readings(recorded).first());
        let (series, each) = (first.map_or("", |reading| &reading.name), readings(devices[0][0]).len());
        let numbers = speed(count / each, || {
            for body in &bodies {
                black_box(decode_numbers(body, series)).ok();
            }
        });
        let bytes = bodies.iter().map(Vec::len).sum();
        println!(
            "  chunks of {size:5}: row by row {:5.2} (read at {whole_rows:4.1} M/s), ours {:5.2} and the summary {:4.2}; \
             written at {encoding:4.1}, read whole at {whole:4.1}, one series at {numbers:4.1} M/s",
            per(rows, count),
            per(bytes, count),
            per(summaries, count)
        );
    }
    let messages: Vec<&Recorded> = devices.iter().flatten().copied().collect();
    println!("  a summary of all: {} bytes", Summary::of(&messages).encode().len());
}

/// The time for which this thread has run: others on the machine change nothing. Beyond Linux, the time of the clock.
struct Stopwatch(Option<Duration>, Instant);

impl Stopwatch {
    fn start() -> Self {
        Self(Self::cpu(), Instant::now())
    }

    fn cpu() -> Option<Duration> {
        let told = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        told.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
    }

    fn elapsed(&self) -> Duration {
        let cpu = self.0.zip(Self::cpu()).map(|(start, now)| now.saturating_sub(start));
        cpu.unwrap_or_else(|| self.1.elapsed())
    }
}

/// Millions of readings a second.
fn speed(count: usize, mut work: impl FnMut()) -> f64 {
    let (started, mut rounds) = (Stopwatch::start(), 0);
    while started.elapsed() < LONG_ENOUGH {
        work();
        rounds += 1;
    }
    per_second(count * rounds, started.elapsed())
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn per_second(count: usize, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64() / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn per(bytes: usize, count: usize) -> f64 {
    bytes as f64 / count as f64
}

/// A line a message: the times of device and hub, the place in the sequence, and the values.
fn write_csv(path: &Path, messages: &[Recorded]) -> Result<(), Box<dyn Error>> {
    let mut text = String::from("at,received_at,seq");
    let names = messages.first().map_or(&[][..], readings);
    for reading in names {
        write!(text, ",{}", reading.name)?;
    }
    for recorded in messages {
        let event = &recorded.event;
        write!(text, "\n{},{},{}", event.at.floor().millis(), event.received_at.millis(), recorded.seq)?;
        for reading in readings(recorded) {
            write!(text, ",{}", reading.value)?;
        }
    }
    text.push('\n');
    Ok(std::fs::write(path, text)?)
}
