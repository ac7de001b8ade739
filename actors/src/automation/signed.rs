//! Requests for webhooks that are signed: the secrets by which they may be, and the deliveries that came before.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use crate::mailbox::send_reply;
use crate::messages::automation::{BodySignature, RuleCaller, RuleRefusal};
use crate::webhooks::signature::is_signed;
use twinhub_domain::Timestamp;
use twinhub_domain::run::RuleId;
use twinhub_rules::model::WebhookSecret;

/// Deliveries that are remembered. A sender asks again within minutes, and a signature of a time counts for ten at most: few
/// send more in that time.
const REMEMBERED: usize = 20_000;
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
    pub rule: RuleId,
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

/// The signers whose secrets have signed the body, and the hash of that. A megabyte takes milliseconds with each: beside the
/// actor.
pub(super) async fn signed_by(
    signature: BodySignature,
    body: Bytes,
    signers: Vec<Signer>,
) -> (Vec<Signer>, [u8; 32]) {
    let check = move || {
        // The time does not say whether there are any.
        let _ = is_signed(&signature, "", &body);
        let signed = signers.into_iter().filter(|signer| is_signed(&signature, &signer.key, &body)).collect();
        (signed, Sha256::digest(&body).into())
    };
    tokio::task::spawn_blocking(check).await.unwrap_or_default() // the hub is shutting down
}

pub(super) type SignalReply = oneshot::Sender<Result<u64, RuleRefusal>>;

/// A mark by which a request that comes again is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum DeliveryKey {
    /// The sender's name for it. Nobody signs it: so it counts for one body, and among those who have the secret of one rule.
    Named { webhook: Box<str>, rule: RuleId, delivery: Box<str>, body: [u8; 32] },
    /// The signature of a time and the body. One who has overheard it can send it again under any name.
    Timed { webhook: Box<str>, mac: [u8; 32] },
}

/// The last deliveries: one that comes again is answered as the first was.
#[derive(Default)]
pub(super) struct SignedDeliveries {
    states: HashMap<DeliveryKey, DeliveryState>,
    /// Deliveries that were taken, the oldest first.
    taken: VecDeque<DeliveryKey>,
}

enum DeliveryState {
    UnderWay(WaitingRequests),
    Taken(u64),
}

/// Requests for what is being stored: they wait for the same answer.
#[derive(Default)]
struct WaitingRequests {
    replies: Vec<SignalReply>,
    /// Their other marks, which are those of the same delivery.
    also: Vec<DeliveryKey>,
}

impl DeliveryKey {
    /// The marks of a request that a rule's secret has signed; none where nothing tells it from others.
    pub fn of(
        webhook: &str,
        rule: &RuleId,
        delivery: Option<Box<str>>,
        body: [u8; 32],
        signature: &BodySignature,
    ) -> Vec<Self> {
        let timed = signature.signed_at.map(|_| Self::Timed { webhook: webhook.into(), mac: signature.mac });
        // A sender that asks again signs another time.
        let named = delivery.map(|delivery| {
            let (webhook, rule) = (webhook.into(), rule.clone());
            Self::Named { webhook, rule, delivery, body }
        });
        timed.into_iter().chain(named).collect()
    }
}

impl SignedDeliveries {
    /// Takes the delivery with these marks in hand, and gives the reply back. None: one with any of them came before, and
    /// the reply is or will be answered with that.
    pub fn begin(&mut self, keys: &[DeliveryKey], reply: SignalReply) -> Option<SignalReply> {
        let (known, new): (Vec<_>, Vec<_>) =
            keys.iter().cloned().partition(|key| self.states.contains_key(key));
        let before = known.first().and_then(|key| self.states.get_mut(key));
        let taken = match before {
            None => None,
            Some(DeliveryState::Taken(seq)) => Some(*seq),
            Some(DeliveryState::UnderWay(waiting)) => {
                waiting.replies.push(reply);
                waiting.also.extend(new.iter().cloned());
                self.take_in_hand(new);
                return None;
            }
        };
        let Some(seq) = taken else {
            self.take_in_hand(new);
            return Some(reply);
        };
        for key in new {
            self.remember(key, seq);
        }
        send_reply(reply, Ok(seq));
        None
    }

    /// The delivery is stored as event `seq`, or was lost and may come again.
    pub fn end(&mut self, mut keys: Vec<DeliveryKey>, seq: Option<u64>) {
        while let Some(key) = keys.pop() {
            if let Some(DeliveryState::UnderWay(WaitingRequests { replies, also })) = self.states.remove(&key)
            {
                for reply in replies {
                    send_reply(reply, seq.ok_or(RuleRefusal::Lost));
                }
                keys.extend(also);
            }
            if let Some(seq) = seq {
                self.remember(key, seq);
            }
        }
    }

    fn take_in_hand(&mut self, keys: Vec<DeliveryKey>) {
        let under_way = || DeliveryState::UnderWay(WaitingRequests::default());
        self.states.extend(keys.into_iter().map(|key| (key, under_way())));
    }

    fn remember(&mut self, key: DeliveryKey, seq: u64) {
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

    const BODY: [u8; 32] = [1; 32];

    fn keys_of(rule: &str, id: &str, body: [u8; 32], mac: Option<u8>) -> Vec<DeliveryKey> {
        let signature = BodySignature { mac: [mac.unwrap_or(9); 32], signed_at: mac.map(|_| 17) };
        let delivery = Some(id).filter(|id| !id.is_empty()).map(Into::into);
        DeliveryKey::of("door", &RuleId::parse(rule).unwrap(), delivery, body, &signature)
    }

    fn keys(id: usize) -> Vec<DeliveryKey> {
        keys_of("ring", &id.to_string(), BODY, None)
    }

    #[test]
    fn a_delivery_that_comes_again_has_the_answer_of_the_first() {
        let mut deliveries = SignedDeliveries::default();
        let begin = |deliveries: &mut SignedDeliveries, id| {
            let (reply, answer) = oneshot::channel();
            (deliveries.begin(&keys(id), reply).is_some(), answer)
        };
        let (is_new, _first) = begin(&mut deliveries, 1);
        let (again, mut second) = begin(&mut deliveries, 1);
        assert!(is_new && !again && begin(&mut deliveries, 2).0);
        deliveries.end(keys(1), Some(7));
        assert!(matches!(second.try_recv(), Ok(Ok(7))));
        let (again, mut third) = begin(&mut deliveries, 1);
        assert!(!again && matches!(third.try_recv(), Ok(Ok(7))));

        let (_, mut waits) = begin(&mut deliveries, 2);
        deliveries.end(keys(2), None);
        assert!(matches!(waits.try_recv(), Ok(Err(RuleRefusal::Lost))));
        assert!(begin(&mut deliveries, 2).0, "what was lost may come again");
    }

    #[test]
    fn a_name_is_for_one_body_and_the_secret_of_one_rule() {
        let mut deliveries = SignedDeliveries::default();
        let mut is_new = |rule: &str, id: &str, body| {
            deliveries.begin(&keys_of(rule, id, body, None), oneshot::channel().0).is_some()
        };
        assert!(is_new("ring", "d-1", BODY) && !is_new("ring", "d-1", BODY));
        assert!(is_new("ring", "d-1", [2; 32]), "another body");
        assert!(is_new("other", "d-1", BODY), "another's secret");
        assert!(is_new("ring", "", BODY) && is_new("ring", "", BODY), "nothing tells these apart");
    }

    #[test]
    fn a_signature_of_a_time_counts_once_under_any_name() {
        let mut deliveries = SignedDeliveries::default();
        let begin = |deliveries: &mut SignedDeliveries, id: &str, mac| {
            let (reply, answer) = oneshot::channel();
            (deliveries.begin(&keys_of("ring", id, BODY, Some(mac)), reply).is_some(), answer)
        };
        assert!(begin(&mut deliveries, "d-1", 1).0);
        // While it is being stored: overheard, and signed anew by its sender, and that overheard.
        let mut waiting: Vec<_> = [("d-2", 1), ("", 1), ("d-1", 2), ("d-3", 2)]
            .map(|(id, mac)| begin(&mut deliveries, id, mac))
            .into_iter()
            .map(|(is_new, answer)| {
                assert!(!is_new);
                answer
            })
            .collect();
        deliveries.end(keys_of("ring", "d-1", BODY, Some(1)), Some(7));
        assert!(waiting.iter_mut().all(|answer| matches!(answer.try_recv(), Ok(Ok(7)))));
        for (id, mac) in [("d-4", 1), ("d-4", 2), ("", 2), ("d-1", 3), ("d-5", 3)] {
            let (is_new, mut answer) = begin(&mut deliveries, id, mac);
            assert!(!is_new && matches!(answer.try_recv(), Ok(Ok(7))), "{id} {mac}");
        }
        assert!(begin(&mut deliveries, "d-6", 4).0);
        assert_eq!(deliveries.states.len(), deliveries.taken.len() + 2, "all but the last are taken");
    }

    #[test]
    fn so_many_are_remembered() {
        let mut deliveries = SignedDeliveries::default();
        for id in 0..2 * REMEMBERED {
            assert!(deliveries.begin(&keys(id), oneshot::channel().0).is_some());
            deliveries.end(keys(id), Some(1));
        }
        assert_eq!((deliveries.states.len(), deliveries.taken.len()), (REMEMBERED, REMEMBERED));
        assert!(deliveries.begin(&keys(2 * REMEMBERED - 1), oneshot::channel().0).is_none());
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
