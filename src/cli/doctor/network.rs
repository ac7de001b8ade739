//! The network: what other machines can reach, how it is guarded, and where passwords can be read.

use std::net::SocketAddr;

use twinhub_mqtt::link::StrangerRights;

use super::finding::Finding;

const LISTENERS: &str = "listeners";
const BROKER: &str = "broker";
const PASSWORDS: &str = "passwords";

/// The listeners and the broker, as they were found.
#[derive(Clone, Debug, Default)]
pub struct NetworkFacts {
    /// Listeners in clear, by what they serve.
    pub in_clear: Vec<(&'static str, SocketAddr)>,
    /// MQTT in clear to clients with a password alone, and MQTT over TLS, which other machines reach beside it.
    pub mqtt_beside_tls: Option<(SocketAddr, SocketAddr)>,
    /// Where the embedded broker lets in clients of other machines that have no password.
    pub open_mqtt: Option<SocketAddr>,
    /// An outside broker, without its password; and whether it is spoken to by TLS, or on this machine.
    pub broker: Option<BrokerFacts>,
    /// Where a password stands that other users of this machine, or what is started from the same shell, can read.
    pub seen_passwords: Vec<SeenPassword>,
}

/// An outside broker.
#[derive(Clone, Debug)]
pub struct BrokerFacts {
    pub url: String,
    /// TLS, or it is on this machine.
    pub is_private: bool,
    pub has_password: bool,
    /// The rights of somebody without a password there, or the reason why they could not be found out.
    pub strangers: Result<StrangerRights, String>,
}

/// A place where a password can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeenPassword {
    /// `DATABASE_URL` in the environment.
    DatabaseUrl,
    /// The arguments of the hub that runs, which `ps` shows to everybody.
    Arguments,
}

/// Checks them.
pub fn check(facts: &NetworkFacts) -> Vec<Finding> {
    let mut found = Vec::new();
    for (what, address) in facts.in_clear.iter().filter(|(_, address)| !address.ip().is_loopback()) {
        found.push(Finding::fail(
            LISTENERS,
            format!(
                "{what} is served in clear on {address}, where others can read what goes over the network"
            ),
            "serve it by TLS, and in clear to this machine alone (README, \"TLS\")",
        ));
    }
    if let Some((address, over_tls)) = &facts.mqtt_beside_tls {
        found.push(Finding::warn(
            LISTENERS,
            format!(
                "MQTT is served in clear on {address}, where devices' passwords can be read on the network"
            ),
            format!("have devices use port {}, and serve it in clear to this machine alone", over_tls.port()),
        ));
    }
    if let Some(address) = &facts.open_mqtt {
        found.push(Finding::fail(
            LISTENERS,
            format!("MQTT clients without a password are let in on {address}, and may speak for any device"),
            "devices = \"strict\", or leave --open-to-network out",
        ));
    }
    if found.is_empty() {
        found.push(Finding::ok(LISTENERS, "nothing is served in clear to other machines"));
    }
    if let Some(broker) = &facts.broker {
        check_broker(broker, &mut found);
    }
    for seen in &facts.seen_passwords {
        found.push(match seen {
            SeenPassword::DatabaseUrl => Finding::warn(
                PASSWORDS,
                "DATABASE_URL has a password in it, which every program inherits that is started from there",
                "put `database` into the configuration file, which its owner alone can read",
            ),
            SeenPassword::Arguments => Finding::fail(
                PASSWORDS,
                "the hub was started with a password among its arguments, which `ps` shows to everybody",
                "put it into the configuration file or the environment (TWINHUB_MQTT, TWINHUB_DATABASE)",
            ),
        });
    }
    found
}

fn check_broker(broker: &BrokerFacts, found: &mut Vec<Finding>) {
    let url = &broker.url;
    let remedy = "allow_anonymous false in its configuration (README, \"Your own broker\")";
    found.push(match &broker.strangers {
        Ok(StrangerRights::Publishes) => Finding::fail(
            BROKER,
            format!("anybody who reaches {url} may publish there, for any device"),
            remedy,
        ),
        Ok(StrangerRights::Connects) => {
            Finding::warn(BROKER, format!("{url} lets in clients without a password"), remedy)
        }
        Ok(StrangerRights::None) => Finding::ok(BROKER, format!("{url} asks for a password")),
        Err(reason) => Finding::fail(
            BROKER,
            format!("{url} cannot be reached: {reason}"),
            "start it, or name another one with `mqtt`",
        ),
    });
    if broker.has_password && !broker.is_private {
        found.push(Finding::warn(
            BROKER,
            format!("the password for {url} goes over the network in clear"),
            "use mqtts://",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::testing::bad;

    fn broker(strangers: Result<StrangerRights, String>) -> NetworkFacts {
        let url = "mqtt://h:1883".into();
        let broker = BrokerFacts { url, is_private: false, has_password: false, strangers };
        NetworkFacts { broker: Some(broker), ..NetworkFacts::default() }
    }

    #[test]
    fn listeners_in_clear_that_others_reach_are_found() {
        let on = |address: &str| NetworkFacts {
            in_clear: vec![("HTTP", address.parse().unwrap())],
            ..NetworkFacts::default()
        };
        assert_eq!(bad(&check(&NetworkFacts::default())), [""; 0]);
        assert_eq!(bad(&check(&on("[::1]:80"))), [""; 0]);
        let found = bad(&check(&on("0.0.0.0:80")));
        assert!(found[0].starts_with("fail  listeners: HTTP is served in clear on 0.0.0.0:80"), "{found:?}");
        let open = NetworkFacts { open_mqtt: "0.0.0.0:1883".parse().ok(), ..NetworkFacts::default() };
        assert!(
            bad(&check(&open))[0].starts_with("fail  listeners: MQTT clients without a password are let in")
        );
    }

    #[test]
    fn mqtt_in_clear_beside_tls_is_a_warning() {
        let beside = "0.0.0.0:1883".parse().ok().zip("0.0.0.0:8883".parse().ok());
        let found = bad(&check(&NetworkFacts { mqtt_beside_tls: beside, ..NetworkFacts::default() }));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].starts_with("warn  listeners: MQTT is served in clear on 0.0.0.0:1883"),
            "{found:?}"
        );
        assert!(found[0].contains("passwords can be read") && found[0].contains("port 8883"), "{found:?}");
    }

    #[test]
    fn open_brokers_are_found() {
        let expect = |facts: &NetworkFacts, expected: &str| {
            let found = bad(&check(facts));
            assert!(
                found.join("\n").starts_with(expected) && found.len() == usize::from(!expected.is_empty()),
                "{found:?}"
            );
        };
        expect(&broker(Ok(StrangerRights::None)), "");
        expect(&broker(Ok(StrangerRights::Connects)), "warn  broker: mqtt://h:1883 lets in");
        expect(
            &broker(Ok(StrangerRights::Publishes)),
            "fail  broker: anybody who reaches mqtt://h:1883 may publish",
        );
        expect(&broker(Err("refused".into())), "fail  broker: mqtt://h:1883 cannot be reached: refused");
        let mut clear = broker(Ok(StrangerRights::None));
        clear.broker.as_mut().unwrap().has_password = true;
        expect(&clear, "warn  broker: the password for mqtt://h:1883 goes over the network in clear");
        clear.broker.as_mut().unwrap().is_private = true;
        expect(&clear, "");
    }

    #[test]
    fn passwords_that_others_can_read_are_found() {
        let seen = |seen| NetworkFacts { seen_passwords: vec![seen], ..NetworkFacts::default() };
        assert!(
            bad(&check(&seen(SeenPassword::DatabaseUrl)))[0].starts_with("warn  passwords: DATABASE_URL")
        );
        assert!(
            bad(&check(&seen(SeenPassword::Arguments)))[0]
                .starts_with("fail  passwords: the hub was started")
        );
    }
}
