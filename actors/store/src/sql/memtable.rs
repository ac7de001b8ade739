//! The memtable: committed events that are not compacted yet, the newest stretch of the sequence, whole and by device.
//!
//! The memtable is a list of generations, the last of which grows. [`Memtable::freeze`] begins a new one; the earlier ones are
//! compacted at leisure, and [`Memtable::release`] drops them once the database has their events in order. One that is
//! [`FULL`] grows no more either: a flood is compacted, and dropped, bit by bit. A reader takes a [`MemtableView`] **before**
//! it looks into the database. The view holds on to its generations, so every event after [`MemtableView::after`] is found in
//! it, and every one up to there is compacted, however far the compaction gets meanwhile: a reader that
//! ignores the chunks' events beyond `after` meets each event exactly once.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::select;
use twinhub_domain::{DeviceNumber, EventBody, Reading, Recorded, Scalar, Timestamp};

/// Events in a generation, at which the next one begins. A generation in compaction is held until all of it is in
/// order: with a million new devices at once that was most of a gigabyte, for two minutes. In tests few.
const FULL: usize = if cfg!(test) { 4 } else { 50_000 };

/// A batch's events.
pub type BatchEvents = Arc<[Arc<Recorded>]>;

/// The committed events that are not compacted yet.
#[derive(Default)]
pub struct Memtable(RwLock<MemtableState>);

/// The memtable as it was at a moment, and as far as its last generation has grown since.
pub struct MemtableView {
    generations: Vec<Arc<Generation>>,
    after: u64,
    last: u64,
    removed: Arc<HashMap<DeviceNumber, u64>>,
}

struct MemtableState {
    /// Never empty; only the last one grows.
    generations: Vec<Arc<Generation>>,
    last: u64,
    /// Removed devices, and the `seq` of their removal. Their numbers are never given again.
    removed: Arc<HashMap<DeviceNumber, u64>>,
}

struct Generation {
    /// The generation holds the events after this `seq`.
    after: u64,
    content: RwLock<GenerationContent>,
}

#[derive(Default)]
struct GenerationContent {
    batches: Vec<BatchEvents>,
    events: usize,
    /// The size of its events in memory, as far as that is reckoned.
    bytes: usize,
    /// The events that make the twins, by device.
    by_device: HashMap<DeviceNumber, Vec<Arc<Recorded>>>,
}

impl Default for MemtableState {
    fn default() -> Self {
        Self { generations: vec![Generation::new(0)], last: 0, removed: Arc::default() }
    }
}

impl Memtable {
    /// A memtable after `ordered`, the last compacted `seq`.
    pub fn new(ordered: u64, removed: HashMap<DeviceNumber, u64>) -> Self {
        Self(RwLock::new(MemtableState {
            generations: vec![Generation::new(ordered)],
            last: ordered,
            removed: Arc::new(removed),
        }))
    }

    /// Takes a committed batch in.
    pub fn append(&self, events: &BatchEvents, removed: &[(u64, DeviceNumber)]) {
        let mut state = write(&self.0);
        for (seq, number) in removed {
            Arc::make_mut(&mut state.removed).insert(*number, *seq);
            for generation in &state.generations {
                write(&generation.content).by_device.remove(number);
            }
        }
        let Some(last) = events.last() else { return };
        let before = std::mem::replace(&mut state.last, last.seq);
        if state.generations.last().is_some_and(|current| read(&current.content).events >= FULL) {
            state.generations.push(Generation::new(before));
        }
        // There always is a last generation.
        let Some(generation) = state.generations.last() else { return };
        let mut content = write(&generation.content);
        let living = events.iter().filter(|event| !state.removed.contains_key(&event.event.number));
        for event in living.filter(|event| select::makes_twin(&event.event)) {
            content.by_device.entry(event.event.number).or_default().push(Arc::clone(event));
        }
        content.events += events.len();
        content.bytes += events.iter().map(|event| size(event)).sum::<usize>();
        content.batches.push(Arc::clone(events));
    }

    /// The last `seq` that was committed.
    pub fn last(&self) -> u64 {
        read(&self.0).last
    }

    /// The size of all its events in memory, as far as that is reckoned.
    pub fn bytes(&self) -> usize {
        read(&self.0).generations.iter().map(|generation| read(&generation.content).bytes).sum()
    }

    /// When the hub took in its first event; none where there is none.
    pub fn oldest(&self) -> Option<Timestamp> {
        let state = read(&self.0);
        state.generations.iter().find_map(|generation| {
            let content = read(&generation.content);
            content.batches.iter().find_map(|batch| batch.first()).map(|first| first.event.received_at)
        })
    }

    /// The memtable as it is now.
    pub fn view(&self) -> MemtableView {
        let state = read(&self.0);
        MemtableView::of(state.generations.clone(), state.last, &state.removed)
    }

    /// Begins a new generation, and gives the oldest of those before it, one that is [`FULL`] or all; none
    /// when there is nothing to put into order.
    pub fn freeze(&self) -> Option<MemtableView> {
        let mut state = write(&self.0);
        let last = state.last;
        let current = state.generations.last()?;
        if !read(&current.content).batches.is_empty() {
            state.generations.push(Generation::new(last));
        }
        let mut events = 0;
        let up_to = state.generations.iter().position(|generation| {
            let enough = events >= FULL;
            events += read(&generation.content).events;
            enough
        });
        let (frozen, next) = state.generations.split_at(up_to.unwrap_or(state.generations.len() - 1));
        let next = next.first()?;
        if frozen.is_empty() {
            return None;
        }
        Some(MemtableView::of(frozen.to_vec(), next.after, &state.removed))
    }

    /// Drops compacted events: all up to `ordered`, the last `seq` of [`Memtable::freeze`]'s view.
    pub fn release(&self, ordered: u64) {
        write(&self.0).generations.retain(|generation| generation.after >= ordered);
    }

    /// Was this device removed, and with which event?
    pub fn removed(&self, device: DeviceNumber) -> Option<u64> {
        read(&self.0).removed.get(&device).copied()
    }

    /// Forgets removals up to `seq`.
    pub fn forget_removed(&self, seq: u64) {
        Arc::make_mut(&mut write(&self.0).removed).retain(|_, removed| *removed > seq);
    }
}

impl MemtableView {
    fn of(generations: Vec<Arc<Generation>>, last: u64, removed: &Arc<HashMap<DeviceNumber, u64>>) -> Self {
        let after = generations.first().map_or(last, |generation| generation.after);
        Self { generations, after, last, removed: Arc::clone(removed) }
    }

    /// The view has every event after this `seq`.
    pub fn after(&self) -> u64 {
        self.after
    }

    /// The last `seq` when the view was taken.
    pub fn last(&self) -> u64 {
        self.last
    }

    /// False for events of a removed device from before its removal: they are not replayed any more.
    pub fn is_visible(&self, recorded: &Recorded) -> bool {
        self.removed.get(&recorded.event.number).is_none_or(|removed| recorded.seq >= *removed)
    }

    /// The events that one device's twin is made of, in order.
    pub fn of_device(&self, device: DeviceNumber) -> Vec<Arc<Recorded>> {
        let mut events = Vec::new();
        for generation in &self.generations {
            if let Some(more) = read(&generation.content).by_device.get(&device) {
                events.extend(more.iter().filter(|event| event.seq <= self.last).cloned());
            }
        }
        events
    }

    /// The devices that have such events in it.
    pub fn devices(&self) -> BTreeSet<DeviceNumber> {
        let mut devices = BTreeSet::new();
        for generation in &self.generations {
            devices.extend(read(&generation.content).by_device.keys());
        }
        devices
    }

    /// Visible events of all devices with `after < seq <= up_to`, in order, `limit` at most.
    pub fn range(&self, after: u64, up_to: u64, limit: usize) -> Vec<Arc<Recorded>> {
        let up_to = up_to.min(self.last);
        let mut events = Vec::new();
        for generation in &self.generations {
            let content = read(&generation.content);
            let from = content.batches.partition_point(|batch| batch.last().is_none_or(|e| e.seq <= after));
            for event in content.batches[from..].iter().flat_map(|batch| batch.iter()) {
                if event.seq > up_to || events.len() >= limit {
                    return events;
                }
                if event.seq > after && self.is_visible(event) {
                    events.push(Arc::clone(event));
                }
            }
        }
        events
    }
}

impl Generation {
    fn new(after: u64) -> Arc<Self> {
        Arc::new(Self { after, content: RwLock::default() })
    }
}

/// About how many bytes an event takes in memory, with what its device and its place in the lists cost.
fn size(recorded: &Recorded) -> usize {
    /// The allocations of an event, and its pointers in the batch and by device.
    const EVENT: usize = size_of::<Recorded>() + 64;
    /// The name of a reading, and the allocation for a text or many digits.
    const READING: usize = size_of::<Reading>() + 32;
    /// Documents, commands, alarms: few, and of every size.
    const OTHER: usize = 1_024;
    match &recorded.event.body {
        EventBody::Telemetry { readings, payload, .. } => {
            let text =
                |reading: &Reading| if let Scalar::Text(text) = &reading.value { text.len() } else { 0 };
            let texts: usize = readings.iter().map(text).sum();
            EVENT + readings.len() * READING + texts + payload.as_ref().map_or(0, |payload| payload.len())
        }
        _ => EVENT + OTHER,
    }
}

/// No code that holds one of these locks can panic half way through a change.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}
