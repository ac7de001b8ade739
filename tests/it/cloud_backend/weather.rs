//! The weather, and the readings beside it. A server of the test's own stands for OpenWeather.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{PlainSocket, Sensor, ago};
use crate::support::HubProcess;
use crate::support::hub::{Installation, run};
use crate::support::receiver::{answer_with, read};

const KEY: &str = "the-key-of-this-hub";

/// A service that knows the weather of London, answers nonsense of Babel, fails for Oslo, and knows no other city. It ends
/// with the test.
struct OpenWeather {
    address: SocketAddr,
    /// The request lines.
    asked: Arc<Mutex<Vec<String>>>,
}

impl OpenWeather {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, asked) = (listener.local_addr().unwrap(), Arc::<Mutex<Vec<String>>>::default());
        let lines = Arc::clone(&asked);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let Some(request) = read(&mut stream).await else { continue };
                let line = request.line().to_owned();
                let london = json!({
                    "main": { "temp": 18.2, "humidity": 73.5, "pressure": 1015 },
                    "weather": [{ "description": "scattered clouds" }],
                });
                let (status, body) = match () {
                    () if line.contains("q=London") => (200, london.to_string()),
                    () if line.contains("q=Babel") => (200, "<html>".into()),
                    () if line.contains("q=Oslo") => (500, String::new()),
                    () if line.contains("q=Paris") => (401, String::new()),
                    () => (404, json!({ "message": "city not found" }).to_string()),
                };
                lines.lock().unwrap().push(line);
                answer_with(&mut stream, status, "content-type: application/json", &body).await;
            }
        });
        Self { address, asked }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn weather(hub: &HubProcess, city: &str) -> Value {
    hub.json(&format!("/v1/sensors/external/weather{city}")).await
}

#[tokio::test]
async fn without_a_key_the_weather_is_made_up_and_says_so() {
    let hub = Installation::new().with("--weather-city", "Madrid").start().await;
    for (query, city, usual) in
        [("", "Madrid", 25.0), ("?city=oslo", "oslo", 10.0), ("?city=Atlantis", "Atlantis", 20.0)]
    {
        let told = weather(&hub, query).await;
        assert_eq!((&told["city"], &told["source"]), (&json!(city), &json!("simulated")));
        let temperature = told["temperature"].as_f64().unwrap();
        assert!((temperature - usual).abs() <= 5.0, "{told}");
        assert!(told["timestamp"].is_string() && told["description"].is_string(), "{told}");
        assert_eq!(told.as_object().unwrap().len(), 7);
    }
    let long = hub.get(&format!("/v1/sensors/external/weather?city={}", "x".repeat(101))).await;
    assert_eq!(long.status(), 422);
}

#[tokio::test]
async fn the_services_word_counts_and_is_kept() {
    let service = OpenWeather::start().await;
    let installation = Installation::new().with("--weather-url", &service.url()).with("--weather-key", KEY);
    let hub = installation.start().await;
    for _ in 0..3 {
        let told = weather(&hub, "?city=London").await;
        let expected = json!({
            "city": "London", "temperature": 18.2, "humidity": 73.5, "pressure": 1015.0,
            "description": "scattered clouds", "timestamp": told["timestamp"], "source": "openweather",
        });
        assert_eq!(told, expected);
    }
    assert_eq!(weather(&hub, "").await["source"], "openweather", "London is the usual city");
    let asked = service.asked.lock().unwrap().clone();
    assert_eq!(asked, [format!("GET /data/2.5/weather?q=London&appid={KEY}&units=metric")]);

    let unknown = hub.get("/v1/sensors/external/weather?city=Atlantis").await;
    assert_eq!(unknown.status(), 404);
    assert_eq!(unknown.json::<Value>().await.unwrap(), json!({ "detail": "City Atlantis not found" }));
    assert_eq!(hub.get("/v1/sensors/compare/weather?city=Atlantis").await.status(), 404);
    for city in ["Oslo", "Babel", "Paris"] {
        let told = weather(&hub, &format!("?city={city}")).await;
        assert_eq!((&told["city"], &told["source"]), (&json!(city), &json!("simulated")));
        assert_eq!(hub.json("/health").await["services"]["weather"], "unavailable");
    }
    let log = hub.log().join("\n");
    assert!(log.contains("the weather service fails") && !log.contains(KEY), "{log}");
}

#[tokio::test]
async fn the_key_is_told_nobody_and_sent_in_the_clear_to_nobody() {
    let printed = run(&["config"], &[("OPENWEATHER_API_KEY", KEY), ("DEFAULT_CITY", "Oslo")]).await;
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains("weather-key = \"***\"") && !printed.contains(KEY), "{printed}");
    assert!(printed.contains("weather-city = \"Oslo\""), "{printed}");
    let refused = run(&["config", "--weather-url", "http://weather.example"], &[]).await;
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("weather-url") && told.contains("https"), "{told}");
}

#[tokio::test]
async fn sensors_are_compared_and_large_differences_are_alarms() {
    let service = OpenWeather::start().await;
    let installation = Installation::new().with("--weather-url", &service.url());
    let hub = installation.in_environment("OPENWEATHER_API_KEY", KEY).start().await;
    let compare = async || hub.json("/v1/sensors/compare/weather?city=London").await;
    let none = compare().await;
    let nothing = json!({ "value": null, "timestamp": null, "sensor_id": null });
    assert_eq!(none["sensor_data"], json!({ "temperature": nothing, "humidity": nothing }));
    assert_eq!(
        (&none["comparison"]["sensor"], &none["comparison"]["differences"], &none["comparison"]["alerts"]),
        (&json!({}), &json!({}), &json!([]))
    );

    let mut sensor = Sensor::connect(&hub).await;
    let at = ago(60);
    sensor.say("sensors/temperature/temp-001", &json!({ "value": 23.5, "ts": at })).await;
    sensor.say("sensors/humidity/hum-001", &json!({ "value": 80 })).await;
    let compared = compare().await;
    assert_eq!(
        compared["sensor_data"]["temperature"],
        json!({ "value": 23.5, "timestamp": at, "sensor_id": "temp-001" })
    );
    assert_eq!(compared["weather_data"]["source"], "openweather");
    let expected = json!({
        "weather": { "temperature": 18.2, "humidity": 73.5, "pressure": 1015.0 },
        "sensor": { "temperature": 23.5, "humidity": 80.0 },
        "differences": { "temperature": 5.3, "humidity": 6.5 },
        "alerts": [{
            "type": "temperature_discrepancy",
            "message": "Large temperature difference: sensor 23.5°C vs weather 18.2°C",
            "severity": "warning",
        }],
    });
    assert_eq!(compared["comparison"], expected);
    assert!(compared["timestamp"].is_string(), "{compared}");

    let alarms = async || {
        let listed = hub.json("/api/alarms?active=true").await;
        let shown = |alarm: &Value| {
            let text = |name: &str| alarm[name].as_str().unwrap().to_owned();
            (text("device_id"), text("type"), text("severity"), alarm["count"].as_u64().unwrap())
        };
        listed.as_array().unwrap().iter().map(shown).collect::<Vec<_>>()
    };
    let alarm = |device: &str, severity: &str, count| {
        (device.to_owned(), "temperature_discrepancy".to_owned(), severity.to_owned(), count)
    };
    assert_eq!(alarms().await, [alarm("temp-001", "warning", 1)]);
    compare().await;
    assert_eq!(alarms().await, [alarm("temp-001", "warning", 1)], "the same again is nothing new");
    let mut socket = PlainSocket::greeted(hub.http).await;
    sensor.say("sensors/temperature/temp-001", &json!({ "value": 29 })).await;
    assert_eq!(socket.next().await.0, "sensor_data");
    compare().await;
    assert_eq!(alarms().await, [alarm("temp-001", "critical", 2)]);
    sensor.say("sensors/temperature/temp-002", &json!({ "value": 3 })).await;
    assert_eq!(socket.next().await.0, "sensor_data");
    compare().await;
    let both = [alarm("temp-002", "critical", 1), alarm("temp-001", "critical", 2)];
    assert_eq!(alarms().await, both, "the newest is another now, and the first is as far off as before");
    let (kind, data) = socket.next().await;
    assert_eq!((kind.as_str(), &data["sensor_id"]), ("alert", &json!("temp-002")), "{data}");
    // Two sensors that speak by turns do not take each other's alarms away, and do not raise them again.
    for (sensor_id, value) in [("temp-001", 29), ("temp-002", 3), ("temp-001", 29)] {
        sensor.say(&format!("sensors/temperature/{sensor_id}"), &json!({ "value": value })).await;
        assert_eq!(socket.next().await.0, "sensor_data", "and no alert");
        compare().await;
        assert_eq!(alarms().await, both);
    }
    sensor.say("sensors/temperature/temp-002", &json!({ "value": 18 })).await;
    // Another city is no measure of whether the sensor is right.
    assert_ne!(hub.json("/v1/sensors/compare/weather?city=Oslo").await["weather_data"]["city"], "London");
    assert_eq!(alarms().await, both);
    compare().await;
    assert_eq!(alarms().await, [alarm("temp-001", "critical", 2)], "each by its own difference");
    sensor.say("sensors/temperature/temp-001", &json!({ "value": 18 })).await;
    sensor.say("sensors/temperature/temp-002", &json!({ "value": 18 })).await;
    compare().await;
    assert!(alarms().await.is_empty(), "the difference is gone, whoever spoke last");
}

#[tokio::test]
async fn names_of_cities_do_not_spend_the_key() {
    let service = OpenWeather::start().await;
    let installation = Installation::new().with("--weather-url", &service.url()).with("--weather-key", KEY);
    let hub = installation.start().await;
    let status =
        async |city: &str| hub.get(&format!("/v1/sensors/external/weather?city={city}")).await.status();
    let asked = || service.asked.lock().unwrap().len();
    for _ in 0..3 {
        assert_eq!(status("Atlantis").await, 404);
    }
    assert_eq!(asked(), 1, "that there is none is kept");
    for n in 0..60 {
        let status = status(&format!("Place{n}")).await;
        assert!(matches!(status.as_u16(), 200 | 404), "{status}");
    }
    assert!(asked() < 40, "{} requests", asked());
    assert_eq!(
        weather(&hub, "").await["source"],
        "openweather",
        "the hub's own city has requests of its own"
    );
}

#[tokio::test]
async fn a_service_that_refuses_the_key_is_left_alone() {
    let service = OpenWeather::start().await;
    let installation = Installation::new().with("--weather-url", &service.url()).with("--weather-key", KEY);
    let hub = installation.start().await;
    assert_eq!(weather(&hub, "?city=Paris").await["source"], "simulated");
    for city in ["?city=London", "?city=Rome", ""] {
        assert_eq!(weather(&hub, city).await["source"], "simulated", "{city}");
    }
    assert_eq!(service.asked.lock().unwrap().len(), 1);
    assert_eq!(hub.json("/health").await["services"]["weather"], "unavailable");
}
