//! For the tests of the links: an intake that holds messages until the test settles them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Mutex, Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::broker::{PersistenceError, RetainedPersistence};
use super::dialects::Dialects;
use super::identity::{
    Act, Allowance, Authenticator, ClientIdentity, ClientName, ConnectRefusal, ConnectRequest,
};
use super::intake::{IncomingMessage, Intake, Room};
use super::rule_topics::RuleTopics;
use super::subscribers::Subscribers;
use twinhub_domain::receipt::{Accepted, Receipt};
use twinhub_domain::retained::{RetainedChange, RetainedMessage};
use twinhub_domain::twin::{Audience, Downlink, Listeners as _};
use twinhub_domain::{DeviceId, Timestamp};
use twinhub_testkit::{ManualClock, until, within};

/// A clock that does not move.
pub(super) fn still() -> Arc<ManualClock> {
    ManualClock::at(Timestamp::from_millis(1_000_000))
}

/// Keeps retained messages for as long as the test has it.
#[derive(Default)]
pub(super) struct MemoryPersistence(std::sync::Mutex<HashMap<Arc<str>, RetainedMessage>>);

#[async_trait]
impl RetainedPersistence for MemoryPersistence {
    async fn retained(&self) -> Result<Vec<RetainedMessage>, PersistenceError> {
        Ok(self.0.lock().unwrap().values().cloned().collect())
    }

    async fn change_retained(&self, changes: &[RetainedChange]) -> Result<(), PersistenceError> {
        let mut kept = self.0.lock().unwrap();
        for change in changes {
            match change {
                RetainedChange::Keep(message) => kept.insert(Arc::clone(&message.topic), (**message).clone()),
                RetainedChange::Clear(topic) => kept.remove(topic),
            };
        }
        Ok(())
    }
}

/// An intake that settles nothing by itself.
#[derive(Clone)]
pub(super) struct TestIntake {
    room: Arc<Semaphore>,
    sender: mpsc::UnboundedSender<HeldMessage>,
    held: Arc<Mutex<mpsc::UnboundedReceiver<HeldMessage>>>,
    pub(super) rule_topics: Arc<RuleTopics>,
    pub(super) subscribers: Arc<Subscribers>,
    /// Rejections, as `reason topic payload`, messages without a reader, and devices that are heard now.
    pub(super) notes: Arc<std::sync::Mutex<Vec<String>>>,
    known: Arc<[String]>,
    /// The number of times that known devices were asked for.
    pub(super) asked: Arc<AtomicUsize>,
    /// The number of times that the link to the devices was reported open again.
    pub(super) opened: Arc<AtomicUsize>,
    pub(super) authenticator: Arc<dyn Authenticator>,
}

/// Lets everybody in, and do everything.
pub(super) struct EverybodyIn;

/// An anonymous client that may do everything.
struct Anybody;

/// The identity of a client that may do everything.
pub(super) fn anybody() -> Arc<dyn ClientIdentity> {
    Arc::new(Anybody)
}

#[async_trait]
impl Authenticator for EverybodyIn {
    async fn identify(&self, _: &ConnectRequest<'_>) -> Result<Arc<dyn ClientIdentity>, ConnectRefusal> {
        Ok(anybody())
    }

    async fn standing_of(&self, _: &str, _: &dyn ClientIdentity) -> ClientName {
        ClientName::Free
    }

    fn changes(&self) -> watch::Receiver<u64> {
        watch::Sender::new(0).subscribe()
    }
}

#[async_trait]
impl ClientIdentity for Anybody {
    fn name(&self) -> &str {
        ""
    }

    fn principal(&self) -> &str {
        ""
    }

    fn allowance(&self) -> Allowance {
        Allowance::Everything
    }

    fn lasts(&self) -> bool {
        true
    }

    async fn reaches(&self, _: &DeviceId, _: Option<&str>, _: Act) -> bool {
        true
    }

    fn reaches_all(&self) -> bool {
        true
    }
}

/// A message that the test has not settled yet.
pub(super) struct HeldMessage {
    pub(super) message: IncomingMessage,
    receipt: Receipt,
    room: Option<Room>,
}

impl TestIntake {
    pub(super) fn with_room(room: usize) -> Self {
        let (sender, held) = mpsc::unbounded_channel();
        Self {
            room: Arc::new(Semaphore::new(room)),
            sender,
            held: Arc::new(Mutex::new(held)),
            rule_topics: Arc::default(),
            subscribers: Arc::new(Subscribers::reported_by_broker()),
            notes: Arc::default(),
            known: Arc::default(),
            asked: Arc::default(),
            opened: Arc::default(),
            authenticator: Arc::new(EverybodyIn),
        }
    }

    /// One that has these devices.
    pub(super) fn knowing(devices: &[&str]) -> Self {
        Self { known: devices.iter().map(|device| (*device).to_owned()).collect(), ..Self::with_room(10) }
    }

    /// The same, with this one who says who clients are.
    pub(super) fn with_authenticator(self, authenticator: Arc<dyn Authenticator>) -> Self {
        Self { authenticator, ..self }
    }

    /// The next message that came.
    pub(super) async fn next(&self) -> HeldMessage {
        within("a message", async { self.held.lock().await.recv().await }).await.unwrap()
    }

    /// The next `count` messages that came.
    pub(super) async fn take(&self, count: usize) -> Vec<HeldMessage> {
        let mut held = Vec::new();
        for _ in 0..count {
            held.push(self.next().await);
        }
        held
    }

    /// Waits until the notes are as `expected`.
    pub(super) async fn noted(&self, expected: &[&str]) {
        until("what was noted", async || *self.notes.lock().unwrap() == expected).await;
    }

    /// The listeners to the commands of the device, once they are as `expected`.
    pub(super) async fn hears_commands(&self, device: &str, expected: Audience) {
        let device = DeviceId::parse(device).unwrap();
        until("who listens to commands", async || {
            self.subscribers.audience(&device, Downlink::Commands, Audience::Somebody) == expected
        })
        .await;
    }

    /// Settles whatever comes as stored, from now on.
    pub(super) fn settle_all(&self) {
        let held = Arc::clone(&self.held);
        tokio::spawn(async move {
            let mut held = held.lock().await;
            while let Some(message) = held.recv().await {
                message.settle();
            }
        });
    }

    fn note(&self, line: String) {
        self.notes.lock().unwrap().push(line);
    }

    /// Makes room for `more` messages.
    pub(super) fn make_room(&self, more: usize) {
        self.room.add_permits(more);
    }

    /// True when nothing lies there now.
    pub(super) fn is_empty(&self) -> bool {
        self.held.try_lock().is_ok_and(|held| held.is_empty())
    }
}

impl HeldMessage {
    pub(super) fn payload(&self) -> &str {
        std::str::from_utf8(&self.message.payload).unwrap()
    }

    /// Does it hold room in the hub?
    pub(super) fn has_room(&self) -> bool {
        self.room.is_some()
    }

    /// Settles the message as stored.
    pub(super) fn settle(self) {
        self.receipt.settle(Ok(Accepted::default()));
        drop(self.room);
    }

    /// Settles the message as lost.
    pub(super) fn lose(self) {
        drop(self.receipt);
    }
}

#[async_trait]
impl Intake for TestIntake {
    fn try_room(&self) -> Option<Room> {
        Arc::clone(&self.room).try_acquire_owned().ok()
    }

    async fn room(&self) -> Option<Room> {
        Arc::clone(&self.room).acquire_owned().await.ok()
    }

    fn connected(&self) {
        self.opened.fetch_add(1, Ordering::Relaxed);
    }

    fn accept(&self, message: IncomingMessage, receipt: Receipt, room: Option<Room>) {
        self.sender.send(HeldMessage { message, receipt, room }).ok().unwrap();
    }

    fn refuse(&self, topic: &str, payload: &[u8], reason: &'static str, _: String) {
        self.note(format!("{reason} {topic} {}", String::from_utf8_lossy(payload)));
    }

    fn refuse_client(&self, refusal: ConnectRefusal) {
        self.note(format!("client {}", refusal.reason()));
    }

    fn authenticator(&self) -> Arc<dyn Authenticator> {
        Arc::clone(&self.authenticator)
    }

    fn note_unread(&self, topic: &str) {
        self.note(format!("unread {topic}"));
    }

    fn subscribers(&self) -> Arc<Subscribers> {
        Arc::clone(&self.subscribers)
    }

    fn subscribed(&self, devices: Vec<(DeviceId, Downlink)>) {
        for (device, ear) in devices {
            self.note(format!("{device} hears {ear:?}"));
        }
    }

    async fn knows_device(&self, client: &str) -> bool {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.known.iter().any(|known| known == client)
    }

    fn dialects(&self) -> Arc<Dialects> {
        Arc::default()
    }

    fn rule_topics(&self) -> Arc<RuleTopics> {
        Arc::clone(&self.rule_topics)
    }
}

/// An intake that settles everything at once.
pub(super) struct SettlingIntake;

#[async_trait]
impl Intake for SettlingIntake {
    fn try_room(&self) -> Option<Room> {
        Arc::new(Semaphore::new(1)).try_acquire_owned().ok()
    }

    async fn room(&self) -> Option<Room> {
        self.try_room()
    }

    fn connected(&self) {}

    fn accept(&self, _: IncomingMessage, receipt: Receipt, _: Option<Room>) {
        receipt.settle(Ok(Accepted::default()));
    }

    fn refuse(&self, _: &str, _: &[u8], _: &'static str, _: String) {}

    fn refuse_client(&self, _: ConnectRefusal) {}

    fn authenticator(&self) -> Arc<dyn Authenticator> {
        Arc::new(EverybodyIn)
    }

    fn note_unread(&self, _: &str) {}

    fn subscribers(&self) -> Arc<Subscribers> {
        Arc::default()
    }

    fn subscribed(&self, _: Vec<(DeviceId, Downlink)>) {}

    fn dialects(&self) -> Arc<Dialects> {
        Arc::default()
    }

    fn rule_topics(&self) -> Arc<RuleTopics> {
        Arc::default()
    }
}

/// A proxy to a broker whose connections can be cut.
pub(super) struct CuttableProxy {
    pub(super) address: SocketAddr,
    plugged: watch::Sender<bool>,
}

impl CuttableProxy {
    pub(super) async fn to(broker: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let plugged = watch::Sender::new(true);
        let mut state = plugged.subscribe();
        tokio::spawn(async move {
            let mut lines = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        let (mut near, _) = accepted.unwrap();
                        let plugged = *state.borrow();
                        if plugged {
                            lines.spawn(async move {
                                let mut far = TcpStream::connect(broker).await.unwrap();
                                copy_bidirectional(&mut near, &mut far).await
                            });
                        }
                    }
                    changed = state.changed() => {
                        if changed.is_err() {
                            return;
                        }
                        lines.shutdown().await;
                    }
                }
            }
        });
        Self { address, plugged }
    }

    pub(super) fn cut(&self) {
        self.plugged.send_replace(false);
    }

    pub(super) fn mend(&self) {
        self.plugged.send_replace(true);
    }
}
