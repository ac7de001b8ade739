//! The columns of a file of readings.

use std::sync::Arc;

use parquet::basic::{Compression, Encoding};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::{ColumnPath, TypePtr};

use crate::ReadingsError;

/// The columns in their order, as Parquet writes them.
const MESSAGE: &str = "message readings {
    required binary device_id (UTF8);
    required binary sensor_type (UTF8);
    required int64 timestamp (TIMESTAMP(NANOS, true));
    optional double value;
    optional boolean value_bool;
    optional binary value_text (UTF8);
    optional binary unit (UTF8);
    optional int32 quality_score;
    optional int64 claimed_at (TIMESTAMP(NANOS, true));
}";

/// The names of the columns, in their order.
pub const DEVICE_ID: &str = "device_id";
pub const SENSOR_TYPE: &str = "sensor_type";
pub const TIMESTAMP: &str = "timestamp";
pub const VALUE: &str = "value";
pub const VALUE_BOOL: &str = "value_bool";
pub const VALUE_TEXT: &str = "value_text";
pub const UNIT: &str = "unit";
pub const QUALITY_SCORE: &str = "quality_score";
pub const CLAIMED_AT: &str = "claimed_at";

/// The schema.
pub fn schema() -> Result<TypePtr, ReadingsError> {
    Ok(Arc::new(parse_message_type(MESSAGE)?))
}

/// The encodings: times as differences, numbers as they are, texts in dictionaries.
pub fn properties() -> Arc<WriterProperties> {
    let column = |name: &str| ColumnPath::from(name);
    let properties = WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::SNAPPY)
        .set_created_by("twinhub".to_owned())
        .set_column_dictionary_enabled(column(TIMESTAMP), false)
        .set_column_encoding(column(TIMESTAMP), Encoding::DELTA_BINARY_PACKED)
        .set_column_dictionary_enabled(column(CLAIMED_AT), false);
    Arc::new(properties.build())
}
