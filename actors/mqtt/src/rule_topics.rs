//! The topics that rules listen to, beside those of devices: set by automation, asked by the ingress and the links.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::watch;

use twinhub_domain::topic::matches;

/// The topic filters of rules, shared by the links and the automation.
#[derive(Debug)]
pub struct RuleTopics {
    filters: RwLock<Arc<[String]>>,
    changed: watch::Sender<u64>,
}

impl Default for RuleTopics {
    fn default() -> Self {
        Self { filters: RwLock::new(Arc::from([])), changed: watch::Sender::new(0) }
    }
}

impl RuleTopics {
    /// Rules listen to these filters and to no others.
    pub fn set(&self, mut filters: Vec<String>) {
        filters.sort_unstable();
        filters.dedup();
        // `a/#` matches what `a/b` matches, too: no message is asked for twice where that can be seen.
        let all = filters.clone();
        filters.retain(|filter| !all.iter().any(|other| other != filter && matches(other, filter)));
        let mut present = self.filters.write().unwrap_or_else(PoisonError::into_inner);
        if **present != *filters {
            *present = filters.into();
            self.changed.send_modify(|changes| *changes += 1);
        }
    }

    /// The filters, none of which lies within another.
    #[must_use]
    pub fn filters(&self) -> Arc<[String]> {
        Arc::clone(&self.filters.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Does a rule listen to `topic`?
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        self.first(topic).is_some()
    }

    /// The place of the first filter that `topic` matches.
    #[must_use]
    pub fn first(&self, topic: &str) -> Option<usize> {
        self.filters.read().unwrap_or_else(PoisonError::into_inner).iter().position(|f| matches(f, topic))
    }

    /// Signals changes of the filters.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hears_what_it_listens_to_and_asks_for_nothing_twice() {
        let rule_topics = RuleTopics::default();
        assert!(!rule_topics.matches("a/b"));
        let mut changes = rule_topics.changes();
        rule_topics.set(["a/b", "a/#", "x/+/z", "x/y/z", "a/#"].map(String::from).to_vec());
        assert!(changes.has_changed().unwrap());
        assert_eq!(*rule_topics.filters(), ["a/#".to_owned(), "x/+/z".to_owned()]);
        assert!(rule_topics.matches("a") && rule_topics.matches("a/b/c") && rule_topics.matches("x/y/z"));
        assert!(!rule_topics.matches("x/y"));
        changes.mark_unchanged();
        rule_topics.set(["x/+/z", "a/#"].map(String::from).to_vec());
        assert!(!changes.has_changed().unwrap(), "the same again");
    }
}
