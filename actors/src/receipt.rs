//! Receipts to wait for.

use tokio::sync::oneshot;

use twinhub_domain::receipt::{Receipt, Settled};

/// A receipt, and what comes of it.
#[must_use]
pub fn channel() -> (Receipt, oneshot::Receiver<Settled>) {
    let (sender, receiver) = oneshot::channel();
    let receipt = Receipt::new(move |settled| {
        let _ = sender.send(settled); // whoever waited may have gone
    });
    (receipt, receiver)
}
