//! `/api/bridges`: programs that speak MQTT on topics of their own, such as Zigbee2MQTT, Home Assistant and other brokers.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::{Deserialize, Serialize};
use twinhub_access::{BadBridge, Bridge, DisplayName, KeyPurpose};
use twinhub_actors::messages::bound_keys::{
    BoundKeyView, BoundKeysOf, BridgePut, ListBoundKeys, PutBridge, RevokeBoundKey,
};
use twinhub_domain::Timestamp;
use twinhub_mqtt::dialects::Dialects;
use utoipa::ToSchema;

use crate::http::Access;
use crate::http::extract::body::{Body, NamePath};
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::Params;
use crate::http::extract::read::texts;
use crate::http::problem::{ApiError, Problem};
use crate::http::reply;
use crate::http::routes::routes;

routes! {
    Users: self::list_bridges,
    Users: self::put_bridge,
    Users: self::delete_bridge,
}

/// A bridge to be made, or its topics from now on.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewBridge {
    /// The topic filters of all on which it may publish: `+` stands for one level, `#` for all that follow. None by default.
    #[serde(default, deserialize_with = "texts")]
    #[schema(value_type = Option<Vec<String>>, example = json!(["zigbee2mqtt/#", "homeassistant/#"]))]
    publish: Option<Vec<Box<str>>>,
    /// The topic filters of all to which it may subscribe. None by default.
    #[serde(default, deserialize_with = "texts")]
    #[schema(value_type = Option<Vec<String>>, example = json!(["zigbee2mqtt/#"]))]
    subscribe: Option<Vec<Box<str>>>,
    /// True: the filters may match topics on which else the hub alone speaks to devices.
    hub_topics: Option<bool>,
}

/// A bridge.
#[derive(Debug, Serialize, ToSchema)]
pub struct BridgeItem {
    #[schema(example = "zigbee2mqtt")]
    name: String,
    /// Its user name at a broker. The embedded one takes any, with the secret as the password.
    #[schema(example = "bridge@zigbee2mqtt")]
    username: String,
    publish: Vec<String>,
    subscribe: Vec<String>,
    hub_topics: bool,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// The end of the secret, by which people tell it.
    last_4: String,
}

/// A bridge that was made or changed.
#[derive(Serialize, ToSchema)]
pub struct PutBridgeItem {
    /// The secret of a bridge that was made. It is shown once: nobody can see it again.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "twh_brg_…")]
    secret: Option<String>,
    #[serde(flatten)]
    #[schema(inline)]
    bridge: BridgeItem,
}

/// The bridges, by name.
#[utoipa::path(get, path = "/api/bridges", tag = "users", responses((status = 200, body = [BridgeItem])))]
pub async fn list_bridges(params: Params, access: Access) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let mut keys = bridges(&access).await?;
    keys.sort_by(|one, other| one.name.as_str().cmp(other.name.as_str()));
    let items: Vec<_> = keys.iter().map(BridgeItem::of).collect();
    Ok(reply::json(StatusCode::OK, &items))
}

/// Makes a bridge, whose secret is in this answer and nowhere else; or gives the bridge of this name other topics: it keeps
/// its secret, and its clients are disconnected.
#[utoipa::path(
    put,
    path = "/api/bridges/{name}",
    tag = "users",
    params(("name" = String, Path, description = "1 to 64 of `A-Z a-z 0-9 . _ -`")),
    request_body = NewBridge,
    responses(
        (status = 200, description = "Changed", body = PutBridgeItem),
        (status = 201, description = "Made; the secret is shown this once", body = PutBridgeItem),
        (status = 409, description = "There are as many as there may be", body = Problem),
        (status = 422, description = "The name or a filter is none, or is not for bridges", body = Problem),
    )
)]
pub async fn put_bridge(
    NamePath(name): NamePath,
    params: Params,
    Body(body): Body<NewBridge>,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let bad_name = |detail: String| FieldError::bad("name", detail);
    Bridge::check_name(&name).map_err(|error| bad_name(error.to_string()))?;
    let name = DisplayName::parse(&name).map_err(|error| bad_name(error.to_string()))?;
    let (bridge, by) = (bridge(body, &access.dialects())?, access.asker());
    let put = access.change(|reply| PutBridge { name, bridge, by, reply }).await??;
    let BridgePut { key, secret } = put;
    let status = if secret.is_some() { StatusCode::CREATED } else { StatusCode::OK };
    let secret = secret.map(|secret| secret.reveal().to_owned());
    Ok(reply::json(status, &PutBridgeItem { secret, bridge: BridgeItem::of(&key) }))
}

/// Revokes a bridge: its clients are disconnected within a second.
#[utoipa::path(
    delete,
    path = "/api/bridges/{name}",
    tag = "users",
    params(("name" = String, Path, description = "The name of the bridge")),
    responses(
        (status = 200, body = BridgeItem),
        (status = 404, description = "There is no such bridge", body = Problem),
    )
)]
pub async fn delete_bridge(
    NamePath(name): NamePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let found = bridges(&access).await?.into_iter().find(|key| *key.name.as_str() == *name);
    let unknown = || ApiError::NotFound { what: "bridge", name: name.to_string() };
    let (key, by) = (found.ok_or_else(unknown)?.id, access.asker());
    let of = BoundKeysOf::Bridges;
    let revoked = access.change(|reply| RevokeBoundKey { of, key, by, reply }).await??;
    Ok(reply::json(StatusCode::OK, &BridgeItem::of(&revoked)))
}

async fn bridges(access: &Access) -> Result<Vec<BoundKeyView>, ApiError> {
    let (of, by) = (BoundKeysOf::Bridges, access.asker());
    Ok(access.ask(ListBoundKeys { of, by }).await??)
}

/// The bridge of a body, once its filters are checked.
fn bridge(body: NewBridge, dialects: &Dialects) -> Result<Bridge, FieldError> {
    let NewBridge { publish, subscribe, hub_topics } = body;
    let hub_topics = hub_topics.unwrap_or(false);
    let (publish, subscribe) = (publish.unwrap_or_default(), subscribe.unwrap_or_default());
    for (field, filters) in [("publish", &publish), ("subscribe", &subscribe)] {
        let bad = |error: BadBridge| FieldError::bad(field, error.to_string());
        Bridge::check_filters(filters).map_err(bad)?;
        let of_hub = filters.iter().find_map(|filter| Some((filter, dialects.hubs_within(filter)?)));
        if let Some((filter, of_hub)) = of_hub.filter(|_| !hub_topics) {
            let detail = format!(
                "`{filter}` has topics of `{of_hub}`, on which the hub alone speaks: leave them out, or say `hub_topics: true`"
            );
            return Err(FieldError::bad(field, detail));
        }
    }
    Ok(Bridge { publish, subscribe, hub_topics, broker_hash: "".into() })
}

impl BridgeItem {
    fn of(key: &BoundKeyView) -> Self {
        let bridge = match &key.purpose {
            KeyPurpose::Bridge(bridge) => bridge.clone(),
            KeyPurpose::Provisioning(_) | KeyPurpose::Webhook(_) => Bridge::default(), // it is never asked for here
        };
        let texts = |filters: Vec<Box<str>>| filters.into_iter().map(String::from).collect();
        Self {
            name: key.name.to_string(),
            username: Bridge::user_name(key.name.as_str()),
            publish: texts(bridge.publish),
            subscribe: texts(bridge.subscribe),
            hub_topics: bridge.hub_topics,
            created_at: key.created_at,
            last_4: key.last_4.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_leave_the_hubs_topics_out_unless_it_is_said() {
        let dialects = Dialects::default();
        let check = |publish: &[&str], subscribe: &[&str], hub_topics: bool| {
            let list = |filters: &[&str]| Some(filters.iter().map(|filter| (*filter).into()).collect());
            let body = NewBridge {
                publish: list(publish),
                subscribe: list(subscribe),
                hub_topics: Some(hub_topics),
            };
            bridge(body, &dialects).map_err(|error| error.field)
        };
        assert!(check(&["zigbee2mqtt/#"], &["homeassistant/#"], false).is_ok());
        assert!(check(&["iot/devices/+/data", "iot/devices/z-1/status"], &[], false).is_ok());
        assert!(check(&[], &[], false).is_ok());
        for of_hub in [
            "#",
            "iot/#",
            "+/devices/+/commands",
            "iot/devices/z-1/+",
            "iot/devices/z-1/desired",
            "iot/devices/+/firmware/update",
            "iot/provision/response/z",
        ] {
            assert_eq!(check(&[of_hub], &[], false).err().as_deref(), Some("publish"), "{of_hub}");
            assert_eq!(check(&[], &[of_hub], false).err().as_deref(), Some("subscribe"), "{of_hub}");
            assert!(check(&[of_hub], &[of_hub], true).is_ok(), "{of_hub}");
        }
        assert_eq!(check(&["a/#/b"], &[], true).err().as_deref(), Some("publish"));
    }
}
