//! Provisioning keys, and those of webhooks, as answers show them.

use serde::Serialize;
use twinhub_access::KeyPurpose;
use twinhub_actors::messages::bound_keys::{BoundKeyMade, BoundKeyView};
use twinhub_domain::Timestamp;
use utoipa::ToSchema;

/// A provisioning key.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProvisioningKeyItem {
    id: String,
    #[schema(example = "line 3")]
    name: String,
    /// The id of the user who made it, with whom it goes; null where that was no user.
    owner_id: Option<String>,
    template_id: Option<String>,
    group_id: Option<String>,
    /// The ids that devices may have; none: any.
    #[schema(example = json!(["line3-*"]))]
    ids: Vec<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The time up to which it counts.
    #[schema(value_type = Option<String>, format = DateTime)]
    until: Option<Timestamp>,
    /// The number of devices that have registered with it.
    used: u64,
    /// The most that may.
    uses: Option<u64>,
    #[schema(value_type = Option<String>, format = DateTime)]
    last_used: Option<Timestamp>,
    last_address: Option<String>,
    /// The end of the secret, by which people tell it.
    last_4: String,
}

/// A provisioning key that was made.
#[derive(Serialize, ToSchema)]
pub struct NewProvisioningKeyItem {
    /// The secret. It is shown once: nobody can see it again.
    #[schema(example = "twh_dvp_…")]
    secret: String,
    #[serde(flatten)]
    #[schema(inline)]
    key: ProvisioningKeyItem,
}

/// A key of a webhook.
#[derive(Debug, Serialize, ToSchema)]
pub struct WebhookKeyItem {
    id: String,
    #[schema(example = "gate")]
    name: String,
    /// The name of the webhook.
    webhook: String,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The end of the secret, by which people tell it.
    last_4: String,
}

/// A key of a webhook that was made.
#[derive(Serialize, ToSchema)]
pub struct NewWebhookKeyItem {
    /// The secret. It is shown once: nobody can see it again.
    #[schema(example = "twh_whk_…")]
    secret: String,
    #[serde(flatten)]
    #[schema(inline)]
    key: WebhookKeyItem,
}

impl ProvisioningKeyItem {
    /// The key in an answer.
    #[must_use]
    pub fn of(key: &BoundKeyView) -> Self {
        let provisioning = match &key.purpose {
            KeyPurpose::Provisioning(provisioning) => provisioning.clone(),
            KeyPurpose::Webhook(_) | KeyPurpose::Bridge(_) => twinhub_access::Provisioning::default(), // it is never asked for here
        };
        let (last_used, last_address) = key.last_used.unzip();
        Self {
            id: key.id.to_string(),
            name: key.name.to_string(),
            owner_id: key.owner.map(|owner| owner.to_string()),
            template_id: provisioning.template_id.map(String::from),
            group_id: provisioning.group_id.map(|group| group.to_string()),
            ids: provisioning.ids.iter().map(ToString::to_string).collect(),
            created_at: key.created_at,
            until: key.expires_at,
            used: key.uses,
            uses: key.most_uses,
            last_used,
            last_address: last_address.map(|address| address.to_string()),
            last_4: key.last_4.to_string(),
        }
    }
}

impl NewProvisioningKeyItem {
    /// The key and its secret in an answer.
    #[must_use]
    pub fn of(made: &BoundKeyMade) -> Self {
        Self { secret: made.secret.reveal().to_owned(), key: ProvisioningKeyItem::of(&made.key) }
    }
}

impl WebhookKeyItem {
    /// The key of the webhook called `webhook` in an answer.
    #[must_use]
    pub fn of(key: &BoundKeyView, webhook: &str) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.to_string(),
            webhook: webhook.to_owned(),
            created_at: key.created_at,
            last_4: key.last_4.to_string(),
        }
    }
}

impl NewWebhookKeyItem {
    /// The key and its secret in an answer.
    #[must_use]
    pub fn of(made: &BoundKeyMade, webhook: &str) -> Self {
        Self { secret: made.secret.reveal().to_owned(), key: WebhookKeyItem::of(&made.key, webhook) }
    }
}
