use super::*;

fn pump(number: u32) -> DeviceId {
    DeviceId::parse(&format!("pump-{number}")).unwrap()
}

fn told() -> Arc<Subscribers> {
    Arc::new(Subscribers::reported_by_broker())
}

fn listening(all: &Arc<Subscribers>, filters: &[&str]) -> (Subscriptions, Vec<(DeviceId, Downlink)>) {
    let mut subscriptions = all.connection();
    let heard = subscriptions.add(filters.iter().copied());
    (subscriptions, heard)
}

fn commands(all: &Subscribers) -> Audience {
    all.audience(&pump(1), Downlink::Commands, Audience::Somebody)
}

#[test]
fn nothing_is_known_before_a_broker_tells() {
    assert_eq!(commands(&Subscribers::default()), Audience::Unknown);
}

#[test]
fn finds_who_listens_by_every_kind_of_filter() {
    let check = |filter: &str, expected: Audience| {
        let all = told();
        let (subscriptions, _) = listening(&all, &[filter, filter]);
        assert_eq!(commands(&all), expected, "{filter}");
        drop(subscriptions);
        assert_eq!(commands(&all), Audience::Nobody, "{filter}: gone with its connection");
        assert!(all.lock().tree.children.is_empty(), "{filter}: nothing is left of it");
    };
    check("iot/devices/pump-1/commands", Audience::Itself);
    check("$share/pool/iot/devices/pump-1/commands", Audience::Itself);
    check("$share/pool/iot/devices/+/commands", Audience::Somebody);
    for filter in ["#", "iot/#", "iot/devices/pump-1/#", "iot/devices/pump-1/commands/#", "+/+/+/+"] {
        check(filter, Audience::Somebody);
    }
    for filter in [
        "iot/devices/pump-2/commands",
        "iot/devices/pump-1/commands/+",
        "iot/devices/pump-1/desired",
        "iot/devices/+",
        "home/#",
        "$SYS/#",
        "",
    ] {
        check(filter, Audience::Nobody);
    }
    let deep = format!("iot{}", "/x".repeat(20_000));
    check(&deep, Audience::Nobody);
}

#[test]
fn unsubscribed_is_unheard() {
    let all = told();
    let (mut one, _) = listening(&all, &["iot/devices/pump-1/commands", "iot/#"]);
    let (other, _) = listening(&all, &["iot/#"]);
    one.remove(["iot/devices/pump-1/commands", "iot/#", "iot/#", "never/asked"].into_iter());
    assert_eq!(commands(&all), Audience::Somebody, "the other listens still");
    drop(other);
    assert_eq!(commands(&all), Audience::Nobody);
}

#[test]
fn a_filter_and_the_same_one_shared_are_two() {
    let topic = "iot/devices/pump-1/commands";
    let shared = "$share/pool/iot/devices/pump-1/commands";
    for (one, other) in
        [(topic, shared), (shared, topic), (shared, "$share/other/iot/devices/pump-1/commands")]
    {
        let all = told();
        let (mut subscriptions, _) = listening(&all, &[one, other]);
        subscriptions.remove([one].into_iter());
        assert_eq!(commands(&all), Audience::Itself, "{other}");
        subscriptions.remove([other].into_iter());
        assert_eq!(commands(&all), Audience::Nobody);
        assert!(all.lock().tree.children.is_empty(), "nothing is left of either");
    }
}

#[test]
fn who_waits_is_looked_for_by_the_first_of_a_filter_alone() {
    let mut tree = FilterNode::default();
    for filter in ["iot/#", "iot/+/pump-1", "#", "iot/devices/pump-1/commands"] {
        assert!(tree.add(filter) && !tree.add(filter), "{filter}");
        tree.remove(filter);
        assert!(!tree.add(filter), "{filter}: one is left");
        tree.remove(filter);
        tree.remove(filter);
        assert!(tree.add(filter), "{filter}: none was");
    }
}

#[test]
fn a_waiting_twin_is_notified_once() {
    let all = told();
    assert_eq!(commands(&all), Audience::Nobody);
    all.audience(&pump(2), Downlink::Desired, Audience::Somebody);
    let (_logger, heard) = listening(&all, &["iot/devices/+/desired"]);
    assert_eq!(heard, [(pump(2), Downlink::Desired)]);
    let (_device, heard) = listening(&all, &["iot/devices/pump-1/commands", "iot/devices/pump-1/desired"]);
    assert_eq!(heard, [(pump(1), Downlink::Commands)]);
    let (_again, heard) = listening(&all, &["iot/devices/pump-1/commands"]);
    assert_eq!(heard, []);
}

#[test]
fn a_twin_that_waits_for_the_device_is_not_notified_of_others() {
    let all = told();
    let (_logger, _) = listening(&all, &["#"]);
    assert_eq!(all.audience(&pump(1), Downlink::Commands, Audience::Itself), Audience::Somebody);
    let (_other, heard) = listening(&all, &["iot/#"]);
    assert_eq!(heard, []);
    let (_device, heard) = listening(&all, &["iot/devices/pump-1/commands"]);
    assert_eq!(heard, [(pump(1), Downlink::Commands)]);
}
