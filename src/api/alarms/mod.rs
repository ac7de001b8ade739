//! Alarms, present and past, and their acknowledgements.

pub mod schema;

use actix_web::{HttpRequest, HttpResponse};
use twinhub_access::Reach;
use twinhub_actors::messages::alarms::{Acknowledge, AlarmReply, Clear};
use twinhub_actors::messages::archive::{FindAlarm, ListAlarms};
use twinhub_domain::alarm::{Alarm, AlarmId, Severity};
use twinhub_domain::run::RuleId;
use twinhub_domain::{DeviceId, DeviceNumber, ReadingTime};
use twinhub_store::AlarmQuery;

use crate::api::alarms::schema::{AlarmItem, AlarmListing};
use crate::api::devices::device::find;
use crate::http::Access;
use crate::http::extract::body::{AlarmPath, DevicePath};
use crate::http::extract::fields::FieldError;
use crate::http::extract::paging::Paging;
use crate::http::extract::params::{Params, bad};
use crate::http::problem::{ApiError, Problem};
use crate::http::reply::{Document, array};
use crate::http::routes::routes;

routes! {
    Read: self::list_device_alarms,
    Read: self::list_alarms,
    Read: self::get_alarm,
    Operate: self::acknowledge_alarm,
    Operate: self::clear_alarm,
}

/// The words for severities, in errors.
pub const SEVERITIES: &str = "info, warning, minor, major or critical";

/// The alarms, the newest raised first: those that are active, and what became of the others.
#[utoipa::path(
    get,
    path = "/api/alarms",
    tag = "alarms",
    params(AlarmListing, ("device_id" = Option<String>, Query, description = "The id of the device that they are about")),
    responses(
        (status = 200, description = "A page of alarms", body = [AlarmItem],
            headers(("X-Total-Count" = u64, description = "The number of entries on all pages"), ("Link" = String))),
        (status = 404, description = "No such device", body = Problem),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_alarms(
    request: HttpRequest,
    mut params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let device = match params.text("device_id")? {
        Some(id) => {
            let id = DeviceId::parse(&id).map_err(|error| bad("device_id", error.to_string()))?;
            Some(find(&access, &id).await?.number)
        }
        None => None,
    };
    list(&request, params, &access, device).await
}

/// The alarms of one device.
#[utoipa::path(
    get,
    path = "/api/devices/{id}/alarms",
    tag = "alarms",
    params(("id" = String, Path, description = "The device's id"), AlarmListing),
    responses(
        (status = 200, description = "A page of alarms", body = [AlarmItem],
            headers(("X-Total-Count" = u64, description = "The number of entries on all pages"), ("Link" = String))),
        (status = 404, description = "No such device", body = Problem),
        (status = 422, description = "A parameter makes no sense", body = Problem),
    )
)]
pub async fn list_device_alarms(
    request: HttpRequest,
    DevicePath(device): DevicePath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    let number = find(&access, &device).await?.number;
    list(&request, params, &access, Some(number)).await
}

/// One alarm.
#[utoipa::path(
    get,
    path = "/api/alarms/{id}",
    tag = "alarms",
    params(("id" = String, Path, description = "The alarm's id")),
    responses((status = 200, body = AlarmItem), (status = 404, body = Problem))
)]
pub async fn get_alarm(
    AlarmPath(id): AlarmPath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let found = access.ask(FindAlarm(id)).await??;
    Ok(shown(&found.ok_or_else(|| ApiError::no_alarm(id))?))
}

/// Acknowledges an alarm. One that was acknowledged before stays as it is: the first acknowledgement counts.
#[utoipa::path(
    post,
    path = "/api/alarms/{id}/acknowledge",
    tag = "alarms",
    params(("id" = String, Path, description = "The alarm's id")),
    responses(
        (status = 200, description = "It is acknowledged", body = AlarmItem),
        (status = 404, body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn acknowledge_alarm(
    AlarmPath(id): AlarmPath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let cause = access.cause();
    changed(access.change(|reply| Acknowledge { id, reach: Reach::default(), cause, reply }).await?, id)
}

/// Says that it is over. What raises it again makes a new one. One that was over before stays as it is.
#[utoipa::path(
    post,
    path = "/api/alarms/{id}/clear",
    tag = "alarms",
    params(("id" = String, Path, description = "The alarm's id")),
    responses(
        (status = 200, description = "It is cleared", body = AlarmItem),
        (status = 404, body = Problem),
        (status = 503, description = "The store does not take anything in", body = Problem),
    )
)]
pub async fn clear_alarm(
    AlarmPath(id): AlarmPath,
    params: Params,
    access: Access,
) -> Result<HttpResponse, ApiError> {
    params.finish()?;
    let cause = access.cause();
    changed(access.change(|reply| Clear { id, reach: Reach::default(), cause, reply }).await?, id)
}

fn changed(changed_alarm: Option<AlarmReply>, id: AlarmId) -> Result<HttpResponse, ApiError> {
    let alarm = changed_alarm.and_then(|changed_alarm| changed_alarm.alarm);
    Ok(shown(&alarm.ok_or_else(|| ApiError::no_alarm(id))?))
}

fn shown(alarm: &Alarm) -> HttpResponse {
    Document::of(&alarm.document()).send(HttpResponse::Ok())
}

async fn list(
    request: &HttpRequest,
    mut params: Params,
    access: &Access,
    device: Option<DeviceNumber>,
) -> Result<HttpResponse, ApiError> {
    let all = params.all().to_vec();
    let paging = Paging::take(&mut params)?;
    let query = AlarmQuery { device, offset: paging.offset(), limit: paging.limit, ..query(params)? };
    let page = access.ask(ListAlarms(query)).await??;
    let mut response = HttpResponse::Ok();
    paging.set_headers(&mut response, request.path(), &all, page.total);
    Ok(array(response, &page.alarms, |alarm, out| alarm.document().write(out)))
}

fn query(mut params: Params) -> Result<AlarmQuery, FieldError> {
    let query = AlarmQuery {
        active: params.value("active", "true or false")?,
        acknowledged: params.value("acknowledged", "true or false")?,
        at_least: params.read("severity", SEVERITIES, Severity::parse)?,
        rule: params.read("rule_id", "a rule's name", |text| RuleId::parse(text).ok())?,
        alarm_type: params.text("type")?,
        from: params.start_time("from")?.map(ReadingTime::ceil),
        to: params.end_time("to")?.map(ReadingTime::ceil),
        ..AlarmQuery::default()
    };
    params.finish()?;
    Ok(query)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_filters() {
        let read = |text: &str| query(Params::parse(text));
        let wanted = read(
            "active=true&acknowledged=false&severity=major&type=hot&rule=cool&from=2026-01-01&to=2026-01-01",
        )
        .unwrap();
        assert_eq!((wanted.active, wanted.acknowledged), (Some(true), Some(false)));
        assert_eq!((wanted.at_least, wanted.alarm_type.as_deref()), (Some(Severity::Major), Some("hot")));
        assert_eq!(wanted.rule, RuleId::parse("cool").ok());
        assert_eq!(wanted.to.unwrap().millis() - wanted.from.unwrap().millis(), 86_400_000);
        assert!(read("").unwrap().active.is_none());
    }

    #[test]
    fn names_the_parameter_that_is_wrong() {
        let wrong = |text: &str| query(Params::parse(text)).unwrap_err();
        assert_eq!(wrong("active=yes").field, "active");
        assert_eq!(wrong("acknowledged=1").field, "acknowledged");
        assert_eq!(wrong("severity=high").field, "severity");
        assert_eq!(wrong("rule=a/b").field, "rule_id");
        assert_eq!(wrong("from=soon").field, "from");
        assert_eq!(wrong("colour=red").code, "unknown_parameter");
    }

    #[test]
    fn says_all_severities() {
        for severity in Severity::ALL {
            assert!(SEVERITIES.contains(severity.as_str()), "{}", severity.as_str());
        }
    }
}
