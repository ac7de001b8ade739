//! The devices of a template, in every store.

use std::sync::Arc;

use super::support::*;
use crate::{DeviceQuery, Store};
use twinhub_domain::{EventBody, Json};

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
        fixture.commit(&world.batch()).await;
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
        fixture.commit(&world.batch()).await;
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
            fixture.commit(&world.batch()).await;
        }
        world.change("a", r#"{"template": null}"#);
        fixture.commit(&world.batch()).await;
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

/// Rows have a layer whole: of the twins that are read each has the same.
#[tokio::test]
async fn twins_that_are_read_share_their_layer() {
    let mut fixture = Fixture::sql().await;
    let mut world = TestFleet::new();
    world.templates.put(r#"{"id": "pump", "version": 1, "tags": {"floor": "2"}}"#);
    for device in ["a", "b"] {
        world.register(device, r#"{"template": "pump"}"#);
    }
    fixture.commit(&world.batch()).await;
    fixture.reopen().await;
    let twins = fixture.store.twins(&[world.number("a"), world.number("b")]).await.unwrap();
    assert!(Arc::ptr_eq(twins[0].layer().unwrap(), twins[1].layer().unwrap()));
}

fn rows_of_layers(fixture: &Fixture) -> i64 {
    let sql = rusqlite::Connection::open(fixture.path()).unwrap();
    sql.query_row("SELECT count(*) FROM fleet WHERE kind = 'layer'", [], |row| row.get(0)).unwrap()
}
