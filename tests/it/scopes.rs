//! Scopes: people with a part of the devices each, and nothing of one's reaches the other.

mod cursors;
mod jobs;
mod live;
mod owners;
mod rules;
mod side_channels;
mod two_subtrees;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::HubProcess;
use crate::support::hub::Installation;
use crate::support::people::{PASSWORD, Person};

/// A hub with two subtrees, and an operator for each: whatever is of one has the word `alpha` in it, whatever is of the
/// other `beta`.
struct TwoPeople {
    hub: HubProcess,
    admin: Person,
    alpha: Person,
    beta: Person,
}

/// The two words.
const WORDS: [&str; 2] = ["alpha", "beta"];

impl TwoPeople {
    async fn start() -> Self {
        Self::start_on(Installation::new()).await
    }

    async fn start_on(installation: Installation) -> Self {
        let hub = installation.start().await;
        let admin = Person::first(&hub, "ann").await;
        for word in WORDS {
            for (id, parent) in [
                (format!("{word}-plant"), Value::Null),
                (format!("{word}-hall"), json!(format!("{word}-plant"))),
            ] {
                let group = json!({ "id": id, "name": id, "parent_group": parent });
                done(&hub, &admin, Method::POST, "/api/groups", &group).await;
            }
            for (kind, group) in [("pump", "plant"), ("fan", "hall")] {
                let device = json!({
                    "device_id": format!("{word}-{kind}"), "name": format!("{word} {kind}"),
                    "serial_number": format!("{word}-{kind}-1"), "group_id": format!("{word}-{group}"),
                    "tags": { format!("{word}-tag"): 1 },
                });
                done(&hub, &admin, Method::POST, "/api/devices", &device).await;
                let path = format!("/api/devices/{word}-{kind}/data");
                done(&hub, &admin, Method::POST, &path, &json!({ format!("{word}_temperature"): 20 })).await;
            }
        }
        let alpha = of_group(&hub, &admin, "ula", "alpha-plant").await;
        let beta = of_group(&hub, &admin, "udo", "beta-plant").await;
        Self { hub, admin, alpha, beta }
    }

    /// The person of this word.
    fn of(&self, word: &str) -> &Person {
        if word == "alpha" { &self.alpha } else { &self.beta }
    }
}

/// An operator for the devices of a group.
async fn of_group(hub: &HubProcess, admin: &Person, name: &str, group: &str) -> Person {
    with_scope(hub, admin, name, &json!({ "groups": [group] })).await
}

async fn with_scope(hub: &HubProcess, admin: &Person, name: &str, scope: &Value) -> Person {
    let user = json!({ "name": name, "role": "operator", "password": PASSWORD, "scope": scope });
    done(hub, admin, Method::POST, "/api/users", &user).await;
    Person::sign_in(hub, name).await
}

/// A request that must succeed; its answer.
async fn done(hub: &HubProcess, person: &Person, method: Method, path: &str, body: &Value) -> Value {
    let answer = person.send(hub, method.clone(), path, body).await;
    let (status, text) = (answer.status(), answer.text().await.unwrap());
    assert!(status.is_success(), "{method} {path} {body}: {status} {text}");
    serde_json::from_str(&text).unwrap_or_default()
}

/// The status of an answer, the stable word of a problem, and its sentence.
async fn refused(
    hub: &HubProcess,
    person: &Person,
    method: Method,
    path: &str,
    body: &Value,
) -> (u16, String, String) {
    let answer = person.send(hub, method, path, body).await;
    let status = answer.status().as_u16();
    let problem: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
    let text = |member: &str| problem[member].as_str().unwrap_or_default().to_owned();
    (status, text("code"), text("detail"))
}
