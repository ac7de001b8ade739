//! `GET /api/data/export`: the readings of all devices, or of those of a filter, as a file.

use std::cmp::Reverse;

use actix_web::http::header;
use actix_web::http::header::{Accept, Header as _, Quality};
use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use twinhub_access::Action;
use twinhub_actors::messages::archive::RawHistory;
use twinhub_domain::series::{Aggregate, HistoryQuery, StoredReading};
use twinhub_domain::{DeviceNumber, Json, ReadingTime, Scalar, Twin};
use twinhub_readings::{ParquetWriter, ReadingRow, ReadingsError};

use super::min_quality;
use super::page::HistoryPage;
use crate::api::data::schema::ReadingsExporting;
use crate::api::devices::schema::Listing;
use crate::api::files::export::{ExportPages, asked_devices, broken_off};
use crate::http::Access;
use crate::http::extract::fields::FieldError;
use crate::http::extract::params::Params;
use crate::http::gzip::GzipStream;
use crate::http::problem::{ApiError, Problem};
use crate::http::turns::{Turn, TurnKind};
use crate::http::warnings;
use crate::import_export::{Format, ReadingsFormat, cell, writer};

/// Rows of a group of a Parquet file: so many are in memory, some 100 bytes each.
const GROUP: usize = 65_536;
/// Readings that are read at once.
const PAGE: usize = 5_000;
/// The columns of CSV.
const HEADER: &str = "device_id,timestamp,sensor_type,value,unit,quality_score,claimed_at\n";

/// A reading as a line of JSON. A member that it does not have is left out.
#[derive(Serialize)]
struct ReadingLine<'a> {
    device_id: &'a str,
    timestamp: ReadingTime,
    sensor_type: &'a str,
    value: &'a Scalar,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quality_score: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    claimed_at: Option<ReadingTime>,
}

/// The readings that are still to be written.
struct ReadingStream {
    access: Access,
    devices: ExportPages,
    /// Devices that were read ahead, the last one first.
    ahead: Vec<Twin>,
    /// The device that is being written, and the page that comes next.
    at: Option<(Twin, HistoryPage)>,
    wanted: HistoryQuery,
    writer: ReadingsWriter,
    _turn: Turn,
}

/// Writes readings as lines, or into a Parquet file.
enum ReadingsWriter {
    Lines(Format),
    Parquet(Box<ParquetWriter>),
    /// The file is written to its end.
    Ended,
}

/// The readings of all devices, or of those that match, by device and time. It is sent as it is read, however much it is; up to now,
/// where `to` is not given. A connection that ends early is broken off, so that a part is not taken for the whole.
#[utoipa::path(
    get,
    path = "/api/data/export",
    tag = "data",
    params(ReadingsExporting, Listing),
    responses(
        (status = 200, description = "A reading a line; `sort`, `page` and `limit` are not taken", content((String = "application/x-ndjson"), (String = "text/csv"), (Vec<u8> = "application/vnd.apache.parquet")),
            headers(("X-Warnings" = String, description = "As of `/api/devices`"))),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn export_readings(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let format = match params.read("format", "jsonl, csv or parquet", ReadingsFormat::parse)? {
        Some(format) => format,
        None => accepted(&request).unwrap_or_default(),
    };
    let wanted = wanted(&mut params, access.now().into())?;
    let asked = asked_devices(params, &access)?;
    let turn = access.state.turns.take(TurnKind::Export, &access, &request)?;
    access.audit_done(Action::DataExported, "readings", [("format", Json::from(format.as_str()))]).await;
    let (devices, told) = ExportPages::of(asked, &access, &request).await?;
    let (ahead, at) = (Vec::new(), None);
    let writer = ReadingsWriter::new(format).map_err(|error| broken_off(&error))?;
    let mut readings =
        ReadingStream { access: access.clone(), devices, ahead, at, wanted, writer, _turn: turn };
    let first = readings.next().await?; // a store that does not answer is told while that can still be told
    let rest = stream::try_unfold((readings, first), async |(mut readings, ahead)| {
        let Some(text) = ahead else { return Ok(None) };
        let next = readings.next().await.map_err(|error| broken_off(&error))?;
        Ok(Some((Bytes::from(text), (readings, next))))
    });
    let header = (format == ReadingsFormat::Lines(Format::Csv))
        .then(|| Ok::<_, ApiError>(Bytes::from_static(HEADER.as_bytes())));
    let parts = stream::iter(header).chain(rest);
    let mut response = HttpResponse::Ok();
    response
        .content_type(format.media_type())
        .insert_header((
            header::CONTENT_DISPOSITION,
            format!("attachment; filename=\"readings.{}\"", format.as_str()),
        ))
        .insert_header((header::VARY, "Accept, Accept-Encoding"))
        .insert_header((header::CACHE_CONTROL, "no-store"));
    warnings::set_header(&mut response, &told);
    // Parquet is compressed itself.
    let gzip = GzipStream::for_client_of(&request).filter(|_| format != ReadingsFormat::Parquet);
    Ok(match gzip {
        None => response.streaming(parts),
        Some(gzip) => {
            response.insert_header((header::CONTENT_ENCODING, "gzip"));
            response.streaming(gzip.compress(parts, |error| broken_off(&error)))
        }
    })
}

/// The format that the client likes best of those that it accepts by name.
fn accepted(request: &HttpRequest) -> Option<ReadingsFormat> {
    let accept = Accept::parse(request).ok()?;
    let mut liked: Vec<_> = accept.0.into_iter().filter(|asked| asked.quality > Quality::ZERO).collect();
    liked.sort_by_key(|asked| Reverse(asked.quality)); // of two alike the first
    liked.iter().find_map(|asked| ReadingsFormat::of_media_type(asked.item.essence_str()))
}

/// The readings that are asked for, of one device each.
fn wanted(params: &mut Params, now: ReadingTime) -> Result<HistoryQuery, FieldError> {
    Ok(HistoryQuery {
        device: DeviceNumber::default(),
        from: params.start_time("from")?,
        to: params.end_time("to")?.or(Some(now.next())),
        sensors: params.list("sensor_type"),
        min_quality: min_quality(params)?,
        limit: 0,
        newest_first: false,
        interval: None,
        aggregate: Aggregate::default(),
    })
}

impl ReadingStream {
    /// The next lines; none after the last.
    async fn next(&mut self) -> Result<Option<Vec<u8>>, ApiError> {
        loop {
            let Some((twin, page)) = self.at.take() else {
                if !self.next_device().await? {
                    let rest = self.writer.end().map_err(|error| broken_off(&error))?;
                    return Ok((!rest.is_empty()).then_some(rest));
                }
                continue;
            };
            let mut query = HistoryQuery { device: twin.number, ..self.wanted.clone() };
            page.narrow(&mut query);
            let found = self.access.ask(RawHistory(query)).await??;
            let (these, next) = page.part(&found, |reading| reading.timestamp);
            let bytes = self.writer.write(twin.id.as_str(), these).map_err(|error| broken_off(&error))?;
            self.at = next.map(|next| (twin, next));
            if !bytes.is_empty() {
                return Ok(Some(bytes));
            }
        }
    }

    /// Goes on to the next device. False: there is none.
    async fn next_device(&mut self) -> Result<bool, ApiError> {
        if self.ahead.is_empty() {
            let Some(mut twins) = self.devices.next().await? else { return Ok(false) };
            twins.reverse();
            self.ahead = twins;
        }
        self.at = self.ahead.pop().map(|twin| (twin, HistoryPage::first(PAGE)));
        Ok(true)
    }
}

impl ReadingsWriter {
    fn new(format: ReadingsFormat) -> Result<Self, ReadingsError> {
        Ok(match format {
            ReadingsFormat::Lines(format) => Self::Lines(format),
            ReadingsFormat::Parquet => Self::Parquet(Box::new(ParquetWriter::new()?)),
        })
    }

    /// Takes in readings of a device. The bytes that are ready.
    fn write(&mut self, device: &str, readings: &[StoredReading]) -> anyhow::Result<Vec<u8>> {
        match self {
            Self::Lines(format) => {
                let mut text = Vec::with_capacity(readings.len() * 96);
                for reading in readings {
                    write(*format, device, reading, &mut text)?;
                }
                Ok(text)
            }
            Self::Parquet(file) => {
                for reading in readings {
                    file.add(row(device, reading))?;
                }
                if file.rows() >= GROUP { Ok(file.group()?) } else { Ok(Vec::new()) }
            }
            Self::Ended => Ok(Vec::new()),
        }
    }

    /// There are no more. The last bytes; nothing once they were given.
    fn end(&mut self) -> Result<Vec<u8>, ReadingsError> {
        match std::mem::replace(self, Self::Ended) {
            Self::Parquet(file) => file.end(),
            Self::Lines(_) | Self::Ended => Ok(Vec::new()),
        }
    }
}

/// A reading as a row of a Parquet file.
fn row(device: &str, reading: &StoredReading) -> ReadingRow {
    let StoredReading { sensor_type, value, unit, quality_score, timestamp, claimed_at, seq: _ } = reading;
    ReadingRow {
        device_id: device.into(),
        sensor_type: sensor_type.as_str().into(),
        timestamp: *timestamp,
        value: value.clone(),
        unit: unit.as_deref().map(Into::into),
        quality_score: *quality_score,
        claimed_at: *claimed_at,
    }
}

fn write(
    format: Format,
    device: &str,
    reading: &StoredReading,
    to: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    let StoredReading { sensor_type, value, unit, quality_score, timestamp, claimed_at, seq: _ } = reading;
    match format {
        Format::Jsonl => {
            let (unit, quality_score) = (unit.as_deref(), *quality_score);
            let line = ReadingLine {
                device_id: device,
                timestamp: *timestamp,
                sensor_type,
                value,
                unit,
                quality_score,
                claimed_at: *claimed_at,
            };
            serde_json::to_writer(&mut *to, &line)?;
            to.push(b'\n');
        }
        Format::Csv => {
            let cells = [
                device.to_owned(),
                timestamp.to_string(),
                cell::write_text(sensor_type),
                cell::write(&Json::from(value.clone())),
                cell::write_text(unit.as_deref().unwrap_or_default()),
                quality_score.map_or_else(String::new, |score| score.to_string()),
                claimed_at.map_or_else(String::new, |claimed| claimed.to_string()),
            ];
            to.extend(writer::line(cells.into_iter()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use twinhub_domain::{Number, Timestamp};

    use super::*;

    #[test]
    fn a_reading_is_a_line() {
        let check = |name: &str, value: Scalar, unit: Option<&str>, json: &str, csv: &str| {
            let reading = StoredReading {
                sensor_type: name.into(),
                value,
                unit: unit.map(Into::into),
                quality_score: None,
                timestamp: ReadingTime::new(Timestamp::from_millis(1), 500),
                claimed_at: None,
                seq: 7,
            };
            let line = |format| {
                let mut text = Vec::new();
                write(format, "pump-1", &reading, &mut text).unwrap();
                String::from_utf8(text).unwrap()
            };
            let begin = r#"{"device_id":"pump-1","timestamp":"1970-01-01T00:00:00.001000500Z","#;
            assert_eq!(line(Format::Jsonl), format!("{begin}{json}}}\n"));
            assert_eq!(line(Format::Csv), format!("pump-1,1970-01-01T00:00:00.001000500Z,{csv}\n"));
        };
        let number = |text: &str| Scalar::Number(Number::parse(text).unwrap());
        check(
            "t",
            number("23.50"),
            Some("°C"),
            r#""sensor_type":"t","value":23.50,"unit":"°C""#,
            "t,23.50,°C,,",
        );
        check("on", Scalar::Bool(true), None, r#""sensor_type":"on","value":true"#, "on,true,,,");
        check("a,b", Scalar::Text("on".into()), None, r#""sensor_type":"a,b","value":"on""#, "\"a,b\",on,,,");
        check(
            "x",
            Scalar::Text("=1+1".into()),
            None,
            r#""sensor_type":"x","value":"=1+1""#,
            "x,\"\"\"=1+1\"\"\",,,",
        );
        check("x", Scalar::Text("7".into()), None, r#""sensor_type":"x","value":"7""#, "x,\"\"\"7\"\"\",,,");
    }

    #[test]
    fn the_format_that_is_liked_best_is_taken() {
        let check = |asked: &str, expected: Option<ReadingsFormat>| {
            let request = TestRequest::default().insert_header(("Accept", asked)).to_http_request();
            assert_eq!(accepted(&request), expected, "{asked}");
        };
        check("text/csv", Some(ReadingsFormat::Lines(Format::Csv)));
        check("application/x-ndjson, text/csv", Some(ReadingsFormat::Lines(Format::Jsonl)));
        check("application/x-ndjson;q=0.5, text/csv;q=0.9", Some(ReadingsFormat::Lines(Format::Csv)));
        check("text/html, text/csv;q=0, application/jsonl;q=0.1", Some(ReadingsFormat::Lines(Format::Jsonl)));
        check("application/vnd.apache.parquet, text/csv;q=0.5", Some(ReadingsFormat::Parquet));
        check("*/*", None);
        check("text/html", None);
        check("text", None);
    }
}
