//! Input delivery: brings the inputs of a message to their twins, tries again those that were lost on their way, and
//! puts aside those that are refused. The message is acknowledged when all of them are durable or put aside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use actix::Addr;
use tokio::runtime::Handle;
use tracing::warn;

use super::UnknownDevicePolicy;
use crate::backoff::{Backoff, TWIN};
use crate::counters::{Counters, add, down, up};
use crate::mailbox::try_send_unbounded;
use crate::messages::supervisor::{Deliver, IfUnknown};
use crate::supervisor::Supervisor;
use twinhub_domain::cause::Source;
use twinhub_domain::payload::PayloadError;
use twinhub_domain::receipt::{Accepted, InputOutcome, NotAccepted, Receipt};
use twinhub_domain::twin::Rejected;
use twinhub_domain::{Cause, Clock, DeviceId, Input, Refusal};
use twinhub_mqtt::dialects;
use twinhub_mqtt::dialects::{DecodeError, Decoded, Dialects};
use twinhub_mqtt::receipt;
use twinhub_mqtt::rejections::Rejections;
use twinhub_mqtt::{IncomingMessage, Room};

/// An input that is lost this often, because its twin dies of it, is put aside as rejected.
const TRIES: Backoff = TWIN.at_most(4);
/// The number of bad readings of one message that are named each; further ones are only counted.
const MOST_NAMED: usize = 50;

/// Brings the inputs of messages to their twins.
#[derive(Clone)]
pub struct InputDelivery(Arc<InputDeliveryShared>);

struct InputDeliveryShared {
    deps: InputDeliveryDeps,
    /// Unknown devices are refused.
    refuses_unknown: AtomicBool,
    /// In bytes.
    largest_payload: AtomicUsize,
}

/// The parts that a delivery works with.
#[derive(Clone)]
pub struct InputDeliveryDeps {
    pub supervisor: Addr<Supervisor>,
    pub dialects: Arc<Dialects>,
    pub rejections: Arc<Rejections>,
    pub counters: Arc<Counters>,
    pub clock: Arc<dyn Clock>,
}

/// One input of a message on its way.
struct InputAttempt {
    message: IncomingMessage,
    source: Source,
    again: InputRetry,
    receipt: Receipt,
    /// Held while the message is in flight.
    room: Option<Room>,
    /// The number of the try, from 1.
    tries: u32,
    /// Readings in the message that make no sense: reported once its first input is durable.
    bad: Vec<PayloadError>,
}

/// The redelivery of an input that was lost.
enum InputRetry {
    /// The message is decoded once more: it is the input at this place.
    Decode(usize),
    /// A dialect that has a state would not say the same again.
    Copy(Box<(DeviceId, Input)>),
}

impl InputDelivery {
    /// A delivery with this treatment of unknown devices.
    #[must_use]
    pub fn new(deps: InputDeliveryDeps, unknown: UnknownDevicePolicy) -> Self {
        let largest_payload = AtomicUsize::new(dialects::LARGEST_PAYLOAD);
        let refuses_unknown = AtomicBool::new(unknown == UnknownDevicePolicy::Reject);
        Self(Arc::new(InputDeliveryShared { deps, refuses_unknown, largest_payload }))
    }

    /// Sets the treatment of unknown devices from now on.
    pub fn treat_unknown(&self, unknown: UnknownDevicePolicy) {
        self.0.refuses_unknown.store(unknown == UnknownDevicePolicy::Reject, Ordering::Relaxed);
    }

    /// Payloads of more than `bytes` are refused from now on; 1 MiB unless this is called.
    pub fn limit_payloads(&self, bytes: usize) {
        self.0.largest_payload.store(bytes, Ordering::Relaxed);
    }

    /// Decodes a message and delivers its inputs.
    pub fn deliver_message(&self, message: IncomingMessage, receipt: Receipt, room: Option<Room>) {
        match self.decode(&message) {
            Ok(decoded) => self.deliver(message, decoded, receipt, room),
            Err(error) => self.reject(&message, error, receipt),
        }
    }

    fn decode(
        &self,
        IncomingMessage { topic, payload, .. }: &IncomingMessage,
    ) -> Result<Decoded, DecodeError> {
        self.0.deps.dialects.decode(self.0.largest_payload.load(Ordering::Relaxed), topic, payload)
    }

    /// # Errors
    /// Its payload has more bytes than are taken.
    pub fn check_size(&self, message: &IncomingMessage) -> Result<(), DecodeError> {
        let (bytes, limit) = (message.payload.len(), self.0.largest_payload.load(Ordering::Relaxed));
        if bytes > limit { Err(DecodeError::TooLarge { bytes, limit }) } else { Ok(()) }
    }

    /// A message that could not be read is counted, kept for people to see, and need not come again.
    pub fn reject(&self, message: &IncomingMessage, error: DecodeError, receipt: Receipt) {
        match error {
            DecodeError::Readings(bad) => {
                up(&self.0.deps.counters.messages_rejected);
                self.record_bad_readings(
                    message,
                    bad.iter().map(|error| (error.reason(), error.to_string())),
                );
                receipt.settle(Ok(Accepted::default()));
            }
            error => self.reject_refused(message, receipt, error.reason(), error.to_string()),
        }
    }

    fn deliver(&self, message: IncomingMessage, decoded: Decoded, receipt: Receipt, room: Option<Room>) {
        let Decoded { mut inputs, bad } = decoded;
        if inputs.len() == 1
            && let Some((device, input)) = inputs.pop()
        {
            let (source, again) = (Source::Mqtt, InputRetry::Decode(0));
            let alone = InputAttempt { message, source, again, receipt, room, tries: 1, bad };
            return self.send(device, input, alone); // most are so
        }
        let whole = Receipt::new(move |settled| {
            receipt.settle(settled);
            drop(room);
        });
        self.deliver_each(&message, Source::Mqtt, Decoded { inputs, bad }, whole, |place, _| {
            InputRetry::Decode(place)
        });
    }

    /// Delivers the inputs that a stateful dialect made of a message, or of another event.
    pub fn deliver_interpreted(
        &self,
        message: IncomingMessage,
        source: Source,
        decoded: Decoded,
        receipt: Receipt,
    ) {
        let copy = |_, input: &(DeviceId, Input)| InputRetry::Copy(Box::new(input.clone()));
        self.deliver_each(&message, source, decoded, receipt, copy);
    }

    fn deliver_each(
        &self,
        message: &IncomingMessage,
        source: Source,
        Decoded { inputs, mut bad }: Decoded,
        whole: Receipt,
        again: impl Fn(usize, &(DeviceId, Input)) -> InputRetry,
    ) {
        if inputs.is_empty() {
            self.record_bad_readings(message, bad.iter().map(|error| (error.reason(), error.to_string())));
        }
        let parts = receipt::split(whole, inputs.len());
        for (place, (input, receipt)) in inputs.into_iter().zip(parts).enumerate() {
            let (message, again, bad) = (message.clone(), again(place, &input), std::mem::take(&mut bad));
            let (device, input) = input;
            self.send(
                device,
                input,
                InputAttempt { message, source, again, receipt, room: None, tries: 1, bad },
            );
        }
    }

    fn send(&self, device: DeviceId, input: Input, attempt: InputAttempt) {
        let cause = Cause {
            source: attempt.source,
            by: Arc::clone(&attempt.message.topic),
            run: None,
            retained: attempt.message.retained,
        };
        let refuses = self.0.refuses_unknown.load(Ordering::Relaxed);
        let if_unknown = if refuses { IfUnknown::Refuse } else { IfUnknown::Appear };
        let delivery = self.clone();
        // The receipt is settled on any thread; a second try is timed by the runtime of the first.
        let runtime = Handle::try_current().ok();
        add(&self.0.deps.counters.inputs_in_flight, 1);
        let mut receipt = Receipt::new(move |settled| {
            down(&delivery.0.deps.counters.inputs_in_flight);
            delivery.settled(attempt, settled, runtime);
        });
        self.0.deps.counters.slow.came(&mut receipt);
        // Where the supervisor is gone the hub is shutting down; the receipt says so as it is dropped.
        let _ = try_send_unbounded(
            &self.0.deps.supervisor,
            Deliver { device, input, cause, receipt, if_unknown, if_version: None, want_twin: false },
        );
    }

    fn settled(&self, mut attempt: InputAttempt, settled: InputOutcome, runtime: Option<Handle>) {
        match settled {
            Ok(taken) => {
                if !attempt.bad.is_empty() || !taken.rejected.is_empty() {
                    let bad = attempt.bad.iter().map(|error| (error.reason(), error.to_string()));
                    let rejected = taken
                        .rejected
                        .iter()
                        .map(|Rejected { name, refusal }| (reason(refusal), format!("`{name}`: {refusal}")));
                    self.record_bad_readings(&attempt.message, bad.chain(rejected));
                }
                attempt.receipt.settle(Ok(taken));
                drop(attempt.room);
            }
            Err(NotAccepted::Refused(refusal)) => {
                self.reject_refused(&attempt.message, attempt.receipt, reason(&refusal), refusal.to_string());
            }
            Err(NotAccepted::Lost) => {
                let Some(wait) = TRIES.wait(attempt.tries) else {
                    let detail = format!("its twin died of it {} times", attempt.tries);
                    return self.reject_refused(&attempt.message, attempt.receipt, "poison", detail);
                };
                let Some(runtime) = runtime.filter(|_| self.0.deps.supervisor.connected()) else {
                    return; // shutting down: the receipt is dropped and the message must come again
                };
                let delivery = self.clone();
                runtime.spawn(async move {
                    tokio::time::sleep(wait).await;
                    warn!(topic = %attempt.message.topic, tries = attempt.tries, "message lost on its way, trying again");
                    attempt.tries += 1;
                    delivery.try_again(attempt);
                });
            }
        }
    }

    fn try_again(&self, attempt: InputAttempt) {
        let found = match &attempt.again {
            InputRetry::Copy(input) => Ok(Some((**input).clone())),
            InputRetry::Decode(place) => {
                self.decode(&attempt.message).map(|decoded| decoded.inputs.into_iter().nth(*place))
            }
        };
        match found {
            Ok(Some((device, input))) => self.send(device, input, attempt),
            Ok(None) => attempt.receipt.settle(Ok(Accepted::default())), // it means the same, so there is one
            Err(error) => self.reject(&attempt.message, error, attempt.receipt),
        }
    }

    /// Records the errors of single readings of a message, for people to see.
    fn record_bad_readings(
        &self,
        IncomingMessage { topic, payload, .. }: &IncomingMessage,
        bad: impl Iterator<Item = (&'static str, String)>,
    ) {
        let InputDeliveryDeps { counters, rejections, clock, .. } = &self.0.deps;
        let now = clock.now();
        for (count, (reason, detail)) in bad.enumerate() {
            up(&counters.readings_rejected);
            if count < MOST_NAMED {
                rejections.add(now, topic, payload, reason, detail);
            } else {
                rejections.count(reason);
            }
        }
    }

    /// Records a rejected message for people to see; it is acknowledged, or it would come again and again.
    fn reject_refused(
        &self,
        message: &IncomingMessage,
        receipt: Receipt,
        reason: &'static str,
        detail: String,
    ) {
        self.note_rejected(&message.topic, &message.payload, reason, detail);
        receipt.settle(Ok(Accepted::default()));
    }

    /// Counts a rejected message, and records the error for people to see.
    pub fn note_rejected(&self, topic: &str, payload: &[u8], reason: &'static str, detail: String) {
        let InputDeliveryDeps { counters, rejections, clock, .. } = &self.0.deps;
        up(&counters.messages_rejected);
        rejections.add(clock.now(), topic, payload, reason, detail);
    }
}

/// The stable word for a twin's refusal of a device's input.
fn reason(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::Suspended => "suspended",
        Refusal::Retired => "retired",
        Refusal::TooLarge { .. } => "document_too_large",
        Refusal::NoZone(_) => "bad_timestamp",
        _ => "refused",
    }
}
