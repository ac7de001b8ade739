//! Variables of the environment under the names that other systems give them. A hub that takes over from one of them
//! finds its settings as they are. Whatever is said in words of our own counts rather than these.

use std::collections::BTreeMap;
use std::fmt;
use std::net::Ipv6Addr;
use std::path::Path;
use std::str::FromStr;

use super::{CityName, Mqtt, SensorTopic, WebOrigin};

/// All that are read here, in the order in which they count where two mean the same option.
pub const NAMES: [&str; 11] = [
    "PORT",
    "MQTT_BROKER",
    "MQTT_HOST",
    "MQTT_PORT",
    "MQTT_TOPIC",
    "ALLOWED_ORIGINS",
    "CORS_ORIGINS",
    "DATABASE_URL",
    "DB_URL",
    "OPENWEATHER_API_KEY",
    "DEFAULT_CITY",
];
/// The port of a broker where none is named.
const MQTT_PORT: &str = "1883";

/// The variables that are set.
#[derive(Default)]
pub(super) struct ForeignEnvironment {
    set: BTreeMap<&'static str, String>,
    pub notes: Vec<ForeignNote>,
}

/// A setting that was found under another system's names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignNote {
    /// `MQTT_HOST`, or several: `MQTT_HOST and MQTT_PORT`.
    pub variables: String,
    /// The option that it means.
    pub option: &'static str,
    /// The reason why it was not taken.
    pub refused: Option<String>,
}

impl ForeignEnvironment {
    /// The variables of this process.
    pub fn read() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    /// The variables that `variable` has; empty ones are not set.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let text =
            |name| Some((name, variable(name)?.trim().to_owned())).filter(|(_, text)| !text.is_empty());
        Self { set: NAMES.into_iter().filter_map(text).collect(), notes: Vec::new() }
    }

    /// The port to serve on.
    pub fn port(&mut self, is_said: bool) -> Option<u16> {
        let (name, text) = self.first(&["PORT"], is_said)?;
        let port = text.parse().map_err(|_| format!("`{text}` is no port"));
        self.note("listen", name.into(), port)
    }

    /// The broker to use.
    pub fn broker(&mut self, is_said: bool) -> Option<Mqtt> {
        let port = self.set.get("MQTT_PORT").cloned();
        let Some((name, host)) = self.first(&["MQTT_BROKER", "MQTT_HOST"], is_said) else {
            if port.is_some() && !is_said {
                let refused = "it is the port of a broker, and neither MQTT_BROKER nor MQTT_HOST names one";
                return self.note("mqtt", "MQTT_PORT".into(), Err(refused.into()));
            }
            return None;
        };
        let variables = if port.is_some() { format!("{name} and MQTT_PORT") } else { name.to_owned() };
        let url = match (host.contains("://"), host.parse::<Ipv6Addr>()) {
            (true, _) => host,
            (false, Ok(address)) => format!("mqtt://[{address}]:{}", port.as_deref().unwrap_or(MQTT_PORT)),
            (false, Err(_)) => format!("mqtt://{host}:{}", port.as_deref().unwrap_or(MQTT_PORT)),
        };
        self.note("mqtt", variables, url.parse())
    }

    /// The topic of sensors whose messages name no device.
    pub fn topic(&mut self, is_said: bool) -> Option<SensorTopic> {
        let (name, text) = self.first(&["MQTT_TOPIC"], is_said)?;
        self.note("sensor-data-topic", name.into(), text.parse())
    }

    /// The origins whose pages are let in.
    pub fn origins(&mut self, is_said: bool) -> Option<Vec<WebOrigin>> {
        let (name, text) = self.first(&["ALLOWED_ORIGINS", "CORS_ORIGINS"], is_said)?;
        let each = text.split(',').map(|origin| origin.trim().trim_end_matches('/'));
        let each: Vec<&str> = each.filter(|origin| !origin.is_empty()).collect();
        // An original without users lost little by it; here every page that a browser opens could steer the devices.
        let all = match each.contains(&"*") {
            true => Err("`*` lets the pages of every site in: say --cors '*', or name the sites".to_owned()),
            false => each.into_iter().map(WebOrigin::from_str).collect(),
        };
        self.note("cors", name.into(), all)
    }

    /// The key of the weather service.
    pub fn weather_key(&mut self, is_said: bool) -> Option<String> {
        let (name, key) = self.first(&["OPENWEATHER_API_KEY"], is_said)?;
        self.note("weather-key", name.into(), Ok(key))
    }

    /// The city whose weather is meant where none is named.
    pub fn weather_city(&mut self, is_said: bool) -> Option<CityName> {
        let (name, text) = self.first(&["DEFAULT_CITY"], is_said)?;
        self.note("weather-city", name.into(), text.parse())
    }

    /// The database, where it is one that this program can use.
    pub fn database(&mut self, given: bool, in_file: bool) -> Option<String> {
        // DATABASE_URL counts rather than the file: it is the name that many programs know.
        let is_said = given || (in_file && !self.set.contains_key("DATABASE_URL"));
        let (name, url) = self.first(&["DATABASE_URL", "DB_URL"], is_said)?;
        let url = match of_another_program(&url) {
            Some(why) => Err(format!(
                "{why}, which is left alone: say --database for one of this hub; `twinhub migrate-from FILE` takes over \
                 what a system with routes here has in its own"
            )),
            None => Ok(url),
        };
        self.note("database", name.into(), url)
    }

    /// The first of these names that is set, and its text; none where the option is said in words of our own.
    fn first(&self, names: &[&'static str], is_said: bool) -> Option<(&'static str, String)> {
        let of = |name: &&'static str| Some((*name, self.set.get(*name)?.clone()));
        names.iter().find_map(of).filter(|_| !is_said)
    }

    fn note<T>(&mut self, option: &'static str, variables: String, read: Result<T, String>) -> Option<T> {
        let (value, refused) = match read {
            Ok(value) => (Some(value), None),
            Err(why) => (None, Some(why)),
        };
        self.notes.push(ForeignNote { variables, option, refused });
        value
    }
}

/// Says why a URL names no database of this program; none where it may. Python's libraries count slashes otherwise:
/// theirs has three before a path that begins in the working folder.
pub(super) fn of_another_program(url: &str) -> Option<&'static str> {
    let (scheme, rest) = url.split_once(':')?;
    if scheme != "sqlite" {
        return Some("it is another program's database");
    }
    let path = rest.strip_prefix("///")?;
    if path.contains('?') {
        return None;
    }
    let is_relative = path.is_empty() || path.starts_with(['.', '/']);
    (is_relative || !Path::new("/").join(path).exists()).then_some("it is a Python program's database")
}

impl fmt::Display for ForeignNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.refused {
            None => write!(f, "{}: taken from {}", self.option, self.variables),
            Some(why) => write!(f, "{}: not taken from {}: {why}", self.option, self.variables),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variables: &[(&str, &str)]) -> ForeignEnvironment {
        let find = |name: &str| variables.iter().find(|(set, _)| *set == name);
        ForeignEnvironment::of(|name| find(name).map(|(_, text)| (*text).to_owned()))
    }

    fn told(environment: &ForeignEnvironment) -> Vec<String> {
        environment.notes.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_broker_is_named_by_its_host_and_its_port() {
        let check = |variables: &[(&str, &str)], expected: Option<&str>, note: &[&str]| {
            let mut environment = of(variables);
            let broker = environment.broker(false).map(|broker| match broker {
                Mqtt::Broker(address) => address.to_string(),
                Mqtt::Embedded => "embedded".into(),
            });
            assert_eq!(broker.as_deref(), expected, "{variables:?}");
            assert_eq!(told(&environment), note);
        };
        let host = "mqtt: taken from MQTT_HOST";
        check(&[("MQTT_HOST", "mosquitto")], Some("mqtt://mosquitto:1883"), &[host]);
        let both = "mqtt: taken from MQTT_BROKER and MQTT_PORT";
        check(&[("MQTT_BROKER", "h"), ("MQTT_PORT", "1884")], Some("mqtt://h:1884"), &[both]);
        check(&[("MQTT_BROKER", "::1"), ("MQTT_PORT", "1")], Some("mqtt://[::1]:1"), &[both]);
        check(&[("MQTT_HOST", "mqtts://h")], Some("mqtts://h:8883"), &[host]);
        let first = "mqtt: taken from MQTT_BROKER";
        check(&[("MQTT_BROKER", "a"), ("MQTT_HOST", "b")], Some("mqtt://a:1883"), &[first]);
        check(&[("MQTT_HOST", " ")], None, &[]);
        let (mut port, mut broken) = (of(&[("MQTT_PORT", "1883")]), of(&[("MQTT_HOST", "a b")]));
        assert!(
            port.broker(false).is_none() && told(&port)[0].starts_with("mqtt: not taken from MQTT_PORT: ")
        );
        assert!(broken.broker(false).is_none() && broken.notes[0].refused.is_some());
    }

    #[test]
    fn words_of_our_own_count_rather_than_others() {
        let all: Vec<(&str, &str)> = NAMES.into_iter().map(|name| (name, "8000")).collect();
        let mut environment = of(&all);
        assert!(environment.port(true).is_none() && environment.broker(true).is_none());
        assert!(environment.topic(true).is_none() && environment.origins(true).is_none());
        assert!(environment.database(true, false).is_none());
        assert_eq!(told(&environment), [""; 0]);
        assert_eq!(environment.port(false), Some(8_000));
        assert_eq!(told(&environment), ["listen: taken from PORT"]);
    }

    #[test]
    fn origins_are_parted_by_commas() {
        let origins = |text| {
            let mut environment = of(&[("CORS_ORIGINS", text)]);
            environment
                .origins(false)
                .map(|all| all.into_iter().map(|WebOrigin(one)| one).collect::<Vec<_>>())
        };
        assert_eq!(
            origins("http://a, http://b:3000/,"),
            Some(vec!["http://a".into(), "http://b:3000".into()])
        );
        assert_eq!((origins("*"), origins("http://a, *")), (None, None));
        assert_eq!(origins("http://a,here"), None);
        assert_eq!(of(&[("PORT", "many")]).port(false), None);
        assert_eq!(of(&[("MQTT_TOPIC", "a/b")]).topic(false), Some(SensorTopic("a/b".into())));
    }

    #[test]
    fn databases_of_other_programs_are_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t.db");
        std::fs::write(&file, "").unwrap();
        let there = format!("sqlite://{}", file.display());
        let taken = |url: &str| of(&[("DATABASE_URL", url)]).database(false, true).is_some();
        for ours in ["sqlite:/url.db", "sqlite:a.db", "sqlite:///a/b.db?mode=rwc", "sqlite::memory:", &there]
        {
            assert!(taken(ours), "{ours}");
        }
        for theirs in [
            "sqlite:///./iot_dashboard.db",
            "sqlite:////srv/iot.db",
            "sqlite:///data/no-such-app.db",
            "sqlite:///",
            "mysql+pymysql://user:pass@mysql:3306/iot",
            "postgresql://h/x",
            "sqlite+aiosqlite:///x.db",
        ] {
            assert!(!taken(theirs), "{theirs}");
        }
        let mut other = of(&[("DB_URL", "sqlite:///./app.db")]);
        assert_eq!(other.database(false, true), None);
        assert_eq!(told(&other), [""; 0], "the file counts");
        assert_eq!(other.database(false, false), None);
        let expected =
            "database: not taken from DB_URL: it is a Python program's database, which is left alone";
        assert!(told(&other)[0].starts_with(expected), "{:?}", told(&other));
    }
}
