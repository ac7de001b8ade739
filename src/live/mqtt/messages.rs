//! Frames of a WebSocket that carries a stream of bytes (RFC 6455). What comes in is passed on as it comes: no message is
//! gathered, so that none takes memory before its sender has signed in.

use actix_web::web::{Buf as _, Bytes, BytesMut};

const FINAL: u8 = 0x80;
const MASKED: u8 = 0x80;
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
/// Bytes of a control frame.
const LONGEST_CONTROL: u64 = 125;

/// The client's next step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ClientStep {
    Bytes(Bytes),
    Ping(Bytes),
    Close,
}

/// The reason why a client's frames end the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FrameFault {
    /// The frames are none of RFC 6455.
    Protocol,
    /// It sent text, where MQTT is binary.
    Text,
}

/// Reads frames.
#[derive(Debug, Default)]
pub(super) struct MessageReader {
    /// Of a header or a control frame that has come in part.
    begun: BytesMut,
    payload: Option<OpenPayload>,
    /// A message is not at its end.
    continues: bool,
}

/// The rest of a data frame.
#[derive(Debug)]
struct OpenPayload {
    left: u64,
    mask: [u8; 4],
    /// Where in the mask the next byte stands.
    at: usize,
}

/// A frame's header.
#[derive(Debug)]
struct FrameHeader {
    is_final: bool,
    kind: u8,
    length: u64,
    mask: [u8; 4],
    bytes: usize,
}

impl FrameFault {
    /// The status of the close frame.
    pub(super) fn status(self) -> u16 {
        match self {
            Self::Protocol => 1_002,
            Self::Text => 1_003,
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Self::Protocol => "no frames of RFC 6455",
            Self::Text => "text, where MQTT is binary",
        }
    }
}

impl MessageReader {
    /// The next step in `chunk`, which is taken out of it; none where more has to come.
    ///
    /// # Errors
    /// The connection is to end.
    pub(super) fn next(&mut self, chunk: &mut BytesMut) -> Result<Option<ClientStep>, FrameFault> {
        loop {
            if let Some(payload) = &mut self.payload {
                if payload.left == 0 {
                    self.payload = None;
                    continue;
                }
                if chunk.is_empty() {
                    return Ok(None);
                }
                let count = usize::try_from(payload.left).unwrap_or(usize::MAX).min(chunk.len());
                let mut bytes = chunk.split_to(count);
                payload.at = unmask(&mut bytes, payload.mask, payload.at);
                payload.left -= count as u64;
                return Ok(Some(ClientStep::Bytes(bytes.freeze())));
            }
            // Copied for each header, the rest of a chunk of many frames would cost the square of their number.
            if self.begun.is_empty() {
                std::mem::swap(&mut self.begun, chunk);
            } else {
                self.begun.extend_from_slice(chunk);
                chunk.clear();
            }
            let Some(header) = FrameHeader::read(&self.begun)? else { return Ok(None) };
            let FrameHeader { is_final, kind, length, mask, bytes } = header;
            if kind < CLOSE {
                match (kind, self.continues) {
                    (BINARY, false) | (CONTINUATION, true) => {}
                    (TEXT, false) => return Err(FrameFault::Text),
                    _ => return Err(FrameFault::Protocol),
                }
                self.continues = !is_final;
                self.begun.advance(bytes);
                *chunk = self.begun.split();
                self.payload = Some(OpenPayload { left: length, mask, at: 0 });
                continue;
            }
            if length > LONGEST_CONTROL || !is_final {
                return Err(FrameFault::Protocol);
            }
            let end = bytes + usize::try_from(length).unwrap_or(usize::MAX);
            if self.begun.len() < end {
                return Ok(None);
            }
            let mut control = self.begun.split_to(end);
            *chunk = self.begun.split();
            control.advance(bytes);
            unmask(&mut control, mask, 0);
            match kind {
                PING => return Ok(Some(ClientStep::Ping(control.freeze()))),
                CLOSE => return Ok(Some(ClientStep::Close)),
                PONG => {}
                _ => return Err(FrameFault::Protocol),
            }
        }
    }
}

impl FrameHeader {
    /// The header at the beginning of `bytes`; none where it has not come whole.
    fn read(bytes: &[u8]) -> Result<Option<Self>, FrameFault> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        // Clients mask what they send; there are no extensions.
        if second & MASKED == 0 || first & 0x70 != 0 {
            return Err(FrameFault::Protocol);
        }
        let (length, rest, before) = match second & !MASKED {
            126 => match rest.split_first_chunk::<2>() {
                Some((length, rest)) => (u64::from(u16::from_be_bytes(*length)), rest, 4),
                None => return Ok(None),
            },
            127 => match rest.split_first_chunk::<8>() {
                Some((length, rest)) => (u64::from_be_bytes(*length), rest, 10),
                None => return Ok(None),
            },
            length => (u64::from(length), rest, 2),
        };
        let Some(mask) = rest.first_chunk::<4>() else { return Ok(None) };
        let (is_final, kind) = (first & FINAL != 0, first & 0x0F);
        Ok(Some(Self { is_final, kind, length, mask: *mask, bytes: before + mask.len() }))
    }
}

/// Takes the mask off, of which the byte at `at` is the next; the place after it.
fn unmask(bytes: &mut [u8], mask: [u8; 4], at: usize) -> usize {
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte ^= mask[(at + index) % 4];
    }
    (at + bytes.len()) % 4
}

/// A message of these bytes.
pub(super) fn frame(bytes: &[u8]) -> Bytes {
    encoded(BINARY, bytes)
}

/// The answer to a ping.
pub(super) fn pong(bytes: &[u8]) -> Bytes {
    encoded(PONG, bytes)
}

/// The end, and why.
pub(super) fn close(status: u16) -> Bytes {
    encoded(CLOSE, &status.to_be_bytes())
}

/// Is this frame of ours the end?
pub(super) fn is_close(frame: &[u8]) -> bool {
    frame.first() == Some(&(FINAL | CLOSE))
}

fn encoded(kind: u8, bytes: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(bytes.len() + 10);
    frame.extend_from_slice(&[FINAL | kind]);
    match (u8::try_from(bytes.len()), u16::try_from(bytes.len())) {
        (Ok(length @ ..126), _) => frame.extend_from_slice(&[length]),
        (_, Ok(length)) => {
            frame.extend_from_slice(&[126]);
            frame.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            frame.extend_from_slice(&[127]);
            frame.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(bytes);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A frame as a client sends it.
    fn sent(first: u8, bytes: &[u8], mask: [u8; 4]) -> Vec<u8> {
        let plain = encoded(0, bytes);
        let header = plain.len() - bytes.len();
        let mut frame = vec![first, plain[1] | MASKED];
        frame.extend_from_slice(&plain[2..header]);
        frame.extend_from_slice(&mask);
        let mut masked = bytes.to_vec();
        unmask(&mut masked, mask, 0);
        frame.extend(masked);
        frame
    }

    /// All that a reader makes of bytes that come in such pieces.
    fn read(bytes: &[u8], piece: usize) -> Result<(Vec<u8>, Vec<ClientStep>), FrameFault> {
        let (mut reader, mut data, mut others) = (MessageReader::default(), Vec::new(), Vec::new());
        for chunk in bytes.chunks(piece.max(1)) {
            let mut chunk = BytesMut::from(chunk);
            while let Some(incoming) = reader.next(&mut chunk)? {
                match incoming {
                    ClientStep::Bytes(bytes) => data.extend_from_slice(&bytes),
                    other => others.push(other),
                }
            }
        }
        Ok((data, others))
    }

    #[test]
    fn frames_of_another_kind_end_the_connection() {
        let check = |first: u8, expected: FrameFault| {
            assert_eq!(read(&sent(first, b"x", [1; 4]), 1).unwrap_err(), expected, "{first:x}");
        };
        check(FINAL | TEXT, FrameFault::Text);
        check(FINAL | CONTINUATION, FrameFault::Protocol);
        check(PING, FrameFault::Protocol);
        check(FINAL | 0xB, FrameFault::Protocol);
        check(FINAL | 0x3, FrameFault::Protocol);
        check(FINAL | 0x40 | BINARY, FrameFault::Protocol);
        assert_eq!(read(&[FINAL | BINARY, 1, 0], 9), Err(FrameFault::Protocol), "not masked");
        assert_eq!(read(&sent(FINAL | PING, &[0; 126], [1; 4]), 9), Err(FrameFault::Protocol), "too long");
        let twice = [sent(BINARY, b"x", [1; 4]), sent(BINARY, b"x", [1; 4])].concat();
        assert_eq!(read(&twice, 9), Err(FrameFault::Protocol), "one within another");
    }

    #[test]
    fn frames_are_read_where_they_stand() {
        let mut wire = sent(FINAL | BINARY, b"", [1; 4]).repeat(100_000);
        let data_end = wire.len() + 7;
        wire.extend(sent(FINAL | BINARY, b"x", [1; 4]));
        wire.extend(sent(FINAL | PING, b"?", [1; 4]));
        let mut chunk = BytesMut::from(&*wire);
        let begin = chunk.as_ptr().addr();
        let mut reader = MessageReader::default();
        // A copy of the bytes after any of the empty frames would stand elsewhere.
        match reader.next(&mut chunk) {
            Ok(Some(ClientStep::Bytes(bytes))) => {
                assert_eq!((bytes.as_ptr().addr(), &*bytes), (begin + data_end - 1, &b"x"[..]));
            }
            other => panic!("{other:?}"),
        }
        match reader.next(&mut chunk) {
            Ok(Some(ClientStep::Ping(bytes))) => {
                assert_eq!((bytes.as_ptr().addr(), &*bytes), (begin + wire.len() - 1, &b"?"[..]));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(reader.next(&mut chunk), Ok(None));
    }

    proptest! {
        /// However messages are parted into frames and frames into chunks, with pings between, the bytes are the same.
        #[test]
        fn bytes_come_as_they_were_sent(
            messages in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..300), 1..200_usize), 0..6),
            mask in any::<[u8; 4]>(),
            piece in 1..400_usize,
            pings in any::<bool>(),
        ) {
            let (mut wire, mut expected, mut count) = (Vec::new(), Vec::new(), 0);
            for (message, part) in messages {
                expected.extend_from_slice(&message);
                let mut parts: Vec<&[u8]> = message.chunks(part).collect();
                if parts.is_empty() {
                    parts.push(&[]);
                }
                let last = parts.len() - 1;
                for (index, part) in parts.into_iter().enumerate() {
                    let kind = if index == 0 { BINARY } else { CONTINUATION };
                    let ending = if index == last { FINAL } else { 0 };
                    wire.extend(sent(kind | ending, part, mask));
                    if pings {
                        wire.extend(sent(FINAL | PING, b"?", mask));
                        count += 1;
                    }
                }
            }
            let (data, others) = read(&wire, piece).unwrap();
            prop_assert_eq!(data, expected);
            prop_assert_eq!(others, (0..count).map(|_| ClientStep::Ping(Bytes::from_static(b"?"))).collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), piece in 1..50_usize) {
            let _ = read(&bytes, piece);
        }

        #[test]
        fn large_messages_keep_their_length(length in prop::sample::select(vec![0, 125, 126, 65_535, 65_536, 70_000_usize])) {
            let bytes = vec![7; length];
            prop_assert_eq!(read(&sent(FINAL | BINARY, &bytes, [9, 8, 7, 6]), 8_192).unwrap().0, bytes);
        }
    }
}
