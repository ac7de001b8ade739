use super::*;

fn cut(places: &[ConnectionPlace]) -> Vec<usize> {
    let is_cut = |place: &ConnectionPlace| place.connection.cut.load(Ordering::Relaxed);
    (0..places.len()).filter(|&place| is_cut(&places[place])).collect()
}

fn beyond(places: &[ConnectionPlace]) -> usize {
    places.iter().filter(|place| place.connection.is_beyond()).count()
}

/// `count` connections of which each has been quiet for as long as it is there, 1 s longer than the next.
fn entered(connections: &Arc<HttpConnections>, count: usize) -> Vec<ConnectionPlace> {
    let places: Vec<_> = (0..count).map(|_| connections.enter(None)).collect();
    for (place, since) in places.iter().zip(0..) {
        place.connection.quiet_since.store(since * 1_000, Ordering::Relaxed);
    }
    places
}

fn make_room(connections: &HttpConnections, now: u64) -> u64 {
    connections.lock().make_room(connections.most, now)
}

#[test]
fn nothing_is_closed_while_there_is_room() {
    let connections = HttpConnections::new(16);
    let places = entered(&connections, 11);
    assert_eq!(make_room(&connections, 99_999), 0);
    assert_eq!((cut(&places), beyond(&places)), (vec![], 0));
    drop(places);
    assert_eq!(connections.count(), 0);
}

#[test]
fn when_crowded_those_go_that_were_quiet_for_long() {
    let connections = HttpConnections::new(16);
    let mut places = entered(&connections, 13);
    assert_eq!(make_room(&connections, 4_999), 0);
    assert_eq!(make_room(&connections, 5_999), 1);
    assert_eq!(cut(&places), [0]);
    assert_eq!(connections.count(), 13, "it is there until it has gone");
    assert_eq!(make_room(&connections, 60_000), 1);
    assert_eq!(make_room(&connections, 60_000), 0, "two are on their way out: it is not crowded then");
    assert_eq!(cut(&places), [0, 1]);
    places.drain(..2);
    assert_eq!((connections.count(), connections.lock().leaving), (11, 0));
}

#[test]
fn when_full_the_longest_quiet_go_and_who_comes_has_room() {
    let connections = HttpConnections::new(32);
    let mut places = entered(&connections, 32);
    assert_eq!(make_room(&connections, 1_500), 1, "on the others a request may be on its way");
    assert_eq!(cut(&places), [0]);
    places.push(connections.enter(None));
    assert_eq!(beyond(&places), 0);
    assert_eq!(make_room(&connections, 60_000), 2, "several at a time");
    assert_eq!(cut(&places), [0, 1, 32], "by how long they were quiet");
}

#[test]
fn working_connections_stay_and_further_ones_are_refused() {
    let connections = HttpConnections::new(4);
    let mut places = entered(&connections, 4);
    let at_work: Vec<_> = places.iter().map(|place| Arc::clone(&place.connection)).collect();
    let working: Vec<_> = at_work.iter().map(|connection| connection.work()).collect();
    assert_eq!(make_room(&connections, 60_000), 0);
    places.push(connections.enter(None));
    assert_eq!(beyond(&places), 1);
    places.pop();
    drop(working);
    assert_eq!(make_room(&connections, 60_000), 1, "they wait for their clients again");
    places.push(connections.enter(None));
    assert_eq!(beyond(&places), 0);
}

#[test]
fn a_response_on_its_way_is_work_until_its_client_takes_nothing() {
    let connections = HttpConnections::new(1);
    let places = entered(&connections, 1);
    let sending = places[0].connection.send();
    assert_eq!(make_room(&connections, 30_999), 0);
    let full = HttpConnections::new(1);
    let stalled = entered(&full, 1);
    let _sending = stalled[0].connection.send();
    assert_eq!(make_room(&full, 31_000), 1, "nobody takes it");
    drop(sending);
    assert_eq!((make_room(&connections, 1_000), cut(&places)), (1, vec![0]), "it is sent");
}

#[test]
fn one_address_has_half_of_all_and_its_own_idle_ones_go_first() {
    let mut connections = HttpConnections::new(16);
    Arc::get_mut(&mut connections).unwrap().started -= Duration::from_secs(9);
    let enter = |address: &str| connections.enter(Some(address.parse().unwrap()));
    let mut places: Vec<_> = (0..8).map(|_| enter("192.168.1.7")).collect();
    let at_work: Vec<_> = places.iter().map(|place| Arc::clone(&place.connection)).collect();
    let mut working: Vec<_> = at_work.iter().map(|connection| connection.work()).collect();
    places.push(enter("::ffff:192.168.1.7"));
    assert!(places[8].connection.is_beyond(), "it is the same address");
    places.push(enter("192.168.1.8"));
    places.push(enter("127.0.0.1"));
    assert_eq!(beyond(&places), 1, "others have room");

    drop(places.remove(8));
    drop(working.pop());
    places[7].connection.quiet_since.store(0, Ordering::Relaxed);
    places.push(enter("192.168.1.7"));
    assert_eq!((beyond(&places), cut(&places)), (0, vec![7]), "an idle one of its own made room");
}

#[test]
fn far_beyond_its_share_an_address_is_not_even_answered() {
    let connections = HttpConnections::new(16);
    let enter = |address: &str| connections.enter(Some(address.parse().unwrap()));
    let mut places: Vec<_> = (0..30).map(|n| enter(&format!("2001:db8::{n:x}"))).collect();
    assert_eq!((beyond(&places), cut(&places).len(), connections.refused()), (22, 6, 6), "one network");
    places.push(enter("2001:db8:0:1::1"));
    assert!(!places[30].connection.cut.load(Ordering::Relaxed), "another network");
    drop(places);
    assert!(connections.lock().of_address.is_empty());
    assert_eq!(beyond(&(0..9).map(|_| enter("127.0.0.1")).collect::<Vec<_>>()), 0, "a proxy");
}

#[test]
fn sessions_leave_room_for_requests() {
    let connections = HttpConnections::new(16);
    let request = actix_web::test::TestRequest::default().to_http_request();
    let sessions: Vec<_> = (0..14).map(|_| connections.hold(&request).unwrap()).collect();
    assert_eq!(connections.hold(&request).unwrap_err().code(), "too_many_connections");
    assert_eq!(connections.refused(), 1);
    drop(sessions);
    assert!(connections.hold(&request).is_ok());
}
