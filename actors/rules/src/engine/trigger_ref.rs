//! The triggers that watch a device: one short list, sorted so that a reading finds its triggers by its name.

use super::index::RuleIndex;
use crate::model::{Path, TriggerKind};

/// A trigger of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TriggerRef {
    pub rule: u32,
    pub trigger: u16,
    /// The class of what it looks at: one of the numbers below.
    pub class: u8,
}

/// A property that the device reports.
pub(super) const REPORTED: u8 = 0;
/// Another part of its document.
pub(super) const DOCUMENT: u8 = 1;
pub(super) const PRESENCE: u8 = 2;
pub(super) const COMMAND: u8 = 3;
pub(super) const ALARM: u8 = 4;
/// Anything that happens.
pub(super) const EVENT: u8 = 5;
/// Nothing of a device's.
pub(super) const NONE: u8 = 6;

/// By class, then by property, then in the order in which rules have their turn.
pub(super) fn sort(trigger_refs: &mut [TriggerRef], index: &RuleIndex) {
    let key = |trigger_ref: &TriggerRef| {
        (trigger_ref.class, property(*trigger_ref, index), index.rank(trigger_ref.rule), trigger_ref.trigger)
    };
    trigger_refs.sort_by(|a, b| key(a).cmp(&key(b)));
}

/// The triggers of one class.
pub(super) fn of_class(trigger_refs: &[TriggerRef], class: u8) -> &[TriggerRef] {
    let from = trigger_refs.partition_point(|trigger_ref| trigger_ref.class < class);
    let to = trigger_refs.partition_point(|trigger_ref| trigger_ref.class <= class);
    &trigger_refs[from..to]
}

/// The triggers that look at the reported property `name`, or at something in it.
pub(super) fn of_property<'a>(
    trigger_refs: &'a [TriggerRef],
    name: &'a str,
    index: &'a RuleIndex,
) -> impl Iterator<Item = TriggerRef> + 'a {
    let reported = of_class(trigger_refs, REPORTED);
    let from = reported.partition_point(|trigger_ref| property(*trigger_ref, index) < name);
    let starts = reported[from..].iter().copied().take_while(move |s| property(*s, index).starts_with(name));
    starts.filter(move |trigger_ref| {
        matches!(property(*trigger_ref, index).as_bytes().get(name.len()), None | Some(b'.'))
    })
}

/// The reported property that a trigger looks at; empty for others.
pub(super) fn property(trigger_ref: TriggerRef, index: &RuleIndex) -> &str {
    match &index.trigger(trigger_ref).kind {
        TriggerKind::Numeric { property, .. }
        | TriggerKind::Changed { path: Path::Reported(property), .. } => property,
        _ => "",
    }
}
