//! Passwords: the policy for new ones, and how they are kept.

mod hash;
mod policy;

use std::fmt;

use twinhub_domain::text::composed;

pub use hash::{BadHash, PasswordHash, SALT_BYTES, spend_time};
pub use policy::{About, BadPassword, PasswordPolicy};

/// A password as it was typed, in its composed form: keyboards send `ü` in two ways.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Box<str>);

/// The most characters of a password.
const MOST: usize = 256;

impl Password {
    /// Takes what was typed, good or bad: a [`PasswordPolicy`] judges new passwords alone.
    ///
    /// # Errors
    /// It is longer than any password may be.
    pub fn typed(text: &str) -> Result<Self, BadPassword> {
        let text = composed(text);
        match text.chars().count() {
            found if found > MOST => Err(BadPassword::TooLong { most: MOST }),
            _ => Ok(Self(text.into())),
        }
    }

    fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_one_however_it_is_typed_and_is_never_shown() {
        let typed = |text: &str| Password::typed(text).unwrap();
        assert_eq!(typed("bu\u{308}ro"), typed("büro"));
        assert_ne!(typed(" x"), typed("x"), "spaces count");
        assert_eq!(format!("{:?}", typed("s3cret")), "Password");
        assert!(Password::typed(&"ü".repeat(256)).is_ok());
        assert_eq!(Password::typed(&"ü".repeat(257)), Err(BadPassword::TooLong { most: 256 }));
    }
}
