//! The twin registry: the twins in memory by number, for readers of many at once without asking each.
//!
//! A twin's actor is the only one that writes it, and does so for the time of one message; a reader waits for that, and
//! the writer for readers. A reader sees the actor's changes, committed or not: an actor releases its twin only after
//! it has sent the outcome to the journal, so a reader that waits for a [`Barrier`](crate::messages::journal::Barrier)
//! *after* reading has seen nothing that is not durable.
//!
//! It also knows the twins that are *not* in memory and may be in the store: those that left, and those that the store
//! was found to have ([`TwinRegistry::add_stored`]). So the store is asked for them alone, and not at all where every
//! twin is here. A number is never given again, and a twin begins by being inserted here; so one that is neither here
//! nor known to be away does not exist, and never will.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use twinhub_domain::{DeviceNumber, Twin};

/// Numbers that share a lock.
const CHUNK: usize = 1_024;
const WORDS: usize = CHUNK / 64;

/// The handle by which an actor holds its twin. There is one for each twin; it cannot be cloned, and it alone writes.
pub struct TwinHandle(Arc<RwLock<Twin>>);

/// A read handle of a twin in memory.
#[derive(Clone)]
pub struct TwinReader(Arc<RwLock<Twin>>);

/// The registry of twins in memory and in the store.
#[derive(Default)]
pub struct TwinRegistry {
    /// By number divided by [`CHUNK`]. One lock for the few chunks, and one each: twins come and go seldom.
    chunks: RwLock<BTreeMap<i64, Arc<RwLock<Chunk>>>>,
}

/// The twins of a range of numbers.
pub struct NumberRange {
    /// By number.
    pub present: Vec<(DeviceNumber, TwinReader)>,
    /// Twins that are in the store and not in memory.
    pub away: Vec<DeviceNumber>,
}

#[derive(Default)]
struct Chunk {
    /// By place. Eight bytes a twin; empty where no twin is present.
    present: Vec<Option<TwinReader>>,
    count: usize,
    away: [u64; WORDS],
}

impl TwinHandle {
    /// Takes `twin`.
    #[must_use]
    pub fn new(twin: Twin) -> Self {
        Self(Arc::new(RwLock::new(twin)))
    }

    /// Locks the twin for reading. Not while [`TwinHandle::write`] is held.
    pub fn read(&self) -> RwLockReadGuard<'_, Twin> {
        read(&self.0)
    }

    /// Locks the twin for a change. A panic meanwhile poisons the twin: it is not read any more.
    pub fn write(&self) -> RwLockWriteGuard<'_, Twin> {
        write(&self.0)
    }
}

impl TwinReader {
    /// The present twin; none if its actor died while it changed it: the store has the state before.
    #[must_use]
    pub fn read(&self) -> Option<RwLockReadGuard<'_, Twin>> {
        self.0.read().ok()
    }
}

impl TwinRegistry {
    /// Registers `own` as in memory from now on, in place of the one that had its number.
    pub fn insert(&self, number: DeviceNumber, own: &TwinHandle) {
        let (key, place) = place(number);
        let chunk =
            self.chunk(key).unwrap_or_else(|| Arc::clone(write(&self.chunks).entry(key).or_default()));
        let mut chunk = write(&chunk);
        chunk.set_away(place, false);
        if chunk.present.is_empty() {
            chunk.present = vec![None; CHUNK];
        }
        if chunk.present[place].replace(TwinReader(Arc::clone(&own.0))).is_none() {
            chunk.count += 1;
        }
    }

    /// `own` is in memory no more, and in the store only where it `remains`. Nothing where another has its number.
    pub fn remove(&self, number: DeviceNumber, own: &TwinHandle, remains: bool) {
        let (key, place) = place(number);
        let Some(chunk) = self.chunk(key) else { return };
        let mut chunk = write(&chunk);
        let present = chunk.present.get_mut(place);
        let Some(mine) = present.filter(|slot| slot.as_ref().is_some_and(|it| Arc::ptr_eq(&it.0, &own.0)))
        else {
            return;
        };
        *mine = None;
        chunk.set_away(place, remains);
        chunk.count -= 1;
        if chunk.count == 0 {
            chunk.present = Vec::new();
        }
    }

    /// Adds twins that the store has; those that are not in memory are away. One that was removed since it was asked is
    /// not found when it is looked for, and that is all.
    pub fn add_stored(&self, numbers: &[DeviceNumber]) {
        for some in numbers.chunk_by(|one, other| place(*one).0 == place(*other).0) {
            let Some(first) = some.first() else { continue };
            let key = place(*first).0;
            let chunk = Arc::clone(write(&self.chunks).entry(key).or_default());
            let mut chunk = write(&chunk);
            for number in some {
                let (_, place) = place(*number);
                if chunk.present.get(place).is_none_or(Option::is_none) {
                    chunk.set_away(place, true);
                }
            }
        }
    }

    /// The keys of all ranges, in the order of their numbers.
    #[must_use]
    pub fn ranges(&self) -> Vec<i64> {
        read(&self.chunks).keys().copied().collect()
    }

    /// The twins of a range, each in the order of their numbers. The twin of each number was found here or there at
    /// one moment: none is missed that goes from memory to the store meanwhile, or comes back.
    #[must_use]
    pub fn range(&self, key: i64) -> NumberRange {
        let Some(chunk) = self.chunk(key) else {
            return NumberRange { present: Vec::new(), away: Vec::new() };
        };
        let chunk = read(&chunk);
        let away = (0..CHUNK).filter(|place| chunk.is_away(*place)).map(|place| number(key, place)).collect();
        let present = chunk.present.iter().enumerate();
        let present = present.filter_map(|(place, slot)| Some((number(key, place), slot.clone()?)));
        NumberRange { present: present.collect(), away }
    }

    /// The twin with this number, where it is in memory.
    #[must_use]
    pub fn get(&self, number: DeviceNumber) -> Option<TwinReader> {
        let (key, place) = place(number);
        let chunk = self.chunk(key)?;
        let chunk = read(&chunk);
        chunk.present.get(place)?.clone()
    }

    fn chunk(&self, key: i64) -> Option<Arc<RwLock<Chunk>>> {
        read(&self.chunks).get(&key).cloned()
    }
}

impl Chunk {
    fn is_away(&self, place: usize) -> bool {
        self.away[place / 64] & (1 << (place % 64)) != 0
    }

    fn set_away(&mut self, place: usize, away: bool) {
        let bit = 1 << (place % 64);
        let word = &mut self.away[place / 64];
        if away { *word |= bit } else { *word &= !bit }
    }
}

#[expect(clippy::cast_possible_wrap, reason = "a thousand or so")]
const SPAN: i64 = CHUNK as i64;

/// In which chunk a number is, and where in it.
fn place(number: DeviceNumber) -> (i64, usize) {
    let place = usize::try_from(number.0.rem_euclid(SPAN)).unwrap_or_default(); // from 0 to CHUNK - 1
    (number.0.div_euclid(SPAN), place)
}

fn number(key: i64, place: usize) -> DeviceNumber {
    DeviceNumber(key.saturating_mul(SPAN).saturating_add(i64::try_from(place).unwrap_or_default()))
}

/// Code that panics under one of these locks is a twin's own change; see [`TwinReader::read`] for the readers that must
/// not see it.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use twinhub_domain::{DeviceId, Timestamp};

    fn own(number: i64) -> TwinHandle {
        let id = DeviceId::parse(&format!("d{number}")).unwrap();
        TwinHandle::new(Twin::new(id, DeviceNumber(number), Timestamp::default()))
    }

    /// The numbers present, and those away.
    fn all(registry: &TwinRegistry) -> (Vec<i64>, Vec<i64>) {
        let (mut present, mut away) = (Vec::new(), Vec::new());
        for key in registry.ranges() {
            let range = registry.range(key);
            for (number, twin) in &range.present {
                assert_eq!(twin.read().unwrap().number, *number);
                present.push(number.0);
            }
            away.extend(range.away.iter().map(|number| number.0));
        }
        (present, away)
    }

    #[test]
    fn knows_present_and_stored_twins() {
        let registry = TwinRegistry::default();
        let twins: Vec<_> = [1, 2, 1_023, 1_024, 5_000].map(|number| (number, own(number))).into();
        for (number, own) in &twins {
            registry.insert(DeviceNumber(*number), own);
        }
        assert_eq!(all(&registry), (vec![1, 2, 1_023, 1_024, 5_000], vec![]));
        registry.remove(DeviceNumber(1_024), &twins[3].1, true);
        registry.remove(DeviceNumber(2), &twins[1].1, false);
        registry.remove(DeviceNumber(7), &twins[1].1, true);
        assert_eq!(all(&registry), (vec![1, 1_023, 5_000], vec![1_024]));
        registry.add_stored(&[1, 3, 900_000_000_000].map(DeviceNumber));
        assert_eq!(all(&registry), (vec![1, 1_023, 5_000], vec![3, 1_024, 900_000_000_000]));
        let again = own(1_024);
        registry.insert(DeviceNumber(1_024), &again);
        assert_eq!(all(&registry), (vec![1, 1_023, 1_024, 5_000], vec![3, 900_000_000_000]));
        assert!(registry.get(DeviceNumber(1_024)).is_some());
        assert!(registry.get(DeviceNumber(3)).is_none());
    }

    #[test]
    fn a_late_removal_leaves_the_next_incarnation() {
        let registry = TwinRegistry::default();
        let (first, second) = (own(1), own(1));
        registry.insert(DeviceNumber(1), &first);
        registry.insert(DeviceNumber(1), &second);
        registry.remove(DeviceNumber(1), &first, true);
        assert_eq!(all(&registry), (vec![1], vec![]));
        registry.remove(DeviceNumber(1), &second, true);
        assert_eq!(all(&registry), (vec![], vec![1]));
    }

    #[test]
    fn half_a_change_is_never_seen() {
        let own = own(1);
        let present = TwinReader(Arc::clone(&own.0));
        assert!(present.read().is_some());
        let died = std::thread::scope(|scope| {
            let dying = scope.spawn(|| {
                let _twin = own.write();
                std::panic::resume_unwind(Box::new("its actor dies"));
            });
            dying.join()
        });
        assert!(died.is_err());
        assert!(present.read().is_none());
        assert_eq!(own.read().number, DeviceNumber(1)); // it is removed all the same
    }
}
