//! `twinhub user` and `twinhub key`, on a hub that runs and on one that does not.

use std::process::Output;

use serde_json::json;

use crate::support::hub::{Installation, run_fed};
use crate::support::people::{PASSWORD, Person, get_with};

/// Runs a command on the data folder of `installation`.
async fn on(installation: &Installation, words: &[&str], input: &str) -> Output {
    run_fed(&[words, &["--data-dir", installation.data.to_str().unwrap()]].concat(), input).await
}

/// The same, and it succeeds: what it printed.
async fn done(installation: &Installation, words: &[&str], input: &str) -> String {
    let output = on(installation, words, input).await;
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The same, and it is refused: why.
async fn refused(installation: &Installation, words: &[&str], input: &str) -> String {
    let output = on(installation, words, input).await;
    assert_eq!(output.status.code(), Some(1), "{words:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test]
async fn users_are_listed_changed_and_removed() {
    let installation = Installation::new();
    done(&installation, &["user", "add", "ann", "--role", "admin", "--password-stdin"], PASSWORD).await;
    // The commands say and do the same, whether a hub runs or not.
    for runs in [false, true] {
        let hub = if runs { Some(installation.start().await) } else { None };
        let add = |name, role| ["user", "add", name, "--role", role, "--password-stdin"];
        assert_eq!(done(&installation, &add("bob", "viewer"), PASSWORD).await, "made the viewer bob\n");
        assert!(
            refused(&installation, &add("Bob", "viewer"), PASSWORD).await.contains("there is a user `Bob`")
        );
        assert!(refused(&installation, &add("eve", "viewer"), "12345678").await.contains("password"));
        assert_eq!(
            done(&installation, &["user", "role", "bob", "operator"], "").await,
            "bob is operator now\n"
        );
        assert!(
            refused(&installation, &["user", "role", "eve", "operator"], "").await.contains("no such user")
        );
        let listed = done(&installation, &["user", "list"], "").await;
        assert!(
            ["bob", "operator", "SCOPE", "all"].iter().all(|part| listed.contains(part))
                && !listed.contains(PASSWORD),
            "{listed}"
        );
        assert_eq!(done(&installation, &["user", "remove", "bob"], "").await, "removed bob\n");
        assert!(refused(&installation, &["user", "remove", "ann"], "").await.contains("last admin"));
        if let Some(hub) = &hub {
            let ann = Person::sign_in(hub, "ann").await;
            let removed = ann.json(hub, "/api/audit?action=user.removed&who=program").await;
            assert_eq!(removed.as_array().unwrap().len(), 2, "without the hub and with it: {removed}");
        }
        drop(hub);
    }
}

#[tokio::test]
async fn keys_are_made_listed_and_revoked() {
    let installation = Installation::new();
    for runs in [false, true] {
        let hub = if runs { Some(installation.start().await) } else { None };
        let key =
            done(&installation, &["key", "add", "ci", "--role", "viewer", "--expires-in", "30d"], "").await;
        assert!(key.starts_with("twh_svc_"), "{key}");
        let listed = done(&installation, &["key", "list"], "").await;
        let row = listed.lines().find(|line| line.contains(" ci ")).unwrap();
        let id = row.split_whitespace().next().unwrap().to_owned();
        assert!(!listed.contains(key.trim()), "{listed}");
        let long = ["key", "add", "long", "--role", "viewer", "--expires-in", "400d"];
        assert!(refused(&installation, &long, "").await.contains("365 days"));
        assert_eq!(done(&installation, &["key", "revoke", &id], "").await, "revoked ci\n");
        assert!(refused(&installation, &["key", "revoke", &id], "").await.contains("no such key"));
        drop(hub);
    }
}

#[tokio::test]
async fn people_and_keys_are_managed_while_no_hub_runs() {
    let installation = Installation::new();
    let key = done(&installation, &["key", "add", "ci", "--role", "viewer"], "").await;
    let add = ["user", "add", "ann", "--role", "admin", "--password-stdin", "--email", "ann@example.com"];
    assert_eq!(done(&installation, &add, &format!("{PASSWORD}\n")).await, "made the admin ann\n");
    let hub = installation.start().await;
    assert_eq!(hub.get("/api/devices").await.status(), 401, "there is a user, so it is closed");
    assert_eq!(get_with(&hub, key.trim(), "/api/devices").await.0, 200);
    let ann = Person::sign_in(&hub, "ann@example.com").await;
    assert_eq!(ann.json(&hub, "/api/users/ann").await["source"], "command_line");
}

#[tokio::test]
async fn people_and_keys_are_managed_through_the_hub_that_runs() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let ann = Person::first(&hub, "ann").await;
    let key = done(&installation, &["key", "add", "ci", "--role", "viewer"], "").await;
    assert_eq!(get_with(&hub, key.trim(), "/api/devices").await.0, 200);
    // The password that was lost.
    done(&installation, &["user", "passwd", "ann", "--password-stdin"], "quiet rivers bend").await;
    assert_eq!(ann.get(&hub, "/api/devices").await.status(), 401);
    let body = json!({ "name": "ann", "password": "quiet rivers bend" });
    assert_eq!(hub.post("/api/auth/login", &body).await.status(), 200);
}

#[tokio::test]
async fn other_commands_ask_with_a_key_or_with_the_one_of_this_machine() {
    let installation = Installation::new();
    let hub = installation.start().await;
    let ann = Person::first(&hub, "ann").await;
    let url = format!("http://{}", hub.http);
    let list = ["jobs", "list", "--url", &*url];
    let without = crate::support::hub::run(&list, &[]).await;
    let told = String::from_utf8_lossy(&without.stderr).into_owned();
    assert!(without.status.code() == Some(1) && told.contains("TWINHUB_TOKEN"), "{told}");
    let data = [("TWINHUB_DATA_DIR", installation.data.to_str().unwrap())];
    assert!(crate::support::hub::run(&list, &data).await.status.success(), "by the key in the data folder");
    let (secret, _) = ann.make_key(&hub, "viewer").await;
    let by_key = crate::support::hub::run(&list, &[("TWINHUB_TOKEN", &*secret)]).await;
    assert!(by_key.status.success(), "{}", String::from_utf8_lossy(&by_key.stderr));
    let wrong = crate::support::hub::run(&[&list[..], &["--token", "twh_pat_x"]].concat(), &data).await;
    assert_eq!(wrong.status.code(), Some(1));
}
