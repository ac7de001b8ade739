//! A client's socket as the broker sees it, with the [`Gate`] in between.
//!
//! The broker gets one packet at a time, whole, and after an inspector of ours ([`Inspect`]): so the packet inspected
//! last is the one that the broker handles. The inspector sees some of the broker's packets, too.
//!
//! The broker thinks that it has acknowledged a message as soon as it wrote the PUBACK here, and goes on to
//! the next; the client sees the PUBACK when the message is stored. So one connection has as many messages
//! in one group commit as its window allows, and every PUBACK still means "stored".

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use mqtt5::broker::transport::WebSocketTransport;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

use super::gate::{Gate, ReadPhase};
use super::handed_commands::Withheld;
use super::wire::{self, PUBACK, PUBCOMP, PUBREC, PacketExtent};

/// Beyond this many bytes that the client has not taken, the broker waits.
const MOST_UNWRITTEN: usize = 64 * 1024;

/// The most bytes read and discarded from a socket that is to be closed.
const MOST_UNREAD: usize = 256 * 1_024;

/// Bytes that are read at once: some ordinary messages. A client that sends more is read by more.
const ROOM: usize = 1_024;
const MORE_ROOM: usize = 8 * 1_024;
/// Bytes of half a packet that are not counted: every connection may hold as many.
const UNCOUNTED: usize = MORE_ROOM;

/// Looks at a connection's packets.
pub(super) trait Inspect: Send + Sync {
    fn gate(&self) -> &Gate;

    /// In bytes, of the packet that begins with the bytes in `begun`.
    fn largest_packet(&self, begun: &[u8]) -> usize;

    /// The connection holds `now` bytes of half a packet, after `before`. False where that is too much in all.
    fn may_hold(&self, before: usize, now: usize) -> bool;

    /// The packet for the client as its connection ends for this reason.
    fn goodbye(&self, reason: u8) -> Vec<u8>;

    /// Inspects `packet` of the client, whose fixed header is `header` bytes long.
    fn inspect(&self, packet: &mut [u8], header: usize) -> PacketVerdict;

    /// The broker sends `packet`.
    fn sends(&self, packet: &[u8]);

    /// Is `packet` of the broker to be withheld from the client? The broker then gets the client's acknowledgement from
    /// us.
    fn withholds(&self, packet: &[u8]) -> Option<Withheld>;

    /// The broker ends the exchange of this message. True where a plain PUBCOMP is to go in place of the broker's.
    fn is_complete(&self, packet_id: u16) -> bool;

    /// The broker has nothing to do. True where we have more to do, once other tasks had their turn.
    fn idle(&self) -> bool;

    /// Packets for the client beside those of the broker. Called when the connection ends.
    fn final_packets(&self) -> Vec<u8>;
}

/// The decision on a packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PacketVerdict {
    /// The broker gets it.
    Pass,
    /// The broker gets this one instead.
    Replace(Vec<u8>),
    /// The broker does not get it; the client gets this.
    Answer(Vec<u8>),
    /// The client gets this, and the connection ends.
    End(Vec<u8>),
}

/// A socket whose packets an inspector sees before the broker does.
pub(super) struct GatedStream<S: AsyncRead + AsyncWrite + Unpin> {
    socket: S,
    peer: SocketAddr,
    inspector: Arc<dyn Inspect>,
    /// Bytes of the client that have not gone to the broker.
    inbox: BytesMut,
    /// The first of these bytes have been inspected.
    inspected: usize,
    /// Bytes of half a packet, as they were counted last.
    held: usize,
    /// Bytes to read at once.
    room: usize,
    /// The broker has been signalled that the client has gone.
    ended: bool,
    /// On its way to the client, in order.
    out: BytesMut,
    /// Packets of our own for the broker: acknowledgements of messages that were kept from the client, and releases of
    /// messages that it was told to repeat no more.
    own: BytesMut,
    /// The message that `own` releases: the broker's answer to that is not for the client.
    released: Option<u16>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> GatedStream<S> {
    pub(super) fn new(socket: S, peer: SocketAddr, inspector: Arc<dyn Inspect>) -> Self {
        let (inbox, out, own) = (BytesMut::new(), BytesMut::new(), BytesMut::new());
        Self {
            socket,
            peer,
            inspector,
            inbox,
            inspected: 0,
            held: 0,
            room: ROOM,
            ended: false,
            out,
            own,
            released: None,
        }
    }

    /// Writes out the bytes that may go. Ready when all of them are with the socket.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inspector.gate().release(&mut self.out);
        while !self.out.is_empty() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// The same for the broker, which waits: not for a client whose connection is to end.
    fn poll_drain_unless_broken(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_drain(cx) {
            Poll::Pending if self.inspector.gate().poll_reading(cx) == ReadPhase::Broken => {
                Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
            }
            polled => polled,
        }
    }

    /// Gives the broker the next packet, or as much of it as it has asked for. Bytes that may go out wait while there
    /// is one: it goes in one piece before more is read.
    fn poll_packet(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.inspected > 0 {
                self.hand_over(buf);
                return Poll::Ready(Ok(()));
            }
            // Between two packets of the client.
            if !self.own.is_empty() {
                let count = self.own.len().min(buf.remaining());
                buf.put_slice(&self.own.split_to(count));
                return Poll::Ready(Ok(()));
            }
            if !self.ended && self.inspect_next() {
                continue;
            }
            if self.inspector.idle() {
                cx.waker().wake_by_ref();
            }
            if let Poll::Ready(Err(error)) = self.poll_drain(cx) {
                return Poll::Ready(Err(error));
            }
            if self.ended {
                return Poll::Ready(Ok(()));
            }
            if self.out.len() > MOST_UNWRITTEN {
                return Poll::Pending; // a client that reads no answers is not read: the socket wakes us
            }
            if !self.count_held() {
                self.end(wire::QUOTA_EXCEEDED);
                continue;
            }
            if self.inbox.capacity() - self.inbox.len() < ROOM / 4 {
                self.inbox.reserve(self.room);
            }
            let space = self.inbox.capacity() - self.inbox.len();
            let count = ready!(pin!(self.socket.read_buf(&mut self.inbox)).poll(cx))?;
            self.room = if count >= space { MORE_ROOM } else { ROOM };
            self.ended = count == 0;
        }
    }

    /// Counts the bytes of half a packet. False where they are too many.
    fn count_held(&mut self) -> bool {
        let now = self.inbox.len().saturating_sub(UNCOUNTED);
        let may_hold = now == self.held || self.inspector.may_hold(self.held, now);
        if may_hold {
            self.held = now;
        }
        may_hold
    }

    /// Stops reading, and sends the client the reason.
    fn end(&mut self, reason: u8) {
        self.inbox = BytesMut::new();
        self.inspector.gate().release(&mut self.out); // what may go, goes before a DISCONNECT
        self.out.extend_from_slice(&self.inspector.goodbye(reason));
        self.ended = true;
    }

    /// Gives the broker inspected bytes, as many as it has asked for.
    fn hand_over(&mut self, buf: &mut ReadBuf<'_>) {
        let count = self.inspected.min(buf.remaining());
        buf.put_slice(&self.inbox[..count]);
        self.inbox.advance(count);
        self.inspected -= count;
        if self.inbox.is_empty() && self.inbox.capacity() > ROOM {
            self.inbox = BytesMut::new(); // most connections are idle most of the time
        }
    }

    /// Looks at the next packet, if it is there. False where more has to come first.
    fn inspect_next(&mut self) -> bool {
        let verdict = match wire::extent(&self.inbox) {
            PacketExtent::Unknown => return false,
            PacketExtent::Malformed => {
                self.inspected = self.inbox.len(); // for the broker to find out
                return true;
            }
            PacketExtent::Packet { total, .. } if total > self.inspector.largest_packet(&self.inbox) => {
                self.end(wire::PACKET_TOO_LARGE);
                return true;
            }
            PacketExtent::Packet { total, .. } if total > self.inbox.len() => return false,
            PacketExtent::Packet { header, total } => {
                let verdict = self.inspector.inspect(&mut self.inbox[..total], header);
                match verdict {
                    PacketVerdict::Pass => self.inspected = total,
                    _ => self.inbox.advance(total),
                }
                verdict
            }
        };
        match verdict {
            PacketVerdict::Pass => {}
            PacketVerdict::Replace(packet) => {
                self.inspected = packet.len();
                let rest = std::mem::take(&mut self.inbox);
                self.inbox.extend_from_slice(&packet);
                self.inbox.unsplit(rest);
            }
            PacketVerdict::Answer(packet) => self.out.extend_from_slice(&packet),
            PacketVerdict::End(packet) => {
                self.inspector.gate().release(&mut self.out); // what may go, goes before a DISCONNECT
                self.out.extend_from_slice(&packet);
                self.ended = true;
            }
        }
        true
    }
}

/// The broker always polls this when it has nothing else to do, so it also writes bytes that were released since.
impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for GatedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Registers the task before it looks what is released: nothing can slip in between unseen.
        match self.inspector.gate().poll_reading(cx) {
            ReadPhase::Open => self.poll_packet(cx, buf),
            closed => {
                if let Poll::Ready(Err(error)) = self.poll_drain(cx) {
                    return Poll::Ready(Err(error));
                }
                if closed == ReadPhase::Stopped {
                    Poll::Pending
                } else {
                    Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
                }
            }
        }
    }
}

/// Takes whole packets: the broker writes one at a time, and this never takes a part of one.
impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GatedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, packet: &[u8]) -> Poll<io::Result<usize>> {
        if self.out.len() > MOST_UNWRITTEN {
            ready!(self.poll_drain_unless_broken(cx))?;
        }
        let this = &mut *self;
        if this.inspector.gate().parting().is_some() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        this.inspector.sends(packet);
        if let Some(Withheld { packet_id }) = this.inspector.withholds(packet) {
            if let Some(packet_id) = packet_id {
                this.own.extend_from_slice(&[PUBACK << 4, 2]);
                this.own.extend_from_slice(&packet_id.to_be_bytes());
            }
            return Poll::Ready(Ok(packet.len()));
        }
        match packet_id(packet) {
            Some((PUBACK | PUBREC, id)) => {
                let was_refused = this.inspector.gate().hold(id, packet);
                if was_refused && packet[0] >> 4 == PUBREC {
                    // The client is done with this message. The broker has its id until that is released.
                    this.own.extend_from_slice(&wire::pubrel(id));
                    this.released = Some(id);
                }
            }
            Some((PUBCOMP, id)) if this.released == Some(id) => this.released = None,
            completed => {
                this.inspector.gate().release(&mut this.out); // what may go, goes before a DISCONNECT
                match completed {
                    Some((PUBCOMP, id)) if this.inspector.is_complete(id) => {
                        this.out.extend_from_slice(&wire::pubcomp(id));
                    }
                    _ => this.out.extend_from_slice(packet),
                }
            }
        }
        Poll::Ready(Ok(packet.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain_unless_broken(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// A connection that ends first sends the acknowledgements of messages stored meanwhile and its reason, as far as the
/// socket takes them at once.
impl<S: AsyncRead + AsyncWrite + Unpin> Drop for GatedStream<S> {
    fn drop(&mut self) {
        self.inspector.may_hold(self.held, 0);
        self.out.extend_from_slice(&self.inspector.final_packets());
        let mut cx = Context::from_waker(Waker::noop());
        let _ = self.poll_drain(&mut cx); // there is nobody left to tell
        // A socket that is closed with unread bytes resets the connection: the last words would be lost.
        let mut rest = [0; 4 * 1_024];
        for _ in 0..MOST_UNREAD / rest.len() {
            let mut read = ReadBuf::new(&mut rest);
            let polled = Pin::new(&mut self.socket).poll_read(&mut cx, &mut read);
            if !matches!(polled, Poll::Ready(Ok(()))) || read.filled().is_empty() {
                break;
            }
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> WebSocketTransport for GatedStream<S> {
    fn peer_addr(&self) -> mqtt5::Result<SocketAddr> {
        Ok(self.peer)
    }
}

/// The type of a packet that acknowledges a message of the client, and the message's id.
fn packet_id(packet: &[u8]) -> Option<(u8, u16)> {
    let kind = packet.first()? >> 4;
    if !matches!(kind, PUBACK | PUBREC | PUBCOMP) {
        return None;
    }
    let PacketExtent::Packet { header, .. } = wire::extent(packet) else { return None };
    Some((kind, wire::packet_id(packet, header)?))
}

#[cfg(test)]
mod tests;
