//! `/health` and `/ready`: how the hub is, by part, and whether it can serve.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::web::Data;
use serde::Serialize;
use twinhub_actors::counters::get;
use twinhub_actors::domain::Timestamp;
use utoipa::ToSchema;

use super::device::seconds_between;
use super::reply;
use crate::web::WebState;

/// How the hub is.
#[derive(Debug, Serialize, ToSchema)]
pub struct Health {
    /// `ok`, or `degraded` while a part is not.
    #[schema(example = "ok")]
    status: &'static str,
    version: &'static str,
    #[schema(value_type = String, format = DateTime)]
    started_at: Timestamp,
    uptime_seconds: f64,
    parts: Parts,
}

/// How its parts are.
#[derive(Debug, Serialize, ToSchema)]
struct Parts {
    store: StorePart,
    mqtt: MqttPart,
    twins: TwinsPart,
    feed: FeedPart,
    automation: AutomationPart,
}

/// The store and the journal before it.
#[derive(Debug, Serialize, ToSchema)]
struct StorePart {
    /// `ok`, or `failing`: nothing is taken in, and nothing acknowledged is lost; or `conflict`: another program
    /// writes to the database, and this one ends.
    status: &'static str,
    seq: u64,
    commits: u64,
    commits_failed: u64,
    /// On average, since the start.
    commit_ms: f64,
    inputs_in_flight: u64,
}

/// The link to the devices.
#[derive(Debug, Serialize, ToSchema)]
struct MqttPart {
    /// `ok`, or `down`.
    status: &'static str,
    /// Where devices connect to.
    #[schema(example = "mqtt://127.0.0.1:1883")]
    url: String,
    detail: String,
    connections: u64,
    outbox_waiting: u64,
    messages_shed: u64,
    messages_rejected: u64,
}

/// The twins.
#[derive(Debug, Serialize, ToSchema)]
struct TwinsPart {
    status: &'static str,
    in_memory: u64,
    /// Times that one was started again because it had died.
    restarted: u64,
}

/// The rules.
#[derive(Debug, Serialize, ToSchema)]
struct AutomationPart {
    /// `ok`; `broken`: rule files do not check out, and what they said before goes on; or `down`: no rule runs.
    status: &'static str,
    rules: u64,
    /// What is wrong first in each file that does not check out, with file, line and column.
    #[schema(example = json!(["hall.yaml:7:9: `abve` is no key of a numeric trigger, did you mean `above`?"]))]
    broken: Vec<String>,
    /// Runs that came to an end, since the start.
    runs: u64,
}

/// Live subscribers.
#[derive(Debug, Serialize, ToSchema)]
struct FeedPart {
    status: &'static str,
    subscribers: u64,
    lagged: u64,
}

/// Whether the hub can serve.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    ready: bool,
}

/// How the hub and its parts are. Always 200: it lives, and `status` says how well.
#[utoipa::path(get, path = "/health", tag = "operations", responses((status = 200, body = Health)))]
pub async fn get_health(state: Data<WebState>) -> HttpResponse {
    reply::json(StatusCode::OK, &Health::of(&state))
}

/// 200 when requests can be served and what they say be stored; 503 while not.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "operations",
    responses((status = 200, body = Readiness), (status = 503, body = Readiness))
)]
pub async fn get_ready(state: Data<WebState>) -> HttpResponse {
    let ready = state.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    reply::json(status, &Readiness { ready })
}

impl Health {
    fn of(state: &WebState) -> Self {
        let parts = Parts::of(state);
        let Parts { store, mqtt, twins, feed, automation } = &parts;
        let well = [store.status, mqtt.status, twins.status, feed.status, automation.status];
        let started_at = state.info.started_at;
        Self {
            status: if well.iter().all(|status| *status == "ok") { "ok" } else { "degraded" },
            version: state.info.version,
            started_at,
            uptime_seconds: seconds_between(started_at, state.hub.clock.now()),
            parts,
        }
    }
}

impl Parts {
    fn of(state: &WebState) -> Self {
        let counters = &state.hub.counters;
        let link = state.link.state();
        let or = |well: bool, word: &'static str| if well { "ok" } else { word };
        let commits = get(&counters.commits);
        let broken = counters.broken_rules.list();
        #[expect(clippy::cast_precision_loss, reason = "a mean to look at")]
        let commit_ms = (get(&counters.commit_micros) / commits.max(1)) as f64 / 1_000.0;
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
                commit_ms,
                inputs_in_flight: get(&counters.inputs_in_flight),
            },
            mqtt: MqttPart {
                status: or(link.connected, "down"),
                url: state.info.mqtt_url.clone(),
                detail: link.detail,
                connections: link.connections,
                outbox_waiting: get(&counters.outbox_waiting),
                messages_shed: get(&counters.messages_shed),
                messages_rejected: get(&counters.messages_rejected),
            },
            automation: AutomationPart {
                status: match (state.hub.automation.connected(), broken.is_empty()) {
                    (false, _) => "down",
                    (true, false) => "broken",
                    (true, true) => "ok",
                },
                rules: get(&counters.rules),
                broken,
                runs: get(&counters.rule_runs),
            },
            twins: TwinsPart {
                status: or(state.hub.supervisor.connected(), "down"),
                in_memory: get(&counters.twins),
                restarted: get(&counters.twins_restarted),
            },
            feed: FeedPart {
                status: or(state.hub.feed.connected(), "down"),
                subscribers: get(&counters.subscribers),
                lagged: get(&counters.subscribers_lagged),
            },
        }
    }
}
