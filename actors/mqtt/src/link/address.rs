//! The URL of an outside broker: `mqtt://user:pass@host:1883`, `mqtts://…`.

use std::fmt;

use percent_encoding::percent_decode_str;
use url::Url;

/// The address of an outside broker.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerAddress {
    pub host: String,
    pub port: u16,
    pub tls: bool,
    /// User and password.
    pub credentials: Option<(String, String)>,
}

/// The reason why a text is no address of a broker. It never shows the password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadAddress {
    #[error("the broker's address is no URL: {0}")]
    Syntax(#[from] url::ParseError),
    #[error("the broker's address begins with mqtt:// or mqtts://, not {0}://")]
    Scheme(String),
    #[error("the broker's address names no host")]
    NoHost,
    #[error("the broker's address ends behind the port, this one goes on with `{0}`")]
    Path(String),
    #[error("the user or password in the broker's address is no UTF-8")]
    NotUtf8,
}

impl BrokerAddress {
    /// Reads a URL. The port is 1883, with TLS 8883, unless it is given.
    ///
    /// # Errors
    /// The error.
    pub fn parse(text: &str) -> Result<Self, BadAddress> {
        let url = Url::parse(text)?;
        let (tls, default_port) = match url.scheme() {
            "mqtt" => (false, 1883),
            "mqtts" => (true, 8883),
            other => return Err(BadAddress::Scheme(other.to_owned())),
        };
        if !matches!(url.path(), "" | "/") {
            return Err(BadAddress::Path(url.path().to_owned()));
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(BadAddress::NoHost)?.to_owned();
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => Some((decoded(user)?, decoded(password.unwrap_or_default())?)),
        };
        Ok(Self { host, port: url.port().unwrap_or(default_port), tls, credentials })
    }
}

fn decoded(text: &str) -> Result<String, BadAddress> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| BadAddress::NotUtf8)?;
    Ok(text.into_owned())
}

/// Without user and password: the form in logs and health.
impl fmt::Display for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl fmt::Debug for BrokerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BrokerAddress({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let shown = match BrokerAddress::parse(text) {
            Ok(address) => match &address.credentials {
                Some((user, password)) => format!("{address} {user} {password}"),
                None => address.to_string(),
            },
            Err(error) => error.to_string(),
        };
        assert_eq!(shown, expected, "{text}");
    }

    #[test]
    fn reads_urls() {
        check("mqtt://localhost", "mqtt://localhost:1883");
        check("mqtts://broker.example.org/", "mqtts://broker.example.org:8883");
        check("mqtt://ann:s%40crt@10.0.0.1:1884", "mqtt://10.0.0.1:1884 ann s@crt");
        check("mqtt://ann@host", "mqtt://host:1883 ann ");
        check("mqtt://[::1]:1885", "mqtt://[::1]:1885");
    }

    #[test]
    fn says_what_is_wrong() {
        check("http://host", "the broker's address begins with mqtt:// or mqtts://, not http://");
        check("localhost", "the broker's address is no URL: relative URL without a base");
        check("mqtt://", "the broker's address names no host");
        check(
            "mqtt://host/topic",
            "the broker's address ends behind the port, this one goes on with `/topic`",
        );
        check("mqtt://a:%ff@host", "the user or password in the broker's address is no UTF-8");
    }

    #[test]
    fn shows_no_password() {
        let address = BrokerAddress::parse("mqtt://ann:secret@host").unwrap();
        assert!(!format!("{address} {address:?}").contains("secret"));
    }
}
