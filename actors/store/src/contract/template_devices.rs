//! The devices of a template, in every store.

use std::sync::Arc;
use std::time::Duration;

use super::support::*;
use crate::{DeviceQuery, Store};
use twinhub_domain::{EventBody, Json};

const DAY: i64 = 24 * 60 * 60 * 1000;
const WEEK: Duration = Duration::from_hours(7 * 24);

#[tokio::test]
async fn lists_those_of_a_template() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        for device in ["a", "b", "c", "d"] {
            world.register(device, "{}");
        }
        world.templates.put(r#"{"id": "pump", "version": 1, "tags": {"floor": "2"}}"#);
        world.templates.put(r#"{"id": "fan", "version": 1}"#);
        world.change("a", r#"{"template": "pump"}"#);
        world.change("b", r#"{"template": "fan"}"#);
        world.change("c", r#"{"template": "pump", "tags": {"floor": "3"}}"#);
        fixture.commit(&mut world.batch()).await;
        let of = |template: &str, tags: &[(&str, &str)]| DeviceQuery {
            template: Some(template.to_owned()),
            tags: tags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            ..list()
        };
        for _ in 0..2 {
            let check = async |query: DeviceQuery, expected: &[&str]| {
                let page = fixture.store.devices(&query).await.unwrap();
                let ids: Vec<&str> = page.twins.iter().map(|twin| twin.id.as_str()).collect();
                assert_eq!((&ids[..], page.total), (expected, expected.len() as u64));
            };
            check(of("pump", &[]), &["a", "c"]).await;
            check(of("pump", &[("floor", "2")]), &["a"]).await;
            check(of("pump", &[("floor", "3")]), &["c"]).await;
            check(of("fan", &[]), &["b"]).await;
            check(of("PUMP", &[]), &[]).await;
            fixture.reopen().await;
        }
        world.change("a", r#"{"template": null}"#);
        world.templates.put(r#"{"id": "pump", "version": 2}"#);
        world.change("b", r#"{"template": "pump"}"#);
        fixture.commit(&mut world.batch()).await;
        let page = fixture.store.devices(&of("pump", &[])).await.unwrap();
        let twins: Vec<(&str, u64)> =
            page.twins.iter().map(|twin| (twin.id.as_str(), twin.layer().unwrap().version)).collect();
        assert_eq!(twins, [("b", 2), ("c", 1)]);
    }
}

/// The template's layer that events speak of is there, and each layer once, whatever became of the template since.
#[tokio::test]
async fn a_layer_is_kept_once_and_found_by_the_events_that_have_it() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        for device in ["a", "b"] {
            world.register(device, "{}");
        }
        let layers = [
            r#"{"id": "pump", "version": 1, "configuration": {"interval": 60.0}}"#,
            r#"{"id": "pump", "version": 2, "configuration": {"interval": 30}}"#,
            r#"{"id": "pump", "version": 1, "configuration": {"interval": 7}}"#, // made anew
        ];
        for layer in layers {
            world.templates.put(layer);
            world.change("a", r#"{"template": "pump"}"#);
            world.change("b", r#"{"template": "pump"}"#);
            fixture.commit(&mut world.batch()).await;
        }
        world.change("a", r#"{"template": null}"#);
        fixture.commit(&mut world.batch()).await;
        let intervals = async |store: &dyn Store| {
            let replayed = store.replay(0, u64::MAX, 100).await.unwrap();
            assert!(!replayed.pruned);
            let mut found = Vec::new();
            for recorded in replayed.events {
                let EventBody::Twin(change) = &recorded.event.body else { continue };
                if let Some(Some(layer)) = change.patch.template() {
                    found.push(Json::from(layer.configuration.clone()).to_string());
                }
            }
            found
        };
        let expected = ["60.0", "60.0", "30", "30", "7", "7"].map(|said| format!(r#"{{"interval":{said}}}"#));
        if fixture.is_sql() {
            assert_eq!(rows_of_layers(&fixture), 3);
        }
        for _ in 0..2 {
            assert_eq!(intervals(&*fixture.store).await, expected);
            let twins = fixture.store.twins(&[world.number("a"), world.number("b")]).await.unwrap();
            assert_eq!(twins, [world.twins["a"].clone(), world.twins["b"].clone()]);
            fixture.reopen().await;
        }
    }
}

/// Moves the world on by days, and lets the stores tidy up. A journal goes back seven days.
async fn pass(world: &mut TestFleet, fixture: &Fixture, days: i64) {
    world.wait(days * DAY);
    fixture.store.maintain(world.now).await.unwrap();
}

/// The layers by events, of those that the store still has; nothing is told of one that is damaged.
async fn versions(fixture: &Fixture) -> Vec<u64> {
    let events = fixture.store.events(&log()).await.unwrap();
    let layer = |event: &EventBody| match event {
        EventBody::Twin(change) => Some(change.patch.template()??.version),
        _ => None,
    };
    events.iter().filter_map(|recorded| layer(&recorded.event.body)).collect()
}

#[tokio::test]
async fn layers_that_nothing_tells_of_any_more_go() {
    for mut fixture in Fixture::both_keeping_journal(WEEK).await {
        let is_sql = fixture.is_sql();
        let rows = |fixture: &Fixture, expected: i64| {
            assert!(!is_sql || rows_of_layers(fixture) == expected, "{}", rows_of_layers(fixture));
        };
        let mut world = TestFleet::new();
        let version = |n: i64| format!(r#"{{"id": "pump", "version": {n}, "tags": {{"floor": "2"}}}}"#);
        for (n, device) in [(1, "a"), (2, "b")] {
            world.templates.put(&version(n));
            world.change(device, r#"{"template": "pump"}"#);
        }
        world.change("a", r#"{"name": "A"}"#);
        fixture.commit(&mut world.batch()).await;
        rows(&fixture, 2);
        pass(&mut world, &fixture, 1).await;
        rows(&fixture, 2);
        assert_eq!(versions(&fixture).await, [1, 2]);

        // The journal tells of a removed device as long as it is kept.
        world.remove("a");
        fixture.commit(&mut world.batch()).await;
        pass(&mut world, &fixture, 1).await;
        pass(&mut world, &fixture, 1).await;
        rows(&fixture, 2);
        fixture.reopen().await;
        pass(&mut world, &fixture, 9).await;
        rows(&fixture, 1);
        for _ in 0..2 {
            assert_eq!(versions(&fixture).await, [2]);
            let b = fixture.store.twins(&[world.number("b")]).await.unwrap();
            assert_eq!(b, [world.twins["b"].clone()]);
            fixture.reopen().await;
        }

        // It comes again, as if it had never been there.
        world.templates.put(&version(1));
        world.register("c", r#"{"template": "pump"}"#);
        fixture.commit(&mut world.batch()).await;
        rows(&fixture, 2);
        for _ in 0..2 {
            assert_eq!(versions(&fixture).await, [2, 1]);
            fixture.reopen().await;
        }
    }
}

/// One that was found unused, and is used again before it went, stays for as long as that is told of.
#[tokio::test]
async fn a_layer_that_is_used_again_stays() {
    for mut fixture in Fixture::both_keeping_journal(WEEK).await {
        let mut world = TestFleet::new();
        world.templates.put(r#"{"id": "pump", "version": 1}"#);
        world.register("a", r#"{"template": "pump"}"#);
        fixture.commit(&mut world.batch()).await;
        world.remove("a");
        fixture.commit(&mut world.batch()).await;
        pass(&mut world, &fixture, 1).await; // it is unused
        fixture.reopen().await;
        world.wait(5 * DAY);
        world.register("b", r#"{"template": "pump"}"#);
        fixture.commit(&mut world.batch()).await;
        world.remove("b");
        fixture.commit(&mut world.batch()).await;
        // The journal begins after it was found unused, and tells of `b`.
        for days in [3, 1] {
            fixture.reopen().await;
            pass(&mut world, &fixture, days).await;
            if fixture.is_sql() {
                assert_eq!(rows_of_layers(&fixture), 1);
            }
            let replayed = fixture.store.replay(0, u64::MAX, 100).await.unwrap();
            assert!(replayed.pruned && replayed.events.len() == 1, "the removal of `b`");
            fixture.reopen().await;
        }
        pass(&mut world, &fixture, 9).await;
        if fixture.is_sql() {
            assert_eq!(rows_of_layers(&fixture), 0);
        }
    }
}

/// Rows have a layer whole: of the twins that are read each has the same.
#[tokio::test]
async fn twins_that_are_read_share_their_layer() {
    let mut fixture = Fixture::sql().await;
    let mut world = TestFleet::new();
    world.templates.put(r#"{"id": "pump", "version": 1, "tags": {"floor": "2"}}"#);
    for device in ["a", "b"] {
        world.register(device, r#"{"template": "pump"}"#);
    }
    fixture.commit(&mut world.batch()).await;
    fixture.reopen().await;
    let twins = fixture.store.twins(&[world.number("a"), world.number("b")]).await.unwrap();
    assert!(Arc::ptr_eq(twins[0].layer().unwrap(), twins[1].layer().unwrap()));
}

fn rows_of_layers(fixture: &Fixture) -> i64 {
    let sql = rusqlite::Connection::open(fixture.path()).unwrap();
    sql.query_row("SELECT count(*) FROM fleet WHERE kind = 'layer'", [], |row| row.get(0)).unwrap()
}
