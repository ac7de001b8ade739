//! The key for the command line on this machine: a secret in the data folder, which its owner alone can read. It is made
//! at each start, and counts until the end of the hub, from this machine alone.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use twinhub_domain::text::hex;
use url::{Host, Url};

use super::{public_address, scheme};

const NAME: &str = "local.key";
/// Tells it from keys of users.
const PREFIX: &str = "twh_local_";
const BYTES: usize = 32;

/// The key as the hub knows it.
#[derive(Clone, Debug)]
pub struct LocalKey {
    hash: [u8; 32],
    /// Where the hub listens.
    http: SocketAddr,
}

/// The file with the key, until this is dropped.
#[derive(Debug)]
pub struct LocalKeyFile {
    path: PathBuf,
}

/// The key as the command line reads it. It has no `Debug`: it is secret.
pub struct KeyOfHub {
    pub token: String,
    /// Where the hub serves HTTP.
    http: SocketAddr,
    over_tls: bool,
}

impl LocalKey {
    /// Makes a key and writes it into the data folder, with the address of the hub.
    ///
    /// # Errors
    /// There are no random numbers, or the file cannot be written.
    pub fn make(data_dir: &Path, http: SocketAddr, over_tls: bool) -> io::Result<(Self, LocalKeyFile)> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(io::Error::other)?;
        let token = format!("{PREFIX}{}", hex(&bytes));
        let path = data_dir.join(NAME);
        // Another name first: whoever reads finds it whole, and an old file may have other modes.
        let fresh = path.with_extension("key.new");
        let _ = fs::remove_file(&fresh); // there is none but after a crash
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        writeln!(file, "{token}\n{}://{http}", scheme(over_tls))?;
        fs::rename(&fresh, &path)?;
        Ok((Self { hash: Sha256::digest(&token).into(), http }, LocalKeyFile { path }))
    }

    /// Is this the key, and does it come from this machine? Nobody else has the address of a listener.
    #[must_use]
    pub fn is(&self, token: &str, from: IpAddr) -> bool {
        let is_from_here = from.is_loopback() || from == self.http.ip();
        is_from_here
            && token.starts_with(PREFIX)
            && bool::from(Sha256::digest(token).as_slice().ct_eq(&self.hash[..]))
    }
}

impl KeyOfHub {
    /// The key of the hub that runs on this data folder; none where none does, or where this user may not read it.
    #[must_use]
    pub fn read(data_dir: &Path) -> Option<Self> {
        let text = fs::read_to_string(data_dir.join(NAME)).ok()?;
        let (token, url) = text.trim().split_once('\n')?;
        let (scheme, http) = url.trim().split_once("://")?;
        Some(Self { token: token.to_owned(), http: http.parse().ok()?, over_tls: scheme == "https" })
    }

    /// The address of that hub for this machine: `http://127.0.0.1:8080`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}", scheme(self.over_tls), public_address(self.http))
    }

    /// The address on which that hub listens, and whether it is served over TLS there.
    #[must_use]
    pub fn listener(&self) -> (SocketAddr, bool) {
        (self.http, self.over_tls)
    }

    /// Is that hub served over TLS?
    #[must_use]
    pub fn is_over_tls(&self) -> bool {
        self.over_tls
    }

    /// Does `url` lead to that hub, over this machine alone? The key is for nobody else.
    #[must_use]
    pub fn is_for(&self, url: &str) -> bool {
        let Ok(url) = Url::parse(url) else { return false };
        let ip = match url.host() {
            Some(Host::Domain("localhost")) => Ipv4Addr::LOCALHOST.into(),
            Some(Host::Ipv4(ip)) => IpAddr::V4(ip),
            Some(Host::Ipv6(ip)) => IpAddr::V6(ip),
            Some(Host::Domain(_)) | None => return false,
        };
        url.port_or_known_default() == Some(self.http.port()) && (ip.is_loopback() || ip == self.http.ip())
    }
}

impl Drop for LocalKeyFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path); // one that stays opens nothing: the next hub makes another
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_key_is_its_owners_alone_and_another_at_each_start() {
        let dir = tempfile::tempdir().unwrap();
        let http = "127.0.0.1:8080".parse().unwrap();
        let path = dir.path().join(NAME);
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(KeyOfHub::read(dir.path()).is_none(), "what a crash left is no key");

        let (key, file) = LocalKey::make(dir.path(), http, false).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let read = KeyOfHub::read(dir.path()).unwrap();
        assert_eq!(read.url(), "http://127.0.0.1:8080");
        let here = "127.0.0.1".parse().unwrap();
        assert!(key.is(&read.token, here) && !key.is("", here) && !key.is(PREFIX, here));
        assert!(!key.is(&read.token, "192.168.1.5".parse().unwrap()), "from elsewhere it is none");
        drop(file);
        assert!(!path.exists());

        let (other, _file) = LocalKey::make(dir.path(), http, true).unwrap();
        assert_eq!(KeyOfHub::read(dir.path()).unwrap().url(), "https://127.0.0.1:8080");
        assert!(!other.is(&read.token, here));
        assert!(!format!("{other:?}").contains(&KeyOfHub::read(dir.path()).unwrap().token));
    }

    #[test]
    fn a_key_goes_to_its_own_hub_alone() {
        let check = |http: &str, url: &str, expected: bool| {
            let key = KeyOfHub { token: "t".into(), http: http.parse().unwrap(), over_tls: false };
            assert_eq!(key.is_for(url), expected, "{http} {url}");
        };
        check("127.0.0.1:8080", "http://127.0.0.1:8080", true);
        check("127.0.0.1:8080", "http://localhost:8080/", true);
        check("0.0.0.0:80", "http://[::1]", true);
        check("192.168.1.5:8080", "http://192.168.1.5:8080", true);
        check("0.0.0.0:8080", "http://192.168.1.5:8080", false);
        check("127.0.0.1:8080", "http://127.0.0.1:9090", false);
        check("127.0.0.1:8080", "http://evil.example:8080", false);
        check("127.0.0.1:8080", "here", false);
        let everywhere = KeyOfHub { token: "t".into(), http: "[::]:8080".parse().unwrap(), over_tls: false };
        assert_eq!(everywhere.url(), "http://[::1]:8080");
    }
}
