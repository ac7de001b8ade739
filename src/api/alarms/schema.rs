//! Shapes of alarms, and of webhooks that rules sent.
#![expect(dead_code, reason = "described, never made")]

use utoipa::{IntoParams, ToSchema};

use crate::api::schema::words::{AlarmStatus, DeliveryStatus, Severity};

/// An alarm: of one originator and type there is one active at most; raised again, it counts.
#[derive(ToSchema)]
pub struct AlarmItem {
    #[schema(example = "01890a5d-ac96-774b-bcce-b302099a8057")]
    id: String,
    /// The device that it is about; null where it is about a rule or the hub.
    #[schema(example = "greenhouse")]
    device_id: Option<String>,
    /// The rule that it is about; null where it is about a device or the hub.
    rule_id: Option<String>,
    #[schema(example = "greenhouse-hot")]
    r#type: String,
    /// As it was raised last.
    severity: Severity,
    #[schema(example = "Greenhouse 29.5 °C")]
    message: String,
    status: AlarmStatus,
    /// Somebody has seen it. Raised again and worse, it is to be seen again.
    acknowledged: bool,
    #[schema(format = DateTime)]
    raised_at: String,
    /// When it was raised last.
    #[schema(format = DateTime)]
    last_at: String,
    /// The number of times that it was raised.
    count: u32,
    #[schema(format = DateTime)]
    cleared_at: Option<String>,
    /// `user:ann`, `rule:greenhouse-cool`, or the source: `rest`.
    cleared_by: Option<String>,
    #[schema(format = DateTime)]
    acknowledged_at: Option<String>,
    acknowledged_by: Option<String>,
    /// The rule that raised it last.
    #[schema(example = "greenhouse-cool")]
    last_rule_id: Option<String>,
    /// That rule's run.
    last_run_id: Option<String>,
}

/// A webhook that a rule sent.
#[derive(ToSchema)]
pub struct DeliveryItem {
    /// As the receiver gets it in `X-Twinhub-Delivery`.
    #[schema(example = "01890a5d-ac96-774b-bcce-b302099a8057")]
    id: String,
    #[schema(example = "greenhouse-cool")]
    rule_id: String,
    run_id: String,
    #[schema(example = "https://hooks.example/greenhouse")]
    url: String,
    #[schema(example = "POST")]
    method: String,
    /// Any JSON.
    body: serde_json::Value,
    /// It carries a signature.
    signed: bool,
    status: DeliveryStatus,
    attempts: u16,
    max_attempts: u16,
    /// When it is tried (again), while it waits.
    #[schema(format = DateTime)]
    next_at: Option<String>,
    /// The receiver's last answer, or the reason why it could not be reached.
    #[schema(example = "503 Service Unavailable: come back later")]
    detail: Option<String>,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    ended_at: Option<String>,
}

/// A query for alarms: the filter and the page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct AlarmListing {
    active: Option<bool>,
    acknowledged: Option<bool>,
    /// Of this severity or worse: `info`, `warning`, `minor`, `major` or `critical`.
    #[param(example = "major")]
    severity: Option<String>,
    /// The alarm's type.
    r#type: Option<String>,
    /// The rule that raised it.
    rule_id: Option<String>,
    /// By when it was raised first; inclusive. RFC 3339, a date, or epoch seconds.
    from: Option<String>,
    /// Exclusive; a date means to the end of that day.
    to: Option<String>,
    /// From 1.
    page: Option<u64>,
    /// 20 by default, 1,000 at most.
    limit: Option<u64>,
}

/// A query for webhooks: the filter and the page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct DeliveryListing {
    /// `waiting`, `delivered` or `failed`.
    status: Option<String>,
    /// The run that sent it.
    run_id: Option<String>,
    /// From 1.
    page: Option<u64>,
    /// 20 by default, 1,000 at most.
    limit: Option<u64>,
}
