//! Bytes of a file that may be compressed by gzip.

use std::cell::Cell;
use std::io::{BufRead as _, BufReader, Read, Result};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;

/// The first bytes of a file that is compressed by gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Reads a file as it was before it was compressed, where it was.
pub struct PlainInput<R> {
    bytes: PlainBytes<R>,
    position: Rc<Cell<u64>>,
}

enum PlainBytes<R> {
    AsIs(BufReader<CountedFile<R>>),
    Gzip(Box<MultiGzDecoder<BufReader<CountedFile<R>>>>),
}

/// Counts the bytes that are read of a file.
struct CountedFile<R> {
    file: R,
    position: Rc<Cell<u64>>,
}

impl<R: Read> PlainInput<R> {
    /// Reads `file`, which is compressed if its first bytes say so.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn new(file: R) -> Result<Self> {
        let position = Rc::<Cell<u64>>::default();
        let mut file =
            BufReader::with_capacity(64 << 10, CountedFile { file, position: Rc::clone(&position) });
        let bytes = if file.fill_buf()?.starts_with(&GZIP) {
            PlainBytes::Gzip(Box::new(MultiGzDecoder::new(file)))
        } else {
            PlainBytes::AsIs(file)
        };
        Ok(Self { bytes, position })
    }

    /// The bytes of the file that were read so far.
    pub fn position(&self) -> u64 {
        self.position.get()
    }
}

impl<R: Read> Read for PlainInput<R> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        match &mut self.bytes {
            PlainBytes::AsIs(file) => file.read(to),
            PlainBytes::Gzip(file) => file.read(to),
        }
    }
}

impl<R: Read> Read for CountedFile<R> {
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        let count = self.file.read(to)?;
        self.position.set(self.position.get() + count as u64);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn a_compressed_file_is_read_as_a_plain_one() {
        let text = "device_id,value\n".repeat(10_000);
        let gzip = |text: &str| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
            encoder.write_all(text.as_bytes()).unwrap();
            encoder.finish().unwrap()
        };
        let twice = [gzip(&text), gzip("end")].concat(); // as `cat a.gz b.gz` makes it
        for (bytes, expected) in [
            (text.clone().into_bytes(), text.clone()),
            (twice, format!("{text}end")),
            (Vec::new(), String::new()),
            (vec![0x1f], "\u{1f}".into()),
        ] {
            let mut input = PlainInput::new(&bytes[..]).unwrap();
            let mut read = String::new();
            input.read_to_string(&mut read).unwrap();
            assert!(read == expected);
            assert_eq!(input.position(), bytes.len() as u64);
        }
        assert!(PlainInput::new(&gzip("x")[..12]).unwrap().read_to_end(&mut Vec::new()).is_err());
    }
}
