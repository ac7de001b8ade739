//! The lifecycles of devices, and the amount of each one's data.

use super::samples::alarm;
use super::support::*;
use crate::{DeviceDataCounts, DeviceQuery};
use twinhub_domain::fleet::Lifecycle;

#[tokio::test]
async fn devices_are_found_by_where_they_stand_in_their_lives() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        for id in ["new", "heard", "broken", "scrap"] {
            world.register(id, "{}");
        }
        world.tell("stray", r#"{"t": 1}"#);
        fixture.commit(&mut world.batch()).await;
        world.tell("heard", r#"{"t": 1}"#);
        world.live("broken", Lifecycle::Suspended);
        world.live("scrap", Lifecycle::Retired);
        fixture.commit(&mut world.batch()).await;
        for _ in 0..2 {
            let check = async |lifecycle: &[Lifecycle], expected: &[&str]| {
                let query = DeviceQuery { lifecycle: lifecycle.to_vec(), ..list() };
                let page = fixture.store.devices(&query).await.unwrap();
                let ids: Vec<&str> = page.twins.iter().map(|twin| twin.id.as_str()).collect();
                assert_eq!((&ids[..], page.total), (expected, expected.len() as u64), "{lifecycle:?}");
            };
            check(&[], &["new", "heard", "broken", "scrap", "stray"]).await;
            check(&[Lifecycle::Provisioned], &["new"]).await;
            check(&[Lifecycle::Active], &["heard", "stray"]).await;
            check(&[Lifecycle::Suspended, Lifecycle::Retired], &["broken", "scrap"]).await;
            fixture.store.maintain(world.now).await.unwrap();
            fixture.reopen().await;
        }
        world.live("broken", Lifecycle::Active);
        fixture.commit(&mut world.batch()).await;
        let active = DeviceQuery { lifecycle: vec![Lifecycle::Active], ..list() };
        assert_eq!(fixture.store.devices(&active).await.unwrap().total, 3);
    }
}

#[tokio::test]
async fn how_much_there_is_of_a_device_is_counted() {
    for mut fixture in Fixture::both().await {
        let mut world = TestFleet::new();
        world.register("a", "{}");
        world.register("b", "{}");
        for n in 0..40 {
            world.tell("a", &format!(r#"{{"t": {n}, "u": {n}}}"#));
            world.tell("b", r#"{"t": 1}"#);
            if n == 20 {
                fixture.commit(&mut world.batch()).await;
                fixture.store.maintain(world.now).await.unwrap();
            }
        }
        world.command("a", &asked(r#"{"command_type": "go"}"#));
        let a = world.number("a");
        world.automation.alarms = vec![alarm(1, "hot", ("a", a)), alarm(2, "hot", ("b", world.number("b")))];
        fixture.commit(&mut world.batch()).await;
        let log = world.seq - 80; // registrations, coming online, the command and its sending
        for _ in 0..2 {
            let of_a = fixture.store.extent(a).await.unwrap();
            let of_b = fixture.store.extent(world.number("b")).await.unwrap();
            assert_eq!((of_a.readings, of_a.commands, of_a.alarms), (80, 1, 1));
            assert_eq!(
                of_b,
                DeviceDataCounts { readings: 40, events: log - of_a.events, commands: 0, alarms: 1 }
            );
            assert_eq!(of_b.events, 2, "its registration and its coming");
            fixture.store.maintain(world.now).await.unwrap();
            fixture.reopen().await;
        }
        world.remove("a");
        fixture.commit(&mut world.batch()).await;
        fixture.reopen().await;
        let left = DeviceDataCounts { events: 1, ..DeviceDataCounts::default() };
        assert_eq!(fixture.store.extent(a).await.unwrap(), left, "that it was removed");
    }
}
