//! Where everything is stored.

use std::fmt;
use std::path::PathBuf;

/// The place of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A SQLite file of this name.
    File(PathBuf),
    /// The database of this URL.
    Url(String),
}

impl Database {
    /// As the store takes it.
    #[must_use]
    pub fn url(&self) -> String {
        match self {
            Self::File(path) => {
                let path = path.display().to_string().replace('%', "%25").replace('?', "%3F");
                format!("sqlite://{path}?mode=rwc")
            }
            Self::Url(url) => url.clone(),
        }
    }

    /// The file that it is, where it is SQLite's and not in memory.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        let url = match self {
            Self::File(path) => return Some(path.clone()),
            Self::Url(url) => url,
        };
        let place = url.strip_prefix("sqlite:")?;
        let place = place.strip_prefix("//").unwrap_or(place);
        let (path, parameters) = place.split_once('?').unwrap_or((place, ""));
        if matches!(path, "" | ":memory:")
            || parameters.split('&').any(|parameter| parameter == "mode=memory")
        {
            return None;
        }
        let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
        Some(PathBuf::from(&*path))
    }
}

/// Without the password.
impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Url(url) => match (url.split_once("://"), url.rsplit_once('@')) {
                (Some((scheme, _)), Some((_, place))) => write!(f, "{scheme}://{place}"),
                _ => f.write_str(url),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_a_url_is_found() {
        for (url, file) in [
            ("sqlite:a.db", Some("a.db")),
            ("sqlite:/x/a.db?mode=rwc", Some("/x/a.db")),
            ("sqlite:///50%25%20off/a.db?mode=rw", Some("/50% off/a.db")),
            ("postgres://h/twinhub", None),
            ("sqlite::memory:", None),
            ("sqlite://:memory:", None),
            ("sqlite:", None),
            ("sqlite://twins?cache=shared&mode=memory", None),
        ] {
            assert_eq!(Database::Url(url.into()).file(), file.map(PathBuf::from), "{url}");
        }
    }
}
