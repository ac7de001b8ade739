//! The sender of webhooks: posts the requests of rules to their receivers, again and again until they are accepted or
//! given up.
//!
//! # What a receiver gets
//! The body as JSON, with `X-Twinhub-Delivery` (the delivery's id: the same for every attempt, so a repeat can be
//! known), `X-Twinhub-Timestamp` (Unix seconds of the attempt), `User-Agent: twinhub/…`, and where the rule has a
//! key `X-Twinhub-Signature: sha256=<hex HMAC-SHA256 of "{timestamp}.{body}">`.
//!
//! # What becomes of it
//! Any 2xx is delivered. Connections that fail, time-outs, 408, 425, 429 and 5xx are tried again after 1 s, doubled up
//! to 5 min, or as `Retry-After` has it; all else fails at once. Each attempt is stored, so a restart goes on where it
//! was. A delivery may come twice, if the hub dies between an answer and its storage; a rule's requests go out in
//! order, but none waits for a retry.
//!
//! # Where it goes
//! The address that a rule names may be on the Internet or in the local network: rules at home need that. This machine
//! and this hub itself are not allowed, unless an operator allows them, and a redirect is another's word: see
//! [`destinations`].

mod attempt;
mod resolver;
mod retry;
pub(crate) mod signature;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use actix::{Actor, ActorFutureExt, Addr, AsyncContext, Context, Handler, Message, SpawnHandle, WrapFuture};
use tokio::sync::oneshot;
use tracing::{debug, warn};
use url::Url;
use uuid::Uuid;

use self::attempt::{AttemptOutcome, Sender, WebhookRequest};
use crate::backoff::until_answered;
use crate::counters::{Counters, up};
use crate::journal::Journal;
use crate::mailbox::{send_reply, try_send_unbounded};
use crate::messages::journal::Append;
use crate::messages::timers::Tick;
use crate::messages::webhooks::{DrainWebhooks, SendWebhook, SetDestinations};
use crate::webhook_destinations::WebhookDestinations;
use twinhub_domain::receipt::Receipt;
use twinhub_domain::run::RuleId;
use twinhub_domain::{Clock, Timestamp};
use twinhub_store::{AutomationChanges, DeliveryQuery, DeliveryRecord, DeliveryStatus, Store};

/// Gives the key that a rule's step signs with; none where it is not known (yet).
pub type SigningKeys = Arc<dyn Fn(&RuleId, u32) -> Option<String> + Send + Sync>;

/// Attempts under way at once, in all and to one host.
const MOST_AT_ONCE: usize = 8;
const MOST_TO_A_HOST: usize = 2;
/// Times that a key is asked for. It is not known while the rules are being read, or when it was taken away.
const MOST_WITHOUT_KEY: u16 = 8;
/// Deliveries read from the store with one query.
const PAGE: u64 = 500;

/// An attempt's outcome is stored.
#[derive(Message)]
#[rtype(result = "()")]
struct OutcomeStored {
    id: Uuid,
}

/// The actor that sends webhooks.
pub struct Webhooks {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    journal: Addr<Journal>,
    counters: Arc<Counters>,
    keys: SigningKeys,
    sender: Arc<Sender>,
    /// The stored deliveries have been read: before, nothing is sent.
    loaded: bool,
    jobs: HashMap<Uuid, PendingDelivery>,
    /// Waiting deliveries: by the time at which they are due, on the clock that is never set, and then by age.
    waiting: BTreeSet<(u64, Timestamp, Uuid)>,
    /// Attempts under way, by host.
    under_way: HashMap<Box<str>, usize>,
    sleeping: Option<SpawnHandle>,
    pending: Arc<AtomicU32>,
    /// The reply to the shutdown, which waits for the rest.
    resting: Option<oneshot::Sender<()>>,
    rests: bool,
}

/// A delivery that is not done, or not written down as done.
struct PendingDelivery {
    record: DeliveryRecord,
    host: Box<str>,
    /// The number of times that its key was not known.
    without_key: u16,
}

impl Webhooks {
    /// The sender of the deliveries in `store` and of new ones, to the allowed `destinations`.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        journal: Addr<Journal>,
        counters: Arc<Counters>,
        keys: SigningKeys,
        destinations: WebhookDestinations,
    ) -> Self {
        Self {
            store,
            clock,
            journal,
            counters,
            keys,
            sender: Arc::new(Sender::new(resolver::system(), destinations)),
            loaded: false,
            jobs: HashMap::new(),
            waiting: BTreeSet::new(),
            under_way: HashMap::new(),
            sleeping: None,
            pending: Arc::default(),
            resting: None,
            rests: false,
        }
    }

    fn enqueue(&mut self, record: DeliveryRecord) {
        let id = record.id;
        if record.status != DeliveryStatus::Waiting || self.jobs.contains_key(&id) {
            return;
        }
        let url = Url::parse(&record.delivery.url).ok();
        let host = url.as_ref().and_then(Url::host_str).unwrap_or_default().into();
        let left = record.next_at.millis() - self.clock.now().millis();
        let wait = Duration::from_millis(u64::try_from(left).unwrap_or(0)).min(retry::LONGEST_ASKED);
        self.jobs.insert(id, PendingDelivery { record, host, without_key: 0 });
        self.wait(id, wait);
    }

    fn wait(&mut self, id: Uuid, wait: Duration) {
        let Some(job) = self.jobs.get(&id) else { return };
        let due = self.clock.uptime_ms().saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX));
        self.waiting.insert((due, job.record.created_at, id));
        self.counters.webhooks_waiting.store(self.jobs.len() as u64, Ordering::Relaxed);
    }

    /// Begins due deliveries, as far as there is room.
    fn pump(&mut self, ctx: &mut Context<Self>) {
        if !self.loaded || self.rests {
            return;
        }
        let now = self.clock.uptime_ms();
        let mut next = None;
        let mut begin = Vec::new();
        for place in &self.waiting {
            let (due, _, id) = place;
            if *due > now {
                next = Some(*due - now);
                break;
            }
            let Some(job) = self.jobs.get(id) else { continue };
            if self.under_way.values().sum::<usize>() >= MOST_AT_ONCE {
                break; // the next that ends looks again
            }
            let to_host = self.under_way.entry(job.host.clone()).or_default();
            if *to_host < MOST_TO_A_HOST {
                *to_host += 1;
                begin.push(*place);
            }
        }
        for place in begin {
            self.waiting.remove(&place);
            self.begin(place.2, ctx);
        }
        if let Some(handle) = self.sleeping.take() {
            ctx.cancel_future(handle);
        }
        self.sleeping = next.map(|wait| {
            ctx.run_later(Duration::from_millis(wait), |this, ctx| {
                this.sleeping = None;
                this.pump(ctx);
            })
        });
    }

    fn begin(&mut self, id: Uuid, ctx: &mut Context<Self>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let delivery = job.record.delivery.clone();
        let key = match &delivery.signed_by {
            None => None,
            Some(rule) => match (self.keys)(rule, delivery.step) {
                Some(key) => Some(key),
                None => return self.lacks_key(id, ctx),
            },
        };
        up(&self.counters.webhook_attempts);
        let request = WebhookRequest { id, delivery, key, now: self.clock.now() };
        let sender = Arc::clone(&self.sender);
        let attempt = async move { sender.attempt(&request).await };
        ctx.spawn(attempt.into_actor(self).map(move |outcome, this, ctx| this.attempted(id, outcome, ctx)));
    }

    /// No request that should be signed goes out unsigned.
    fn lacks_key(&mut self, id: Uuid, ctx: &mut Context<Self>) {
        let Some(job) = self.jobs.get_mut(&id) else { return };
        job.without_key += 1;
        let tries = job.without_key;
        self.release_slot(id);
        if tries < MOST_WITHOUT_KEY {
            self.wait(id, retry::wait(tries));
        } else {
            self.end(id, DeliveryStatus::Failed, "its rule has no key to sign it with".into(), ctx);
        }
        // Not at once: who is asked for keys may be slow, and many may lack theirs.
        ctx.run_later(Duration::ZERO, Self::pump);
    }

    /// One attempt less is under way to this delivery's host.
    fn release_slot(&mut self, id: Uuid) {
        let Some(job) = self.jobs.get(&id) else { return };
        if let Some(count) = self.under_way.get_mut(&job.host) {
            *count -= 1;
            if *count == 0 {
                self.under_way.remove(&job.host);
            }
        }
    }

    fn attempted(&mut self, id: Uuid, outcome: AttemptOutcome, ctx: &mut Context<Self>) {
        self.release_slot(id);
        let Some(job) = self.jobs.get_mut(&id) else { return };
        let record = &mut job.record;
        record.attempts = record.attempts.saturating_add(1);
        match outcome {
            AttemptOutcome::Delivered(detail) => self.end(id, DeliveryStatus::Delivered, detail, ctx),
            AttemptOutcome::Never(detail) => self.end(id, DeliveryStatus::Failed, detail, ctx),
            AttemptOutcome::NotNow(detail, _) if record.attempts >= record.delivery.max_attempts.max(1) => {
                self.end(id, DeliveryStatus::Failed, detail, ctx);
            }
            AttemptOutcome::NotNow(detail, after) => {
                let wait = after.unwrap_or_else(|| retry::wait(record.attempts));
                let millis = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
                record.next_at = self.clock.now().plus_millis(millis);
                record.detail = detail.into();
                debug!(delivery_id = %id, rule_id = %record.rule, attempts = record.attempts, detail = %record.detail,
                    "webhook not taken, trying again");
                let record = record.clone();
                self.wait(id, wait);
                self.write(record, ctx);
            }
        }
        self.pump(ctx);
    }

    fn end(&mut self, id: Uuid, status: DeliveryStatus, detail: String, ctx: &mut Context<Self>) {
        let Some(PendingDelivery { record, .. }) = self.jobs.get_mut(&id) else { return };
        record.status = status;
        record.detail = detail.into();
        record.ended_at = Some(self.clock.now());
        if status == DeliveryStatus::Delivered {
            up(&self.counters.webhooks_delivered);
        } else {
            up(&self.counters.webhooks_failed);
            warn!(delivery_id = %id, rule_id = %record.rule, attempts = record.attempts, detail = %record.detail,
                "webhook given up");
        }
        let record = record.clone();
        self.write(record, ctx);
    }

    fn write(&self, record: DeliveryRecord, ctx: &mut Context<Self>) {
        let (me, id) = (ctx.address(), record.id);
        let receipt = Receipt::new(move |settled| {
            if settled.is_ok() {
                let _ = try_send_unbounded(&me, OutcomeStored { id }); // lost only when the hub shuts down
            }
        });
        self.pending.fetch_add(1, Ordering::AcqRel);
        let automation = AutomationChanges { deliveries: vec![record], ..AutomationChanges::default() };
        let append = Append {
            automation: Some(Box::new(automation)),
            pending: Arc::clone(&self.pending),
            ..Append::beside_twins(Vec::new(), receipt)
        };
        let _ = try_send_unbounded(&self.journal, append); // a hub without a journal is shutting down
    }

    /// Answers the shutdown, when nothing is under way and all is written.
    fn maybe_at_rest(&mut self) {
        let at_rest = self.rests && self.under_way.is_empty() && self.pending.load(Ordering::Acquire) == 0;
        if let Some(reply) = self.resting.take_if(|_| at_rest) {
            send_reply(reply, ());
        }
    }
}

/// All that wait, the newest first, however often the store has to be asked.
async fn load(store: Arc<dyn Store>) -> Vec<DeliveryRecord> {
    let mut found: Vec<DeliveryRecord> = Vec::new();
    loop {
        let (status, offset) = (Some(DeliveryStatus::Waiting), found.len() as u64);
        let query = DeliveryQuery { status, offset, limit: PAGE, ..DeliveryQuery::default() };
        let page = until_answered("the webhooks that wait", || store.deliveries(&query)).await;
        let is_last = (page.deliveries.len() as u64) < PAGE;
        found.extend(page.deliveries);
        if is_last {
            return found;
        }
    }
}

impl Actor for Webhooks {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        // Nothing is sent meanwhile, so what waits only grows, at its beginning: some may be met twice, none is missed.
        ctx.spawn(load(Arc::clone(&self.store)).into_actor(self).map(|found, this, ctx| {
            for record in found {
                this.enqueue(record);
            }
            this.loaded = true;
            this.pump(ctx);
        }));
    }
}

impl Handler<SendWebhook> for Webhooks {
    type Result = ();

    fn handle(&mut self, SendWebhook { delivery }: SendWebhook, ctx: &mut Context<Self>) {
        self.enqueue(delivery);
        self.pump(ctx);
    }
}

impl Handler<SetDestinations> for Webhooks {
    type Result = ();

    fn handle(&mut self, SetDestinations(destinations): SetDestinations, _: &mut Context<Self>) {
        // Connections that are open were made under the old rules: they go with the old sender.
        self.sender = Arc::new(Sender::new(resolver::system(), destinations));
    }
}

impl Handler<OutcomeStored> for Webhooks {
    type Result = ();

    fn handle(&mut self, OutcomeStored { id }: OutcomeStored, _: &mut Context<Self>) {
        let is_over = |job: &PendingDelivery| job.record.status != DeliveryStatus::Waiting;
        if self.jobs.get(&id).is_some_and(is_over) {
            self.jobs.remove(&id);
            self.counters.webhooks_waiting.store(self.jobs.len() as u64, Ordering::Relaxed);
        }
        self.maybe_at_rest();
    }
}

impl Handler<DrainWebhooks> for Webhooks {
    type Result = ();

    fn handle(&mut self, DrainWebhooks { reply }: DrainWebhooks, _: &mut Context<Self>) {
        self.rests = true;
        self.resting = Some(reply);
        self.maybe_at_rest();
    }
}

impl Handler<Tick> for Webhooks {
    type Result = ();

    fn handle(&mut self, _: Tick, ctx: &mut Context<Self>) {
        self.pump(ctx);
    }
}

#[cfg(test)]
mod tests;
