//! Frames of a WebSocket, written one behind the other, so that all of a commit go to the connection at once.

use actix_http::ws::{OpCode, Parser};
use actix_web::web::{Bytes, BytesMut};

/// Frames that were not sent yet.
#[derive(Debug, Default)]
pub(super) struct FrameBuffer {
    bytes: BytesMut,
    count: u64,
}

impl FrameBuffer {
    /// Appends a text in one frame.
    pub fn push(&mut self, text: &str) {
        Parser::write_message(&mut self.bytes, text, OpCode::Text, true, false);
        self.count += 1;
    }

    /// The bytes of the frames so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The frames, and their number. The next ones use the same memory again, once these are sent.
    pub fn take(&mut self) -> (Bytes, u64) {
        (self.bytes.split().freeze(), std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_stand_one_behind_the_other() {
        let mut buffer = FrameBuffer::default();
        let long = "x".repeat(70_000);
        for text in ["", "{}", &"y".repeat(300), &long] {
            buffer.push(text);
        }
        let (bytes, count) = buffer.take();
        assert_eq!((count, buffer.len()), (4, 0));
        let mut bytes = BytesMut::from(bytes);
        let mut lengths = Vec::new();
        while let Some((is_final, kind, text)) = Parser::parse(&mut bytes, false, 100_000).unwrap() {
            assert!(is_final && kind == OpCode::Text);
            lengths.push(text.map_or(0, |text| text.len()));
        }
        assert_eq!(lengths, [0, 2, 300, 70_000]);
        assert_eq!(buffer.take().1, 0);
    }
}
