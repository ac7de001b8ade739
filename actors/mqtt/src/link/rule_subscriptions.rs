//! The subscriptions for rules: each filter has an identifier of its own, which the broker sends with every message.
//!
//! Filters may overlap, those of rules and those of the dialects, and a broker may then deliver a message once or once
//! for each. By the identifiers every copy is recognised, and a message counts once for the twins and once for the
//! rules either way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rumqttc::v5::AsyncClient;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{Filter, Publish, RetainForwardRule, SubscribeProperties};
use tokio::sync::Notify;
use tracing::warn;

use crate::rule_topics::RuleTopics;

/// The number of the dialects' subscriptions.
pub(super) const DIALECTS_ID: usize = 1;
/// The number of the first filter of rules.
const FIRST_RULE_ID: usize = 2;

/// The receivers of a copy of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Receivers {
    pub twins: bool,
    pub rules: bool,
}

/// The properties of a subscription with this identifier, or without one.
pub(super) fn properties_with_id(id: Option<usize>) -> SubscribeProperties {
    SubscribeProperties { id, user_properties: Vec::new() }
}

/// The receivers of this copy. A copy without identifiers is for both.
pub(super) fn receivers(publish: &Publish, topic: &str, rule_topics: &RuleTopics) -> Receivers {
    let ids = publish.properties.as_ref().map_or(&[][..], |properties| &properties.subscription_identifiers);
    if ids.is_empty() {
        return Receivers { twins: true, rules: true };
    }
    let first = rule_topics.first(topic).map(|place| place + FIRST_RULE_ID);
    Receivers {
        // A topic that a dialect knows comes by the dialects' subscriptions always, whatever else it comes by.
        twins: ids.contains(&DIALECTS_ID),
        rules: first.is_some_and(|first| ids.contains(&first)),
    }
}

/// Subscribes to the filters of rules, with `numbers` where the broker knows identifiers, whenever `connected` signals
/// a new connection and whenever the filters change.
pub(super) async fn keep_subscribed(
    client: AsyncClient,
    rule_topics: Arc<RuleTopics>,
    connected: Arc<Notify>,
    numbers: Arc<AtomicBool>,
) {
    let mut changes = rule_topics.changes();
    let mut asked_for: Vec<String> = Vec::new();
    loop {
        tokio::select! {
            () = connected.notified() => asked_for.clear(), // what a broker keeps of it does not count
            changed = changes.changed() => if changed.is_err() { return },
        }
        let (filters, numbers) = (rule_topics.filters(), numbers.load(Ordering::Relaxed));
        for gone in asked_for.iter().filter(|asked| !filters.contains(asked)) {
            if client.unsubscribe(gone.clone()).await.is_err() {
                return; // the link is closed
            }
        }
        for (place, path) in filters.iter().enumerate() {
            if asked_for.get(place) == Some(path) {
                continue; // under the same number
            }
            let filter = Filter {
                path: path.clone(),
                qos: QoS::AtLeastOnce,
                retain_forward_rule: RetainForwardRule::Never, // what is kept fires nothing
                ..Filter::default()
            };
            let subscribed = client
                .subscribe_many_with_properties(
                    [filter],
                    properties_with_id(numbers.then_some(place + FIRST_RULE_ID)),
                )
                .await;
            if subscribed.is_err() {
                return warn!(%path, "the link is closed, no rule listens any more");
            }
        }
        asked_for = filters.to_vec();
    }
}
