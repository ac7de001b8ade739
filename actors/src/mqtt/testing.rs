//! For the tests of the links: a desk where messages pile up until the test settles them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, Semaphore, mpsc};

use super::intake::{Arrived, Intake, Room};
use super::listening::Listening;
use super::subscribers::Subscribers;
use crate::domain::DeviceId;
use crate::domain::twin::{Audience, Ear, Listeners as _};
use crate::receipt::{Receipt, Taken};

/// A test that waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(10);

/// An intake that settles nothing by itself.
#[derive(Clone)]
pub(super) struct Desk {
    room: Arc<Semaphore>,
    tray: mpsc::UnboundedSender<Lying>,
    pile: Arc<Mutex<mpsc::UnboundedReceiver<Lying>>>,
    pub(super) listening: Arc<Listening>,
    pub(super) subscribers: Arc<Subscribers>,
    /// What was refused, as `reason topic payload`, what nobody reads, and who is heard now.
    pub(super) notes: Arc<std::sync::Mutex<Vec<String>>>,
    known: Arc<[String]>,
    /// How often it was asked who is known.
    pub(super) asked: Arc<AtomicUsize>,
}

/// A message on the desk.
pub(super) struct Lying {
    pub(super) message: Arrived,
    receipt: Receipt,
    room: Option<Room>,
}

impl Desk {
    pub(super) fn with_room(room: usize) -> Self {
        let (tray, pile) = mpsc::unbounded_channel();
        Self {
            room: Arc::new(Semaphore::new(room)),
            tray,
            pile: Arc::new(Mutex::new(pile)),
            listening: Arc::default(),
            subscribers: Arc::new(Subscribers::told_by_broker()),
            notes: Arc::default(),
            known: Arc::default(),
            asked: Arc::default(),
        }
    }

    /// One that has these devices.
    pub(super) fn knowing(devices: &[&str]) -> Self {
        Self { known: devices.iter().map(|device| (*device).to_owned()).collect(), ..Self::with_room(10) }
    }

    /// The next message that came.
    pub(super) async fn next(&self) -> Lying {
        within(async { self.pile.lock().await.recv().await }).await.unwrap()
    }

    /// The next `count` messages that came.
    pub(super) async fn take(&self, count: usize) -> Vec<Lying> {
        let mut lying = Vec::new();
        for _ in 0..count {
            lying.push(self.next().await);
        }
        lying
    }

    /// Waits until what was noted is as `expected` says.
    pub(super) async fn noted(&self, expected: &[&str]) {
        within(async {
            while *self.notes.lock().unwrap() != expected {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    /// Who listens to the commands of the device, once it is as `expected`.
    pub(super) async fn hears_commands(&self, device: &str, expected: Audience) {
        let device = DeviceId::parse(device).unwrap();
        within(async {
            while self.subscribers.audience(&device, Ear::Commands, Audience::Somebody) != expected {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    fn note(&self, line: String) {
        self.notes.lock().unwrap().push(line);
    }

    /// True when nothing lies there now.
    pub(super) fn is_empty(&self) -> bool {
        self.pile.try_lock().is_ok_and(|pile| pile.is_empty())
    }
}

impl Lying {
    pub(super) fn payload(&self) -> &str {
        std::str::from_utf8(&self.message.payload).unwrap()
    }

    /// It is stored.
    pub(super) fn settle(self) {
        self.receipt.settle(Ok(Taken::default()));
        drop(self.room);
    }

    /// It is lost.
    pub(super) fn lose(self) {
        drop(self.receipt);
    }
}

#[async_trait]
impl Intake for Desk {
    fn try_room(&self) -> Option<Room> {
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    async fn room(&self) -> Option<Room> {
        Arc::clone(&self.room).acquire_owned().await.ok()
    }

    fn connected(&self) {}

    fn take(&self, message: Arrived, receipt: Receipt, room: Option<Room>) {
        self.tray.send(Lying { message, receipt, room }).ok().unwrap();
    }

    fn refuse(&self, topic: &str, payload: &[u8], reason: &'static str, _: String) {
        self.note(format!("{reason} {topic} {}", String::from_utf8_lossy(payload)));
    }

    fn unread(&self, topic: &str) {
        self.note(format!("unread {topic}"));
    }

    fn subscribers(&self) -> Arc<Subscribers> {
        Arc::clone(&self.subscribers)
    }

    fn heard(&self, devices: Vec<(DeviceId, Ear)>) {
        for (device, ear) in devices {
            self.note(format!("{device} hears {ear:?}"));
        }
    }

    async fn knows(&self, client: &str) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.known.iter().any(|known| known == client)
    }

    fn listening(&self) -> Arc<Listening> {
        Arc::clone(&self.listening)
    }
}

/// An intake that settles everything at once.
pub(super) struct Rubber;

#[async_trait]
impl Intake for Rubber {
    fn try_room(&self) -> Option<Room> {
        Arc::new(Semaphore::new(1)).try_acquire_owned().ok()
    }

    async fn room(&self) -> Option<Room> {
        self.try_room()
    }

    fn connected(&self) {}

    fn take(&self, _: Arrived, receipt: Receipt, _: Option<Room>) {
        receipt.settle(Ok(Taken::default()));
    }

    fn refuse(&self, _: &str, _: &[u8], _: &'static str, _: String) {}

    fn unread(&self, _: &str) {}

    fn subscribers(&self) -> Arc<Subscribers> {
        Arc::default()
    }

    fn heard(&self, _: Vec<(DeviceId, Ear)>) {}

    fn listening(&self) -> Arc<Listening> {
        Arc::default()
    }
}

/// Waits for what must come soon.
pub(super) async fn within<T>(soon: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, soon).await.expect("it should have come by now")
}
