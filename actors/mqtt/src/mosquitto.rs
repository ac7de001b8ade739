//! Mosquitto's own files: who may come in (`password_file`), and what each may say and hear (`acl_file`). Pure text;
//! others write it to where Mosquitto reads it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha512;

use crate::dialects::Dialects;
use twinhub_domain::DeviceId;

/// Rounds of a hash, as Mosquitto 2.0 makes them. Tokens are long and random, or chosen with 16 characters at least: more
/// rounds would cost Mosquitto more at each connection, and gain nothing against guessing.
const ROUNDS: u32 = 101;
/// Bytes of a salt, as Mosquitto makes them.
pub const SALT_BYTES: usize = 12;
/// Mosquitto's name for PBKDF2 with HMAC-SHA-512.
const KIND: &str = "$7$";
const HEAD: &str = "# Made by twinhub, which writes over it: change nothing here.";

/// A user name and password of the hub itself at the broker.
#[derive(Clone, Copy)]
pub struct HubLogin<'a> {
    pub user: &'a str,
    pub password: &'a str,
}

/// The hash of a password in the form of Mosquitto's files, `$7$101$…$…`.
#[must_use]
pub fn password_hash(password: &str, salt: [u8; SALT_BYTES]) -> String {
    let hash = pbkdf2(password.as_bytes(), &salt, ROUNDS);
    format!("{KIND}{ROUNDS}${}${}", STANDARD.encode(salt), STANDARD.encode(hash))
}

/// PBKDF2 with HMAC-SHA-512 (RFC 8018): the first block, which is all of it.
fn pbkdf2(password: &[u8], salt: &[u8], rounds: u32) -> [u8; 64] {
    // A key of any length is one: there is no error to be had.
    let Ok(keyed) = Hmac::<Sha512>::new_from_slice(password) else { return [0; 64] };
    let mut mac = keyed.clone();
    mac.update(salt);
    mac.update(&1_u32.to_be_bytes());
    let mut round: [u8; 64] = mac.finalize().into_bytes().into();
    let mut hash = round;
    for _ in 1..rounds {
        let mut mac = keyed.clone();
        mac.update(&round);
        round = mac.finalize().into_bytes().into();
        hash.iter_mut().zip(round).for_each(|(sum, byte)| *sum ^= byte);
    }
    hash
}

/// Can Mosquitto know a device by this name? Its files have a colon behind the name.
#[must_use]
pub fn can_name(device: &DeviceId) -> bool {
    !device.as_str().contains(':')
}

/// A bridge, as the files have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerBridge {
    pub user: Box<str>,
    pub hash: Box<str>,
    pub publish: Vec<Box<str>>,
    pub subscribe: Vec<Box<str>>,
}

/// The text of `password_file`: the hub's line with its `hash`, and one for each bridge and each device.
#[must_use]
pub fn password_file(
    hub: Option<(&str, &str)>,
    bridges: &[BrokerBridge],
    devices: &BTreeMap<DeviceId, Box<str>>,
) -> String {
    let mut text = String::with_capacity(devices.len() * 160);
    let bridges = bridges.iter().map(|bridge| (&*bridge.user, &*bridge.hash));
    for (user, hash) in hub.into_iter().chain(bridges) {
        text += &format!("{user}:{hash}\n");
    }
    for (device, hash) in devices.iter().filter(|(device, _)| can_name(device)) {
        text += device.as_str();
        text.push(':');
        text += hash;
        text.push('\n');
    }
    text
}

/// The text of `acl_file`: the hub may do everything, a bridge what its filters say, a device what the dialects let it say
/// and hear as itself, and everybody else nothing.
#[must_use]
pub fn acl_file(hub: Option<&str>, bridges: &[BrokerBridge], dialects: &Dialects) -> String {
    let mut lines = vec![HEAD.to_owned()];
    if let Some(user) = hub {
        // `#` does not cover what the broker says of itself.
        lines.extend([format!("user {user}"), "topic readwrite #".into(), "topic read $SYS/#".into()]);
    }
    for BrokerBridge { user, publish, subscribe, .. } in bridges {
        lines.push(format!("user {user}"));
        lines.extend(publish.iter().map(|filter| format!("topic write {filter}")));
        lines.extend(subscribe.iter().map(|filter| format!("topic read {filter}")));
    }
    let own = dialects.own_topics("%u");
    lines.extend(own.says.iter().map(|topic| format!("pattern write {topic}")));
    lines.extend(own.hears.iter().map(|topic| format!("pattern read {topic}")));
    lines.push(String::new());
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialects::{Direction, TopicDevice};

    /// By Python: `hashlib.pbkdf2_hmac('sha512', b'correct horse battery', bytes(range(12)), 101)`.
    #[test]
    fn hashes_as_mosquitto_does() {
        let salt = std::array::from_fn(|at| u8::try_from(at).unwrap());
        assert_eq!(
            password_hash("correct horse battery", salt),
            "$7$101$AAECAwQFBgcICQoL$V9pNThb/+913YeqnDNd5zDlp/RhejnZUEdabPS77QoMJkExKlk+MqAPFtKqDjKlpW8JvVMjQJW9UCHo7LWfYjQ=="
        );
    }

    /// Both brokers hold devices to the same topics.
    #[test]
    fn topics_of_a_device_are_its_own_at_the_embedded_broker_too() {
        let dialects = Dialects::default();
        let own = dialects.own_topics("pump-1");
        let of_pump = Some(TopicDevice::Named(DeviceId::parse("pump-1").unwrap()));
        assert!(own.says.len() >= 7 && !own.hears.is_empty());
        for topic in own.says {
            let topic = topic.replace('+', "0198f0c4-5d3e-7c11-8a3f-0123456789ab");
            assert_eq!(dialects.device_of(&topic, Direction::FromDevice), of_pump, "{topic}");
        }
        for filter in own.hears {
            assert_eq!(dialects.device_of(&filter, Direction::ToDevice), of_pump, "{filter}");
        }
    }

    #[test]
    fn files_have_a_line_for_each_device_and_patterns_for_all() {
        let devices =
            ["pump-1", "a:b", "oven"].map(|id| (DeviceId::parse(id).unwrap(), format!("$7${id}").into()));
        let bridge = BrokerBridge {
            user: "bridge@z".into(),
            hash: "$7$z".into(),
            publish: vec!["z/#".into()],
            subscribe: vec!["z/+/set".into(), "ha/#".into()],
        };
        let bridges = std::slice::from_ref(&bridge);
        let text = password_file(Some(("hub", "$7$hub")), bridges, &devices.into_iter().collect());
        assert_eq!(
            text, "hub:$7$hub\nbridge@z:$7$z\noven:$7$oven\npump-1:$7$pump-1\n",
            "a colon would end the name"
        );
        assert_eq!(password_file(None, &[], &BTreeMap::new()), "");

        let text = acl_file(Some("hub"), bridges, &Dialects::default());
        assert!(
            text.contains("\nuser bridge@z\ntopic write z/#\ntopic read z/+/set\ntopic read ha/#\npattern "),
            "{text}"
        );
        let text = acl_file(Some("hub"), &[], &Dialects::default());
        assert!(
            text.starts_with(&format!(
                "{HEAD}\nuser hub\ntopic readwrite #\ntopic read $SYS/#\npattern write "
            ))
        );
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("pattern")).collect();
        for line in [
            "pattern write iot/devices/%u/data",
            "pattern write iot/devices/%u/commands/+",
            "pattern write iot/devices/%u/desired/failed",
            "pattern read iot/devices/%u/#",
        ] {
            assert!(lines.contains(&line), "{line} is not in\n{text}");
        }
        assert!(lines.iter().all(|line| line.matches("%u").count() == 1), "nobody speaks for all:\n{text}");
        for hubs in
            ["write iot/devices/%u/commands\n", "write iot/devices/%u/desired\n", "write iot/devices/%u/#"]
        {
            assert!(!text.contains(hubs), "{hubs}");
        }
        assert!(!acl_file(None, &[], &Dialects::default()).contains("readwrite"));
    }
}
