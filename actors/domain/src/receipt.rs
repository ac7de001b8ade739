//! The receipt: an input carries it from its door to the commit, and its settlement releases the PUBACK, answers the
//! REST caller or resolves a test's wait. It is settled once. One that is dropped unsettled, because an actor died with
//! it, settles itself as [`NotAccepted::Lost`]: nothing is ever left waiting.

use crate::twin::Rejected;
use crate::{Command, Refusal, Twin};

/// The outcome of an input.
pub type InputOutcome = Result<Accepted, NotAccepted>;

/// The input is durable.
#[derive(Debug, Default)]
pub struct Accepted {
    /// The place of its last event in the sequence; none where nothing happened.
    pub seq: Option<u64>,
    /// The twin's version after it.
    pub version: u64,
    /// The input is a repeat of an earlier one.
    pub repeated: bool,
    /// The twin after it, where the sender asked for it.
    pub twin: Option<Box<Twin>>,
    /// The commands that it changed, as they are after it.
    pub commands: Vec<Command>,
    /// Readings of it that were not taken in, while others were.
    pub rejected: Vec<Rejected>,
}

/// The input changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum NotAccepted {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The actor that held it died. It may be sent again.
    #[error("the input was lost on its way")]
    Lost,
}

/// Settles an input, once.
pub struct Receipt(Option<Box<dyn Settlement>>);

/// The moments at which a device's message passed the stations of its way, in µs by a clock that only counts. Zero: it
/// did not pass there, or nobody looked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passage {
    /// It was decoded, and went to its twin.
    pub came: u64,
    /// The twin took it up.
    pub taken_up: u64,
    /// Its outcome reached the journal.
    pub handed_over: u64,
}

/// The contents of a receipt, in one box, so that it is as small as a pointer with a table.
trait Settlement: Send {
    fn passage(&mut self) -> &mut Passage;

    fn settle(self: Box<Self>, settled: InputOutcome);
}

struct SealedReceipt<F> {
    passage: Passage,
    settle: F,
}

impl<F: FnOnce(InputOutcome) + Send> Settlement for SealedReceipt<F> {
    fn passage(&mut self) -> &mut Passage {
        &mut self.passage
    }

    fn settle(self: Box<Self>, settled: InputOutcome) {
        (self.settle)(settled);
    }
}

impl Receipt {
    /// A receipt that calls `settle`, once, on whatever thread it is settled.
    pub fn new(settle: impl FnOnce(InputOutcome) + Send + 'static) -> Self {
        Self(Some(Box::new(SealedReceipt { passage: Passage::default(), settle })))
    }

    /// A receipt that is ignored.
    #[must_use]
    pub fn ignored() -> Self {
        Self(None)
    }

    /// The moments at which the input passed so far, to note further ones; none of a receipt that is ignored.
    pub fn passage(&mut self) -> Option<&mut Passage> {
        self.0.as_mut().map(|sealed| sealed.passage())
    }

    /// Settles the input.
    pub fn settle(mut self, settled: InputOutcome) {
        if let Some(sealed) = self.0.take() {
            sealed.settle(settled);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(sealed) = self.0.take() {
            sealed.settle(Err(NotAccepted::Lost));
        }
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receipt")
    }
}
