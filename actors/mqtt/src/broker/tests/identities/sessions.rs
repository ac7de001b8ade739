//! Sessions and their principals: the names that clients may have, and the end of a session with its principal's rights.

use super::*;

#[tokio::test]
async fn nobody_takes_the_session_of_another() {
    for v5 in [false, true] {
        let guarded = Guarded::start(OPEN).await;
        let refused = if v5 { 0x85 } else { 2 };
        let code = async |id: &str, user: &str| guarded.connect(v5, id, user, true).await.2;
        let _pump = guarded.admitted(v5, "pump-1", "pump-1", false).await;
        let mut shelly = guarded.admitted(v5, "shelly-7", "pump-1", false).await;
        assert_eq!(code("pump-1", "fan").await, refused, "it names another device");
        assert_eq!(code("gw-a", "fan").await, refused, "so does one that was never there");
        for user in ["fan", "viewer", ""] {
            assert_eq!(code("shelly-7", user).await, refused, "`{user}`");
        }
        assert!(shelly.until_pong().await.is_empty(), "it is still there");
        drop(shelly);
        until("it has gone", async || guarded.broker.state().connections == 1).await;
        assert_eq!(code("shelly-7", "fan").await, refused, "its session waits for it");
        let (_, present, code) = guarded.connect(v5, "shelly-7", "pump-1", false).await;
        assert_eq!((present, code), (true, 0));
    }
}

#[tokio::test]
async fn keys_of_the_same_name_are_not_the_same_principal() {
    for v5 in [false, true] {
        let guarded = Guarded::start(STRICT).await;
        let mut dash = guarded.admitted(v5, "dash", "viewer", false).await;
        let (_, _, code) = guarded.connect(v5, "dash", "namesake", true).await;
        assert_eq!(code, if v5 { 0x85 } else { 2 });
        assert!(dash.until_pong().await.is_empty(), "it is still there");
        drop(dash);
        until("it has gone", async || guarded.broker.state().connections == 0).await;
        let (_, present, code) = guarded.connect(v5, "dash", "viewer", false).await;
        assert_eq!((present, code), (true, 0));
    }
}

#[tokio::test]
async fn a_device_has_its_own_name_whoever_took_it() {
    for v5 in [false, true] {
        let guarded = Guarded::start(OPEN).await;
        let mut squatter = guarded.admitted(v5, "pump-1", "", false).await;
        assert_eq!(subscribes(&mut squatter, v5, "#").await, 1);
        let (mut pump, present, code) = guarded.connect(v5, "pump-1", "pump-1", false).await;
        assert_eq!((present, code), (false, 0), "it does not go on with what the other had");
        let last = squatter.read_to_end().await;
        assert_eq!(last, if v5 { vec![0xe0, 2, 0x87, 0] } else { vec![] });
        let mut admin = guarded.admitted(v5, "admin", "admin", true).await;
        assert_eq!(publishes(&mut admin, v5, false, "home/lamp", "1").await, 0);
        assert!(pump.until_pong().await.is_empty(), "nor hears what the other listened to");
    }
}

#[tokio::test]
async fn rights_that_end_leave_nothing() {
    for v5 in [false, true] {
        let guarded = Guarded::start(STRICT).await;
        let mut admin = guarded.admitted(v5, "admin", "admin", true).await;
        assert_eq!(subscribes(&mut admin, v5, "iot/devices/+/status").await, 1);
        let will = Some(("iot/devices/pump-1/status", &b"offline"[..], false));
        let there = connect_as(v5, "there", false, Some(("pump-1", "right")), will);
        let (mut there, _, _) = guarded.send_connect(&there).await;
        assert_eq!(subscribes(&mut there, v5, "iot/devices/pump-1/#").await, 1);
        let mut absent = guarded.admitted(v5, "absent", "pump-1", false).await;
        assert_eq!(subscribes(&mut absent, v5, "iot/devices/pump-1/data").await, 1);
        drop(absent);
        until("it has gone", async || guarded.broker.state().connections == 2).await;
        assert_eq!(publishes(&mut admin, v5, false, DATA, "{}").await, 0);
        there.read().await;

        guarded.roster.set_ended("device:pump-1", true);
        let last = there.read_to_end().await;
        assert_eq!(last, if v5 { vec![0xe0, 2, 0x87, 0] } else { vec![] });
        until("no session is left", async || {
            let clients = guarded.broker.sessions.clients().await;
            clients == ["admin"]
        })
        .await;
        assert!(admin.until_pong().await.is_empty(), "it had no last word");
        assert!(!last.is_empty() || !v5);

        guarded.roster.set_ended("device:pump-1", false);
        for id in ["there", "absent"] {
            let (mut raw, present, code) = guarded.connect(v5, id, "pump-1", false).await;
            assert_eq!((present, code), (false, 0), "{id}");
            assert!(raw.until_pong().await.is_empty(), "{id}");
        }
    }
}

#[tokio::test]
async fn the_status_of_a_device_goes_with_its_rights() {
    let guarded = Guarded::start(STRICT).await;
    let retained = || guarded.broker.retained.figures().messages;
    let mut pump = guarded.admitted(true, "pump-1", "pump-1", true).await;
    assert_eq!(publishes(&mut pump, true, true, "iot/devices/pump-1/status", "online").await, 0);
    let mut fan = guarded.admitted(true, "fan", "fan", true).await;
    assert_eq!(publishes(&mut fan, true, true, "iot/devices/fan/status", "online").await, 0);
    assert_eq!(retained(), 2);
    guarded.roster.set_ended("device:pump-1", true);
    until("one is left", async || retained() == 1).await;
    let mut admin = guarded.admitted(true, "admin", "admin", true).await;
    admin.send(&subscribe(true, 1, &[("iot/devices/pump-1/status", 0)])).await;
    let told = admin.all().await;
    assert!(told.iter().all(|packet| packet[0] & 0xf0 != 0x30), "{told:x?}");
}

#[tokio::test]
async fn a_right_that_ends_while_its_client_connects_lets_nobody_in() {
    let guarded = Guarded::start(STRICT).await;
    guarded.roster.set_ended("device:pump-1", true);
    let (_, _, code) = guarded.connect(true, "pump-1", "pump-1", true).await;
    assert_eq!(code, 0x86);
}
