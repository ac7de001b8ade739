//! Writing a file, a group of rows at a time.

use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use twinhub_domain::json::Number;
use twinhub_domain::{ReadingTime, Scalar};

use crate::schema::{properties, schema};
use crate::{ReadingRow, ReadingsError};

/// Writes readings as a Parquet file. The bytes come out as the rows go in: each group when it is over, and at last the
/// foot, without which no part is taken for the whole.
pub struct ParquetWriter {
    file: SerializedFileWriter<Vec<u8>>,
    rows: GroupColumns,
}

/// The columns of a group.
#[derive(Default)]
struct GroupColumns {
    device_id: Vec<ByteArray>,
    sensor_type: Vec<ByteArray>,
    timestamp: Vec<i64>,
    value: OptionalColumn<f64>,
    value_bool: OptionalColumn<bool>,
    value_text: OptionalColumn<ByteArray>,
    unit: OptionalColumn<ByteArray>,
    quality_score: OptionalColumn<i32>,
    claimed_at: OptionalColumn<i64>,
}

/// Values, and for each row whether it has one.
struct OptionalColumn<T> {
    values: Vec<T>,
    /// 1 where there is one, as Parquet counts.
    levels: Vec<i16>,
}

impl<T> Default for OptionalColumn<T> {
    fn default() -> Self {
        Self { values: Vec::new(), levels: Vec::new() }
    }
}

impl<T> OptionalColumn<T> {
    fn push(&mut self, value: Option<T>) {
        self.levels.push(i16::from(value.is_some()));
        self.values.extend(value);
    }
}

impl ParquetWriter {
    /// A writer of a new file.
    ///
    /// # Errors
    /// None are known: it writes to memory.
    pub fn new() -> Result<Self, ReadingsError> {
        let file = SerializedFileWriter::new(Vec::new(), schema()?, properties())?;
        Ok(Self { file, rows: GroupColumns::default() })
    }

    /// The number of rows in the group that is being made.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows.timestamp.len()
    }

    /// Takes a row into the group that is being made.
    ///
    /// # Errors
    /// Its time is beyond those of Parquet.
    pub fn add(&mut self, row: ReadingRow) -> Result<(), ReadingsError> {
        let nanos = |at: ReadingTime| {
            i64::try_from(at.nanos()).map_err(|_| ReadingsError::Time {
                device_id: row.device_id.clone(),
                sensor_type: row.sensor_type.clone(),
                at,
            })
        };
        let (timestamp, claimed_at) = (nanos(row.timestamp)?, row.claimed_at.map(nanos).transpose()?);
        let rows = &mut self.rows;
        let (number, flag, text) = match row.value {
            Scalar::Number(number) => {
                let double = number.as_f64();
                let is_as_written =
                    Number::from_f64(double).is_some_and(|same| same.as_str() == number.as_str());
                (Some(double), None, (!is_as_written).then(|| ByteArray::from(number.as_str())))
            }
            Scalar::Bool(value) => (None, Some(value), None),
            Scalar::Text(text) => (None, None, Some(ByteArray::from(&*text))),
        };
        rows.device_id.push(ByteArray::from(&*row.device_id));
        rows.sensor_type.push(ByteArray::from(&*row.sensor_type));
        rows.timestamp.push(timestamp);
        rows.value.push(number);
        rows.value_bool.push(flag);
        rows.value_text.push(text);
        rows.unit.push(row.unit.map(|unit| ByteArray::from(&*unit)));
        rows.quality_score.push(row.quality_score.map(i32::from));
        rows.claimed_at.push(claimed_at);
        Ok(())
    }

    /// Ends the group. The bytes of the file that are made so far, and were not given before.
    ///
    /// # Errors
    /// None are known: it writes to memory.
    pub fn group(&mut self) -> Result<Vec<u8>, ReadingsError> {
        if self.rows() > 0 {
            let rows = std::mem::take(&mut self.rows);
            let mut group = self.file.next_row_group()?;
            required::<ByteArrayType>(&mut group, &rows.device_id)?;
            required::<ByteArrayType>(&mut group, &rows.sensor_type)?;
            required::<Int64Type>(&mut group, &rows.timestamp)?;
            optional::<DoubleType>(&mut group, &rows.value)?;
            optional::<BoolType>(&mut group, &rows.value_bool)?;
            optional::<ByteArrayType>(&mut group, &rows.value_text)?;
            optional::<ByteArrayType>(&mut group, &rows.unit)?;
            optional::<Int32Type>(&mut group, &rows.quality_score)?;
            optional::<Int64Type>(&mut group, &rows.claimed_at)?;
            group.close()?;
        }
        self.file.flush()?;
        Ok(std::mem::take(self.file.inner_mut()))
    }

    /// Ends the file, with the group that is being made. The last bytes of it.
    ///
    /// # Errors
    /// None are known: it writes to memory.
    pub fn end(mut self) -> Result<Vec<u8>, ReadingsError> {
        let mut bytes = self.group()?;
        bytes.extend(self.file.into_inner()?);
        Ok(bytes)
    }
}

fn required<D: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[D::T],
) -> Result<(), ReadingsError> {
    write::<D>(group, values, None)
}

fn optional<D: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    column: &OptionalColumn<D::T>,
) -> Result<(), ReadingsError> {
    write::<D>(group, &column.values, Some(&column.levels))
}

fn write<D: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[D::T],
    levels: Option<&[i16]>,
) -> Result<(), ReadingsError> {
    if let Some(mut column) = group.next_column()? {
        column.typed::<D>().write_batch(values, levels, None)?;
        column.close()?;
    }
    Ok(())
}
