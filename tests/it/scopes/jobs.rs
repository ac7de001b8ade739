//! Jobs go on with the rights of those who made them.

use reqwest::Method;
use serde_json::{Value, json};

use super::{TwoPeople, done, refused};
use crate::support::eventually;
use crate::support::people::Person;

/// Makes a job that never comes to its end by itself: a device a minute. Gives where it is.
async fn slow_job(people: &TwoPeople, person: &Person, devices: &[&str]) -> String {
    let bulk = json!({ "ids": devices, "rate": 0.02, "action": { "desired": { "power": "on" } } });
    let job = done(&people.hub, person, Method::POST, "/api/devices/bulk", &bulk).await;
    format!("/api/jobs/{}", job["id"].as_str().or(job["job_id"].as_str()).unwrap())
}

async fn stopped(people: &TwoPeople, path: &str) -> Value {
    eventually("the job is stopped", async || {
        let job = people.admin.json(&people.hub, path).await;
        (job["status"] == "canceled").then_some(job)
    })
    .await
}

async fn is_running(people: &TwoPeople, path: &str) -> bool {
    people.admin.json(&people.hub, path).await["status"] == "running"
}

#[tokio::test]
async fn a_job_is_stopped_where_its_makers_rights_end() {
    let people = TwoPeople::start().await;
    let (hub, admin) = (&people.hub, &people.admin);
    let alphas = ["alpha-pump", "alpha-fan"];
    let job = slow_job(&people, &people.alpha, &alphas).await;
    let of_admin = slow_job(&people, admin, &alphas).await;
    let of_beta = slow_job(&people, &people.beta, &["beta-pump", "beta-fan"]).await;

    // More rights, and others' rights, stop nothing.
    let wider = json!({ "scope": { "groups": ["alpha-plant", "beta-plant"] } });
    done(hub, admin, Method::PATCH, "/api/users/ula", &wider).await;
    let other = json!({ "scope": { "groups": ["alpha-plant"] } });
    done(hub, admin, Method::PATCH, "/api/users/ula", &other).await;
    assert!(is_running(&people, &job).await);
    let narrower = json!({ "scope": { "groups": ["alpha-hall"] } });
    done(hub, admin, Method::PATCH, "/api/users/ula", &narrower).await;
    let told = stopped(&people, &job).await;
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.contains("stopped") && reason.contains("scope"), "{told}");
    let devices = admin.json(hub, &format!("{job}/devices")).await;
    let states: Vec<&Value> = devices.as_array().unwrap().iter().map(|one| &one["state"]).collect();
    assert!(states.contains(&&json!("canceled")), "{devices}");
    assert!(is_running(&people, &of_admin).await && is_running(&people, &of_beta).await);

    // A job that is paused is stopped too, and nobody retries it who does not see it.
    done(hub, admin, Method::POST, &format!("{of_beta}/pause"), &json!({})).await;
    done(hub, admin, Method::PATCH, "/api/users/udo", &json!({ "role": "viewer" })).await;
    let told = stopped(&people, &of_beta).await;
    assert!(told["reason"].as_str().unwrap().contains("may not act"), "{told}");
    // Another scope ended the sessions that were there.
    let ula = Person::sign_in(hub, "ula").await;
    let said = refused(hub, &ula, Method::POST, &format!("{of_beta}/retry"), &json!({})).await;
    assert_eq!(said.0, 404, "{said:?}");
    assert!(is_running(&people, &of_admin).await);
}

#[tokio::test]
async fn a_job_of_a_key_ends_with_the_key() {
    let people = TwoPeople::start().await;
    let (hub, admin) = (&people.hub, &people.admin);
    let (secret, id) = people.alpha.make_key(hub, "operator").await;
    let bulk = json!({ "ids": ["alpha-pump", "alpha-fan"], "rate": 0.02, "action": { "desired": { "power": "on" } } });
    let asked = hub.request(Method::POST, "/api/devices/bulk").bearer_auth(&secret).json(&bulk);
    let job: Value = asked.send().await.unwrap().json().await.unwrap();
    let path = format!("/api/jobs/{}", job["id"].as_str().or(job["job_id"].as_str()).unwrap());
    assert!(is_running(&people, &path).await, "{job}");
    // A session that ends takes no right of the key's.
    done(hub, &people.alpha, Method::POST, "/api/auth/logout", &json!({})).await;
    assert!(is_running(&people, &path).await);
    done(hub, admin, Method::DELETE, &format!("/api/auth/keys/{id}"), &json!({})).await;
    let told = stopped(&people, &path).await;
    assert!(told["reason"].as_str().unwrap().contains("may not act"), "{told}");
}

#[tokio::test]
async fn a_job_is_stopped_where_its_devices_move_with_their_group() {
    let people = TwoPeople::start().await;
    let (hub, admin) = (&people.hub, &people.admin);
    let alphas = ["alpha-pump", "alpha-fan"];
    let job = slow_job(&people, &people.alpha, &alphas).await;
    let of_admin = slow_job(&people, admin, &alphas).await;
    let under = json!({ "parent_group": "beta-plant" });
    done(hub, admin, Method::PATCH, "/api/groups/alpha-hall", &under).await;
    let told = stopped(&people, &job).await;
    assert!(told["reason"].as_str().unwrap().contains("scope"), "{told}");
    assert!(is_running(&people, &of_admin).await);
}
