//! The receipt: what an input carries from its door to the commit, and what releases the PUBACK, answers
//! the REST caller or resolves a test's wait. It is settled once. One that is dropped unsettled, because
//! an actor died with it, settles itself as [`NotTaken::Lost`]: nothing is ever left waiting.

use std::sync::{Arc, Mutex, PoisonError};

use crate::twin::Rejected;
use crate::{Command, Refusal, Twin};

/// What became of an input.
pub type Settled = Result<Taken, NotTaken>;

/// The input is durable.
#[derive(Debug, Default)]
pub struct Taken {
    /// The place of its last event in the sequence; none where nothing happened.
    pub seq: Option<u64>,
    /// The twin's version after it.
    pub version: u64,
    /// It had been taken in before.
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
pub enum NotTaken {
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// What held it died. It may be sent again.
    #[error("the input was lost on its way")]
    Lost,
}

/// Settles an input. See the module.
pub struct Receipt(Option<Box<dyn FnOnce(Settled) + Send>>);

impl Receipt {
    /// A receipt that calls `settle`, once, on whatever thread it is settled.
    pub fn new(settle: impl FnOnce(Settled) + Send + 'static) -> Self {
        Self(Some(Box::new(settle)))
    }

    /// A receipt that nobody looks at.
    #[must_use]
    pub fn nobody() -> Self {
        Self(None)
    }

    /// The receipts of so many parts: this one is settled when all of them are. Where parts were not taken it is
    /// settled as the first of them that said so, else with the place of the last event of all.
    #[must_use]
    pub fn split(self, parts: usize) -> Vec<Self> {
        if parts == 0 {
            self.settle(Ok(Taken::default()));
            return Vec::new();
        }
        let whole = Arc::new(Mutex::new(Parts { receipt: self, left: parts, settled: Ok(Taken::default()) }));
        let part = |_| {
            let whole = Arc::clone(&whole);
            Self::new(move |settled| {
                whole.lock().unwrap_or_else(PoisonError::into_inner).take(settled);
            })
        };
        (0..parts).map(part).collect()
    }

    /// Says what became of the input.
    pub fn settle(mut self, settled: Settled) {
        if let Some(settle) = self.0.take() {
            settle(settled);
        }
    }
}

/// A receipt that waits for its parts.
struct Parts {
    receipt: Receipt,
    left: usize,
    settled: Settled,
}

impl Parts {
    fn take(&mut self, part: Settled) {
        match (&mut self.settled, part) {
            (Ok(all), Ok(part)) => all.seq = all.seq.max(part.seq),
            (settled @ Ok(_), Err(not_taken)) => *settled = Err(not_taken),
            (Err(_), _) => {}
        }
        self.left -= 1;
        if self.left == 0 {
            let receipt = std::mem::replace(&mut self.receipt, Receipt::nobody());
            receipt.settle(std::mem::replace(&mut self.settled, Err(NotTaken::Lost)));
        }
    }
}

impl Drop for Receipt {
    fn drop(&mut self) {
        if let Some(settle) = self.0.take() {
            settle(Err(NotTaken::Lost));
        }
    }
}

impl std::fmt::Debug for Receipt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Receipt")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn what_has_no_parts_is_settled_at_once() {
        let (told, settled) = mpsc::channel();
        let whole = Receipt::new(move |settled| told.send(settled.is_ok()).unwrap());
        assert!(whole.split(0).is_empty());
        assert_eq!(settled.try_recv(), Ok(true));
    }

    #[test]
    fn a_whole_is_settled_with_its_last_part() {
        let check = |parts: Vec<Settled>, expected: &str| {
            let (told, settled) = mpsc::channel();
            let whole = Receipt::new(move |settled| told.send(settled.map(|taken| taken.seq)).unwrap());
            let receipts = whole.split(parts.len());
            for (receipt, part) in receipts.into_iter().zip(parts) {
                assert!(settled.try_recv().is_err(), "not before the last");
                match part {
                    Err(NotTaken::Lost) => drop(receipt),
                    part => receipt.settle(part),
                }
            }
            assert_eq!(format!("{:?}", settled.try_recv().unwrap()), expected);
        };
        let taken = |seq| Ok(Taken { seq, ..Taken::default() });
        check(vec![taken(Some(7))], "Ok(Some(7))");
        check(vec![taken(Some(9)), taken(None), taken(Some(8))], "Ok(Some(9))");
        check(vec![taken(Some(1)), Err(NotTaken::Lost), taken(Some(2))], "Err(Lost)");
        let refused = Err(NotTaken::Refused(Refusal::Retired));
        check(vec![refused, Err(NotTaken::Lost)], "Err(Refused(Retired))");
    }
}
