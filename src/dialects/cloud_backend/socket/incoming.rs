//! The client's side of a socket: its frames, read one after the other.

use actix_codec::Decoder as _;
use actix_http::ws::{CloseCode, Codec, Frame, Item, ProtocolError};
use actix_web::web::{Bytes, BytesMut, Payload};
use futures_util::StreamExt as _;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::HeardAt;

/// A message, in one frame or several, has at most this many bytes.
const LONGEST_MESSAGE: usize = 64 * 1024;

/// Something that the client says.
#[derive(Debug)]
pub(super) enum ClientWord {
    Text(Bytes),
    Ping(Bytes),
    /// The connection is to end, and why.
    End(CloseCode, &'static str),
}

/// Hands the client's words on until one of the two sides ends.
pub(super) async fn take_in(mut payload: Payload, words: mpsc::Sender<ClientWord>, heard_at: HeardAt) {
    let (mut codec, mut begun) = (Codec::new().max_size(LONGEST_MESSAGE), BytesMut::new());
    let mut message = MessageParts::default();
    while let Some(Ok(chunk)) = payload.next().await {
        heard_at.set(Instant::now());
        begun.extend_from_slice(&chunk);
        loop {
            let word = match codec.decode(&mut begun) {
                Ok(None) => break,
                Ok(Some(frame)) => message.take(frame),
                Err(ProtocolError::Overflow) => Some(too_long()),
                Err(_) => Some(ClientWord::End(CloseCode::Protocol, "no frames of RFC 6455")),
            };
            let Some(word) = word else { continue };
            let is_end = matches!(word, ClientWord::End(..));
            if words.send(word).await.is_err() {
                return;
            }
            if is_end {
                words.closed().await; // the close frame is on its way
                return;
            }
        }
    }
}

/// The parts of a message so far.
#[derive(Debug, Default)]
struct MessageParts(BytesMut);

impl MessageParts {
    /// The word that is complete with this frame, where one is.
    fn take(&mut self, frame: Frame) -> Option<ClientWord> {
        match frame {
            Frame::Text(text) => Some(ClientWord::Text(text)),
            Frame::Continuation(Item::FirstText(part) | Item::Continue(part)) => {
                self.add(&part).then(too_long)
            }
            Frame::Continuation(Item::Last(part)) => match self.add(&part) {
                true => Some(too_long()),
                false => Some(ClientWord::Text(self.0.split().freeze())),
            },
            Frame::Binary(_) | Frame::Continuation(Item::FirstBinary(_)) => {
                Some(ClientWord::End(CloseCode::Unsupported, "frames are JSON text"))
            }
            Frame::Ping(bytes) => Some(ClientWord::Ping(bytes)),
            Frame::Pong(_) => None,
            Frame::Close(reason) => {
                Some(ClientWord::End(reason.map_or(CloseCode::Normal, |reason| reason.code), ""))
            }
        }
    }

    /// Adds a part; true where the message is too long with it.
    fn add(&mut self, part: &[u8]) -> bool {
        let is_too_long = self.0.len() + part.len() > LONGEST_MESSAGE;
        if !is_too_long {
            self.0.extend_from_slice(part);
        }
        is_too_long
    }
}

fn too_long() -> ClientWord {
    ClientWord::End(CloseCode::Size, "a message has 64 KiB at most")
}
