//! The right to publish. Clients have no identity yet; one rule needs none: the hub alone publishes on the topics on
//! which devices listen to it.

use mqtt5::broker::auth::AuthResult;
use mqtt5::protocol::v5::reason_codes::ReasonCode;

use super::connection::ClientConnection;
use crate::intake::Intake;

/// The stable word for it among rejected messages.
pub(super) const REASON: &str = "hub_only_topic";

/// The reason for the refusal of a publish, for people.
pub(super) fn refusal(client: &str) -> String {
    format!("the hub alone speaks on this topic, and `{client}` published to it")
}

/// None where a client with this last will may connect.
pub(super) fn refuse_will(
    intake: &dyn Intake,
    connection: &ClientConnection,
    client: &str,
) -> Option<AuthResult> {
    let dialects = intake.dialects();
    let (topic, payload) = connection
        .will_on(|will| dialects.is_hubs(&will.topic).then(|| (will.topic.clone(), will.payload.clone())))?;
    let detail = format!("the last will of `{client}` is on a topic on which the hub alone speaks");
    intake.refuse(&topic, &payload, REASON, detail);
    Some(AuthResult::fail_with_reason(
        ReasonCode::NotAuthorized,
        "the hub alone speaks on the topic of the will",
    ))
}
