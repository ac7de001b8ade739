//! Cursors: places in the one sequence of events, as programs get them and hand them back by `since` and `before`.
//!
//! A cursor is text of characters that need no escape in an address, base64url of a byte that says its form and of what
//! that form has:
//!
//! | first byte | then | of whom |
//! |---|---|---|
//! | 1 | the place, as a variable-length integer (LEB128): 2 to 11 bytes in all, 3 to 15 characters | callers who see all devices |
//! | 2 | the place, 8 bytes, sealed with the hub's own key: 49 bytes in all, 66 characters | callers with a scope |
//!
//! Numbers of the sequence tell how much happens in all. So whoever sees some devices alone gets no number: their cursors
//! are sealed, and two of one place look different. Nor may they ask by number, or they could find out by asking where
//! their own events stand; but for 0, the beginning. A form for the places of several hubs will be another first byte.

use std::borrow::Cow;
use std::str::FromStr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use twinhub_domain::run::RunEntry;
use twinhub_domain::{Event, EventBody, Recorded};
use twinhub_store::seal::Seal;

use super::extract::fields::FieldError;
use super::extract::params::bad;

const OPEN: u8 = 1;
const SEALED: u8 = 2;
/// The purpose for which the hub's key seals them.
const PURPOSE: &str = "twinhub cursor v1";
/// Characters of a cursor at most.
const LONGEST: usize = 1_024;
/// No event will ever stand there: a place that belongs to another past.
const BEYOND: u64 = u64::MAX;

/// A cursor that was handed back, as text or, as earlier versions gave it, as a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GivenCursor {
    /// `17`
    Number(u64),
    Open(u64),
    Sealed(Box<[u8]>),
}

/// The text is no cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a cursor, as an event, an answer or a `Link` has it")]
pub struct NoCursor;

/// The reason why a caller's cursor leads nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LostCursor {
    #[error("of another hub, or of a key that this one has forgotten: begin without it")]
    Foreign,
    #[error(
        "a number is a place of the whole hub, and you see a part of it: hand back a `cursor`, or 0 for the beginning"
    )]
    OfWholeHub,
}

/// The cursors of one caller.
#[derive(Clone, Debug)]
pub struct CallerCursors {
    seal: Arc<Seal>,
    is_confined: bool,
}

impl FromStr for GivenCursor {
    type Err = NoCursor;

    fn from_str(text: &str) -> Result<Self, NoCursor> {
        if text.len() > LONGEST {
            return Err(NoCursor);
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Self::Number).map_err(|_| NoCursor);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NoCursor)?;
        match bytes.split_first() {
            Some((&OPEN, place)) => integer(place).map(Self::Open).ok_or(NoCursor),
            Some((&SEALED, sealed)) if !sealed.is_empty() => Ok(Self::Sealed(sealed.into())),
            _ => Err(NoCursor),
        }
    }
}

impl CallerCursors {
    /// The cursors of a caller who sees a part of the devices alone, or all.
    #[must_use]
    pub fn new(seal: Arc<Seal>, is_confined: bool) -> Self {
        Self { seal, is_confined }
    }

    /// The place as a number, for who may see it.
    #[must_use]
    pub fn seq(&self, seq: u64) -> Option<u64> {
        (!self.is_confined).then_some(seq)
    }

    /// The cursor of a place.
    #[must_use]
    pub fn cursor(&self, seq: u64) -> String {
        if self.is_confined {
            // Without random numbers there is no other secret either; an empty cursor is refused when it comes back.
            let sealed = self.seal.seal_bytes(PURPOSE, &seq.to_be_bytes());
            return sealed.map(|sealed| text(SEALED, &sealed)).unwrap_or_default();
        }
        let (mut bytes, mut rest) = (Vec::with_capacity(10), seq);
        loop {
            let more = if rest > 0x7f { 0x80 } else { 0 };
            bytes.push((rest & 0x7f) as u8 | more);
            rest >>= 7;
            if rest == 0 {
                return text(OPEN, &bytes);
            }
        }
    }

    /// An event's members for this caller: with the places in it, or without.
    #[must_use]
    pub fn members<'a>(&self, event: &'a Recorded) -> Cow<'a, str> {
        if !self.is_confined {
            return event.json_members().into();
        }
        match &event.event.body {
            EventBody::Rule(entry) => {
                let body = EventBody::Rule(Box::new(self.run(entry).into_owned()));
                let event = Recorded::new(event.seq, Event { body, ..event.event.clone() });
                event.json_members_without_seq().to_owned().into()
            }
            _ => event.json_members_without_seq().into(),
        }
    }

    /// A run for this caller: with the places of the events that set it off and that it brought about, or without.
    #[must_use]
    pub fn run<'a>(&self, entry: &'a RunEntry) -> Cow<'a, RunEntry> {
        if !self.is_confined {
            return Cow::Borrowed(entry);
        }
        let mut entry = entry.clone();
        entry.trigger.seq = None;
        entry.actions.iter_mut().for_each(|action| action.seq = None);
        Cow::Owned(entry)
    }

    /// Writes events as an array.
    pub fn write_events(&self, out: &mut String, events: &[Arc<Recorded>]) {
        for (index, event) in events.iter().enumerate() {
            out.push_str(if index == 0 { "[{" } else { ",{" });
            out.push_str(&self.members(event));
            out.push('}');
        }
        out.push_str(if events.is_empty() { "[]" } else { "]" });
    }

    /// The place of a cursor.
    ///
    /// # Errors
    /// It does not open, or this caller may not have it.
    pub fn place(&self, given: &GivenCursor) -> Result<u64, LostCursor> {
        match given {
            GivenCursor::Number(0) | GivenCursor::Open(0) => Ok(0),
            GivenCursor::Number(_) | GivenCursor::Open(_) if self.is_confined => Err(LostCursor::OfWholeHub),
            GivenCursor::Number(place) | GivenCursor::Open(place) => Ok(*place),
            GivenCursor::Sealed(sealed) => {
                let opened = self.seal.open_bytes(PURPOSE, sealed).and_then(|place| place.try_into().ok());
                opened.map(u64::from_be_bytes).ok_or(LostCursor::Foreign)
            }
        }
    }

    /// The place of a cursor in a query.
    ///
    /// # Errors
    /// It does not open, or this caller may not have it.
    pub fn place_of(&self, name: &str, given: Option<&GivenCursor>) -> Result<Option<u64>, FieldError> {
        given.map(|given| self.place(given)).transpose().map_err(|lost| bad(name, lost.to_string()))
    }

    /// The end of a page of another `list` that has numbers of its own, as this caller gets it: as it is, or sealed.
    #[must_use]
    pub fn page_end(&self, list: &str, end: String) -> String {
        if !self.is_confined {
            return end;
        }
        let sealed = self.seal.seal_bytes(list, end.as_bytes());
        sealed.map(|sealed| text(SEALED, &sealed)).unwrap_or_default()
    }

    /// The end of a page that was handed back; none where this caller has not got it so.
    #[must_use]
    pub fn given_end(&self, list: &str, given: &str) -> Option<String> {
        match given.parse() {
            Ok(GivenCursor::Sealed(sealed)) => String::from_utf8(self.seal.open_bytes(list, &sealed)?).ok(),
            _ => (!self.is_confined).then(|| given.to_owned()),
        }
    }

    /// The place where a subscriber resumes. A cursor that leads nowhere is one of another past: the subscriber is told
    /// to begin anew, by `resync`, and is not refused, as a browser that resumes by itself would try that for ever.
    #[must_use]
    pub fn resume(&self, given: Option<&GivenCursor>) -> Option<u64> {
        given.map(|given| self.place(given).unwrap_or(BEYOND))
    }
}

fn text(form: u8, bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode([&[form], bytes].concat())
}

/// An integer of LEB128, in as few bytes as it takes.
fn integer(bytes: &[u8]) -> Option<u64> {
    let (last, before) = bytes.split_last()?;
    if *last >= 0x80 || bytes.len() > 1 && *last == 0 {
        return None;
    }
    before.iter().all(|byte| *byte >= 0x80).then_some(())?;
    bytes.iter().rev().try_fold(0_u64, |sum, byte| {
        let shifted = sum.checked_mul(0x80)?;
        Some(shifted | u64::from(byte & 0x7f))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cursors(key: u8, is_confined: bool) -> CallerCursors {
        CallerCursors::new(Arc::new(Seal::new(&[key; 32])), is_confined)
    }

    proptest! {
        #[test]
        fn each_leads_back_to_its_place(seq: u64, is_confined: bool) {
            let ours = cursors(1, is_confined);
            let text = ours.cursor(seq);
            prop_assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{}", text);
            prop_assert!(text.starts_with('A'), "it is no number: {}", text);
            prop_assert_eq!(text.len() == 66, is_confined);
            let given: GivenCursor = text.parse().unwrap();
            prop_assert_eq!(ours.place(&given), Ok(seq));
            prop_assert_eq!(cursors(1, false).place(&given), Ok(seq), "who sees all may have it");
        }

        #[test]
        fn no_text_is_taken_for_another_place(text in "[A-Za-z0-9_-]{0,20}") {
            if let Ok(GivenCursor::Open(place)) = text.parse() {
                prop_assert_eq!(cursors(1, false).cursor(place), text);
            }
        }
    }

    #[test]
    fn ends_of_pages_are_sealed_too() {
        let (all, part) = (cursors(1, false), cursors(1, true));
        let end = || "1767268800000.17".to_owned();
        assert_eq!(all.page_end("runs", end()), end());
        let sealed = part.page_end("runs", end());
        assert!(sealed.starts_with('A'), "{sealed}");
        for (of, list, given, expected) in [
            (&all, "runs", &end(), Some(end())),
            (&all, "runs", &sealed, Some(end())),
            (&part, "runs", &sealed, Some(end())),
            (&part, "runs", &end(), None),
            (&part, "others", &sealed, None),
        ] {
            assert_eq!(of.given_end(list, given), expected, "{list} {given}");
        }
    }

    #[test]
    fn numbers_are_read_as_before() {
        let all = cursors(1, false);
        for (text, expected) in
            [("0", Some(0)), ("1234", Some(1_234)), ("", None), ("-1", None), ("1.5", None)]
        {
            let place = text.parse().ok().map(|given| all.place(&given).unwrap());
            assert_eq!(place, expected, "{text}");
        }
        for text in ["AQ", "Ag", "AYA", "AYAA", "BAA", "yesterday", "A=", &"A".repeat(2_000)] {
            assert_eq!(text.parse::<GivenCursor>(), Err(NoCursor), "{text}");
        }
    }

    #[test]
    fn whoever_sees_a_part_learns_no_number() {
        let part = cursors(1, true);
        assert_eq!(part.seq(17), None);
        assert_ne!(part.cursor(17), part.cursor(17), "two of one place look different");
        assert_eq!(part.cursor(0).len(), part.cursor(u64::MAX).len());
        let of = |text: &str| part.place(&text.parse().unwrap());
        assert_eq!(of("0"), Ok(0));
        assert_eq!(of("17"), Err(LostCursor::OfWholeHub));
        assert_eq!(of(&cursors(1, false).cursor(17)), Err(LostCursor::OfWholeHub));
        assert_eq!(of(&cursors(2, true).cursor(17)), Err(LostCursor::Foreign));
        assert_eq!(part.resume(Some(&GivenCursor::Number(17))), Some(BEYOND));
        assert_eq!(part.resume(None), None);
        let refused = part.place_of("since", Some(&GivenCursor::Number(17))).unwrap_err();
        assert_eq!(refused.field, "since");
        assert!(refused.detail.contains("hand back a `cursor`"), "{}", refused.detail);
    }
}
