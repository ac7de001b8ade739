//! Sessions of people who have signed in.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use twinhub_domain::Timestamp;
use twinhub_domain::text::hex;
use uuid::Uuid;

use crate::digest::{Hash, sha256};
use crate::jwt;
use crate::role::Role;
use crate::user::UserId;

/// The bytes of a session's token.
pub const TOKEN_BYTES: usize = 32;

/// A session's secret, as it is in the cookie: 64 hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionToken([u8; TOKEN_BYTES]);

/// The id of a session in lists and in the `sid` of JSON web tokens. It opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SessionId(pub Uuid);

/// The way in which a session is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SessionKind {
    /// In a browser's cookie.
    #[default]
    Cookie,
    /// By JSON web tokens.
    WebTokens,
}

/// A session.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    pub id: SessionId,
    /// The SHA-256 of its token.
    pub hash: Hash,
    pub user: UserId,
    pub kind: SessionKind,
    pub created_at: Timestamp,
    /// The last request in it, to the minute.
    pub last_seen: Timestamp,
    pub address: IpAddr,
    /// The browser, as it calls itself.
    pub agent: Box<str>,
}

/// The lives of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lives {
    /// The longest pause, in ms.
    pub idle_ms: i64,
    /// The longest life, in ms.
    pub absolute_ms: i64,
}

const MINUTE_MS: i64 = 60 * 1_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Longer names of browsers are cut.
const LONGEST_AGENT: usize = 256;

impl SessionToken {
    /// A token of random bytes.
    #[must_use]
    pub fn new(random: [u8; TOKEN_BYTES]) -> Self {
        Self(random)
    }

    /// Takes a text as a token; none where it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != TOKEN_BYTES * 2 {
            return None;
        }
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        let mut bytes = [0; TOKEN_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks(2)) {
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// The text for the cookie. It goes into no log and no store.
    #[must_use]
    pub fn reveal(&self) -> String {
        hex(&self.0)
    }

    /// The hash by which the session is looked up. So the time of a look-up says nothing about a token.
    #[must_use]
    pub fn hash(&self) -> Hash {
        sha256(&self.0)
    }
}

impl fmt::Debug for SessionToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionToken")
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Lives {
    /// The lives of a session of `role`. Over TLS the hub is meant for a network, and its admins are asked more often.
    /// One that is shown by JSON web tokens outlasts each of them.
    #[must_use]
    pub fn of(role: Role, over_tls: bool, kind: SessionKind) -> Self {
        let lives = match role {
            Role::Admin if over_tls => Self { idle_ms: HOUR_MS, absolute_ms: 24 * HOUR_MS },
            _ => Self { idle_ms: 8 * HOUR_MS, absolute_ms: 30 * 24 * HOUR_MS },
        };
        match kind {
            SessionKind::Cookie => lives,
            // The last request is known to the minute.
            SessionKind::WebTokens => Self { idle_ms: jwt::LIFE_MS + MINUTE_MS, ..lives },
        }
    }
}

impl Session {
    /// A session that begins.
    #[must_use]
    pub fn begin(
        id: SessionId,
        token: &SessionToken,
        user: UserId,
        (address, agent): (IpAddr, &str),
        now: Timestamp,
    ) -> Self {
        let agent: String = agent.chars().filter(|c| !c.is_control()).take(LONGEST_AGENT).collect();
        let (hash, kind, agent) = (token.hash(), SessionKind::default(), agent.into());
        Self { id, hash, user, kind, created_at: now, last_seen: now, address, agent }
    }

    /// The moment at which it ends if nothing is heard in it any more.
    #[must_use]
    pub fn ends_at(&self, lives: Lives) -> Timestamp {
        let idle = self.last_seen.plus_millis(lives.idle_ms);
        idle.min(self.created_at.plus_millis(lives.absolute_ms))
    }

    /// Is it alive at `now`? A clock that was set back ends none.
    #[must_use]
    pub fn is_alive(&self, lives: Lives, now: Timestamp) -> bool {
        now < self.ends_at(lives)
    }

    /// Sets the session's times right where they are ahead of `now` by more than clocks are read apart: it was begun, or
    /// seen, by a clock that ran ahead and was set back since. Its life begins anew then; else it would outlive all
    /// others by as much. True where it was changed.
    pub fn set_right(&mut self, now: Timestamp) -> bool {
        let is_ahead = self.is_ahead(now);
        if is_ahead {
            self.created_at = self.created_at.min(now);
            self.last_seen = self.last_seen.min(now);
        }
        is_ahead
    }

    /// Would [`Self::set_right`] change it?
    #[must_use]
    pub fn is_ahead(&self, now: Timestamp) -> bool {
        self.created_at.max(self.last_seen) > now.plus_millis(MINUTE_MS)
    }

    /// Is a request at `now` to be written down? Once a minute is enough.
    #[must_use]
    pub fn is_seen_due(&self, now: Timestamp) -> bool {
        now >= self.last_seen.plus_millis(MINUTE_MS)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;

    use super::*;

    const NOON: i64 = 1_767_268_800_000;

    fn session() -> Session {
        let token = SessionToken::new([7; TOKEN_BYTES]);
        let from = (IpAddr::V4(Ipv4Addr::LOCALHOST), "curl\n/8");
        let (id, user) = (SessionId(Uuid::from_u128(1)), UserId(Uuid::from_u128(2)));
        Session::begin(id, &token, user, from, Timestamp::from_millis(NOON))
    }

    #[test]
    fn a_session_ends_when_it_is_idle_and_when_it_is_old() {
        const DAY_MS: i64 = 24 * HOUR_MS;
        const COOKIE: SessionKind = SessionKind::Cookie;
        for (role, over_tls, kind, idle_ms, absolute_ms) in [
            (Role::Viewer, true, COOKIE, 8 * HOUR_MS, 30 * DAY_MS),
            (Role::Operator, true, COOKIE, 8 * HOUR_MS, 30 * DAY_MS),
            (Role::Admin, false, COOKIE, 8 * HOUR_MS, 30 * DAY_MS),
            (Role::Admin, true, COOKIE, HOUR_MS, DAY_MS),
            (Role::Viewer, true, SessionKind::WebTokens, DAY_MS + MINUTE_MS, 30 * DAY_MS),
            (Role::Admin, false, SessionKind::WebTokens, DAY_MS + MINUTE_MS, 30 * DAY_MS),
        ] {
            let lives = Lives::of(role, over_tls, kind);
            let mut session = session();
            let alive =
                |session: &Session, after| session.is_alive(lives, Timestamp::from_millis(NOON + after));
            assert!(alive(&session, 0) && alive(&session, idle_ms - 1) && !alive(&session, idle_ms));
            assert!(alive(&session, -DAY_MS), "the clock was set back");
            session.last_seen = Timestamp::from_millis(NOON + absolute_ms - 1);
            assert!(alive(&session, absolute_ms - 1) && !alive(&session, absolute_ms), "{role} {over_tls}");
        }
    }

    #[test]
    fn a_session_of_a_clock_that_was_ahead_lives_no_longer_than_others() {
        const YEAR_MS: i64 = 365 * 24 * HOUR_MS;
        let at = |after| Timestamp::from_millis(NOON + after);
        let mut ahead = Session { created_at: at(YEAR_MS), last_seen: at(YEAR_MS), ..session() };
        assert!(!ahead.set_right(at(YEAR_MS - MINUTE_MS)), "clocks are read apart");
        assert!(ahead.set_right(at(0)) && !ahead.set_right(at(0)));
        let lives = Lives::of(Role::Viewer, false, SessionKind::Cookie);
        assert!(ahead.is_alive(lives, at(lives.idle_ms - 1)) && !ahead.is_alive(lives, at(lives.idle_ms)));
        let mut seen = Session { last_seen: at(YEAR_MS), ..session() };
        assert!(seen.set_right(at(5 * HOUR_MS)));
        assert_eq!((seen.created_at, seen.last_seen), (at(0), at(5 * HOUR_MS)));
    }

    #[test]
    fn a_session_is_written_once_a_minute() {
        let at = |after| Timestamp::from_millis(NOON + after);
        assert!(!session().is_seen_due(at(59_999)) && session().is_seen_due(at(60_000)));
        assert_eq!(&*session().agent, "curl/8");
    }

    #[test]
    fn a_token_is_read_as_it_was_written_and_never_shown() {
        let token = SessionToken::new([0xa7; TOKEN_BYTES]);
        assert_eq!(SessionToken::parse(&token.reveal()), Some(token.clone()));
        assert_eq!(format!("{token:?}"), "SessionToken");
        assert_ne!(hex(&token.hash()), token.reveal());
        let text = token.reveal();
        for wrong in [
            "",
            &text[1..],
            &text.to_uppercase(),
            &format!("{text}00"),
            &text.replace('a', "g"),
            &"ü".repeat(32),
        ] {
            assert_eq!(SessionToken::parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn tokens_differ_as_their_bytes_do(one: [u8; TOKEN_BYTES], other: [u8; TOKEN_BYTES]) {
            let (one, other) = (SessionToken::new(one), SessionToken::new(other));
            prop_assert_eq!(one.hash() == other.hash(), one == other);
            prop_assert_eq!(SessionToken::parse(&one.reveal()), Some(one));
        }

        #[test]
        fn no_text_breaks_the_parser(text in "\\PC{0,70}") {
            prop_assert!(SessionToken::parse(&text).is_none_or(|token| token.reveal() == text));
        }
    }
}
