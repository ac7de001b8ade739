//! `/health` and `/ready`: how the hub is, by part, and whether it can serve.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use twinhub_actors::access::Permission;
use twinhub_actors::counters::get;
use twinhub_domain::Timestamp;
use twinhub_domain::duration::duration_text;
use twinhub_mqtt::broker::BrokerFigures;
use utoipa::ToSchema;

use super::disk_part::DiskPart;
use super::tls_part::TlsPart;
use crate::api::devices::device::uptime_seconds;
use crate::api::schema::words;
use crate::dialects::ServiceStates;
use crate::http::Access;
use crate::http::reply;

/// The health of the hub. Callers who may not monitor it get `status` and `services` alone.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `healthy`, or `degraded` while a part is not well.
    #[schema(value_type = words::HubStatus)]
    status: &'static str,
    services: ServiceStates,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    started_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    uptime_seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    parts: Option<HealthParts>,
}

/// The health of its parts.
#[derive(Debug, Serialize, ToSchema)]
struct HealthParts {
    store: StorePart,
    mqtt: MqttPart,
    http: HttpPart,
    twins: TwinsPart,
    feed: FeedPart,
    automation: AutomationPart,
    /// Where HTTP and MQTT are served over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    tls: Option<TlsPart>,
    /// Once it was looked at, a moment after the start.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    disk: Option<DiskPart>,
}

/// The store and the journal before it.
#[derive(Debug, Serialize, ToSchema)]
struct StorePart {
    /// `ok`, or `failing`: nothing is taken in, and nothing acknowledged is lost; or `conflict`: another program
    /// writes to the database, and this one ends.
    #[schema(value_type = words::StoreStatus)]
    status: &'static str,
    seq: u64,
    commits: u64,
    commits_failed: u64,
    /// The average time of a commit, since the start; `0s`: less than a millisecond.
    #[schema(example = "3ms")]
    commit_time: String,
    inputs_in_flight: u64,
}

/// The link to the devices.
#[derive(Debug, Serialize, ToSchema)]
struct MqttPart {
    /// `ok`, `down`, or `full`: the embedded broker lets nobody in any more.
    #[schema(value_type = words::MqttStatus)]
    status: &'static str,
    /// Where devices connect to.
    #[schema(example = "mqtt://127.0.0.1:1883")]
    url: String,
    detail: String,
    connections: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    broker: Option<BrokerPart>,
    outbox_waiting: u64,
    messages_shed: u64,
    messages_rejected: u64,
    /// Messages on topics that nobody reads: `/api/diagnostics/unread` shows which.
    messages_unread: u64,
    /// A problem of the broker though it works: an outside one has dropped messages, or lets anybody publish.
    warning: Option<String>,
}

/// The embedded broker.
#[derive(Debug, Serialize, ToSchema)]
struct BrokerPart {
    /// The bound of the broker that is reached, while one is.
    #[schema(example = "all places for unknown clients are taken, see mqtt-connections", nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<&'static str>,
    most_connections: u64,
    connections_refused: u64,
    retained_messages: u64,
    retained_bytes: u64,
    /// Retained messages that were not taken because there were too many or they were too large.
    retained_refused: u64,
    /// Of absent clients.
    sessions: u64,
    /// Messages that wait for absent clients, and about what they take in memory.
    session_messages: u64,
    session_bytes: u64,
    sessions_ended: u64,
    /// Messages for absent clients that were dropped because their session was full.
    session_messages_dropped: u64,
}

/// The load over HTTP: connections, and requests that there was no room for.
#[derive(Debug, Serialize, ToSchema)]
struct HttpPart {
    /// `ok`, or `crowded`: nine tenths of the connections that there may be are there.
    #[schema(value_type = words::HttpStatus)]
    status: &'static str,
    connections: usize,
    most_connections: usize,
    /// Requests and live sessions that there was no room for, since the start.
    refused: u64,
}

/// The twins.
#[derive(Debug, Serialize, ToSchema)]
struct TwinsPart {
    #[schema(value_type = words::PartStatus)]
    status: &'static str,
    in_memory: u64,
    /// Times that one was started again because it had died.
    restarted: u64,
}

/// The rules.
#[derive(Debug, Serialize, ToSchema)]
struct AutomationPart {
    /// `ok`; `broken`: rule files do not check out, and what they said before goes on; or `down`: no rule runs.
    #[schema(value_type = words::AutomationStatus)]
    status: &'static str,
    rules: u64,
    /// The first error of each file that does not check out, with file, line and column.
    #[schema(example = json!(["hall.yaml:7:9: `abve` is no key of a numeric trigger, did you mean `above`?"]))]
    broken: Vec<String>,
    /// Runs that came to an end, since the start.
    runs: u64,
}

/// Live subscribers.
#[derive(Debug, Serialize, ToSchema)]
struct FeedPart {
    #[schema(value_type = words::PartStatus)]
    status: &'static str,
    subscribers: u64,
    lagged: u64,
}

/// Whether the hub can serve.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    ready: bool,
}

/// The health of the hub and its parts. Always 200: it lives, and `status` says how well.
#[utoipa::path(get, path = "/health", tag = "operations", responses((status = 200, body = Health)))]
pub async fn get_health(access: Access) -> HttpResponse {
    reply::json(StatusCode::OK, &Health::of(&access))
}

/// 200 when requests can be served and what they say be stored; 503 while not.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "operations",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness))
)]
pub async fn get_ready(access: Access) -> HttpResponse {
    let ready = access.state.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    reply::json(status, &Readiness { ready })
}

impl Health {
    fn of(access: &Access) -> Self {
        let parts = HealthParts::of(access);
        let HealthParts { store, mqtt, http, twins, feed, automation, tls, disk } = &parts;
        let tls = tls.as_ref().map_or("ok", TlsPart::status);
        let well =
            [store.status, mqtt.status, http.status, twins.status, feed.status, automation.status, tls];
        let is_full = disk.as_ref().is_some_and(DiskPart::is_full);
        let is_well = well.iter().all(|status| *status == "ok") && !is_full;
        let status = if is_well { "healthy" } else { "degraded" };
        let services = ServiceStates::of(access);
        if access.demand(Permission::Monitor).is_err() {
            return Self {
                status,
                services,
                version: None,
                started_at: None,
                uptime_seconds: None,
                parts: None,
            };
        }
        Self {
            status,
            services,
            version: Some(access.state.info.version),
            started_at: Some(access.state.info.started_at),
            uptime_seconds: Some(uptime_seconds(access)),
            parts: Some(parts),
        }
    }
}

impl BrokerPart {
    fn of(
        connections: u64,
        BrokerFigures { most_connections, connections_refused, retained, sessions }: BrokerFigures,
    ) -> Self {
        let crowded = connections >= most_connections - most_connections / 10;
        Self {
            warning: crowded.then_some("all places for unknown clients are taken, see mqtt-connections"),
            most_connections,
            connections_refused,
            retained_messages: retained.messages,
            retained_bytes: retained.bytes,
            retained_refused: retained.refused,
            sessions: sessions.sessions,
            session_messages: sessions.messages,
            session_bytes: sessions.bytes,
            sessions_ended: sessions.ended,
            session_messages_dropped: sessions.dropped,
        }
    }
}

impl HealthParts {
    fn of(access: &Access) -> Self {
        let (counters, alive) = (access.counters(), access.alive());
        let link = access.state.link.state();
        let or = |well: bool, word: &'static str| if well { "ok" } else { word };
        let commits = get(&counters.commits);
        let (connections, most_connections) =
            (access.state.connections.count(), access.state.connections.most());
        let broken = counters.broken_rules.list();
        let micros = get(&counters.commit_micros) / commits.max(1);
        let commit_time = duration_text(i64::try_from(micros / 1_000).unwrap_or(i64::MAX));
        Self {
            store: StorePart {
                status: match (counters.store_lost.is_set(), get(&counters.store_failing)) {
                    (true, _) => "conflict",
                    (false, 0) => "ok",
                    (false, _) => "failing",
                },
                seq: get(&counters.seq),
                commits,
                commits_failed: get(&counters.commits_failed),
                commit_time,
                inputs_in_flight: get(&counters.inputs_in_flight),
            },
            mqtt: MqttPart {
                status: match &link.broker {
                    Some(broker) if link.connected && link.connections >= broker.most_connections => "full",
                    _ => or(link.connected, "down"),
                },
                url: access.state.info.mqtt_url.clone(),
                detail: link.detail,
                connections: link.connections,
                broker: link.broker.map(|broker| BrokerPart::of(link.connections, broker)),
                outbox_waiting: get(&counters.outbox_waiting),
                messages_shed: get(&counters.messages_shed),
                messages_rejected: get(&counters.messages_rejected),
                messages_unread: access.unread_topics().total(),
                warning: link.warning,
            },
            http: HttpPart {
                status: or(connections < most_connections - most_connections / 10, "crowded"),
                connections,
                most_connections,
                refused: access.state.connections.refused(),
            },
            automation: AutomationPart {
                status: match (alive.automation, broken.is_empty()) {
                    (false, _) => "down",
                    (true, false) => "broken",
                    (true, true) => "ok",
                },
                rules: get(&counters.rules),
                broken,
                runs: get(&counters.rule_runs),
            },
            twins: TwinsPart {
                status: or(alive.supervisor, "down"),
                in_memory: get(&counters.twins),
                restarted: get(&counters.twins_restarted),
            },
            feed: FeedPart {
                status: or(alive.feed, "down"),
                subscribers: get(&counters.subscribers),
                lagged: get(&counters.subscribers_lagged),
            },
            tls: access
                .state
                .tls
                .as_ref()
                .map(|tls| TlsPart::of(tls.state(), get(&counters.certificates_ending), access.now())),
            disk: access.state.disk.state().map(DiskPart::of),
        }
    }
}
