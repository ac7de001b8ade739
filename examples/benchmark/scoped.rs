//! The cost of a scope: the list of devices for somebody who has a hundredth of them, beside a search by somebody who has
//! all and asks for the same ones.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use reqwest::Method;
use serde_json::json;

use crate::Bench;
use crate::http::Http;
use crate::import;
use crate::load;
use crate::program::HubProgram;
use crate::report::{BenchmarkReport, millis};
use crate::turns::{Compared, order};
use crate::users::UserSession;

const DEVICES: u64 = 100_000;
/// One device in so many is in the scope.
const ONE_IN: u64 = 100;
/// Requests for each list in each way.
const ASKED: usize = 21;
const WAYS: [&str; 3] = ["scope", "group", "filter"];

/// The lists, each as a query.
const LISTS: [(&str, &str); 3] = [
    ("page 1", "limit=20"),
    ("page 1 of 1,000", "limit=1000"),
    ("page 20, by name", "limit=20&page=20&sort=name"),
];

/// Measures each list in each way, in turns.
pub async fn run(bench: &Bench, report: &mut BenchmarkReport) -> Result<()> {
    let (dir, devices) = (bench.disk_dir()?, DEVICES.min(bench.twins));
    let hub = HubProgram::start_with(&bench.program, dir.path(), None, &["--rate-limit", "0"]).await?;
    for group in ["mine", "others"] {
        let group = json!({ "id": group, "name": group });
        hub.request(Method::POST, "/api/groups").json(&group).send().await?.error_for_status()?;
    }
    import::import(&hub, "format=csv", file(devices), "created", devices).await?;
    let ann = UserSession::first(&hub, "ann").await?;
    let bob = ann.add_viewer(&hub, "bob", &json!({ "groups": ["mine"] })).await?;
    let filter = form_urlencoded::byte_serialize(br#"tag.area == "mine""#).collect::<String>();
    let ways = [(&bob, String::new()), (&ann, "&group=mine".into()), (&ann, format!("&filter={filter}"))];
    let mut connections = Vec::new();
    for (user, query) in &ways {
        let total = user.total(&hub, &format!("/api/devices?limit=1{query}")).await?;
        ensure!(total == devices / ONE_IN, "{total} devices are found by `{query}`");
        connections.push(Http::connect_with(hub.http, &user.credential()).await?);
    }
    for (name, list) in LISTS {
        let mut compared = Compared::new(format!("list of {devices}, {name}"), "ms", &WAYS);
        for turn in 0..=ASKED {
            for way in order(turn, WAYS.len()) {
                let path = format!("/api/devices?{list}{}", ways[way].1);
                let took = ask(&mut connections[way], &path).await?;
                if turn > 0 {
                    compared.add(way, millis(took)); // all is warm now
                }
            }
        }
        compared.report(report);
        compared.report_ratio(report, 0, 1);
        compared.report_ratio(report, 0, 2);
    }
    hub.stop().await
}

async fn ask(http: &mut Http, path: &str) -> Result<Duration> {
    let began = Instant::now();
    http.expect(200, "GET", path, "").await?;
    Ok(began.elapsed())
}

/// Devices of two groups, each with its group's name in a tag.
fn file(devices: u64) -> Vec<u8> {
    let mut file = String::from("device_id,name,type,group_id,tags.area,tags.floor\n");
    for device in 0..devices {
        let group = if device % ONE_IN == 0 { "mine" } else { "others" };
        // Writing to a String cannot fail.
        let _ =
            writeln!(file, "{0},Device {device},pump,{group},{group},{1}", load::name(device), device % 12);
    }
    file.into_bytes()
}
