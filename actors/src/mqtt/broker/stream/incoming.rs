//! Where packets end in what a client sends, so that an acknowledgement can be put between two of them.

/// Follows the bytes of a connection.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    /// What is still to come of the packet that was begun.
    place: Place,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    /// Between two packets.
    #[default]
    Between,
    /// In the length of a packet: what it comes to so far, and the weight of its next byte in bits.
    Length(usize, u32),
    /// This many bytes before the end of a packet.
    Within(usize),
}

impl Incoming {
    /// Nothing was begun that is not yet complete.
    pub(super) fn is_between_packets(&self) -> bool {
        self.place == Place::Between
    }

    /// These bytes came.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((byte, rest)) = bytes.split_first() {
            self.place = match self.place {
                Place::Between => {
                    bytes = rest;
                    Place::Length(0, 0)
                }
                Place::Length(length, bits) => {
                    bytes = rest;
                    let length = length | usize::from(byte & 0x7F) << bits;
                    match (byte & 0x80, length) {
                        (0, 0) => Place::Between,
                        (0, length) => Place::Within(length),
                        // The fifth byte is the broker's to refuse; it must only not overflow here.
                        (_, length) => Place::Length(length, (bits + 7).min(28)),
                    }
                }
                Place::Within(left) => {
                    let taken = left.min(bytes.len());
                    bytes = &bytes[taken..];
                    if taken == left { Place::Between } else { Place::Within(left - taken) }
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_end_where_they_end_however_they_come() {
        let ping: &[u8] = &[0xC0, 0];
        let puback: &[u8] = &[0x40, 2, 0, 1];
        let long = [&[0x30, 0x80, 0x02][..], &[0x55; 256]].concat();
        let all = [ping, puback, &long, ping].concat();
        let ends = [2, 6, 265, 267];
        for size in 1..=all.len() {
            let mut incoming = Incoming::default();
            let mut passed = 0;
            for piece in all.chunks(size) {
                incoming.pass(piece);
                passed += piece.len();
                assert_eq!(incoming.is_between_packets(), ends.contains(&passed), "{passed} in {size}");
            }
        }
        let mut nonsense = Incoming::default();
        nonsense.pass(&[0xFF; 100]);
    }
}
