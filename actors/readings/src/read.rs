//! Reading a file, some rows at a time.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::file::reader::{ChunkReader, FileReader as _, SerializedFileReader};
use twinhub_domain::json::Number;
use twinhub_domain::{ReadingTime, Scalar};

use crate::schema::{
    CLAIMED_AT, DEVICE_ID, QUALITY_SCORE, SENSOR_TYPE, TIMESTAMP, UNIT, VALUE, VALUE_BOOL, VALUE_TEXT,
};
use crate::{ReadingRow, ReadingsError};

/// Rows that are read at once.
const AT_ONCE: usize = 4_096;

/// The readings of a Parquet file.
pub struct ParquetReadings<R: ChunkReader + 'static> {
    file: SerializedFileReader<R>,
    /// The group that comes next.
    next_group: usize,
    columns: Option<ReadingColumns>,
    /// The rows that were read.
    rows: u64,
}

/// The columns of a group.
struct ReadingColumns {
    left: usize,
    device_id: TypedColumn<ByteArrayType>,
    sensor_type: TypedColumn<ByteArrayType>,
    timestamp: TypedColumn<Int64Type>,
    value: TypedColumn<DoubleType>,
    value_bool: TypedColumn<BoolType>,
    value_text: TypedColumn<ByteArrayType>,
    unit: TypedColumn<ByteArrayType>,
    quality_score: TypedColumn<Int32Type>,
    claimed_at: TypedColumn<Int64Type>,
}

/// A column; none where the file does not have it.
struct TypedColumn<D: DataType>(Option<ColumnReaderImpl<D>>);

impl<R: ChunkReader + 'static> ParquetReadings<R> {
    /// The readings of this file.
    ///
    /// # Errors
    /// It is no Parquet file, or one of other things than readings.
    pub fn new(file: R) -> Result<Self, ReadingsError> {
        unbroken(|| {
            let file = SerializedFileReader::new(file)?;
            let mut readings = Self { file, next_group: 0, columns: None, rows: 0 };
            readings.open_group()?;
            Ok(readings)
        })
    }

    /// The number of rows in the file, as its foot says.
    #[must_use]
    pub fn count(&self) -> u64 {
        u64::try_from(self.file.metadata().file_metadata().num_rows()).unwrap_or_default()
    }

    /// The next rows; none after the last.
    ///
    /// # Errors
    /// The file is damaged, or a row is no reading.
    pub fn next_rows(&mut self) -> Result<Option<Vec<ReadingRow>>, ReadingsError> {
        unbroken(|| self.read_rows())
    }

    fn read_rows(&mut self) -> Result<Option<Vec<ReadingRow>>, ReadingsError> {
        loop {
            let Some(columns) = &mut self.columns else { return Ok(None) };
            if columns.left > 0 {
                let rows = columns.take(self.rows)?;
                self.rows += rows.len() as u64;
                return Ok(Some(rows));
            }
            self.open_group()?;
        }
    }

    fn open_group(&mut self) -> Result<(), ReadingsError> {
        self.columns = None;
        if self.next_group < self.file.num_row_groups() {
            let group = self.file.get_row_group(self.next_group)?;
            let names: Vec<String> =
                group.metadata().columns().iter().map(|column| column.column_path().string()).collect();
            let left = usize::try_from(group.metadata().num_rows()).unwrap_or_default();
            let open = |name: &'static str| -> Result<Option<ColumnReader>, ReadingsError> {
                let place = names.iter().position(|known| known == name);
                Ok(place.map(|place| group.get_column_reader(place)).transpose()?)
            };
            self.columns = Some(ReadingColumns {
                left,
                device_id: TypedColumn::required(DEVICE_ID, open(DEVICE_ID)?)?,
                sensor_type: TypedColumn::required(SENSOR_TYPE, open(SENSOR_TYPE)?)?,
                timestamp: TypedColumn::required(TIMESTAMP, open(TIMESTAMP)?)?,
                value: TypedColumn::optional(VALUE, open(VALUE)?)?,
                value_bool: TypedColumn::optional(VALUE_BOOL, open(VALUE_BOOL)?)?,
                value_text: TypedColumn::optional(VALUE_TEXT, open(VALUE_TEXT)?)?,
                unit: TypedColumn::optional(UNIT, open(UNIT)?)?,
                quality_score: TypedColumn::optional(QUALITY_SCORE, open(QUALITY_SCORE)?)?,
                claimed_at: TypedColumn::optional(CLAIMED_AT, open(CLAIMED_AT)?)?,
            });
            self.next_group += 1;
        }
        Ok(())
    }
}

/// Reads, where the library asserts of a file what only a sound one keeps: damage ends the reading, and nothing else.
fn unbroken<T>(read: impl FnOnce() -> Result<T, ReadingsError>) -> Result<T, ReadingsError> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or(Err(ReadingsError::Damaged))
}

impl ReadingColumns {
    fn take(&mut self, before: u64) -> Result<Vec<ReadingRow>, ReadingsError> {
        let count = self.left.min(AT_ONCE);
        self.left -= count;
        let mut device_id = self.device_id.take(count)?.into_iter();
        let mut sensor_type = self.sensor_type.take(count)?.into_iter();
        let mut timestamp = self.timestamp.take(count)?.into_iter();
        let mut value = self.value.take(count)?.into_iter();
        let mut value_bool = self.value_bool.take(count)?.into_iter();
        let mut value_text = self.value_text.take(count)?.into_iter();
        let mut unit = self.unit.take(count)?.into_iter();
        let mut quality_score = self.quality_score.take(count)?.into_iter();
        let mut claimed_at = self.claimed_at.take(count)?.into_iter();
        let mut rows = Vec::with_capacity(count);
        for row in (before + 1..).take(count) {
            let wrong = |column, detail| ReadingsError::Row { row, column, detail };
            let text =
                |column, bytes: Option<Option<ByteArray>>| -> Result<Option<Box<str>>, ReadingsError> {
                    let Some(bytes) = bytes.flatten() else { return Ok(None) };
                    let text = bytes.as_utf8().map_err(|_| wrong(column, "is no UTF-8"))?;
                    Ok(Some(text.into()))
                };
            let time = |nanos: Option<Option<i64>>| {
                nanos.flatten().and_then(|nanos| ReadingTime::from_nanos(nanos.into()))
            };
            let named = |column, text: Option<Box<str>>| text.ok_or_else(|| wrong(column, "is missing"));
            let number = value.next().flatten();
            let said = text(VALUE_TEXT, value_text.next())?;
            let value = match (number, value_bool.next().flatten(), said) {
                (Some(double), _, said) => {
                    let number = said.and_then(|digits| Number::parse(&digits));
                    let number = number.or_else(|| Number::from_f64(double));
                    Scalar::Number(number.ok_or_else(|| wrong(VALUE, "is no number"))?)
                }
                (None, Some(flag), _) => Scalar::Bool(flag),
                (None, None, Some(text)) => Scalar::Text(text),
                (None, None, None) => return Err(wrong(VALUE, "is missing")),
            };
            let score = quality_score.next().flatten();
            let quality_score = score
                .map(|score| u8::try_from(score).ok().filter(|score| *score <= 100))
                .map(|score| score.ok_or_else(|| wrong(QUALITY_SCORE, "is not from 0 to 100")))
                .transpose()?;
            rows.push(ReadingRow {
                device_id: named(DEVICE_ID, text(DEVICE_ID, device_id.next())?)?,
                sensor_type: named(SENSOR_TYPE, text(SENSOR_TYPE, sensor_type.next())?)?,
                timestamp: time(timestamp.next()).ok_or_else(|| wrong(TIMESTAMP, "is missing"))?,
                value,
                unit: text(UNIT, unit.next())?,
                quality_score,
                claimed_at: time(claimed_at.next()),
            });
        }
        Ok(rows)
    }
}

impl<D: DataType> TypedColumn<D> {
    fn optional(name: &'static str, column: Option<ColumnReader>) -> Result<Self, ReadingsError> {
        let Some(column) = column else { return Ok(Self(None)) };
        // The typed reader of another type would panic.
        match D::get_column_reader(column) {
            Some(typed) => Ok(Self(Some(typed))),
            None => Err(ReadingsError::Column { name, expected: std::any::type_name::<D::T>() }),
        }
    }

    fn required(name: &'static str, column: Option<ColumnReader>) -> Result<Self, ReadingsError> {
        let column = Self::optional(name, column)?;
        match column.0 {
            Some(_) => Ok(column),
            None => Err(ReadingsError::Column { name, expected: std::any::type_name::<D::T>() }),
        }
    }

    /// The values of the next `count` rows.
    fn take(&mut self, count: usize) -> Result<Vec<Option<D::T>>, ReadingsError> {
        let Some(column) = &mut self.0 else { return Ok(vec![None; count]) };
        let (mut values, mut levels) = (Vec::with_capacity(count), Vec::with_capacity(count));
        let mut read = 0;
        while read < count {
            let (records, ..) = column.read_records(count - read, Some(&mut levels), None, &mut values)?;
            if records == 0 {
                break; // the rest is missing
            }
            read += records;
        }
        let mut values = values.into_iter();
        if levels.is_empty() {
            return Ok(values.map(Some).collect()); // a column that each row has
        }
        Ok(levels.into_iter().map(|level| if level > 0 { values.next() } else { None }).collect())
    }
}
