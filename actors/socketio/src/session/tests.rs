//! The public conformance cases of Engine.IO 4, on the state alone, and what an upgrade must not lose.

use proptest::prelude::*;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn texts(frames: SocketFrames) -> Vec<String> {
    match frames {
        SocketFrames::Texts(texts) => texts.iter().map(ToString::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

fn body(answer: PollAnswer) -> String {
    match answer {
        PollAnswer::Payload(body) => body,
        other => panic!("{other:?}"),
    }
}

/// A session that was upgraded, and its WebSocket.
fn upgraded(now: Instant) -> (EngineSession, WebSocketNumber) {
    let mut session = EngineSession::of_polls(now);
    let socket = session.open_socket(now).unwrap();
    session.hear_frame(socket, "2probe", now).unwrap();
    assert_eq!(texts(session.frames(socket)), ["3probe"]);
    session.hear_frame(socket, "5", now).unwrap();
    (session, socket)
}

#[test]
fn polls_bring_packets_in_one_payload() {
    let now = Instant::now();
    let mut session = EngineSession::of_polls(now);
    assert_eq!(session.poll(false), PollAnswer::Wait);
    ["4a", "4b", "4c"].into_iter().for_each(|packet| session.push(packet.into()));
    assert_eq!(body(session.poll(true)), "4a\u{1e}4b\u{1e}4c");
    assert_eq!(session.poll(false), PollAnswer::Wait);
    assert_eq!(session.hear_payload("4x\u{1e}4y\u{1e}bAQI=", now), Ok(vec!["x", "y"]));
}

#[test]
fn two_polls_may_wait_and_one_gets_the_packet() {
    let mut session = EngineSession::of_polls(Instant::now());
    assert_eq!([session.poll(false), session.poll(false)], [PollAnswer::Wait, PollAnswer::Wait]);
    session.push("4a".into());
    assert_eq!(body(session.poll(true)), "4a");
    assert_eq!(session.poll(true), PollAnswer::Wait);
}

#[test]
fn what_is_no_packet_ends_the_session() {
    let now = Instant::now();
    for wrong in ["abc", "", "4a\u{1e}", "0{}", "5", "6", "7x"] {
        let mut session = EngineSession::of_polls(now);
        assert_eq!(session.hear_payload(wrong, now), Err(EngineRefusal::Payload), "{wrong}");
        assert_eq!(session.end(), Some(SessionEnd::BadPacket));
        let (mut session, socket) = upgraded(now);
        assert!(session.hear_frame(socket, wrong.rsplit('\u{1e}').next().unwrap(), now).is_err(), "{wrong}");
        assert_eq!(session.end(), Some(SessionEnd::BadPacket));
        assert_eq!(session.frames(socket), SocketFrames::Close);
        assert_eq!(session.hear_frame(socket, "3", now), Err(SocketFault::Over));
    }
}

#[test]
fn clients_end_sessions() {
    let now = Instant::now();
    let mut session = EngineSession::of_polls(now);
    assert_eq!(session.poll(false), PollAnswer::Wait);
    assert_eq!(session.hear_payload("1", now), Ok(vec![]));
    assert_eq!(body(session.poll(true)), "6", "the poll that hangs is ended");
    assert_eq!(session.end(), Some(SessionEnd::Client));
    let (mut session, socket) = upgraded(now);
    assert_eq!(session.hear_frame(socket, "1", now), Ok(None));
    assert_eq!(session.frames(socket), SocketFrames::Close);
    let (mut session, socket) = upgraded(now);
    session.lose_socket(socket);
    assert_eq!(session.end(), Some(SessionEnd::Lost));
}

#[test]
fn the_server_says_that_it_ends_a_session() {
    let now = Instant::now();
    let mut session = EngineSession::of_polls(now);
    session.push("41".into());
    session.close(SessionEnd::Server);
    session.push("4late".into());
    assert_eq!(body(session.poll(true)), "41\u{1e}1");
    let (mut session, socket) = upgraded(now);
    session.close(SessionEnd::Server);
    assert_eq!(texts(session.frames(socket)), ["1"]);
    assert_eq!(session.frames(socket), SocketFrames::Close);
}

#[test]
fn clients_are_pinged_and_those_that_do_not_answer_are_closed() {
    let start = Instant::now();
    let mut session = EngineSession::of_polls(start);
    session.joined();
    session.tick(start + 24 * SECOND);
    assert_eq!(session.poll(false), PollAnswer::Wait);
    assert_eq!(session.next_tick(), start + 25 * SECOND);
    session.tick(session.next_tick());
    assert_eq!(body(session.poll(true)), "2");
    session.hear_payload("3", start + 30 * SECOND).unwrap();
    assert_eq!(session.next_tick(), start + 55 * SECOND, "a pong begins the interval anew");
    session.tick(session.next_tick());
    assert_eq!(body(session.poll(false)), "2");
    session.hear_payload("4other", start + 60 * SECOND).unwrap();
    assert_eq!(session.next_tick(), start + 75 * SECOND, "a message is no pong");
    session.tick(start + 74 * SECOND);
    assert_eq!(session.end(), None);
    session.tick(start + 75 * SECOND);
    assert_eq!(session.end(), Some(SessionEnd::Silent));
    let late = start + 500 * SECOND;
    session.tick(late);
    assert_eq!(body(session.poll(true)), "6", "nothing is sent after the end");
}

#[test]
fn strangers_have_little_room_and_little_time() {
    let start = Instant::now();
    let mut session = EngineSession::of_polls(start);
    assert_eq!(session.longest_payload(), LONGEST_PAYLOAD_OF_STRANGERS);
    session.tick(start + 25 * SECOND);
    session.hear_payload("3", start + 26 * SECOND).unwrap();
    assert_eq!(session.next_tick(), start + JOIN_WITHIN);
    session.tick(start + JOIN_WITHIN);
    assert_eq!(session.end(), Some(SessionEnd::NotJoined));
    let mut session = EngineSession::of_polls(start);
    session.joined();
    assert_eq!(session.longest_payload(), LONGEST_PAYLOAD);
    session.tick(start + 25 * SECOND);
    session.hear_payload("3", start + 26 * SECOND).unwrap();
    session.tick(start + JOIN_WITHIN);
    assert_eq!(session.end(), None);
}

#[test]
fn a_socket_begins_with_the_open_packet() {
    let now = Instant::now();
    let (mut session, socket) = EngineSession::of_socket("0{}".into(), now);
    session.push("40{}".into());
    assert_eq!(texts(session.frames(socket)), ["0{}", "40{}"]);
    assert_eq!(session.hear_frame(socket, "4hello", now), Ok(Some("hello")));
    assert_eq!(session.hear_frame(socket, "2", now), Ok(None));
    assert_eq!(texts(session.frames(socket)), ["3"]);
    assert_eq!(session.poll(false), PollAnswer::Refused(EngineRefusal::Transport));
    assert_eq!(session.open_socket(now), Err(EngineRefusal::Transport));
}

#[test]
fn an_upgrade_ends_the_poll_holds_packets_back_and_sends_them_over_the_socket() {
    let now = Instant::now();
    let mut session = EngineSession::of_polls(now);
    let socket = session.open_socket(now).unwrap();
    assert_eq!(session.open_socket(now), Err(EngineRefusal::Transport), "one at a time");
    session.push("4before".into());
    assert_eq!(session.frames(socket), SocketFrames::Wait);
    assert_eq!(body(session.poll(false)), "4before", "until the probe polls go on");
    assert_eq!(session.poll(false), PollAnswer::Wait);
    assert_eq!(session.hear_frame(socket, "2probe", now), Ok(None));
    session.push("4after".into());
    assert_eq!(body(session.poll(true)), "6");
    assert_eq!(texts(session.frames(socket)), ["3probe"]);
    assert_eq!(session.frames(socket), SocketFrames::Wait);
    assert_eq!(session.hear_payload("3", now), Ok(vec![]), "a POST that is on its way counts");
    assert_eq!(session.hear_frame(socket, "5", now), Ok(None));
    assert_eq!(texts(session.frames(socket)), ["4after"]);
    assert_eq!(session.poll(false), PollAnswer::Refused(EngineRefusal::Transport));
    assert_eq!(body(session.poll(true)), "6", "a poll that still hangs is ended");
}

#[test]
fn a_client_need_not_wait_for_the_answer_to_its_probe() {
    let now = Instant::now();
    let mut session = EngineSession::of_polls(now);
    session.push("4a".into());
    let socket = session.open_socket(now).unwrap();
    session.hear_frame(socket, "2probe", now).unwrap();
    session.hear_frame(socket, "5", now).unwrap();
    assert_eq!(texts(session.frames(socket)), ["3probe", "4a"]);
}

#[test]
fn polls_go_on_where_an_upgrade_fails() {
    let now = Instant::now();
    for frames in [&["2"][..], &["4x"], &["5"], &["2probe", "4x"], &["2probe", "2probe"], &["abc"]] {
        let mut session = EngineSession::of_polls(now);
        session.push("4a".into());
        let socket = session.open_socket(now).unwrap();
        let mut last = None;
        for frame in frames {
            last = Some(session.hear_frame(socket, frame, now));
        }
        assert_eq!(last, Some(Err(SocketFault::Upgrade)), "{frames:?}");
        assert_eq!(session.frames(socket), SocketFrames::Close);
        assert_eq!(body(session.poll(false)), "4a");
    }
    let mut session = EngineSession::of_polls(now);
    let socket = session.open_socket(now).unwrap();
    session.hear_frame(socket, "2probe", now).unwrap();
    assert_eq!(session.next_tick(), now + UPGRADE_WITHIN);
    session.tick(now + UPGRADE_WITHIN);
    assert_eq!(session.frames(socket), SocketFrames::Close);
    assert_eq!(session.poll(false), PollAnswer::Wait);
    let socket = session.open_socket(now).unwrap();
    session.lose_socket(socket);
    assert_eq!(session.end(), None);
    assert!(session.open_socket(now).is_ok(), "and it may be tried again");
}

#[test]
fn a_client_that_reads_nothing_is_not_answered_for_ever() {
    let now = Instant::now();
    let (mut session, socket) = upgraded(now);
    let ended = (0..1_000_000).find(|_| session.hear_frame(socket, "2x", now).is_err());
    assert!(ended.is_some_and(|count| count <= crate::queue::MOST_PACKETS));
}

/// A step of a client or of the server.
#[derive(Clone, Copy, Debug)]
enum Step {
    Push,
    Poll,
    Open,
    Probe,
    Upgrade,
    Frames,
    Lose,
    Wait,
}

proptest! {
    /// The client gets each packet once, and in order, in whatever order things happen.
    #[test]
    fn nothing_is_lost_or_doubled(steps in prop::collection::vec(prop::sample::select(vec![
        Step::Push, Step::Push, Step::Poll, Step::Open, Step::Probe, Step::Upgrade, Step::Frames, Step::Lose, Step::Wait,
    ]), 0..120)) {
        let mut now = Instant::now();
        let mut session = EngineSession::of_polls(now);
        session.joined();
        let (mut pushed, mut got, mut socket, mut has_gone_over) = (0, Vec::new(), None, false);
        let numbers = |texts: Vec<String>| {
            texts.into_iter().filter_map(|text| text.strip_prefix('4')?.parse::<u32>().ok()).collect::<Vec<_>>()
        };
        for step in steps.into_iter().chain([Step::Poll, Step::Frames]) {
            match step {
                Step::Push => {
                    session.push(format!("4{pushed}").into());
                    pushed += 1;
                }
                Step::Poll => match session.poll(false) {
                    PollAnswer::Payload(body) => {
                        got.extend(numbers(body.split('\u{1e}').map(str::to_owned).collect()));
                    }
                    PollAnswer::Refused(_) => prop_assert!(has_gone_over),
                    PollAnswer::Wait => {}
                },
                Step::Open => socket = session.open_socket(now).ok().or(socket),
                Step::Probe if !has_gone_over => {
                    let _ = socket.map(|socket| session.hear_frame(socket, "2probe", now));
                }
                Step::Upgrade if !has_gone_over => {
                    has_gone_over = socket.is_some_and(|socket| session.hear_frame(socket, "5", now).is_ok());
                }
                Step::Frames => {
                    if let Some(SocketFrames::Texts(texts)) = socket.map(|socket| session.frames(socket)) {
                        got.extend(numbers(texts.iter().map(ToString::to_string).collect()));
                    }
                }
                Step::Lose if !has_gone_over => socket.into_iter().for_each(|socket| session.lose_socket(socket)),
                Step::Wait => {
                    now += SECOND;
                    session.tick(now);
                    let _ = session.hear_payload("3", now);
                }
                Step::Probe | Step::Upgrade | Step::Lose => {}
            }
        }
        if !has_gone_over {
            // An upgrade that hangs is given up.
            session.tick(now + UPGRADE_WITHIN);
            if let PollAnswer::Payload(body) = session.poll(false) {
                got.extend(numbers(body.split('\u{1e}').map(str::to_owned).collect()));
            }
        }
        prop_assert_eq!(got, (0..pushed).collect::<Vec<_>>());
    }
}
