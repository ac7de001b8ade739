//! Receipts to wait for, and receipts of which each part has its own.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::oneshot;

use twinhub_domain::receipt::{Accepted, InputOutcome, Receipt};

/// A receipt, and a receiver of its settlement.
#[must_use]
pub fn channel() -> (Receipt, oneshot::Receiver<InputOutcome>) {
    let (sender, receiver) = oneshot::channel();
    let receipt = Receipt::new(move |settled| {
        let _ = sender.send(settled); // the caller may be gone
    });
    (receipt, receiver)
}

/// Receipts for `parts` parts of `whole`, which is settled when all of them are. Where parts were not accepted, `whole`
/// is settled as the first of them to report so, else with the place of the last event of all.
#[must_use]
pub fn split(whole: Receipt, parts: usize) -> Vec<Receipt> {
    if parts == 0 {
        whole.settle(Ok(Accepted::default()));
        return Vec::new();
    }
    let open = OpenReceipt { receipt: whole, left: parts, settled: Ok(Accepted::default()) };
    let open = Arc::new(Mutex::new(Some(open)));
    let part = |_| {
        let open = Arc::clone(&open);
        Receipt::new(move |settled| {
            let whole = take(&mut open.lock().unwrap_or_else(PoisonError::into_inner), settled);
            if let Some((receipt, settled)) = whole {
                receipt.settle(settled); // not under the lock: it does what it likes
            }
        })
    };
    (0..parts).map(part).collect()
}

/// A receipt that waits for its parts.
struct OpenReceipt {
    receipt: Receipt,
    left: usize,
    settled: InputOutcome,
}

/// Records the settlement of a part. After the last part, gives the whole and its settlement.
fn take(open: &mut Option<OpenReceipt>, part: InputOutcome) -> Option<(Receipt, InputOutcome)> {
    let waiting = open.as_mut()?; // there is one until the last part
    match (&mut waiting.settled, part) {
        (Ok(all), Ok(part)) => all.seq = all.seq.max(part.seq),
        (settled @ Ok(_), Err(not_taken)) => *settled = Err(not_taken),
        (Err(_), _) => {}
    }
    waiting.left -= 1;
    if waiting.left > 0 {
        return None;
    }
    open.take().map(|OpenReceipt { receipt, settled, .. }| (receipt, settled))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use twinhub_domain::Refusal;
    use twinhub_domain::receipt::NotAccepted;

    #[test]
    fn what_has_no_parts_is_settled_at_once() {
        let (sender, settled) = mpsc::channel();
        let whole = Receipt::new(move |settled| sender.send(settled.is_ok()).unwrap());
        assert!(split(whole, 0).is_empty());
        assert_eq!(settled.try_recv(), Ok(true));
    }

    #[test]
    fn a_whole_is_settled_with_its_last_part() {
        let check = |parts: Vec<InputOutcome>, expected: &str| {
            let (sender, settled) = mpsc::channel();
            let whole = Receipt::new(move |settled| sender.send(settled.map(|taken| taken.seq)).unwrap());
            let receipts = split(whole, parts.len());
            for (receipt, part) in receipts.into_iter().zip(parts) {
                assert!(settled.try_recv().is_err(), "not before the last");
                match part {
                    Err(NotAccepted::Lost) => drop(receipt),
                    part => receipt.settle(part),
                }
            }
            assert_eq!(format!("{:?}", settled.try_recv().unwrap()), expected);
        };
        let taken = |seq| Ok(Accepted { seq, ..Accepted::default() });
        check(vec![taken(Some(7))], "Ok(Some(7))");
        check(vec![taken(Some(9)), taken(None), taken(Some(8))], "Ok(Some(9))");
        check(vec![taken(Some(1)), Err(NotAccepted::Lost), taken(Some(2))], "Err(Lost)");
        let refused = Err(NotAccepted::Refused(Refusal::Retired));
        check(vec![refused, Err(NotAccepted::Lost)], "Err(Refused(Retired))");
    }
}
