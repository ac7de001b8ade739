//! The hub that runs on the data folder, if one does.

use std::net::SocketAddr;

use serde_json::Value;

use super::finding::Finding;
use crate::startup::scheme;

const HUB: &str = "hub";

/// The hub, as it was found.
#[derive(Clone, Debug, Default)]
pub struct HubFacts {
    /// The version of the program that asks.
    pub version: &'static str,
    /// Its answer on `/health`; none: no hub runs here. An error: it has the data, and does not answer.
    pub health: Option<Result<Value, String>>,
    /// The address on which it listens, and whether over TLS; none where that is not known.
    pub listens: Option<(SocketAddr, bool)>,
    /// The same by the options that are looked at; port 0 is any.
    pub asked: Option<(SocketAddr, bool)>,
}

/// Checks it.
pub fn check(facts: &HubFacts) -> Vec<Finding> {
    let health = match &facts.health {
        None => {
            return vec![Finding::ok(
                HUB,
                format!("twinhub {}; none runs on this data folder", facts.version),
            )];
        }
        Some(Err(error)) => {
            let remedy = "look at its log; ask as the user who runs it";
            return vec![Finding::warn(
                HUB,
                format!("one has the data folder, and does not answer: {error}"),
                remedy,
            )];
        }
        Some(Ok(health)) => health,
    };
    let mut found = Vec::new();
    let running = health["version"].as_str().unwrap_or_default();
    if running != facts.version {
        found.push(Finding::warn(
            HUB,
            format!("the one that runs is version {running}, and this program is {}", facts.version),
            "start it again",
        ));
    }
    if let (Some(listens), Some(asked)) = (facts.listens, facts.asked)
        && !is_same(listens, asked)
    {
        let said = |(address, over_tls): (SocketAddr, bool)| format!("{}://{address}", scheme(over_tls));
        found.push(Finding::warn(
            HUB,
            format!("the one that runs is at {}, and these options say {}", said(listens), said(asked)),
            "give doctor the options that it was started with: what is found is about those that are given",
        ));
    }
    let parts = health["parts"].as_object();
    for (name, part) in parts.into_iter().flatten() {
        let status = part["status"].as_str().unwrap_or_default();
        let more = part["detail"].as_str().or_else(|| part["broken"][0].as_str());
        if status != "ok" {
            let more = more.map(|more| format!(": {more}")).unwrap_or_default();
            let detail = format!("its part `{name}` is {status}{more}");
            found.push(Finding::fail(HUB, detail, "look at /health and at its log"));
        }
        for warning in [&part["warning"], &part["broker"]["warning"]].into_iter().filter_map(Value::as_str) {
            found.push(Finding::warn(HUB, format!("its part `{name}` warns: {warning}"), "see there"));
        }
    }
    if found.is_empty() {
        found.push(Finding::ok(HUB, format!("version {running} runs and is well")));
    }
    found
}

/// Does a hub with these options listen so?
fn is_same((listens, over_tls): (SocketAddr, bool), (asked, asked_tls): (SocketAddr, bool)) -> bool {
    let is_port = asked.port() == 0 || asked.port() == listens.port();
    listens.ip() == asked.ip() && is_port && over_tls == asked_tls
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::cli::doctor::testing::bad;

    fn expect(health: Option<Result<Value, String>>, expected: &[&str]) {
        let facts = HubFacts { version: "0.2.0", health, ..HubFacts::default() };
        assert_eq!(bad(&check(&facts)), expected);
    }

    #[test]
    fn other_options_than_those_of_the_hub_are_told() {
        let expect = |asked: &str, over_tls, expected: usize| {
            let health = Some(Ok(json!({ "version": "0.2.0", "parts": {} })));
            let listens = Some(("0.0.0.0:8080".parse().unwrap(), true));
            let asked = Some((asked.parse().unwrap(), over_tls));
            let facts = HubFacts { version: "0.2.0", health, listens, asked };
            let found = bad(&check(&facts));
            assert_eq!(found.len(), expected, "{found:?}");
            assert!(
                found.iter().all(|found| found.contains("is at https://0.0.0.0:8080, and these")),
                "{found:?}"
            );
        };
        expect("0.0.0.0:8080", true, 0);
        expect("0.0.0.0:0", true, 0);
        expect("0.0.0.0:8080", false, 1);
        expect("127.0.0.1:8080", true, 1);
        expect("0.0.0.0:8081", true, 1);
    }

    #[test]
    fn a_hub_that_is_not_well_is_found() {
        expect(None, &[]);
        let with = |mqtt: Value| Some(Ok(json!({ "version": "0.2.0", "parts": { "mqtt": mqtt } })));
        expect(with(json!({ "status": "ok", "warning": null })), &[]);
        expect(
            with(json!({ "status": "down", "detail": "refused" })),
            &["fail  hub: its part `mqtt` is down: refused  → look at /health and at its log"],
        );
        expect(
            with(json!({ "status": "ok", "warning": "it dropped 3" })),
            &["warn  hub: its part `mqtt` warns: it dropped 3  → see there"],
        );
        expect(
            Some(Ok(json!({ "version": "0.1.0", "parts": {} }))),
            &["warn  hub: the one that runs is version 0.1.0, and this program is 0.2.0  → start it again"],
        );
        expect(
            Some(Err("timed out".into())),
            &[
                "warn  hub: one has the data folder, and does not answer: timed out  → look at its log; ask as the user who runs it",
            ],
        );
    }
}
