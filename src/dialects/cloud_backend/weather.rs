//! The weather of a city: OpenWeather's, by a key, or made up where there is no key or the service fails. The answer says
//! which.

mod allowance;
mod made_up;
mod service;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use tokio::sync::Mutex;
use tracing::warn;
use twinhub_domain::Timestamp;
use url::Url;
use utoipa::ToSchema;

use crate::config::Config;
use crate::dialects::fastapi_fields::FastApiFields;
use crate::http::Access;
use crate::http::extract::params::Params;
use crate::http::problem::fastapi::{FastApiError, FieldFault};
use crate::http::reply;
use allowance::ServiceAllowance;
use service::WeatherFault;

/// The uptime for which a report is kept, in ms: the service measures no more often.
const KEPT_MS: u64 = 600_000;
/// The uptime for which a service that fails is left alone, in ms: a page that asks again does not wait for it each time.
const LEFT_ALONE_MS: u64 = 60_000;
/// Cities whose reports are kept.
const MOST_CITIES: usize = 256;
/// The uptime for which it is kept that the service does not know a city, in ms: none is founded sooner.
const UNKNOWN_KEPT_MS: u64 = 24 * 3_600_000;
/// Cities that the service does not know and that are kept as such.
const MOST_UNKNOWN: usize = 1_024;
/// The source of weather that is made up.
pub(super) const SIMULATED: &str = "simulated";
/// Bytes of a city's name at most.
const LONGEST_CITY: usize = 100;

/// The settings of the weather.
#[derive(Clone)]
pub struct WeatherSettings {
    /// None: all weather is made up.
    pub key: Option<Box<str>>,
    /// The city where a request names none.
    pub city: Box<str>,
    /// The address of the service.
    pub url: Url,
}

impl WeatherSettings {
    /// The settings by `config`.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        Self {
            key: config.weather_key.as_deref().map(Into::into),
            city: config.weather_city.0.clone(),
            url: config.weather_url.0.clone(),
        }
    }
}

/// The place of a city's report, held while the service is asked for it.
type CityPlace = Arc<Mutex<Option<KeptReport>>>;

/// The weather, shared by all requests.
pub struct WeatherDesk {
    settings: WeatherSettings,
    cities: Mutex<HashMap<Box<str>, CityPlace>>,
    /// Cities that the service does not know, with the uptime until which that is kept. They take no place from the others.
    unknown: Mutex<HashMap<Box<str>, u64>>,
    allowance: Mutex<ServiceAllowance>,
    is_failing: AtomicBool,
}

/// The weather of a city.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct WeatherReport {
    /// °C.
    pub temperature: f64,
    /// Per cent.
    pub humidity: f64,
    /// hPa.
    pub pressure: f64,
    pub description: Box<str>,
}

/// The state of a city's weather.
#[derive(Clone, Debug, PartialEq)]
enum CityWeather {
    Told(WeatherReport),
    /// The service does not know the city.
    NoCity,
    /// The service fails: the weather is made up meanwhile.
    MadeUp,
}

#[derive(Clone, Debug)]
struct KeptReport {
    weather: CityWeather,
    /// The uptime until which it is kept, in ms.
    until: u64,
}

/// The weather of a city, in an answer.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct WeatherAnswer {
    pub city: Box<str>,
    pub temperature: f64,
    pub humidity: f64,
    pub pressure: f64,
    pub description: Box<str>,
    #[schema(value_type = String, format = DateTime)]
    pub timestamp: Timestamp,
    /// `openweather`, or `simulated`: made up, because there is no key or the service fails.
    pub source: &'static str,
}

/// Gives the weather of a city.
#[utoipa::path(
    get, path = "/v1/sensors/external/weather", tag = "sensors",
    params(("city" = Option<String>, Query, description = "Name of the city; the default city unless it is given", example = "London")),
    responses((status = 200, description = "The answer", body = WeatherAnswer))
)]
pub(super) async fn external(params: Params, access: Access) -> Result<HttpResponse, FastApiError> {
    let city = city(&params)?;
    let weather = access.state.cloud_backend.weather.of(city.as_deref(), &access).await?;
    Ok(reply::json(StatusCode::OK, &weather))
}

/// There is no such city.
#[derive(Debug)]
pub(super) struct UnknownCity(Box<str>);

impl From<UnknownCity> for FastApiError {
    fn from(UnknownCity(city): UnknownCity) -> Self {
        Self::Absent(format!("City {city} not found"))
    }
}

/// The city that a query names.
pub(super) fn city(params: &Params) -> Result<Option<Box<str>>, FastApiError> {
    let mut query = FastApiFields::of_query(params);
    let named = query.optional_text("city").unwrap_or_default();
    let city = Some(named.trim()).filter(|city| !city.is_empty());
    if let Some(city) = city.filter(|city| city.len() > LONGEST_CITY || city.contains(char::is_control)) {
        let detail = format!("Name of a city has {LONGEST_CITY} bytes at most and no control characters");
        query.note(FieldFault::refused("city", detail).with_input(city.into()));
    }
    query.finish()?;
    Ok(city.map(Into::into))
}

impl WeatherDesk {
    /// The weather by these settings.
    #[must_use]
    pub fn new(settings: WeatherSettings) -> Self {
        Self {
            settings,
            cities: Mutex::default(),
            unknown: Mutex::default(),
            allowance: Mutex::default(),
            is_failing: AtomicBool::new(false),
        }
    }

    /// The city where a request names none.
    pub(super) fn default_city(&self) -> &str {
        &self.settings.city
    }

    /// Has the service failed when it was asked last?
    pub(super) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// The weather of this city, or of the default one.
    ///
    /// # Errors
    /// The service knows no such city.
    pub(super) async fn of(&self, city: Option<&str>, access: &Access) -> Result<WeatherAnswer, UnknownCity> {
        let city = city.unwrap_or(&self.settings.city);
        let now = access.now();
        let told = match self.settings.key.as_deref() {
            Some(key) => self.told(key, city, access).await,
            None => CityWeather::MadeUp,
        };
        let (report, source) = match told {
            CityWeather::Told(report) => (report, "openweather"),
            CityWeather::MadeUp => (made_up::made_up(city, now), SIMULATED),
            CityWeather::NoCity => return Err(UnknownCity(city.into())),
        };
        let WeatherReport { temperature, humidity, pressure, description } = report;
        Ok(WeatherAnswer {
            city: city.into(),
            temperature,
            humidity,
            pressure,
            description,
            timestamp: now,
            source,
        })
    }

    /// The service's word. Requests for a city that is being asked for wait for the one answer. Where the service may not be
    /// asked, the weather is made up for this once.
    async fn told(&self, key: &str, city: &str, access: &Access) -> CityWeather {
        let name: Box<str> = city.to_lowercase().into();
        let kept = self.place(&name, access.uptime_ms()).await;
        let mut kept = kept.lock().await;
        let uptime = access.uptime_ms();
        if let Some(KeptReport { weather, until }) = &*kept
            && uptime < *until
        {
            return weather.clone();
        }
        if self.unknown.lock().await.get(&name).is_some_and(|until| uptime < *until) {
            return CityWeather::NoCity;
        }
        let is_default = *name == *self.settings.city.to_lowercase();
        if !self.allowance.lock().await.take(is_default, uptime) {
            return CityWeather::MadeUp;
        }
        let asked = service::ask(&self.settings.url, key, city).await;
        let uptime = access.uptime_ms();
        let mut allowance = self.allowance.lock().await;
        let (weather, keep_ms) = match asked {
            Ok(report) => (CityWeather::Told(report), KEPT_MS),
            Err(WeatherFault::UnknownCity) => (CityWeather::NoCity, UNKNOWN_KEPT_MS),
            Err(fault) => {
                warn!(%fault, city, "the weather service fails: the weather is made up");
                if let WeatherFault::Key { retry_after, .. } = fault {
                    allowance.is_refused(retry_after, uptime);
                }
                (CityWeather::MadeUp, LEFT_ALONE_MS)
            }
        };
        if weather != CityWeather::MadeUp {
            allowance.is_taken();
        }
        drop(allowance);
        self.is_failing.store(weather == CityWeather::MadeUp, Ordering::Relaxed);
        let until = uptime + keep_ms;
        match weather {
            CityWeather::NoCity => self.keep_unknown(name, uptime, until).await,
            _ => *kept = Some(KeptReport { weather: weather.clone(), until }),
        }
        weather
    }

    /// Keeps that the service does not know a city.
    async fn keep_unknown(&self, city: Box<str>, uptime: u64, until: u64) {
        let mut unknown = self.unknown.lock().await;
        if unknown.len() >= MOST_UNKNOWN {
            unknown.retain(|_, until| uptime < *until);
        }
        if unknown.len() >= MOST_UNKNOWN {
            unknown.clear();
        }
        unknown.insert(city, until);
    }

    /// The place for the report of a city. Where there are too many, those that are out of date go, and else all that
    /// nobody waits for.
    async fn place(&self, city: &str, uptime: u64) -> CityPlace {
        let mut cities = self.cities.lock().await;
        if cities.len() >= MOST_CITIES && !cities.contains_key(city) {
            let is_kept = |place: &CityPlace| match place.try_lock() {
                Ok(kept) => kept.as_ref().is_some_and(|kept| uptime < kept.until),
                Err(_) => true, // it is being asked for
            };
            cities.retain(|_, place| is_kept(place));
            if cities.len() >= MOST_CITIES {
                cities.retain(|_, place| place.try_lock().is_err());
            }
        }
        Arc::clone(cities.entry(city.into()).or_default())
    }
}

/// The key is secret.
impl fmt::Debug for WeatherSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeatherSettings")
            .field("has_key", &self.key.is_some())
            .field("city", &self.city)
            .field("url", &self.url.as_str())
            .finish()
    }
}
