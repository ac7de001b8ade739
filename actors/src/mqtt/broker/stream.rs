//! A client's socket as the broker sees it, with the [`Gate`] in between.
//!
//! The broker thinks that it has acknowledged a message as soon as it wrote the PUBACK here, and goes on to
//! the next; the client sees the PUBACK when the message is stored. So one connection has as many messages
//! in one group commit as its window allows, and every PUBACK still means "stored".
//!
//! The other way a command that is over stops here ([`super::handed`]), and the broker hears what the client would have
//! said to it, so that it lets go of it.

mod incoming;

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, BytesMut};
use mqtt5::broker::transport::WebSocketTransport;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::incoming::Incoming;
use super::gate::{Gate, Reading};
use super::handed::{HandedOver, Withheld};

/// Packet types of MQTT, the high half of the first byte.
const PUBACK: u8 = 4;
const PUBREC: u8 = 5;

/// Beyond this many bytes that the client has not taken, the broker waits.
const MOST_UNWRITTEN: usize = 64 * 1024;

/// See the module.
pub(super) struct GatedStream<S: AsyncRead + AsyncWrite + Unpin> {
    socket: S,
    peer: SocketAddr,
    gate: Arc<Gate>,
    handed: Arc<HandedOver>,
    /// On its way to the client, in order.
    out: BytesMut,
    incoming: Incoming,
    /// Acknowledgements of what the client was not given, for the broker.
    own: BytesMut,
}

impl<S: AsyncRead + AsyncWrite + Unpin> GatedStream<S> {
    pub(super) fn new(socket: S, peer: SocketAddr, gate: Arc<Gate>, handed: Arc<HandedOver>) -> Self {
        let (out, own) = (BytesMut::new(), BytesMut::new());
        Self { socket, peer, gate, handed, out, incoming: Incoming::default(), own }
    }

    /// Reads from the client, or between two of its packets what is said in its place.
    fn poll_client(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.own.is_empty() && self.incoming.is_between_packets() {
            let part = self.own.split_to(self.own.len().min(buf.remaining()));
            self.incoming.pass(&part);
            buf.put_slice(&part);
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.socket).poll_read(cx, buf))?;
        self.incoming.pass(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }

    /// Writes out what may go. Ready when all of it is with the socket.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.gate.release(&mut self.out);
        while !self.out.is_empty() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.out))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.out.advance(written);
        }
        Poll::Ready(Ok(()))
    }
}

/// The broker always polls this when it has nothing else to do, so it also writes what was released since.
impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for GatedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Registers the task before it looks what is released: nothing can slip in between unseen.
        let reading = self.gate.poll_reading(cx);
        if let Poll::Ready(Err(error)) = self.poll_drain(cx) {
            return Poll::Ready(Err(error));
        }
        match reading {
            Reading::Open => self.poll_client(cx, buf),
            Reading::Stopped => Poll::Pending,
            Reading::Broken => Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
        }
    }
}

/// Takes whole packets: the broker writes one at a time, and this never takes a part of one.
impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for GatedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, packet: &[u8]) -> Poll<io::Result<usize>> {
        if self.out.len() > MOST_UNWRITTEN {
            ready!(self.poll_drain(cx))?;
        }
        if let Some(Withheld { packet_id }) = self.handed.check(packet) {
            if let Some(packet_id) = packet_id {
                self.own.extend_from_slice(&[PUBACK << 4, 2]);
                self.own.extend_from_slice(&packet_id.to_be_bytes());
            }
        } else if let Some(packet_id) = acknowledged(packet) {
            self.gate.hold(packet_id, packet);
        } else {
            let this = &mut *self;
            this.gate.release(&mut this.out); // what may go, goes before a DISCONNECT
            this.out.extend_from_slice(packet);
        }
        Poll::Ready(Ok(packet.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_drain(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// A connection that ends says first what was stored meanwhile, as far as the socket takes it at once.
impl<S: AsyncRead + AsyncWrite + Unpin> Drop for GatedStream<S> {
    fn drop(&mut self) {
        let _ = self.poll_drain(&mut Context::from_waker(Waker::noop())); // there is nobody left to tell
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> WebSocketTransport for GatedStream<S> {
    fn peer_addr(&self) -> mqtt5::Result<SocketAddr> {
        Ok(self.peer)
    }
}

/// The id of the message that this packet acknowledges. The id comes first behind the fixed header, whose
/// length field ends with the first byte below 0x80.
fn acknowledged(packet: &[u8]) -> Option<u16> {
    let (first, rest) = packet.split_first()?;
    if !matches!(first >> 4, PUBACK | PUBREC) {
        return None;
    }
    let length_ends = rest.iter().take(4).position(|byte| byte & 0x80 == 0)?;
    let id = rest.get(length_ends + 1..length_ends + 3)?;
    Some(u16::from_be_bytes([id[0], id[1]]))
}

#[cfg(test)]
mod tests;
