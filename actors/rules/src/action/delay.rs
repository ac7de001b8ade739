//! `delay`: goes on after a time.

use super::Behaviour;
use crate::file::action::Setting;
use crate::file::check::{Checker, Map};
use crate::file::fingerprint::FingerprintWriter;
use crate::file::shape::{ACTION_ON_ERROR, MapShape, ValueKind, must};

/// Goes on after a time.
#[derive(Clone, Debug)]
pub struct DelayAction {
    pub ms: i64,
}

impl DelayAction {
    pub(super) const SHAPE: &MapShape = &MapShape {
        name: "delay_action",
        what: "a delay action",
        fields: &[
            must("delay", ValueKind::Offset, "Go on after this time. It survives restarts. 0s: at once."),
            ACTION_ON_ERROR,
        ],
    };

    pub(super) fn read(c: &mut Checker, map: &Map<'_>, _: Setting) -> Option<Self> {
        c.duration(map, "delay").map(|ms| Self { ms })
    }
}

impl Behaviour for DelayAction {
    fn fingerprint(&self, print: &mut FingerprintWriter) {
        let Self { ms } = self;
        print.text("delay");
        print.debug(ms);
    }

    fn longest_ms(&self) -> i64 {
        self.ms
    }
}
