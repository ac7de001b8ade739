//! The layers of templates that are in memory, each once. An event names its layer by the hash of what it says, so the
//! event is found to mean the same after the template has changed, was removed, or was made anew under its id.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use sha2::{Digest, Sha256};
use twinhub_domain::Json;
use twinhub_domain::fleet::Layer;

/// The layers in memory by their hashes. There are as many as templates had different ones, not as many as devices.
#[derive(Debug, Default)]
pub struct LayerCache(RwLock<HashMap<Box<str>, CachedLayer>>);

#[derive(Debug)]
struct CachedLayer {
    layer: Arc<Layer>,
    /// It has a row of its own, by which events can name it.
    is_kept: bool,
}

/// The name of a layer: SHA-256 of its text, 64 hexadecimal digits.
#[must_use]
pub fn key(layer: &Layer) -> Box<str> {
    let text = Json::Object(layer.to_object()).to_string();
    let digits = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    digits.into()
}

impl LayerCache {
    /// The layer of this name.
    #[must_use]
    pub fn find(&self, key: &str) -> Option<Arc<Layer>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).map(|known| Arc::clone(&known.layer))
    }

    /// The one in memory that says the same.
    #[must_use]
    pub fn share(&self, layer: Arc<Layer>) -> Arc<Layer> {
        let key = key(&layer);
        if let Some(known) = self.find(&key) {
            return known;
        }
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&all.entry(key).or_insert(CachedLayer { layer, is_kept: false }).layer)
    }

    /// Has this one a row of its own?
    #[must_use]
    pub fn is_stored(&self, key: &str) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(key).is_some_and(|known| known.is_kept)
    }

    /// This one has a row of its own now.
    pub fn mark_stored(&self, key: Box<str>, layer: Arc<Layer>) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(key).or_insert(CachedLayer { layer, is_kept: true }).is_kept = true;
    }
}
