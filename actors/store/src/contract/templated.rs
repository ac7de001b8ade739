//! The devices of a template, in every store.

use super::support::*;
use crate::DeviceQuery;

#[tokio::test]
async fn lists_those_of_a_template() {
    for mut fixture in Fixture::both().await {
        let mut world = World::new();
        for device in ["a", "b", "c", "d"] {
            world.register(device, "{}");
        }
        world.change("a", r#"{"template": {"id": "pump", "version": 1, "tags": {"floor": "2"}}}"#);
        world.change("b", r#"{"template": {"id": "fan", "version": 1}}"#);
        world.change("c", r#"{"template": {"id": "pump", "version": 1, "tags": {"floor": "2"}}, "tags": {"floor": "3"}}"#);
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
        world.change("b", r#"{"template": {"id": "pump", "version": 2}}"#);
        fixture.commit(&world.batch()).await;
        let page = fixture.store.devices(&of("pump", &[])).await.unwrap();
        let twins: Vec<(&str, u64)> =
            page.twins.iter().map(|twin| (twin.id.as_str(), twin.layer().unwrap().version)).collect();
        assert_eq!(twins, [("b", 2), ("c", 1)]);
    }
}
