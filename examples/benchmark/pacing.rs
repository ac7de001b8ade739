//! A steady rate from one thread of its own: a runtime's timers beat once a millisecond and would send at 5,000 a second
//! in groups of five, which no five thousand devices do. Acknowledgements are read on the way, so that they wake nobody.

use std::io::{Error, ErrorKind, Read as _, Result, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use crate::load::topic;
use crate::mqtt::{MqttMessage, put_connect, put_publish};

/// Connections that take turns. A device stays with its connection where they divide the devices.
const LANES: u16 = 4;
/// A PUBACK of MQTT 3.1.1, the only packet that comes.
const ACKNOWLEDGEMENT: u64 = 4;
/// Between two looks at a socket that takes or gives nothing.
const LOOK: Duration = Duration::from_micros(100);
/// The last acknowledgement comes within that, or something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// The rate of messages, and their number.
#[derive(Clone, Copy)]
pub struct SteadyPace {
    pub devices: u64,
    pub per_second: u32,
    pub messages: u32,
}

struct PacedLane {
    stream: TcpStream,
    outgoing: Vec<u8>,
    next_id: u16,
    /// Bytes of acknowledgements.
    received: u64,
}

impl SteadyPace {
    /// Publishes at this rate, evenly, until all is acknowledged; blocks its thread meanwhile. Each message says as
    /// `sent` how many microseconds after `base` it was written.
    pub fn publish(self, broker: SocketAddr, base: Instant) -> Result<()> {
        let mut lanes =
            (0..LANES).map(|lane| PacedLane::connect(broker, lane)).collect::<Result<Vec<_>>>()?;
        let (start, period) = (Instant::now(), Duration::from_secs(1) / self.per_second);
        for (n, lane) in (0..self.messages).zip((0..lanes.len()).cycle()) {
            wait((start + period * n).saturating_duration_since(Instant::now()));
            let device = u64::from(n) % self.devices;
            lanes[lane]
                .publish(&MqttMessage { topic: topic(device), payload: payload(n, base.elapsed()) })?;
        }
        let behind = start.elapsed().saturating_sub(period * self.messages);
        if behind > Duration::from_millis(100) {
            eprintln!("  it did not keep up with {}/s: {behind:?} late at the end", self.per_second);
        }
        let until = Instant::now() + PATIENCE;
        while lanes.iter().map(|lane| lane.received / ACKNOWLEDGEMENT).sum::<u64>() < self.messages.into() {
            if Instant::now() > until {
                return Err(Error::new(ErrorKind::TimedOut, "not every message was acknowledged"));
            }
            wait(LOOK);
            lanes.iter_mut().try_for_each(PacedLane::read_acknowledgements)?;
        }
        Ok(())
    }
}

/// Three readings, as devices say them, and two that measure.
fn payload(n: u32, sent: Duration) -> Vec<u8> {
    format!(
        r#"{{"temperature":23.{},"humidity":55.0,"pressure":1013.25,"seq":{n},"sent":{}}}"#,
        n % 10,
        sent.as_micros()
    )
    .into_bytes()
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, which nothing else lives on")]
fn wait(time: Duration) {
    thread::sleep(time);
}

impl PacedLane {
    fn connect(broker: SocketAddr, lane: u16) -> Result<Self> {
        let mut stream = TcpStream::connect(broker)?;
        stream.set_nodelay(true)?;
        let mut outgoing = Vec::new();
        put_connect(&mut outgoing, &format!("pace-{lane}"));
        stream.write_all(&outgoing)?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer)?;
        if answer != [0x20, 2, 0, 0] {
            return Err(Error::new(ErrorKind::InvalidData, "the broker refused"));
        }
        stream.set_nonblocking(true)?;
        outgoing.clear();
        Ok(Self { stream, outgoing, next_id: 0, received: 0 })
    }

    fn publish(&mut self, message: &MqttMessage) -> Result<()> {
        self.outgoing.clear();
        put_publish(&mut self.outgoing, &mut self.next_id, message);
        let mut left = &self.outgoing[..];
        while !left.is_empty() {
            match self.stream.write(left) {
                Ok(written) => left = &left[written..],
                Err(full) if full.kind() == ErrorKind::WouldBlock => wait(LOOK),
                Err(error) => return Err(error),
            }
        }
        self.read_acknowledgements()
    }

    fn read_acknowledgements(&mut self) -> Result<()> {
        match self.stream.read(&mut [0; 4_096]) {
            Ok(0) => Err(Error::new(ErrorKind::UnexpectedEof, "the broker closed the connection")),
            Ok(read) => {
                self.received += read as u64;
                Ok(())
            }
            Err(empty) if empty.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
        }
    }
}
