//! The text for a person who has just started the hub.

use std::io::IsTerminal as _;

use qrcode::QrCode;
use qrcode::render::unicode::Dense1x2;
use twinhub_actors::identities::DevicesPolicy;

use super::{RunningHub, public_address, scheme};

/// The way for devices into a hub on a network.
const PAIR: &str = "new devices come without a password for ten minutes after\n\n  twinhub pair\n\n";
/// Words to a terminal, before and after a line.
const WHITE_ON_BLACK: &str = "\x1b[97;40m";
const USUAL_COLOURS: &str = "\x1b[0m";

impl RunningHub {
    /// The text for a person who has just started the hub: the addresses, and commands to try.
    #[must_use]
    pub fn banner(&self) -> String {
        let Self { mqtt, mqtt_over_tls, data_dir, link, set_up, tls, web, .. } = self;
        let here = format!("{}://{}", scheme(tls.is_some()), public_address(self.http));
        // People on the network are shown what they can reach.
        let http = if self.lan { &web.info.public_url } else { &here };
        let (broker, publish) = match mqtt {
            Some(address) if address.port() == 1883 => (format!("{address}"), String::new()),
            Some(address) => (format!("{address}"), format!(" -p {}", address.port())),
            None => (link.state().detail, String::new()),
        };
        let authority = tls.as_ref().and_then(|tls| tls.state().authority);
        let has_authority = authority.is_some();
        let authority =
            authority.map(|fingerprint| format!("  CA     {http}/ca.pem, SHA-256 {fingerprint}\n"));
        let mqtts = mqtt_over_tls.map(|address| format!(", over TLS {address}")).unwrap_or_default();
        let head = format!(
            "twinhub {version}\n\n  page   {http}/\n  API    {http}/docs\n  MQTT   {broker}{mqtts}\n  data   {data}\n{authority}\n",
            version = env!("CARGO_PKG_VERSION"),
            data = data_dir.display(),
            authority = authority.unwrap_or_default(),
        );
        let set_up = set_up.as_ref().map(|token| format!("{http}/setup#{}", token.reveal()));
        if let (Some(link), true) = (&set_up, web.serves_set_up) {
            return format!("{head}{}", first_steps(link, has_authority));
        }
        let needs_password = mqtt.is_some() && self.hub.settings.devices == DevicesPolicy::Strict;
        let password = if needs_password { " -u test -P TOKEN" } else { "" };
        let first_user = set_up.map(|link| {
            format!(
                "anyone who asks may do everything until there is a user; make the first one (once, within an hour):\n\n  \
                 {link}\n\n"
            )
        });
        format!(
            "{head}{first_user}{pair}try it:\n\n  mosquitto_pub{publish}{password} -t iot/devices/test/data -m '{{\"temperature\": 23.5}}'\n  \
             curl{trust} {here}/api/devices/test\n",
            trust = if tls.is_some() { " -k" } else { "" },
            pair = if self.lan { PAIR } else { "" },
            first_user = first_user.unwrap_or_default(),
        )
    }
}

/// The way to the first user, on a network where nobody is let in before.
fn first_steps(link: &str, has_authority: bool) -> String {
    let code = if std::io::stdout().is_terminal() { code_of(link) } else { None };
    let code = code.map(|code| format!("{code}\n")).unwrap_or_default();
    let trust = "the browser warns, for it does not know the CA above, which vouches for this hub: compare the fingerprint,\n\
                 and go on. To be warned no more, get ca.pem from there and add it to the authorities that the device trusts.\n";
    format!(
        "nobody is let in until there is a user; make the first one on any device of this network (once, within an hour):\n\n  \
         {link}\n\n{code}{}then {PAIR}",
        if has_authority { trust } else { "" }
    )
}

/// The QR code of a text for a terminal; none where it is too long for one.
fn code_of(text: &str) -> Option<String> {
    let code = QrCode::new(text).ok()?;
    // The light part is printed, white on black, whatever colours the terminal has.
    let text = code.render::<Dense1x2>().dark_color(Dense1x2::Light).light_color(Dense1x2::Dark).build();
    Some(text.lines().map(|line| format!("{WHITE_ON_BLACK}{line}{USUAL_COLOURS}\n")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_shown_as_a_code() {
        let code = code_of(&format!("https://192.168.100.100:8080/setup#{}", "a".repeat(64))).unwrap();
        let bare = |line: &str| {
            line.strip_prefix(WHITE_ON_BLACK).unwrap().strip_suffix(USUAL_COLOURS).unwrap().to_owned()
        };
        let code: Vec<String> = code.lines().map(bare).collect();
        assert!(code[0].chars().all(|corner| corner == '█'), "a light border: {code:?}");
        let width = code[0].chars().count();
        assert!(width < 80 && code.len() <= width, "{code:?}");
        assert!(code.iter().all(|line| line.chars().count() == width), "{code:?}");
        assert_eq!(code_of(&"a".repeat(9_000)), None);
    }

    #[test]
    fn the_way_to_the_first_user_says_how_to_trust_the_hub() {
        let link = "https://192.168.1.5:8080/setup#abc";
        let told = first_steps(link, true);
        assert!(told.contains(link) && told.contains("compare the fingerprint"), "{told}");
        assert!(told.ends_with("twinhub pair\n\n"), "devices are the next step: {told}");
        assert!(!first_steps(link, false).contains("ca.pem"), "others vouch for it");
    }
}
