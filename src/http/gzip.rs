//! Answers that are made bit by bit, compressed for those who ask for it.

use std::io::{self, Write as _};

use actix_web::HttpRequest;
use actix_web::http::header::{AcceptEncoding, Encoding, Header as _};
use actix_web::web::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::{Stream, TryStreamExt as _, stream};

/// The encoder of one answer.
pub struct GzipStream(GzEncoder<Vec<u8>>);

impl GzipStream {
    /// An encoder for the answer to this request; none where its client does not prefer gzip.
    #[must_use]
    pub fn for_client_of(request: &HttpRequest) -> Option<Self> {
        let known = [Encoding::gzip(), Encoding::identity()];
        let asked = AcceptEncoding::parse(request).ok()?.negotiate(known.iter())?;
        (asked == Encoding::gzip()).then(|| Self(GzEncoder::new(Vec::new(), Compression::fast())))
    }

    /// A part of the answer, compressed with what came before; the client can read all of it.
    ///
    /// # Errors
    /// None are known: it writes to memory.
    pub fn part(&mut self, text: &[u8]) -> io::Result<Bytes> {
        self.0.write_all(text)?;
        self.0.flush()?;
        Ok(std::mem::take(self.0.get_mut()).into())
    }

    /// All parts of an answer, compressed as they come. One that breaks off has no end, so that a part is not taken for the
    /// whole.
    pub fn compress<E>(
        self,
        parts: impl Stream<Item = Result<Bytes, E>>,
        failed: impl Fn(io::Error) -> E,
    ) -> impl Stream<Item = Result<Bytes, E>> {
        stream::try_unfold(Some((self, Box::pin(parts), failed)), async |at| {
            let Some((mut gzip, mut parts, failed)) = at else { return Ok(None) };
            match parts.try_next().await? {
                Some(part) => {
                    let part = gzip.part(&part).map_err(&failed)?;
                    Ok(Some((part, Some((gzip, parts, failed)))))
                }
                None => Ok(Some((gzip.end(b"").map_err(failed)?, None))),
            }
        })
    }

    /// The last part.
    ///
    /// # Errors
    /// None are known: it writes to memory.
    pub fn end(mut self, text: &[u8]) -> io::Result<Bytes> {
        self.0.write_all(text)?;
        self.0.finish().map(Bytes::from)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use actix_web::test::TestRequest;
    use flate2::read::GzDecoder;

    use super::*;

    #[test]
    fn gzip_is_for_those_who_ask_for_it() {
        let check = |asked: Option<&str>, expected: bool| {
            let mut request = TestRequest::default();
            if let Some(asked) = asked {
                request = request.insert_header(("Accept-Encoding", asked));
            }
            let found = GzipStream::for_client_of(&request.to_http_request());
            assert_eq!(found.is_some(), expected, "{asked:?}");
        };
        check(None, false);
        check(Some(""), false);
        check(Some("gzip"), true);
        check(Some("gzip, deflate, br"), true);
        check(Some("identity"), false);
        check(Some("br"), false);
        check(Some("gzip;q=0, identity"), false);
        check(Some("gzip;q=0.5, identity;q=1"), false);
    }

    #[test]
    fn each_part_can_be_read_when_it_came() {
        let request = TestRequest::default().insert_header(("Accept-Encoding", "gzip")).to_http_request();
        let mut stream = GzipStream::for_client_of(&request).unwrap();
        let first = stream.part(b"[1,").unwrap();
        let mut read = [0; 3];
        GzDecoder::new(&*first).read_exact(&mut read).unwrap();
        assert_eq!(&read, b"[1,");
        let all = [first, stream.end(b"2]").unwrap()].concat();
        let mut text = String::new();
        GzDecoder::new(&*all).read_to_string(&mut text).unwrap();
        assert_eq!(text, "[1,2]");
    }
}
