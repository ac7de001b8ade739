//! What watches a device: one short list, sorted so that a reading finds its triggers by its name.

use super::book::Book;
use crate::model::{Path, TriggerKind};

/// A trigger of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spot {
    pub rule: u32,
    pub trigger: u16,
    /// What it looks at: one of the numbers below.
    pub class: u8,
}

/// What the device reports.
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
pub(super) fn sort(spots: &mut [Spot], book: &Book) {
    let key = |spot: &Spot| (spot.class, property(*spot, book), book.rank(spot.rule), spot.trigger);
    spots.sort_by(|a, b| key(a).cmp(&key(b)));
}

/// Those of one class.
pub(super) fn of_class(spots: &[Spot], class: u8) -> &[Spot] {
    let from = spots.partition_point(|spot| spot.class < class);
    let to = spots.partition_point(|spot| spot.class <= class);
    &spots[from..to]
}

/// Those that look at the reported property `name`, or at something in it.
pub(super) fn of_property<'a>(
    spots: &'a [Spot],
    name: &'a str,
    book: &'a Book,
) -> impl Iterator<Item = Spot> + 'a {
    let reported = of_class(spots, REPORTED);
    let from = reported.partition_point(|spot| property(*spot, book) < name);
    let starts = reported[from..].iter().copied().take_while(move |s| property(*s, book).starts_with(name));
    starts.filter(move |spot| matches!(property(*spot, book).as_bytes().get(name.len()), None | Some(b'.')))
}

/// The reported property that a trigger looks at; empty for others.
pub(super) fn property(spot: Spot, book: &Book) -> &str {
    match &book.trigger(spot).kind {
        TriggerKind::Numeric { property, .. }
        | TriggerKind::Changed { path: Path::Reported(property), .. } => property,
        _ => "",
    }
}
