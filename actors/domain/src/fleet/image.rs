//! Firmware images that devices can be brought to.

use serde::{Deserialize, Serialize};

use super::version::Version;
use crate::clock::Timestamp;
use crate::json::{Json, Object};

/// An image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Image {
    pub id: Box<str>,
    pub version: Box<str>,
    /// The models that it is for, as devices report theirs; a `*` matches anything.
    pub models: Vec<Box<str>>,
    /// The address of its bytes; empty where the hub has them.
    #[serde(default)]
    pub url: Box<str>,
    /// 64 hexadecimal digits, lower case.
    pub sha256: Box<str>,
    /// Bytes.
    pub size: u64,
    #[serde(default)]
    pub notes: Box<str>,
    pub created_at: Timestamp,
    /// The hub has its bytes.
    #[serde(default)]
    pub file: bool,
}

/// The reason why a device does not get an image.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageMismatch {
    #[error("the device reports no model, and the image is for {0}")]
    NoModel(String),
    #[error("its model is `{model}`, and the image is for {models}")]
    Model { model: String, models: String },
    #[error("the device reports no version, so it is unknown whether {0} is newer")]
    NoVersion(Box<str>),
    #[error("its version `{version}` cannot be compared to {wanted}")]
    BadVersion { version: String, wanted: Box<str> },
    #[error("it runs {0} already")]
    Same(String),
    #[error("it runs {version}, which is newer than {wanted}")]
    Newer { version: String, wanted: Box<str> },
}

impl Image {
    /// May a device of this `model` that runs `version` be brought to it? Only up, unless `down` is set.
    ///
    /// # Errors
    /// The reason against it.
    pub fn fits(&self, model: &str, version: &str, down: bool) -> Result<(), ImageMismatch> {
        is_for(&self.models, model)?;
        is_up(&self.version, version, down)
    }

    /// Is it for devices of this model?
    #[must_use]
    pub fn is_for(&self, model: &str) -> bool {
        is_for(&self.models, model).is_ok()
    }

    /// Is it impossible to tell which of the two a device has?
    #[must_use]
    pub fn is_like(&self, other: &Self) -> bool {
        let shares_one = self.models.iter().any(|model| other.models.contains(model));
        shares_one && Version::is_same(&self.version, &other.version)
    }

    /// Reads the form of [`Image::to_object`].
    ///
    /// # Errors
    /// The missing or wrong field.
    pub fn parse(object: &Object) -> Result<Self, serde_json::Error> {
        serde_json::from_str(&Json::Object(object.clone()).to_string())
    }

    /// As it is kept.
    #[must_use]
    pub fn to_object(&self) -> Object {
        // Texts and a number: nothing in it cannot be written.
        let text = serde_json::to_string(self).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    }
}

/// Is an image for these models also for a device of this one?
///
/// # Errors
/// The reason against it.
pub fn is_for(models: &[Box<str>], model: &str) -> Result<(), ImageMismatch> {
    if models.iter().any(|pattern| is_like(pattern, model)) {
        return Ok(());
    }
    let models = models.join(", ");
    Err(match model {
        "" => ImageMismatch::NoModel(models),
        model => ImageMismatch::Model { model: model.into(), models },
    })
}

/// May a device that runs `version` be brought to `wanted`? Only up, unless `down` is set.
///
/// # Errors
/// The reason against it.
pub fn is_up(wanted: &str, version: &str, down: bool) -> Result<(), ImageMismatch> {
    if Version::is_same(version, wanted) {
        return Err(ImageMismatch::Same(version.into()));
    }
    if down {
        return Ok(());
    }
    match (Version::parse(version), Version::parse(wanted)) {
        (Some(runs), Some(wanted)) if runs < wanted => Ok(()),
        (Some(_), Some(_)) => Err(ImageMismatch::Newer { version: version.into(), wanted: wanted.into() }),
        _ if version.is_empty() => Err(ImageMismatch::NoVersion(wanted.into())),
        _ => Err(ImageMismatch::BadVersion { version: version.into(), wanted: wanted.into() }),
    }
}

/// Matches a pattern; `*` matches anything, also nothing at all.
fn is_like(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default(); // there always is one
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(version: &str, models: &[&str]) -> Image {
        Image {
            id: "i".into(),
            version: version.into(),
            models: models.iter().map(|model| (*model).into()).collect(),
            url: "https://h/f".into(),
            sha256: "00".into(),
            size: 7,
            notes: "".into(),
            created_at: Timestamp::from_millis(0),
            file: false,
        }
    }

    #[test]
    fn only_the_right_models_and_only_up() {
        let check = |model: &str, version: &str, down: bool, expected: &str| {
            let fits = image("2.0.0", &["P1", "P2"]).fits(model, version, down);
            let told = fits.map_or_else(|unfit| unfit.to_string(), |()| "fits".into());
            assert_eq!(told, expected, "{model} {version} {down}");
        };
        check("P1", "1.9.9", false, "fits");
        check("P2", "v2.0.0-rc.1", false, "fits");
        check("P1", "2.0", false, "it runs 2.0 already");
        check("P1", "2.0", true, "it runs 2.0 already");
        check("P1", "2.0.1", false, "it runs 2.0.1, which is newer than 2.0.0");
        check("P1", "2.0.1", true, "fits");
        check("P1", "", false, "the device reports no version, so it is unknown whether 2.0.0 is newer");
        check("P1", "", true, "fits");
        check("P1", "spring", false, "its version `spring` cannot be compared to 2.0.0");
        check("P1", "spring", true, "fits");
        check("", "1.0", true, "the device reports no model, and the image is for P1, P2");
        check("P3", "1.0", false, "its model is `P3`, and the image is for P1, P2");
        check("p1", "1.0", false, "its model is `p1`, and the image is for P1, P2");
    }

    #[test]
    fn a_star_stands_for_anything() {
        let check = |pattern: &str, text: &str, expected: bool| {
            assert_eq!(is_like(pattern, text), expected, "{pattern} {text}");
        };
        for (pattern, text) in [
            ("*", ""),
            ("*", "x"),
            ("P*", "P"),
            ("P*", "P1"),
            ("*1", "P1"),
            ("P*1", "P11"),
            ("a*b*c", "aXbYc"),
            ("", ""),
            ("a**b", "ab"),
        ] {
            check(pattern, text, true);
        }
        for (pattern, text) in [
            ("P", "P1"),
            ("P", ""),
            ("P*", "Q1"),
            ("a*b*c", "acb"),
            ("ab*ba", "aba"),
            ("*1", "P12"),
            ("", "x"),
        ] {
            check(pattern, text, false);
        }
    }

    #[test]
    fn an_image_is_read_as_it_was_kept_and_known_by_version_and_model() {
        let one = image("2.0.0", &["P1", "P2"]);
        assert_eq!(Image::parse(&one.to_object()).unwrap(), one);
        assert!(Image::parse(&Object::default()).is_err());
        assert!(one.is_like(&image("v2", &["P2"])));
        assert!(!one.is_like(&image("2.0.1", &["P2"])));
        assert!(!one.is_like(&image("2.0.0", &["P3"])));
    }
}
