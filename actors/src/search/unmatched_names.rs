//! Names in a question that no device has: searched while the twins are read, and reported with the answer.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::messages::search::{FindDevices, SearchWarning};
use crate::twin_registry::{TwinReader, TwinRegistry};
use twinhub_domain::{Timestamp, Twin};
use twinhub_rules::expression::Mention;
use twinhub_rules::{SortField, TwinFilter};

/// The number of twins that are asked for similar names.
const ASKED: usize = 2_000;
/// The most warnings of one question.
const MOST: usize = 5;

/// The names of a question, and which of them some device has.
#[derive(Debug, Default)]
pub struct UnmatchedNames {
    names: Vec<(&'static str, Mention, AtomicBool)>,
    /// A device has been read. Without any device no warning is possible.
    looked: AtomicBool,
}

impl UnmatchedNames {
    pub fn of(find: &FindDevices) -> Self {
        let filter = find.filter.iter().flat_map(TwinFilter::mentions).map(|name| ("filter", name));
        let sort = find.sort.iter().flat_map(SortField::mentions).map(|name| ("sort", name.clone()));
        let names = filter.chain(sort).map(|(field, name)| (field, name, AtomicBool::new(false)));
        Self { names: names.collect(), looked: AtomicBool::new(false) }
    }

    /// Notes which names this twin has. A name that one has is matched, and costs nothing more.
    pub fn note(&self, twin: &Twin, now: Timestamp) {
        if self.names.is_empty() || twin.is_new() {
            return;
        }
        if !self.looked.load(Ordering::Relaxed) {
            self.looked.store(true, Ordering::Relaxed);
        }
        for (_, name, heard) in &self.names {
            if !heard.load(Ordering::Relaxed) && name.is_had_by(twin, now) {
                heard.store(true, Ordering::Relaxed);
            }
        }
    }

    /// The warnings about names that no device has, as far as the asker reaches.
    pub fn warnings(
        &self,
        registry: &TwinRegistry,
        is_reached: impl Fn(&Twin) -> bool,
    ) -> Vec<SearchWarning> {
        if !self.looked.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let unmatched = self.names.iter().filter(|(_, _, heard)| !heard.load(Ordering::Relaxed));
        let warning = |(field, name, _): &(&'static str, Mention, AtomicBool)| SearchWarning {
            code: if name.may_be_text() { "quotes_missing" } else { "unknown_name" },
            field,
            detail: name.unheard(&near(name, registry, &is_reached)),
        };
        unmatched.take(MOST).map(warning).collect()
    }
}

/// Names that some devices within reach have where this one was looked for.
fn near(name: &Mention, registry: &TwinRegistry, is_reached: &impl Fn(&Twin) -> bool) -> BTreeSet<Box<str>> {
    let (mut names, mut asked) = (BTreeSet::new(), 0);
    for range in registry.ranges() {
        for (_, present) in registry.range(range).present {
            if let Some(twin) = TwinReader::read(&present)
                && is_reached(&twin)
            {
                name.collect(&twin, &mut names);
            }
            asked += 1;
            if asked >= ASKED {
                return names;
            }
        }
    }
    names
}
