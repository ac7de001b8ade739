//! `choose`: does the actions of the first branch that holds.

use super::{Action, Behaviour, Reference, longest_ms};
use crate::file::action::{MOST, Setting, actions, needed};
use crate::file::check::{Checker, Map, items};
use crate::file::condition::together;
use crate::file::fingerprint::FingerprintWriter;
use crate::file::shape::{ACTION_ON_ERROR, MapShape, ValueKind, may, must};
use crate::model::Condition;

/// Does the actions of the first branch that holds.
#[derive(Clone, Debug)]
pub struct ChooseAction {
    pub branches: Vec<(Condition, Vec<Action>)>,
    pub otherwise: Vec<Action>,
}

/// One of the branches.
pub(crate) static BRANCH: MapShape = MapShape {
    name: "branch",
    what: "a branch",
    fields: &[
        must("when", ValueKind::Conditions, "All must hold."),
        must("do", ValueKind::Actions, "What is done then."),
    ],
};

impl ChooseAction {
    pub(super) const SHAPE: &MapShape = &MapShape {
        name: "choose_action",
        what: "a choose action",
        fields: &[
            must("choose", ValueKind::Branches, "The first of these that holds."),
            may("else", ValueKind::Actions, "Where none does."),
            ACTION_ON_ERROR,
        ],
    };

    pub(super) fn read(c: &mut Checker, map: &Map<'_>, setting: Setting) -> Option<Self> {
        let node = map.get("choose")?;
        let items = items(node);
        if items.is_empty() {
            c.expected(node, "a list of branches, each with `when` and `do`");
        }
        if let Some(beyond) = items.get(MOST) {
            c.flaw(beyond, format!("{MOST} branches at most stand in one list"));
            return None;
        }
        let mut branches: Vec<(Condition, Vec<Action>)> = Vec::new();
        for item in items {
            let Some(branch) = c.map(item, &BRANCH) else { continue };
            let when = together(c, &branch, "when", setting.zone);
            let done = needed(c, &branch, "do", setting);
            branches.extend(when.map(|when| (when, done)));
        }
        let otherwise = map.get("else").map(|node| actions(c, node, setting)).unwrap_or_default();
        Some(Self { branches, otherwise })
    }
}

impl Behaviour for ChooseAction {
    fn fingerprint(&self, print: &mut FingerprintWriter) {
        let Self { branches, otherwise } = self;
        print.text("choose");
        print.each(branches, |print, (when, actions)| {
            print.condition(when);
            print.each(actions, FingerprintWriter::action);
        });
        print.each(otherwise, FingerprintWriter::action);
    }

    fn references<'a>(&'a self, seen: &mut dyn FnMut(Reference<'a>)) {
        for (when, actions) in &self.branches {
            seen(Reference::Condition(when));
            seen(Reference::Actions(actions));
        }
        seen(Reference::Actions(&self.otherwise));
    }

    fn longest_ms(&self) -> i64 {
        let branches = self.branches.iter().map(|(_, actions)| longest_ms(actions));
        branches.chain([longest_ms(&self.otherwise)]).max().unwrap_or(0)
    }
}
