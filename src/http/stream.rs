//! A connection's byte stream, which other tasks can close although its own task holds the socket, also while
//! that waits for a client that reads nothing. A second handle on the socket is not needed for it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::connections::Place;

/// A socket that can be closed from outside.
pub(super) struct CuttableStream {
    socket: TcpStream,
    pub(super) place: Place,
}

impl CuttableStream {
    pub(super) fn new(socket: TcpStream, place: Place) -> Self {
        Self { socket, place }
    }

    fn unless_cut(&self, context: &Context<'_>) -> io::Result<()> {
        if self.place.connection.is_cut(context) {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "closed by the hub"));
        }
        Ok(())
    }
}

impl AsyncRead for CuttableStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.unless_cut(context)?;
        Pin::new(&mut this.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for CuttableStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.unless_cut(context)?;
        let written = Pin::new(&mut this.socket).poll_write(context, bytes);
        if written.is_ready() {
            this.place.connection.spoke();
        }
        written
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}
