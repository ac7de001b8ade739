//! The text for a person who has just started the hub.

use twinhub_actors::identities::DevicesPolicy;

use super::{RunningHub, public_address};

impl RunningHub {
    /// The text for a person who has just started the hub: the addresses, and commands to try.
    #[must_use]
    pub fn banner(&self) -> String {
        let Self { mqtt, data_dir, link, set_up, .. } = self;
        let http = public_address(self.http);
        let (broker, publish) = match mqtt {
            Some(address) if address.port() == 1883 => (format!("{address}"), String::new()),
            Some(address) => (format!("{address}"), format!(" -p {}", address.port())),
            None => (link.state().detail, String::new()),
        };
        let needs_password = mqtt.is_some() && self.hub.settings.devices == DevicesPolicy::Strict;
        let password = if needs_password { " -u test -P TOKEN" } else { "" };
        let first_user = set_up.as_ref().map(|token| {
            format!(
                "anyone who asks may do everything until there is a user; make the first one (once, within an hour):\n\n  \
                 http://{http}/setup#{}\n\n",
                token.reveal()
            )
        });
        format!(
            "twinhub {version}\n\n  page   http://{http}/\n  API    http://{http}/docs\n  MQTT   {broker}\n  data   {data}\n\n\
             {first_user}try it:\n\n  mosquitto_pub{publish}{password} -t iot/devices/test/data -m '{{\"temperature\": 23.5}}'\n  \
             curl http://{http}/api/devices/test\n",
            version = env!("CARGO_PKG_VERSION"),
            first_user = first_user.unwrap_or_default(),
            data = data_dir.display(),
        )
    }
}
