//! A body cut into records as it comes in: lines, or, in CSV, what may be several lines where cells have line
//! breaks in quotes. What is broken costs the line that it stands in, and no other.

use std::ops::Range;

use super::{Format, LineFault};

/// A record has at most this many bytes. A quote that is opened and never closed would otherwise take
/// in all the rest.
pub const LONGEST: usize = 1 << 20;

const NEVER_CLOSED: &str = "a quote is opened here and never closed";
const GOES_ON: &str = "a cell in quotes goes on after the closing one";
const OVER_LINES: &str =
    "a quote is opened here and not closed in this line, and what it takes in makes no record";

/// A record, with where it stands.
#[derive(Debug)]
pub struct LineRecord {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// Its cells, or in JSON Lines one: the line.
    pub cells: Result<Vec<String>, LineFault>,
}

/// Cuts a body into records.
#[derive(Debug)]
pub struct Records {
    /// The separator of cells; none in JSON Lines.
    separator: Option<u8>,
    /// The number of cells of a record, once it is known.
    columns: Option<usize>,
    buffer: Vec<u8>,
    /// The number of bytes that are done with.
    start: usize,
    /// The number of the line that begins there.
    line: u64,
    ended: bool,
    /// In the midst of a line that is too long: the rest of it is passed over.
    skipping: bool,
}

/// The first thing in the buffer.
enum FirstRecord {
    /// Nothing whole yet.
    More,
    /// A record of so many bytes, its line end with them.
    Whole(usize, Vec<Cell>),
    /// A line of so many bytes that is no record.
    Broken(usize, LineFault),
    /// The beginning of a line that is too long.
    TooLong,
}

/// Where a cell stands.
struct Cell {
    place: Range<usize>,
    /// In quotes, which stand outside of `place`; those inside are doubled.
    quoted: bool,
}

impl Records {
    /// Records of a body whose first line has the number `line`.
    #[must_use]
    pub fn new(format: Format, separator: u8, line: u64) -> Self {
        let separator = (format == Format::Csv).then_some(separator);
        let buffer = Vec::new();
        Self { separator, columns: None, buffer, start: 0, line, ended: false, skipping: false }
    }

    /// Takes in the next piece of the body.
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(piece);
    }

    /// The body is over: its last line may have no end.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The number of the line that comes next.
    #[must_use]
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Lines are counted from here on.
    pub fn set_line(&mut self, line: u64) {
        self.line = line;
    }

    /// So many cells make a record from here on. One of several lines that has another number of them is none: the
    /// quote that holds them together was forgotten to be closed, and what it took in are lines of their own.
    pub fn set_columns(&mut self, columns: usize) {
        self.columns = Some(columns);
    }

    /// The next record that is there whole. Empty lines are none: each is done with as it is met, or a body of
    /// nothing else would be kept, and looked at again with each piece of it.
    pub fn next(&mut self) -> Option<LineRecord> {
        loop {
            let rest = &self.buffer[self.start..];
            if self.skipping {
                let Some(length) = line_length(rest, self.ended) else {
                    // Nothing of it is needed any more.
                    self.buffer.clear();
                    self.start = 0;
                    return None;
                };
                self.skipping = false;
                self.pass(length);
                continue;
            }
            if rest.is_empty() {
                return None;
            }
            if let Some(length) = empty_line(rest, self.ended) {
                self.pass(length);
                continue;
            }
            let found = match self.separator {
                None => find_line(rest, self.ended),
                Some(separator) => find_cells(rest, separator, self.columns, self.ended),
            };
            let (length, cells) = match found {
                FirstRecord::More => return None,
                FirstRecord::Whole(length, cells) => (length, texts(rest, &cells)),
                FirstRecord::Broken(length, fault) => (length, Err(fault)),
                FirstRecord::TooLong => {
                    self.skipping = true;
                    (rest.len(), Err(too_long()))
                }
            };
            let line = self.line;
            if !self.skipping {
                self.line += line_breaks(&rest[..length]);
            }
            self.start += length;
            return Some(LineRecord { line, cells });
        }
    }

    /// Passes over a line of this length.
    fn pass(&mut self, length: usize) {
        self.start += length;
        self.line += 1;
    }
}

/// The length of the first line where there is nothing in it; none where there is, or may be yet.
#[must_use]
pub fn empty_line(bytes: &[u8], ended: bool) -> Option<usize> {
    line_length(bytes, ended).filter(|length| bytes[..*length].trim_ascii().is_empty())
}

/// The cells of the first record in `bytes`, whatever comes after it; none where it is not whole.
#[must_use]
pub fn first(bytes: &[u8], separator: u8) -> Option<Vec<String>> {
    match find_cells(bytes, separator, None, true) {
        FirstRecord::Whole(_, cells) => texts(bytes, &cells).ok(),
        _ => None,
    }
}

/// The length of the first line, its end with it; none while that is not there.
fn line_length(bytes: &[u8], ended: bool) -> Option<usize> {
    match bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
        Some(at) => end_of_line(bytes, at, ended),
        None => (ended && !bytes.is_empty()).then_some(bytes.len()),
    }
}

/// Where the line end that begins at `at` is over: `\n`, `\r\n`, or `\r` alone.
fn end_of_line(bytes: &[u8], at: usize, ended: bool) -> Option<usize> {
    match (bytes[at], bytes.get(at + 1)) {
        (b'\r', Some(b'\n')) => Some(at + 2),
        (b'\r', None) if !ended => None,
        _ => Some(at + 1),
    }
}

/// A last line without an end is one too.
fn line_breaks(bytes: &[u8]) -> u64 {
    let (mut count, mut at) = (0, 0);
    while let Some(length) = line_length(&bytes[at..], true) {
        count += 1;
        at += length;
    }
    count
}

fn find_line(bytes: &[u8], ended: bool) -> FirstRecord {
    match line_length(bytes, ended) {
        Some(length) if length <= LONGEST => {
            let place = 0..bytes[..length].trim_ascii_end().len();
            FirstRecord::Whole(length, vec![Cell { place, quoted: false }])
        }
        None if bytes.len() <= LONGEST => FirstRecord::More,
        Some(length) => FirstRecord::Broken(length, too_long()),
        None => FirstRecord::TooLong,
    }
}

fn find_cells(bytes: &[u8], separator: u8, columns: Option<usize>, ended: bool) -> FirstRecord {
    let is_line_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
    let mut cells = Vec::new();
    let mut at = 0;
    let mut over_lines = None; // the first quote that is not closed in its line
    loop {
        let (place, quoted) = match bytes.get(at) {
            Some(b'"') => match closing_quote(bytes, at + 1, ended) {
                Some(Ok(close)) => (at + 1..close, true),
                Some(Err(())) => return misquoted(bytes, over_lines, at, NEVER_CLOSED, ended),
                None => return more(bytes, over_lines.unwrap_or(at), ended),
            },
            _ => {
                let ends = |byte: &u8| *byte == separator || is_line_end(byte);
                let end = bytes[at..].iter().position(ends).map_or(bytes.len(), |length| at + length);
                if end == bytes.len() && !ended {
                    return more(bytes, over_lines.unwrap_or(at), ended);
                }
                (at..end, false)
            }
        };
        if quoted && bytes[place.clone()].iter().any(is_line_end) {
            over_lines.get_or_insert(at);
        }
        let end = place.end + usize::from(quoted);
        cells.push(Cell { place, quoted });
        let whole = match bytes.get(end) {
            Some(byte) if *byte == separator => None,
            Some(b'\n' | b'\r') => {
                let Some(length) = end_of_line(bytes, end, ended) else { return FirstRecord::More };
                Some(length)
            }
            None if ended => Some(end),
            None => return more(bytes, over_lines.unwrap_or(at), ended),
            Some(_) => return misquoted(bytes, over_lines, end, GOES_ON, ended),
        };
        // Looked at with each cell, or every line of a bad file might have much of the rest read.
        let fits = |columns| if whole.is_some() { cells.len() == columns } else { cells.len() < columns };
        if over_lines.is_some() && columns.is_some_and(|columns| !fits(columns)) {
            return misquoted(bytes, over_lines, at, OVER_LINES, ended);
        }
        match whole {
            None => at = end + 1,
            Some(length) if length <= LONGEST => return FirstRecord::Whole(length, cells),
            Some(_) => return broken(bytes, ended, too_long()),
        }
    }
}

/// Where the quote that closes is. `Err`: there is none; none: that is not known yet.
fn closing_quote(bytes: &[u8], mut at: usize, ended: bool) -> Option<Result<usize, ()>> {
    loop {
        let Some(length) = bytes[at..].iter().take(LONGEST).position(|byte| *byte == b'"') else {
            return (ended || bytes.len() - at > LONGEST).then_some(Err(()));
        };
        at += length;
        match bytes.get(at + 1) {
            Some(b'"') => at += 2,
            None if !ended => return None,
            _ => return Some(Ok(at)),
        }
    }
}

/// A record that is not there whole; unless it is too long for that.
fn more(bytes: &[u8], at: usize, ended: bool) -> FirstRecord {
    match line_length(bytes, ended) {
        _ if bytes.len() <= LONGEST => FirstRecord::More,
        None => FirstRecord::TooLong,
        Some(_) if bytes.get(at) == Some(&b'"') => misquoted(bytes, None, at, NEVER_CLOSED, ended),
        Some(length) => FirstRecord::Broken(length, too_long()),
    }
}

/// The first line is lost, and those after it are not: so it is told of the first quote that is not closed in it,
/// wherever else what that takes in makes no sense.
fn misquoted(bytes: &[u8], over_lines: Option<usize>, at: usize, detail: &str, ended: bool) -> FirstRecord {
    let (at, detail) = over_lines.map_or((at, detail), |quote| (quote, OVER_LINES));
    broken(bytes, ended, LineFault::of_line("bad_quotes", detail).at(character(bytes, at)))
}

fn broken(bytes: &[u8], ended: bool, fault: LineFault) -> FirstRecord {
    match line_length(bytes, ended) {
        Some(length) => FirstRecord::Broken(length, fault),
        None if bytes.len() <= LONGEST => FirstRecord::More,
        None => FirstRecord::TooLong,
    }
}

fn too_long() -> LineFault {
    LineFault::of_line("too_long", format!("a line has {LONGEST} bytes at most"))
}

/// The character of the first line that this byte begins, from 1.
fn character(bytes: &[u8], at: usize) -> usize {
    String::from_utf8_lossy(&bytes[..at]).chars().count() + 1
}

fn texts(bytes: &[u8], cells: &[Cell]) -> Result<Vec<String>, LineFault> {
    let text = |cell: &Cell| match std::str::from_utf8(&bytes[cell.place.clone()]) {
        Ok(text) if cell.quoted => Ok(text.replace("\"\"", "\"")),
        Ok(text) => Ok(text.to_owned()),
        Err(error) => {
            let at = cell.place.start + error.valid_up_to();
            let detail = format!("not UTF-8: the byte 0x{:02X}", bytes[at]);
            let fault = LineFault::of_line("not_utf8", detail);
            // Of a further line no character is told: the record is known by its first.
            if line_length(&bytes[..at], false).is_some() {
                Err(fault)
            } else {
                Err(fault.at(character(bytes, at)))
            }
        }
    };
    cells.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All records of a body that comes in pieces of `size` bytes, one in a line.
    fn cut(format: Format, body: &[u8], size: usize) -> String {
        cut_by(Records::new(format, b',', 1), body, size)
    }

    fn cut_by(mut records: Records, body: &[u8], size: usize) -> String {
        let mut detail = Vec::new();
        let mut take = |records: &mut Records| {
            while let Some(record) = records.next() {
                detail.push(match record.cells {
                    Ok(cells) => format!("{}: {}", record.line, cells.join("|").replace('\n', "↵")),
                    Err(fault) => format!("{}: {} {:?}", record.line, fault.code, fault.column.unwrap_or(0)),
                });
            }
        };
        for piece in body.chunks(size) {
            records.push(piece);
            take(&mut records);
        }
        records.end();
        take(&mut records);
        detail.join("\n")
    }

    fn check(format: Format, body: &[u8], expected: &[&str]) {
        for size in [1, 2, 3, 7, 4096] {
            assert_eq!(cut(format, body, size), expected.join("\n"), "in pieces of {size}");
        }
    }

    #[test]
    fn lines_end_in_every_way() {
        check(Format::Jsonl, b"{}\n\n {} \r\n{}", &["1: {}", "3:  {}", "4: {}"]);
        check(Format::Csv, b"a,b\r\nc,\n\n,d\re", &["1: a|b", "2: c|", "4: |d", "5: e"]);
        check(Format::Csv, b"", &[]);
        check(Format::Csv, b"\n\r\n", &[]);
    }

    #[test]
    fn quotes_hold_line_breaks_and_quotes() {
        check(Format::Csv, b"\"a,\"\"b\"\"\n\",c\nd,\"\"", &["1: a,\"b\"↵|c", "3: d|"]);
        check(Format::Csv, b"5\" pipe,b\n", &["1: 5\" pipe|b"]);
    }

    #[test]
    fn what_is_broken_costs_its_line_alone() {
        check(Format::Csv, b"a\n\"b\"c,d\ne\n", &["1: a", "2: bad_quotes 4", "3: e"]);
        check(Format::Csv, b"a\nb,\"c\nd\ne\n", &["1: a", "2: bad_quotes 3", "3: d", "4: e"]);
        check(Format::Csv, b"a\nb\xfc,c\nd", &["1: a", "2: not_utf8 2", "3: d"]);
        check(Format::Jsonl, b"\xc3\xbc \xff\n{}", &["1: not_utf8 3", "2: {}"]);
    }

    #[test]
    fn a_record_of_several_lines_has_the_right_number_of_cells() {
        let check = |body: &str, expected: &str| {
            for size in [1, 4096] {
                let mut records = Records::new(Format::Csv, b',', 1);
                records.set_columns(3);
                assert_eq!(cut_by(records, body.as_bytes(), size), expected, "in pieces of {size}");
            }
        };
        check("a,\"b\nc\",d\ne,f,g\n", "1: a|b↵c|d\n3: e|f|g");
        check("a,\"b,c\nd,e,f\ng,h\",i,j\n", "1: bad_quotes 3\n2: d|e|f\n3: g|h\"|i|j");
        check("\"a\nb\",c\n", "1: bad_quotes 1\n2: b\"|c");
        // A mistake further down is told of the quote as well, for there is the line.
        check("a,\"b\nc,\"d\n", "1: bad_quotes 3\n2: bad_quotes 3");
        check("a,\"b\nc\",\"d", "1: bad_quotes 3\n2: bad_quotes 4");
        // That there are too many is seen before all of it is there.
        let mut records = Records::new(Format::Csv, b',', 1);
        records.set_columns(1);
        records.push(b"\"a\nb\",c");
        assert!(records.next().is_some_and(|record| record.cells.is_err()));
    }

    #[test]
    fn of_empty_lines_nothing_is_kept() {
        for format in [Format::Jsonl, Format::Csv] {
            let mut records = Records::new(format, b',', 1);
            for _ in 0..1_000 {
                records.push(b" \n\n\t\r\n");
                assert!(records.next().is_none());
                assert_eq!(records.start, records.buffer.len());
            }
            records.push(b"a\n");
            let record = records.next().unwrap();
            assert_eq!((record.line, record.cells), (3_001, Ok(vec!["a".into()])));
        }
    }

    #[test]
    fn a_line_has_an_end() {
        let long = "x".repeat(LONGEST + 10);
        for size in [1 << 14, 1 << 22] {
            let body = format!("a\n{long}\nb\n");
            assert_eq!(cut(Format::Jsonl, body.as_bytes(), size), "1: a\n2: too_long 0\n3: b");
            assert_eq!(cut(Format::Csv, body.as_bytes(), size), "1: a\n2: too_long 0\n3: b");
            let body = format!("a\n\"b\n{long}\nc\n");
            assert_eq!(cut(Format::Csv, body.as_bytes(), size), "1: a\n2: bad_quotes 1\n3: too_long 0\n4: c");
        }
    }
}
