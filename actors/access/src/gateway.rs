//! Gateways: the devices for which a device may speak.

use twinhub_domain::{DeviceId, DeviceSettings, IdPattern};

use crate::scope::Scope;

/// The devices for which a device may speak: itself, and those whose ids fit the patterns in its `settings.gateway`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceReach {
    own: DeviceId,
    others: Box<[IdPattern]>,
}

impl DeviceReach {
    /// The reach of a device with these settings.
    #[must_use]
    pub fn new(own: DeviceId, settings: &DeviceSettings) -> Self {
        let others = settings.gateway.as_ref().map(|gateway| gateway.ids.clone());
        Self { own, others: others.unwrap_or_default() }
    }

    /// The device itself.
    #[must_use]
    pub fn own(&self) -> &DeviceId {
        &self.own
    }

    /// May it speak for this device, and hear what is for it?
    #[must_use]
    pub fn contains(&self, device: &DeviceId) -> bool {
        self.own == *device || self.others.iter().any(|pattern| pattern.fits(device))
    }

    /// Does it speak for others?
    #[must_use]
    pub fn is_gateway(&self) -> bool {
        !self.others.is_empty()
    }

    /// The same as a scope.
    #[must_use]
    pub fn scope(&self) -> Scope {
        match self.is_gateway() {
            false => Scope::Devices([self.own.clone()].into()),
            true => {
                Scope::Ids([IdPattern::exactly(&self.own)].into_iter().chain(self.others.clone()).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use twinhub_domain::fleet::GroupTree;
    use twinhub_domain::payload::object;

    use super::*;
    use crate::scope::InTree;

    #[test]
    fn a_device_speaks_for_itself_and_a_gateway_for_others() {
        let check = |settings: &str, device: &str, expected: bool| {
            let settings = DeviceSettings::default().patched(&object(settings.as_bytes()).unwrap()).unwrap();
            let reach = DeviceReach::new(DeviceId::parse("gw1").unwrap(), &settings);
            let (device, tree) = (DeviceId::parse(device).unwrap(), GroupTree::default());
            assert_eq!(reach.contains(&device), expected, "{settings:?} {device}");
            let place = InTree { device: &device, owner: "", group: "", tree: &tree };
            assert_eq!(reach.scope().contains(&place), expected, "{settings:?} {device}");
        };
        check("{}", "gw1", true);
        check("{}", "gw1-a", false);
        let gateway = r#"{"gateway": {"ids": ["gw1-*", "lamp"]}}"#;
        for (device, expected) in [
            ("gw1", true),
            ("gw1-a", true),
            ("lamp", true),
            ("lamp-2", false),
            ("gw2-a", false),
            ("gw", false),
        ] {
            check(gateway, device, expected);
        }
    }
}
