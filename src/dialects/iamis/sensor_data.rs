//! `POST /sensor-data/` takes a reading, `GET /sensor-data/{sensor_type}/` gives those of a type, the newest first.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Path};
use actix_web::{HttpRequest, HttpResponse};
use futures_util::stream;
use twinhub_actors::access::InputRequest;
use twinhub_actors::messages::archive::RawHistory;
use twinhub_actors::messages::supervisor::IfUnknown;
use twinhub_domain::payload::PayloadError;
use twinhub_domain::{Input, Json, Scalar, Timestamp, Twin};
use twinhub_mqtt::dialects::iamis::{TypedReading, id_name};

use super::BY;
use super::history::{AT_ONCE, HistoryWalk, SensorDatum};
use super::recent::{self, RecentOfType};
use crate::dialects::fastapi_fields::FastApiFields;
use crate::http::Access;
use crate::http::extract::body::AnyBody;
use crate::http::extract::params::Params;
use crate::http::problem::ApiError;
use crate::http::problem::fastapi::{FastApiError, FieldFault};
use crate::http::reply;
use crate::http::turns::{Turn, TurnKind};

/// Readings on a page when nothing is said.
const USUAL: i64 = 20;
/// A page that ends further down than this takes its caller's turn.
const FAR: usize = 10_000;

/// Takes a reading, and answers once it is stored.
pub(super) async fn post(
    body: Result<AnyBody, ApiError>,
    access: Access,
) -> Result<HttpResponse, FastApiError> {
    let AnyBody(body) = body?;
    let reading = reading(body)?;
    let sensor_type = reading.sensor_type().to_owned();
    let device = access.state.sensor_data_device.clone();
    let input = InputRequest::new(device.clone(), Input::Translate(Arc::new(reading)));
    let input = input.because(BY).if_unknown(IfUnknown::Appear).with_twin();
    let taken = access.deliver(input).await.map_err(ApiError::from)?;
    let stored = taken.twin.as_deref().and_then(|twin| last_of(twin, &sensor_type));
    let stored = stored.ok_or(ApiError::Fault("the reading is stored, and its twin does not show it"))?;
    Ok(reply::json(StatusCode::CREATED, &stored))
}

/// Gives a page of the readings of a type.
pub(super) async fn list(
    request: HttpRequest,
    sensor_type: Path<String>,
    params: Params,
    access: Access,
) -> Result<HttpResponse, FastApiError> {
    let mut fields = FastApiFields::of_query(&params);
    let (page, limit) = (fields.whole("page", 1), fields.whole("limit", USUAL));
    fields.finish()?;
    let (Some(before), Some(limit)) =
        (page.checked_sub(1).and_then(size), size(limit).filter(|limit| *limit > 0))
    else {
        return Err(FastApiError::Bad("Invalid pagination params."));
    };
    let before = before.saturating_mul(limit);
    let twin = access.read(&access.state.sensor_data_device).await.map_err(ApiError::from)?;
    let walk = twin.as_deref().and_then(|twin| HistoryWalk::new(twin, &sensor_type));
    let (Some(twin), Some(walk)) = (twin, walk) else { return Ok(reply::json(StatusCode::OK, &[(); 0])) };
    if before.saturating_add(limit) <= recent::MOST {
        let recent = newest(&access, &twin, &sensor_type, walk, before + limit).await?;
        let page = recent.page(before, limit, kept_from(&access));
        return Ok(reply::json(StatusCode::OK, &page));
    }
    let is_far = before.saturating_add(limit) > FAR;
    let turn = match is_far {
        true => Some(access.state.turns.wait(TurnKind::Search, &access, &request).await?),
        false => None,
    };
    let mut page = ReadingsPage { access, walk, before, left: limit, _turn: turn };
    // Read before the answer begins, so that a store that fails is still an error.
    let first = page.next().await?;
    if page.is_over() {
        return Ok(reply::json(StatusCode::OK, &first));
    }
    let rest = stream::unfold(
        Some((page, first, true)),
        |part: Option<(ReadingsPage, Vec<SensorDatum>, bool)>| async move {
            let (mut page, data, is_first) = part?;
            let mut text = written(&data, is_first);
            if page.is_over() {
                text.push(']');
                return Some((Ok::<_, FastApiError>(Bytes::from(text)), None));
            }
            Some(match page.next().await {
                Ok(next) => (Ok(Bytes::from(text)), Some((page, next, false))),
                Err(failed) => (Err(failed), None), // the answer breaks off, which no client takes for its end
            })
        },
    );
    Ok(HttpResponse::Ok().content_type("application/json").streaming(rest))
}

/// The newest readings of a type, `wanted` of them at least where there are as many: from memory, and from the history
/// what came since.
async fn newest(
    access: &Access,
    twin: &Twin,
    sensor_type: &str,
    mut walk: HistoryWalk,
    wanted: usize,
) -> Result<RecentOfType, FastApiError> {
    let all = &access.state.recent_readings;
    let known = all.of(twin.number, sensor_type, wanted);
    if let Some(known) = &known
        && known.newest() == last_id(twin, sensor_type)
    {
        return Ok(known.clone());
    }
    let (mut found, kept_from) = (Vec::new(), kept_from(access));
    while found.len() < wanted
        && let Some(query) = walk.query(wanted - found.len())
    {
        let readings = access.ask(RawHistory(query)).await.map_err(ApiError::from)?;
        found.append(&mut walk.take(&readings.map_err(ApiError::from)?, kept_from));
        if let Some(joined) = known.as_ref().and_then(|known| known.behind(&found)) {
            all.keep(sensor_type, joined.clone());
            return Ok(joined);
        }
    }
    let recent = RecentOfType::new(twin.number, &found, walk.is_over());
    all.keep(sensor_type, recent.clone());
    Ok(recent)
}

/// Readings before it may have been deleted.
fn kept_from(access: &Access) -> Option<Timestamp> {
    let keep = access.state.policy().keep_readings?;
    let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
    Some(access.now().plus_millis(keep_ms.saturating_neg()))
}

/// A page of readings that is being read.
struct ReadingsPage {
    access: Access,
    walk: HistoryWalk,
    /// Readings to pass over first.
    before: usize,
    left: usize,
    _turn: Option<Turn>,
}

impl ReadingsPage {
    /// The next readings on it, as many as are sent at once.
    async fn next(&mut self) -> Result<Vec<SensorDatum>, FastApiError> {
        let mut next = Vec::new();
        while !self.is_over() && next.len() < AT_ONCE {
            let Some(query) = self.walk.query(self.before.saturating_add(self.left)) else { break };
            let found = self.access.ask(RawHistory(query)).await.map_err(ApiError::from)?;
            let found = found.map_err(ApiError::from)?;
            let mut data = self.walk.take(&found, kept_from(&self.access));
            let passed = self.before.min(data.len());
            data.drain(..passed);
            self.before -= passed;
            data.truncate(self.left);
            self.left -= data.len();
            next.append(&mut data);
        }
        Ok(next)
    }

    fn is_over(&self) -> bool {
        self.left == 0 || self.walk.is_over()
    }
}

/// The readings as a part of an array.
fn written(data: &[SensorDatum], is_first: bool) -> String {
    let mut text = String::with_capacity(2 + data.len() * 128);
    if is_first {
        text.push('[');
    }
    for (index, datum) in data.iter().enumerate() {
        if index > 0 || !is_first {
            text.push(',');
        }
        text.push_str(&reply::text_of(datum));
    }
    text
}

/// The reading that a body is. Members that it does not know are dropped.
fn reading(body: Json) -> Result<TypedReading, FastApiError> {
    let mut fields = FastApiFields::of_body(body)?;
    let (sensor_type, value, unit) =
        (fields.text("sensor_type"), fields.number("value"), fields.text("unit"));
    fields.finish()?;
    TypedReading::new(sensor_type, value, unit).map_err(|error| match error {
        PayloadError::BadValue { name, detail } => FieldFault::refused(&name, detail).into(),
        error => ApiError::from(error).into(),
    })
}

/// The number of the last reading of a type.
fn last_id(twin: &Twin, sensor_type: &str) -> Option<i64> {
    let id = twin.reported.get(&id_name(sensor_type))?.value.as_number()?.as_whole()?;
    i64::try_from(id).ok()
}

/// The last reading of a type, as a twin has it.
fn last_of(twin: &Twin, sensor_type: &str) -> Option<SensorDatum> {
    let (value, id) = (twin.reported.get(sensor_type)?, twin.reported.get(&id_name(sensor_type))?);
    Some(SensorDatum {
        id: last_id(twin, sensor_type)?,
        sensor_type: sensor_type.into(),
        value: Scalar::from_json(value.value.clone())?,
        unit: value.unit().unwrap_or_default().into(),
        timestamp: id.at().floor(),
    })
}

/// A number that is not negative; one that no list is as long as stands for the largest.
fn size(number: i64) -> Option<usize> {
    (number >= 0).then(|| usize::try_from(number).unwrap_or(usize::MAX))
}
