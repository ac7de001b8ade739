//! Schemas that several resources share.

pub(crate) mod words;

use utoipa::ToSchema;

use self::words::Source;

/// Any JSON object.
pub struct Object;

/// The source of a change, and the person, device, rule or job behind it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, never made")]
pub struct CauseItem {
    source: Source,
    /// The topic, the person (`user:ann`), the rule's name, the job's id; left out where it is unknown.
    #[schema(nullable = false, example = "user:ann")]
    by: Option<String>,
}

/// The same of an event.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, never made")]
pub struct EventCause {
    source: Source,
    #[schema(nullable = false, example = "iot/devices/pump-1/data")]
    by: Option<String>,
    /// The rule's run, where one brought it about.
    #[schema(nullable = false)]
    run_id: Option<String>,
    /// The number of runs above that one.
    #[schema(nullable = false)]
    depth: Option<u8>,
    /// The broker had kept the message: it shows an earlier state, not that anything happened just now.
    #[schema(nullable = false)]
    retained: Option<bool>,
}

/// The same of what set a rule off.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, never made")]
pub struct TriggerCause {
    source: Source,
    #[schema(nullable = false)]
    by: Option<String>,
    #[schema(nullable = false)]
    run: Option<RunOfCause>,
    #[schema(nullable = false)]
    retained: Option<bool>,
}

/// A run that brought something about.
#[derive(ToSchema)]
#[expect(dead_code, reason = "described, never made")]
pub struct RunOfCause {
    id: String,
    /// The number of runs above this one.
    depth: u8,
    /// The rule may drive devices in manual mode too.
    #[schema(nullable = false)]
    even_in_manual: Option<bool>,
}

/// A reading's value.
#[derive(ToSchema)]
#[schema(example = 23.5)]
#[serde(untagged)]
#[expect(dead_code, reason = "described, never made")]
pub enum ScalarValue {
    Number(f64),
    Boolean(bool),
    Text(String),
}
