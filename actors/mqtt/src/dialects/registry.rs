//! The dialects of a hub, in order.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use super::dispositivos::Dispositivos;
use super::native::{self, Native};
use super::stateful::{DeviceEncoder, DeviceOfTopic, Encoded, LONGEST_NAME, StatefulDialect};
use super::{DecodeError, Decoded, Dialect, Direction, OwnTopics, TopicDevice};
use crate::subscribers::Subscribers;
use twinhub_domain::topic::{matches, overlap};
use twinhub_domain::twin::{Audience, Downlink, Listeners, Patch};
use twinhub_domain::{DeviceId, Object, Publish, Twin};

/// Dialects beside those that every hub has.
#[derive(Clone, Default)]
pub struct AddedDialects {
    stateless: Vec<Arc<dyn Dialect>>,
    stateful: Vec<MakeStateful>,
}

/// Makes a stateful dialect that has not begun. It is made again where it panicked.
pub type MakeStateful = Arc<dyn Fn() -> Box<dyn StatefulDialect> + Send + Sync>;

impl AddedDialects {
    /// These, and `dialect`.
    #[must_use]
    pub fn with(mut self, dialect: impl Dialect + 'static) -> Self {
        self.stateless.push(Arc::new(dialect));
        self
    }

    /// These, and the stateful one that `make` makes.
    ///
    /// # Panics
    /// Its name is too long or has a `/`, or another has it.
    #[must_use]
    pub fn with_stateful<D: StatefulDialect + 'static>(
        mut self,
        make: impl Fn() -> D + Send + Sync + 'static,
    ) -> Self {
        let make: MakeStateful = Arc::new(move || Box::new(make()));
        let name = make().name();
        let is_fit = (1..=LONGEST_NAME).contains(&name.len()) && !name.contains('/');
        assert!(is_fit, "`{name}` cannot name a dialect in the store");
        assert!(self.stateful.iter().all(|other| other().name() != name), "two dialects are called `{name}`");
        self.stateful.push(make);
        self
    }

    /// The stateful dialects, in order.
    #[must_use]
    pub fn stateful(&self) -> &[MakeStateful] {
        &self.stateful
    }
}

impl fmt::Debug for AddedDialects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stateful: Vec<_> = self.stateful.iter().map(|make| make().name()).collect();
        f.debug_struct("AddedDialects")
            .field("stateless", &self.stateless.len())
            .field("stateful", &stateful)
            .finish()
    }
}

/// The dialects that a hub speaks, in the order in which they are asked.
pub struct Dialects {
    /// The native one first: its messages are the many.
    stateless: Vec<Arc<dyn Dialect>>,
    stateful: Vec<Topics>,
    /// The encoders of devices that speak a stateful dialect.
    encoders: RwLock<DeviceEncoders>,
}

type DeviceEncoders = HashMap<DeviceId, (StatefulId, Arc<dyn DeviceEncoder>)>;

/// A device that a message is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageDevice {
    pub device: DeviceId,
    /// The serial number by which the message names it, and of which the id was made.
    pub serial: Option<Box<str>>,
}

/// The devices whose words a client hears.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchedDevices {
    All,
    One(DeviceId),
}

/// Names one of the stateful dialects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatefulId(usize);

/// The topics of a stateful dialect.
struct Topics {
    name: &'static str,
    filters: Vec<String>,
    hub_filters: Vec<String>,
    device_of: Option<DeviceOfTopic>,
}

/// The listeners to a device's messages, and the words they know: as the broker reports them for native topics. Of
/// topics of other dialects nothing is known.
pub struct DialectListeners<'a> {
    pub subscribers: &'a Subscribers,
    pub dialects: &'a Dialects,
}

impl Listeners for DialectListeners<'_> {
    fn audience(&self, device: &DeviceId, ear: Downlink, wanted: Audience) -> Audience {
        if self.dialects.is_told_natively(device) {
            self.subscribers.audience(device, ear, wanted)
        } else {
            Audience::Unknown
        }
    }

    fn echo(&self, twin: &Twin, patch: &Patch) -> Object {
        self.dialects.echo(twin, patch)
    }
}

impl StatefulId {
    /// Its place among them, from 0.
    #[must_use]
    pub fn place(self) -> usize {
        self.0
    }
}

impl Default for Dialects {
    fn default() -> Self {
        Self::new(&AddedDialects::default())
    }
}

impl Dialects {
    /// The dialects that every hub has, and then those `added`.
    #[must_use]
    pub fn new(added: &AddedDialects) -> Self {
        let mut stateless: Vec<Arc<dyn Dialect>> = vec![Arc::new(Native), Arc::new(Dispositivos)];
        stateless.extend(added.stateless.iter().cloned());
        let topics = |make: &MakeStateful| {
            let dialect = make();
            Topics {
                name: dialect.name(),
                filters: dialect.filters(),
                hub_filters: dialect.hub_filters(),
                device_of: dialect.device_of(),
            }
        };
        let stateful = added.stateful.iter().map(topics).collect();
        Self { stateless, stateful, encoders: RwLock::default() }
    }

    /// The topics that a device has for itself, with `me` in the place of its id.
    #[must_use]
    pub fn own_topics(&self, me: &str) -> OwnTopics {
        let mut all = OwnTopics::default();
        for own in self.stateless.iter().map(|dialect| dialect.own_topics(me)) {
            all.says.extend(own.says);
            all.hears.extend(own.hears);
        }
        all
    }

    /// The topic filters that bring every message that a dialect takes. None lies within another: a broker may
    /// deliver a message once for each filter that it matches.
    #[must_use]
    pub fn filters(&self) -> Vec<String> {
        let stateful = self.stateful.iter().flat_map(|topics| topics.filters.iter().cloned());
        let all: Vec<String> =
            self.stateless.iter().flat_map(|dialect| dialect.filters()).chain(stateful).collect();
        let mut kept: Vec<String> = Vec::with_capacity(all.len());
        for (place, filter) in all.iter().enumerate() {
            let within = |(other_place, other): (usize, &String)| {
                matches(other, filter) && (other != filter || other_place < place)
            };
            if !all.iter().enumerate().any(within) {
                kept.push(filter.clone());
            }
        }
        kept
    }

    /// True where a dialect takes the topic. On the embedded broker all else is other people's traffic.
    #[must_use]
    pub fn is_ours(&self, topic: &str) -> bool {
        self.stateless.iter().any(|dialect| dialect.takes(topic))
            || self.stateful.iter().any(|topics| is_one(&topics.filters, topic))
    }

    /// True where the hub publishes to devices: no client may publish there, where the broker is ours to refuse.
    #[must_use]
    pub fn is_hubs(&self, topic: &str) -> bool {
        self.stateless.iter().any(|dialect| dialect.is_hubs(topic))
            || self.stateful.iter().any(|topics| is_one(&topics.hub_filters, topic))
    }

    /// The first topic filter of those on which the hub alone speaks that has a topic in common with `filter`.
    #[must_use]
    pub fn hubs_within(&self, filter: &str) -> Option<String> {
        let stateful = self.stateful.iter().flat_map(|topics| topics.hub_filters.iter().cloned());
        let mut all = self.stateless.iter().flat_map(|dialect| dialect.hub_filters()).chain(stateful);
        all.find(|of_hub| overlap(of_hub, filter))
    }

    /// The device that alone publishes on this topic, or hears all that this topic filter matches.
    #[must_use]
    pub fn device_of(&self, topic: &str, direction: Direction) -> Option<TopicDevice> {
        let stateless = self.stateless.iter().find_map(|dialect| dialect.device_of(topic, direction));
        stateless.or_else(|| {
            let mut stateful = self.stateful.iter().filter_map(|topics| topics.device_of);
            stateful.find_map(|device_of| device_of(topic, direction)).map(TopicDevice::Named)
        })
    }

    /// The devices that a message in a stateless dialect is of, with the serial numbers by which it names them.
    ///
    /// # Errors
    /// The error in the payload, and its place.
    pub fn devices_in(&self, topic: &str, payload: &[u8]) -> Result<Vec<MessageDevice>, DecodeError> {
        let Decoded { inputs, .. } = self.decode(usize::MAX, topic, payload)?;
        let devices = inputs.into_iter().map(|(device, input)| {
            let serial = input.serial().map(Into::into);
            MessageDevice { device, serial }
        });
        Ok(devices.collect())
    }

    /// The devices whose own words all match this topic filter, and nothing else does.
    #[must_use]
    pub fn watched_by(&self, filter: &str) -> Option<WatchedDevices> {
        native::watched_by(filter)
    }

    /// Is the last message on this topic of a device one to keep for later subscribers?
    #[must_use]
    pub fn may_retain(&self, topic: &str) -> bool {
        self.stateless.iter().any(|dialect| dialect.may_retain(topic))
    }

    /// The stateful dialect that takes the topic; none where a stateless one does, or none.
    #[must_use]
    pub fn stateful_for(&self, topic: &str) -> Option<StatefulId> {
        if self.stateful.is_empty() || self.stateless.iter().any(|dialect| dialect.takes(topic)) {
            return None;
        }
        self.stateful.iter().position(|topics| is_one(&topics.filters, topic)).map(StatefulId)
    }

    /// The stateful dialects, in order.
    pub fn stateful_ids(&self) -> impl Iterator<Item = StatefulId> + use<> {
        (0..self.stateful.len()).map(StatefulId)
    }

    /// The name of a stateful dialect.
    #[must_use]
    pub fn name(&self, dialect: StatefulId) -> &'static str {
        self.stateful.get(dialect.0).map_or("", |topics| topics.name)
    }

    /// Reads a message in a stateless dialect whose payload has at most `limit` bytes.
    ///
    /// # Errors
    /// The error, and its place.
    pub fn decode(&self, limit: usize, topic: &str, payload: &[u8]) -> Result<Decoded, DecodeError> {
        if payload.len() > limit {
            return Err(DecodeError::TooLarge { bytes: payload.len(), limit });
        }
        let read = self.stateless.iter().find_map(|dialect| dialect.decode(topic, payload));
        read.unwrap_or(Err(DecodeError::BadTopic))
    }

    /// The messages to `device` for a publish of its twin, in the dialect that it speaks; and the id of that dialect
    /// where it has a state.
    #[must_use]
    pub fn encode(&self, device: &DeviceId, publish: &Publish) -> (Option<StatefulId>, Encoded) {
        if let Some((dialect, encoder)) = self.encoder(device) {
            return (Some(dialect), encoder.encode(device, publish));
        }
        let speaking = self.stateless.iter().find(|dialect| dialect.speaks_to(device));
        let messages = match speaking {
            Some(dialect) => dialect.encode(device, publish),
            None => Native.encode(device, publish),
        };
        (None, Encoded { messages, keep: Vec::new() })
    }

    /// A native change of `twin` as the configuration has it, in all dialects that have words for it there.
    #[must_use]
    pub fn echo(&self, twin: &Twin, patch: &Patch) -> Object {
        let mut echo = Object::default();
        for dialect in &self.stateless {
            echo.merge(&dialect.echo(twin, patch));
        }
        echo
    }

    /// Do messages to the device go out on the native topics?
    #[must_use]
    pub fn is_told_natively(&self, device: &DeviceId) -> bool {
        !self.encoders().contains_key(device)
            && !self.stateless.iter().any(|dialect| dialect.speaks_to(device))
    }

    /// Sets the encoders of these devices of `dialect` from now on. A device that had an encoder of another dialect is
    /// now this one's; only the dialect that has a device may give it up.
    pub fn set_encoders(&self, dialect: StatefulId, encoders: &[(DeviceId, Option<Arc<dyn DeviceEncoder>>)]) {
        if encoders.is_empty() {
            return;
        }
        let mut present = self.encoders.write().unwrap_or_else(PoisonError::into_inner);
        for (device, encoder) in encoders {
            match encoder {
                Some(encoder) => {
                    present.insert(device.clone(), (dialect, Arc::clone(encoder)));
                }
                None if present.get(device).is_some_and(|(owner, _)| *owner == dialect) => {
                    present.remove(device);
                }
                None => {}
            }
        }
    }

    fn encoder(&self, device: &DeviceId) -> Option<(StatefulId, Arc<dyn DeviceEncoder>)> {
        self.encoders().get(device).cloned()
    }

    fn encoders(&self) -> RwLockReadGuard<'_, DeviceEncoders> {
        // Nothing panics while holding the lock.
        self.encoders.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_one(filters: &[String], topic: &str) -> bool {
    filters.iter().any(|filter| matches(filter, topic))
}
