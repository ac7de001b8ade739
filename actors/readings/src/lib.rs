//! Readings as Parquet files: what other programs read without a word about twinhub, and what an archive is made of. Bytes
//! in, bytes out; files and network are for others.
//!
//! A row is a reading:
//!
//! | column | type | content |
//! |---|---|---|
//! | `device_id`, `sensor_type` | UTF8 | whose it is, and of what |
//! | `timestamp` | TIMESTAMP(NANOS, UTC) | when it was taken |
//! | `value` | DOUBLE | a number; the nearest double, where none is as exact |
//! | `value_bool` | BOOLEAN | a boolean |
//! | `value_text` | UTF8 | a text; beside a number its digits, where the double would be written otherwise: `23.50` |
//! | `unit` | UTF8 | the unit, where it has one |
//! | `quality_score` | INT32 | the device's rating from 0 to 100, where it has one |
//! | `claimed_at` | TIMESTAMP(NANOS, UTC) | the device's own time, where it was not believed |
//!
//! Pages are compressed by Snappy, which every reader of Parquet knows, and texts that come again are in dictionaries.

mod read;
mod schema;
mod write;

use parquet::errors::ParquetError;
use twinhub_domain::{ReadingTime, Scalar};

pub use read::ParquetReadings;
pub use write::ParquetWriter;

/// A reading, and whose it is.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadingRow {
    pub device_id: Box<str>,
    pub sensor_type: Box<str>,
    pub timestamp: ReadingTime,
    pub value: Scalar,
    pub unit: Option<Box<str>>,
    /// From 0 to 100.
    pub quality_score: Option<u8>,
    /// The device's own time, where it was not believed.
    pub claimed_at: Option<ReadingTime>,
}

/// The reason why readings cannot be written to a Parquet file, or read from one.
#[derive(Debug, thiserror::Error)]
pub enum ReadingsError {
    #[error("Parquet: {0}")]
    Parquet(#[from] ParquetError),
    #[error("Parquet: {0}")]
    Write(#[from] std::io::Error),
    #[error("the file is damaged")]
    Damaged,
    #[error("there is no column `{name}` of the type {expected} in the file")]
    Column { name: &'static str, expected: &'static str },
    #[error("row {row}: `{column}`: {detail}")]
    Row {
        /// From 1.
        row: u64,
        column: &'static str,
        detail: &'static str,
    },
    #[error("the time {at} of `{sensor_type}` of {device_id} is beyond those of Parquet, 1677 to 2262")]
    Time { device_id: Box<str>, sensor_type: Box<str>, at: ReadingTime },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use twinhub_domain::json::Number;

    use super::*;

    fn scalar() -> impl Strategy<Value = Scalar> {
        let number = |text: String| Scalar::Number(Number::parse(&text).unwrap());
        prop_oneof![
            "-?(0|[1-9][0-9]{0,18})(\\.[0-9]{1,8})?".prop_map(number),
            (-300..300_i32, 1..99_u32).prop_map(move |(power, digits)| number(format!("{digits}e{power}"))),
            any::<bool>().prop_map(Scalar::Bool),
            "\\PC{0,12}".prop_map(|text| Scalar::Text(text.into())),
        ]
    }

    fn time() -> impl Strategy<Value = ReadingTime> {
        any::<i64>().prop_map(|nanos| ReadingTime::from_nanos(nanos.into()).unwrap())
    }

    fn row() -> impl Strategy<Value = ReadingRow> {
        let text = "[a-c]{1,2}";
        let rest =
            (proptest::option::of(text), proptest::option::of(0..=100_u8), proptest::option::of(time()));
        (text, text, time(), scalar(), rest).prop_map(|(device_id, sensor_type, timestamp, value, rest)| {
            let (unit, quality_score, claimed_at) = rest;
            let (device_id, sensor_type) = (device_id.into(), sensor_type.into());
            let unit = unit.map(Into::into);
            ReadingRow { device_id, sensor_type, timestamp, value, unit, quality_score, claimed_at }
        })
    }

    /// The file of these rows, of which so many make a group, as it comes out piece by piece.
    fn file(rows: &[ReadingRow], at_once: usize) -> Vec<u8> {
        let mut writer = ParquetWriter::new().unwrap();
        let mut bytes = Vec::new();
        for some in rows.chunks(at_once) {
            some.iter().for_each(|row| writer.add(row.clone()).unwrap());
            bytes.extend(writer.group().unwrap());
        }
        bytes.extend(writer.end().unwrap());
        bytes
    }

    fn read(bytes: Vec<u8>) -> Result<Vec<ReadingRow>, ReadingsError> {
        let mut rows = Vec::new();
        let mut readings = ParquetReadings::new(bytes::Bytes::from(bytes))?;
        while let Some(some) = readings.next_rows()? {
            rows.extend(some);
        }
        Ok(rows)
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_as_the_same(rows in prop::collection::vec(row(), 0..40), at_once in 1_usize..20) {
            let back = read(file(&rows, at_once)).unwrap();
            // Digits count, and `-0` is another number than `0` only by them.
            prop_assert_eq!(format!("{back:?}"), format!("{rows:?}"));
        }

        #[test]
        fn damage_is_an_error_or_other_rows(rows in prop::collection::vec(row(), 1..10), at in 0_usize..4_000, to in any::<u8>()) {
            let mut bytes = file(&rows, 4);
            let at = at % bytes.len();
            bytes[at] = to;
            let _ = read(bytes); // it ends, and does not panic
        }
    }

    #[test]
    fn what_is_no_file_of_readings_says_so() {
        let error = |bytes: &[u8]| read(bytes.to_vec()).unwrap_err().to_string();
        assert!(error(b"").starts_with("Parquet: "), "{}", error(b""));
        assert!(error(b"device_id,value\n").starts_with("Parquet: "));
        let half = file(&[], 1);
        assert!(read(half[..half.len() - 1].to_vec()).is_err());
    }

    #[test]
    fn a_time_beyond_those_of_parquet_is_named() {
        let row = ReadingRow {
            device_id: "a".into(),
            sensor_type: "t".into(),
            timestamp: ReadingTime::parse("1500-01-01T00:00:00Z").unwrap(),
            value: Scalar::Bool(true),
            unit: None,
            quality_score: None,
            claimed_at: None,
        };
        let error = ParquetWriter::new().unwrap().add(row).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the time 1500-01-01T00:00:00.000Z of `t` of a is beyond those of Parquet, 1677 to 2262"
        );
    }
}
