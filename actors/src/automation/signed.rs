//! Requests for webhooks that are signed: the secrets by which they may be, and the deliveries that came before.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use tokio::sync::oneshot;

use crate::mailbox::send_reply;
use crate::messages::automation::{BodySignature, RuleCaller, RuleRefusal};
use crate::webhooks::signature::is_signed;
use twinhub_domain::Timestamp;
use twinhub_rules::model::WebhookSecret;

/// Deliveries that are remembered. A sender asks again within minutes, and few send more in that time.
const REMEMBERED: usize = 1_000;
/// The longest time between the moment that was signed and the hub's clock, in seconds.
const FRESH_FOR_S: i64 = 300;

pub(super) const WRONG: RuleRefusal = RuleRefusal::Signature(
    "this is not the signature of the body by the secret of a rule that has this webhook and runs: compare the secrets, \
     and sign the body byte for byte as it is sent",
);
pub(super) const STALE: RuleRefusal = RuleRefusal::Signature(
    "the time that was signed is more than five minutes from the hub's clock: sign each request anew",
);

/// A secret by which the requests of a webhook may be signed.
pub(super) struct Signer {
    pub key: String,
    /// The author of the rule.
    pub caller: RuleCaller,
}

/// The key in `secret`; none where the environment has none.
pub(super) fn key(secret: &WebhookSecret) -> Option<String> {
    match secret {
        WebhookSecret::Text(text) => Some(text.to_string()),
        WebhookSecret::Environment(name) => std::env::var(&**name).ok(),
    }
}

/// Was it signed just now, as far as it says when?
pub(super) fn is_fresh(signature: &BodySignature, now: Timestamp) -> bool {
    signature.signed_at.is_none_or(|at| (now.millis() / 1_000).abs_diff(at) <= FRESH_FOR_S.unsigned_abs())
}

/// The callers whose secrets have signed the body. A megabyte takes milliseconds with each: beside the actor.
pub(super) async fn signed_by(
    signature: BodySignature,
    body: Bytes,
    signers: Vec<Signer>,
) -> Vec<RuleCaller> {
    let check = move || {
        // The time does not say whether there are any.
        let _ = is_signed(&signature, "", &body);
        let signed = signers.into_iter().filter(|signer| is_signed(&signature, &signer.key, &body));
        signed.map(|signer| signer.caller).collect()
    };
    tokio::task::spawn_blocking(check).await.unwrap_or_default() // the hub is shutting down
}

pub(super) type SignalReply = oneshot::Sender<Result<u64, RuleRefusal>>;

/// A webhook, and the sender's name for a request.
pub(super) type DeliveryKey = (Box<str>, Box<str>);

/// The last deliveries: one that comes again is answered as the first was.
#[derive(Default)]
pub(super) struct SignedDeliveries {
    states: HashMap<DeliveryKey, DeliveryState>,
    /// Deliveries that were taken, the oldest first.
    taken: VecDeque<DeliveryKey>,
}

enum DeliveryState {
    /// It is being stored. Those who sent it again wait for the same answer.
    UnderWay(Vec<SignalReply>),
    Taken(u64),
}

impl SignedDeliveries {
    /// Takes the delivery in hand, and gives the reply back. None: it came before, and the reply is or will be answered
    /// with that.
    pub fn begin(&mut self, key: &DeliveryKey, reply: SignalReply) -> Option<SignalReply> {
        match self.states.get_mut(key) {
            None => {
                self.states.insert(key.clone(), DeliveryState::UnderWay(Vec::new()));
                return Some(reply);
            }
            Some(DeliveryState::UnderWay(others)) => others.push(reply),
            Some(DeliveryState::Taken(seq)) => send_reply(reply, Ok(*seq)),
        }
        None
    }

    /// The delivery is stored as event `seq`, or was lost and may come again.
    pub fn end(&mut self, key: DeliveryKey, seq: Option<u64>) {
        if let Some(DeliveryState::UnderWay(others)) = self.states.remove(&key) {
            for reply in others {
                send_reply(reply, seq.ok_or(RuleRefusal::Lost));
            }
        }
        let Some(seq) = seq else { return };
        if self.taken.len() == REMEMBERED
            && let Some(oldest) = self.taken.pop_front()
        {
            self.states.remove(&oldest);
        }
        self.taken.push_back(key.clone());
        self.states.insert(key, DeliveryState::Taken(seq));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: usize) -> DeliveryKey {
        ("door".into(), id.to_string().into())
    }

    #[test]
    fn a_delivery_that_comes_again_has_the_answer_of_the_first() {
        let mut deliveries = SignedDeliveries::default();
        let begin = |deliveries: &mut SignedDeliveries, id| {
            let (reply, answer) = oneshot::channel();
            (deliveries.begin(&key(id), reply).is_some(), answer)
        };
        let (is_new, _first) = begin(&mut deliveries, 1);
        let (again, mut second) = begin(&mut deliveries, 1);
        assert!(is_new && !again && begin(&mut deliveries, 2).0);
        deliveries.end(key(1), Some(7));
        assert!(matches!(second.try_recv(), Ok(Ok(7))));
        let (again, mut third) = begin(&mut deliveries, 1);
        assert!(!again && matches!(third.try_recv(), Ok(Ok(7))));

        let (_, mut waits) = begin(&mut deliveries, 2);
        deliveries.end(key(2), None);
        assert!(matches!(waits.try_recv(), Ok(Err(RuleRefusal::Lost))));
        assert!(begin(&mut deliveries, 2).0, "what was lost may come again");
    }

    #[test]
    fn a_thousand_are_remembered() {
        let mut deliveries = SignedDeliveries::default();
        for id in 0..3 * REMEMBERED {
            assert!(deliveries.begin(&key(id), oneshot::channel().0).is_some());
            deliveries.end(key(id), Some(1));
        }
        assert_eq!((deliveries.states.len(), deliveries.taken.len()), (REMEMBERED, REMEMBERED));
        assert!(deliveries.begin(&key(3 * REMEMBERED - 1), oneshot::channel().0).is_none());
    }

    #[test]
    fn a_time_that_was_signed_is_near() {
        let now = Timestamp::from_millis(1_767_268_800_999);
        let check = |signed_at, fresh| {
            let signature = BodySignature { mac: [0; 32], signed_at };
            assert_eq!(is_fresh(&signature, now), fresh, "{signed_at:?}");
        };
        check(None, true);
        check(Some(1_767_268_800), true);
        check(Some(1_767_268_500), true);
        check(Some(1_767_269_100), true);
        check(Some(1_767_268_499), false);
        check(Some(1_767_269_101), false);
        check(Some(i64::MIN), false);
        check(Some(i64::MAX), false);
    }
}
