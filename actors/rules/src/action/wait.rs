//! `wait`: goes on as soon as a condition holds.

use super::{Behaviour, Reference};
use crate::file::action::Setting;
use crate::file::check::{Checker, Map};
use crate::file::condition::together;
use crate::file::fingerprint::FingerprintWriter;
use crate::file::shape::{ACTION_ON_ERROR, KeyShape, MapShape, ValueKind, may, must};
use crate::model::Condition;

/// Goes on as soon as a condition holds.
#[derive(Clone, Debug)]
pub struct WaitAction {
    pub until: Condition,
    /// After so many ms the run ends, or goes on where `on_error` says `continue`.
    pub timeout: Option<i64>,
}

const TIMEOUT: KeyShape = may(
    "timeout",
    ValueKind::Offset,
    "After this time the run ends, or goes on where `on_error` says continue. 0s: unless it holds already.",
);

/// The long form of what stands at `wait`.
pub(crate) static UNTIL: MapShape = MapShape {
    name: "until",
    what: "a wait",
    fields: &[must("until", ValueKind::Conditions, "Go on as soon as this holds."), TIMEOUT],
};

impl WaitAction {
    pub(super) const SHAPE: &MapShape = &MapShape {
        name: "wait_action",
        what: "a wait action",
        fields: &[must("wait", ValueKind::Wait, "Go on as soon as this holds."), TIMEOUT, ACTION_ON_ERROR],
    };

    pub(super) fn read(c: &mut Checker, map: &Map<'_>, setting: Setting) -> Option<Self> {
        let node = map.get("wait")?;
        let timeout = c.duration(map, "timeout");
        let is_long =
            node.as_map().is_some_and(|entries| entries.iter().any(|(key, _)| &*key.text == "until"));
        if is_long {
            let inner = c.map(node, &UNTIL)?;
            let until = together(c, &inner, "until", setting.zone);
            let inner_timeout = c.duration(&inner, "timeout");
            if let (Some(node), Some(_)) = (inner.get("timeout"), map.get("timeout")) {
                c.flaw(node, "`timeout` is said twice: within `wait` and beside it");
            }
            return until.map(|until| Self { until, timeout: inner_timeout.or(timeout) });
        }
        together(c, map, "wait", setting.zone).map(|until| Self { until, timeout })
    }
}

impl Behaviour for WaitAction {
    fn fingerprint(&self, print: &mut FingerprintWriter) {
        let Self { until, timeout } = self;
        print.text("wait");
        print.condition(until);
        print.debug(timeout);
    }

    fn references<'a>(&'a self, seen: &mut dyn FnMut(Reference<'a>)) {
        seen(Reference::Condition(&self.until));
    }

    fn longest_ms(&self) -> i64 {
        self.timeout.unwrap_or(0)
    }
}
