//! The connected listeners to the hub's messages, as far as the broker reports them. The embedded broker does; of an
//! outside one nothing is known before it answers a publish.
//!
//! A session whose client is away does not count: messages for a device wait in the hub, which can still call them
//! back, and not in the broker.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::topics::{self, Leaf};
use twinhub_domain::DeviceId;
use twinhub_domain::topic::matches;
use twinhub_domain::twin::{Audience, Downlink, Listeners};

/// Topics of devices have at most this many levels: a filter with more means none of them.
const MOST_LEVELS: usize = 6;

/// An index of the subscriptions to the hub's topics, and of the twins that wait for one.
#[derive(Debug, Default)]
pub struct Subscribers(Mutex<SubscriberIndex>);

#[derive(Debug, Default)]
struct SubscriberIndex {
    /// The broker reports listeners. Where it does not, nothing is known.
    is_reported: bool,
    tree: FilterNode,
    /// The twins to notify when a client subscribes, by topic.
    waiting: HashMap<Box<str>, WaitingTwin>,
}

/// A twin that has a message for its device, to which no client is subscribed.
#[derive(Debug)]
struct WaitingTwin {
    device: DeviceId,
    ear: Downlink,
    /// Only the device itself will do.
    itself: bool,
}

/// A level of the filters.
#[derive(Debug, Default)]
struct FilterNode {
    children: HashMap<Box<str>, FilterNode>,
    /// Subscriptions that end here.
    here: usize,
    /// Subscriptions that end here with `#`: to this level and all below.
    below: usize,
}

/// The subscriptions of one connection; they go as it is dropped.
#[derive(Debug)]
pub struct Subscriptions {
    all: Arc<Subscribers>,
    /// As the client sent them: `T` and `$share/g/T` are two.
    filters: HashSet<Box<str>>,
}

impl Subscribers {
    /// For a broker that will report listeners, with [`Subscriptions`]: until it does, there are none.
    #[must_use]
    pub fn reported_by_broker() -> Self {
        Self(Mutex::new(SubscriberIndex { is_reported: true, ..SubscriberIndex::default() }))
    }

    /// A connection that listens to nothing yet.
    #[must_use]
    pub fn connection(self: &Arc<Self>) -> Subscriptions {
        Subscriptions { all: Arc::clone(self), filters: HashSet::new() }
    }

    /// Registers a twin that has a message for its device, as read from the store after a start: it is notified when a
    /// client subscribes. True where one is subscribed already.
    #[must_use]
    pub fn wait(&self, device: &DeviceId, ear: Downlink) -> bool {
        let topic = topics::make(device, leaf(ear));
        let mut inner = self.lock();
        if inner.tree.audience(&topic) != Audience::Nobody {
            return true;
        }
        inner.waiting.insert(topic.into(), WaitingTwin { device: device.clone(), ear, itself: false });
        false
    }

    fn lock(&self) -> MutexGuard<'_, SubscriberIndex> {
        // Nothing in here panics while holding the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listeners for Subscribers {
    fn audience(&self, device: &DeviceId, ear: Downlink, wanted: Audience) -> Audience {
        let mut inner = self.lock();
        if !inner.is_reported {
            return Audience::Unknown;
        }
        let topic = topics::make(device, leaf(ear));
        let audience = inner.tree.audience(&topic);
        // Under the same lock as the look: a client that subscribes after it finds the twin waiting.
        let suffices = audience == Audience::Itself || audience == Audience::Somebody && audience == wanted;
        if !suffices {
            let itself = wanted == Audience::Itself;
            inner.waiting.insert(topic.into(), WaitingTwin { device: device.clone(), ear, itself });
        }
        audience
    }
}

impl Subscriptions {
    /// The connection listens to these too. Gives the twins that waited for it.
    #[must_use]
    pub fn add<'a>(&mut self, filters: impl Iterator<Item = &'a str>) -> Vec<(DeviceId, Downlink)> {
        let mut heard = Vec::new();
        let mut inner = self.all.lock();
        for sent in filters {
            let filter = unshared(sent);
            // Where a client had this filter before, no twin waits for it.
            if concerns_devices(filter) && self.filters.insert(sent.into()) && inner.tree.add(filter) {
                inner.wake(filter, &mut heard);
            }
        }
        heard
    }

    /// The connection does not listen to these any more.
    pub fn remove<'a>(&mut self, filters: impl Iterator<Item = &'a str>) {
        let mut inner = self.all.lock();
        for filter in filters {
            if self.filters.remove(filter) {
                inner.tree.remove(unshared(filter));
            }
        }
    }
}

impl Drop for Subscriptions {
    fn drop(&mut self) {
        let mut inner = self.all.lock();
        for filter in self.filters.drain() {
            inner.tree.remove(unshared(&filter));
        }
    }
}

impl SubscriberIndex {
    fn wake(&mut self, filter: &str, heard: &mut Vec<(DeviceId, Downlink)>) {
        if !has_wildcards(filter) {
            heard.extend(self.waiting.remove(filter).map(|waiting| (waiting.device, waiting.ear)));
            return;
        }
        let heard_now = self.waiting.extract_if(|topic, waiting| !waiting.itself && matches(filter, topic));
        heard.extend(heard_now.map(|(_, waiting)| (waiting.device, waiting.ear)));
    }
}

impl FilterNode {
    /// True where it is the first subscription with this filter.
    fn add(&mut self, filter: &str) -> bool {
        let mut node = self;
        for level in filter.split('/') {
            if level == "#" {
                node.below += 1;
                return node.below == 1;
            }
            node = node.children.entry(level.into()).or_default();
        }
        node.here += 1;
        node.here == 1
    }

    fn remove(&mut self, filter: &str) {
        let (level, rest) = match filter.split_once('/') {
            Some((level, rest)) => (level, Some(rest)),
            None => (filter, None),
        };
        if level == "#" {
            self.below = self.below.saturating_sub(1);
            return;
        }
        let Some(child) = self.children.get_mut(level) else { return };
        match rest {
            Some(rest) => child.remove(rest),
            None => child.here = child.here.saturating_sub(1),
        }
        if child.here == 0 && child.below == 0 && child.children.is_empty() {
            self.children.remove(level);
        }
    }

    fn audience(&self, topic: &str) -> Audience {
        let levels: Vec<&str> = topic.split('/').collect();
        let mut exact = Some(self);
        for level in &levels {
            exact = exact.and_then(|node| node.children.get(*level));
        }
        if exact.is_some_and(|node| node.here > 0) {
            return Audience::Itself;
        }
        if self.is_heard(&levels) { Audience::Somebody } else { Audience::Nobody }
    }

    fn is_heard(&self, levels: &[&str]) -> bool {
        if self.below > 0 {
            return true;
        }
        let Some((level, rest)) = levels.split_first() else { return self.here > 0 };
        [*level, "+"].iter().any(|level| self.children.get(*level).is_some_and(|child| child.is_heard(rest)))
    }
}

fn leaf(ear: Downlink) -> Leaf<'static> {
    match ear {
        Downlink::Commands => Leaf::Commands,
        Downlink::Desired => Leaf::Desired,
        Downlink::Firmware => Leaf::Update,
    }
}

/// The filter of a subscription that several clients share: `$share/name/filter`.
pub(crate) fn unshared(filter: &str) -> &str {
    filter
        .strip_prefix("$share/")
        .and_then(|shared| shared.split_once('/'))
        .map_or(filter, |(_, filter)| filter)
}

fn has_wildcards(filter: &str) -> bool {
    filter.contains(['+', '#'])
}

/// Can it match a topic of a device? A filter that cannot is not kept.
fn concerns_devices(filter: &str) -> bool {
    let mut levels = filter.split('/');
    matches!(levels.next(), Some("#" | "+" | topics::FIRST_LEVEL)) && levels.count() < MOST_LEVELS
}

#[cfg(test)]
mod tests;
