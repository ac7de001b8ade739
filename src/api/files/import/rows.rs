//! The rows of a body, as it comes in.

use actix_web::web::Bytes;
use futures_util::Stream;

use crate::http::extract::upload_pace::Steady;
use crate::import_export::{FileFault, FileRow, RowReader};

/// Reads the rows of a body, of which so many bytes are read at most.
pub(crate) struct BodyRows<'a, S> {
    pub reader: RowReader,
    body: &'a mut S,
    limit: usize,
    left: usize,
    steady: Steady,
    open: bool,
}

/// The reason why no further row can be read.
#[derive(Debug)]
pub(crate) enum RowsEnd {
    /// No part of the body can be read.
    Unreadable(FileFault),
    /// The body ended before its time: rows before it stand.
    BrokenOff(String),
}

impl<'a, S, E> BodyRows<'a, S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: std::fmt::Display,
{
    /// The rows of `body` that `reader` finds, of which `limit` bytes are read at most.
    pub fn new(reader: RowReader, body: &'a mut S, limit: usize) -> Self {
        Self { reader, body, limit, left: limit, steady: Steady::default(), open: true }
    }

    /// The next row; none after the last. What came in stays where this is dropped before it is done.
    ///
    /// # Errors
    /// There is no next one to be had.
    pub async fn next(&mut self) -> Result<Option<FileRow>, RowsEnd> {
        loop {
            if let Some(row) = self.reader.next_row().map_err(RowsEnd::Unreadable)? {
                return Ok(Some(row));
            }
            if !self.open {
                return Ok(None);
            }
            match self.steady.next(self.body).await {
                Ok(Some(Ok(piece))) => match self.left.checked_sub(piece.len()) {
                    Some(less) => {
                        self.left = less;
                        self.reader.push(&piece);
                    }
                    None => {
                        return Err(RowsEnd::BrokenOff(format!("a body has {} bytes at most", self.limit)));
                    }
                },
                Ok(None) => {
                    self.open = false;
                    self.reader.end();
                }
                Ok(Some(Err(error))) => {
                    return Err(RowsEnd::BrokenOff(format!("the body did not arrive whole: {error}")));
                }
                Err(slow) => return Err(RowsEnd::BrokenOff(slow.to_string())),
            }
        }
    }
}
