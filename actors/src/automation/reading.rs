//! The knowledge that the engine needs before it goes on, read from the store however often that takes.

use std::sync::Arc;

use tracing::warn;

use crate::backoff::until_answered;
use twinhub_domain::fleet::{Group, GroupTree, RecordKind};
use twinhub_domain::{Recorded, Twin};
use twinhub_rules::engine::MissingTwins;
use twinhub_rules::{Placed, Selector};
use twinhub_store::{DeviceQuery, DeviceSort, Store};

/// Twins read at once.
const PAGE: u64 = 1_000;
/// Events read at once.
const EVENTS: usize = 5_000;

/// Twins for the engine.
#[derive(Default)]
pub struct EngineTwins {
    pub twins: Vec<Twin>,
}

/// The tree of groups, as of the last commit.
pub async fn groups(store: &dyn Store) -> GroupTree {
    let records = until_answered("the groups", || store.records(RecordKind::Group)).await;
    GroupTree::new(records.iter().filter_map(|record| Group::from_object(record.body.as_ref()?)))
}

/// The twins that `wanted` names or matches, as of the last commit.
pub async fn twins(store: &dyn Store, wanted: MissingTwins, tree: &GroupTree) -> EngineTwins {
    let MissingTwins { devices, selectors } = wanted;
    let mut known = EngineTwins::default();
    for ids in devices.chunks(usize::try_from(PAGE).unwrap_or(usize::MAX)) {
        known.twins.extend(until_answered("the twins of rules", || store.load(ids)).await);
    }
    for selector in narrowest(selectors) {
        let mut offset = 0;
        loop {
            let query =
                DeviceQuery { offset, limit: PAGE, sort: DeviceSort::Number, ..query_of(&selector, tree) };
            let page = until_answered("the devices of rules", || store.devices(&query)).await;
            let count = page.twins.len() as u64;
            known.twins.extend(page.twins.into_iter().filter(|twin| selector.means(&Placed { twin, tree })));
            offset += count;
            if count < PAGE {
                break;
            }
        }
    }
    known
}

/// Where one looks at every device, the others need not be asked.
fn narrowest(selectors: Vec<Selector>) -> Vec<Selector> {
    match selectors.iter().position(|selector| matches!(selector, Selector::Glob(glob) if &*glob.text == "*"))
    {
        Some(all) => selectors.into_iter().nth(all).into_iter().collect(),
        None => selectors,
    }
}

/// The query that brings every device that `selector` matches, and perhaps more.
pub fn query_of(selector: &Selector, tree: &GroupTree) -> DeviceQuery {
    match selector {
        Selector::Where { group, device_type, tags, template } => DeviceQuery {
            groups: group.iter().flat_map(|group| tree.subtree(group)).map(|id| id.to_string()).collect(),
            device_type: device_type.as_deref().map(str::to_owned),
            tags: tags.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            template: template.as_deref().map(str::to_owned),
            ..DeviceQuery::default()
        },
        Selector::Device(_) | Selector::Glob(_) | Selector::Trigger => DeviceQuery::default(),
    }
}

/// Events with `after < seq <= up_to`. What was pruned is not there, and said.
pub async fn events(store: &dyn Store, mut after: u64, up_to: u64) -> Vec<Arc<Recorded>> {
    let mut past = Vec::new();
    while after < up_to {
        let replayed =
            until_answered("the events that rules missed", || store.replay(after, up_to, EVENTS)).await;
        if replayed.pruned {
            warn!(after, "retention has deleted events that rules had not seen");
        }
        match replayed.events.last() {
            Some(last) => after = last.seq,
            None => break,
        }
        past.extend(replayed.events);
    }
    past
}
