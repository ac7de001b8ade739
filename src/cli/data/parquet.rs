//! Readings out of a Parquet file. Its foot says where the columns are, so it is read here, and its rows go out as lines.

use std::fs::File;

use anyhow::{Context as _, Result};
use twinhub_domain::{Json, Object};
use twinhub_readings::{ParquetReadings, ReadingRow};

use crate::cli::files::{FileUpload, ImportProgress, ImportWay};
use crate::import_export::FileRow;
use crate::import_export::columns::READINGS;

/// Takes the readings of a Parquet file in. False where one was refused.
///
/// # Errors
/// The file cannot be read, or the hub be reached.
pub async fn import(way: ImportWay<'_>) -> Result<bool> {
    let path = way.file.path();
    let name = path.display().to_string();
    let file = File::open(path).with_context(|| format!("cannot read {name}"))?;
    let mut readings = ParquetReadings::new(file).with_context(|| format!("cannot read {name}"))?;
    let mut upload = FileUpload::begin(&READINGS, &way, &name)?;
    let mut progress = ImportProgress::new(Some(readings.count()));
    let mut rows = 0;
    while let Some(some) = readings.next_rows().with_context(|| format!("cannot read {name}"))? {
        for row in some {
            rows += 1;
            upload.take(FileRow { line: rows, fields: Ok(line(row)) });
            if upload.is_full() {
                upload.send(&progress.bar).await?;
                progress.show(rows, &upload.report);
            }
        }
    }
    upload.send(&progress.bar).await?;
    progress.bar.finish_and_clear();
    upload.report.finish(&[])
}

/// A row as a line of JSON.
fn line(row: ReadingRow) -> Object {
    let ReadingRow { device_id, sensor_type, timestamp, value, unit, quality_score, claimed_at } = row;
    let mut line: Object = [
        ("device_id", Json::String(device_id)),
        ("timestamp", timestamp.to_string().into()),
        ("sensor_type", Json::String(sensor_type)),
        ("value", value.into()),
    ]
    .into_iter()
    .collect();
    if let Some(unit) = unit {
        line.insert("unit", Json::String(unit));
    }
    if let Some(score) = quality_score {
        line.insert("quality_score", Json::from(i64::from(score)));
    }
    if let Some(claimed) = claimed_at {
        line.insert("claimed_at", claimed.to_string().into());
    }
    line
}
