//! The claims of a person at the provider, and the profile that is made of them.

use std::collections::BTreeMap;

use openidconnect::core::CoreGenderClaim;
use openidconnect::{AdditionalClaims, IdTokenClaims, UserInfoClaims};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use twinhub_access::user::ExternalSubject;
use twinhub_access::{DisplayName, Email, UserName};
use twinhub_actors::messages::accounts::ExternalProfile;

use super::SignOnError;

/// Claims beside those of the standard, whatever they are.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct OtherClaims(BTreeMap<String, Value>);

impl AdditionalClaims for OtherClaims {}

/// A person as the provider describes them; what it leaves out is none, and so is an e-mail address that it has found
/// to be nobody's.
#[derive(Clone, Debug, Default)]
pub struct PersonClaims {
    pub username: Option<String>,
    pub name: Option<String>,
    pub email: Option<String>,
    pub groups: Option<Vec<String>>,
}

impl OtherClaims {
    /// The groups in the claim of this name, or at this path (`realm_access.roles`). None: there is no such claim.
    fn groups(&self, claim: &str) -> Option<Vec<String>> {
        let found = match self.0.get(claim) {
            Some(found) => found,
            None => {
                let mut parts = claim.split('.');
                let first = self.0.get(parts.next()?)?;
                parts.try_fold(first, |value, part| value.get(part))?
            }
        };
        match found {
            Value::String(group) => Some(vec![group.clone()]),
            Value::Array(groups) => {
                Some(groups.iter().filter_map(Value::as_str).map(str::to_owned).collect())
            }
            _ => None,
        }
    }
}

impl PersonClaims {
    /// By the signed token.
    pub fn of_token(claims: &IdTokenClaims<OtherClaims, CoreGenderClaim>, groups_claim: &str) -> Self {
        Self {
            username: claims.preferred_username().map(|name| name.as_str().to_owned()),
            name: claims.name().and_then(|name| name.get(None)).map(|name| name.as_str().to_owned()),
            email: claims
                .email()
                .filter(|_| claims.email_verified() != Some(false))
                .map(|email| email.as_str().to_owned()),
            groups: claims.additional_claims().groups(groups_claim),
        }
    }

    /// By the answer to a question about the person.
    pub fn of_answer(claims: &UserInfoClaims<OtherClaims, CoreGenderClaim>, groups_claim: &str) -> Self {
        Self {
            username: claims.preferred_username().map(|name| name.as_str().to_owned()),
            name: claims.name().and_then(|name| name.get(None)).map(|name| name.as_str().to_owned()),
            email: claims
                .email()
                .filter(|_| claims.email_verified() != Some(false))
                .map(|email| email.as_str().to_owned()),
            groups: claims.additional_claims().groups(groups_claim),
        }
    }

    /// The same, with what `other` has beside.
    pub fn or(self, other: Self) -> Self {
        Self {
            username: self.username.or(other.username),
            name: self.name.or(other.name),
            email: self.email.or(other.email),
            groups: self.groups.or(other.groups),
        }
    }

    /// The profile of the person whom the provider calls `subject`. The name is the one that they sign in by there, or
    /// of their e-mail address, or else the provider's own for them.
    ///
    /// # Errors
    /// No name can be made of any of these.
    pub fn profile(&self, subject: ExternalSubject) -> Result<ExternalProfile, SignOnError> {
        let by_email = self.email.as_deref().and_then(|email| email.split('@').next());
        let names = [self.username.as_deref(), by_email, Some(&*subject.subject)];
        let name = names.into_iter().flatten().find_map(user_name);
        let name = name.ok_or_else(|| SignOnError::Untrusted("it names nobody".into()))?;
        let email = self.email.as_deref().and_then(|email| Email::parse(email).ok());
        let display_name = self.name.as_deref().and_then(|name| DisplayName::parse(name).ok());
        Ok(ExternalProfile { subject, name, email, display_name: display_name.unwrap_or_default() })
    }
}

/// A user name of this text: what stands before an `@`, and `-` in the place of characters that names have not.
fn user_name(text: &str) -> Option<UserName> {
    const LONGEST: usize = 64;
    let local = text.split('@').next().unwrap_or_default();
    let plain = local.chars().map(|c| if c.is_alphanumeric() || "._-".contains(c) { c } else { '-' });
    let plain: String = plain.take(LONGEST).collect();
    UserName::parse(plain.trim_matches(['.', '-', '_'])).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn groups(claims: Value, claim: &str) -> Option<Vec<String>> {
        serde_json::from_value::<OtherClaims>(claims).unwrap().groups(claim)
    }

    #[test]
    fn groups_are_found_by_name_and_by_path() {
        let found = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(groups(json!({"groups": ["a", 1, "b"]}), "groups"), found(&["a", "b"]));
        assert_eq!(groups(json!({"role": "a"}), "role"), found(&["a"]));
        assert_eq!(groups(json!({"realm_access": {"roles": ["a"]}}), "realm_access.roles"), found(&["a"]));
        let namespaced = json!({"https://a.example/groups": ["a"]});
        assert_eq!(groups(namespaced, "https://a.example/groups"), found(&["a"]));
        assert_eq!(groups(json!({"groups": []}), "groups"), found(&[]));
        for none in [json!({}), json!({"groups": null}), json!({"groups": {"a": 1}}), json!({"groups": 1})] {
            assert_eq!(groups(none, "groups"), None);
        }
        assert_eq!(groups(json!({"a": "b"}), "a.b"), None);
    }

    #[test]
    fn a_name_is_made_of_what_there_is() {
        let subject = || ExternalSubject { issuer: "https://id.example".into(), subject: "8f2|x y".into() };
        let check = |username: Option<&str>, email: Option<&str>, expected: &str| {
            let of = |text: Option<&str>| text.map(str::to_owned);
            let described =
                PersonClaims { username: of(username), email: of(email), ..PersonClaims::default() };
            assert_eq!(described.profile(subject()).unwrap().name.as_str(), expected);
        };
        check(Some("ann"), Some("a@example.com"), "ann");
        check(Some("ann@example.com"), None, "ann");
        check(Some("ann bell"), None, "ann-bell");
        check(Some("--"), Some("ann@example.com"), "ann");
        check(None, Some("ann.b@example.com"), "ann.b");
        check(None, None, "8f2-x-y");
        let nameless = ExternalSubject { issuer: "https://id.example".into(), subject: "|".into() };
        assert!(matches!(PersonClaims::default().profile(nameless), Err(SignOnError::Untrusted(_))));
    }
}
