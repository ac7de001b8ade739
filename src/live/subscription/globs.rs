//! Compiled patterns of device ids. Equal sets of patterns are compiled and held once.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// A set of patterns.
#[derive(Debug)]
pub(super) struct Globs {
    patterns: Patterns,
    set: GlobSet,
}

/// In order, and none twice.
type Patterns = Arc<[Box<str>]>;

/// The sets that are in use.
static IN_USE: LazyLock<Mutex<HashMap<Patterns, Weak<Globs>>>> = LazyLock::new(Mutex::default);

impl Globs {
    /// The set of these patterns: the one that is in use, where there is one.
    ///
    /// # Errors
    /// A pattern that is none.
    pub fn of(mut patterns: Vec<Box<str>>) -> Result<Arc<Self>, globset::Error> {
        patterns.sort_unstable();
        patterns.dedup();
        let patterns: Patterns = patterns.into();
        let known = in_use().get(&patterns).and_then(Weak::upgrade);
        if let Some(known) = known {
            return Ok(known);
        }
        // Compiled without the lock, as it takes time. Should two compile the same set at once, the later one stays.
        let mut set = GlobSetBuilder::new();
        for pattern in patterns.iter() {
            set.add(GlobBuilder::new(pattern).build()?);
        }
        let globs = Arc::new(Self { patterns: Arc::clone(&patterns), set: set.build()? });
        in_use().insert(patterns, Arc::downgrade(&globs));
        Ok(globs)
    }

    /// The number of patterns.
    pub fn len(&self) -> usize {
        self.patterns.len()
    }

    /// Does one of them fit?
    pub fn fit(&self, id: &str) -> bool {
        self.set.is_match(id)
    }
}

impl Drop for Globs {
    fn drop(&mut self) {
        let mut in_use = in_use();
        if in_use.get(&self.patterns).is_some_and(|globs| globs.strong_count() == 0) {
            in_use.remove(&self.patterns);
        }
    }
}

fn in_use() -> MutexGuard<'static, HashMap<Patterns, Weak<Globs>>> {
    IN_USE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(patterns: &[&str]) -> Arc<Globs> {
        Globs::of(patterns.iter().map(|&pattern| pattern.into()).collect()).unwrap()
    }

    #[test]
    fn equal_sets_are_one_as_long_as_they_are_in_use() {
        let (first, second) = (of(&["shared-*", "shared-?x"]), of(&["shared-?x", "shared-*", "shared-*"]));
        assert!(Arc::ptr_eq(&first, &second));
        assert_eq!(first.len(), 2);
        assert!(!Arc::ptr_eq(&first, &of(&["shared-*"])));
        let patterns = Arc::clone(&first.patterns);
        drop(first);
        assert!(in_use().contains_key(&patterns), "the other has it still");
        drop(second);
        assert!(!in_use().contains_key(&patterns));
    }
}
