//! The names of a client's certificate: the ids that its device may have.

use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// Names of a certificate that are read.
const MOST_NAMES: usize = 32;
/// Bytes of a name; ids of devices are shorter.
const LONGEST_NAME: usize = 256;
/// A URI that begins so names a device by the rest.
const DEVICE_URI: &str = "urn:twinhub:device:";

/// The common name of a certificate, its DNS names and its URIs, each once; those that no device could have are left out.
pub(super) fn names(der: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return Vec::new() };
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    let alternatives = certificate.subject_alternative_name().ok().flatten();
    let others = alternatives.into_iter().flat_map(|extension| &extension.value.general_names);
    let others = others.filter_map(|name| match name {
        GeneralName::DNSName(name) => Some(*name),
        GeneralName::URI(uri) => Some(uri.strip_prefix(DEVICE_URI).unwrap_or(uri)),
        _ => None,
    });
    let mut names: Vec<String> = Vec::new();
    for name in common.chain(others) {
        let fits = !name.is_empty() && name.len() <= LONGEST_NAME && !name.chars().any(char::is_control);
        if fits && names.len() < MOST_NAMES && !names.iter().any(|before| before == name) {
            names.push(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rcgen::string::Ia5String;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    fn certificate(common: &str, others: Vec<SanType>) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, common);
        params.subject_alt_names = others;
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    fn uri(text: &str) -> SanType {
        SanType::URI(Ia5String::try_from(text).unwrap())
    }

    #[test]
    fn names_stand_in_the_subject_and_beside_it() {
        let dns = |name: &str| SanType::DnsName(Ia5String::try_from(name).unwrap());
        let check = |common: &str, others: Vec<SanType>, expected: &[&str]| {
            assert_eq!(names(&certificate(common, others)), expected, "{common}");
        };
        check("pump-1", vec![], &["pump-1"]);
        check("pump-1", vec![dns("pump-1"), dns("pump-2")], &["pump-1", "pump-2"]);
        check("", vec![dns("a.example")], &["a.example"]);
        check("", vec![uri("urn:twinhub:device:pump-1")], &["pump-1"]);
        check("", vec![uri("urn:dev:mac:0024befffe804ff1")], &["urn:dev:mac:0024befffe804ff1"]);
        check("", vec![uri("urn:twinhub:device:")], &[]);
        // No id of a device has a slash, so nobody is taken for the last word of another's address.
        check("", vec![uri("https://hub.example/pump-1")], &["https://hub.example/pump-1"]);
        check("", vec![SanType::Rfc822Name(Ia5String::try_from("ann@example.org").unwrap())], &[]);
        check("", vec![SanType::IpAddress([10, 0, 0, 7].into())], &[]);
        let many: Vec<SanType> = (0..99).map(|number| dns(&format!("d{number}.example"))).collect();
        assert_eq!(names(&certificate("", many)).len(), MOST_NAMES);
    }

    proptest! {
        #[test]
        fn any_bytes_have_names_or_none(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            names(&bytes);
        }

        /// A certificate of which some bytes are others has no name that could not be a device's.
        #[test]
        fn altered_certificates_are_read_or_not(
            common in "[a-z]{1,20}",
            at in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        ) {
            let mut bytes = certificate(&common, vec![uri("urn:twinhub:device:a")]);
            for (index, byte) in at {
                let place = index.index(bytes.len());
                bytes[place] = byte;
            }
            for name in names(&bytes) {
                prop_assert!(!name.is_empty() && name.len() <= LONGEST_NAME && !name.chars().any(char::is_control));
            }
        }

        #[test]
        fn common_names_come_as_they_are(common in "[a-zA-Z0-9._:-]{1,60}") {
            prop_assert_eq!(names(&certificate(&common, vec![])), vec![common]);
        }

        #[test]
        fn uris_come_as_they_are_or_name_a_device(id in "[a-zA-Z0-9._:-]{1,60}", is_of_device in any::<bool>()) {
            let text = format!("{}{id}", if is_of_device { DEVICE_URI } else { "spiffe://x/" });
            let expected = if is_of_device { id } else { text.clone() };
            prop_assert_eq!(names(&certificate("", vec![uri(&text)])), vec![expected]);
        }

        /// A name with a NUL in it is no shorter name.
        #[test]
        fn control_characters_make_no_name(before in "[a-z]{1,9}", control in "[\u{0}-\u{1f}]", after in "[a-z]{0,9}") {
            let named = certificate(&format!("{before}{control}{after}"), vec![]);
            prop_assert_eq!(names(&named), Vec::<String>::new());
        }
    }
}
