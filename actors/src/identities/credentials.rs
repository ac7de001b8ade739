//! The credentials of a CONNECT, as they were written.

use twinhub_access::SecretKind;
use twinhub_domain::DeviceId;

/// The longest password that is looked at, in bytes: no token or key is longer.
const LONGEST_PASSWORD: usize = 256;

/// Keys by which a client comes under any user name.
const KEYS: [SecretKind; 4] =
    [SecretKind::Personal, SecretKind::Service, SecretKind::Provisioning, SecretKind::Bridge];

/// The credentials of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// It gave no password. A user name alone proves nothing.
    None,
    /// The key of a person or a service account, or one of [`KEYS`] otherwise, under any user name.
    Key(&'a str),
    /// The token of a device.
    Device { id: DeviceId, token: &'a str },
    /// A user name and a password that nobody can have.
    Unreadable,
}

impl<'a> Credentials<'a> {
    /// Reads a user name and a password.
    #[must_use]
    pub fn read(username: Option<&'a str>, password: Option<&'a [u8]>) -> Self {
        let Some(password) = password else { return Self::None };
        let text = Some(password).filter(|password| (1..=LONGEST_PASSWORD).contains(&password.len()));
        let Some(text) = text.and_then(|password| std::str::from_utf8(password).ok()) else {
            return Self::Unreadable;
        };
        if KEYS.iter().any(|kind| text.starts_with(kind.prefix())) {
            return Self::Key(text);
        }
        match username.map(DeviceId::parse) {
            Some(Ok(id)) => Self::Device { id, token: text },
            _ => Self::Unreadable,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn credentials_are_read() {
        let device = |id, token| Credentials::Device { id: DeviceId::parse(id).unwrap(), token };
        let long = "x".repeat(LONGEST_PASSWORD + 1);
        for (username, password, expected) in [
            (None, None, Credentials::None),
            (Some("pump-1"), None, Credentials::None),
            (Some("pump-1"), Some("secret"), device("pump-1", "secret")),
            (Some("pump-1"), Some("twh_dev_x"), device("pump-1", "twh_dev_x")),
            (Some("user"), Some("twh_pat_x"), Credentials::Key("twh_pat_x")),
            (None, Some("twh_svc_x"), Credentials::Key("twh_svc_x")),
            (Some("pump-1"), Some("twh_dvp_x"), Credentials::Key("twh_dvp_x")),
            (Some("bridge@z"), Some("twh_brg_x"), Credentials::Key("twh_brg_x")),
            (None, Some("secret"), Credentials::Unreadable),
            (Some(""), Some("secret"), Credentials::Unreadable),
            (Some("no device"), Some("secret"), Credentials::Unreadable),
            (Some("pump-1"), Some(""), Credentials::Unreadable),
            (Some("pump-1"), Some(&long[1..]), device("pump-1", &long[1..])),
            (Some("pump-1"), Some(&long), Credentials::Unreadable),
        ] {
            assert_eq!(Credentials::read(username, password.map(str::as_bytes)), expected);
        }
        assert_eq!(Credentials::read(Some("pump-1"), Some(&[0xff, 0xfe])), Credentials::Unreadable);
    }

    proptest! {
        /// No words make a client nobody by giving a password, and nothing is read that was not written.
        #[test]
        fn a_password_is_never_overlooked(
            username in proptest::option::of(".{0,140}"),
            password in proptest::option::of(prop_oneof![
                prop::collection::vec(any::<u8>(), 0..300),
                "(twh_(pat|svc|dev|dvp|brg)_)?.{0,70}".prop_map(String::into_bytes),
            ]),
        ) {
            let read = Credentials::read(username.as_deref(), password.as_deref());
            prop_assert_eq!(read == Credentials::None, password.is_none());
            match read {
                Credentials::Key(text) => prop_assert_eq!(Some(text.as_bytes()), password.as_deref()),
                Credentials::Device { id, token } => {
                    prop_assert_eq!(Some(id.as_str()), username.as_deref());
                    prop_assert_eq!(Some(token.as_bytes()), password.as_deref());
                }
                Credentials::None | Credentials::Unreadable => {}
            }
        }
    }
}
