//! The query of a request, `EIO=4&transport=polling&sid=…`, and the refusals that clients know.

/// The transport of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EngineTransport {
    Polling,
    WebSocket,
}

/// The query of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineQuery {
    pub transport: EngineTransport,
    /// The session; none where the request begins one.
    pub sid: Option<String>,
}

/// The reason why a request is refused, in the words that clients of the originals know.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineRefusal {
    #[error("The client is using an unsupported version of the Socket.IO or Engine.IO protocols")]
    Version,
    /// None such, or another than the session's.
    #[error("Invalid transport")]
    Transport,
    #[error("Invalid session {0}")]
    Session(String),
    /// A WebSocket is asked for by a request that opens none.
    #[error("Invalid websocket upgrade")]
    Upgrade,
    #[error("Not an accepted origin.")]
    Origin,
    /// The body is no payload.
    #[error("Bad Request")]
    Payload,
    #[error("Bad Request: a payload has {limit} bytes at most")]
    TooLarge { limit: usize },
}

/// A session's name is shown up to this length.
const SHOWN: usize = 64;

impl EngineQuery {
    /// Reads the pairs of a query. The version counts where a session begins.
    ///
    /// # Errors
    /// The transport is none, or the version another.
    pub fn of<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, EngineRefusal> {
        let (mut transport, mut sid, mut versions) = (None, None, Vec::new());
        for (name, value) in pairs {
            match name {
                "transport" => transport = transport.or(Some(value)),
                "sid" if !value.is_empty() => sid = sid.or(Some(value)),
                "EIO" => versions.push(value),
                _ => {}
            }
        }
        let transport = match transport.unwrap_or("polling") {
            "polling" => EngineTransport::Polling,
            "websocket" => EngineTransport::WebSocket,
            _ => return Err(EngineRefusal::Transport),
        };
        if sid.is_none() && versions != ["4"] {
            return Err(EngineRefusal::Version);
        }
        Ok(Self { transport, sid: sid.map(str::to_owned) })
    }
}

impl EngineRefusal {
    /// The refusal of a session that is not there; none where the request names none.
    #[must_use]
    pub fn session(sid: Option<&str>) -> Self {
        Self::Session(sid.unwrap_or("None").chars().take(SHOWN).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(query: &str, expected: Result<(EngineTransport, Option<&str>), &str>) {
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let found = EngineQuery::of(pairs).map_err(|refusal| refusal.to_string());
        let expected = expected
            .map(|(transport, sid)| EngineQuery { transport, sid: sid.map(str::to_owned) })
            .map_err(str::to_owned);
        assert_eq!(found, expected, "{query}");
    }

    #[test]
    fn queries_name_version_transport_and_session() {
        use EngineTransport::{Polling, WebSocket};
        const VERSION: &str =
            "The client is using an unsupported version of the Socket.IO or Engine.IO protocols";
        check("EIO=4&transport=polling", Ok((Polling, None)));
        check("EIO=4&transport=polling&t=abc&b64=1", Ok((Polling, None)));
        check("EIO=4&transport=websocket", Ok((WebSocket, None)));
        check("EIO=4", Ok((Polling, None)));
        check("EIO=4&transport=polling&sid=x", Ok((Polling, Some("x"))));
        check("transport=websocket&sid=x", Ok((WebSocket, Some("x"))));
        check("EIO=4&transport=polling&sid=", Ok((Polling, None)));
        for version in ["EIO=3", "EIO=5", "EIO=abc", "EIO=", "EIO=4&EIO=4", "a=b"] {
            check(&format!("{version}&transport=polling"), Err(VERSION));
        }
        for transport in ["abc", "", "Polling", "flashsocket"] {
            check(&format!("EIO=4&transport={transport}"), Err("Invalid transport"));
            check(&format!("EIO=3&transport={transport}"), Err("Invalid transport"));
        }
    }

    #[test]
    fn unknown_sessions_are_named_in_part() {
        assert_eq!(EngineRefusal::session(Some("x")).to_string(), "Invalid session x");
        assert_eq!(EngineRefusal::session(None).to_string(), "Invalid session None");
        assert_eq!(EngineRefusal::session(Some(&"ä".repeat(99))).to_string().chars().count(), 16 + SHOWN);
    }
}
