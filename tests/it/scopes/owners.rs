//! People who own devices: what they register and claim is theirs, up to their quota.

use reqwest::Method;
use serde_json::json;

use super::{done, refused, with_scope};
use crate::support::hub::Installation;
use crate::support::people::Person;
use crate::support::{MqttDevice, eventually};

#[tokio::test]
async fn who_has_a_scope_of_their_own_owns_what_they_register() {
    let hub = Installation::new().start().await;
    let admin = Person::first(&hub, "ann").await;
    let (olga, otto) = (
        with_scope(&hub, &admin, "olga", &json!("own")).await,
        with_scope(&hub, &admin, "otto", &json!("own")).await,
    );
    done(&hub, &admin, Method::PATCH, "/api/users/olga", &json!({ "quota": 2 })).await;
    let device = |id: &str| json!({ "device_id": id, "name": id });
    done(&hub, &olga, Method::POST, "/api/devices", &device("lamp")).await;
    done(&hub, &otto, Method::POST, "/api/devices", &device("fan")).await;
    let twin = olga.json(&hub, "/api/devices/lamp/twin").await;
    let user = olga.json(&hub, "/api/auth/user").await;
    assert_eq!(twin["owner_id"], user["user"]["id"]);
    assert_eq!(user["user"]["scope"], json!({ "own": user["user"]["id"] }));
    let listed = olga.json(&hub, "/api/devices").await;
    assert!(listed.as_array().unwrap().len() == 1 && listed[0]["id"] == "lamp", "{listed}");
    assert_eq!(refused(&hub, &olga, Method::GET, "/api/devices/fan", &json!({})).await.0, 404);

    // One that speaks by itself is nobody's until it is claimed by who knows its serial number.
    let mut heard = MqttDevice::connect(hub.mqtt.unwrap(), "stray").await.unwrap();
    heard.publish(1, "iot/devices/stray/data", br#"{"t": 1}"#).await.unwrap();
    eventually("it is there", async || {
        admin.get(&hub, "/api/devices/stray").await.status().is_success().then_some(())
    })
    .await;
    assert_eq!(olga.json(&hub, "/api/devices/unclaimed").await, json!([]));
    done(&hub, &olga, Method::POST, "/api/devices/claim", &json!({ "serial_number": "stray" })).await;
    assert_eq!(olga.json(&hub, "/api/devices").await.as_array().unwrap().len(), 2);
    let again =
        refused(&hub, &otto, Method::POST, "/api/devices/claim", &json!({ "serial_number": "stray" })).await;
    assert_eq!(again.0, 404, "{again:?}");

    // No more than the quota, until one is gone.
    let said = refused(&hub, &olga, Method::POST, "/api/devices", &device("third")).await;
    assert_eq!((said.0, &*said.1), (409, "quota_reached"), "{said:?}");
    done(&hub, &olga, Method::DELETE, "/api/devices/lamp", &json!({})).await;
    done(&hub, &olga, Method::POST, "/api/devices", &device("third")).await;
}

#[tokio::test]
async fn a_key_reaches_what_both_it_and_its_owner_do() {
    let people = super::TwoPeople::start().await;
    let (hub, alpha) = (&people.hub, &people.alpha);
    for (scope, expected) in [
        (json!({ "groups": ["alpha-hall"] }), vec!["alpha-fan"]),
        (json!({ "devices": ["alpha-pump", "beta-pump"] }), vec!["alpha-pump"]),
        (json!({ "groups": ["beta-plant"] }), vec![]),
        (json!("all"), vec!["alpha-pump", "alpha-fan"]),
    ] {
        let key = json!({ "name": "k", "role": "viewer", "scope": scope });
        let made = done(hub, alpha, Method::POST, "/api/auth/keys", &key).await;
        let answer = hub
            .request(Method::GET, "/api/devices")
            .bearer_auth(made["secret"].as_str().unwrap())
            .send()
            .await
            .unwrap();
        let listed: serde_json::Value = answer.json().await.unwrap();
        let ids: Vec<_> = listed.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect();
        assert_eq!(ids, expected, "{scope}");
    }
}

/// A group of an owner that an admin hung under another, or that others' groups stand under, is in others' reach too.
#[tokio::test]
async fn an_owner_moves_and_removes_no_group_that_others_reach_through() {
    let hub = Installation::new().start().await;
    let admin = Person::first(&hub, "ann").await;
    let olga = with_scope(&hub, &admin, "olga", &json!("own")).await;
    let group = |id: &str| json!({ "id": id, "name": id });
    for id in ["hers", "beside", "over"] {
        done(&hub, &olga, Method::POST, "/api/groups", &group(id)).await;
    }
    done(&hub, &admin, Method::POST, "/api/groups", &group("plant")).await;
    done(&hub, &admin, Method::PUT, "/api/groups/hers", &json!({ "parent_group": "plant" })).await;
    let under_over = json!({ "id": "theirs", "name": "Theirs", "parent_group": "over" });
    done(&hub, &admin, Method::POST, "/api/groups", &under_over).await;
    let beside = json!({ "parent_group": "beside" });
    for id in ["hers", "over"] {
        let path = format!("/api/groups/{id}");
        let moved = refused(&hub, &olga, Method::PUT, &path, &beside).await;
        assert_eq!((moved.0, &*moved.1), (403, "out_of_scope"), "{id}: {moved:?}");
        let path = format!("{path}?force=true");
        let removed = refused(&hub, &olga, Method::DELETE, &path, &json!({})).await;
        assert_eq!((removed.0, &*removed.1), (403, "out_of_scope"), "{id}: {removed:?}");
    }
    // For her it is at the top, and what she sends back as she sees it changes nothing.
    let as_seen = json!({ "name": "Hers", "parent_group": null });
    done(&hub, &olga, Method::PUT, "/api/groups/hers", &as_seen).await;
    assert_eq!(admin.json(&hub, "/api/groups/hers").await["parent_group"], "plant");
    done(&hub, &olga, Method::DELETE, "/api/groups/beside", &json!({})).await;
}

/// Devices that an owner does not reach are not changed by what they remove.
#[tokio::test]
async fn an_owner_removes_no_group_with_devices_of_others() {
    let hub = Installation::new().start().await;
    let admin = Person::first(&hub, "ann").await;
    let olga = with_scope(&hub, &admin, "olga", &json!("own")).await;
    done(&hub, &olga, Method::POST, "/api/groups", &json!({ "id": "hers", "name": "Hers" })).await;
    let device = |id: &str| json!({ "device_id": id, "name": id, "group_id": "hers" });
    done(&hub, &olga, Method::POST, "/api/devices", &device("her-pump")).await;
    done(&hub, &admin, Method::POST, "/api/devices", &device("other-pump")).await;
    for path in ["/api/groups/hers", "/api/groups/hers?force=true"] {
        let removed = refused(&hub, &olga, Method::DELETE, path, &json!({})).await;
        assert_eq!((removed.0, &*removed.1), (403, "out_of_scope"), "{path}: {removed:?}");
    }
    for id in ["her-pump", "other-pump"] {
        assert_eq!(admin.json(&hub, &format!("/api/devices/{id}")).await["group_id"], "hers", "{id}");
    }
    done(&hub, &admin, Method::PUT, "/api/devices/other-pump", &json!({ "group_id": null })).await;
    done(&hub, &olga, Method::DELETE, "/api/groups/hers?force=true", &json!({})).await;
    assert_eq!(olga.json(&hub, "/api/devices/her-pump").await["group_id"], json!(null));
}

#[tokio::test]
async fn an_owner_has_so_many_groups_and_no_more() {
    let hub = Installation::new().start().await;
    let admin = Person::first(&hub, "ann").await;
    let olga = with_scope(&hub, &admin, "olga", &json!("own")).await;
    let group = |n: usize| json!({ "id": format!("g-{n}"), "name": "G" });
    for n in 0..200 {
        done(&hub, &olga, Method::POST, "/api/groups", &group(n)).await;
    }
    let one_more = refused(&hub, &olga, Method::POST, "/api/groups", &group(200)).await;
    assert_eq!((one_more.0, &*one_more.1), (409, "quota_reached"), "{one_more:?}");
    done(&hub, &admin, Method::POST, "/api/groups", &group(200)).await;
    done(&hub, &olga, Method::DELETE, "/api/groups/g-0", &json!({})).await;
    done(&hub, &olga, Method::POST, "/api/groups", &group(201)).await;
}
