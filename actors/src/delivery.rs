//! Delivers an input to a twin by way of the supervisor, and waits for its receipt. Written once, for all senders that
//! wait.

use actix::Addr;

use crate::backoff::Backoff;
use crate::mailbox::try_send_unbounded;
use crate::messages::supervisor::Deliver;
use crate::supervisor::Supervisor;
use twinhub_domain::receipt::{InputOutcome, NotAccepted, Receipt};
use twinhub_mqtt::receipt;

/// Delivers an input again as by `backoff` each time that it is lost because its twin died, and gives its settlement.
/// It is lost for good where the twin dies too often, or while the hub shuts down.
pub async fn deliver(
    supervisor: &Addr<Supervisor>,
    backoff: Backoff,
    mut input: impl FnMut(Receipt) -> Deliver,
) -> InputOutcome {
    let mut tries = 0;
    loop {
        let (receipt, settled) = receipt::channel();
        if try_send_unbounded(supervisor, input(receipt)).is_err() {
            return Err(NotAccepted::Lost); // the hub is shutting down
        }
        match settled.await {
            Ok(Err(NotAccepted::Lost)) | Err(_) => {}
            Ok(settled) => return settled,
        }
        tries += 1;
        match backoff.wait(tries).filter(|_| supervisor.connected()) {
            Some(wait) => tokio::time::sleep(wait).await,
            None => return Err(NotAccepted::Lost),
        }
    }
}
