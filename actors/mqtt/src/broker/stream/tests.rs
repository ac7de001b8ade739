use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use super::*;
use crate::ack_queue::AckOutcome;
use crate::broker::gate::MOST_UNSETTLED;
use twinhub_testkit::within;

/// Lets everything pass. Bytes of half packets that are held.
struct Passes(Arc<Gate>, AtomicUsize);

const MOST_HELD: usize = 20_000;

impl Inspect for Passes {
    fn gate(&self) -> &Gate {
        &self.0
    }

    fn largest_packet(&self, _: &[u8]) -> usize {
        100_000
    }

    fn may_hold(&self, before: usize, now: usize) -> bool {
        assert_eq!(self.1.load(Relaxed), before);
        let may = now <= MOST_HELD;
        if may {
            self.1.store(now, Relaxed);
        }
        may
    }

    fn goodbye(&self, reason: u8) -> Vec<u8> {
        wire::disconnect(reason)
    }

    fn inspect(&self, _: &mut [u8], _: usize) -> PacketVerdict {
        PacketVerdict::Pass
    }

    fn sends(&self, _: &[u8]) {}

    fn withholds(&self, packet: &[u8]) -> Option<Withheld> {
        // A PUBLISH at QoS 1 that ends so.
        packet.ends_with(b"over").then_some(Withheld { packet_id: Some(9) })
    }

    fn is_complete(&self, packet_id: u16) -> bool {
        packet_id == 7
    }

    fn idle(&self) -> bool {
        false
    }

    fn final_packets(&self) -> Vec<u8> {
        Vec::new()
    }
}

const PINGREQ: [u8; 2] = [0xc0, 0];

fn gated(capacity: usize) -> (GatedStream<DuplexStream>, Arc<Gate>, DuplexStream) {
    let (stream, passes, client) = passing(capacity);
    (stream, Arc::clone(&passes.0), client)
}

fn passing(capacity: usize) -> (GatedStream<DuplexStream>, Arc<Passes>, DuplexStream) {
    let (socket, client) = duplex(capacity);
    let passes = Arc::new(Passes(Arc::default(), AtomicUsize::new(0)));
    let peer = SocketAddr::from(([127, 0, 0, 1], 9));
    (GatedStream::new(socket, peer, Arc::clone(&passes) as Arc<dyn Inspect>), passes, client)
}

fn puback(id: u16) -> [u8; 4] {
    let [high, low] = id.to_be_bytes();
    [0x40, 2, high, low]
}

/// As the broker writes: the whole packet, then flush.
async fn broker_writes(stream: &mut GatedStream<DuplexStream>, packet: &[u8]) {
    stream.write_all(packet).await.unwrap();
    stream.flush().await.unwrap();
}

async fn client_reads(client: &mut DuplexStream, expected: &[u8]) {
    let mut read = vec![0; expected.len()];
    within("what the client reads", client.read_exact(&mut read)).await.unwrap();
    assert_eq!(read, expected);
}

fn poll_read(stream: &mut GatedStream<DuplexStream>) -> Poll<io::Result<()>> {
    let mut space = [0; 64];
    let mut cx = Context::from_waker(Waker::noop());
    Pin::new(stream).poll_read(&mut cx, &mut ReadBuf::new(&mut space))
}

#[tokio::test]
async fn an_acknowledgement_waits_for_the_store_and_nothing_else_does() {
    let (mut stream, gate, mut client) = gated(1_024);
    let ticket = gate.admit(7);
    broker_writes(&mut stream, &puback(7)).await;
    broker_writes(&mut stream, &[0xd0, 0]).await;
    client_reads(&mut client, &[0xd0, 0]).await;

    gate.settle(ticket, AckOutcome::Stored);
    assert!(poll_read(&mut stream).is_pending());
    client_reads(&mut client, &puback(7)).await;
}

#[tokio::test]
async fn stored_before_the_broker_acknowledges_it_goes_at_once() {
    let (mut stream, gate, mut client) = gated(1_024);
    let ticket = gate.admit(7);
    gate.settle(ticket, AckOutcome::Stored);
    broker_writes(&mut stream, &puback(7)).await;
    client_reads(&mut client, &puback(7)).await;
}

#[tokio::test]
async fn they_go_in_the_order_of_the_messages() {
    let (mut stream, gate, mut client) = gated(1_024);
    let mut tickets = Vec::new();
    for id in [1, 2, 3] {
        tickets.push(gate.admit(id));
        broker_writes(&mut stream, &puback(id)).await;
    }
    broker_writes(&mut stream, &puback(9)).await; // of a topic that is none of ours
    gate.settle(tickets[2], AckOutcome::Stored);
    gate.settle(tickets[1], AckOutcome::Stored);
    assert!(poll_read(&mut stream).is_pending());
    assert!(stream.out.is_empty(), "the first is not stored yet");
    gate.settle(tickets[0], AckOutcome::Stored);
    assert!(poll_read(&mut stream).is_pending());
    client_reads(&mut client, &[puback(1), puback(2), puback(3), puback(9)].concat()).await;
}

#[tokio::test]
async fn a_pubrec_with_properties_is_one_too() {
    let (mut stream, gate, mut client) = gated(1_024);
    let pubrec = [0x50, 9, 0, 7, 0x10, 5, 0x1f, 0, 2, b'o', b'k'];
    let ticket = gate.admit(7);
    broker_writes(&mut stream, &pubrec).await;
    assert!(stream.out.is_empty());
    gate.settle(ticket, AckOutcome::Stored);
    stream.flush().await.unwrap();
    client_reads(&mut client, &pubrec).await;
}

#[tokio::test]
async fn a_socket_that_takes_little_gets_all_in_the_end() {
    let (mut stream, gate, mut client) = gated(3);
    let mut expected = Vec::new();
    for id in 1..=50 {
        let ticket = gate.admit(id);
        stream.write_all(&puback(id)).await.unwrap();
        gate.settle(ticket, AckOutcome::Stored);
        stream.write_all(&[0xd0, 0]).await.unwrap();
        expected.extend(puback(id).into_iter().chain([0xd0, 0]));
    }
    let reading = tokio::spawn(async move { client_reads(&mut client, &expected).await });
    within("all is written", stream.flush()).await.unwrap();
    within("all is read", reading).await.unwrap();
}

#[tokio::test]
async fn settling_on_another_thread_wakes_the_reader() {
    let (mut stream, gate, mut client) = gated(1_024);
    let ticket = gate.admit(7);
    broker_writes(&mut stream, &puback(7)).await;
    let serving = tokio::spawn(async move { stream.read_u8().await });
    let settling = Arc::clone(&gate);
    std::thread::spawn(move || settling.settle(ticket, AckOutcome::Stored)).join().unwrap();
    client_reads(&mut client, &puback(7)).await;
    client.write_all(&PINGREQ).await.unwrap();
    assert_eq!(within("the client's packet", serving).await.unwrap().unwrap(), 0xc0);
}

#[tokio::test]
async fn a_lost_message_breaks_the_connection_without_acknowledgement() {
    let (mut stream, gate, mut client) = gated(1_024);
    let lost = gate.admit(7);
    gate.settle(lost, AckOutcome::Lost);
    broker_writes(&mut stream, &puback(7)).await;
    assert!(matches!(poll_read(&mut stream), Poll::Ready(Err(_))));
    drop(stream);
    let mut read = Vec::new();
    within("the connection ends", client.read_to_end(&mut read)).await.unwrap();
    assert_eq!(read, b"");
}

#[tokio::test]
async fn a_stopped_gate_reads_no_more_and_still_acknowledges() {
    let (mut stream, gate, mut client) = gated(1_024);
    let ticket = gate.admit(7);
    broker_writes(&mut stream, &puback(7)).await;
    client.write_all(&PINGREQ).await.unwrap();
    gate.stop();
    assert!(poll_read(&mut stream).is_pending());
    gate.settle(ticket, AckOutcome::Stored);
    assert!(poll_read(&mut stream).is_pending());
    client_reads(&mut client, &puback(7)).await;
}

#[tokio::test]
async fn what_is_stored_goes_before_a_last_word() {
    let (mut stream, gate, mut client) = gated(1_024);
    let first = gate.admit(1);
    broker_writes(&mut stream, &puback(1)).await;
    let second = gate.admit(2); // the broker never acknowledges it: it keeps nobody waiting
    gate.settle(second, AckOutcome::Stored);
    let third = gate.admit(3);
    broker_writes(&mut stream, &puback(3)).await;
    gate.settle(first, AckOutcome::Stored);
    stream.write_all(&[0xe0, 0]).await.unwrap();
    gate.settle(third, AckOutcome::Stored);
    drop(stream);
    let mut read = Vec::new();
    within("the connection ends", client.read_to_end(&mut read)).await.unwrap();
    assert_eq!(read, [&puback(1)[..], &[0xe0, 0], &puback(3)].concat());
}

#[tokio::test]
async fn a_client_that_goes_is_seen() {
    let (mut stream, gate, client) = gated(1_024);
    let _unsettled = gate.admit(7);
    broker_writes(&mut stream, &puback(7)).await;
    drop(client);
    assert!(
        matches!(within("the connection ends", stream.read_u8()).await, Err(error) if error.kind() == io::ErrorKind::UnexpectedEof)
    );
}

#[test]
fn room_is_bounded_until_something_is_stored() {
    let gate = Gate::default();
    let mut cx = Context::from_waker(Waker::noop());
    let mut tickets = Vec::new();
    for id in 0..MOST_UNSETTLED {
        assert_eq!(gate.poll_room(&mut cx), Poll::Ready(true));
        tickets.push(gate.admit(u16::try_from(id).unwrap()));
    }
    assert_eq!(gate.poll_room(&mut cx), Poll::Pending);
    gate.settle(tickets[5], AckOutcome::Stored);
    assert_eq!(gate.poll_room(&mut cx), Poll::Ready(true));
    gate.stop();
    assert_eq!(gate.poll_room(&mut cx), Poll::Ready(false));
}

#[test]
fn knows_an_acknowledgement() {
    assert_eq!(packet_id(&puback(0x1234)), Some((PUBACK, 0x1234)));
    assert_eq!(packet_id(&[0x50, 2, 0, 1]), Some((PUBREC, 1)));
    assert_eq!(packet_id(&[0x70, 4, 0, 1, 0x92, 0]), Some((PUBCOMP, 1)));
    assert_eq!(packet_id(&[0x40, 0x82, 0x01, 0, 1]), Some((PUBACK, 1)));
    for other in [&[][..], &[0x40], &[0x40, 2, 0], &[0x62, 2, 0, 1], &[0x40, 0x80, 0x80, 0x80, 0x80, 0, 1]] {
        assert_eq!(packet_id(other), None, "{other:?}");
    }
}

#[tokio::test]
async fn half_packets_are_held_within_bounds() {
    let small = [&[0x30, 0xc0, 0xbb, 0x01][..], &[b'x'; 24_000]].concat();
    let large = [&[0x30, 0xd0, 0x86, 0x03][..], &[b'x'; 50_000]].concat();
    for (packet, bytes, is_read) in [(small, 20_000, true), (large, 40_000, false)] {
        let (mut stream, passes, mut client) = passing(100_000);
        client.write_all(&packet[..bytes]).await.unwrap();
        let read = within(
            "all that is there",
            std::future::poll_fn(|cx| {
                let mut space = [0; 64];
                let mut read = ReadBuf::new(&mut space);
                match Pin::new(&mut stream).poll_read(cx, &mut read) {
                    Poll::Pending => Poll::Ready(None), // all that is there was read
                    Poll::Ready(polled) => Poll::Ready(Some(polled.map(|()| read.filled().len()).unwrap())),
                }
            }),
        )
        .await;
        assert_eq!(read, if is_read { None } else { Some(0) }, "{bytes}");
        if is_read {
            assert_eq!(passes.1.load(Relaxed), bytes - UNCOUNTED);
            client.write_all(&packet[bytes..]).await.unwrap();
            let mut whole = vec![0; packet.len()];
            within("what the broker reads", stream.read_exact(&mut whole)).await.unwrap();
            assert!(whole == packet, "it comes whole, and counts no more when it has gone");
            assert!(poll_read(&mut stream).is_pending());
            assert_eq!(passes.1.load(Relaxed), 0);
            client.write_all(&packet[..bytes]).await.unwrap();
            assert!(poll_read(&mut stream).is_pending());
        } else {
            client_reads(&mut client, &wire::disconnect(wire::QUOTA_EXCEEDED)).await;
        }
        assert!(passes.1.load(Relaxed) > 0);
        drop(stream);
        assert_eq!(passes.1.load(Relaxed), 0, "it is given back");
    }
}

#[tokio::test]
async fn the_end_of_an_exchange_has_the_clients_protocol_version() {
    let (mut stream, _gate, mut client) = gated(1_024);
    for id in [7, 8] {
        broker_writes(&mut stream, &[0x70, 4, 0, id, 0x92, 0]).await;
    }
    client_reads(&mut client, &[0x70, 2, 0, 7, 0x70, 4, 0, 8, 0x92, 0]).await;
}

#[tokio::test]
async fn the_broker_is_told_to_release_what_was_refused() {
    let (mut stream, gate, mut client) = gated(1_024);
    gate.refuse(9, wire::QUOTA_EXCEEDED);
    broker_writes(&mut stream, &[0x50, 2, 0, 9]).await;
    client_reads(&mut client, &[0x50, 3, 0, 9, 0x97]).await;
    let mut heard = [0; 4];
    within("what the broker reads", stream.read_exact(&mut heard)).await.unwrap();
    assert_eq!(heard, wire::pubrel(9));
    broker_writes(&mut stream, &wire::pubcomp(9)).await;
    broker_writes(&mut stream, &wire::pubcomp(9)).await;
    broker_writes(&mut stream, &[0xd0, 0]).await;
    client_reads(&mut client, &[&wire::pubcomp(9)[..], &[0xd0, 0]].concat()).await; // the second is the client's
}

/// The broker writes to a client that takes nothing, and the connection is to end.
#[tokio::test]
async fn a_broken_connection_does_not_wait_for_its_client() {
    let (mut stream, gate, _client) = gated(3);
    stream.write_all(&[0xd0, 0, 0xd0, 0]).await.unwrap();
    let flushing = tokio::spawn(async move { stream.flush().await });
    let breaking = Arc::clone(&gate);
    std::thread::spawn(move || breaking.break_off()).join().unwrap();
    assert!(within("the write breaks off", flushing).await.unwrap().is_err());
}

/// The broker gets the acknowledgement of a withheld message between two packets of the client.
#[tokio::test]
async fn a_command_that_is_over_stops_here() {
    let (mut stream, _gate, mut client) = gated(1_024);
    client.write_all(&PINGREQ[..1]).await.unwrap();
    assert!(poll_read(&mut stream).is_pending(), "half a packet");
    broker_writes(&mut stream, b"\x32\x09\0\x01t\0\x09over").await;
    broker_writes(&mut stream, &[0xd0, 0]).await;
    client_reads(&mut client, &[0xd0, 0]).await;
    client.write_all(&PINGREQ[1..]).await.unwrap();
    let mut heard = [0; 6];
    within("what the broker reads", stream.read_exact(&mut heard)).await.unwrap();
    assert_eq!(heard, [0x40, 2, 0, 9, PINGREQ[0], PINGREQ[1]]);
}
