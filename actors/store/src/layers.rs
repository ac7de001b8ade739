//! The layers of templates that are in memory, each once. An event names its layer by the hash of what it says, so the
//! event is found to mean the same after the template has changed, was removed, or was made anew under its id.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak};

use sha2::{Digest, Sha256};
use twinhub_domain::Json;
use twinhub_domain::fleet::Layer;

/// Names beyond this are looked through for layers that nobody has any more.
const MANY_NAMES: usize = 1_000;

/// The layers in memory by their names. There are as many as templates had different ones, not as many as devices.
#[derive(Debug, Default)]
pub struct LayerCache {
    known: RwLock<HashMap<Box<str>, CachedLayer>>,
    /// The names of layers by where they are in memory: a hash of 64 KiB is not made again for each event. While
    /// somebody has a weak reference to it, no other layer can be in its place.
    names: RwLock<LayerNames>,
}

/// By the place in memory the layer there, and its name.
type LayerNames = HashMap<usize, (Weak<Layer>, Box<str>)>;

#[derive(Debug)]
struct CachedLayer {
    layer: Arc<Layer>,
    /// It has a row of its own, by which events can name it.
    is_stored: bool,
    /// The last event that named it since the start; 0 where none did.
    last_named: u64,
    /// The place in the sequence up to which alone events may name it that are not their device's any more.
    unused_since: Option<u64>,
}

/// The name of a layer: SHA-256 of its text, 64 hexadecimal digits.
#[must_use]
pub fn key(layer: &Layer) -> Box<str> {
    let text = Json::Object(layer.to_object()).to_string();
    let digits = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    digits.into()
}

impl LayerCache {
    /// The name of a layer, see [`key`].
    #[must_use]
    pub fn name(&self, layer: &Arc<Layer>) -> Box<str> {
        let place = Arc::as_ptr(layer).addr();
        if let Some((_, name)) = read(&self.names).get(&place).filter(|(of, _)| of.strong_count() > 0) {
            return name.clone();
        }
        let name = key(layer);
        self.note_name(layer, &name);
        name
    }

    fn note_name(&self, layer: &Arc<Layer>, name: &str) {
        let mut names = write(&self.names);
        if names.len() >= MANY_NAMES {
            names.retain(|_, (of, _)| of.strong_count() > 0);
        }
        names.insert(Arc::as_ptr(layer).addr(), (Arc::downgrade(layer), name.into()));
    }

    /// The layer of this name.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<Arc<Layer>> {
        read(&self.known).get(key).map(|known| Arc::clone(&known.layer))
    }

    /// The one in memory that says the same.
    #[must_use]
    pub fn share(&self, layer: Arc<Layer>) -> Arc<Layer> {
        let key = key(&layer);
        if let Some(known) = self.find(&key) {
            return known;
        }
        self.note_name(&layer, &key);
        let mut all = write(&self.known);
        Arc::clone(&all.entry(key).or_insert_with(|| CachedLayer::new(layer)).layer)
    }

    /// Has this one a row of its own?
    #[must_use]
    pub fn is_stored(&self, key: &str) -> bool {
        read(&self.known).get(key).is_some_and(|known| known.is_stored)
    }

    /// This one has a row of its own now; `named` is the last event that names it, 0 where that is not known.
    pub fn mark_stored(&self, key: Box<str>, layer: Arc<Layer>, named: u64) {
        self.note_name(&layer, &key);
        let mut all = write(&self.known);
        let known = all.entry(key).or_insert_with(|| CachedLayer::new(layer));
        known.is_stored = true;
        known.last_named = known.last_named.max(named);
    }

    /// All that have a row of their own.
    #[must_use]
    pub fn kept(&self) -> Vec<Box<str>> {
        let all = read(&self.known);
        all.iter().filter(|(_, known)| known.is_stored).map(|(key, _)| key.clone()).collect()
    }

    /// An event names this one.
    pub fn note_named(&self, key: &str, seq: u64) {
        if let Some(known) = write(&self.known).get_mut(key) {
            known.last_named = known.last_named.max(seq);
        }
    }

    /// Has an event after `seq` named it? False too where that was before the start.
    #[must_use]
    pub fn is_named_after(&self, key: &str, seq: u64) -> bool {
        read(&self.known).get(key).is_some_and(|known| known.last_named > seq)
    }

    /// Of those that are not used any more: the place in the sequence since which they are not.
    #[must_use]
    pub fn unused(&self) -> Vec<(Box<str>, u64)> {
        let all = read(&self.known);
        all.iter().filter_map(|(key, known)| Some((key.clone(), known.unused_since?))).collect()
    }

    /// Is this one among the unused?
    #[must_use]
    pub fn is_unused(&self, key: &str) -> bool {
        read(&self.known).get(key).is_some_and(|known| known.unused_since.is_some())
    }

    /// This one is not used any more since a place in the sequence, or is again.
    pub fn set_unused(&self, key: &str, since: Option<u64>) {
        if let Some(known) = write(&self.known).get_mut(key) {
            known.unused_since = since;
        }
    }

    /// This one has no row any more. It stays in memory, for those who have just read an event that names it.
    pub fn let_go(&self, key: &str) {
        if let Some(known) = write(&self.known).get_mut(key) {
            known.is_stored = false;
            known.unused_since = None;
        }
    }

    /// Drops those that have no row and that nobody has.
    pub fn tidy(&self) {
        write(&self.known).retain(|_, known| known.is_stored || Arc::strong_count(&known.layer) > 1);
    }
}

impl CachedLayer {
    fn new(layer: Arc<Layer>) -> Self {
        Self { layer, is_stored: false, last_named: 0, unused_since: None }
    }
}

/// No code that holds one of these locks can panic half way through a change.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(version: u64) -> Arc<Layer> {
        Arc::new(Layer { template: "pump".into(), version, ..Layer::default() })
    }

    #[test]
    fn a_name_is_made_once_for_each_layer_in_memory() {
        let (layers, one) = (LayerCache::default(), layer(1));
        let name = layers.name(&one);
        assert_eq!((&name, layers.name(&one)), (&key(&one), name.clone()));
        let place = Arc::as_ptr(&one).addr();
        write(&layers.names).get_mut(&place).unwrap().1 = "known".into();
        assert_eq!(&*layers.name(&one), "known", "no hash is made again");
        drop(one);
        // One that comes to stand in the place of another has its own name.
        let others: Vec<_> = (2..200).map(layer).collect();
        assert!(others.iter().all(|other| layers.name(other) == key(other)));
    }

    #[test]
    fn names_of_layers_that_are_gone_are_forgotten() {
        let layers = LayerCache::default();
        for version in 0..MANY_NAMES as u64 + 1 {
            let _ = layers.name(&layer(version));
        }
        assert_eq!(read(&layers.names).len(), 1);
    }

    #[test]
    fn those_without_a_row_stay_while_somebody_has_them() {
        let (layers, one) = (LayerCache::default(), layer(1));
        let shared = layers.share(Arc::clone(&one));
        layers.mark_stored(key(&layer(2)), layer(2), 0);
        drop(one);
        layers.tidy();
        assert!(layers.find(&key(&shared)).is_some());
        let name = key(&shared);
        drop(shared);
        layers.let_go(&key(&layer(2)));
        layers.tidy();
        assert!(layers.find(&name).is_none() && layers.find(&key(&layer(2))).is_none());
    }
}
