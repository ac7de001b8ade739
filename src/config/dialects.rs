//! Dialects whose callers may come without a credential, and the rights that they have then.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;
use twinhub_access::{Role, Scope};
use twinhub_domain::fleet::GroupId;

use super::ConfigError;

/// A system whose routes this hub has word for word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum DialectName {
    FlaskDashboard,
    Iamis,
    CloudBackend,
    Dispositivos,
    IotController,
}

/// A dialect with the rights of its callers who have no credential: `002=viewer`, `004=operator@hall-2`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DialectAccess {
    pub dialect: DialectName,
    pub role: Role,
    /// The group that they see, with the groups below it; none: all devices.
    pub group: Option<GroupId>,
}

/// A table `[dialects.002]` of the configuration file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DialectTable {
    access: AccessRole,
    scope: Option<String>,
}

/// A role of callers without a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
struct AccessRole(Role);

impl DialectName {
    /// All there are, with the number and the name of each.
    const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::FlaskDashboard, "000", "flask-dashboard"),
        (Self::Iamis, "001", "iamis"),
        (Self::CloudBackend, "002", "cloud-backend"),
        (Self::Dispositivos, "003", "dispositivos"),
        (Self::IotController, "004", "iot-controller"),
    ];

    /// The number by which it is known: `002`.
    #[must_use]
    pub fn number(self) -> &'static str {
        Self::ALL[self as usize].1 // in the order of the variants
    }

    /// The name of the system: `cloud-backend`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::ALL[self as usize].2 // the same
    }
}

impl DialectAccess {
    /// The devices for which the role counts.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match &self.group {
            Some(group) => Scope::Groups([group.clone()].into()),
            None => Scope::All,
        }
    }
}

/// The rights by what was given on the command line or in the environment, which counts instead of the file, and by the
/// file's list and tables.
///
/// # Errors
/// A dialect is named twice, or the scope of a table is no group.
pub(super) fn combine(
    given: Option<Vec<DialectAccess>>,
    listed: Option<Vec<DialectAccess>>,
    tables: Option<BTreeMap<DialectName, DialectTable>>,
) -> Result<Vec<DialectAccess>, ConfigError> {
    let mut all = match given {
        Some(given) => given,
        None => {
            let mut all = listed.unwrap_or_default();
            for (dialect, DialectTable { access: AccessRole(role), scope }) in tables.unwrap_or_default() {
                let wrong = |error| {
                    ConfigError::Dialect(format!("`scope` in [dialects.{}]: {error}", dialect.number()))
                };
                let group = scope.map(|scope| GroupId::parse(&scope).map_err(wrong)).transpose()?;
                all.push(DialectAccess { dialect, role, group });
            }
            all
        }
    };
    all.sort_by_key(|access| access.dialect);
    match all.windows(2).find(|pair| pair[0].dialect == pair[1].dialect) {
        Some(pair) => Err(ConfigError::Dialect(format!(
            "the access of the dialect {} is given twice: `{}` and `{}`",
            pair[0].dialect.number(),
            pair[0],
            pair[1]
        ))),
        None => Ok(all),
    }
}

impl FromStr for DialectName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|(_, number, name)| text == *number || text == *name);
        found.map(|(dialect, ..)| *dialect).ok_or_else(|| {
            let known: Vec<String> = Self::ALL.map(|(_, number, name)| format!("{number} ({name})")).to_vec();
            format!("`{text}` is no dialect: there are {}", known.join(", "))
        })
    }
}

super::values::from_string!(DialectName, AccessRole, DialectAccess);

impl FromStr for AccessRole {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Role::parse(text) {
            Ok(role @ (Role::Viewer | Role::Operator)) => Ok(Self(role)),
            // No route of a dialect takes more than an operator's rights.
            _ => Err(format!(
                "`{text}` is no role of callers without a credential: that is viewer or operator"
            )),
        }
    }
}

impl FromStr for DialectAccess {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong =
            |why: String| format!("`{text}`: {why}: expected DIALECT=ROLE or DIALECT=ROLE@DEVICE-GROUP");
        let (dialect, rights) = text.split_once('=').ok_or_else(|| wrong("there is no `=`".into()))?;
        let (role, group) = match rights.split_once('@') {
            Some((role, group)) => (role, Some(group)),
            None => (rights, None),
        };
        let AccessRole(role) = role.parse().map_err(wrong)?;
        let group = group.map(GroupId::parse).transpose().map_err(|error| wrong(error.to_string()))?;
        Ok(Self { dialect: dialect.parse().map_err(wrong)?, role, group })
    }
}

impl fmt::Display for DialectAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.dialect.number(), self.role)?;
        match &self.group {
            Some(group) => write!(f, "@{group}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Options;

    fn combined(given: &str, file: &str) -> Result<Vec<String>, String> {
        let parse = |text: &str| toml::from_str::<Options>(text).unwrap();
        let (given, file) = (parse(given), parse(file));
        let all = combine(given.dialect_access, file.dialect_access, file.dialects);
        all.map(|all| all.iter().map(ToString::to_string).collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn access_is_read_as_it_is_written() {
        for (text, shown) in [
            ("002=viewer", "002=viewer"),
            ("cloud-backend=viewer", "002=viewer"),
            ("000=viewer@hall-2", "000=viewer@hall-2"),
            ("iot-controller=operator", "004=operator"),
        ] {
            assert_eq!(text.parse::<DialectAccess>().unwrap().to_string(), shown);
        }
        for (text, expected) in [
            ("002", "there is no `=`"),
            ("2=viewer", "`2` is no dialect: there are 000 (flask-dashboard), 001 (iamis)"),
            ("=viewer", "`` is no dialect"),
            ("002=admin", "`admin` is no role of callers without a credential"),
            ("002=Viewer", "`Viewer` is no role"),
            ("002=viewer@", "`002=viewer@`: "),
        ] {
            let error = text.parse::<DialectAccess>().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        for (dialect, number, name) in DialectName::ALL {
            assert_eq!((dialect.number(), dialect.as_str()), (number, name));
        }
    }

    #[test]
    fn tables_of_the_file_say_the_same_as_its_list() {
        let file = "[dialects.002]\naccess = 'viewer'\n[dialects.iot-controller]\naccess = 'operator'\nscope = 'hall'";
        assert_eq!(combined("", file).unwrap(), ["002=viewer", "004=operator@hall"]);
        assert_eq!(combined("", "dialects.002.access = 'viewer'").unwrap(), ["002=viewer"]);
        let both = "dialect-access = ['004=viewer']\ndialects.000.access = 'viewer'";
        assert_eq!(combined("", both).unwrap(), ["000=viewer", "004=viewer"]);
        assert_eq!(combined("dialect-access = ['003=viewer']", file).unwrap(), ["003=viewer"]);
        assert_eq!(combined("dialect-access = []", file).unwrap(), [""; 0]);
    }

    #[test]
    fn a_fault_is_named() {
        let twice =
            combined("", "dialect-access = ['cloud-backend=viewer']\ndialects.002.access = 'operator'");
        assert_eq!(
            twice.unwrap_err(),
            "the access of the dialect 002 is given twice: `002=viewer` and `002=operator`"
        );
        let scope = combined("", "dialects.002 = { access = 'viewer', scope = '' }").unwrap_err();
        assert!(scope.starts_with("`scope` in [dialects.002]: "), "{scope}");
        for (file, expected) in [
            ("dialects.005.access = 'viewer'", "`005` is no dialect"),
            ("dialects.002.access = 'admin'", "`admin` is no role"),
            ("dialects.002.role = 'viewer'", "unknown field `role`"),
            ("dialects.002.scope = 'hall'", "missing field `access`"),
        ] {
            let error = toml::from_str::<Options>(file).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
