//! The device templates as they are now. One actor changes them ([`Templates`](crate::fleet::templates::Templates));
//! everybody reads them without asking it.

use std::sync::{Arc, PoisonError, RwLock};

use twinhub_rules::Catalog;

/// The present templates, readable at once from any thread.
#[derive(Debug, Default)]
pub struct CatalogNow(RwLock<Arc<Catalog>>);

impl CatalogNow {
    /// The templates there are.
    #[must_use]
    pub fn now(&self) -> Arc<Catalog> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts `catalog` in place of the templates there were.
    pub fn set(&self, catalog: Catalog) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
    }
}
