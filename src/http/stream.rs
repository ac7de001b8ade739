//! A connection's byte stream, which other tasks can close although its own task holds the socket, also while
//! that task waits for a client that reads nothing. It needs no second handle on the socket.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actix_web::rt::net::TcpStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::server::TlsStream;
use twinhub_tls::PeerCertificate;

use super::connections::{ConnectionPlace, HttpConnection};

/// The stream that HTTP is spoken over.
pub(super) enum HttpStream {
    Plain(CuttableStream),
    Tls(Box<TlsStream<CuttableStream>>, Option<Arc<PeerCertificate>>),
}

/// A connection's byte stream, with its place among the server's connections.
pub(super) struct CuttableStream {
    socket: TcpStream,
    place: ConnectionPlace,
}

impl HttpStream {
    /// The connection that it belongs to.
    pub(super) fn connection(&self) -> &Arc<HttpConnection> {
        match self {
            Self::Plain(stream) => &stream.place.connection,
            Self::Tls(stream, _) => &stream.get_ref().0.place.connection,
        }
    }

    /// The certificate that its client has shown.
    pub(super) fn certificate(&self) -> Option<&Arc<PeerCertificate>> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(_, certificate) => certificate.as_ref(),
        }
    }
}

impl AsyncRead for HttpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream, _) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for HttpStream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream, _) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream, _) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream, _) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl CuttableStream {
    pub(super) fn new(socket: TcpStream, place: ConnectionPlace) -> Self {
        Self { socket, place }
    }

    /// The first byte that the client sends, which stays to be read; none where it has left.
    ///
    /// # Errors
    /// The connection is broken, or was closed.
    pub(super) async fn first_byte(&self) -> io::Result<Option<u8>> {
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let count = std::future::poll_fn(|context| {
            self.unless_cut(context)?;
            self.socket.poll_peek(context, &mut buffer)
        })
        .await?;
        Ok((count > 0).then_some(byte[0]))
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
