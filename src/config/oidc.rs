//! Single sign-on: the provider, and the rights that its groups have here.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use twinhub_access::{Role, Scope};
use twinhub_domain::fleet::GroupId;
use url::Url;

use super::{ConfigError, Options};

/// A group of the provider's and its rights here: `hub-admins=admin`, `plant=operator@hall-1+hall-2`, `*=viewer`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct OidcGroup {
    /// None: everybody whom the provider knows.
    group: Option<Box<str>>,
    rights: GroupRights,
}

/// The rights of a group's people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupRights {
    pub role: Role,
    pub scope: Scope,
}

/// The provider of single sign-on.
#[derive(Clone, PartialEq, Eq)]
pub struct OidcConfig {
    pub issuer: String,
    pub client_id: String,
    /// The secret, where it was given as an option itself.
    pub(super) client_secret: Option<String>,
    pub(super) client_secret_file: Option<PathBuf>,
    /// The secret in that file.
    filed_secret: Option<String>,
    pub scopes: Vec<String>,
    pub groups_claim: String,
    pub groups: Vec<OidcGroup>,
    /// The provider's name on the sign-in page.
    pub name: String,
}

/// The scopes that are asked for where none are named.
const SCOPES: [&str; 3] = ["openid", "profile", "email"];
const GROUPS_CLAIM: &str = "groups";
const NAME: &str = "single sign-on";
const EVERYBODY: &str = "*";

impl OidcConfig {
    /// The provider that was given on the command line and in the environment, or stands in the file; none, where no
    /// issuer is named.
    ///
    /// # Errors
    /// A part is missing, two say the same thing, or the file with the secret cannot be read.
    pub(super) fn combine(given: &Options, file: &Options) -> Result<Option<Self>, ConfigError> {
        macro_rules! either {
            ($field:ident) => {
                given.$field.clone().or_else(|| file.$field.clone())
            };
        }
        let Some(issuer) = either!(oidc_issuer) else { return Ok(None) };
        let wrong = |what: &str| Err(ConfigError::Oidc(what.into()));
        check_issuer(&issuer)?;
        let Some(client_id) = either!(oidc_client_id) else {
            return wrong("--oidc-issuer takes --oidc-client-id, the name of this hub at the provider");
        };
        let groups = either!(oidc_roles).unwrap_or_default();
        if groups.is_empty() {
            return wrong(
                "--oidc-issuer takes --oidc-roles, such as hub-admins=admin: without it nobody may sign in",
            );
        }
        let (client_secret, client_secret_file) =
            (either!(oidc_client_secret), either!(oidc_client_secret_file));
        let filed_secret = match &client_secret_file {
            Some(path) if client_secret.is_none() => Some(read_secret(path)?),
            _ => None,
        };
        Ok(Some(Self {
            issuer,
            client_id,
            client_secret,
            client_secret_file,
            filed_secret,
            scopes: either!(oidc_scopes).unwrap_or_else(|| SCOPES.map(str::to_owned).to_vec()),
            groups_claim: either!(oidc_groups_claim).unwrap_or_else(|| GROUPS_CLAIM.into()),
            groups,
            name: either!(oidc_name).unwrap_or_else(|| NAME.into()),
        }))
    }

    /// The hub's secret at the provider; one that is given counts rather than one in a file. None: a public client.
    #[must_use]
    pub fn secret(&self) -> Option<&str> {
        self.client_secret.as_deref().or(self.filed_secret.as_deref())
    }

    /// The rights of somebody in these groups: those of the first line that names one of them.
    #[must_use]
    pub fn rights_of(&self, groups: &[String]) -> Option<&GroupRights> {
        let names = |line: &&OidcGroup| match &line.group {
            Some(name) => groups.iter().any(|group| **group == **name),
            None => true,
        };
        self.groups.iter().find(names).map(|line| &line.rights)
    }
}

/// Tokens come from there: whoever could change them on the way could be anybody.
fn check_issuer(issuer: &str) -> Result<(), ConfigError> {
    let wrong = |why: &str| Err(ConfigError::Oidc(format!("--oidc-issuer {issuer}: {why}")));
    let Ok(url) = Url::parse(issuer) else { return wrong("it is no address") };
    let is_loopback = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => return wrong("it names no host"),
    };
    match url.scheme() {
        "https" => Ok(()),
        "http" if is_loopback => Ok(()),
        _ => wrong("a provider on another machine is asked by https://"),
    }
}

fn read_secret(path: &Path) -> Result<String, ConfigError> {
    let read = std::fs::read_to_string(path);
    let secret = read.map_err(|source| ConfigError::Unreadable { path: path.into(), source })?;
    match secret.trim() {
        "" => Err(ConfigError::Oidc(format!("{}: there is no secret in it", path.display()))),
        secret => Ok(secret.to_owned()),
    }
}

impl fmt::Debug for OidcConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OidcConfig({} at {})", self.client_id, self.issuer)
    }
}

impl FromStr for OidcGroup {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| format!("`{text}`: {why}: expected GROUP=ROLE or GROUP=ROLE@DEVICE-GROUP");
        let (group, rights) = text.rsplit_once('=').ok_or_else(|| wrong("there is no `=`"))?;
        if group.is_empty() {
            return Err(wrong("there is no group"));
        }
        let (role, scope) = match rights.split_once('@') {
            None => (rights, Scope::All),
            Some((role, groups)) => {
                let ids: Result<BTreeSet<GroupId>, _> = groups.split('+').map(GroupId::parse).collect();
                (role, Scope::Groups(ids.map_err(|error| wrong(&error.to_string()))?))
            }
        };
        let role = Role::parse(role).map_err(|error| wrong(&error.to_string()))?;
        if role == Role::Device || (role == Role::Admin && scope != Scope::All) {
            return Err(wrong("people are viewer, operator or admin, and an admin is for all devices"));
        }
        let group = (group != EVERYBODY).then(|| group.into());
        Ok(Self { group, rights: GroupRights { role, scope } })
    }
}

super::values::from_string!(OidcGroup);

impl fmt::Display for OidcGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, rights: GroupRights { role, scope } } = self;
        write!(f, "{}={role}", group.as_deref().unwrap_or(EVERYBODY))?;
        if let Scope::Groups(ids) = scope {
            let ids: Vec<&str> = ids.iter().map(GroupId::as_str).collect();
            write!(f, "@{}", ids.join("+"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn combine(file: &str) -> Result<Option<OidcConfig>, String> {
        let file: Options = toml::from_str(file).unwrap();
        OidcConfig::combine(&Options::default(), &file).map_err(|error| error.to_string())
    }

    #[test]
    fn groups_are_read_as_they_are_written() {
        for text in ["hub-admins=admin", "/a/b=viewer", "x=y=operator", "*=viewer", "ops=operator@a+b"] {
            assert_eq!(text.parse::<OidcGroup>().unwrap().to_string(), text);
        }
        for (text, expected) in [
            ("admin", "there is no `=`"),
            ("=admin", "there is no group"),
            ("a=boss", "boss"),
            ("a=device", "viewer, operator or admin"),
            ("a=admin@hall", "people are"),
            ("a=viewer@", "a=viewer@"),
        ] {
            let error = text.parse::<OidcGroup>().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn the_first_group_that_somebody_is_in_counts() {
        let config = combine(
            "oidc-issuer = 'https://id.example'\noidc-client-id = 'hub'\n\
             oidc-roles = ['chiefs=admin', 'plant=operator@hall', '*=viewer']",
        );
        let config = config.unwrap().unwrap();
        let rights = |groups: &[&str]| {
            let groups: Vec<String> = groups.iter().map(|group| (*group).to_owned()).collect();
            config.rights_of(&groups).map(|rights| (rights.role, rights.scope != Scope::All))
        };
        assert_eq!(rights(&["plant", "chiefs"]), Some((Role::Admin, false)));
        assert_eq!(rights(&["plant"]), Some((Role::Operator, true)));
        assert_eq!(rights(&["*", "Chiefs"]), Some((Role::Viewer, false)), "names are compared as they are");
        assert_eq!(
            (config.scopes.len(), &*config.groups_claim, &*config.name),
            (3, "groups", "single sign-on")
        );
        let closed = OidcConfig { groups: config.groups[..2].to_vec(), ..config.clone() };
        assert_eq!(closed.rights_of(&["x".into()]), None);
        assert_eq!(format!("{config:?}"), "OidcConfig(hub at https://id.example)");
    }

    #[test]
    fn a_part_that_is_missing_is_named() {
        assert_eq!(combine("oidc-client-id = 'hub'"), Ok(None));
        let issuer = "oidc-issuer = 'https://id.example'\n";
        let client = "oidc-client-id = 'hub'\noidc-roles = ['*=viewer']\n";
        for (file, expected) in [
            (issuer.to_owned(), "--oidc-client-id"),
            (format!("{issuer}oidc-client-id = 'hub'"), "--oidc-roles"),
            (format!("oidc-issuer = 'http://id.example'\n{client}"), "https://"),
            (format!("oidc-issuer = 'ftp://127.0.0.1'\n{client}"), "https://"),
            (format!("oidc-issuer = 'id.example'\n{client}"), "no address"),
            (format!("{issuer}{client}oidc-client-secret-file = '/no/such'"), "cannot read /no/such"),
        ] {
            let error = combine(&file).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        for issuer in ["http://127.0.0.1:9/realms/x", "http://[::1]:9", "http://localhost"] {
            assert!(combine(&format!("oidc-issuer = '{issuer}'\n{client}")).unwrap().is_some());
        }
    }
}
