//! Rule files in a folder of the test's own, and what a hub makes of them.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use super::{HubProcess, eventually};

/// A folder of rule files, removed with it.
pub struct Rules(TempDir);

impl Rules {
    /// An empty folder.
    pub fn new() -> Self {
        Self(TempDir::with_prefix("twinhub-rules-").unwrap())
    }

    /// One with a file in it.
    pub fn of(name: &str, text: &str) -> Self {
        let rules = Self::new();
        rules.write(name, text);
        rules
    }

    pub fn folder(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a file as editors do: whole, under another name first.
    pub fn write(&self, name: &str, text: &str) {
        let draft = self.path(&format!(".{name}.new"));
        std::fs::write(&draft, text).unwrap();
        std::fs::rename(draft, self.path(name)).unwrap();
    }
}

/// The newest entry of the journal of runs that fits, when there is one.
pub async fn run_of(hub: &HubProcess, rule: &str, fits: impl Fn(&Value) -> bool) -> Value {
    eventually(&format!("a run of {rule}"), async || {
        let runs = hub.json(&format!("/api/automation/rules/{rule}/runs")).await;
        runs.as_array().unwrap().iter().find(|run| fits(run)).cloned()
    })
    .await
}

/// The newest run that has come to its end.
pub async fn done(hub: &HubProcess, rule: &str) -> Value {
    run_of(hub, rule, |run| run["outcome"] == "done").await
}

/// The newest entry that says that it did not run, for this reason.
pub async fn not_run(hub: &HubProcess, rule: &str, why: &str) -> Value {
    run_of(hub, rule, |run| run["outcome"] == "not_run" && run["why"] == why).await
}

/// Has a device report something over HTTP.
pub async fn report(hub: &HubProcess, device: &str, readings: &Value) {
    let response = hub.post(&format!("/api/devices/{device}/data"), readings).await;
    assert_eq!(response.status(), 201, "{}", response.text().await.unwrap());
}
