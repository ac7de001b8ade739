//! `/metrics`: the counters, in the text that Prometheus reads.

use std::fmt;

use actix_web::HttpResponse;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use twinhub_actors::counters::{Counters, get};
use twinhub_actors::slow_messages::{SlowMessages, TimeHistogram};
use twinhub_mqtt::broker::BrokerFigures;

use crate::api::devices::device::uptime_seconds;
use crate::disk::{DiskState, StoredFiles};
use crate::http::Access;
use crate::http::problem::{ApiError, Problem};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The counters in the OpenMetrics text format.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "operations",
    responses(
        (status = 200, body = String, content_type = "application/openmetrics-text"),
        (status = 503, description = "The hub is not set up yet", body = Problem),
    )
)]
pub async fn get_metrics(access: Access) -> Result<HttpResponse, ApiError> {
    let mut registry = Registry::with_prefix("twinhub");
    registry.register_collector(Box::new(Scrape(access)));
    let mut text = String::with_capacity(4096);
    // Writing to a String cannot fail, and what is written is numbers.
    let _ = prometheus_client::encoding::text::encode(&mut text, &registry);
    Ok(HttpResponse::Ok().content_type(OPEN_METRICS).body(text))
}

/// The state at one scrape.
struct Scrape(Access);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let counters = self.0.counters();
        for (name, help, value) in grown(&counters) {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        for (name, help, value) in present(&counters) {
            gauge(&mut encoder, name, help, value)?;
        }
        let connections = &self.0.state.connections;
        for (name, help, value) in [
            (
                "http_connections_closed",
                "Idle HTTP connections closed to make room",
                connections.closed_quiet(),
            ),
            (
                "http_connections_refused",
                "HTTP requests and live sessions refused because of the connection limit",
                connections.refused(),
            ),
            (
                "http_malformed",
                "HTTP connections that ended with a malformed request",
                connections.malformed(),
            ),
        ] {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
        }
        gauge(&mut encoder, "http_connections", "Open HTTP connections", connections.count() as u64)?;
        let link = self.0.state.link.state();
        gauge(
            &mut encoder,
            "mqtt_connected",
            "1 while the link to the devices is up",
            link.connected.into(),
        )?;
        gauge(&mut encoder, "mqtt_connections", "MQTT connections held", link.connections)?;
        let withheld = ConstCounter::new(link.withheld);
        let help = "Commands that were over and were kept from their devices";
        withheld.encode(encoder.encode_descriptor(
            "commands_withheld",
            help,
            None,
            withheld.metric_type(),
        )?)?;
        if let Some(broker) = link.broker {
            encode_broker(&mut encoder, &broker)?;
        }
        #[expect(clippy::cast_precision_loss, reason = "a duration to look at")]
        let seconds = get(&counters.commit_micros) as f64 / 1e6;
        let spent = ConstCounter::new(seconds);
        let help = "Time that commits took";
        spent.encode(encoder.encode_descriptor("commit_seconds", help, None, spent.metric_type())?)?;
        if let Some(tls) = &self.0.state.tls {
            let seconds = (tls.state().expires.millis() - self.0.now().millis()) / 1_000;
            let expires = ConstGauge::new(seconds);
            let help = "Time until the TLS certificate expires";
            expires.encode(encoder.encode_descriptor(
                "tls_expires_seconds",
                help,
                None,
                expires.metric_type(),
            )?)?;
            let ending = ConstGauge::new(get(&counters.certificates_ending));
            let help = "Certificates of devices that end within two weeks, or have ended";
            ending.encode(encoder.encode_descriptor(
                "device_certificates_ending",
                help,
                None,
                ending.metric_type(),
            )?)?;
        }
        let failed = ConstCounter::new(get(&counters.backups_failed));
        let help = "Backups that the hub was to write by itself and that failed";
        failed.encode(encoder.encode_descriptor("backups_failed", help, None, failed.metric_type())?)?;
        if let at @ 1.. = get(&counters.backup_at) {
            gauge(&mut encoder, "backup_timestamp_seconds", "Time of the last of these backups", at / 1_000)?;
        }
        if let Some(disk) = self.0.state.disk.state() {
            encode_disk(&mut encoder, &disk)?;
        }
        encode_times(&mut encoder, &counters.slow)?;
        let uptime = ConstGauge::new(uptime_seconds(&self.0));
        let help = "Time since the start";
        uptime.encode(encoder.encode_descriptor("uptime_seconds", help, None, uptime.metric_type())?)?;
        let help = "Messages and single readings that could not be read, by reason";
        let mut by_reason = encoder.encode_descriptor("rejected", help, None, MetricType::Counter)?;
        for (reason, count) in self.0.rejections().by_reason() {
            let labels = [("reason", reason)];
            ConstCounter::new(count).encode(by_reason.encode_family(&labels)?)?;
        }
        let help = "MQTT clients that were not let in, by reason";
        let mut refused =
            encoder.encode_descriptor("mqtt_clients_refused", help, None, MetricType::Counter)?;
        for (reason, count) in counters.clients_refused.by_reason() {
            let labels = [("reason", reason)];
            ConstCounter::new(count).encode(refused.encode_family(&labels)?)?;
        }
        let help = "Messages on topics without a reader, by their first level";
        let mut by_level = encoder.encode_descriptor("messages_unread", help, None, MetricType::Counter)?;
        for level in self.0.unread_topics().levels() {
            // A client chose it, and the encoder writes it as it is.
            let shown = level.first_level.replace(|c: char| matches!(c, '"' | '\\') || c.is_control(), "_");
            let labels = [("first_level", shown)];
            ConstCounter::new(level.count).encode(by_level.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

/// Encodes the times of messages, and of the stages of slow ones.
fn encode_times(encoder: &mut DescriptorEncoder<'_>, slow: &SlowMessages) -> fmt::Result {
    let help = "Time from the coming of a device's message to its commit";
    let messages = encoder.encode_descriptor("message_commit_seconds", help, None, MetricType::Histogram)?;
    encode_histogram(messages, slow.to_commit())?;
    let help = "Time of each stage of the way, of messages that took a millisecond or longer to their commit";
    let mut stages = encoder.encode_descriptor("slow_stage_seconds", help, None, MetricType::Histogram)?;
    for (stage, times) in slow.stages() {
        let labels = [("stage", stage.word())];
        encode_histogram(stages.encode_family(&labels)?, times)?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "durations to look at")]
fn encode_histogram(mut encoder: MetricEncoder<'_>, times: &TimeHistogram) -> fmt::Result {
    let (sum, counts) = times.counts();
    let bound = |us: u64| if us == u64::MAX { f64::INFINITY } else { us as f64 / 1e6 };
    let buckets: Vec<(f64, u64)> = counts.map(|(us, count)| (bound(us), count)).collect();
    let count = buckets.iter().map(|(_, count)| count).sum();
    encoder.encode_histogram::<NoLabelSet>(sum as f64 / 1e6, count, &buckets, None)
}

/// Encodes the embedded broker's figures.
fn encode_broker(encoder: &mut DescriptorEncoder<'_>, broker: &BrokerFigures) -> fmt::Result {
    let BrokerFigures { most_connections, connections_refused, retained, sessions } = broker;
    let now: [NamedCounter; 6] = [
        ("mqtt_connections_limit", "MQTT clients that can be served at once", *most_connections),
        ("mqtt_retained_messages", "Retained messages", retained.messages),
        ("mqtt_retained_bytes", "About what retained messages take in memory", retained.bytes),
        ("mqtt_sessions", "MQTT sessions of absent clients", sessions.sessions),
        ("mqtt_session_messages", "Messages that wait in MQTT sessions", sessions.messages),
        ("mqtt_session_bytes", "About what these take in memory", sessions.bytes),
    ];
    for (name, help, value) in now {
        gauge(encoder, name, help, value)?;
    }
    let since: [NamedCounter; 4] = [
        (
            "mqtt_connections_refused",
            "MQTT clients refused because there were too many",
            *connections_refused,
        ),
        ("mqtt_retained_refused", "Messages not retained because there was no room", retained.refused),
        ("mqtt_sessions_ended", "MQTT sessions ended because there was no room", sessions.ended),
        ("mqtt_session_dropped", "Messages dropped because their MQTT session was full", sessions.dropped),
    ];
    for (name, help, value) in since {
        let counter = ConstCounter::new(value);
        counter.encode(encoder.encode_descriptor(name, help, None, counter.metric_type())?)?;
    }
    Ok(())
}

/// The disk with the data, and what is stored on it.
fn encode_disk(encoder: &mut DescriptorEncoder<'_>, disk: &DiskState) -> fmt::Result {
    gauge(encoder, "disk_free_bytes", "Free space of the disk with the data", disk.space.free)?;
    gauge(encoder, "disk_total_bytes", "Size of the disk with the data", disk.space.total)?;
    if let Some(ms) = disk.full_in_ms {
        let seconds = u64::try_from(ms / 1_000).unwrap_or_default();
        gauge(encoder, "disk_full_in_seconds", "Time until the disk is full at the present pace", seconds)?;
    }
    let StoredFiles { database, firmware, backups } = disk.files;
    let files = [("database", database), ("firmware", firmware), ("backups", backups)];
    let mut stored =
        encoder.encode_descriptor("stored_bytes", "Files of the hub, by kind", None, MetricType::Gauge)?;
    for (kind, bytes) in files {
        ConstGauge::new(bytes).encode(stored.encode_family(&[("kind", kind)])?)?;
    }
    let help = "Parts of the database, by kind";
    let mut parts = encoder.encode_descriptor("database_bytes", help, None, MetricType::Gauge)?;
    for (kind, bytes) in &disk.kinds {
        ConstGauge::new(*bytes).encode(parts.encode_family(&[("kind", kind.as_str())])?)?;
    }
    Ok(())
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    let gauge = ConstGauge::new(value);
    gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
}

type NamedCounter = (&'static str, &'static str, u64);

/// Counters.
fn grown(c: &Counters) -> [NamedCounter; 27] {
    [
        ("messages_in", "MQTT messages that came, whatever became of them", get(&c.messages_in)),
        ("inputs_committed", "Inputs taken in and committed", get(&c.inputs_committed)),
        ("inputs_repeated", "Inputs known as repeats", get(&c.inputs_repeated)),
        ("inputs_refused", "Inputs that a twin refused", get(&c.inputs_refused)),
        (
            "messages_out_of_service",
            "Messages refused because their devices are suspended or retired",
            get(&c.messages_out_of_service),
        ),
        ("messages_shed", "QoS 0 messages shed because too much was in flight", get(&c.messages_shed)),
        ("messages_rejected", "Messages that could not be read", get(&c.messages_rejected)),
        ("readings_rejected", "Single readings that made no sense", get(&c.readings_rejected)),
        ("events", "Events committed", get(&c.events)),
        ("commits", "Group commits done", get(&c.commits)),
        ("commits_failed", "Group commits that failed", get(&c.commits_failed)),
        (
            "audit_dropped",
            "Entries of the audit lost because the store did not take them in",
            get(&c.audit_dropped),
        ),
        ("twins_restarted", "Twins started again because they had died", get(&c.twins_restarted)),
        ("twins_put_away", "Idle twins that left memory", get(&c.twins_put_away)),
        ("messages_out", "Messages published to devices", get(&c.messages_out)),
        (
            "messages_stale",
            "Messages to devices that did not go out because their time was over",
            get(&c.messages_stale),
        ),
        ("frames_out", "Frames sent to live subscribers", get(&c.frames_out)),
        (
            "subscribers_lagged",
            "Times a live subscriber was notified that it lags",
            get(&c.subscribers_lagged),
        ),
        ("webhook_attempts", "Attempts at webhooks, whatever became of them", get(&c.webhook_attempts)),
        ("webhooks_delivered", "Webhooks that were delivered", get(&c.webhooks_delivered)),
        ("webhooks_failed", "Webhooks that were given up", get(&c.webhooks_failed)),
        ("rule_loads", "Times that rules were taken in anew", get(&c.rule_loads)),
        ("rule_runs", "Runs of rules that came to an end", get(&c.rule_runs)),
        ("rule_refusals", "Evaluations of rules that came to nothing", get(&c.rule_refusals)),
        ("rule_acts", "Things that rules did", get(&c.rule_acts)),
        ("job_changes", "Times that jobs came further with their devices", get(&c.job_changes)),
        ("last_seq", "The last place given in the sequence", get(&c.seq)),
    ]
}

/// Gauges.
fn present(c: &Counters) -> [NamedCounter; 8] {
    [
        ("inputs_in_flight", "Inputs on their way to a commit", get(&c.inputs_in_flight)),
        ("store_failing", "1 while the store fails", get(&c.store_failing)),
        ("alarms_active", "Alarms that are active", get(&c.alarms_active)),
        ("webhooks_waiting", "Webhooks that wait to be taken", get(&c.webhooks_waiting)),
        ("twins", "Twins in memory", get(&c.twins)),
        ("outbox_waiting", "Messages for devices that wait", get(&c.outbox_waiting)),
        ("rules", "Rules", get(&c.rules)),
        ("subscribers", "Live subscribers", get(&c.subscribers)),
    ]
}
