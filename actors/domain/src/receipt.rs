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
pub struct Receipt(Option<Box<dyn FnOnce(InputOutcome) + Send>>);

impl Receipt {
    /// A receipt that calls `settle`, once, on whatever thread it is settled.
    pub fn new(settle: impl FnOnce(InputOutcome) + Send + 'static) -> Self {
        Self(Some(Box::new(settle)))
    }

    /// A receipt that is ignored.
    #[must_use]
    pub fn ignored() -> Self {
        Self(None)
    }

    /// Settles the input.
    pub fn settle(mut self, settled: InputOutcome) {
        if let Some(settle) = self.0.take() {
            settle(settled);
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(settle) = self.0.take() {
            settle(Err(NotAccepted::Lost));
        }
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receipt")
    }
}
