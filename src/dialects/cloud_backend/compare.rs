//! `/v1/sensors/compare/weather`: the newest temperature and humidity of any sensor beside the weather of a city. A large
//! difference is an alert in the answer, and for the default city an alarm of the hub as well.

mod alarms;

use std::sync::Arc;

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use serde::Serialize;
use twinhub_domain::Timestamp;
use twinhub_domain::alarm::Severity;
use utoipa::ToSchema;

use super::index::{IndexStage, TimedReading};
use super::weather::{self, WeatherAnswer};
use crate::http::Access;
use crate::http::extract::params::Params;
use crate::http::problem::fastapi::FastApiError;
use crate::http::reply;

/// The quantities that are compared, with the differences beyond which one is an alert, and a critical one.
const COMPARED: [ComparedQuantity; 2] = [
    ComparedQuantity {
        name: "temperature",
        alert: "temperature_discrepancy",
        unit: "°C",
        warning: 5.0,
        critical: 10.0,
    },
    ComparedQuantity {
        name: "humidity",
        alert: "humidity_discrepancy",
        unit: "%",
        warning: 20.0,
        critical: 30.0,
    },
];

/// A quantity that sensors and the weather have.
#[derive(Clone, Copy)]
struct ComparedQuantity {
    /// The type of its sensors.
    name: &'static str,
    /// The type of its alerts and alarms.
    alert: &'static str,
    unit: &'static str,
    warning: f64,
    critical: f64,
}

/// The weather beside the newest readings.
#[derive(Serialize, ToSchema)]
pub(super) struct CompareAnswer {
    weather_data: WeatherAnswer,
    sensor_data: SensorData,
    comparison: WeatherComparison,
    #[schema(value_type = String, format = DateTime)]
    timestamp: Timestamp,
}

/// The newest readings of any sensors.
#[derive(Serialize, ToSchema)]
struct SensorData {
    temperature: NewestValue,
    humidity: NewestValue,
}

/// The newest reading of a type; nulls where there is none.
#[derive(Default, Serialize, ToSchema)]
struct NewestValue {
    value: Option<f64>,
    #[schema(value_type = Option<String>, format = DateTime)]
    timestamp: Option<Timestamp>,
    sensor_id: Option<Box<str>>,
}

#[derive(Serialize, ToSchema)]
struct WeatherComparison {
    weather: WeatherFigures,
    sensor: SensorFigures,
    /// Without a sign.
    differences: SensorFigures,
    alerts: Vec<DifferenceAlert>,
}

#[derive(Serialize, ToSchema)]
struct WeatherFigures {
    temperature: f64,
    humidity: f64,
    pressure: f64,
}

/// Figures as far as there are sensors for them.
#[derive(Default, Serialize, ToSchema)]
struct SensorFigures {
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    humidity: Option<f64>,
}

/// A large difference.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub(super) struct DifferenceAlert {
    /// `temperature_discrepancy` or `humidity_discrepancy`.
    r#type: &'static str,
    message: String,
    /// `warning` or `critical`.
    severity: &'static str,
}

/// Compares the newest readings with the weather of a city.
#[utoipa::path(
    get, path = "/v1/sensors/compare/weather", tag = "sensors",
    params(("city" = Option<String>, Query, description = "Name of the city; the default city unless it is given", example = "London")),
    responses((status = 200, description = "The answer", body = CompareAnswer))
)]
pub(super) async fn compare(params: Params, access: Access) -> Result<HttpResponse, FastApiError> {
    let city = weather::city(&params)?;
    let state = &access.state.cloud_backend;
    let weather = state.weather.of(city.as_deref(), &access).await?;
    let newest = state.index.view(&access, IndexStage::Newest).await?.newest();
    let [temperature, humidity] = COMPARED.map(|quantity| {
        let newest = newest.iter().find(|timed| *timed.reading.sensor_type == *quantity.name);
        (newest.cloned(), quantity)
    });
    let compared = [
        ComparedReading::of(temperature, weather.temperature),
        ComparedReading::of(humidity, weather.humidity),
    ];
    // A caller may name any city, and sees a part of the sensors perhaps: neither makes an alarm.
    let is_default = weather.city.eq_ignore_ascii_case(state.weather.default_city());
    if is_default && access.reaches_everywhere() {
        alarms::tell(&access, &compared, &newest, weather.source == weather::SIMULATED).await;
    }
    let timestamp = access.now();
    Ok(reply::json(StatusCode::OK, &CompareAnswer::of(weather, compared, timestamp)))
}

/// A quantity, its newest reading, and the difference from the weather.
struct ComparedReading {
    quantity: ComparedQuantity,
    weather: f64,
    newest: Option<Arc<TimedReading>>,
    difference: Option<f64>,
    alert: Option<DifferenceAlert>,
}

impl ComparedReading {
    fn of((newest, quantity): (Option<Arc<TimedReading>>, ComparedQuantity), weather: f64) -> Self {
        let value = newest.as_ref().map(|timed| timed.reading.value.as_f64());
        let difference = value.map(|value| two_digits((value - weather).abs()));
        let alert = value.zip(difference).and_then(|(value, difference)| {
            let severity = quantity.severity(difference)?;
            let ComparedQuantity { name, unit, alert, .. } = &quantity;
            let message =
                format!("Large {name} difference: sensor {value:?}{unit} vs weather {weather:?}{unit}");
            Some(DifferenceAlert { r#type: alert, message, severity: severity.as_str() })
        });
        Self { quantity, weather, newest, difference, alert }
    }

    fn value(&self) -> Option<f64> {
        self.newest.as_ref().map(|timed| timed.reading.value.as_f64())
    }

    fn shown(&self) -> NewestValue {
        match &self.newest {
            Some(timed) => NewestValue {
                value: self.value(),
                timestamp: Some(timed.at),
                sensor_id: Some(timed.reading.sensor_id.clone()),
            },
            None => NewestValue::default(),
        }
    }
}

impl ComparedQuantity {
    fn severity(&self, difference: f64) -> Option<Severity> {
        match difference {
            _ if difference > self.critical => Some(Severity::Critical),
            _ if difference > self.warning => Some(Severity::Warning),
            _ => None,
        }
    }
}

impl CompareAnswer {
    fn of(weather: WeatherAnswer, compared: [ComparedReading; 2], timestamp: Timestamp) -> Self {
        let [temperature, humidity] = &compared;
        Self {
            sensor_data: SensorData { temperature: temperature.shown(), humidity: humidity.shown() },
            comparison: WeatherComparison {
                weather: WeatherFigures {
                    temperature: weather.temperature,
                    humidity: weather.humidity,
                    pressure: weather.pressure,
                },
                sensor: SensorFigures { temperature: temperature.value(), humidity: humidity.value() },
                differences: SensorFigures {
                    temperature: temperature.difference,
                    humidity: humidity.difference,
                },
                alerts: compared.into_iter().filter_map(|compared| compared.alert).collect(),
            },
            weather_data: weather,
            timestamp,
        }
    }
}

/// Without the dust of binary fractions: 23.5 and 18.2 differ by 5.3.
fn two_digits(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use twinhub_domain::Number;
    use twinhub_domain::{Reading, Scalar};
    use twinhub_mqtt::dialects::cloud_backend::{CloudReading, id_of_sensor};

    use super::*;

    fn newest(sensor_type: &str, value: &str) -> Arc<TimedReading> {
        let device = id_of_sensor("s").unwrap();
        let reading = |name: String, value: Scalar| Reading {
            name: name.into(),
            value,
            unit: None,
            quality_score: None,
        };
        let readings = [
            reading(sensor_type.into(), Scalar::Number(Number::parse(value).unwrap())),
            reading(format!("{sensor_type}.source_protocol"), Scalar::Text("mqtt".into())),
        ];
        let named: Vec<_> = readings.iter().map(|one| (&*one.name, &one.value, None)).collect();
        let reading = CloudReading::of(&device, &named).unwrap();
        Arc::new(TimedReading { id: 1, at: Timestamp::default(), reading })
    }

    #[test]
    fn large_differences_are_alerts() {
        let check = |quantity: usize, value: &str, weather: f64, expected: Option<(&str, &str)>| {
            let quantity = COMPARED.into_iter().nth(quantity).unwrap();
            let compared = ComparedReading::of((Some(newest(quantity.name, value)), quantity), weather);
            let alert = compared.alert.as_ref().map(|alert| (alert.severity, alert.message.as_str()));
            assert_eq!(alert, expected, "{value} and {weather}");
        };
        check(0, "23.2", 18.2, None);
        check(
            0,
            "23.5",
            18.2,
            Some(("warning", "Large temperature difference: sensor 23.5°C vs weather 18.2°C")),
        );
        check(
            0,
            "5",
            18.2,
            Some(("critical", "Large temperature difference: sensor 5.0°C vs weather 18.2°C")),
        );
        check(
            0,
            "28.2",
            18.2,
            Some(("warning", "Large temperature difference: sensor 28.2°C vs weather 18.2°C")),
        );
        check(1, "93.5", 73.5, None);
        check(1, "99", 73.5, Some(("warning", "Large humidity difference: sensor 99.0% vs weather 73.5%")));
        check(1, "40", 73.5, Some(("critical", "Large humidity difference: sensor 40.0% vs weather 73.5%")));
    }

    #[test]
    fn there_need_be_no_sensor() {
        let [quantity, _] = COMPARED;
        let compared = ComparedReading::of((None, quantity), 18.2);
        assert!(compared.alert.is_none() && compared.difference.is_none());
        assert_eq!(
            serde_json::to_string(&compared.shown()).unwrap(),
            r#"{"value":null,"timestamp":null,"sensor_id":null}"#
        );
    }
}
