//! The poll loop: the one task that drives the connection. It never waits for anything but the broker: it sends with
//! `try_*`, and receipts are settled elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rumqttc::Outgoing;
use rumqttc::v5::mqttbytes::QoS;
use rumqttc::v5::mqttbytes::v5::{
    ConnAck, Filter, Packet, Publish, RetainForwardRule, SubAck, SubscribeReasonCode,
};
use rumqttc::v5::{AsyncClient, Event, EventLoop};
use tokio::sync::Notify;
use tracing::{debug, info, warn};

use super::backoff::ReconnectBackoff;
use super::rule_subscriptions::{self, Receivers};
use super::{Shared, dropped, strangers};
use crate::dialects::Dialects;
use crate::intake::IncomingMessage;
use crate::rule_topics::RuleTopics;
use twinhub_domain::receipt::Receipt;

pub(super) struct Poller {
    pub(super) events: EventLoop,
    pub(super) client: AsyncClient,
    pub(super) shared: Arc<Shared>,
    pub(super) backoff: ReconnectBackoff,
    pub(super) dialects: Arc<Dialects>,
    pub(super) rule_topics: Arc<RuleTopics>,
    /// Notified of each new connection: rules then subscribe to their filters.
    pub(super) listens: Arc<Notify>,
    /// The broker knows numbers of subscriptions.
    pub(super) numbers: Arc<AtomicBool>,
    /// The next acknowledgement of a subscription is that of the dialects.
    pub(super) awaits_dialects: bool,
    /// Asks the broker, with the dialects' subscriptions, how many messages it has dropped. One that closes the
    /// connection over it is asked every other time only.
    pub(super) asks_dropped: bool,
}

impl Poller {
    /// Polls until the link is closed.
    pub(super) async fn run(mut self) {
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            () = self.poll() => {}
            () = shared.aborted() => {}
        }
        self.disconnected("the link has been closed");
        shared.finished();
    }

    async fn poll(&mut self) {
        loop {
            let handled = match self.events.poll().await {
                Ok(event) => self.handle(event),
                Err(error) => Err(error.to_string()),
            };
            if let Err(reason) = handled {
                self.disconnected(&reason);
                if self.shared.is_closing() {
                    return;
                }
                let wait = self.backoff.next();
                warn!(broker = %self.shared.address, %reason, ?wait, "no connection to the broker");
                tokio::time::sleep(wait).await;
            }
            self.shared.acks.send_waiting();
        }
    }

    /// # Errors
    /// The connection is no good.
    fn handle(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Incoming(Packet::Publish(publish)) => self.take(publish),
            Event::Incoming(Packet::PubAck(ack)) => self.shared.publishes.acknowledged(&ack),
            Event::Incoming(Packet::ConnAck(ack)) => self.connected(&ack)?,
            Event::Incoming(Packet::SubAck(ack)) => self.subscribed(&ack)?,
            Event::Outgoing(Outgoing::Publish(packet_id)) => self.shared.publishes.sent(packet_id),
            _ => {}
        }
        Ok(())
    }

    fn take(&self, publish: Publish) {
        if self.shared.is_stopped() {
            return; // unacknowledged, so it comes again to the next hub
        }
        let fire_and_forget = publish.qos == QoS::AtMostOnce;
        if publish.topic == dropped::TOPIC.as_bytes() {
            self.shared.dropped.note(&publish.payload, &self.shared.address, Instant::now());
            if fire_and_forget && !self.rule_topics.matches(dropped::TOPIC) {
                return;
            }
        }
        let receipt = if fire_and_forget { Receipt::ignored() } else { self.shared.acks.receipt(&publish) };
        let topic: Arc<str> = String::from_utf8_lossy(&publish.topic).into();
        let Receivers { twins: for_twins, rules: for_rules } =
            rule_subscriptions::receivers(&publish, &topic, &self.rule_topics);
        let message = IncomingMessage {
            topic,
            payload: publish.payload,
            fire_and_forget,
            retained: publish.retain,
            for_twins,
            for_rules,
        };
        // No waiting for room here: the receive maximum bounds what comes unacknowledged.
        self.shared.intake.accept(message, receipt, None);
    }

    /// Subscribes again each time: the broker may have lost the session, and shows that only in a flag of the CONNACK.
    fn connected(&mut self, ack: &ConnAck) -> Result<(), String> {
        let filters = self.dialects.filters().into_iter().map(|path| Filter {
            path,
            qos: QoS::AtLeastOnce,
            // Retained messages were taken in when they came; they are news to a new session only.
            retain_forward_rule: RetainForwardRule::OnNewSubscribe,
            ..Filter::default()
        });
        let dropped = self.asks_dropped.then(|| Filter {
            path: dropped::TOPIC.to_owned(),
            qos: QoS::AtMostOnce,
            retain_forward_rule: RetainForwardRule::OnEverySubscribe,
            ..Filter::default()
        });
        let filters: Vec<Filter> = filters.chain(dropped).collect();
        // A broker that knows no numbers refuses them.
        let numbered =
            ack.properties.as_ref().and_then(|all| all.subscription_identifiers_available) != Some(0);
        self.numbers.store(numbered, Ordering::Relaxed);
        let properties =
            rule_subscriptions::properties_with_id(numbered.then_some(rule_subscriptions::DIALECTS_ID));
        self.awaits_dialects = true;
        self.client
            .try_subscribe_many_with_properties(filters, properties)
            .map_err(|error| format!("cannot subscribe: {error}"))?;
        debug!(session_present = ack.session_present, "connected to the broker");
        self.shared.publishes.open();
        self.shared.intake.connected();
        Ok(())
    }

    fn subscribed(&mut self, ack: &SubAck) -> Result<(), String> {
        if !std::mem::take(&mut self.awaits_dialects) {
            if ack.return_codes.iter().any(|code| !matches!(code, SubscribeReasonCode::Success(_))) {
                warn!(broker = %self.shared.address, "the broker refuses a subscription for a rule");
            }
            return Ok(());
        }
        for (code, filter) in ack.return_codes.iter().zip(self.dialects.filters()) {
            if !matches!(code, SubscribeReasonCode::Success(_)) {
                return Err(format!("the broker refuses the subscription to {filter}: {code:?}"));
            }
        }
        info!(broker = %self.shared.address, "connected to the broker and subscribed");
        self.backoff.reset();
        self.shared.connected();
        self.listens.notify_one();
        strangers::ask(&self.shared);
        Ok(())
    }

    /// Drops all state of the old connection: unacknowledged messages come again, and publishers get an error and
    /// publish again.
    fn disconnected(&mut self, reason: &str) {
        if self.awaits_dialects {
            self.asks_dropped = !self.asks_dropped;
        }
        self.shared.disconnected(reason);
        self.shared.acks.forget();
        self.shared.publishes.fail_all(reason);
        // Only now can nothing of the old connection be queued any more.
        self.events.clean();
        self.events.pending.clear();
        self.events.state.collision = None;
        self.events.state.events.clear();
    }
}
