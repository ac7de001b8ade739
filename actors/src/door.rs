//! The door: where messages of devices come in, whichever link brought them. It decodes them by dialect,
//! bounds what is in flight, keeps what cannot be read, and tries again what was lost on its way.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

use crate::counters::{Counters, add, up};
use crate::domain::{Cause, Clock, DeviceId, Input};
use crate::messages::supervisor::{Deliver, IfUnknown};
use crate::mqtt::dialects::{self, Decoded};
use crate::mqtt::rejections::Rejections;
use crate::post::post;
use crate::receipt::{NotTaken, Receipt, Settled, Taken};
use crate::supervisor::Supervisor;

/// A message that is lost this often, because its twin dies of it, is put aside as rejected.
const MOST_TRIES: u32 = 4;
/// The wait before the second try; doubled for each further one.
const FIRST_WAIT: Duration = Duration::from_millis(100);

/// A message as a link took it in.
#[derive(Clone, Debug)]
pub struct Arrived {
    pub topic: Arc<str>,
    pub payload: Bytes,
    /// QoS 0: nobody waits for an acknowledgement, and it is shed where there is no room.
    pub fire_and_forget: bool,
    /// The broker had kept it: it restores state and fires nothing.
    pub retained: bool,
}

/// What is done with devices that nobody has heard of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownDevices {
    /// They register themselves, unclaimed.
    #[default]
    Accept,
    /// Their messages are refused and counted.
    Reject,
}

/// See the module.
#[derive(Clone)]
pub struct Door(Arc<Inner>);

struct Inner {
    supervisor: Addr<Supervisor>,
    room: Arc<Semaphore>,
    rejections: Arc<Rejections>,
    counters: Arc<Counters>,
    clock: Arc<dyn Clock>,
    unknown: UnknownDevices,
}

impl Door {
    /// A door before `supervisor` with room for `most_in_flight` inputs.
    pub fn new(
        supervisor: Addr<Supervisor>,
        rejections: Arc<Rejections>,
        counters: Arc<Counters>,
        clock: Arc<dyn Clock>,
        unknown: UnknownDevices,
        most_in_flight: usize,
    ) -> Self {
        let room = Arc::new(Semaphore::new(most_in_flight));
        Self(Arc::new(Inner { supervisor, room, rejections, counters, clock, unknown }))
    }

    /// Waits until there is room for one more input; the room is given back with the permit.
    pub async fn room(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.0.room).acquire_owned().await.ok() // never closed
    }

    /// Takes a message in; never waits. `receipt` is settled when the message is durable, or when it
    /// was put aside and need not come again: either way it is to be acknowledged. It is settled
    /// as [`NotTaken::Lost`] only when the hub goes down: then the message must come again.
    pub fn take(&self, message: Arrived, receipt: Receipt, room: Option<OwnedSemaphorePermit>) {
        up(&self.0.counters.messages_in);
        let room = room.or_else(|| Arc::clone(&self.0.room).try_acquire_owned().ok());
        if message.fire_and_forget && room.is_none() {
            up(&self.0.counters.messages_shed);
            receipt.settle(Ok(Taken::default()));
            return;
        }
        self.attempt(message, receipt, room, 1);
    }

    fn attempt(&self, message: Arrived, receipt: Receipt, room: Option<OwnedSemaphorePermit>, tries: u32) {
        match dialects::decode(&message.topic, &message.payload) {
            Ok(Decoded { device, input }) => self.deliver(message, device, input, receipt, room, tries),
            Err(error) => {
                self.reject(&message, error.reason(), error.to_string());
                receipt.settle(Ok(Taken::default()));
            }
        }
    }

    fn deliver(
        &self,
        message: Arrived,
        device: DeviceId,
        input: Input,
        receipt: Receipt,
        room: Option<OwnedSemaphorePermit>,
        tries: u32,
    ) {
        let cause = Cause { source: crate::domain::event::Source::Mqtt, by: Arc::clone(&message.topic) };
        let if_unknown = match self.0.unknown {
            UnknownDevices::Accept => IfUnknown::Appear,
            UnknownDevices::Reject => IfUnknown::Refuse,
        };
        let door = self.clone();
        let runtime = Handle::try_current().ok();
        add(&self.0.counters.inputs_in_flight, 1);
        let on_the_way = Receipt::new(move |settled| {
            crate::counters::down(&door.0.counters.inputs_in_flight);
            door.settled(message, settled, receipt, room, tries, runtime);
        });
        let deliver =
            Deliver { device, input, cause, receipt: on_the_way, if_unknown, want_twin: false };
        // Where the supervisor is gone the hub is going down; the receipt says so as it is dropped.
        let _ = post(&self.0.supervisor, deliver);
    }

    fn settled(
        &self,
        message: Arrived,
        settled: Settled,
        receipt: Receipt,
        room: Option<OwnedSemaphorePermit>,
        tries: u32,
        runtime: Option<Handle>,
    ) {
        match settled {
            Ok(taken) => receipt.settle(Ok(taken)),
            Err(NotTaken::Refused(refusal)) => {
                self.reject(&message, "refused", refusal.to_string());
                receipt.settle(Ok(Taken::default()));
            }
            Err(NotTaken::Lost) if tries >= MOST_TRIES => {
                self.reject(&message, "poison", format!("its twin died of it {tries} times"));
                receipt.settle(Ok(Taken::default()));
            }
            Err(NotTaken::Lost) => match runtime.filter(|_| self.0.supervisor.connected()) {
                None => drop(receipt), // going down: the message must come again
                Some(runtime) => {
                    let door = self.clone();
                    runtime.spawn(async move {
                        tokio::time::sleep(FIRST_WAIT * 2u32.saturating_pow(tries - 1)).await;
                        warn!(topic = %message.topic, tries, "message lost on its way, trying again");
                        door.attempt(message, receipt, room, tries + 1);
                    });
                }
            },
        }
    }

    fn reject(&self, message: &Arrived, reason: &'static str, detail: String) {
        up(&self.0.counters.messages_rejected);
        self.0.rejections.add(self.0.clock.now(), &message.topic, &message.payload, reason, detail);
    }
}
